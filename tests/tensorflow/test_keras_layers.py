"""Each kind of layer, calibrated, becomes integers alone, about as near to the float model as the converter's own, and `check`
says so."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).with_name("keras_layers.py")
# Run by Keras in a process of its own, as what TensorFlow 2 does cannot be switched on later.
NAMES = re.findall(r"^def (\w+)\(x\):", SCRIPT.read_text(), re.M)
ACTIVATIONS = "relu6 elu selu gelu softplus softsign hard_sigmoid mish leaky_relu prelu relu_with_slope gelu_by_tanh clip".split()
# So much less than the converter's own, in decibels, or than 30 where that makes none: what the kernels of Mean and Rsqrt round,
# the graph does not show; LSTMs that were never trained are at 26.
LESS = {"instance_norm": 5.0, "of_open_length": 5.0, "masked_steps": 5.0, "convolutional_lstm_of_one_dimension": 7.0}


@pytest.fixture(scope="module")
def found(binary, tmp_path_factory):
    output = tmp_path_factory.mktemp("layers") / "found.json"
    command = [sys.executable, SCRIPT, "--tfquant", binary, "--json", output, *NAMES, *ACTIVATIONS]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return json.loads(output.read_text())


@pytest.mark.parametrize("name", NAMES + ACTIVATIONS)
def test_a_layer_becomes_integers(found, name):
    made, own = found[name]["int8"], found[name]["own"]
    assert made["float_ops"] == []
    assert set(found[name]["check"]) == {"integer"}
    assert made["decibels"] > own.get("decibels", 30) - LESS.get(name, 1.0), (made, own)


@pytest.mark.parametrize("name", ["channels_first_from_elsewhere", "depthwise_taken_apart"])
def test_what_other_converters_write_becomes_fewer_ops(found, name):
    made, own = (found[name][kind]["ops"] for kind in ("int8", "own"))
    assert made < 0.7 * own, (made, own)
