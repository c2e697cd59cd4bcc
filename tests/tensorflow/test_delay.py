"""With --quant-delay, activations pass as they are until the global step is there; ranges follow them all the while."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import models
import support

DELAY = 3


def seen_by_consumers(fake_quant):
    """The tensors that the layers behind a fake quantizer read now."""
    reach = {fake_quant.output, fake_quant.tensor}
    ops = tf.get_default_graph().get_operations()
    for op in ops:
        if op.name.startswith(f"{fake_quant.scope}/delayed_quant") and reach & set(op.inputs):
            reach |= set(op.outputs)
    return {tensor for consumer in fake_quant.consumers for tensor in consumer.inputs if tensor in reach}


def test_activations_are_quantized_from_the_delay_on(tfquant):
    found = tfquant.training_graph("--quant-delay", DELAY)
    step = tf.train.get_global_step()
    seen = {each: seen_by_consumers(each) for each in found}
    for each, tensors in seen.items():
        assert len(tensors) == 1, f"{each}: its consumers read {tensors}"
        delayed = next(iter(tensors)).op.type == "Merge"
        assert delayed == (each.role != "weights"), f"{each}: weights alone are quantized from the start"
    with support.session() as session:
        for now in range(DELAY + 3):
            step.load(now, session)
            fetches = {each: (*tensors, each.input, each.output) for each, tensors in seen.items()}
            values = session.run([fetches, "loss:0"], models.batch(now))[0]
            for each, (read, original, quantized) in values.items():
                active = now >= DELAY or each.role == "weights"
                expected = quantized if active else original
                assert np.array_equal(read, expected), f"{each} at step {now}: wrong side of the switch"
                assert not np.array_equal(original, quantized), f"{each}: quantizing changed nothing"


def test_ranges_move_before_the_delay_is_over(tfquant):
    found = tfquant.training_graph("--quant-delay", 1000)
    ends = {each: (each.min, each.max) for each in found}
    with support.session() as session:
        before = session.run(ends)
        session.run("loss:0", models.batch(1))
        after = session.run(ends)
    for each in found:
        assert before[each] != after[each], f"{each}: the range did not move"


def test_gradients_pass_on_both_sides_of_the_delay(tfquant):
    tfquant.training_graph("--quant-delay", DELAY)
    step = tf.train.get_global_step()
    gradients = tf.gradients(support.tensor("loss:0"), tf.trainable_variables())
    with support.session() as session:
        for now in (0, DELAY):
            step.load(now, session)
            for variable, value in zip(tf.trainable_variables(), session.run(gradients, models.batch(1))):
                assert np.any(value), f"step {now}: nothing reaches {variable.op.name}"


@pytest.mark.parametrize("container", ["meta", "pb"])
def test_a_missing_global_step_is_made(tfquant, container):
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.float32, [None, 4, 4, 3], name="images")
        with tf.variable_scope("Net"):
            models.Layers(resource=False).conv(images, "conv", 2, tf.nn.relu)
        tf.global_variables_initializer()
        path = tfquant.folder / f"stepless.{container}"
        if container == "meta":
            tf.train.export_meta_graph(str(path), graph=graph)
        else:
            path.write_bytes(graph.as_graph_def().SerializeToString())
    path, report = tfquant.rewrite(path, "--quant-delay", 2, "--init-op", "init_ranges")
    assert report["created_global_step"] == "global_step", "the report does not tell of the new global step"
    feed = {"images:0": np.ones([1, 4, 4, 3])}
    with tf.Session() as session:
        if container == "meta":
            tf.train.import_meta_graph(str(path))
            assert tf.train.get_global_step().op.name == "global_step", "not in the global_step collection"
            session.run(tf.global_variables_initializer())
        else:
            tf.import_graph_def(support.read_graph_def(path), name="")
            session.run(["init", "init_ranges"])
        assert session.run("global_step:0") == 0
        session.run("Net/conv/act_quant/delayed_quant/Merge:0", feed)
