"""A real network, exported by an old TensorFlow, rewritten and trained for a step by a recent one."""

import pathlib

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import support

MOBILENET = pathlib.Path(__file__).parents[2] / "testdata" / "mobilenet_v1.meta"
LAYERS = 28


@pytest.mark.parametrize("options", [[], ["--quant-delay", 2000]], ids=["at once", "delayed"])
def test_mobilenet_takes_a_training_step(tfquant, options):
    path, report = tfquant.rewrite(MOBILENET, *options)
    tf.train.import_meta_graph(str(path))
    found = support.fake_quants(report)
    assert report["summary"]["quantized"] == LAYERS
    assert len(found) == 2 * LAYERS
    labels = tf.one_hot([1, 2], support.tensor("MobilenetV1/Predictions:0").shape[-1])
    loss = tf.losses.softmax_cross_entropy(labels, support.tensor("MobilenetV1/Logits/SpatialSqueeze:0"))
    train = tf.train.GradientDescentOptimizer(0.01).minimize(loss, tf.train.get_global_step())
    feed = {"input:0": np.random.RandomState(0).uniform(-1, 1, [2, 128, 128, 3])}
    with support.session() as session:
        before = session.run({variable.op.name: variable for variable in tf.trainable_variables()})
        outputs = {each: (each.output, each.input, each.range) for each in found}
        first, values = session.run([loss, outputs], feed)
        for each, (output, original, limits) in values.items():
            support.assert_on_grid(output, original, limits, 8, False, str(each))
            assert tuple(session.run([each.min, each.max])) == tuple(limits), f"{each}: not the range in use"
        session.run(train, feed)
        after = session.run({variable.op.name: variable for variable in tf.trainable_variables()})
        assert np.isfinite(first)
        assert session.run(tf.train.get_global_step()) == 1
    still = [name for name in before if np.array_equal(before[name], after[name])]
    assert not still, f"no gradient reaches {still}"
