"""Checkpoints from before the rewrite, of the training graph and of the eval graph fit where they should."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import models
import support

OPTIONS = ["--weight-bits", 6, "--weight-narrow-range"]


def values_of(session, variables):
    return {variable.op.name: session.run(variable) for variable in variables}


def assert_same(values, expected):
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(values[name], value), f"{name} has another value"


@pytest.fixture(params=[False, True], ids=["reference", "resource"])
def resource(request):
    return request.param


@pytest.fixture
def trained(tfquant, resource):
    """A checkpoint of a quantized graph after some training, and what that graph computes with its ranges held."""
    with tf.Graph().as_default():
        found = tfquant.training_graph(*OPTIONS, resource=resource)
        model_variables = tf.global_variables()
        train = support.minimize_loss()
        with support.session() as session:
            for step in range(10):
                session.run(train, models.batch(step))
            path = tf.train.Saver().save(session, str(tfquant.folder / "quantized"))
            limits = {
                end: session.run(variable)
                for each in found
                for end, variable in zip(each.range, (each.min, each.max))
            }
            values = values_of(session, model_variables)
            outputs = session.run("Net/Predictions:0", {**models.images(99), **limits})
            held = values_of(session, model_variables)
            assert_same(held, values)
    return path, values, outputs


def test_a_quantized_checkpoint_comes_back(tfquant, trained, resource):
    path, values, _ = trained
    tfquant.training_graph(*OPTIONS, resource=resource)
    with tf.Session() as session:
        tf.train.Saver().restore(session, path)
        assert not session.run(tf.report_uninitialized_variables()).size
        assert_same(values_of(session, tf.global_variables()), values)


def test_the_eval_graph_computes_what_the_training_graph_did(tfquant, trained, resource):
    path, values, outputs = trained
    model = tfquant.meta_graph("eval.meta", training=False, resource=resource)
    quantized, report = tfquant.rewrite(model, "--mode", "eval", *OPTIONS)
    tf.train.import_meta_graph(str(quantized))
    found = support.fake_quants(report)
    with tf.Session() as session:
        tf.train.Saver().restore(session, path)
        for each in found:
            assert session.run(each.max) == values[each.max.op.name], f"{each}: another range"
        evaluated = session.run("Net/Predictions:0", models.images(99))
    assert np.array_equal(evaluated, outputs), f"off by up to {np.abs(evaluated - outputs).max()}"


def test_a_float_checkpoint_fits_the_old_variables(tfquant, resource):
    model = tfquant.meta_graph(resource=resource)
    with tf.Graph().as_default():
        tf.train.import_meta_graph(str(model))
        with support.session() as session:
            path = tf.train.Saver().save(session, str(tfquant.folder / "float"))
            values = values_of(session, tf.global_variables())
    quantized, report = tfquant.rewrite(model)
    tf.train.import_meta_graph(str(quantized))
    old = [variable for variable in tf.global_variables() if variable.op.name in values]
    with support.session() as session:
        tf.train.Saver(old).restore(session, path)
        assert_same(values_of(session, old), values)
    new = {variable.op.name for variable in tf.global_variables()} - values.keys()
    assert new == set(report["variables"]), "the report does not list the new variables"


def test_the_float_models_own_saver_still_works(tfquant, resource):
    model = tfquant.folder / "with_saver.meta"
    with tf.Graph().as_default():
        models.build(resource=resource)
        saver = tf.train.Saver()
        with support.session() as session:
            path = saver.save(session, str(tfquant.folder / "float"), write_meta_graph=False)
            values = values_of(session, tf.global_variables())
        saver.export_meta_graph(str(model))
    quantized, report = tfquant.rewrite(model)
    assert [warning["code"] for warning in report["warnings"]] == ["saver_misses_variables"]
    saver = tf.train.import_meta_graph(str(quantized))
    old = [variable for variable in tf.global_variables() if variable.op.name in values]
    with tf.Session() as session:
        saver.restore(session, path)
        assert_same(values_of(session, old), values)
