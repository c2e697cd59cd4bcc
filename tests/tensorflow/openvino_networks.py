"""The networks of `networks.py` in OpenVINO: calibrated for it, loaded, executed in integers, near what TensorFlow makes of
the very same graph with its fake quantizers.

    OPENVINO_PYTHON=… python tests/tensorflow/openvino_networks.py --cache FOLDER [--untrained] [NETWORK ...]

prints a table. FOLDER is that of `networks.py`, whose networks are taken from there or made. OPENVINO_PYTHON is a Python
that has OpenVINO, if this one does not.
"""

import argparse
import os
import pathlib
import shutil
import subprocess

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import networks
from openvino_runs import by_openvino, by_tensorflow

INTEGERS = {"u8", "i8"}
# What multiplies: everything else is memory and little arithmetic.
LAYERS = ["Convolution", "Deconvolution", "FullyConnected", "MatMul"]
SAMPLES = 100


def calibrated(network, tfquant, more):
    """The SavedModel, for OpenVINO."""
    folder = network.folder / "openvino"
    shutil.rmtree(folder, ignore_errors=True)
    options = ["--target", "openvino", "--outputs", ",".join(network.outputs.values()), "--output-format", "saved-model"]
    command = [tfquant, "calibrate", network.graph, "--data", network.samples, "-o", folder, "-q", *options, *more]
    subprocess.run(list(map(str, command)), check=True)
    return folder


def line(name, network, tfquant, more):
    folder, inputs = calibrated(network, tfquant, more), {network.input: network.test[:SAMPLES]}
    quantized = by_tensorflow(folder, inputs)
    exact = network.run_float()
    try:
        actual, layers = by_openvino(folder, inputs)
    except RuntimeError as error:
        return f"| {name} | refused: {str(error).strip().splitlines()[-1][:200]} | | | |"
    counts = [count for kind in LAYERS for count in layers.get(kind, {}).items()]
    integers = sum(number for precision, number in counts if precision in INTEGERS)
    near = min(networks.decibels(actual[key], quantized[key]) for key in quantized)
    # With one output there is no question which is which.
    of_float = ["–", "–"]
    if len(quantized) == 1:
        (wanted,) = exact.values()
        ends = [*actual.values(), *quantized.values()]
        of_float = [f"{networks.decibels(end, wanted[:SAMPLES]):.1f}" for end in ends]
    return f"| {name} | {integers} of {sum(number for _, number in counts)} | {near:.1f} | {' | '.join(of_float)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="which; all without")
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="where networks are kept")
    parser.add_argument("--tfquant", default="tfquant", help="the binary")
    parser.add_argument("--options", default="", help="more of calibrate's options")
    parser.add_argument("--untrained", action="store_true", help="do not train; give it a FOLDER of its own")
    arguments = parser.parse_args()
    make = networks.untrained if arguments.untrained else networks.trained
    print("| network | layers in integers | dB to the graph | dB to float | the graph's |\n|---|---|---|---|---|", flush=True)
    for name in arguments.networks or networks.NETWORKS:
        print(line(name, networks.Frozen(name, arguments.cache, make), arguments.tfquant, arguments.options.split()), flush=True)


if __name__ == "__main__":
    main()
