"""OpenVINO takes what `--output-format saved-model` writes, and computes what TensorFlow does.

Skipped where OpenVINO is not installed: `pip install openvino`, or name a Python that has it in OPENVINO_PYTHON.
"""

import pathlib
import subprocess

import numpy as np
import pytest
from openvino_runs import PYTHON, by_openvino, by_tensorflow
from test_freeze import saved  # noqa: F401

DIGITS = pathlib.Path(__file__).parents[2] / "testdata" / "digits"
HAS_OPENVINO = subprocess.run([PYTHON, "-c", "import openvino"], capture_output=True, check=False).returncode == 0

pytestmark = pytest.mark.skipif(not HAS_OPENVINO, reason="OpenVINO is not installed for OPENVINO_PYTHON, or this Python")


def assert_same(folder, inputs):
    (actual, _), expected = by_openvino(folder, inputs), by_tensorflow(folder, inputs)
    assert set(actual) == set(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(actual[key], value, rtol=0, atol=1e-5 * np.abs(value).max(), err_msg=key)


@pytest.mark.parametrize("name", ["keras_saved", "keras_recurrent", "same_names", "plain_module", "conditional", "switch_case"])
def test_a_frozen_saved_model_is_taken(tfquant, saved, name):  # noqa: F811
    frozen = tfquant.folder / name
    tfquant.run("freeze", saved / name, "-o", frozen, "--output-format", "saved-model")
    arrays = np.load(saved / f"{name}.npz")
    assert_same(frozen, {key[3:]: arrays[key] for key in arrays if key.startswith("in/")})


def test_a_folded_saved_model_is_taken(tfquant):
    folded = tfquant.folder / "folded"
    tfquant.run("fold", DIGITS / "saved_model", "--mode", "eval", "-o", folded, "--output-format", "saved-model")
    assert_same(folded, {"image": np.load(DIGITS / "test.npy")[:40]})


def test_a_calibrated_saved_model_is_taken(tfquant):
    calibrated, images = tfquant.folder / "calibrated", np.load(DIGITS / "test.npy")
    data = DIGITS / "calibration.npy"
    tfquant.run("calibrate", DIGITS / "saved_model", "--data", data, "-o", calibrated, "--output-format", "saved-model")
    inputs = {"image": images}
    actual, expected = by_openvino(calibrated, inputs)[0]["output_0"], by_tensorflow(calibrated, inputs)["output_0"]
    # OpenVINO makes an integer network of it, and rounds as it likes.
    assert np.abs(actual - expected).mean() < 0.01
    assert (actual.argmax(1) == expected.argmax(1)).mean() > 0.98


@pytest.mark.parametrize("bits", [8, 7, 5])
def test_a_calibrated_network_is_run_in_integers(tfquant, bits):
    calibrated = tfquant.folder / "calibrated"
    options = ["--data", DIGITS / "calibration.npy", "--target", "openvino", "--output-format", "saved-model"]
    options += ["--weight-bits", bits]
    tfquant.run("calibrate", DIGITS / "frozen.pb", "-o", calibrated, *options)
    inputs = {"image": np.load(DIGITS / "test.npy")}
    results, layers = by_openvino(calibrated, inputs)
    (actual,) = results.values()
    (expected,) = by_tensorflow(calibrated, inputs).values()
    assert set(layers["Convolution"]) | set(layers["FullyConnected"]) <= {"u8", "i8"}, layers
    ratio = 10 * np.log10(np.sum(expected**2) / np.sum((actual - expected) ** 2))
    print(f"{ratio:.1f} dB between OpenVINO and the graph with its fake quantizers")
    assert ratio > 30
    assert np.mean(np.argmax(actual, 1) == np.argmax(expected, 1)) >= 0.99
