"""Runs the binary, loads what it wrote, and knows in numpy what a fake quantizer does."""

import json
import pathlib
import subprocess

import numpy as np
import tensorflow.compat.v1 as tf

import models


# What tfquant tells whoever trains a rewritten graph to run.
FOLD_GRADIENT = pathlib.Path(__file__).parents[2] / "src" / "rewrite" / "fold_gradient.py"
exec(FOLD_GRADIENT.read_text())  # noqa: S102


class Tfquant:
    """The binary, with a folder for models and their rewritten counterparts."""

    def __init__(self, binary, folder):
        self.binary = binary
        self.folder = folder

    def rewrite(self, model, *options, output=None, fold=False):
        """Rewrites a model; returns where the result is, and the report."""
        output = self.folder / (output or f"{model.stem}_q{model.suffix}")
        report = output.with_suffix(".json")
        folding = [] if fold else ["--no-fold-batch-norms"]
        self.run("rewrite", model, "-o", output, "--report", report, *folding, *options)
        return output, read_report(report)

    def run(self, *arguments):
        """Runs the binary where it is to succeed; returns what it printed."""
        command = [str(self.binary), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stderr}"
        return done.stdout

    def meta_graph(self, name="model.meta", **model):
        """Exports a model as MetaGraphDef."""
        path = self.folder / name
        with tf.Graph().as_default() as graph:
            models.build(**model)
            tf.train.export_meta_graph(str(path), graph=graph, as_text=path.suffix == ".pbtxt")
        return path

    def graph_def(self, name="model.pb", **model):
        """Exports a model as bare GraphDef."""
        path = self.folder / name
        with tf.Graph().as_default() as graph:
            models.build(**model)
            tf.io.write_graph(graph.as_graph_def(), str(path.parent), path.name, as_text=path.suffix == ".pbtxt")
        return path

    def training_graph(self, *options, **model):
        """Loads a rewritten model, ready to be trained, into the default graph; returns its fake quantizers."""
        path, report = self.rewrite(self.meta_graph(**model), *options)
        tf.train.import_meta_graph(str(path))
        return fake_quants(report)


class FakeQuant:
    """One fake quantizer of the default graph, as the report tells of it."""

    def __init__(self, entry):
        graph = tf.get_default_graph()
        self.op = graph.get_operation_by_name(entry["node"])
        self.scope = entry["node"].rpartition("/")[0]
        self.role = entry["role"]
        self.bits = entry["bits"]
        self.narrow = entry["narrow_range"]
        self.tensor = graph.get_tensor_by_name(entry["tensor"])
        self.consumers = [graph.get_operation_by_name(name) for name in entry["consumers"]]
        self.range_ops = entry["range"]

    def __repr__(self):
        return self.op.name

    @property
    def input(self):
        return self.op.inputs[0]

    @property
    def output(self):
        return self.op.outputs[0]

    @property
    def min(self):
        return variable(self.range_ops[0])

    @property
    def max(self):
        return variable(self.range_ops[1])

    @property
    def range(self):
        """What the quantizer takes for its range's ends: in training, the range just updated."""
        return list(self.op.inputs)[1:]


def fake_quants(report):
    """All fake quantizers of the default graph, which must be those that the report tells of."""
    entries = [entry for layer in report["layers"] + report["adds"] for entry in layer["fake_quants"]]
    found = [FakeQuant(entry) for entry in entries]
    in_graph = {op for op in tf.get_default_graph().get_operations() if op.type == "FakeQuantWithMinMaxVars"}
    assert {fake_quant.op for fake_quant in found} == in_graph, "report and graph disagree about the fake quantizers"
    assert found, "nothing was quantized"
    return found


def tensor(name):
    return tf.get_default_graph().get_tensor_by_name(name)


def minimize_loss():
    """Adds an optimizer to the default graph; returns its training op."""
    return tf.train.AdamOptimizer(0.01).minimize(tensor("loss:0"), tf.train.get_global_step())


def variable(name):
    """The variable of that name in the default graph's collections."""
    found = [variable for variable in tf.global_variables() if variable.op.name == name]
    assert len(found) == 1, f"{len(found)} variables are called {name}"
    return found[0]


def value_of(name):
    """The tensor that yields the value of the variable of that name, which need be in no collection."""
    is_resource = tf.get_default_graph().get_operation_by_name(name).type == "VarHandleOp"
    return tensor(f"{name}/Read/ReadVariableOp:0" if is_resource else f"{name}:0")


def variables_of(meta_graph):
    """The names of all variables of an exported model."""
    with tf.Graph().as_default():
        tf.train.import_meta_graph(str(meta_graph))
        return {variable.op.name for variable in tf.global_variables()}


def session():
    """A session with all variables initialised, by way of the collections."""
    config = tf.ConfigProto()
    # Graphs run a few times each: optimizing them takes longer than running them.
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    session = tf.Session(config=config)
    session.run(tf.global_variables_initializer())
    return session


def randomize(session):
    """Gives every variable a value at which signals neither die out nor explode from layer to layer."""
    random = np.random.RandomState(2)
    for variable in tf.global_variables():
        name, shape = variable.op.name, variable.shape.as_list()
        if len(shape) > 1:
            reads = shape[:2] if "depthwise" in name else shape[:-1]
            value = random.normal(0, np.sqrt(2 / np.prod(reads)), shape)
        elif name.endswith(("gamma", "moving_variance")):
            value = random.uniform(0.7, 1.3, shape)
        elif shape:
            value = random.normal(0, 0.1, shape)
        else:
            continue
        variable.load(value, session)


def read_report(path):
    return json.loads(path.read_text())


def read_graph_def(path):
    graph_def = tf.GraphDef()
    graph_def.ParseFromString(path.read_bytes())
    return graph_def


def nudged(low, high, bits, narrow):
    """The range's ends moved so that zero is a level, and the distance of levels: what FakeQuant documents."""
    lowest, highest = float(narrow), 2.0**bits - 1
    scale = (np.float64(high) - np.float64(low)) / (highest - lowest)
    zero = np.clip(np.round(lowest - low / scale), lowest, highest)
    return (lowest - zero) * scale, (highest - zero) * scale, scale


def assert_on_grid(values, original, limits, bits, narrow, what):
    """The values are the original ones, rounded to the levels of the range."""
    low, high, scale = nudged(*limits, bits, narrow)
    steps = (values.astype(np.float64) - low) / scale
    off = np.abs(steps - np.round(steps)).max()
    assert off < 1e-2, f"{what}: a value lies {off} steps off the grid"
    levels = len(np.unique(np.round(steps)))
    assert levels <= 2**bits - narrow, f"{what}: {levels} levels"
    assert np.abs(np.round(low / scale) - low / scale) < 1e-6, f"{what}: zero is no level"
    moved = np.abs(values - np.clip(original, low, high)).max()
    assert moved <= scale * 0.51, f"{what}: a value was moved by {moved / scale} steps"
