"""Each rule past TensorFlow's own, in TensorFlow: a graph it builds is rewritten, loads, runs, and the tensor is quantized."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import support

RANDOM = np.random.RandomState(5)
IMAGES = RANDOM.normal(0, 1, [4, 8, 8, 3]).astype(np.float32)
KERNEL = RANDOM.normal(0, 0.3, [3, 3, 3, 6]).astype(np.float32)
POINTWISE = RANDOM.normal(0, 0.5, [1, 1, 6, 6]).astype(np.float32)
CHANNEL = RANDOM.uniform(0.5, 1.5, [4, 6]).astype(np.float32)


def images():
    return tf.placeholder(tf.float32, [None, 8, 8, 3], name="images")


def conv(x, kernel, name):
    return tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME", name=name)


def batch_norm(x, name):
    gamma, beta, mean, variance = (tf.constant(values) for values in CHANNEL)
    return tf.nn.fused_batch_norm(x, gamma, beta, mean, variance, is_training=False, name=name)[0]


def const_weights():
    x = tf.nn.bias_add(conv(images(), tf.constant(KERNEL, name="net/w"), "net/conv"), tf.zeros([6]))
    return tf.nn.relu(x, name="net/relu"), ["net/w", "net/relu"]


def wrapped_weights():
    kernel = tf.cast(tf.constant(KERNEL, tf.float16), tf.float32, name="net/w")
    return tf.nn.relu(conv(images(), kernel, "net/conv"), name="net/relu"), ["net/w", "net/relu"]


def conv1d():
    rows = tf.reshape(images(), [-1, 64, 3])
    kernel = tf.constant(KERNEL[0], name="kernel")
    x = tf.nn.conv1d(rows, kernel, stride=1, padding="SAME", name="net/conv1d")
    return tf.nn.relu(tf.nn.bias_add(x, tf.ones([6])), name="net/relu"), ["net/conv1d/ExpandDims_1", "net/relu"]


def in_a_branch():
    kernel, x = tf.constant(KERNEL, name="w"), images()
    layer = lambda: tf.nn.relu(conv(x, kernel, "conv"), name="relu")
    result = tf.cond(tf.reduce_any(x > -100), layer, lambda: tf.zeros([4, 8, 8, 6]), name="net")
    return result, ["w", "net/relu"]


def in_a_loop():
    kernel = tf.constant(POINTWISE, name="w")
    first = conv(images(), tf.constant(KERNEL, name="first/w"), "first/conv")
    body = lambda step, x: (step + 1, tf.tanh(conv(x, kernel, "conv")))
    loop = tf.while_loop(lambda step, _: step < 3, body, [tf.constant(0), tf.nn.relu(first, name="first/relu")])
    return loop[1], ["w", "first/w", "first/relu"]


def layer_op():
    kernel = tf.constant(KERNEL.transpose(0, 1, 3, 2), name="net/w")
    up = tf.nn.conv2d_transpose(images(), kernel, [4, 16, 16, 6], [1, 2, 2, 1], name="net/up")
    return tf.nn.relu(up, name="net/relu"), ["net/w", "net/relu"]


def bare_layer():
    kernel = tf.get_variable("net/w", initializer=KERNEL, use_resource=False)
    x = conv(images(), kernel, "net/conv")
    return tf.concat([x, tf.abs(x)], axis=3), ["net/w/read", "net/conv"]


def activation():
    x = tf.nn.bias_add(conv(images(), tf.constant(KERNEL, name="net/w"), "net/conv"), tf.zeros([6]), name="net/bias")
    return tf.reduce_mean(tf.nn.leaky_relu(x, name="net/leaky"), axis=[1, 2]), ["net/w", "net/bias", "net/leaky"]


def hard_swish():
    x = tf.nn.bias_add(conv(images(), tf.constant(KERNEL, name="net/w"), "net/conv"), tf.zeros([6]), name="net/bias")
    swish = tf.divide(x * tf.nn.relu6(x + 3.0), 6.0, name="net/swish")
    return tf.reduce_mean(swish, axis=[1, 2]), ["net/w", "net/bias", "net/swish"]


def shared_weights():
    kernel = tf.constant(POINTWISE, name="w")
    x = conv(images(), tf.constant(KERNEL, name="first/w"), "first/conv")
    for scope in ["a", "b"]:
        x = tf.nn.relu(conv(x, tf.identity(kernel, f"{scope}/read"), f"{scope}/conv"), name=f"{scope}/relu")
    return x, ["w", "first/w", "a/relu", "b/relu"]


def dropout():
    x = tf.reshape(images(), [-1, 192])
    mask = tf.cast(tf.random.uniform([192]) > 0.0, tf.float32)
    kernel = tf.constant(RANDOM.normal(0, 0.1, [192, 6]).astype(np.float32), name="net/w")
    x = tf.matmul(x * 2.0 * mask, kernel, name="net/dense")
    return tf.nn.relu(x, name="net/relu"), ["net/w", "net/relu"]


RULES = {
    const_weights: "const_weights",
    wrapped_weights: "wrapped_weights",
    conv1d: "wrapped_weights",
    in_a_branch: "wrapped_weights",
    in_a_loop: "wrapped_weights",
    layer_op: "layer_op",
    bare_layer: "bare_layer",
    activation: "activation",
    hard_swish: "activation",
    shared_weights: "shared_weights",
    dropout: "const_weights",
}


def exported(tfquant, build):
    """Exports the graph; returns its path, what it computes, and the tensors to be quantized."""
    path = tfquant.folder / "model.pb"
    with tf.Graph().as_default() as graph:
        output, quantized = build()
        output = tf.identity(output, name="output")
        with tf.Session() as session:
            session.run([variable.initializer for variable in tf.global_variables()])
            expected = session.run(output, {"images:0": IMAGES})
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return path, expected, quantized


@pytest.mark.parametrize("build", RULES, ids=lambda build: build.__name__)
def test_the_rule_quantizes_its_tensors(tfquant, build):
    tf.disable_control_flow_v2()
    path, expected, quantized = exported(tfquant, build)
    options = ["--match", "topology", "--mode", "training", "--init-op", "init_ranges"]
    result, report = tfquant.rewrite(path, *options)
    entries = [layer for layer in report["layers"] + report["adds"] if layer["fake_quants"]]
    assert RULES[build] in {entry.get("extension") for entry in entries}
    quants = {quant["tensor"].removesuffix(":0"): quant for entry in entries for quant in entry["fake_quants"]}
    assert set(quantized) <= set(quants), f"quantized are {sorted(quants)}"
    tf.import_graph_def(support.read_graph_def(result), name="")
    graph = tf.get_default_graph()
    with tf.Session() as session:
        session.run(["init_ranges", *(op for op in graph.get_operations() if op.name == "net/w/Assign")])
        fetches = {}
        for name in quantized:
            op = graph.get_operation_by_name(quants[name]["node"])
            fetches[name] = [op.inputs[0], op.outputs[0], list(op.inputs)[1:]]
            assert op.inputs[0].op.name == name
        # Once to let the ranges follow, once to look.
        for _ in range(2):
            values, output = session.run([fetches, "output:0"], {"images:0": IMAGES})
    for name, (original, levels, limits) in values.items():
        quant = quants[name]
        support.assert_on_grid(levels, original, limits, quant["bits"], quant["narrow_range"], name)
        assert len(np.unique(levels)) > 4, f"{name} has hardly any levels"
    assert output.shape == expected.shape
    error = np.abs(output - expected).max()
    assert error < 0.1 * np.abs(expected).max(), f"the output moved by {error}"
    assert error > 0, "nothing was quantized"


def behind_bias():
    x = tf.nn.bias_add(conv(images(), tf.constant(KERNEL, name="net/w"), "net/conv"), tf.constant(CHANNEL[0]))
    return tf.nn.relu(batch_norm(x, "net/norm")), {"net/norm": "fold_bias"}


def chained():
    x = batch_norm(conv(images(), tf.constant(KERNEL, name="a/w"), "a/conv"), "a/norm")
    x = batch_norm(conv(x, tf.constant(POINTWISE, name="b/w"), "b/conv"), "b/norm")
    return tf.nn.relu(x), {"a/norm": None, "b/norm": "fold_chain"}


def transposed():
    sizes = [tf.shape(images_ := images())[0], 16, 16, 6]
    x = tf.nn.conv2d_transpose(images_, tf.constant(KERNEL.transpose(0, 1, 3, 2)), sizes, [1, 2, 2, 1], name="up/conv")
    return tf.nn.relu(batch_norm(x, "up/norm")), {"up/norm": "layer_op"}


def transposed_behind_bias():
    kernel = tf.constant(KERNEL.transpose(0, 1, 3, 2))
    x = tf.nn.conv2d_transpose(images(), kernel, [4, 8, 8, 6], [1, 1, 1, 1], name="up/conv")
    return tf.nn.relu(batch_norm(tf.nn.bias_add(x, CHANNEL[1]), "up/norm")), {"up/norm": "fold_bias"}


def single_ops_behind_transposed():
    kernel = tf.constant(KERNEL.transpose(0, 1, 3, 2))
    x = tf.nn.conv2d_transpose(images(), kernel, [4, 8, 8, 6], [1, 1, 1, 1], name="up/conv")
    gamma, beta, mean, variance = CHANNEL
    return tf.nn.relu(tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3, "up/norm")), {"up/norm": "fold_affine"}


def three_dimensional():
    kernel = tf.constant(RANDOM.normal(0, 0.3, [2, 3, 3, 3, 6]).astype(np.float32))
    frames = tf.reshape(images(), [-1, 4, 2, 8, 3])
    x = tf.nn.conv3d(frames, kernel, [1, 1, 1, 1, 1], "SAME", name="video/conv")
    gamma, beta, mean, variance = (tf.constant(values) for values in CHANNEL)
    norm = {"is_training": False, "data_format": "NDHWC", "name": "video/norm"}
    return tf.nn.relu(tf.raw_ops.FusedBatchNormV3(x=x, scale=gamma, offset=beta, mean=mean, variance=variance, **norm).y), {
        "video/norm": "layer_op"
    }


FOLDED = [
    behind_bias,
    chained,
    transposed,
    transposed_behind_bias,
    single_ops_behind_transposed,
    three_dimensional,
]


@pytest.mark.parametrize("build", FOLDED, ids=lambda build: build.__name__)
def test_the_rule_folds_its_batch_norm(tfquant, build):
    path, expected, norms = exported(tfquant, build)
    options = ["--match", "topology", "--mode", "eval"]
    folded, report = tfquant.folder / "folded.pb", tfquant.folder / "folded.json"
    tfquant.run("fold", path, "-o", folded, "--report", report, *options)
    told = {norm["node"]: norm.get("extension") for norm in support.read_report(report)["batch_norms"]}
    assert told == norms
    tf.import_graph_def(support.read_graph_def(folded), name="")
    graph = tf.get_default_graph()
    live = tf.graph_util.extract_sub_graph(graph.as_graph_def(), ["output"])
    assert not [node.name for node in live.node if node.op.startswith("FusedBatchNorm")]
    with tf.Session() as session:
        output = session.run("output:0", {"images:0": IMAGES})
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    _, report = tfquant.rewrite(path, *options, fold=True)
    outcomes = {layer["outcome"] for layer in report["layers"]}
    assert outcomes <= {"quantized", "folded_twin"}, outcomes
