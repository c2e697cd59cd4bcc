"""Whether two MetaGraphDefs hold the same graph: nodes by name, and collections."""

import tensorflow.compat.v1 as tf
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import control_flow_pb2, meta_graph_pb2
from tensorflow.python.framework import meta_graph


def as_exported(message):
    """A MetaGraphDef as the TensorFlow at hand exports it, with the defaults of its own ops."""
    with tf.Graph().as_default() as graph:
        meta_graph.import_scoped_meta_graph(meta_graph_pb2.MetaGraphDef.FromString(message))
        return tf.train.export_meta_graph(graph=graph)


def differences(expected, actual):
    """What differs, one a line."""
    nodes = [{node.name: described(node) for node in each.graph_def.node} for each in (expected, actual)]
    found = [f"node {name}: {nodes[0].get(name)} is {nodes[1].get(name)}" for name in differing(*nodes)]
    kept = [{key: values(key, each) for key, each in message.collection_def.items()} for message in (expected, actual)]
    return found + [f"collection {key}: {kept[0].get(key)} is {kept[1].get(key)}" for key in differing(*kept)]


def differing(a, b):
    return [key for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]


def described(node):
    data = [name.removesuffix(":0") for name in node.input if not name.startswith("^")]
    controls = {name for name in node.input if name.startswith("^")}
    attributes = {
        key: tf.make_ndarray(value.tensor).tolist() if value.HasField("tensor") else value.SerializeToString()
        for key, value in node.attr.items()
        if key != "_output_shapes"
    }
    return node.op, node.device, data, controls, attributes


def values(key, collection):
    """The values of a collection, in an order of no meaning."""
    kind = collection.WhichOneof("kind")
    found = list(getattr(collection, kind).value)
    if kind != "bytes_list":
        return sorted(found)
    if key == "cond_context":
        return sorted(conditional(value) for value in found)
    variables = [variable_pb2.VariableDef.FromString(value) for value in found]
    return sorted((each.variable_name, each.initializer_name, each.snapshot_name, each.is_resource) for each in variables)


def conditional(value):
    context = control_flow_pb2.CondContextDef.FromString(value)
    inside = context.values_def
    return context.context_name, context.pred_name, context.branch, sorted(inside.values), sorted(inside.external_values.items())
