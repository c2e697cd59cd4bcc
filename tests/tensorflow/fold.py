"""Folding batch norms keeps what a network computes, by TensorFlow's own arithmetic.

usage: fold.py TFQUANT

Builds networks with random weights and statistics, folds them with `TFQUANT fold`, and runs both in TensorFlow:
- an eval graph yields the same output within 1e-5 relative;
- a training graph yields the same batch statistics. A fused batch norm hands out the unbiased variance, a factor of
  n/(n-1) from the one it normalises by, so that from the second such layer on they agree within 2/n only.
"""

import json
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
tf1.disable_v2_behavior()

EPSILON = 1e-3
TOLERANCE = 1e-5


class Network:
    """A graph under construction, layer by layer, and the tensors that hold batch statistics."""

    def __init__(self, seed, fused, training, gamma, resource, version):
        self.random = np.random.RandomState(seed)
        self.fused, self.training, self.gamma, self.resource, self.version = fused, training, gamma, resource, version
        self.statistics, self.samples = [], []

    def variable(self, name, shape, low=None, high=None):
        if low is None:
            value = self.random.normal(0.0, 1.0 / np.sqrt(np.prod(shape[:-1])), shape)
        else:
            value = self.random.uniform(low, high, shape)
        return tf1.get_variable(name, initializer=value.astype(np.float32), use_resource=self.resource)

    def fused_batch_norm(self, x, parameters):
        gamma, beta, mean, variance = parameters
        empty = tf.constant([], tf.float32)
        op = getattr(tf.raw_ops, self.version)
        with tf1.name_scope("BatchNorm"):
            outputs = op(x=x, scale=gamma, offset=beta, mean=empty if self.training else mean,
                         variance=empty if self.training else variance, epsilon=EPSILON, is_training=self.training)
        if self.training:
            self.statistics.append((outputs[1], outputs[2]))
        return outputs[0]

    def unfused_batch_norm(self, x, parameters):
        gamma, beta, mean, variance = parameters
        with tf1.name_scope("BatchNorm"):
            if self.training:
                mean, variance = tf.nn.moments(x, list(range(len(x.shape) - 1)))
                self.statistics.append((mean, variance))
            return tf1.nn.batch_normalization(x, mean, variance, beta, gamma if self.gamma else None, EPSILON)

    def batch_norm(self, x):
        channels = int(x.shape[-1])
        parameters = [self.variable("BatchNorm/" + name, [channels], low, high) for name, low, high in
                      [("gamma", 0.5, 2.0), ("beta", -1.0, 1.0), ("moving_mean", -1.0, 1.0),
                       ("moving_variance", 0.2, 3.0)]]
        self.samples.append(int(np.prod(x.shape[:-1])))
        if not self.fused:
            return self.unfused_batch_norm(x, parameters)
        if len(x.shape) == 4:
            return self.fused_batch_norm(x, parameters)
        rows = int(x.shape[0])
        x = self.fused_batch_norm(tf.reshape(x, [rows, 1, 1, channels]), parameters)
        return tf.reshape(x, [rows, channels])

    def layer(self, name, x, kind, outputs, end="Relu"):
        with tf1.variable_scope(name):
            inputs = int(x.shape[-1])
            if kind == "conv":
                x = tf1.nn.conv2d(x, self.variable("weights", [3, 3, inputs, outputs]), [1, 2, 2, 1], "SAME")
            elif kind == "depthwise":
                filters = self.variable("depthwise_weights", [3, 3, inputs, outputs // inputs])
                x = tf1.nn.depthwise_conv2d_native(x, filters, [1, 1, 1, 1], "SAME", name="depthwise")
            else:
                x = tf1.matmul(x, self.variable("weights", [inputs, outputs]))
            x = self.batch_norm(x)
            return tf.nn.relu6(x, name="Relu6") if end == "Relu6" else x if end is None else tf.nn.relu(x, name="Relu")


def build(network):
    """An image network of all the layers that fold; returns its output."""
    image = tf.constant(network.random.uniform(-1.0, 1.0, [16, 24, 24, 3]).astype(np.float32), name="image")
    x = network.layer("conv", image, "conv", 8, end="Relu6")
    x = network.layer("dw", x, "depthwise", 16)
    x = network.layer("net/conv", x, "conv", 16)
    y = network.layer("net/block/conv", x, "depthwise", 16, end=None)
    with tf1.name_scope("net/block/"):
        x = tf.nn.relu(tf1.add(y, x, name="Add"), name="Relu")
    x = tf.reshape(x, [16 * 36, 16])
    x = network.layer("fc", x, "matmul", 10)
    return tf.identity(x, name="output")


def run(graph_def, fetches):
    with tf.Graph().as_default() as graph, tf1.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name="")
        session.run("init")
        return session.run(fetches)


def fold(tfquant, graph_def, folder):
    source, target, report = (os.path.join(folder, name) for name in ("in.pb", "out.pb", "report.json"))
    with open(source, "wb") as file:
        file.write(graph_def.SerializeToString())
    subprocess.run([tfquant, "fold", source, "-o", target, "--report", report, "-q"], check=True)
    folded = tf1.GraphDef()
    with open(target, "rb") as file:
        folded.ParseFromString(file.read())
    with open(report) as file:
        return folded, json.load(file)["batch_norms"]


def distance(expected, actual):
    """The largest difference, relative to the largest value."""
    return float(np.max(np.abs(expected - actual)) / np.max(np.abs(expected)))


def check(tfquant, folder, **options):
    label = " ".join("%s=%s" % item for item in sorted(options.items()))
    with tf.Graph().as_default() as graph:
        network = Network(seed=7, **options)
        output = build(network).name
        tf1.group(*[v.initializer for v in tf1.global_variables()], name="init")
        original = graph.as_graph_def()
    folded, batch_norms = fold(tfquant, original, folder)
    outcomes = [entry["outcome"] for entry in batch_norms]
    assert outcomes == ["folded"] * 5, (label, batch_norms)
    names = {node.name for node in folded.node} - {node.name for node in original.node}
    assert {"conv/Conv2D_Fold", "dw/depthwise_Fold", "net/block/conv/add_fold", "fc/MatMul_Fold"} <= names, label

    if not network.training:
        error = distance(run(original, output), run(folded, output))
        assert error <= TOLERANCE, (label, error)
        print("%s: output differs by %.1e" % (label, error))
        return
    fetches = [[tensor.name for tensor in pair] for pair in network.statistics]
    worst = 0.0
    for index, (expected, actual) in enumerate(zip(run(original, fetches), run(folded, fetches))):
        allowed = TOLERANCE if index == 0 or not network.fused else 2.0 / min(network.samples[:index])
        error = max(distance(x, y) for x, y in zip(expected, actual))
        assert error <= allowed, (label, index, error, allowed)
        worst = max(worst, error)
    print("%s: batch statistics differ by %.1e" % (label, worst))


def main():
    tfquant = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        for training in (False, True):
            for resource in (False, True):
                for version in ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"):
                    check(tfquant, folder, fused=True, training=training, gamma=True, resource=resource,
                          version=version)
                for gamma in (True, False):
                    check(tfquant, folder, fused=False, training=training, gamma=gamma, resource=resource,
                          version=None)


if __name__ == "__main__":
    main()
