"""The networks of `networks.py` in OpenVINO: calibrated for it, loaded, executed in integers, near what TensorFlow makes of
the very same graph with its fake quantizers.

    OPENVINO_PYTHON=… python tests/tensorflow/openvino_networks.py --cache FOLDER [--untrained] [NETWORK ...]

prints a table. FOLDER is that of `networks.py`, whose networks are taken from there or made. OPENVINO_PYTHON is a Python
that has OpenVINO, if this one does not.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf2

import networks

tf = tf2.compat.v1
PYTHON = os.environ.get("OPENVINO_PYTHON", sys.executable)
COMPUTES = pathlib.Path(__file__).with_name("openvino_computes.py")
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


def by_tensorflow(folder, images):
    with tf.Graph().as_default() as graph, tf.Session(graph=graph, config=networks.one_thread()) as session:
        loaded = tf.saved_model.load(session, ["serve"], str(folder)).signature_def["serving_default"]
        (fed,) = (tensor.name for tensor in loaded.inputs.values())
        fetches = {key: tensor.name for key, tensor in loaded.outputs.items()}
        parts = [session.run(fetches, {fed: part}) for part in np.array_split(images, 10)]
        (key,) = loaded.inputs
    return key, {name: np.concatenate([part[name] for part in parts]) for name in fetches}


def by_openvino(folder, inputs):
    fed, computed = folder.with_suffix(".in.npz"), folder.with_suffix(".out.npz")
    np.savez(fed, **inputs)
    done = subprocess.run([PYTHON, COMPUTES, folder, fed, computed], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1][:200])
    return dict(np.load(computed)), json.loads(done.stdout)


def line(name, network, tfquant, more):
    folder, images = calibrated(network, tfquant, more), network.test[:SAMPLES]
    key, quantized = by_tensorflow(folder, images)
    exact = network.run_float()
    try:
        actual, layers = by_openvino(folder, {key: images})
    except RuntimeError as error:
        return f"| {name} | refused: {error} | | | |"
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
