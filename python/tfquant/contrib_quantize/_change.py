"""What a rewrite did to a MetaGraphDef, and doing the same to a graph that is alive.

New nodes enter through TensorFlow's importer, their inputs mapped to the tensors that are there. Existing operations get
their inputs, control inputs and attributes changed where the rewrite changed them. Then come the Python objects that
collections hold: variables and contexts of conditionals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import tensorflow.compat.v1 as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops import variable_scope

from .._errors import Error

_COLOCATION = "_class"
# An attribute of exported nodes alone.
_EXPORTED_ONLY = "_output_shapes"


class RewriteError(Error, ValueError):
    """The graph was refused; it is as it was."""

    @classmethod
    def of(cls, error: Error) -> RewriteError:
        """The same failure, as the exception that these functions raise."""
        return cls(error.args[0], error.kind, error.node, error.op, error.hint)


@dataclass
class _ChangedNode:
    """An existing node, as it is and as it shall be."""

    before: Any
    after: Any


class Change:
    """What was done between two MetaGraphDefs of one graph."""

    def __init__(self, before: Any, after: Any) -> None:
        self._before = before
        existing = {node.name: node for node in before.graph_def.node}
        self._new = [node for node in after.graph_def.node if node.name not in existing]
        self._new_names = {node.name for node in self._new}
        self._changed = [
            _ChangedNode(existing[node.name], node)
            for node in after.graph_def.node
            if node.name in existing and node != existing[node.name]
        ]
        self._versions = after.graph_def.versions
        self._added = _added_to_collections(before, after)

    def rehearse(self) -> None:
        """Does it to a copy, so that what cannot be done is known before anything is."""
        copy = tf.Graph()
        with copy.as_default():
            tf.import_graph_def(self._before.graph_def, name="")
            self.make(copy)

    def make(self, graph: tf.Graph) -> None:
        """Does it to the graph, which is the default graph."""
        self._import_new(graph)
        objects = _Objects(graph)
        undo: list[Callable[[], None]] = []
        try:
            for node in self._changed:
                _change_operation(graph, node, undo)
            for key, kind, values in self._added:
                for value in values:
                    element = objects.element(key, kind, value)
                    graph.add_to_collection(key, element)
        except BaseException:
            # It was rehearsed: only what is outside of the graph can be the reason, such as Ctrl-C.
            for step in reversed(undo):
                step()
            raise

    def _import_new(self, graph: tf.Graph) -> None:
        """Imports the new nodes, with control inputs and colocation that reach existing ones set afterwards."""
        graph_def = tf.GraphDef(versions=self._versions)
        inputs: dict[str, tf.Tensor] = {}
        controls: list[tuple[str, list[str]]] = []
        colocated = []
        for node in self._new:
            node = _copied(node)
            outside = []
            for name in list(node.input):
                if name.startswith("^"):
                    if name[1:] not in self._new_names:
                        outside.append(name[1:])
                        node.input.remove(name)
                elif _node_of(name) not in self._new_names:
                    inputs[_tensor(name)] = graph.get_tensor_by_name(_tensor(name))
            if outside:
                controls.append((node.name, outside))
            if _COLOCATION in node.attr:
                colocated.append(_copied(node))
                del node.attr[_COLOCATION]
            if _EXPORTED_ONLY in node.attr:
                del node.attr[_EXPORTED_ONLY]
            graph_def.node.append(node)
        if not self._new:
            return
        tf.import_graph_def(graph_def, input_map=inputs, name="")
        _check_names(graph, self._new)
        for name, outside in controls:
            operation = graph.get_operation_by_name(name)
            operation._add_control_inputs([graph.get_operation_by_name(control) for control in outside])
        for node in colocated:
            operation = graph.get_operation_by_name(node.name)
            operation._set_attr(_COLOCATION, node.attr[_COLOCATION])
            operation._set_device(_device_of_first(graph, node))
        _take_scopes(graph, self._new)


def _change_operation(graph: tf.Graph, node: _ChangedNode, undo: list[Callable[[], None]]) -> None:
    """Gives an existing operation the inputs, control inputs and attributes that it shall have."""
    operation = graph.get_operation_by_name(node.after.name)
    for index, (before, after) in enumerate(zip(_data_inputs(node.before), _data_inputs(node.after))):
        if before != after:
            undo.append(lambda index=index, tensor=operation.inputs[index]: operation._update_input(index, tensor))
            operation._update_input(index, graph.get_tensor_by_name(_tensor(after)))
    before, after = _control_inputs(node.before), _control_inputs(node.after)
    if before != after:
        undo.append(lambda: _set_control_inputs(graph, operation, before))
        _set_control_inputs(graph, operation, after)
    for name in node.after.attr:
        value = node.after.attr[name]
        if name != _EXPORTED_ONLY and value != node.before.attr.get(name):
            # TensorFlow takes no attribute away again; this one says whose gradient it is, and that one is registered.
            operation._set_attr(name, value)


def _set_control_inputs(graph: tf.Graph, operation: tf.Operation, names: set[str]) -> None:
    operation._remove_all_control_inputs()
    operation._add_control_inputs([graph.get_operation_by_name(name) for name in sorted(names)])


class _Objects:
    """The Python objects that new entries of collections stand for, each made once."""

    def __init__(self, graph: tf.Graph) -> None:
        self._graph = graph
        self._variables: dict[str, Any] = {}

    def element(self, key: str, kind: str, value: Any) -> Any:
        """The object for an entry."""
        if kind != "bytes_list":
            # A variable in a collection of the user's own is stored by the name of its tensor.
            return self._variables[value] if value in self._variables else self._graph.as_graph_element(value)
        proto = ops.get_collection_proto_type(key)()
        proto.ParseFromString(value)
        if not hasattr(proto, "variable_name"):
            return ops.get_from_proto_function(key)(proto)
        if proto.variable_name not in self._variables:
            variable = ops.get_from_proto_function(key)(proto)
            self._variables[proto.variable_name] = variable
            _register(variable)
        return self._variables[proto.variable_name]


def _register(variable: Any) -> None:
    """Lets ``get_variable`` find it where variables are reused."""
    store = variable_scope._get_default_variable_store()
    store._vars.setdefault(variable.op.name, variable)


def _added_to_collections(before: Any, after: Any) -> list[tuple[str, str, list[Any]]]:
    """The new entries of collections: variables stored whole come first, as others name them."""
    added = []
    for key, collection in after.collection_def.items():
        kind = collection.WhichOneof("kind")
        if kind is None:
            continue
        values = list(getattr(collection, kind).value)
        had = len(getattr(before.collection_def[key], kind).value) if key in before.collection_def else 0
        if values[had:]:
            added.append((key, kind, values[had:]))
    return sorted(added, key=lambda entry: (entry[1] != "bytes_list", entry[0]))


def _check_names(graph: tf.Graph, nodes: list[Any]) -> None:
    """Checks that the importer kept all names; it does not where a scope of the graph has the name."""
    for node in nodes:
        try:
            graph.get_operation_by_name(node.name)
        except KeyError:
            what = "the name of a node that is to be inserted is that of a scope"
            raise RewriteError(what, "refused", node.name, node.op, "rename the scope") from None


def _take_scopes(graph: tf.Graph, nodes: list[Any]) -> None:
    """Takes the names of the scopes that the new nodes are in, so that scopes opened later get other ones."""
    for node in nodes:
        scope = node.name.rpartition("/")[0]
        while scope:
            graph._names_in_use.setdefault(scope.lower(), 1)
            scope = scope.rpartition("/")[0]


def _device_of_first(graph: tf.Graph, node: Any) -> str:
    """The device of what the node is colocated with."""
    for group in node.attr[_COLOCATION].list.s:
        name = group.decode().removeprefix("loc:@")
        device = graph.get_operation_by_name(name).device
        if device:
            return device
    return node.device


def _copied(message: Any) -> Any:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _node_of(tensor: str) -> str:
    return tensor.partition(":")[0]


def _tensor(name: str) -> str:
    return name if ":" in name else f"{name}:0"


def _data_inputs(node: Any) -> list[str]:
    return [name for name in node.input if not name.startswith("^")]


def _control_inputs(node: Any) -> set[str]:
    return {name[1:] for name in node.input if name.startswith("^")}
