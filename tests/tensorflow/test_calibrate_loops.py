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
