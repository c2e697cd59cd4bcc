"""Every range follows its tensor by its rule, and what comes out of a fake quantizer lies on the grid of its range."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import models
import support

DECAY = 0.9
STEPS = 5


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
def test_every_kind_of_layer_is_quantized(tfquant, resource):
    found = tfquant.training_graph(resource=resource)
    roles = {(fake_quant.scope, fake_quant.role) for fake_quant in found}
    assert roles == {
        ("Net/conv/weights_quant", "weights"),
        ("Net/conv/act_quant", "activation"),
        ("Net/depthwise/weights_quant", "weights"),
        ("Net/depthwise/act_quant", "activation"),
        ("Net/block/conv/weights_quant", "weights"),
        ("Net/block/conv/conv_quant", "bypass_input"),
        ("Net/block/act_quant", "activation"),
        ("Net/block/add_quant", "add"),
        ("Net/fc/weights_quant", "weights"),
        ("Net/fc/act_quant", "activation"),
    }
    for fake_quant in found:
        readers = fake_quant.output.consumers()
        assert set(readers) == set(fake_quant.consumers), f"{fake_quant} feeds {readers}"


def test_ranges_start_where_the_reference_starts_them(tfquant):
    found = tfquant.training_graph()
    with support.session() as session:
        for fake_quant in found:
            expected = (0.0 if fake_quant.role == "activation" else -6.0, 6.0)
            assert tuple(session.run([fake_quant.min, fake_quant.max])) == expected, fake_quant


def test_weight_ranges_are_those_of_the_last_weights(tfquant):
    found = [each for each in tfquant.training_graph() if each.role == "weights"]
    with support.session() as session:
        weights = session.run({each: each.tensor for each in found})
        session.run("loss:0", models.batch(1))
        for each in found:
            values = weights[each]
            expected = min(values.min(), 0), max(values.max(), 0)
            assert tuple(session.run([each.min, each.max])) == expected, f"{each}: not the weights' own range"


def test_weight_ranges_hold_zero(tfquant):
    found = [each for each in tfquant.training_graph() if each.role == "weights"]
    with support.session() as session:
        for each in found:
            weights = support.variable(each.tensor.op.name.removesuffix("/read"))
            weights.load(np.abs(session.run(weights)) + 1, session)
        session.run("loss:0", models.batch(1))
        for each in found:
            assert session.run(each.min) == 0, f"{each}: the range of positive weights begins above zero"


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
def test_activation_ranges_are_moving_averages_without_bias(tfquant, resource):
    found = tfquant.training_graph("--ema-decay", DECAY, resource=resource)
    moving = [each for each in found if each.role != "weights"]
    biased = {(each, end): np.float32(0) for each in moving for end in ("min", "max")}
    with support.session() as session:
        for step in range(1, STEPS + 1):
            _, inputs = session.run(["loss:0", {each: each.input for each in moving}], models.batch(step))
            for each in moving:
                extremes = {"min": min(inputs[each].min(), 0), "max": max(inputs[each].max(), 0)}
                for end, value in extremes.items():
                    biased[each, end] -= (biased[each, end] - value) * np.float32(1 - DECAY)
                    expected = biased[each, end] / (1 - DECAY**step)
                    assert_average(session, each, end, step, biased[each, end], expected)


def assert_average(session, fake_quant, end, step, biased, expected):
    """The three variables behind one end of a range hold what the moving average's rule says."""
    name = f"{fake_quant.scope}/{fake_quant.scope}/{end}"
    values = session.run(
        [support.variable(f"{name}/biased"), support.variable(f"{name}/local_step"), getattr(fake_quant, end)]
    )
    what = f"{fake_quant} {end}, step {step}"
    assert np.isclose(values[0], biased, rtol=1e-5, atol=1e-7), f"{what}: biased is {values[0]}, not {biased}"
    assert values[1] == step, f"{what}: counted {values[1]} steps"
    assert np.isclose(values[2], expected, rtol=1e-5, atol=1e-7), f"{what}: is {values[2]}, not {expected}"


@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "narrow"),
    [(8, 8, False), (8, 8, True), (4, 4, False), (4, 8, True), (2, 2, True), (7, 3, False)],
)
def test_outputs_lie_on_the_grid(tfquant, weight_bits, activation_bits, narrow):
    options = ["--weight-bits", weight_bits, "--activation-bits", activation_bits]
    found = tfquant.training_graph(*options, *["--weight-narrow-range"] * narrow)
    with support.session() as session:
        for step in range(3):
            fetches = {each: (each.output, each.input, each.range) for each in found}
            values = session.run([fetches, "loss:0"], models.batch(step))[0]
            for each, (output, original, limits) in values.items():
                bits = weight_bits if each.role == "weights" else activation_bits
                support.assert_on_grid(
                    output, original, limits, bits, narrow and each.role == "weights", f"{each}, step {step}"
                )


def test_an_eval_graph_leaves_its_ranges_alone(tfquant):
    path, report = tfquant.rewrite(tfquant.meta_graph(training=False), "--mode", "eval", "--activation-bits", 4)
    tf.train.import_meta_graph(str(path))
    found = support.fake_quants(report)
    with support.session() as session:
        for each in found:
            each.min.load(-1.0, session)
            each.max.load(2.0, session)
        fetches = {each: (each.output, each.input) for each in found}
        for each, (output, original) in session.run(fetches, models.images(1)).items():
            bits = 8 if each.role == "weights" else 4
            support.assert_on_grid(output, original, (-1.0, 2.0), bits, False, str(each))
            assert session.run([each.min, each.max]) == [-1.0, 2.0], f"{each}: the range moved"
