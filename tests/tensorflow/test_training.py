"""A rewritten graph trains: gradients pass the fake quantizers, and an optimizer added afterwards lowers the loss."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import models
import support

STEPS = 60


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
@pytest.mark.parametrize("options", [[], ["--weight-bits", 4, "--activation-bits", 4], ["--quant-delay", 20]])
def test_the_loss_falls(tfquant, options, resource):
    tfquant.training_graph(*options, resource=resource)
    train = support.minimize_loss()
    with support.session() as session:
        losses = [session.run(["loss:0", train], models.batch(step))[0] for step in range(STEPS)]
        assert session.run(tf.train.get_global_step()) == STEPS
    first, last = np.mean(losses[:5]), np.mean(losses[-5:])
    assert last < first / 2, f"the loss went from {first} to {last}"


def test_training_moves_no_range_variable_but_by_its_update(tfquant):
    found = tfquant.training_graph()
    trainable = {variable.op.name for variable in tf.trainable_variables()}
    assert trainable == {f"{layer}/biases" for layer in models.LAYERS} | {
        f"{layer}/{'depthwise_' * (layer == 'Net/depthwise')}weights" for layer in models.LAYERS
    }
    averaged = {variable.op.name for variable in tf.moving_average_variables()}
    for each in found:
        for end in (each.min, each.max):
            assert end.op.name in averaged, f"{end.op.name} is not in the variables' collection"
            assert end in tf.model_variables(), f"{end.op.name} is no model variable"


def test_the_update_barrier_runs_every_update(tfquant):
    found = tfquant.training_graph()
    graph = tf.get_default_graph()
    updates = tf.get_collection("update_quant_ops")
    assert len(updates) == 2 * len(found)
    assert set(graph.get_operation_by_name("update_barrier").control_inputs) == set(updates)
    with support.session() as session:
        session.run("update_barrier", models.images(1))
        for each in found:
            limits = tuple(session.run([each.min, each.max]))
            assert limits not in ((0.0, 6.0), (-6.0, 6.0)), f"{each}: the range is the initial one"


def test_the_update_op_runs_every_update(tfquant):
    found = tfquant.training_graph("--update-op", "update_ranges")
    with support.session() as session:
        session.run("update_ranges", models.images(1))
        for each in found:
            limits = tuple(session.run([each.min, each.max]))
            assert limits not in ((0.0, 6.0), (-6.0, 6.0)), f"{each}: the range is the initial one"
