"""Makes the graphs of this folder, and asks the converter what it says of each.

Run with TensorFlow 2.15 (its `toco_from_protos` on the PATH) in this folder. Writes NAME.pb for every case, and
converter.json: null where the converter that reads fake quantizers (`experimental_new_converter = False`, uint8) takes
the graph, else the first array that it says lacks min/max data. The weights of each case are narrow, as that converter
refuses others for another reason.
"""

import json
import re

import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1
fake_quant = tf.quantization.fake_quant_with_min_max_vars
FQ = fake_quant
cases = {}


def convert(graph, x, outputs):
    with tf1.Session(graph=graph) as session:
        converter = tf1.lite.TFLiteConverter.from_session(session, [x], outputs)
        converter.experimental_new_converter = False
        converter.inference_type = tf.uint8
        converter.quantized_input_stats = {"x": (128, 127)}
        try:
            converter.convert()
            return None
        except Exception as error:
            text = str(error)
            found = re.search(r"Array (\S+), which is an input", text) or re.search(
                r"Array (\S+) does not have MinMax", text
            )
            found = found or re.search(r"array named (\S+) lacks minmax", text)
            return found.group(1) if found else "refused: " + text[-300:]


def make(name, build):
    graph = tf.Graph()
    with graph.as_default():
        x = tf1.placeholder(tf.float32, [1, 8, 8, 4], name="x")
        outputs = build(x)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        with open(name + ".pb", "wb") as file:
            file.write(graph.as_graph_def().SerializeToString())
    return convert(graph, x, outputs)


w = np.random.RandomState(0).randn(3, 3, 4, 4).astype("f")
b = np.ones(4, "f")


def fq(t, n, lo=-1.0, hi=1.0):
    return FQ(t, lo, hi, name=n)


def conv(x, n, act=None, quant_w=True, bias=True):
    k = tf.constant(w, name=n + "/weights")
    if quant_w:
        k = FQ(k, -5.0, 5.0, narrow_range=True, name=n + "/wq")
    y = tf1.nn.conv2d(x, k, strides=[1, 1, 1, 1], padding="SAME", name=n + "/Conv2D")
    if bias:
        y = tf1.nn.bias_add(y, tf.constant(b, name=n + "/b"), name=n + "/BiasAdd")
    if act:
        y = act(y, name=n + "/act")
    return y


def case(build):
    cases[build.__name__] = build
    return build


@case
def plain(x):
    return conv(x, "a", tf.nn.relu6)


@case
def quant(x):
    return fq(conv(x, "a", tf.nn.relu6), "q")


@case
def two(x):
    return fq(conv(conv(x, "a", tf.nn.relu6), "b", tf.nn.relu), "q")


@case
def maxpool(x):
    return tf.nn.max_pool2d(fq(conv(x, "a", tf.nn.relu6), "q"), 2, 2, "SAME", name="pool")


@case
def maxpool_before(x):
    return fq(tf.nn.max_pool2d(conv(x, "a", tf.nn.relu6), 2, 2, "SAME", name="pool"), "q")


@case
def reshape_softmax(x):
    return tf.nn.softmax(tf.reshape(fq(conv(x, "a"), "q"), [1, -1], name="rs"), name="sm")


@case
def softmax_noq(x):
    return tf.nn.softmax(tf.reshape(conv(x, "a"), [1, -1], name="rs"), name="sm")


@case
def concat_part(x):
    a = fq(conv(x, "a", tf.nn.relu6), "qa")
    c = conv(x, "c", tf.nn.relu)
    return tf.concat([a, c], 3, name="cat")


@case
def concat_none(x):
    return tf.concat([conv(x, "a", tf.nn.relu6), conv(x, "c", tf.nn.relu)], 3, name="cat")


@case
def concat_out(x):
    return fq(tf.concat([conv(x, "a", tf.nn.relu6), conv(x, "c", tf.nn.relu)], 3, name="cat"), "q")


@case
def add_noq(x):
    return fq(conv(tf.add(fq(conv(x, "a", tf.nn.relu6), "qa"), fq(conv(x, "c"), "qc"), name="add"), "d"), "q")


@case
def add_q(x):
    return fq(tf.add(fq(conv(x, "a", tf.nn.relu6), "qa"), fq(conv(x, "c"), "qc"), name="add"), "q")


