"""What names cannot tell: Keras' networks and frozen graphs are quantized by structure, train, and are evaluated."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import models
import support

DECAY = 0.9
STEPS = 4


def build(training):
    """A network of Keras' layers with batch norms, and a loss for training."""
    keras = tf.keras.layers
    tf.keras.backend.set_learning_phase(int(training))
    images = tf.placeholder(tf.float32, [None, models.SIZE, models.SIZE, 3], name="images")
    x = keras.Conv2D(8, 3, padding="same", use_bias=False)(images)
    x = shortcut = keras.ReLU(6)(keras.BatchNormalization()(x))
    x = keras.DepthwiseConv2D(3, padding="same")(x)
    x = keras.ReLU()(keras.BatchNormalization()(x))
    x = keras.Conv2D(8, 1)(x)
    x = keras.BatchNormalization()(x)
    x = keras.ReLU()(keras.Add()([x, shortcut]))
    x = keras.SeparableConv2D(8, 3, activation="relu")(x)
    logits = keras.Dense(models.CLASSES)(keras.Flatten()(x))
    tf.nn.softmax(logits, name="classes")
    tf.train.get_or_create_global_step()
    if training:
        labels = tf.placeholder(tf.int64, [None], name="labels")
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        tf.reduce_mean(losses, name="loss")


def rewritten(tfquant, training):
    """Loads the rewritten network into the default graph; returns its fake quantizers."""
    path = tfquant.folder / f"keras_{training}.meta"
    with tf.Graph().as_default() as graph:
        build(training)
        tf.train.export_meta_graph(str(path), graph=graph)
    options = ["--match", "topology", "--mode", "training" if training else "eval", "--ema-decay", DECAY]
    path, report = tfquant.rewrite(path, *options, fold=True)
    tf.train.import_meta_graph(str(path))
    assert report["summary"]["skipped"].keys() <= {"folded_twin"}, "a layer was skipped"
    return support.fake_quants(report)


def frozen(tfquant):
    """Loads a rewritten frozen network, whose ranges follow the data, into the default graph."""
    path = tfquant.folder / "frozen.pb"
    with tf.Graph().as_default() as graph:
        build(training=False)
        with support.session() as session:
            support.randomize(session)
            graph_def = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["classes"])
    path.write_bytes(graph_def.SerializeToString())
    options = ["--match", "topology", "--init-op", "init_ranges", "--ema-decay", DECAY]
    path, report = tfquant.rewrite(path, *options, fold=True)
    tf.import_graph_def(support.read_graph_def(path), name="")
    assert {layer.get("extension") for layer in report["layers"] if layer["fake_quants"]} > {"const_weights"}
    return support.fake_quants(report)


def is_live(found, output):
    """The fake quantizers that the output depends on."""
    graph_def = tf.graph_util.extract_sub_graph(tf.get_default_graph().as_graph_def(), [output])
    names = {node.name for node in graph_def.node}
    return [each for each in found if each.op.name in names]


def limits(session, fake_quant):
    return tuple(session.run([support.value_of(name) for name in fake_quant.range_ops]))


@pytest.mark.parametrize("kind", ["keras", "frozen"])
def test_ranges_follow_and_outputs_lie_on_the_grid(tfquant, kind):
    found = frozen(tfquant) if kind == "frozen" else rewritten(tfquant, training=True)
    dead = set(found) - set(is_live(found, "classes"))
    assert not dead, f"nothing depends on {dead}"
    averages = {}
    with support.session() as session:
        if kind == "frozen":
            session.run("init_ranges")
        for step in range(1, STEPS + 1):
            fetches = {each: (each.output, each.input, each.range) for each in found}
            values = session.run([fetches, "classes:0"], models.images(step))[0]
            for each, (output, original, in_use) in values.items():
                what = f"{each}, step {step}"
                weights = each.role == "weights"
                support.assert_on_grid(output, original, in_use, 8, weights, what)
                extremes = np.array([min(original.min(), 0), max(original.max(), 0)])
                if not weights:
                    average = averages.get(each, np.zeros(2))
                    averages[each] = average - (average - extremes) * (1 - DECAY)
                    extremes = averages[each] / (1 - DECAY**step)
                assert np.allclose(limits(session, each), extremes, rtol=1e-4, atol=1e-6), f"{what}: range off"


def test_a_keras_network_trains_and_its_eval_graph_computes_the_same(tfquant):
    with tf.Graph().as_default():
        found = rewritten(tfquant, training=True)
        names = {variable.op.name for variable in tf.global_variables()}
        train = support.minimize_loss()
        with support.session() as session:
            losses = [session.run(["loss:0", train], models.batch(step))[0] for step in range(60)]
            assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 2, losses
            path = tf.train.Saver().save(session, str(tfquant.folder / "quantized"))
            weights = {each.op.name: limits(session, each) for each in found}
    found = rewritten(tfquant, training=False)
    missing = {variable.op.name for variable in tf.global_variables()} - names
    assert not missing, f"the training graph has no {missing}"
    with tf.Session() as session:
        tf.train.Saver().restore(session, path)
        assert {each.op.name: limits(session, each) for each in found} == weights
        fetches = {each: (each.output, each.input) for each in found}
        values, classes = session.run([fetches, "classes:0"], models.images(99))
        for each, (output, original) in values.items():
            support.assert_on_grid(output, original, limits(session, each), 8, each.role == "weights", str(each))
    assert np.allclose(classes.sum(axis=1), 1, atol=1e-5)
