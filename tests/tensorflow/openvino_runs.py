"""A SavedModel run by OpenVINO and by TensorFlow, under the keys of its signature."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow.compat.v1 as tf

COMPUTES = pathlib.Path(__file__).with_name("openvino_computes.py")
# A Python that has OpenVINO.
PYTHON = os.environ.get("OPENVINO_PYTHON", sys.executable)


def by_openvino(folder, inputs):
    """The outputs; what the runtime executed in which precision. RuntimeError says why OpenVINO refuses the model."""
    fed, computed = folder.with_suffix(".in.npz"), folder.with_suffix(".out.npz")
    np.savez(fed, **inputs)
    command = [PYTHON, str(COMPUTES), str(folder), str(fed), str(computed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return dict(np.load(computed)), json.loads(done.stdout)


def by_tensorflow(folder, inputs):
    """The outputs."""
    with tf.Graph().as_default(), tf.Session() as session:
        loaded = tf.saved_model.load(session, ["serve"], str(folder)).signature_def["serving_default"]
        fed = {loaded.inputs[key].name: value for key, value in inputs.items()}
        return session.run({key: output.name for key, output in loaded.outputs.items()}, fed)
