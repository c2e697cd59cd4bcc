"""Repairs and comparisons by real TensorFlow: an equalized network computes the same, a corrected one the same on average,
and what `compare` tells is what TensorFlow's own outputs are like.
"""

import json
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import support
import test_calibrate as converter

DIGITS = pathlib.Path(__file__).parents[2] / "testdata" / "digits"


def separable(x, random, depth, activation, data_format="NHWC"):
    """A depthwise and a pointwise convolution, each with a batch norm whose channels differ a hundredfold."""
    channels = x.shape[-1 if data_format == "NHWC" else 1]
    x = tf.nn.depthwise_conv2d(x, weights(random, [3, 3, channels, 1]), [1] * 4, "SAME", data_format=data_format)
    x = activation(norm(x, random, data_format))
    x = tf.nn.conv2d(x, weights(random, [1, 1, channels, depth]), 1, "SAME", data_format=data_format)
    return activation(norm(x, random, data_format))


def weights(random, shape):
    return tf.constant(random.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape), tf.float32)


def norm(x, random, data_format):
    count = x.shape[-1 if data_format == "NHWC" else 1]
    scale = np.exp(random.normal(0, 1, count))
    offset, mean = random.normal(0, 1, [2, count])
    variance = random.uniform(0.5, 2, count)
    values = [tf.constant(value, tf.float32) for value in (scale, offset, mean, variance)]
    return tf.nn.fused_batch_norm(x, *values, is_training=False, data_format=data_format)[0]


def network(path, activation, residual=False):
    """Writes the graph of a small network; its output is `out`."""
    random = np.random.RandomState(3)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, 16, 16, 3], name="image")
        x = activation(norm(tf.nn.conv2d(x, weights(random, [3, 3, 3, 12]), 2, "SAME"), random, "NHWC"))
        x = separable(x, random, 24, activation)
        x = tf.nn.max_pool2d(x, 2, 2, "SAME")
        kept = x
        x = separable(x, random, 24, activation)
        x = x + kept if residual else x
        x = tf.nn.conv2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), weights(random, [3, 3, 24, 16]), 1, "VALID")
        x = tf.reduce_mean(activation(x), [1, 2])
        tf.nn.bias_add(x @ weights(random, [16, 10]), tf.constant(random.normal(0, 1, 10), tf.float32), name="out")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


def samples(count=40):
    return np.random.RandomState(9).uniform(-1, 1, [count, 16, 16, 3]).astype(np.float32)


def run(path, fetches, images, feed="image:0", quantized=True):
    """What TensorFlow computes; without fake quantizers, if they are not wanted."""
    graph_def = support.read_graph_def(path)
    if not quantized:
        behind = {node.name: node.input[0] for node in graph_def.node if node.op.startswith("FakeQuant")}
        for node in graph_def.node:
            node.input[:] = [behind.get(name, name) for name in node.input]
    with tf.Graph().as_default(), support.session() as session:
        tf.import_graph_def(graph_def, name="")
        return session.run(fetches, {feed: images})


def calibrate(tfquant, model, *options):
    data, output, report = (tfquant.folder / name for name in ("data.npy", "q.pb", "report.json"))
    np.save(data, samples())
    tfquant.run("calibrate", model, "--data", data, "-o", output, "--report", report, *options)
    return output, support.read_report(report)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", [tf.nn.relu, tf.nn.relu6], ids=["relu", "relu6"])
def test_an_equalized_network_computes_the_same(tfquant, activation, residual):
    model = network(tfquant.folder / "model.pb", activation, residual)
    output, report = calibrate(tfquant, model, "--equalize", "--weights", "symmetric")
    pairs = [pair for pair in report["equalized"] if "next" in pair]
    assert len(pairs) == (4 if residual else 6), report["equalized"]
    assert max(pair["scales"][1] / pair["scales"][0] for pair in pairs) > 10
    exact = run(model, "out:0", samples())
    equalized = run(output, "out:0", samples(), quantized=False)
    assert np.abs(exact - equalized).max() <= 1e-5 * np.abs(exact).max()
    print("%.2f dB became %.2f dB" % decibels(report))


def decibels(report):
    """The SQNR of the output without repairs, and with them."""
    after = next(tensor for tensor in report["measured"] if tensor["is_output"])
    return report["without_repairs"][0]["sqnr"], after["sqnr"]


