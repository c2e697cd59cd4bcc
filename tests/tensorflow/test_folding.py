"""Folding by structure keeps what Keras' networks compute: in inference, in training, and with frozen batch norms."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import support

IMAGES = {"input:0": np.random.RandomState(3).normal(0, 1, [8, 8, 8, 3]).astype(np.float32)}
LAYERS = ["behind_bias", "linear", "chained", "depthwise", "dense"]


def build(training, output="output"):
    """A network in which every layer has a batch norm: behind a bias, in front of an activation or the next layer."""
    keras = tf.keras.layers
    tf.keras.backend.set_learning_phase(int(training))
    x = tf.placeholder(tf.float32, [None, 8, 8, 3], name="input")
    x = keras.Conv2D(6, 3, name="behind_bias")(x)
    x = keras.ReLU()(keras.BatchNormalization()(x))
    x = keras.Conv2D(6, 1, use_bias=False, name="linear")(x)
    x = keras.BatchNormalization()(x)
    x = keras.Conv2D(8, 1, name="chained")(x)
    x = keras.ReLU(6)(keras.BatchNormalization()(x))
    x = keras.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = keras.ReLU(6)(keras.BatchNormalization()(x))
    x = keras.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.Conv2D(4, 1, name="dense")(x)
    tf.identity(keras.BatchNormalization()(x), name=output)


def folded(tfquant, training, *options):
    """Loads a network, folded, into the default graph; its variables are set."""
    path = tfquant.folder / "model.meta"
    with tf.Graph().as_default() as graph:
        build(training)
        tf.train.export_meta_graph(str(path), graph=graph)
        with support.session() as session:
            support.randomize(session)
            expected = session.run("output:0", IMAGES)
    result = tfquant.folder / "folded.meta"
    report = tfquant.folder / "report.json"
    mode = "training" if training else "eval"
    tfquant.run("fold", path, "-o", result, "--report", report, "--match", "topology", "--mode", mode, *options)
    tf.train.import_meta_graph(str(result))
    return expected, {entry["layer"].split("/")[0]: entry for entry in support.read_report(report)["batch_norms"]}


def assert_close(actual, expected):
    off = np.abs(actual - expected).max() / np.abs(expected).max()
    assert off < 1e-5, f"off by {off}"


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_folding_keeps_the_output(tfquant, training):
    expected, batch_norms = folded(tfquant, training)
    assert {layer: entry.get("extension") for layer, entry in batch_norms.items()} == {
        "behind_bias": "fold_bias",
        "linear": None,
        "chained": "fold_bias",
        "depthwise": "fold_bias",
        "dense": "fold_bias",
    }
    live = tf.graph_util.extract_sub_graph(tf.get_default_graph().as_graph_def(), ["output"])
    names = {node.name for node in live.node}
    for layer, entry in batch_norms.items():
        assert entry["outcome"] == "folded", entry
        assert entry["folded"] in names, f"{layer}: nothing reads the folded layer"
        assert training or entry["node"] not in names, f"{layer}: its batch norm is still read"
    with support.session() as session:
        support.randomize(session)
        assert_close(session.run("output:0", IMAGES), expected)


def test_gradients_of_training_pass_through_the_fold(tfquant):
    def gradients():
        kernels = sorted(tf.trainable_variables(), key=lambda variable: variable.op.name)
        loss = tf.reduce_sum(tf.sin(support.tensor("output:0")))
        with support.session() as session:
            support.randomize(session)
            return dict(zip((kernel.op.name for kernel in kernels), session.run(tf.gradients(loss, kernels), IMAGES)))

    with tf.Graph().as_default():
        build(training=True)
        expected = gradients()
    folded(tfquant, True)
    for name, gradient in gradients().items():
        off = np.abs(gradient - expected[name]).max()
        assert off < 1e-4 * max(1, np.abs(expected[name]).max()), f"the gradient of {name} is off by {off}"


def test_frozen_batch_norms_compute_what_inference_does(tfquant):
    with tf.Graph().as_default():
        build(training=False)
        with support.session() as session:
            support.randomize(session)
            inferred = session.run("output:0", IMAGES)
    expected, _ = folded(tfquant, True, "--freeze-bn-delay", 2)
    assert np.abs(expected - inferred).max() > 0.1, "batch and moving statistics are the same"
    with support.session() as session:
        support.randomize(session)
        step = [variable for variable in tf.global_variables() if "fake_quantization_step" in variable.op.name]
        assert len(step) == 1
        step[0].load(0, session)
        assert_close(session.run("output:0", IMAGES), expected)
        step[0].load(5, session)
        assert_close(session.run("output:0", IMAGES), inferred)
