"""`tfquant convert-script`: what it prints, run as it is, converts the model."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf2

from test_calibrate import array, calibrate, decibels, exact, float_tensors, interpreter_of, right, run  # noqa: F401

tf = tf2.compat.v1
FORMS = {"binary": ["q.pb"], "text": ["q.pbtxt"], "SavedModel": ["q", "--output-format", "saved-model"]}


def converted(tfquant, model, *options):
    """Runs the script in a process of its own; returns the interpreter of what it wrote, and what it said."""
    result = tfquant.folder / "converted.tflite"
    script = tfquant.run("convert-script", model, "--converted", result, *options)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, script + done.stderr[-3000:]
    return interpreter_of(result.read_bytes()), script


@pytest.mark.parametrize("form", FORMS)
def test_the_script_converts_a_calibrated_model(tfquant, exact, form):  # noqa: F811
    folder = tfquant.folder / "it's \"new\""
    folder.mkdir()
    name, *options = FORMS[form]
    calibrate(tfquant, "frozen graph", folder / name, *options)
    interpreter, script = converted(tfquant, folder / name)
    assert len(script.splitlines()) <= 12, script
    ends = interpreter.get_input_details() + interpreter.get_output_details()
    assert [end["dtype"] for end in ends] == [np.int8, np.int8] and float_tensors(interpreter) == []
    results = run(interpreter, array("test"))
    assert abs(right(results) - right(exact)) <= 0.5 and decibels(exact, results) > 29


def test_the_script_for_unsigned_integers(tfquant, exact):  # noqa: F811
    model = tfquant.folder / "u.pb"
    calibrate(tfquant, "frozen graph", model, "--target", "litert-uint8")
    interpreter, _ = converted(tfquant, model, "--target", "litert-uint8")
    assert interpreter.get_input_details()[0]["dtype"] == np.uint8 and float_tensors(interpreter) == []
    assert abs(right(run(interpreter, array("test"))) - right(exact)) <= 1.0


def ends(name):
    """A graph with ends of a kind: its inputs' samples and its outputs."""
    x = tf.placeholder(tf.float32, [None, 6], name="x")
    weights = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    dense = tf.nn.relu(tf.matmul(x, weights), name="dense")
    if name == "two outputs":
        return {"x": x}, [tf.nn.softmax(dense, name="a"), tf.reshape(dense, [-1, 2, 2], name="b")]
    if name == "a number out":
        return {"x": x}, [tf.argmax(dense, 1, name="a")]
    if name == "a number and a float out":
        return {"x": x}, [tf.argmax(dense, 1, name="a"), tf.identity(dense, name="b")]
    if name == "a number in":
        row = tf.placeholder(tf.int32, [None], name="row")
        table = tf.constant(weights.T[:, :4], name="table")
        return {"x": x, "row": row}, [tf.add(tf.gather(table, row), dense, name="a")]
    return {"x": x}, [tf.exp(dense, name="a")]


@pytest.mark.parametrize("name", ["two outputs", "a number out", "a number and a float out", "a number in", "a float out"])
def test_ends_of_every_kind(tfquant, graph, name):
    inputs, outputs = ends(name)
    generator = np.random.default_rng(2)
    samples = {
        key: generator.integers(0, 4, 16).astype(np.int32) if tensor.dtype == tf.int32
        else generator.normal(size=(16, 6)).astype(np.float32)
        for key, tensor in inputs.items()
    }
    np.savez(tfquant.folder / "samples.npz", **samples)
    model = tfquant.folder / "model.pb"
    model.write_bytes(graph.as_graph_def().SerializeToString())
    quantized = tfquant.folder / "q.pb"
    wanted = ",".join(output.op.name for output in outputs)
    tfquant.run(
        "calibrate", model, "--data", tfquant.folder / "samples.npz", "--outputs", wanted, "-o", quantized
    )
    interpreter, _ = converted(tfquant, quantized, "--outputs", wanted)
    taken = {end["dtype"] for end in interpreter.get_input_details()}
    assert taken == ({np.int32, np.int8} if name == "a number in" else {np.int8})
    if name == "two outputs":
        assert {made["dtype"] for made in interpreter.get_output_details()} == {np.int8}
    assert len(interpreter.get_output_details()) == len(outputs)