@case
def add_relu_q(x):
    return fq(
        tf.nn.relu(tf.add(fq(conv(x, "a", tf.nn.relu6), "qa"), fq(conv(x, "c"), "qc"), name="add"), name="r"), "q"
    )


@case
def raw_and_q(x):
    r = conv(x, "a", tf.nn.relu6)
    return fq(tf.add(fq(r, "qa"), r, name="add"), "q")


@case
def weights_noq(x):
    return fq(conv(x, "a", tf.nn.relu6, quant_w=False), "q")


@case
def nobias(x):
    return fq(conv(x, "a", bias=False), "q")


@case
def q_then_relu(x):
    return tf.nn.relu(fq(conv(x, "a"), "q"), name="r")


@case
def mean(x):
    return tf.reduce_mean(fq(conv(x, "a", tf.nn.relu6), "q"), [1, 2], name="mean")


@case
def mean_before(x):
    return fq(tf.reduce_mean(conv(x, "a", tf.nn.relu6), [1, 2], name="mean"), "q")


@case
def pad(x):
    return fq(conv(tf.pad(fq(conv(x, "a"), "qa"), [[0, 0], [1, 1], [1, 1], [0, 0]], name="pad"), "b"), "q")


@case
def resize(x):
    return tf1.image.resize_bilinear(fq(conv(x, "a"), "qa"), [16, 16], name="rb")


@case
def sigmoid(x):
    return fq(conv(tf.sigmoid(fq(conv(x, "a"), "qa"), name="sg"), "b"), "q")


@case
def tanh(x):
    return fq(conv(tf.tanh(fq(conv(x, "a"), "qa"), name="th"), "b"), "q")


@case
def mulc(x):
    return fq(conv(tf.multiply(fq(conv(x, "a"), "qa"), tf.constant(2.0, name="two"), name="mul"), "b"), "q")


@case
def addc(x):
    return fq(tf.add(fq(conv(x, "a"), "qa"), tf.constant(b, name="c"), name="add"), "q")


@case
def bn(x):
    y = conv(x, "a", bias=False)
    y, _, _ = tf1.nn.fused_batch_norm(
        y, tf.constant(b), tf.constant(b), tf.constant(b), tf.constant(b), is_training=False, name="bn"
    )
    return fq(tf.nn.relu6(y, name="r"), "q")


@case
def identity(x):
    return fq(tf.identity(tf.nn.relu6(tf.identity(conv(x, "a"), name="i1"), name="r"), name="i2"), "q")


@case
def identity_noq(x):
    return tf.identity(fq(conv(tf.identity(conv(x, "a"), name="i1"), "b"), "q"), name="out")


@case
def transpose_split(x):
    a, c = tf.split(tf.transpose(fq(conv(x, "a"), "qa"), [0, 2, 1, 3], name="tr"), 2, axis=3, name="sp")
    return fq(tf.add(a, c, name="add"), "q")


@case
def leaky(x):
    return fq(conv(tf.nn.leaky_relu(fq(conv(x, "a"), "qa"), name="lr"), "b"), "q")


@case
def leaky2(x):
    return fq(tf.nn.leaky_relu(conv(x, "a"), name="lr"), "q")


@case
def relu_two_readers(x):
    y = conv(x, "a")
    return fq(tf.add(fq(tf.nn.relu(y, name="r"), "qa"), fq(tf.nn.relu6(y, name="r6"), "qb"), name="add"), "q")


@case
def relu_input(x):
    return fq(conv(tf.nn.relu(x, name="rx"), "a"), "q")


@case
def argmax(x):
    return tf.argmax(tf.reshape(conv(x, "a"), [1, -1], name="rs"), 1, name="am")


@case
def min_above_max(x):
    return fq(conv(x, "a", tf.nn.relu6), "q", 1.0, -1.0)


@case
def no_zero(x):
    return fq(conv(x, "a", tf.nn.relu6), "q", 0.5, 1.0)


@case
def bits4(x):
    return FQ(conv(x, "a", tf.nn.relu6), 0.0, 6.0, num_bits=4, name="q")


@case
def fc(x):
    return fq(
        tf.add(
            tf.matmul(tf.reshape(x, [1, 256], name="rs"), fq(tf.ones([256, 4], name="w"), "wq"), name="mm"),
            tf.constant(b),
            name="add",
        ),
        "q",
    )


