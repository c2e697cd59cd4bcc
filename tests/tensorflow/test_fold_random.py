"""Folding keeps what a network computes: random networks of everything that can stand around a batch norm."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import support

SIZE, CHANNELS, BATCH = 25, 4, 2
NORMS = ["fused", "fused_v1", "plain", "plain_no_gamma", "plain_no_beta", "constants", "subtract_divide"]
SWITCHED = ["fused_switched", "plain_switched"]


class Network:
    """Builds one random network into the default graph; notes how many batch norms there are."""

    def __init__(self, seed, training):
        self.random = np.random.RandomState(seed)
        self.training = training
        self.channels_second = self.pick([False, False, True])
        self.storage = self.pick(["constant", "variable", "resource"] if not training else ["variable", "resource"])
        self.norms = []

    def pick(self, choices):
        return choices[self.random.randint(len(choices))]

    def stored(self, shape, low=-1.0, high=1.0):
        value = self.random.uniform(low, high, shape).astype(np.float32)
        if self.storage == "constant":
            return tf.identity(tf.constant(value))
        name = f"v{len(tf.global_variables())}"
        return tf.get_variable(name, initializer=value, use_resource=self.storage == "resource")

    def build(self):
        shape = [CHANNELS, SIZE, SIZE] if self.channels_second else [SIZE, SIZE, CHANNELS]
        batch = self.pick([None, BATCH])
        known = self.pick([True, True, False])
        x = tf.placeholder(tf.float32, [batch, *shape] if known else [None, None, None, None], name="input")
        self.predicate = tf.placeholder_with_default(False, [], name="is_training")
        channels = CHANNELS
        for index in range(self.random.randint(1, 4)):
            with tf.variable_scope(f"layer{index}"):
                x, channels = self.layer(x, channels, self.pick(["conv", "conv", "depthwise", "transposed"]))
        if self.pick([True, False]):
            x = tf.reduce_mean(x, [2, 3] if self.channels_second else [1, 2])
            x.set_shape([None, channels])
            with tf.variable_scope("dense"):
                x, channels = self.layer(x, channels, "dense")
        tf.identity(x, name="output")
        shape = [BATCH, *shape]
        return {"input:0": self.random.normal(0, 1, shape).astype(np.float32)}

    def layer(self, x, channels, kind):
        """A layer with its batch norm; its output, and how many channels that has."""
        outputs = int(self.random.randint(2, 6))
        kind = "conv" if kind == "transposed" and self.channels_second else kind
        if kind == "dense":
            transposed = self.pick([True, False])
            weights = self.stored([outputs, channels] if transposed else [channels, outputs])
            x = tf.matmul(x, weights, transpose_b=transposed)
        elif kind == "transposed":
            x = self.transposed(x, self.stored([2, 3, outputs, channels]))
        else:
            if kind == "depthwise":
                multiplier = int(self.random.randint(1, 3))
                weights, outputs = self.stored([2, 3, channels, multiplier]), channels * multiplier
            else:
                weights = self.stored([2, 3, channels, outputs])
            x = self.convolution(x, weights, kind)
        x = self.bias(x, outputs, kind)
        x = self.batch_norm(x, outputs, kind)
        activation = self.pick([tf.nn.relu, tf.nn.relu6, tf.identity, None])
        return (activation(x) if activation else x), outputs

    def convolution(self, x, weights, kind):
        stride = self.pick([1, 1, 2])
        dilation = self.pick([1, 2]) if stride == 1 else 1
        padding = self.pick(["SAME", "VALID", "EXPLICIT"])
        blocks = dilation > 1 and (kind == "depthwise" or self.pick([True, False]))
        spatial = [1, 1, stride, stride] if self.channels_second else [1, stride, stride, 1]
        data_format = "NCHW" if self.channels_second else "NHWC"
        if padding == "EXPLICIT":
            margins = [[0, 0], [1, 2], [2, 1]]
            margins.insert(1 if self.channels_second else 3, [0, 0])
            padding = margins if not blocks else "VALID"
        sizes = x.shape.as_list()[1:3] if x.shape.rank else [None]
        if self.channels_second or None in sizes:
            blocks = False
        op = tf.nn.conv2d if kind == "conv" else tf.nn.depthwise_conv2d
        if not blocks:
            options = {"dilations": [1, 1, dilation, dilation] if self.channels_second else [1, dilation, dilation, 1]}
            if kind == "depthwise":
                options = {}
            return op(x, weights, strides=spatial, padding=padding, data_format=data_format, **options)
        # As slim and Keras write a dilated convolution.
        if self.pick([True, False]):
            x = tf.placeholder_with_default(x, [None, None, None, x.shape[3]])
        margins = [[0, 0], [0, 0]] if padding == "VALID" else [[2, 3], [1, 2]]
        crops = [[0, (size + sum(margin)) % 2] for size, margin in zip(sizes, margins)]
        margins = [[before, after + more] for (before, after), (_, more) in zip(margins, crops)]
        blocked = tf.space_to_batch_nd(x, [2, 2], margins)
        result = op(blocked, weights, strides=[1, 1, 1, 1], padding="VALID")
        return tf.batch_to_space_nd(result, [2, 2], crops)

    def transposed(self, x, weights):
        stride = self.pick([1, 2])
        batch, height, width, _ = tf.unstack(tf.shape(x))
        sizes = [batch, height * stride, width * stride, weights.shape[2]]
        return tf.nn.conv2d_transpose(x, weights, sizes, [1, stride, stride, 1])

    def per_channel(self, vector, kind, channels):
        """Laid out to be combined with what the layer yields, in one way or another."""
        if self.channels_second and kind != "dense":
            return tf.reshape(vector, self.pick([[1, channels, 1, 1], [channels, 1, 1]]))
        return vector

    def bias(self, x, channels, kind):
        way = self.pick(["none", "none", "bias_add", "add"])
        if way == "none":
            return x
        bias = self.stored([channels])
        if way == "bias_add":
            return tf.nn.bias_add(x, bias, data_format="NCHW" if self.channels_second and kind != "dense" else None)
        bias = self.per_channel(bias, kind, channels)
        return self.pick([lambda: x + bias, lambda: bias + x])()

    def batch_norm(self, x, channels, kind):
        forms = ["fused"] if self.training else NORMS + SWITCHED
        form = self.pick(forms)
        if form.startswith("fused") and kind == "dense":
            form = "plain" if not self.training else None
        if form is None:
            return x
        self.norms.append(form)
        gamma, beta, mean = self.stored([channels]), self.stored([channels]), self.stored([channels])
        variance = self.stored([channels], 0.5, 1.5)
        if form.startswith("fused"):
            return self.fused(x, gamma, beta, mean, variance, form)
        axes = ([0, 2, 3] if self.channels_second else [0, 1, 2]) if kind != "dense" else [0]
        if form == "plain_switched":
            moments = [tf.reshape(moment, [channels]) for moment in tf.nn.moments(x, axes)]
            mean = tf.cond(self.predicate, lambda: moments[0], lambda: tf.identity(mean))
            variance = tf.cond(self.predicate, lambda: moments[1], lambda: tf.identity(variance))
        gamma, beta, mean, variance = [self.per_channel(tensor, kind, channels) for tensor in (gamma, beta, mean, variance)]
        if form == "constants":
            return self.pick([lambda: x * gamma + beta, lambda: gamma * x - beta])()
        if form == "subtract_divide":
            return (x - mean) / tf.sqrt(variance + 1e-3) * gamma + beta
        gamma = None if form == "plain_no_gamma" else gamma
        beta = None if form == "plain_no_beta" else beta
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)

    def fused(self, x, gamma, beta, mean, variance, form):
        options = {"epsilon": 1e-3, "data_format": "NCHW" if self.channels_second else "NHWC"}
        op = tf.raw_ops.FusedBatchNorm if form == "fused_v1" else tf.raw_ops.FusedBatchNormV3

        def normalise(training):
            of = (tf.constant([], tf.float32),) * 2 if training else (mean, variance)
            of = [tf.convert_to_tensor(tensor) for tensor in (gamma, beta, *of)]
            return op(x=x, scale=of[0], offset=of[1], mean=of[2], variance=of[3], is_training=training, **options)

        if form == "fused_switched":
            return tf.cond(self.predicate, lambda: normalise(True).y, lambda: normalise(False).y)
        result = normalise(self.training)
        if self.training:
            for average, statistic in ((mean, result.batch_mean), (variance, result.batch_variance)):
                average.assign_sub((average - statistic) * tf.constant(0.1))
        return result.y


def channels_last(graph_def):
    """Puts transposes around what the CPU has no kernel for: convolutions and batch norms with their channels second."""
    result = tf.GraphDef()
    for node in graph_def.node:
        is_second = node.attr["data_format"].s == b"NCHW" if "data_format" in node.attr else False
        if not is_second or node.op == "BiasAdd":
            result.node.add().CopyFrom(node)
            continue
        inner, name = tf.NodeDef(), node.name
        inner.CopyFrom(node)
        inner.name = f"{name}/last"
        inner.attr.pop("_output_shapes", None)
        inner.attr["data_format"].s = b"NHWC"
        for key in ("strides", "dilations"):
            if key in inner.attr:
                order = inner.attr[key].list.i
                inner.attr[key].list.i[:] = [order[0], order[2], order[3], order[1]]
        if inner.attr["explicit_paddings"].list.i:
            pads = list(inner.attr["explicit_paddings"].list.i)
            inner.attr["explicit_paddings"].list.i[:] = pads[:2] + pads[4:] + pads[2:4]
        inner.input[0] = f"{name}/in"
        for suffix, source, order in (("in", node.input[0], [0, 2, 3, 1]), ("out", inner.name, [0, 3, 1, 2])):
            constant = result.node.add(name=f"{name}/{suffix}/order", op="Const")
            constant.attr["dtype"].type = tf.int32.as_datatype_enum
            constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(order, tf.int32))
            turned = result.node.add(name=name if suffix == "out" else f"{name}/in", op="Transpose")
            turned.input.extend([source, constant.name])
            turned.attr["T"].type = tf.float32.as_datatype_enum
            turned.attr["Tperm"].type = tf.int32.as_datatype_enum
        result.node.add().CopyFrom(inner)
        renamed.update({f"{name}:{port}": f"{inner.name}:{port}" for port in range(1, 6)})
    for node in result.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    result.versions.CopyFrom(graph_def.versions)
    return result


renamed = {}


def without_quantizers(graph_def):
    """Lets the readers of every fake quantizer read what it quantizes."""
    inputs = {node.name: node.input[0] for node in graph_def.node if node.op == "FakeQuantWithMinMaxVars"}
    for node in graph_def.node:
        node.input[:] = [inputs.get(name.removesuffix(":0"), name) for name in node.input]


def run(path, images, quantized=False):
    """What the network yields."""
    meta_graph = tf.MetaGraphDef()
    meta_graph.ParseFromString(path.read_bytes())
    if quantized:
        without_quantizers(meta_graph.graph_def)
    renamed.clear()
    meta_graph.graph_def.CopyFrom(channels_last(meta_graph.graph_def))
    with tf.Graph().as_default():
        tf.train.import_meta_graph(meta_graph)
        with support.session() as session:
            return session.run("output:0", images)


def assert_same(actual, expected, what):
    off = np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-3)
    assert actual.shape == expected.shape and off < 1e-5, f"{what}: off by {off}"


def exported(folder, seed, training):
    """Exports the network of that seed; returns it, where it is, and images for it."""
    path = folder / f"{seed}.meta"
    tf.disable_control_flow_v2()
    with tf.Graph().as_default() as graph:
        network = Network(seed, training)
        images = network.build()
        meta_graph = tf.train.export_meta_graph(graph=graph)
    if network.pick([True, False]):
        for node in meta_graph.graph_def.node:
            node.attr.pop("_output_shapes", None)
    path.write_bytes(meta_graph.SerializeToString())
    return network, path, images


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_random_networks_compute_the_same_folded_and_quantized(tfquant, training):
    for seed in range(20 if training else 60):
        network, path, images = exported(tfquant.folder, seed, training)
        expected = run(path, images)
        mode = "training" if training else "eval"
        options = ["--match", "topology", "--mode", mode, "-q"]
        for verb, quantized in (("fold", False), ("rewrite", True)):
            output, report = tfquant.folder / f"{seed}_{verb}.meta", tfquant.folder / "report.json"
            tfquant.run(verb, path, "-o", output, "--report", report, *options)
            norms = support.read_report(report)["batch_norms"]
            what = f"seed {seed}, {verb}, {network.norms}, {norms}"
            assert [norm["outcome"] for norm in norms] == ["folded"] * len(network.norms), what
            assert_same(run(output, images, quantized), expected, what)


def unfused(training):
    """A layer with a batch norm of single ops on resource variables, called as TF-Slim calls them."""
    x = tf.placeholder(tf.float32, [BATCH, SIZE, SIZE, CHANNELS], name="input")
    random = np.random.RandomState(1)
    with tf.variable_scope("c"):
        stored = lambda name, shape, low=-1.0: tf.get_variable(
            name, initializer=random.uniform(low, 1, shape).astype(np.float32), use_resource=True
        )
        x = tf.nn.conv2d(x, stored("weights", [3, 3, CHANNELS, 5]), padding="SAME", strides=1)
        names = ["gamma", "beta", "moving_mean", "moving_variance"]
        gamma, beta, *averages = [stored(f"BatchNorm/{name}", [5], 0.2) for name in names]
    with tf.name_scope("c/BatchNorm/"):
        statistics = tf.nn.moments(x, [0, 1, 2]) if training else averages
        for index, (average, statistic) in enumerate(zip(averages, statistics)):
            with tf.name_scope("AssignMovingAvg_1" if index else "AssignMovingAvg"):
                average.assign_sub((average - statistic) * tf.constant(0.1, name="decay"))
        x = tf.nn.batch_normalization(x, *statistics, beta, gamma, 1e-3, name="batchnorm_1")
    with tf.name_scope("c/"):
        x = tf.nn.relu(x, name="Relu")
    tf.identity(x, name="output")
    return {"input:0": random.normal(0, 1, [BATCH, SIZE, SIZE, CHANNELS]).astype(np.float32)}


def test_unfused_batch_norms_on_resource_variables_fold_in_training(tfquant):
    path, output = tfquant.folder / "unfused.meta", tfquant.folder / "folded.meta"
    with tf.Graph().as_default():
        images = unfused(training=True)
        tf.train.export_meta_graph(str(path))
    options = ["--match", "topology", "--strict-fold", "-q"]
    tfquant.run("fold", path, "-o", output, *options)
    assert_same(run(output, images), run(path, images), "unfused")
    folded = tf.MetaGraphDef.FromString(output.read_bytes()).graph_def
    reads = {name for node in folded.node if node.name.startswith("c/batch_norm_correction") for name in node.input}
    assert "c/BatchNorm/moving_variance/Read/ReadVariableOp" in reads, reads
