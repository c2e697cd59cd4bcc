"""What OpenVINO computes of a SavedModel.

    python openvino_computes.py SAVED_MODEL INPUTS.npz OUTPUTS.npz

The inputs are called as the model's signature calls them, and so are the outputs.
"""

import sys

import numpy as np
import openvino


def main(folder, inputs, outputs):
    compiled = openvino.compile_model(folder, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with np.load(inputs) as fed:
        results = compiled({tensor.any_name: fed[tensor.any_name] for tensor in compiled.inputs})
    np.savez(outputs, **{tensor.any_name: results[tensor] for tensor in compiled.outputs})


if __name__ == "__main__":
    main(*sys.argv[1:])