@case
def strided(x):
    return fq(tf.add(fq(conv(x, "a"), "qa")[:, 1:3], fq(conv(x, "b"), "qb")[:, 3:5], name="add"), "q")


@case
def mul2(x):
    return conv(tf.multiply(fq(conv(x, "a"), "qa"), fq(conv(x, "b"), "qb"), name="mul"), "c")


@case
def atrous(x):
    return fq(
        tf.nn.atrous_conv2d(
            fq(conv(x, "a"), "qa"),
            FQ(tf.constant(w, name="w"), -5.0, 5.0, narrow_range=True, name="wq"),
            2,
            "SAME",
            name="at",
        ),
        "q",
    )


@case
def atrous2(x):
    s = tf.space_to_batch_nd(fq(conv(x, "a"), "qa"), [2, 2], [[2, 2], [2, 2]], name="s2b")
    y = tf1.nn.conv2d(
        fq(s, "qs"),
        FQ(tf.constant(w, name="w"), -5.0, 5.0, narrow_range=True, name="wq"),
        strides=[1, 1, 1, 1],
        padding="VALID",
        name="C",
    )
    return fq(tf.batch_to_space(y, [2, 2], [[0, 0], [0, 0]], name="b2s"), "q")


@case
def sub(x):
    return conv(tf.subtract(fq(conv(x, "a"), "qa"), fq(conv(x, "b"), "qb"), name="sub"), "c")


@case
def pool_relu(x):
    return fq(tf.nn.relu(tf.nn.avg_pool2d(fq(conv(x, "a"), "qa"), 2, 2, "SAME", name="pool"), name="r"), "q")


@case
def pool_relu_noq(x):
    return fq(conv(tf.nn.relu(tf.nn.max_pool2d(fq(conv(x, "a"), "qa"), 2, 2, "SAME", name="pool"), name="r"), "b"), "q")


@case
def maximum(x):
    return fq(conv(tf.maximum(fq(conv(x, "a"), "qa"), fq(conv(x, "b"), "qb"), name="max"), "c"), "q")


@case
def maximum_c(x):
    return fq(conv(tf.maximum(fq(conv(x, "a"), "qa"), 0.1, name="max"), "c"), "q")


@case
def rsum(x):
    return fq(conv(tf.reduce_sum(fq(conv(x, "a"), "qa"), [1], keepdims=True, name="sum"), "c"), "q")


@case
def rmax(x):
    return fq(conv(tf.reduce_max(fq(conv(x, "a"), "qa"), [1], keepdims=True, name="rmax"), "c"), "q")


@case
def tile(x):
    return fq(conv(tf.tile(fq(conv(x, "a"), "qa"), [1, 2, 1, 1], name="tile"), "c"), "q")


@case
def pack(x):
    return fq(
        conv(
            tf.reshape(
                tf.stack([fq(conv(x, "a"), "qa"), fq(conv(x, "b"), "qb")], 1, name="pack"), [1, 16, 8, 4], name="rs"
            ),
            "c",
        ),
        "q",
    )


@case
def unpack(x):
    return fq(tf.unstack(fq(conv(x, "a"), "qa"), axis=1, name="un")[0] + 1.0, "q")


@case
def gather(x):
    return fq(conv(tf.gather(fq(conv(x, "a"), "qa"), [0, 1, 2], axis=1, name="ga"), "c"), "q")


@case
def slice_(x):
    return fq(conv(tf.slice(fq(conv(x, "a"), "qa"), [0, 1, 1, 0], [1, 4, 4, 4], name="sl"), "c"), "q")


@case
def concat_q(x):
    return fq(conv(tf.concat([fq(conv(x, "a"), "qa"), fq(conv(x, "b"), "qb", -2.0, 2.0)], 1, name="cat"), "c"), "q")


@case
def elu(x):
    return fq(tf.nn.elu(conv(x, "a"), name="elu"), "q")


@case
def hswish(x):
    y = fq(conv(x, "a"), "qa")
    return fq(tf.multiply(y, tf.nn.relu6(y + 3.0, name="r6") * (1 / 6.0), name="hs"), "q")


@case
def squeeze(x):
    return fq(conv(tf.expand_dims(tf.squeeze(fq(conv(x, "a"), "qa"), [0], name="sq"), 0, name="ex"), "c"), "q")


@case
def mulc_end(x):
    return tf.multiply(fq(conv(x, "a"), "qa"), 2.0, name="mul")


