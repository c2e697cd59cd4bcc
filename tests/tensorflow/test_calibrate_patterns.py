"""Parts of networks that a converter to int8 must be given in one form: calibrated, each becomes integers alone, and right.

That there is something to it is what `converter_corpus.py` shows of each part as it was.
"""

import numpy as np
import pytest
import tensorflow as tf2

import converter_corpus as corpus

tf = tf2.compat.v1
SAMPLES = 16


def conv(x, name, bias=True, size=3):
    with tf.variable_scope(name):
        x = tf.nn.conv2d(x, corpus.values([size, size, x.shape[-1], 4], len(name)), 1, "SAME", name="Conv2D")
        return tf.nn.bias_add(x, corpus.values([4], 2), name="BiasAdd") if bias else x


def add_n(x):
    return tf.nn.relu(tf.add_n([conv(x, "a"), conv(x, "bb"), conv(x, "ccc")]))


def prelu(form):
    alpha = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    forms = {
        "keras": lambda x: tf.nn.relu(x) + (-alpha) * tf.nn.relu(-x),
        "difference": lambda x: tf.nn.relu(x) - alpha * tf.nn.relu(-x),
        "negated": lambda x: tf.nn.relu(x) + alpha * -tf.nn.relu(-x),
    }
    return lambda x: conv(forms[form](conv(x, "first")), "second")


def hard_swish(x):
    x = conv(x, "first")
    return conv(x * (tf.nn.relu6(x + 3.0) * np.float32(1 / 6)), "second")


def bias_of_one_number(x):
    return tf.nn.relu6(conv(x, "first", bias=False) + 3.0)


def excite(x):
    x = tf.nn.relu(conv(x, "first"))
    gate = conv(tf.nn.relu(conv(tf.reduce_mean(x, [1, 2], keepdims=True), "a", size=1)), "bb", False, 1)
    return x * (tf.nn.relu6(gate + 3.0) * np.float32(1 / 6))


def scaled_before(x):
    return tf.nn.relu(conv(x * 2.0 - 1.0, "first"))


def dilated(activation):
    def network(x):
        with tf.variable_scope("first"):
            x = tf.space_to_batch_nd(x, [2, 2], [[2, 2], [2, 2]])
            x = tf.nn.conv2d(x, corpus.values([3, 3, 4, 4], 1), 1, "VALID", name="Conv2D")
            x = tf.batch_to_space_nd(x, [2, 2], [[0, 0], [0, 0]])
            x = activation(tf.nn.bias_add(x, corpus.values([4], 2), name="BiasAdd"))
        return tf.nn.relu(conv(x, "second"))

    return network


PARTS = {
    "dilated": dilated(tf.identity),
    "dilated_relu": dilated(tf.nn.relu),
    "add_n": add_n,
    "prelu_keras": prelu("keras"),
    "prelu_difference": prelu("difference"),
    "prelu_negated": prelu("negated"),
    "hard_swish": hard_swish,
    "bias_of_one_number": bias_of_one_number,
    "excite": excite,
    "scaled_before": scaled_before,
}
FUSED = {"prelu_keras": "PRELU", "prelu_difference": "PRELU", "prelu_negated": "PRELU", "hard_swish": "HARD_SWISH"}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_becomes_integers_alone(tfquant, part):
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [None, 8, 8, 4], name="x")
        tf.identity(PARTS[part](x), name="output")
    graph_def = graph.as_graph_def()
    model, data, output = [tfquant.folder / name for name in ("model.pb", "data.npy", "calibrated.pb")]
    model.write_bytes(graph_def.SerializeToString())
    samples = np.random.RandomState(1).uniform(-1, 1, [SAMPLES, 8, 8, 4]).astype(np.float32)
    np.save(data, samples)
    tfquant.run("calibrate", model, "--data", data, "-o", output, "-q")
    tflite = corpus.convert(tf.GraphDef.FromString(output.read_bytes()), ["x"], ["output"])
    ops = corpus.operators(tflite)
    assert not any(map(corpus.stays_float, ops)) and "QUANTIZE" not in [op["op"] for op in ops]
    assert FUSED.get(part, ops[0]["op"]) in [op["op"] for op in ops]
    made = corpus.interpreter(tflite)
    ends = corpus.ends(tflite, made, ["x"], ["output"])
    got = np.concatenate([corpus.run(made, *ends, {"x": sample[np.newaxis]})["output"][0] for sample in samples])
    wanted = corpus.run_float(graph_def, ["output"], {"x": samples})["output"]
    assert 10 * np.log10(np.sum(wanted**2) / np.sum((got - wanted) ** 2)) > 30
