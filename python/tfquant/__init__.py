"""Rewrites TensorFlow graphs for simulated quantization.

A model is a path, bytes, or a ``GraphDef``, ``MetaGraphDef`` or ``SavedModel`` message; no TensorFlow is needed. What is
made is of the type that came in::

    import tfquant

    rewritten = tfquant.rewrite("model.pb", mode="eval")
    rewritten.write("model_q.pb")

Functions that make a model: :func:`rewrite`, :func:`fold`, :func:`freeze`, :func:`calibrate`. Those that look at one and
return a document, as ``tfquant VERB --json`` prints it: :func:`check`, :func:`summary`, :func:`explain`, :func:`diff`,
:func:`ranges`, :func:`compare`. They raise :class:`Error`, and may be called from any number of threads.

``tfquant.contrib_quantize`` has the functions of ``tf.contrib.quantize``, for live graphs.
"""

from ._errors import Error, OptionsError, Warning
from ._functions import (
    calibrate,
    check,
    compare,
    diff,
    explain,
    fold,
    freeze,
    ranges,
    rewrite,
    summary,
)
from ._made import Calibrated, Frozen, Rewritten
from ._tfquant import VERSION as __version__

__all__ = [
    "Calibrated",
    "Error",
    "Frozen",
    "OptionsError",
    "Rewritten",
    "Warning",
    "__version__",
    "calibrate",
    "check",
    "compare",
    "diff",
    "explain",
    "fold",
    "freeze",
    "ranges",
    "rewrite",
    "summary",
]
