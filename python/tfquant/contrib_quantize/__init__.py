"""The functions of ``tf.contrib.quantize`` on live graphs of TensorFlow 2, through ``tf.compat.v1``.

An old script needs one line changed::

    from tfquant import contrib_quantize

    contrib_quantize.create_training_graph(quant_delay=2000)

They change a graph in place, as TensorFlow 1.15's do: same names, ops, inputs, variables and collections. Existing tensors,
operations and variables stay the objects they are. If one raises, the graph is as it was.
"""

from . import _gradient as _gradient
from ._change import RewriteError
from ._functions import (
    create_eval_graph,
    create_training_graph,
    experimental_create_eval_graph,
    experimental_create_training_graph,
)

__all__ = [
    "RewriteError",
    "create_eval_graph",
    "create_training_graph",
    "experimental_create_eval_graph",
    "experimental_create_training_graph",
]
