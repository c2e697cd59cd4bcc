"""Ranges that are constants: those of weights are the weights' own, in whatever type a frozen graph stores them."""

import json
import subprocess

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

SHAPE = [3, 3, 2, 4]


def frozen(folder, dtype):
    """A convolution whose weights are stored in that type; what they are as 32-bit floats."""
    values = np.random.RandomState(1).normal(0, 0.5, SHAPE)
    with tf.Graph().as_default() as graph:
        stored = tf.constant(values, dtype, name="net/conv/weights")
        weights = tf.cast(stored, tf.float32) if dtype != tf.float32 else stored
        x = tf.placeholder(tf.float32, [1, 8, 8, 2], name="x")
        with tf.name_scope("net/conv/"):
            tf.nn.relu(tf.nn.conv2d(x, weights, 1, "SAME", name="Conv2D"), name="Relu")
        path = folder / "frozen.pb"
        path.write_bytes(graph.as_graph_def().SerializeToString())
        with tf.Session(graph=graph) as session:
            return path, session.run(weights)


def weight_ranges(tfquant, model):
    """Lower and upper ends of each channel, of the only fake quantizer of weights."""
    told = subprocess.check_output([str(tfquant.binary), "ranges", str(model), "--json"])
    rows = [row for row in json.loads(told)["ranges"] if row["weights"]]
    assert len(rows) == 1
    return np.array([[each["min"], each["max"]] for each in rows[0]["channels"]], np.float32)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64, tf.float16, tf.bfloat16], ids=lambda dtype: dtype.name)
def test_weights_of_any_type_say_their_ranges(tfquant, dtype):
    path, weights = frozen(tfquant.folder, dtype)
    ranges = ["--default-range=-6,6", "--input-range=-1,1"]
    output, _ = tfquant.rewrite(path, "--mode", "eval", "--target", "litert-int8", *ranges)
    bounds = np.abs(weights).max((0, 1, 2))
    assert np.array_equal(weight_ranges(tfquant, output), np.stack([-bounds, bounds], 1))
    output, _ = tfquant.rewrite(path, "--mode", "eval", "--ranges", "const", *ranges)
    assert np.array_equal(weight_ranges(tfquant, output), [[weights.min(), weights.max()]])
