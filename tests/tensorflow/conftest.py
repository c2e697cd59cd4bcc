"""What every test gets: the binary, and TensorFlow as it was before version 2."""

import os
import pathlib

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # whose convolution of no image has the wrong shape

import pytest
import tensorflow.compat.v1 as tf

from support import Tfquant


def pytest_addoption(parser):
    parser.addoption("--tfquant", required=True, type=pathlib.Path, help="the binary to test")


@pytest.fixture(scope="session")
def binary(request):
    path = request.config.getoption("--tfquant").resolve()
    assert os.access(path, os.X_OK), f"{path} is not there: cargo build --release makes it"
    return path


@pytest.fixture
def tfquant(binary, tmp_path):
    """Runs the binary on models, in a folder of the test's own."""
    return Tfquant(binary, tmp_path)


@pytest.fixture(autouse=True)
def graph():
    """An empty default graph."""
    tf.disable_eager_execution()
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        yield graph
