"""From a float model to an int8 one: `tfquant calibrate`, then today's converter, then its interpreter.

The network is that of testdata/digits in each form in which models are published. What comes out is as right as the float
model and as the converter's own post-training quantization on the same samples, and holds no float tensor.
"""

import pathlib

import numpy as np
import pytest
import tensorflow as tf2
from tensorflow.python.eager import context

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
    assert fidelity >= own[1] - 0.2


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
