"""The way to a phone: an eval rewrite with its ranges set, frozen, is taken whole by TensorFlow Lite's converters.

Both converters of 2.15 are asked. The old one stops at the first tensor that is "lacking min/max data"; the one that
replaced it says nothing and leaves the ops around such a tensor in float, which here counts as a failure as well.
"""

import collections
import io
import os
import pathlib
import sys
import tarfile

import numpy as np
import pytest
import tensorflow as tf2
import tensorflow.compat.v1 as tf
import zstandard

import support

CASES = pathlib.Path(__file__).parents[2] / "testdata" / "names"
MEAN, STDDEV = 128.0, 127.0


class Network:
    """An inference graph to convert: the file, its ends, and how to rewrite it."""

    def __init__(self, path, image, output, *options):
        self.path, self.image, self.output, self.options = path, image, output, options

    @property
    def bare(self):
        return self.path.suffix == ".pb"

    def load(self, path):
        if self.bare:
            tf.import_graph_def(support.read_graph_def(path), name="")
        else:
            tf.train.import_meta_graph(str(path))


def mobilenet_v1(tfquant, *options):
    """TF-Slim's network, exported by TensorFlow 1.5."""
    archive = zstandard.ZstdDecompressor().stream_reader((CASES / "mobilenet_v1_eval.tar.zst").read_bytes()).read()
    path = tfquant.folder / "mobilenet_v1.meta"
    path.write_bytes(tarfile.open(fileobj=io.BytesIO(archive)).extractfile("before.meta").read())
    return Network(path, [1, 128, 128, 3], "MobilenetV1/Logits/SpatialSqueeze", *options)


def keras(tfquant, application, name, image, frozen, **arguments):
    """One of Keras' networks, with its variables or frozen."""
    path = tfquant.folder / f"{name}.{'pb' if frozen else 'meta'}"
    with tf.Graph().as_default() as graph:
        tf.keras.backend.set_learning_phase(0)
        inputs = tf.placeholder(tf.float32, [None, *image[1:]], name="input")
        model = application(weights=None, input_tensor=inputs, classes=10, **arguments)
        output = model.output.op.name
        if frozen:
            with support.session() as session:
                support.randomize(session)
                graph_def = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [output])
            path.write_bytes(graph_def.SerializeToString())
        else:
            tf.train.export_meta_graph(str(path), graph=graph)
    return Network(path, image, output, "--match", "topology")


NETWORKS = {
    "mobilenet_v1 by names": lambda tfquant: mobilenet_v1(tfquant, "--weight-narrow-range"),
    "mobilenet_v1 by topology": lambda tfquant: mobilenet_v1(tfquant, "--match", "topology"),
    "mobilenet_v2": lambda tfquant: keras(
        tfquant, tf.keras.applications.MobileNetV2, "mobilenet_v2", [1, 96, 96, 3], frozen=False, alpha=0.35
    ),
    "resnet50": lambda tfquant: keras(
        tfquant, tf.keras.applications.ResNet50, "resnet50", [1, 64, 64, 3], frozen=True
    ),
}


def in_order_of_use(found):
    """The fake quantizers, each behind all those that its input depends on."""
    order = {}
    for op in tf.get_default_graph().get_operations():
        stack = [(op, False)]
        while stack:
            op, done = stack.pop()
            if done:
                order[op] = len(order)
            elif op not in order:
                stack.append((op, True))
                stack += [(tensor.op, False) for tensor in op.inputs if tensor.op not in order]
                order.setdefault(op, -1)
    return sorted(found, key=lambda each: order[each.op])


def set_ranges(session, found, feed):
    """Sets every range to what its tensor takes for the images, and computes each layer once."""
    known = dict(feed)
    for each in in_order_of_use(found):
        values = session.run(each.input, known)
        for variable, value in zip(each.range_ops, (min(values.min(), 0), max(values.max(), 1e-3))):
            assign = tf.get_default_graph().get_operation_by_name(f"{variable}/Assign")
            session.run(assign, {assign.inputs[1]: value})
        known[each.output] = session.run(each.output, {each.input: values})


def images(shape, count):
    """Images in bytes, and as the network reads them."""
    bytes = np.random.RandomState(1).randint(0, 256, [count, *shape[1:]]).astype(np.uint8)
    return bytes, (bytes - MEAN) / STDDEV


@pytest.fixture(scope="module", params=NETWORKS)
def frozen(request, binary, tmp_path_factory):
    """A frozen eval rewrite: where it is, the network, images, and what TensorFlow makes of them."""
    tfquant = support.Tfquant(binary, tmp_path_factory.mktemp("frozen"))
    tf.disable_eager_execution()
    with tf.Graph().as_default() as graph:
        network = NETWORKS[request.param](tfquant)
        options = [*network.options, "--mode", "eval", "--init-op", "init_ranges"]
        path, report = tfquant.rewrite(network.path, *options, output=f"q{network.path.suffix}", fold=True)
        network.load(path)
        bytes, floats = images(network.image, 4)
        found = support.fake_quants(report)
        with support.session() as session:
            support.randomize(session)
            session.run("init_ranges")
            set_ranges(session, found, {"input:0": floats})
            expected = session.run(f"{network.output}:0", {"input:0": floats})
            graph_def = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), [network.output])
    path = tfquant.folder / "frozen.pb"
    path.write_bytes(graph_def.SerializeToString())
    return path, network, bytes, expected


@pytest.mark.parametrize("converter", ["new", "old"])
def test_the_converter_takes_the_whole_network(frozen, converter, monkeypatch):
    path, network, bytes, expected = frozen
    # The old converter is a program beside the interpreter.
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
    lite = tf.lite.TFLiteConverter.from_frozen_graph(
        str(path), ["input"], [network.output], input_shapes={"input": network.image}
    )
    lite.experimental_new_converter = converter == "new"
    lite.inference_type = tf.uint8
    lite.quantized_input_stats = {"input": (MEAN, STDDEV)}
    interpreter = tf2.lite.Interpreter(model_content=lite.convert())
    interpreter.allocate_tensors()
    ops = collections.Counter(each["op_name"] for each in interpreter._get_ops_details())
    # The reference's rules give no range to what a global average pool yields, and there the new converter needs one.
    assert ops["DEQUANTIZE"] <= (converter == "new"), f"layers were left in float: {ops}"
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["dtype"] == sink["dtype"] == np.uint8
    scale, zero = sink["quantization"]
    for image, wanted in zip(bytes, expected):
        interpreter.set_tensor(source["index"], image[np.newaxis])
        interpreter.invoke()
        output = (interpreter.get_tensor(sink["index"])[0].astype(np.float32) - zero) * scale
        assert wanted.max() - wanted.min() > 20 * scale, "nothing left to compare"
        off = np.abs(output - wanted).max() / scale
        assert off <= 4, f"off by {off} levels"
