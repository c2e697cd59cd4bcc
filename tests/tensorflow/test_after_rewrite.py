"""What comes after a rewrite by structure: restoring a float checkpoint, initialising, training, as the README says."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import models
import support
from test_topology import build

README = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
RECIPES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
STEPS = 40


def export(path, resource):
    with tf.Graph().as_default() as graph, tf.variable_scope("", use_resource=resource):
        tf.set_random_seed(1)
        build(training=True)
        with support.session() as session:
            tf.train.Saver().save(session, str(path.with_suffix(".ckpt")), write_meta_graph=False)
            values = {variable.op.name: session.run(variable) for variable in tf.global_variables()}
        tf.train.export_meta_graph(str(path), graph=graph)
    return values


@pytest.mark.parametrize("delay", [0, 10])
def test_ranges_of_a_model_on_resource_variables_are_resources_and_train(tfquant, delay):
    path = tfquant.folder / "float.meta"
    export(path, resource=True)
    path, report = tfquant.rewrite(path, "--match", "topology", "--quant-delay", delay, fold=True)
    tf.train.import_meta_graph(str(path))
    graph = tf.get_default_graph()
    assert report["options"]["resource_variables"]
    assert {graph.get_operation_by_name(name).type for name in report["variables"]} == {"VarHandleOp"}
    known = {variable.op.name for variable in tf.global_variables()}
    assert set(report["variables"]) <= known
    found = support.fake_quants(report)
    train = support.minimize_loss()
    with support.session() as session:
        losses = [session.run(["loss:0", train], models.batch(step))[0] for step in range(STEPS)]
        ends = session.run([end for each in found for end in (each.min, each.max)])
        steps = session.run([v for v in tf.global_variables() if v.op.name.endswith("/local_step")])
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 2, losses
    assert not set(np.asarray(ends, np.float32).tolist()) & {-6.0}, "a range was never updated"
    assert set(np.asarray(steps).tolist()) == {float(STEPS)}, "an average missed an update"


def test_a_float_checkpoint_is_restored_without_the_new_variables(tfquant, monkeypatch):
    path = tfquant.folder / "float.meta"
    values = export(path, resource=False)
    path, report = tfquant.rewrite(path, "--match", "topology", output="report.meta", fold=True)
    tf.train.import_meta_graph(str(path))
    monkeypatch.chdir(tfquant.folder)
    [recipe] = [recipe for recipe in RECIPES if "saver.restore" in recipe]
    with tf.Session() as session:
        exec(recipe, {"tf": tf, "json": support.json, "session": session})  # noqa: S102
        for name, value in values.items():
            np.testing.assert_array_equal(session.run(support.variable(name)), value)
        assert session.run(tf.report_uninitialized_variables()).size == 0
    with pytest.raises(tf.errors.NotFoundError), tf.Session() as session:
        tf.train.Saver().restore(session, "float.ckpt")


def test_the_init_op_initialises_all_that_is_new_in_a_graph_without_collections(tfquant):
    path = tfquant.folder / "float.pb"
    with tf.Graph().as_default() as graph, tf.variable_scope("", use_resource=True):
        build(training=True)
        path.write_bytes(graph.as_graph_def().SerializeToString())
    path, report = tfquant.rewrite(path, "--match", "topology", "--init-op", "init_new", fold=True)
    assert report["init_op"] == "init_new"
    tf.import_graph_def(support.read_graph_def(path), name="")
    graph = tf.get_default_graph()
    with tf.Session() as session:
        session.run("init_new")
        for name in report["variables"]:
            assert session.run(f"{name}/IsInitialized/VarIsInitializedOp:0"), name
    assert len(report["initializers"]) == len(report["variables"]) > 0
    assert not graph.get_all_collection_keys()


def test_the_gradient_to_register_is_told(tfquant):
    path = tfquant.folder / "float.meta"
    export(path, resource=False)
    _, report = tfquant.rewrite(path, "--match", "topology", fold=True)
    [told] = [warning["python"] for warning in report["warnings"] if warning["code"] == "gradient_to_register"]
    assert told in RECIPES, "the README shows other lines than the warning"
    assert told == support.FOLD_GRADIENT.read_text()


@pytest.mark.parametrize(("data_format", "axes"), [("NHWC", [0, 1, 2]), ("NCHW", [0, 2, 3])])
def test_the_gradient_to_register_is_that_of_mean_and_unbiased_variance(data_format, axes):
    shape = [4, 3, 2, 5] if data_format == "NHWC" else [4, 5, 3, 2]
    x = tf.constant(np.random.RandomState(3).normal(1, 2, shape).astype(np.float32))
    weights = [tf.constant(np.random.RandomState(seed).normal(size=5).astype(np.float32)) for seed in (4, 5)]
    empty = tf.constant(np.zeros(0, np.float32))
    with tf.get_default_graph().gradient_override_map({"FusedBatchNormV3": "FoldFusedBatchNormGrad"}):
        norm = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=tf.ones(5), offset=tf.zeros(5), mean=empty, variance=empty, is_training=True, data_format=data_format
        )
    mean, variance = tf.nn.moments(x, axes)
    unbiased = variance * 24 / 23

    def gradient(statistics):
        return tf.gradients(sum(tf.reduce_sum(w * s) for w, s in zip(weights, statistics)), x)[0]

    with tf.Session() as session:
        # Not every CPU has a kernel for NCHW; the gradient reads nothing of the op but this.
        ran = {norm.batch_mean: session.run(mean)}
        ours, theirs = session.run([gradient([norm.batch_mean, norm.batch_variance]), gradient([mean, unbiased])], ran)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
