"""A rewrite of a live graph: it goes out as a MetaGraphDef, and what the rewrite did to that is done to it."""

from __future__ import annotations

import warnings
from typing import Any

import tensorflow.compat.v1 as tf
from tensorflow.python.framework import ops

from .._call import make_quietly
from .._errors import Error, Warning
from ._change import Change, RewriteError

# What the rewrite says to those who have the file alone; here it is done.
_SEEN_TO = {"gradient_to_register"}


def rewrite(graph: tf.Graph, is_training: bool, **options: Any) -> None:
    """Rewrites a live graph as TensorFlow 1.15 does."""
    _run("rewrite", graph, is_training, options)


def fold(graph: tf.Graph, is_training: bool, **options: Any) -> None:
    """Folds the batch norms of a live graph as TensorFlow 1.15 does."""
    _run("fold", graph, is_training, options)


def _run(verb: str, graph: tf.Graph, is_training: bool, options: dict[str, Any]) -> None:
    if graph.finalized:
        raise RuntimeError("Graph is finalized and cannot be modified.")
    with graph.as_default():
        before = _exported(graph)
        given = {name: value for name, value in options.items() if value is not None}
        given.update(
            model=before,
            match="topology",
            mode="training" if is_training else "eval",
            reference_only=True,
            resource_variables=tf.get_variable_scope().use_resource is True,
        )
        try:
            rewritten = make_quietly(verb, given)
        except Error as error:
            raise RewriteError.of(error) from None
        after = rewritten.model
        if not isinstance(after, type(before)):
            raise RewriteError("the layers are in functions, which a live graph cannot be rewritten in", "refused")
        change = Change(before, after)
    change.rehearse()
    with graph.as_default():
        change.make(graph)
    for warning in rewritten.report["warnings"]:
        if warning["code"] not in _SEEN_TO:
            # Whoever called the function that called the one that called this.
            warnings.warn(warning["message"], Warning, stacklevel=5)


def _exported(graph: tf.Graph) -> Any:
    keys = [key for key in graph.get_all_collection_keys() if isinstance(key, str) and _is_stored(graph, key)]
    return tf.train.export_meta_graph(graph=graph, collection_list=keys)


def _is_stored(graph: tf.Graph, key: str) -> bool:
    """Whether a collection goes into a MetaGraphDef: others are warned of there, and of no use here."""
    if ops.get_to_proto_function(key):
        return True
    return all(isinstance(item, (tf.Tensor, tf.Operation, tf.Variable)) for item in graph.get_collection_ref(key))