@pytest.mark.parametrize("activation", [tf.nn.relu, tf.nn.relu6], ids=["relu", "relu6"])
def test_channels_that_differ_between_layers_are_worth_equalizing(tfquant, activation):
    random = np.random.RandomState(5)
    by = np.exp(random.normal(0, 1.5, 32))
    model = tfquant.folder / "model.pb"
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, 16, 16, 3], name="image")
        first = random.normal(0, 0.2, [3, 3, 3, 32]) * by
        second = random.normal(0, 0.2, [3, 3, 32, 8]) / by[:, None]
        x = activation(tf.nn.bias_add(tf.nn.conv2d(x, tf.constant(first, tf.float32), 1, "SAME"), tf.zeros(32)))
        tf.nn.conv2d(x, tf.constant(second, tf.float32), 1, "SAME", name="out")
    model.write_bytes(graph.as_graph_def().SerializeToString())
    before, after = decibels(calibrate(tfquant, model, "--equalize", "--weights", "symmetric")[1])
    print(f"{before:.2f} dB became {after:.2f} dB")
    assert after > before + 6


def test_corrected_layers_are_right_on_average(tfquant):
    model = network(tfquant.folder / "model.pb", tf.nn.relu6)
    few = ["--weights", "symmetric", "--weight-bits", "5"]
    plain = calibrate(tfquant, model, *few)[0].rename(tfquant.folder / "plain.pb")
    output, report = calibrate(tfquant, model, *few, "--correct-bias")
    assert all("largest" in bias for bias in report["corrected_biases"]), report["corrected_biases"]
    in_both = {node.name for node in support.read_graph_def(plain).node}
    shared = [node.name for node in support.read_graph_def(output).node if node.op == "BiasAdd" and node.name in in_both]
    assert len(shared) >= 6
    fetches = [f"{name}:0" for name in shared]
    # Without its fake quantizers, the uncorrected graph is the float one.
    exacts = run(plain, fetches, samples(), quantized=False)
    wrongs, rights = (run(path, fetches, samples()) for path in (plain, output))
    for name, exact, wrong, right in zip(shared, exacts, wrongs, rights):
        axes = tuple(range(exact.ndim - 1))
        spread = exact.std()
        off, was = (np.abs((each - exact).mean(axes)).max() / spread for each in (right, wrong))
        print(f"{name}: {was:.2e} became {off:.2e}")
        assert off < 1e-5, f"{name} is off by {off} of its deviation on average"


def test_compare_tells_what_tensorflow_finds(tfquant):
    model = network(tfquant.folder / "model.pb", tf.nn.relu6)
    output, _ = calibrate(tfquant, model, "--weights", "symmetric")
    command = [tfquant.binary, "compare", model, output, "--data", tfquant.folder / "data.npy", "--json"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    names = [tensor["tensor"] for tensor in told["tensors"]], [tensor["other"] for tensor in told["tensors"]]
    assert len(names[0]) > 10
    for tensor, exact, other in zip(told["tensors"], run(model, names[0], samples()), run(output, names[1], samples())):
        exact, other = exact.astype(np.float64), other.astype(np.float64)
        cosine = np.sum(exact * other) / np.sqrt(np.sum(exact**2) * np.sum(other**2))
        assert abs(tensor["sqnr"] - converter.decibels(exact, other)) < 0.05, tensor
        assert abs(tensor["cosine"] - cosine) < 1e-5, tensor
    a, b = run(model, "out:0", samples()), run(output, "out:0", samples())
    assert told["top1"]["same"] == np.sum(a.argmax(1) == b.argmax(1))


@pytest.mark.parametrize("weights", ["symmetric", "symmetric-per-channel"])
def test_a_repaired_model_becomes_int8(tfquant, weights):
    folder = tfquant.folder / "repaired"
    options = ["--equalize", "--correct-bias", "--weights", weights, "--output-format", "saved-model"]
    tfquant.run("calibrate", DIGITS / "frozen.pb", "--data", DIGITS / "calibration.npy", "-o", folder, *options)
    interpreter = converter.interpreter_of(converter.to_int8(folder))
    results = converter.run(interpreter, np.load(DIGITS / "test.npy"))
    exact = converter.float_results()
    print(f"{converter.right(results):.2f} %, {converter.decibels(exact, results):.2f} dB")
    assert converter.float_tensors(interpreter) == []
    assert abs(converter.right(results) - converter.right(exact)) <= 1.0


def test_a_network_with_relu6_becomes_int8_when_equalized(tfquant):
    model = network(tfquant.folder / "model.pb", tf.nn.relu6)
    np.save(tfquant.folder / "data.npy", samples())
    folder = tfquant.folder / "repaired"
    tfquant.run("calibrate", model, "--data", tfquant.folder / "data.npy", "-o", folder, "--output-format", "saved-model",
                "--equalize", "--weights", "symmetric")
    interpreter = converter.interpreter_of(converter.to_int8(folder))
    assert converter.float_tensors(interpreter) == []
    exact, results = run(model, "out:0", samples()), converter.run(interpreter, samples())
    print(f"{converter.decibels(exact, results):.2f} dB")
    assert converter.decibels(exact, results) > 10
