"""What OpenVINO computes of a SavedModel.

    python openvino_computes.py SAVED_MODEL INPUTS.npz OUTPUTS.npz

The inputs are called as the model's signature calls them, and so are the outputs. Prints as JSON how many layers of each
kind the runtime executes in which precision.
"""

import collections
import json
import sys

import numpy as np
import openvino


def executed(compiled):
    """By kind of layer, by precision, how many there are."""
    layers = collections.defaultdict(collections.Counter)
    for layer in compiled.get_runtime_model().get_ops():
        facts = layer.get_rt_info()
        layers[facts["layerType"].astype(str)][facts["runtimePrecision"].astype(str)] += 1
    return layers


def main(folder, inputs, outputs):
    compiled = openvino.compile_model(folder, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with np.load(inputs) as fed:
        results = compiled({tensor.any_name: fed[tensor.any_name] for tensor in compiled.inputs})
    np.savez(outputs, **{tensor.any_name: results[tensor] for tensor in compiled.outputs})
    print(json.dumps(executed(compiled)))


if __name__ == "__main__":
    main(*sys.argv[1:])
