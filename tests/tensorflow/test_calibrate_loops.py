"""Recurrent networks whose steps are while-loops: calibrated, they are computed in integers, and have no loops any more; a long one
keeps its loop, whose body is computed in integers."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf2
from tensorflow.lite.python import schema_py_generated as schema

import converter_corpus as corpus

tf = tf2.compat.v1


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loops")
    script = pathlib.Path(__file__).with_name("loop_models.py")
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
    return folder


def float_ops(tflite):
    """The ops in floats of all the model's graphs, but for those that quantize what goes in and what comes out."""
    model = schema.ModelT.InitFromPackedBuf(tflite, 0)
    found = []
    for graph in model.subgraphs:
        for op in graph.operators:
            code = model.operatorCodes[op.opcodeIndex]
            name = corpus.OPS[max(code.builtinCode, code.deprecatedBuiltinCode)]
            types = [corpus.tensor_type(graph.tensors[index]) for index in [*op.inputs, *op.outputs] if index >= 0]
            if name not in ("QUANTIZE", "DEQUANTIZE") and "float32" in types:
                found.append(name)
    return found


def decibels(wanted, got):
    return 10 * np.log10(np.sum(wanted**2) / np.sum((got - wanted) ** 2))


# Words are floats to the model that was exported. An LSTM without training, whose state is rounded in each of 16 steps, is as far
# from its floats in TensorFlow's own arithmetic of the fake quantizers.
@pytest.mark.parametrize("name, options, left, least", [("gru", [], [], 30), ("lstm_twice", [], [], 22), ("both_ways", [], [], 30),
                                                        ("simple", [], [], 30), ("words", [], [], 30), ("long", [], ["WHILE"], 20),
                                                        ("long", ["--unroll", "200"], [], 20)])
def test_a_loop_becomes_steps_in_integers(tfquant, models, name, options, left, least):
    output, frozen = tfquant.folder / "calibrated.pb", tfquant.folder / "frozen.pb"
    data = models / f"{name}.npy"
    tfquant.run("calibrate", models / name, "--data", data, "-o", output, "-q", *options)
    tfquant.run("freeze", models / name, "-o", frozen, "-q")
    graph_def = tf.GraphDef.FromString(output.read_bytes())
    source = next(node.name for node in graph_def.node if node.op == "Placeholder")
    sink = "StatefulPartitionedCall_1"
    if sink not in {node.name for node in graph_def.node}:
        sink = "StatefulPartitionedCall"
    tflite = corpus.convert(graph_def, [source], [sink])
    assert float_ops(tflite) == left
    checked = json.loads(tfquant.run("check", output, "--json"))
    assert set(checked["verdicts"]) == {"integer"}, checked["verdicts"]
    assert ["loop_in_floats"] * len(left) == [finding["code"] for finding in checked["findings"]]
    made = corpus.interpreter(tflite)
    ends = corpus.ends(tflite, made, [source], [sink])
    samples = np.load(data)[:, np.newaxis]
    fed = samples.astype(np.int32) if name == "words" else samples
    got = np.concatenate([corpus.run(made, *ends, {source: sample})[sink][0] for sample in fed])
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        tf.import_graph_def(tf.GraphDef.FromString(frozen.read_bytes()), name="")
        wanted = np.concatenate([session.run(f"{sink}:0", {f"{source}:0": sample}) for sample in samples])
    print(f"{name}: {decibels(wanted, got):.1f} dB, {len(tflite)} bytes")
    assert decibels(wanted, got) > least


@pytest.fixture
def loops_of_tensorflow_1():
    """Loops as frames and arrays of tensors, as TensorFlow 1 has them."""
    tf.disable_control_flow_v2()
    yield
    tf.enable_control_flow_v2()


def old_rnn(length_of):
    """A recurrent network of which the last step is read, as Keras wrote it for TensorFlow 1."""
    random = np.random.RandomState(0)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [1, 12, 8], name="x")
        length = length_of(x)
        read = tf.TensorArray(tf.float32, 12).unstack(tf.transpose(x, [1, 0, 2]))
        written = tf.TensorArray(tf.float32, 12)
        weights = tf.constant(random.normal(0, 0.3, [14, 6]).astype("f"))

        def step(state, time, written):
            state = tf.tanh(tf.matmul(tf.concat([read.read(time), state], 1), weights))
            return state, time + 1, written.write(time, state)

        begin = [tf.zeros([1, 6]), tf.constant(0), written]
        _, time, written = tf.while_loop(lambda state, time, _: time < length, step, begin)
        last = written.read(time - 1)
        tf.identity(tf.matmul(last, tf.constant(random.normal(size=[6, 3]).astype("f"))), name="y")
    return graph.as_graph_def()


@pytest.mark.parametrize("is_known", [True, False])
def test_a_loop_whose_last_step_is_read(tfquant, loops_of_tensorflow_1, is_known):
    """Of a known length, it becomes steps; of another, it stays a loop that computes what it did."""
    graph_def = old_rnn(lambda x: tf.constant(12) if is_known else tf.cast(tf.reduce_max(x[0, 0, 0]), tf.int32))
    model, output, data = (tfquant.folder / name for name in ("model.pb", "calibrated.pb", "x.npy"))
    model.write_bytes(graph_def.SerializeToString())
    samples = np.random.RandomState(1).normal(size=[24, 1, 12, 8]).astype("f")
    samples[:, 0, 0, 0] = 9.0
    np.save(data, samples)
    tfquant.run("calibrate", model, "--data", data, "--outputs", "y", "-o", output, "-q")
    quantized = tf.GraphDef.FromString(output.read_bytes())
    assert any(node.op == "LoopCond" for node in quantized.node) != is_known
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name="float")
        tf.import_graph_def(quantized, name="quantized")
        wanted, got = (
            np.concatenate([session.run(f"{name}/y:0", {f"{name}/x:0": sample}) for sample in samples])
            for name in ("float", "quantized")
        )
    assert decibels(wanted, got) > 20
    if is_known:
        tflite = corpus.convert(quantized, ["x"], ["y"])
        assert float_ops(tflite) == []
