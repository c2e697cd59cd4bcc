"""The same work by others: prints a Markdown table.

    python3 benches/peers/peers.py TFQUANT GENERATE --tf115 PYTHON --tf2 PYTHON --onnx PYTHON

TFQUANT and GENERATE are built by `cargo build --release --example generate --bin tfquant`. Each PYTHON is one of an
environment that has TensorFlow 1.15, TensorFlow 2, or onnx, onnxslim and onnxsim; what is not given is left out. A peer is
timed inside its process, from the parsed file on, without what it takes to start; tfquant as a whole process, from file to
file. Nothing else should run meanwhile.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

# What a peer runs: a file, and where to put the result. Prints how many nodes went in, and the seconds.
CREATE_TRAINING_GRAPH = """
import sys, time
import tensorflow.compat.v1 as tf
from tensorflow.contrib import quantize
meta = tf.MetaGraphDef.FromString(open(sys.argv[1], "rb").read())
with tf.Graph().as_default() as graph:
    tf.train.import_meta_graph(meta)
    start = time.perf_counter()
    quantize.create_training_graph(graph, quant_delay=0)
    print(len(meta.graph_def.node), time.perf_counter() - start)
"""
ROUND_TRIP = """
import sys, time
import tensorflow.compat.v1 as tf
definition = tf.GraphDef.FromString(open(sys.argv[1], "rb").read())
start = time.perf_counter()
with tf.Graph().as_default() as graph:
    tf.import_graph_def(definition, name="")
    graph.as_graph_def().SerializeToString()
print(len(definition.node), time.perf_counter() - start)
"""
ONNX = """
import sys, time
import numpy, onnx
from onnx import TensorProto, helper, numpy_helper
layers = int(sys.argv[2])
nodes, weights = [], []
for layer in range(layers):
    weights += [numpy_helper.from_array(numpy.ones(shape, numpy.float32), f"layer_{layer}/{name}")
                for name, shape in [("weights", (4, 4, 1, 1)), ("biases", (4,))]]
    inputs = [f"layer_{layer}", f"layer_{layer}/weights", f"layer_{layer}/biases"]
    nodes += [helper.make_node("Conv", inputs, [f"conv_{layer}"], f"layer_{layer}/Conv"),
              helper.make_node("Relu", [f"conv_{layer}"], [f"layer_{layer + 1}"], f"layer_{layer}/Relu")]
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8])
graph = helper.make_graph(nodes, "chain", [value("layer_0")], [value(f"layer_{layers}")], weights)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
onnx.checker.check_model(model)
"""
SLIM = ONNX + """
import onnxslim
start = time.perf_counter()
onnxslim.slim(model).SerializeToString()
print(len(nodes), time.perf_counter() - start)
"""
SIM = ONNX + """
import onnxsim
start = time.perf_counter()
onnxsim.simplify(model)[0].SerializeToString()
print(len(nodes), time.perf_counter() - start)
"""
LIMIT = 300


def peer(python, program, *arguments):
    """Nodes and seconds; no seconds, if it took longer than the limit or failed."""
    command = [python, "-c", program, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return None, f"more than {LIMIT}"
    if done.returncode:
        print(done.stderr.strip().splitlines()[-1:], file=sys.stderr)
        return None, "fails"
    nodes, seconds = done.stdout.split()[-2:]
    return int(nodes), float(seconds)


def tfquant(program, rules, model, out):
    def once():
        start = time.perf_counter()
        subprocess.run([program, "rewrite", "-q", "--match", rules, model, "-o", out], check=True)
        return time.perf_counter() - start
    return statistics.median(once() for _ in range(3))


def row(what, nodes, peer_seconds, ours):
    known = isinstance(peer_seconds, float)
    seconds = f"{peer_seconds:.2f}" if known else peer_seconds
    rate = f"{nodes / peer_seconds:,.0f}" if known else ""
    ours = f"{ours:.3f}" if ours else ""
    print(f"| {what} | {f'{nodes:,}' if nodes else ''} | {seconds} | {rate} | {ours} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tfquant")
    parser.add_argument("generate")
    for peers in ["tf115", "tf2", "onnx"]:
        parser.add_argument(f"--{peers}")
    args = parser.parse_args()
    print("| peer | nodes in | seconds | nodes a second | tfquant rewrites that file in |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)

        def chain(layers, ending):
            path = folder / f"chain{layers}{ending}"
            subprocess.run([args.generate, "chain", str(layers), path], check=True)
            return path

        if args.tf115:
            for layers in [200, 1000]:
                model = chain(layers, ".meta")
                nodes, seconds = peer(args.tf115, CREATE_TRAINING_GRAPH, model)
                ours = tfquant(args.tfquant, "topology", model, folder / "out.meta")
                row(f"TensorFlow 1.15, `create_training_graph`, {layers:,} layers", nodes, seconds, ours)
        if args.tf2:
            model = chain(20_000, ".pb")
            nodes, seconds = peer(args.tf2, ROUND_TRIP, model)
            ours = tfquant(args.tfquant, "names", model, folder / "out.pb")
            row("TensorFlow 2, `import_graph_def` and `as_graph_def`, 20,000 layers", nodes, seconds, ours)
        if args.onnx:
            for name, program in [("onnxslim", SLIM), ("onnxsim", SIM)]:
                for layers in [200, 1000, 5000]:
                    nodes, seconds = peer(args.onnx, program, "", layers)
                    row(f"{name}, {layers:,} layers", nodes, seconds, None)


main()
