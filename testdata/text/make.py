"""Makes the text format fixtures beside it, with tensorflow-cpu 2.15 on Python 3.11.

    PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python python make.py CONV_RELU.meta

Each NAME.pbtxt is what Python's text_format prints; NAME.pb is the same message in deterministic binary form. The pure
Python implementation of protobuf orders map keys as C++ does; the default one puts "seed2" before "seed".
"""

import os
import sys

from google.protobuf import text_format
from tensorflow.core.framework import graph_pb2, types_pb2, versions_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

FOLDER = os.path.dirname(os.path.abspath(__file__))


def write(name, message):
    with open(os.path.join(FOLDER, name + ".pbtxt"), "w") as out:
        out.write(text_format.MessageToString(message))
    with open(os.path.join(FOLDER, name + ".pb"), "wb") as out:
        out.write(message.SerializeToString(deterministic=True))


def every_kind():
    graph = graph_pb2.GraphDef()
    node = graph.node.add(name="é\u202e'\"\\", op="Const", input=["a", "^b:1", ""])
    node.attr["b"].b = False
    node.attr["empty"].SetInParent()
    node.attr["s"].s = bytes(range(256))
    node.attr["placeholder"].placeholder = "p"
    node.attr["func"].func.name = "f"
    node.attr["func"].func.attr["inner"].i = 0
    values = node.attr["list"].list
    values.i.extend([0, 1, -1, 2**63 - 1, -(2**63)])
    values.b.extend([True, False])
    values.s.extend([b"", b"\0\n"])
    values.type.extend([types_pb2.DT_FLOAT, types_pb2.DT_HALF_REF, 999])
    values.shape.add(unknown_rank=True)
    values.shape.add().dim.add(size=-1, name="n")
    tensor = node.attr["tensor"].tensor
    tensor.dtype = types_pb2.DT_FLOAT
    tensor.float_val.extend([0, -0.0, 1, 0.1, 1 / 3, 1e-5, 1e-4, 1e16, 123456789, -2371363.25, 3.4028235e38, 1e-45])
    tensor.float_val.extend([float("inf"), float("-inf"), float("nan")])
    tensor.double_val.extend([0, -0.0, 1, 0.1, 1 / 3, 1e-5, 1e-4, 1e15, 1e16, 1e22, 5e-324, 1.7976931348623157e308])
    tensor.int_val.extend([2**31 - 1, -(2**31)])
    tensor.uint64_val.extend([2**64 - 1])
    tensor.scomplex_val.extend([1, 2])
    tensor.tensor_content = b"\x00\x7f\x80\xff"
    function = graph.library.function.add()
    for number in (300, 5, 0):
        function.arg_attr[number].attr["x"].i = number
        function.resource_arg_unique_id[number] = 300 - number
    graph.versions.producer = 26
    return graph


def expanded_any():
    meta = meta_graph_pb2.MetaGraphDef()
    meta.meta_info_def.any_info.Pack(versions_pb2.VersionDef(producer=3, bad_consumers=[1, 2]))
    meta.meta_info_def.tags.append("serve")
    return meta


def saved_model():
    model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = model.meta_graphs.add()
    meta.CopyFrom(expanded_any())
    meta.meta_info_def.ClearField("any_info")
    meta.graph_def.node.add(name="x", op="Placeholder").attr["dtype"].type = types_pb2.DT_FLOAT
    meta.signature_def["serving_default"].inputs["x"].name = "x:0"
    meta.collection_def["variables"].bytes_list.value.append(b"\x0a\x01v")
    meta.object_graph_def.nodes.add().variable.shape.dim.add(size=3)
    meta.object_graph_def.nodes[0].children.add(node_id=0, local_name="self")
    return model


def main():
    conv_relu = meta_graph_pb2.MetaGraphDef()
    with open(sys.argv[1], "rb") as file:
        conv_relu.ParseFromString(file.read())
    write("conv_relu", conv_relu)
    write("every_kind", every_kind())
    write("expanded_any", expanded_any())
    write("saved_model", saved_model())


main()
