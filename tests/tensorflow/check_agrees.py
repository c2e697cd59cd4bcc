"""How often `tfquant check --target litert-int8` says what the converter does.

    python tests/tensorflow/check_agrees.py --tfquant target/release/tfquant [--convert] [--networks FOLDER]

compares, op by op, with what the TensorFlow at hand makes of every graph of the corpus, by the verdicts in testdata or, with
`--convert`, by converting them now; with `--networks`, also of whole networks (`networks.py`, as they were drawn), calibrated
and rewritten in several ways. A case agrees if the same ops stay float, as often, and the same ones become integer; if the
model runs; and if what it computes is what the fake-quantized graph computes, to WRONG levels of the output.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf2

import converter_corpus as corpus

# Further off than this is wrong. Those that are right are at most 7 levels off, those that are wrong at least 9.
WRONG = 8
# Integer ops that the converter adds and removes as it likes: they move values, or only look at shapes.
MOVE = {"RESHAPE", "TRANSPOSE", "PAD", "FILL"}
CONVERT = {"QUANTIZE", "DEQUANTIZE", "SHAPE"}
# What a loop carries is in floats, whatever it computes.
CONTROL = {"WHILE"}
# A product with constant weights is either, and so is a change of shape.
ALIKE = {"BATCH_MATMUL": "FULLY_CONNECTED", "EXPAND_DIMS": "RESHAPE", "SQUEEZE": "RESHAPE"}
BAD = ["fine", "will_be_wrong", "will_not_run"]


class Said:
    """What tfquant says of a graph for one version of the converter."""

    def __init__(self, document, version):
        version = "2.15" if version.startswith("2.15") else "2.21"
        self.codes = sorted({finding["code"] for finding in document["findings"]})
        self.ops = collections.Counter()
        for op in document["ops"]:
            verdict = op["by_version"].get(version) if "by_version" in op else op["verdict"]
            if verdict is None:
                continue
            # What is wrong may be in float as well.
            also_float = verdict == "will_be_wrong" and "no_integer_kernel" in op.get("codes", [])
            is_float = verdict == "stays_float" or also_float
            count(self.ops, op["becomes"], is_float)
        others = [f"(TensorFlow {other})" for other in ("2.15", "2.21") if other != version]
        here = [found["message"] for found in document["findings"] if not found["message"].endswith(tuple(others))]
        kinds = {message.partition(":")[0] for message in here}
        self.state = max(BAD, key=lambda state: BAD.index(state) if state in kinds else 0)


class Done:
    """What the converter did, by the verdict of the corpus."""

    def __init__(self, found):
        self.ops = None
        if "converts" not in found:
            self.ops = collections.Counter()
            for op in found["ops"]:
                name, types = op.split(" ", 1)
                if {"float32", "int8", "int4", "int16"} & set(types.replace(">", ",").split(",")):
                    count(self.ops, name, "float32" in types)
        off = found.get("off")
        if "converts" in found or found["runs"] is not True:
            self.state = "will_not_run"
        elif off is not None and off > WRONG and not found.get("nearer"):
            self.state = "will_be_wrong"
        else:
            self.state = "fine"


def count(ops, name, is_float):
    name = ALIKE.get(name, name)
    if name not in CONVERT | CONTROL and (is_float or name not in MOVE):
        ops[name, "float" if is_float else "integer"] += 1


def difference(said, done):
    """What they do not agree about; nothing if they do."""
    if said.state != done.state:
        return f"said {said.state} {' '.join(said.codes)}, is {done.state}"
    if done.state == "will_not_run" or said.ops == done.ops:
        return None
    return f"said {dict(said.ops - done.ops)}, are {dict(done.ops - said.ops)}"


def check(binary, path, *options):
    command = [str(binary), "check", "--json", "--target", "litert-int8", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.stdout, f"{path}: {done.stderr}"
    document = json.loads(done.stdout)
    assert done.returncode == (document["errors"] > 0), f"{path}: exit code {done.returncode}"
    return document


def case_differs(binary, name, found, folder):
    """What tfquant and the converter do not agree about in one case of the corpus."""
    path = folder / f"{name}.pb"
    case = corpus.Case(name)
    path.write_bytes(case.graph_def.SerializeToString())
    if case.graph_def.library.function:
        # `check` refuses what is in functions, and says to freeze it.
        outputs = ",".join(case.outputs)
        subprocess.run([str(binary), "freeze", "-q", str(path), "--outputs", outputs, "-o", str(path)], check=True)
    return difference(Said(check(binary, path), tf2.__version__), Done(found))


# ---- Whole networks


NETWORKS = ["GRU", "Conv1D", "DSCNN", "SSD", "UNet", "MobileNet", "MobileNetV2", "MobileNetV3Small"]
CALIBRATE = "calibrate {model} --outputs {outputs} --data {data} -o {output}"
WAYS = {
    "calibrated": CALIBRATE,
    "calibrated, one range a layer": f"{CALIBRATE} --weights symmetric",
    "calibrated for OpenVINO, asymmetric weights": f"{CALIBRATE} --target openvino --weights asymmetric",
    "calibrated, weights of 4 bits": f"{CALIBRATE} --weight-bits 4",
    "the reference's places": "rewrite {model} --outputs {outputs} --match topology --mode eval --ranges const "
    "--weights symmetric --default-range=-6,6 -o {output}",
    "the reference's places and an input range": "rewrite {model} --outputs {outputs} --match topology --mode eval "
    "--ranges const --weights symmetric --default-range=-6,6 --input-range=-1,1 -o {output}",
}


def network_differs(binary, network, way, folder):
    """The same of a whole network that a command line made, and how many ops it has; its numbers are not compared."""
    output = folder / "network.pb"
    output.unlink(missing_ok=True)
    outputs = list(network.outputs.values())
    words = {"model": network.graph, "data": network.samples, "output": output, "outputs": ",".join(outputs)}
    arguments = [part.format(**words) for part in WAYS[way].split()]
    made = subprocess.run([binary, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if made.returncode:
        return f"not made: {made.stderr.strip().splitlines()[0]}", 0
    document = check(binary, output, "--outputs", ",".join(outputs))
    # In a process of its own, not a fork of this one: TensorFlow's threads, which drew the network, would be missing.
    judge = [sys.executable, __file__, "--judge", output, network.input, *outputs]
    judged = subprocess.run(judge, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    found = json.loads(judged.stdout) if judged.stdout else {"converts": f"exit code {judged.returncode}"}
    return difference(Said(document, tf2.__version__), Done(found)), len(document["ops"])


def judge_network(path, source, outputs):
    graph_def = corpus.tf.GraphDef.FromString(pathlib.Path(path).read_bytes())
    try:
        tflite = corpus.convert(graph_def, [source], outputs)
    except Exception as error:  # The converter raises whatever came to its mind.
        return {"converts": corpus.converter_error(error)}
    found = {"ops": [f"{op['op']} {','.join(op['reads'])}>{','.join(op['writes'])}" for op in corpus.operators(tflite)]}
    try:
        made = corpus.interpreter(tflite)
        for detail in made.get_input_details():
            made.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        made.invoke()
    except (RuntimeError, ValueError) as error:
        return {**found, "runs": corpus.last_line(error)}
    return {**found, "runs": True}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tfquant", type=pathlib.Path, help="the binary")
    parser.add_argument("--convert", action="store_true", help="convert the corpus now")
    parser.add_argument("--networks", type=pathlib.Path, help="compare whole networks, which are kept in this folder")
    parser.add_argument("--only", nargs="*", help="these networks")
    parser.add_argument("--judge", nargs="*", help="a graph, its input and outputs: what the converter makes of it")
    arguments = parser.parse_args()
    if arguments.judge:
        path, source, *outputs = arguments.judge
        return print(json.dumps(judge_network(path, source, outputs)))
    if not arguments.tfquant:
        parser.error("--tfquant says which binary")
    version = tf2.__version__
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        known = corpus.known_verdicts().get(version, {})
        agree = 0
        for name in corpus.CASES:
            found = corpus.verdict(name, False) if arguments.convert or name not in known else known[name]
            differs = case_differs(arguments.tfquant.resolve(), name, found, folder)
            agree += differs is None
            if differs:
                print(f"{name}: {differs}", flush=True)
        print(f"TensorFlow {version}: {agree} of {len(corpus.CASES)} graphs of the corpus agree", flush=True)
        if arguments.networks:
            compare_networks(arguments, folder, version)


def compare_networks(arguments, folder, version):
    import networks

    agree = ops = total = 0
    for name in arguments.only or NETWORKS:
        network = networks.Frozen(name, arguments.networks, networks.untrained)
        for way in WAYS:
            differs, compared = network_differs(arguments.tfquant.resolve(), network, way, folder)
            if differs and differs.startswith("not made"):
                print(f"{name}, {way}: {differs}", flush=True)
                continue
            total += 1
            agree += differs is None
            ops += compared
            if differs:
                print(f"{name}, {way}: {differs}", flush=True)
    print(f"TensorFlow {version}: {agree} of {total} networks agree, which have {ops} ops", flush=True)


if __name__ == "__main__":
    main()