@case
def mulc_pool(x):
    return tf.nn.max_pool2d(tf.multiply(fq(conv(x, "a"), "qa"), 2.0, name="mul"), 2, 2, "SAME", name="pool")


@case
def mulc_fused(x):
    return fq(tf.multiply(conv(x, "a"), 2.0, name="mul"), "q")


@case
def addc_fused(x):
    return fq(tf.add(tf.multiply(conv(x, "a"), 2.0, name="mul"), b, name="ad"), "q")


@case
def bn_alone(x):
    y, _, _ = tf1.nn.fused_batch_norm(
        fq(conv(x, "a"), "qa"),
        tf.constant(b),
        tf.constant(b),
        tf.constant(b),
        tf.constant(b),
        is_training=False,
        name="bn",
    )
    return fq(y, "q")


@case
def dw(x):
    y = tf1.nn.depthwise_conv2d_native(
        fq(conv(x, "a"), "qa"),
        FQ(tf.constant(w[..., :1]), -5.0, 5.0, narrow_range=True),
        [1, 1, 1, 1],
        "SAME",
        name="dw",
    )
    return fq(conv(tf.nn.relu6(tf.nn.bias_add(y, b, name="ba"), name="r6"), "c"), "q")


@case
def deconv(x):
    return fq(
        conv(
            tf1.nn.conv2d_transpose(
                fq(conv(x, "a"), "qa"),
                FQ(tf.constant(w), -5.0, 5.0, narrow_range=True),
                [1, 16, 16, 4],
                [1, 2, 2, 1],
                name="dc",
            ),
            "c",
        ),
        "q",
    )


@case
def softmax_mid(x):
    return fq(conv(tf.nn.softmax(fq(conv(x, "a"), "qa"), name="sm"), "c"), "q")


@case
def logsoftmax(x):
    return tf.nn.log_softmax(tf.reshape(fq(conv(x, "a"), "qa"), [1, -1]), name="lsm")


@case
def l2n(x):
    return fq(conv(tf.nn.l2_normalize(fq(conv(x, "a"), "qa"), 3, name="l2"), "c"), "q")


@case
def relu_shared(x):
    y = fq(conv(x, "a"), "qa")
    return fq(tf.add(tf.nn.relu(y, name="r"), y, name="add"), "q")


@case
def square(x):
    return fq(tf.square(conv(x, "a"), name="sq2"), "q")


@case
def rsqrt_(x):
    return fq(conv(tf.math.rsqrt(fq(conv(x, "a"), "qa"), name="rs"), "c"), "q")


@case
def clip(x):
    return fq(tf.clip_by_value(conv(x, "a"), -1.0, 1.0, name="clip"), "q")


@case
def conv_end(x):
    return conv(x, "a")


@case
def two_readers(x):
    y = fq(conv(x, "a"), "qa")
    z = conv(y, "b")
    return [fq(z, "qz"), tf.nn.max_pool2d(z, 2, 2, "SAME", name="pool")]


@case
def conv_two_bias(x):
    y = tf1.nn.conv2d(x, tf.constant(w), strides=[1, 1, 1, 1], padding="SAME", name="C")
    return fq(
        tf.add(fq(tf.nn.bias_add(y, b, name="b1"), "q1"), fq(tf.nn.bias_add(y, 2 * b, name="b2"), "q2"), name="add"),
        "q",
    )


@case
def resize_nn(x):
    return fq(conv(tf1.image.resize_nearest_neighbor(fq(conv(x, "a"), "qa"), [16, 16], name="rn"), "c"), "q")


@case
def mirror(x):
    return fq(conv(tf.pad(fq(conv(x, "a"), "qa"), [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT", name="mp"), "c"), "q")


@case
def d2s(x):
    return fq(
        conv(tf.concat([tf.nn.depth_to_space(fq(conv(x, "a"), "qa"), 2, name="d2s")] * 4, 3, name="cat"), "c"), "q"
    )


@case
def addn(x):
    return fq(
        conv(tf.add_n([fq(conv(x, "a"), "qa"), fq(conv(x, "b"), "qb"), fq(conv(x, "d"), "qd")], name="an"), "c"), "q"
    )


said = {name: make(name, build) for name, build in sorted(cases.items())}
with open("converter.json", "w") as file:
    json.dump(said, file, indent=1)
