"""From a float model to an int8 one: `tfquant calibrate`, then today's converter, then its interpreter.

The network is that of testdata/digits in each form in which models are published. What comes out is as right as the float
model and as the converter's own post-training quantization on the same samples, and holds no float tensor.
"""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf2
from tensorflow.python.eager import context
from tensorflow.python.training import moving_averages

import support

tf = tf2.compat.v1
DIGITS = pathlib.Path(__file__).parents[2] / "testdata" / "digits"
FORMS = {
    "frozen graph": ["frozen.pb"],
    "SavedModel": ["saved_model"],
    "checkpoint": ["eval.meta", "--checkpoint", DIGITS / "checkpoint" / "model.ckpt"],
}


def to_int8(folder, samples=None):
    """What the converter makes of a SavedModel; by its own quantization, if it is given samples."""
    # With eager execution off, as in tests of version 1, TensorFlow would take another converter.
    with context.eager_mode():
        converter = tf2.lite.TFLiteConverter.from_saved_model(str(folder))
        converter.optimizations = [tf2.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = tf2.int8
        if samples is not None:
            converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
        return converter.convert()


def interpreter_of(model):
    try:
        kind = tf2.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = tf2.lite.Interpreter(model_content=model, experimental_op_resolver_type=kind)
    except AttributeError:
        from ai_edge_litert import interpreter as litert

        interpreter = litert.Interpreter(model_content=model)
    interpreter.allocate_tensors()
    return interpreter


def float_tensors(interpreter):
    return [tensor["name"] for tensor in interpreter.get_tensor_details() if tensor["dtype"] == np.float32]


def run(interpreter, images):
    """What the model says of each image, as real numbers."""
    (taken,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    results = []
    for image in images:
        fed = image[None]
        if taken["dtype"] != np.float32:
            scale, zero = taken["quantization"]
            limits = np.iinfo(taken["dtype"])
            fed = np.clip(np.round(fed / scale) + zero, limits.min, limits.max).astype(taken["dtype"])
        interpreter.set_tensor(taken["index"], fed)
        interpreter.invoke()
        result = interpreter.get_tensor(made["index"])[0]
        if made["dtype"] != np.float32:
            scale, zero = made["quantization"]
            result = (result.astype(np.float32) - zero) * scale
        results.append(result)
    return np.array(results)


def decibels(exact, other):
    return 10 * np.log10(np.sum(exact**2) / np.sum((exact - other) ** 2))


def array(name):
    return np.load(DIGITS / f"{name}.npy")


def right(results):
    return 100 * np.mean(np.argmax(results, 1) == array("labels"))


def float_results():
    graph_def = support.read_graph_def(DIGITS / "frozen.pb")
    with tf.Graph().as_default(), support.session() as session:
        tf.import_graph_def(graph_def, name="")
        return session.run("Digits/probabilities:0", {"image:0": array("test")})


@pytest.fixture(scope="module")
def exact():
    return float_results()


@pytest.fixture(scope="module")
def own(exact):
    results = run(interpreter_of(to_int8(DIGITS / "saved_model", array("calibration"))), array("test"))
    return right(results), decibels(exact, results)


def calibrate(tfquant, form, output, *options):
    model, *rest = FORMS[form]
    data = DIGITS / "calibration.npy"
    tfquant.run("calibrate", DIGITS / model, *rest, "--data", data, "-o", output, *options)


@pytest.mark.parametrize("form", FORMS)
def test_becomes_int8_and_stays_right(tfquant, form, exact, own):
    folder = tfquant.folder / f"int8 {form}"
    calibrate(tfquant, form, folder, "--output-format", "saved-model")
    model = to_int8(folder)
    interpreter = interpreter_of(model)
    results = run(interpreter, array("test"))
    accuracy, fidelity = right(results), decibels(exact, results)
    print(f"{form}: {accuracy:.2f} %, {fidelity:.2f} dB, {len(model)} bytes; float {right(exact):.2f} %, own {own}")
    assert float_tensors(interpreter) == []
    assert abs(accuracy - right(exact)) <= 0.5
    assert abs(accuracy - own[0]) <= 0.5
    assert fidelity >= own[1]


def test_the_fastest_method_is_as_near_as_the_converter_s_own(tfquant, exact, own):
    folder = tfquant.folder / "minmax"
    calibrate(tfquant, "frozen graph", folder, "--output-format", "saved-model", "--method", "minmax")
    results = run(interpreter_of(to_int8(folder)), array("test"))
    print(f"minmax: {right(results):.2f} %, {decibels(exact, results):.2f} dB; own {own}")
    assert abs(right(results) - right(exact)) <= 0.5
    assert decibels(exact, results) >= own[1] - 0.2


def test_becomes_uint8_per_tensor(tfquant, exact):
    output = tfquant.folder / "uint8.pb"
    calibrate(tfquant, "frozen graph", output, "--target", "litert-uint8")
    converter = tf2.compat.v1.lite.TFLiteConverter.from_frozen_graph(str(output), ["image"], ["Digits/probabilities"])
    converter.inference_type = tf2.uint8
    converter.quantized_input_stats = {"image": (0, 255)}
    interpreter = interpreter_of(converter.convert())
    assert interpreter.get_input_details()[0]["dtype"] == np.uint8
    assert float_tensors(interpreter) == []
    results = run(interpreter, array("test"))
    print(f"uint8: {right(results):.2f} %, {decibels(exact, results):.2f} dB")
    assert abs(right(results) - right(exact)) <= 1.0


# Bins of the histogram that percentile, mse and entropy go by.
BINS = 2048
LEVELS = 255


def ranges_by(tfquant, method, *options):
    """What each group of tensors that share a range was given, by the tensors' names."""
    output, report = tfquant.folder / "q.pb", tfquant.folder / "report.json"
    calibrate(tfquant, "frozen graph", output, "--method", method, "--report", report, *options)
    groups = {}
    for entry in json.loads(report.read_text())["ranges"]:
        ends = entry["min"], entry["max"]
        groups.setdefault(ends if entry["shared"] else entry["tensor"], (ends, []))[1].append(entry["tensor"])
    return {tuple(tensors): ends for ends, tensors in groups.values()}


def values_of(names):
    """What TensorFlow makes of each calibration sample in these tensors: an array for each tensor, samples first."""
    graph_def = support.read_graph_def(DIGITS / "frozen.pb")
    with tf.Graph().as_default(), support.session() as session:
        tf.import_graph_def(graph_def, name="")
        return session.run(list(names), {"image:0": array("calibration")})


def each_range(tfquant, method, *options):
    """For each tensor with a range of its own, its values and the range that the method gave it."""
    found = ranges_by(tfquant, method, *options)
    alone = {tensors[0]: ends for tensors, ends in found.items() if len(tensors) == 1}
    assert len(alone) >= 5
    return list(zip(values_of(alone), alone.values()))


def reach(values):
    """The power of two that all values lie below."""
    return 2.0 ** (np.floor(np.log2(np.abs(values).max())) + 1)


def test_minmax_is_what_tensorflow_computes(tfquant):
    found = ranges_by(tfquant, "minmax")
    assert any(len(tensors) > 1 for tensors in found), "the inputs of the concatenation share a range"
    for tensors, ends in found.items():
        values = np.concatenate([values.ravel() for values in values_of(tensors)])
        np.testing.assert_allclose(ends, [min(values.min(), 0), max(values.max(), 0)], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decay", [0.9, 0.999])
def test_moving_averages_are_those_of_a_training_rewrite(tfquant, decay):
    """The rewriter's own op over the same samples: `assign_moving_average`, as it calls it."""
    for values, ends in each_range(tfquant, "moving-average", "--ema-decay", decay):
        per_sample = values.reshape(len(values), -1)
        lowest, highest = np.minimum(per_sample.min(1), 0), np.maximum(per_sample.max(1), 0)
        with tf.Graph().as_default():
            seen = tf.placeholder(tf.float32, [2])
            average = tf.get_variable("range", initializer=tf.constant([-6.0, 6.0]), use_resource=False)
            update = moving_averages.assign_moving_average(average, seen, decay, name="AssignMovingAvg")
            with support.session() as session:
                for sample in zip(lowest, highest):
                    session.run(update, {seen: sample})
                expected = session.run(average)
        # Without anything taken off for the start, the first samples would hardly count.
        np.testing.assert_allclose(ends, expected, rtol=2e-3 if decay > 0.99 else 1e-4, atol=1e-5)


@pytest.mark.parametrize("percent", [99.0, 99.9])
def test_percentiles_are_numpys(tfquant, percent):
    for values, ends in each_range(tfquant, "percentile", "--percentile", percent):
        lowest = np.percentile(values, 100 - percent, method="lower")
        highest = np.percentile(values, percent, method="higher")
        # Ends lie on edges of bins.
        np.testing.assert_allclose(ends, [min(lowest, 0), max(highest, 0)], atol=4 * reach(values) / BINS)


def rounded(values, low, high):
    scale = (high - low) / LEVELS
    return np.clip(np.round(values / scale), np.round(low / scale), np.round(high / scale)) * scale


def test_mse_finds_the_least_error(tfquant):
    """No pair of ends, of many tried, makes much less of an error."""
    for values, ends in each_range(tfquant, "mse"):
        values = values.ravel().astype(np.float64)
        error = lambda low, high: np.mean((values - rounded(values, low, high)) ** 2)
        parts = np.linspace(0.2, 1, 17)
        lows, highs = min(values.min(), 0) * parts, max(values.max(), 0) * parts
        least = min(error(low, high) for low in np.unique(lows) for high in np.unique(highs) if high > low)
        assert error(*ends) <= 1.1 * least, f"{ends}: {error(*ends)} instead of {least}"


def divergence(counts, start, end):
    """Of Kullback and Leibler: the histogram with all that is outside at its ends, from what the levels tell of it."""
    inside, real = counts[start:end].astype(float), counts[start:end].astype(float)
    real[0] += counts[:start].sum()
    real[-1] += counts[end:].sum()
    told = np.full(len(inside), 1e-4 / counts.sum())
    levels = min(LEVELS, len(inside))
    for level in range(levels):
        part = slice(level * len(inside) // levels, (level + 1) * len(inside) // levels)
        filled = inside[part] > 0
        told[part][filled] = inside[part].sum() / filled.sum() / inside.sum() if filled.any() else 0
    real /= real.sum()
    held = real > 0
    return np.sum(real[held] * np.log(real[held] / told[held]))


def test_entropy_finds_the_least_divergence(tfquant):
    for values, (low, high) in each_range(tfquant, "entropy"):
        values = values[values != 0].astype(np.float64)
        width = 2 * reach(values) / BINS
        counts, _ = np.histogram(values, BINS, (-reach(values), reach(values)))
        below = int(np.ceil(-min(values.min(), 0) / width))
        above = int(values.max() / width) + 1 if values.max() > 0 else 0
        middle = BINS // 2
        of = lambda reached: divergence(counts, middle - min(reached, below), middle + min(reached, above))
        furthest = max(below, above)
        nearest = min(-(-LEVELS // ((below > 0) + (above > 0))), furthest)
        # What was kept whole is told as its extremes, which need not be edges of bins.
        is_whole = high >= values.max() and low <= min(values.min(), 0)
        chosen = furthest if is_whole else int(np.round(max(-low, high) / width))
        least = min(of(reached) for reached in range(nearest, furthest + 1))
        assert of(min(max(chosen, nearest), furthest)) <= 1.05 * least + 1e-4, f"[{low}, {high}]: {chosen} of {furthest}"
