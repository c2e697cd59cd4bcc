"""Graphs of one op, or a few, at their corners: the interpreter makes what TensorFlow makes.

Hundreds of cases run in one process of `examples/run_graph.rs`.
"""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

ROUNDING = 2e-6
EXACT = 0

raw = tf.raw_ops
random = np.random.RandomState(3)
CASES = {}


def normal(*shape):
    return np.array(random.normal(size=shape), np.float32)


def ints(*shape, low=-9, high=9, dtype=np.int32):
    return np.array(random.randint(low, high, shape), dtype)


def bools(*shape):
    return np.array(random.random_sample(shape) < 0.5)


class Case:
    """What is built on which arrays; `like` builds what TensorFlow's processor kernels lack in another way."""

    def __init__(self, build, arrays, tolerance, like):
        self.build, self.arrays, self.tolerance, self.like = build, arrays, tolerance, like

    def graph(self, build):
        """The graph, and the names of its inputs and outputs."""
        with tf.Graph().as_default() as graph:
            tf.set_random_seed(1)
            inputs = [tf.placeholder(array.dtype, array.shape, name=f"in{i}") for i, array in enumerate(self.arrays)]
            outputs = build(*inputs)
            outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
            return graph, inputs, [tf.identity(output, f"out{i}") for i, output in enumerate(outputs)]

    def expected(self):
        graph, inputs, outputs = self.graph(self.like or self.build)
        with tf.Session(graph=graph, config=CONFIG) as session:
            return session.run(outputs, dict(zip(inputs, self.arrays)))


CONFIG = tf.ConfigProto()
CONFIG.graph_options.rewrite_options.disable_meta_optimizer = True


def add(name, build, *arrays, tolerance=ROUNDING, like=None):
    assert name not in CASES, name
    CASES[name] = Case(build, [np.asarray(array) for array in arrays], tolerance, like)


def convolutions():
    for padding in ["SAME", "VALID"]:
        for size, kernel, stride, dilation in [
            ([7, 9], [3, 3], [1, 1], [1, 1]),
            ([7, 9], [3, 2], [2, 3], [1, 1]),
            ([8, 8], [3, 3], [1, 1], [2, 3]),
            ([9, 7], [1, 1], [2, 2], [1, 1]),
            ([9, 7], [1, 1], [1, 1], [1, 1]),
            ([6, 6], [2, 2], [5, 7], [1, 1]),
            ([5, 5], [5, 5], [1, 1], [1, 1]),
            ([4, 11], [1, 5], [1, 2], [1, 1]),
        ]:
            tag = f"{padding} {size} {kernel} {stride} {dilation}"
            options = dict(strides=[1, *stride, 1], dilations=[1, *dilation, 1], padding=padding)
            x, w = normal(2, *size, 6), normal(*kernel, 6, 5)
            add(f"conv {tag}", lambda x, w, o=options: raw.Conv2D(input=x, filter=w, **o), x, w)
            add(f"conv nchw {tag}", lambda x, w, o=options: nchw_conv(x, w, o), np.transpose(x, [0, 3, 1, 2]), w,
                like=lambda x, w, o=options: tf.transpose(
                    raw.Conv2D(input=tf.transpose(x, [0, 2, 3, 1]), filter=w, **o), [0, 3, 1, 2]))
            grouped = normal(*kernel, 2, 9)
            add(f"conv groups {tag}", lambda x, w, o=options: raw.Conv2D(input=x, filter=w, **o), x, grouped,
                like=lambda x, w, o=options: tf.concat([raw.Conv2D(input=a, filter=b, **o) for a, b in zip(
                    tf.split(x, 3, 3), tf.split(w, 3, 3))], 3))
            if stride[0] == stride[1] or dilation == [1, 1]:
                square = dict(options, strides=[1, stride[0], stride[0], 1])
                for multiplier in [1, 3]:
                    for channels in [6, 37]:
                        add(f"depthwise {multiplier} {channels} {tag}",
                            lambda x, w, o=square: raw.DepthwiseConv2dNative(input=x, filter=w, **o),
                            normal(2, *size, channels), normal(*kernel, channels, multiplier),
                            like=(None if dilation == [1, 1] else lambda x, w, p=padding, d=dilation:
                                  tf.nn.depthwise_conv2d(x, w, [1, 1, 1, 1], p, dilations=d)))
    for strides in [[1, 1], [2, 1]]:
        amounts = [0, 0, 2, 1, 0, 3, 0, 0]
        options = dict(strides=[1, *strides, 1], padding="EXPLICIT", explicit_paddings=amounts)
        add(f"conv explicit {strides}", lambda x, w, o=options: raw.Conv2D(input=x, filter=w, **o),
            normal(2, 6, 5, 3), normal(3, 3, 3, 4))
    amounts = [0, 0, 5, 0, 4, 0, 0, 0]
    add("conv explicit, all in the padding", lambda x, w: raw.Conv2D(
        input=x, filter=w, strides=[1, 10, 10, 1], padding="EXPLICIT", explicit_paddings=amounts),
        normal(1, 2, 2, 3), normal(1, 1, 3, 4))
    for size, kernel, channels, outputs in [([300, 3], 3, 1, 2), ([3, 300], 3, 2, 1), ([40, 40], 3, 3, 40),
                                            ([2, 2], 1, 600, 33), ([1, 1], 1, 600, 33), ([1, 2], 1, 9, 7), ([12, 12], 5, 64, 5)]:
        for padding in ["SAME", "VALID"]:
            if kernel <= min(size):
                add(f"conv {size} {kernel} {channels} {outputs} {padding}",
                    lambda x, w, p=padding: raw.Conv2D(input=x, filter=w, strides=[1, 1, 1, 1], padding=p),
                    normal(2, *size, channels), normal(kernel, kernel, channels, outputs), tolerance=5e-6)
    add("conv double", lambda x, w: raw.Conv2D(input=x, filter=w, strides=[1, 1, 1, 1], padding="SAME"),
        normal(1, 5, 5, 2).astype(np.float64), normal(3, 3, 2, 3).astype(np.float64))
    add("conv empty batch", lambda x, w: raw.Conv2D(input=x, filter=w, strides=[1, 1, 1, 1], padding="SAME"),
        normal(0, 5, 5, 2), normal(3, 3, 2, 3))
    add("conv large", lambda x, w: raw.Conv2D(input=x, filter=w, strides=[1, 2, 2, 1], padding="SAME"),
        normal(1, 65, 63, 40), normal(5, 5, 40, 17), tolerance=1e-5)
    for padding in ["SAME", "VALID"]:
        for kernel, stride in [([3, 3], [2, 2]), ([2, 2], [2, 2]), ([4, 3], [1, 3]), ([1, 1], [2, 2])]:
            def sizes(n, k, s, p=padding):
                return n * s if p == "SAME" else (n - 1) * s + k
            out = [2, sizes(5, kernel[0], stride[0]), sizes(4, kernel[1], stride[1]), 3]
            if padding == "VALID" and kernel == [1, 1]:
                out[1] += 1
            add(f"transposed conv {padding} {kernel} {stride}",
                lambda w, x, o=out, s=stride, p=padding: raw.Conv2DBackpropInput(
                    input_sizes=o, filter=w, out_backprop=x, strides=[1, *s, 1], padding=p),
                normal(*kernel, 3, 7), normal(2, 5, 4, 7))


def nchw_conv(x, w, options):
    s, d = options["strides"], options["dilations"]
    return raw.Conv2D(input=x, filter=w, padding=options["padding"], strides=[1, 1, s[1], s[2]],
                      dilations=[1, 1, d[1], d[2]], data_format="NCHW")


def pools():
    for padding in ["SAME", "VALID"]:
        for kernel, stride in [([2, 2], [2, 2]), ([3, 3], [1, 2]), ([3, 2], [4, 4]), ([5, 5], [1, 1])]:
            options = dict(ksize=[1, *kernel, 1], strides=[1, *stride, 1], padding=padding)
            first = dict(ksize=[1, 1, *kernel], strides=[1, 1, *stride], padding=padding, data_format="NCHW")
            tag = f"{padding} {kernel} {stride}"
            add(f"max pool {tag}", lambda x, o=options: raw.MaxPool(input=x, **o), normal(2, 7, 6, 5), tolerance=EXACT)
            add(f"avg pool {tag}", lambda x, o=options: raw.AvgPool(value=x, **o), normal(2, 7, 6, 5))
            add(f"avg pool nchw {tag}", lambda x, o=first: raw.AvgPool(value=x, **o), normal(2, 5, 7, 6),
                like=lambda x, o=options: tf.transpose(
                    raw.AvgPool(value=tf.transpose(x, [0, 2, 3, 1]), **o), [0, 3, 1, 2]))


def elementwise():
    positive = np.abs(normal(3, 4)) + 0.1
    unit = np.tanh(normal(3, 4))
    wide = normal(4, 33) * 8
    for op in ["Neg", "Abs", "Sign", "Square", "Relu", "Relu6", "Exp", "Expm1", "Sin", "Cos", "Tan", "Atan", "Sinh",
               "Cosh", "Asinh", "Tanh", "Sigmoid", "Erf", "Erfc", "Floor", "Ceil", "Rint", "Round", "Softplus",
               "Softsign", "Elu", "Selu", "LeakyRelu", "IsNan", "IsFinite", "IsInf"]:
        add(f"{op}", lambda x, op=op: getattr(raw, op)(**{input_name(op): x}), wide * 0.2 if op in (
            "Exp", "Expm1", "Sinh", "Cosh") else wide, tolerance=4e-6)
        add(f"{op} double", lambda x, op=op: getattr(raw, op)(**{input_name(op): x}), unit.astype(np.float64))
    odd = np.array([np.inf, -np.inf, np.nan, 0, -0.0, 2e-38, 100, -100, 0.5, 1.5, 2.5, -0.5], np.float32)
    for op in ["Exp", "Tanh", "Sigmoid", "Relu", "Rint", "Sqrt", "IsNan", "IsInf", "IsFinite", "Sign"]:
        add(f"{op} odd", lambda x, op=op: getattr(raw, op)(**{input_name(op): x}), odd)
    for op in ["Sqrt", "Rsqrt", "Reciprocal", "Inv", "Log", "Log1p"]:
        add(op, lambda x, op=op: getattr(raw, op)(x=x), positive)
    for op in ["Asin", "Acos", "Atanh"]:
        add(op, lambda x, op=op: getattr(raw, op)(x=x), unit)
    add("Acosh", lambda x: raw.Acosh(x=x), positive + 1)
    for op in ["Neg", "Abs", "Sign", "Square", "Relu"]:
        for dtype in [np.int32, np.int64, np.int8]:
            add(f"{op} {dtype.__name__}", lambda x, op=op: getattr(raw, op)(**{input_name(op): x}), ints(3, 4, dtype=dtype))
    add("LeakyRelu alpha", lambda x: raw.LeakyRelu(features=x, alpha=0.01), wide)
    add("LogicalNot", lambda x: raw.LogicalNot(x=x), bools(3, 4))
    add("Invert", lambda x: raw.Invert(x=x), ints(5))
    shapes = [([2, 3, 4], [2, 3, 4]), ([2, 3, 4], [4]), ([2, 3, 4], []), ([1, 3, 1], [2, 1, 4]), ([4, 1], [3]),
              ([0, 3], [1, 3]), ([2, 1, 5], [2, 3, 1]), ([], [2, 2])]
    for a, b in shapes:
        for op in ["AddV2", "Sub", "Mul", "Maximum", "Minimum", "SquaredDifference", "RealDiv", "DivNoNan", "Less",
                   "GreaterEqual", "Equal", "FloorDiv", "FloorMod", "Atan2"]:
            names = dict(Atan2="yx").get(op, "xy")
            add(f"{op} {a} {b}", lambda x, y, op=op, n=names: getattr(raw, op)(**{n[0]: x, n[1]: y}),
                normal(*a), np.add(normal(*b), 3, dtype=np.float32))
        for op in ["AddV2", "Sub", "Mul", "Maximum", "FloorDiv", "FloorMod", "TruncateDiv", "TruncateMod", "NotEqual"]:
            for dtype in [np.int32, np.int64]:
                add(f"{op} {a} {b} {dtype.__name__}", lambda x, y, op=op: getattr(raw, op)(x=x, y=y),
                    ints(*a, dtype=dtype), ints(*b, low=-5, high=-1, dtype=dtype))
        add(f"LogicalAnd {a} {b}", lambda x, y: raw.LogicalAnd(x=x, y=y), bools(*a), bools(*b))
        add(f"SelectV2 {a} {b}", lambda c, x, y: raw.SelectV2(condition=c, t=x, e=y), bools(*a), normal(*b), normal(*a))
    add("Pow", lambda x, y: raw.Pow(x=x, y=y), positive, normal(3, 4))
    add("Pow int", lambda x, y: raw.Pow(x=x, y=y), ints(5), ints(5, low=0, high=4))
    add("Xlogy", lambda x, y: raw.Xlogy(x=x, y=y), np.array([0, 1, 2], np.float32), np.array([0, 2, 3], np.float32))
    add("Add overflow", lambda x: x + x, np.array([2**31 - 1, -2**31], np.int32))
    add("uint8 arithmetic", lambda x, y: [x + y, x * y, x - y], ints(9, low=0, high=255, dtype=np.uint8),
        ints(9, low=0, high=255, dtype=np.uint8))
    add("Bitwise", lambda x, y: [raw.BitwiseAnd(x=x, y=y), raw.BitwiseOr(x=x, y=y), raw.BitwiseXor(x=x, y=y)],
        ints(9), ints(9))
    add("AddN", lambda x, y, z: raw.AddN(inputs=[x, y, z]), normal(3, 4), normal(3, 4), normal(3, 4))
    add("Bool equal", lambda x, y: [raw.Equal(x=x, y=y), raw.NotEqual(x=x, y=y)], bools(7), bools(7))
    add("BiasAdd", lambda x, b: raw.BiasAdd(value=x, bias=b), normal(2, 3, 4, 5), normal(5))
    add("BiasAdd rank 2", lambda x, b: raw.BiasAdd(value=x, bias=b), normal(3, 5), normal(5))
    add("BiasAdd nchw", lambda x, b: raw.BiasAdd(value=x, bias=b, data_format="NCHW"), normal(2, 5, 3, 4), normal(5))
    add("Select rows", lambda c, x, y: raw.Select(condition=c, x=x, y=y), bools(3), normal(3, 4), normal(3, 4))
    add("Select scalar", lambda c, x, y: raw.Select(condition=c, x=x, y=y), np.array(True), normal(3, 4), normal(3, 4))
    add("Where", lambda x: raw.Where(condition=x), bools(3, 4, 2))
    add("Where floats", lambda x: raw.Where(condition=x), np.array([[0, 1.5], [-2, 0]], np.float32))
    numbers = [-3.7, -0.2, 0, 0.9, 2.5, 100]
    types = [np.float32, np.float64, np.int32, np.int64, np.int8, np.bool_]
    for source in types:
        for to in [*types, np.uint8]:
            values = np.abs(numbers) if to is np.uint8 else np.array(numbers)
            add(f"Cast {source.__name__} {to.__name__}", lambda x, to=to: tf.cast(x, to), values.astype(source))
    for half in [tf.float16, tf.bfloat16]:
        add(f"Cast {half.name}", lambda x, h=half: tf.cast(tf.cast(x, h), tf.float32), wide, tolerance=EXACT)
        add(f"Add {half.name}", lambda x, y, h=half: tf.cast(tf.cast(x, h) + tf.cast(y, h), tf.float32), wide, wide * 0.37,
            tolerance=EXACT)
        add(f"Const {half.name}", lambda x, h=half: tf.cast(x, tf.float32) * tf.cast(
            tf.constant([0.1, 1.7, 3e-6], h), tf.float32), normal(3), tolerance=EXACT)


def input_name(op):
    return "features" if op in ("Relu", "Relu6", "Elu", "Selu", "LeakyRelu", "Softplus", "Softsign") else "x"


def reductions():
    for axes in [[0], [-1], [1, 2], [0, 2], [], [0, 1, 2], [-2]]:
        for keep in [False, True]:
            for op in ["Sum", "Mean", "Max", "Min", "Prod"]:
                add(f"{op} {axes} {keep}", lambda x, op=op, a=axes, k=keep: getattr(raw, op)(
                    input=x, axis=np.array(a, np.int32), keep_dims=k), normal(3, 4, 5))
            add(f"All Any {axes} {keep}", lambda x, a=axes, k=keep: [
                op(input=x, axis=np.array(a, np.int32), keep_dims=k) for op in (raw.All, raw.Any)], bools(3, 2, 2))
            add(f"Sum Mean int {axes} {keep}", lambda x, a=axes, k=keep: [
                op(input=x, axis=np.array(a, np.int64), keep_dims=k) for op in (raw.Sum, raw.Mean, raw.Max)], ints(3, 4, 5))
    for op in ["Sum", "Mean", "Max", "Prod"]:
        add(f"{op} of nothing", lambda x, op=op: getattr(raw, op)(input=x, axis=[0]), normal(0, 3))
    add("Mean large", lambda x: raw.Mean(input=x, axis=[1, 2]), normal(1, 120, 120, 3) + 5,
        tolerance=1e-5)
    for axis in [0, 1, -1]:
        for dtype in [tf.int32, tf.int64]:
            add(f"ArgMax {axis} {dtype.name}", lambda x, a=axis, d=dtype: [
                raw.ArgMax(input=x, dimension=a, output_type=d), raw.ArgMin(input=x, dimension=a, output_type=d)],
                ints(4, 5, 3).astype(np.float32))
    for exclusive in [False, True]:
        for reverse in [False, True]:
            add(f"Cumsum {exclusive} {reverse}", lambda x, e=exclusive, r=reverse: [
                op(x=x, axis=1, exclusive=e, reverse=r) for op in (raw.Cumsum, raw.Cumprod)], normal(2, 5, 3))
    for shape in [[4], [3, 7], [2, 3, 5], [2, 2, 3, 9]]:
        add(f"Softmax {shape}", lambda x: [tf.nn.softmax(x), tf.nn.log_softmax(x)], normal(*shape) * 20)
    add("L2Loss", lambda x: raw.L2Loss(t=x), normal(3, 4))
    add("l2_normalize", lambda x: tf.nn.l2_normalize(x, -1), normal(3, 4))


def movements():
    x = normal(3, 4, 5)
    for order in [[0, 1, 2], [2, 1, 0], [0, 2, 1], [1, 2, 0]]:
        add(f"Transpose {order}", lambda x, o=order: tf.transpose(x, o), x)
    add("Transpose 5", lambda x: tf.transpose(x, [4, 0, 3, 1, 2]), normal(2, 3, 1, 4, 2))
    add("Transpose bool", lambda x: tf.transpose(x), bools(3, 4))
    for tag, cut in {
        "plain": lambda x: x[1:3, :2],
        "ellipsis": lambda x: x[..., 1],
        "ellipsis middle": lambda x: x[1, ..., 2:4],
        "new axis": lambda x: x[:, tf.newaxis, 1, tf.newaxis, ::2],
        "ellipsis and new axis": lambda x: x[tf.newaxis, ..., tf.newaxis],
        "negative": lambda x: x[::-1, -3:-1, ::-2],
        "beyond": lambda x: x[-9:9, 2:100, 7:],
        "empty": lambda x: x[2:1, :, 0:0],
        "shrink negative": lambda x: x[-1, -2],
        "backwards": lambda x: x[2:0:-1, ::3],
        "huge step": lambda x: x[::2**31 - 1, 1:],
    }.items():
        add(f"StridedSlice {tag}", cut, x, tolerance=EXACT)
    add("StridedSlice of shape", lambda x: tf.reshape(x, [tf.shape(x)[0], -1]), x)
    add("Slice", lambda x: [tf.slice(x, [1, 0, 2], [2, -1, 3]), tf.slice(x, [3, 0, 0], [0, 1, 1])], x)
    for axis in [0, 1, -1, -3]:
        add(f"Concat {axis}", lambda x, y, a=axis: [tf.concat([x, y, x], a), raw.Concat(concat_dim=a % 3, values=[x, y])],
            x, normal(3, 4, 5))
        add(f"Split {axis}", lambda x, a=axis: tf.split(x, 3, a), normal(3, 6, 9))
        add(f"Pack {axis}", lambda x, y, a=axis: tf.stack([x, y], a), x, normal(3, 4, 5))
        add(f"Unpack {axis}", lambda x, a=axis: tf.unstack(x, axis=a), x)
    add("Concat uneven", lambda x, y: tf.concat([x, y], 1), normal(2, 0, 3), normal(2, 4, 3))
    add("SplitV", lambda x: tf.split(x, [1, -1, 3], 1), normal(2, 7, 3))
    for amounts in [[[1, 2], [0, 0], [3, 0]], [[0, 0], [1, 1], [2, 1]]]:
        add(f"Pad {amounts}", lambda x, a=amounts: [tf.pad(x, a), tf.pad(x, a, constant_values=-2.5)], x)
        for mode in ["REFLECT", "SYMMETRIC"]:
            add(f"MirrorPad {mode} {amounts}", lambda x, a=amounts, m=mode: tf.pad(x, a, m), normal(4, 4, 5))
    add("Tile", lambda x: [tf.tile(x, [2, 1, 3]), tf.tile(x, [0, 1, 1])], x)
    add("BroadcastTo", lambda x: tf.broadcast_to(x, [2, 3, 4, 5]), normal(3, 1, 5))
    for axis in [0, 1, -1]:
        add(f"Gather {axis}", lambda x, i, a=axis: tf.gather(x, i, axis=a), x, np.array([[0, 2], [1, 0]], np.int32))
    add("Gather op", lambda x, i: raw.Gather(params=x, indices=i), x, np.array([2, 0, 2], np.int64))
    add("Gather batch", lambda x, i: tf.gather(x, i, axis=2, batch_dims=1), x, ints(3, 2, low=0, high=5))
    add("GatherNd", lambda x, i: tf.gather_nd(x, i), x, np.array([[[0, 1], [2, 3]], [[1, 1], [0, 0]]], np.int32))
    add("GatherNd whole", lambda x: tf.gather_nd(x, np.zeros([2, 0], np.int32)), x)
    add("Reshape", lambda x: [tf.reshape(x, [-1, 6]), tf.reshape(x, [5, 2, 6]), tf.reshape(x, [-1])], x)
    add("Reshape empty", lambda x: tf.reshape(x, [0, -1]), normal(0, 3))
    add("Squeeze", lambda x: [tf.squeeze(x), tf.squeeze(x, [0]), tf.squeeze(x, [-2])], normal(1, 3, 1, 2))
    add("ExpandDims", lambda x: [tf.expand_dims(x, a) for a in (0, 2, -1)], x)
    add("Shape", lambda x: [tf.shape(x), tf.shape(x, out_type=tf.int64), tf.size(x), tf.rank(x), *tf.shape_n([x, x])], x)
    add("Range", lambda n, d: [tf.range(0, n, 3), tf.range(n, 0, -2), tf.range(0.0, d, 0.3), tf.range(5, 5)],
        np.array(10, np.int32), np.array(1.0, np.float32))
    add("Fill", lambda n: [tf.fill([n, 2], 7), tf.fill([n], True), tf.zeros_like(n), tf.ones_like(n)], np.array(3, np.int32))
    add("OneHot", lambda i: [tf.one_hot(i, 4), tf.one_hot(i, 4, on_value=5, off_value=-1, axis=0), tf.one_hot(i, 3, axis=1)],
        np.array([[0, 3], [-1, 2]], np.int32))
    add("Reverse", lambda x: [tf.reverse(x, [0, -1]), tf.reverse(x, [])], x)
    add("SpaceToBatch", lambda x: tf.space_to_batch_nd(x, [2, 3], [[1, 0], [0, 2]]), normal(2, 5, 4, 3))
    add("BatchToSpace", lambda x: tf.batch_to_space_nd(x, [2, 3], [[1, 0], [0, 2]]), normal(12, 3, 2, 3))
    add("SpaceToDepth", lambda x: tf.space_to_depth(x, 2), normal(2, 4, 6, 3))
    add("DepthToSpace", lambda x: tf.depth_to_space(x, 2), normal(2, 4, 3, 12))
    add("Identity", lambda x: [tf.identity(x), *tf.identity_n([x, x]), tf.stop_gradient(x),
                               tf.placeholder_with_default(x, [None, 4, 5])], x)
    for align, half in [(False, False), (True, False), (False, True)]:
        for size in [[7, 11], [3, 2], [5, 6], [1, 1], [12, 5]]:
            add(f"Resize {align} {half} {size}", lambda x, s=size, a=align, h=half: [
                raw.ResizeBilinear(images=x, size=s, align_corners=a, half_pixel_centers=h),
                raw.ResizeNearestNeighbor(images=x, size=s, align_corners=a, half_pixel_centers=h)], normal(2, 5, 6, 3))
    add("Resize uint8", lambda x: raw.ResizeBilinear(images=x, size=[7, 3]), ints(1, 5, 6, 3, low=0, high=255, dtype=np.uint8))


def orders():
    tied = ints(3, 9, low=0, high=5)
    for k in [0, 1, 4, 9]:
        add(f"TopK {k}", lambda x, k=k: list(tf.math.top_k(x, k)), tied.astype(np.float32))
    add("TopK int", lambda x: [*raw.TopKV2(input=x, k=3)], tied)
    add("ReverseSequence", lambda x, n: [raw.ReverseSequence(input=x, seq_lengths=n, seq_dim=1, batch_dim=0)],
        normal(4, 5, 3), np.array([0, 1, 5, 3], np.int32))
    add("ReverseSequence other axes", lambda x, n: raw.ReverseSequence(input=x, seq_lengths=n, seq_dim=0, batch_dim=2),
        normal(4, 5, 3), np.array([4, 2, 3], np.int64))
    add("Roll", lambda x: [tf.roll(x, 2, 1), tf.roll(x, [-1, 7], [0, -1]), tf.roll(x, [1, 1], [0, 0])], normal(3, 4, 5))
    add("InvertPermutation", lambda x: raw.InvertPermutation(x=x), np.array([3, 0, 2, 1], np.int32))
    add("ClipByValue", lambda x, a, b: [tf.clip_by_value(x, -0.5, 0.25), raw.ClipByValue(
        t=x, clip_value_min=np.float32(0.5), clip_value_max=np.float32(-0.5)), raw.ClipByValue(
        t=x, clip_value_min=a, clip_value_max=b)], normal(3, 4), -np.abs(normal(3, 4)), np.abs(normal(3, 4)))
    add("SpaceToBatch old", lambda x: raw.SpaceToBatch(input=x, paddings=[[1, 0], [0, 2]], block_size=2), normal(2, 5, 4, 3))
    add("BatchToSpace old", lambda x: raw.BatchToSpace(input=x, crops=[[1, 0], [0, 2]], block_size=2), normal(8, 3, 2, 3))
    for equation, *shapes in [
        ("ij,jk->ik", [3, 4], [4, 5]), ("abc,cde->abde", [2, 3, 4], [4, 2, 5]), ("BTNH,BSNH->BNTS", [2, 3, 4, 5], [2, 6, 4, 5]),
        ("BNTS,BSNH->BTNH", [2, 4, 3, 6], [2, 6, 4, 5]), ("...ij,...jk->...ik", [2, 1, 3, 4], [5, 4, 2]),
        ("ab,cd->dabc", [2, 3], [4, 5]), ("i,i->", [6], [6]), ("ijk,j->k", [2, 3, 4], [3]), ("ij,kl->", [2, 3], [2, 2]),
        ("b i d , b j d -> b i j", [2, 3, 4], [2, 5, 4]), ("a...b,bc->a...c", [2, 3, 4, 5], [5, 2]),
    ]:
        add(f"Einsum {equation}", lambda *x, e=equation: raw.Einsum(inputs=x, equation=e.replace(" ", "")),
            *[normal(*shape) for shape in shapes])
    for equation, shape in [("ijk->kij", [2, 3, 4]), ("ijk->j", [2, 3, 4]), ("i...->...", [3, 2, 2]), ("ij->", [3, 4])]:
        add(f"Einsum {equation}", lambda x, e=equation: raw.Einsum(inputs=[x], equation=e), normal(*shape))
    add("Einsum int", lambda x, y: raw.Einsum(inputs=[x, y], equation="ij,kj->ki"), ints(2, 3), ints(4, 3))
    add("TensorList shape", lambda x: raw.TensorListElementShape(input_handle=raw.TensorListReserve(
        element_shape=np.array([-1, 4], np.int32), num_elements=2, element_dtype=tf.float32), shape_type=tf.int32) + x,
        ints(2))


def constants(x, y, z, name, filters, floats, whole, transposed, bias, table):
    def constant(value):
        return tf.identity(tf.constant(value, name=name))
    return [
        raw.Conv2D(input=x, filter=constant(filters), strides=[1, 1, 1, 1], padding="SAME"),
        raw.MatMul(a=y, b=constant(floats)), raw.MatMul(a=y, b=constant(floats.T), transpose_b=True),
        raw.MatMul(a=z, b=constant(whole)), *[raw.MatMul(a=constant(a), b=b, transpose_a=True, transpose_b=True) for a, b in [(whole, z), (floats, y)]],
        raw.Conv2DBackpropInput(input_sizes=[1, 12, 12, 2], filter=constant(transposed), out_backprop=x,
                                strides=[1, 2, 2, 1], padding="SAME"),
        x + constant(bias), tf.gather(constant(table), [1, 0]), constant(table),
    ]


def products_and_norms():
    for a in [False, True]:
        for b in [False, True]:
            shape = lambda m, n, t: (n, m) if t else (m, n)
            add(f"MatMul {a} {b}", lambda x, y, a=a, b=b: raw.MatMul(a=x, b=y, transpose_a=a, transpose_b=b),
                normal(*shape(3, 5, a)), normal(*shape(5, 4, b)))
            add(f"BatchMatMul {a} {b}", lambda x, y, a=a, b=b: [
                raw.BatchMatMulV2(x=x, y=y, adj_x=a, adj_y=b), raw.BatchMatMul(x=x, y=y, adj_x=a, adj_y=b)],
                normal(2, 3, *shape(3, 5, a)), normal(2, 3, *shape(5, 4, b)))
    add("BatchMatMul broadcast", lambda x, y: tf.matmul(x, y), normal(2, 1, 3, 5), normal(4, 5, 2))
    add("MatMul int", lambda x, y: tf.matmul(x, y), ints(3, 4), ints(4, 5))
    add("MatMul double", lambda x, y: tf.matmul(x, y), normal(3, 4).astype(np.float64), normal(4, 5).astype(np.float64))
    add("MatMul empty", lambda x, y: tf.matmul(x, y), normal(3, 0), normal(0, 5))
    for length in range(1, 6):  # constants lie in the file wherever names of other lengths push them
        weights = [normal(3, 3, 4, 5), normal(5, 7), ints(5, 7), normal(3, 3, 2, 4), normal(4), normal(2, 8)]
        add(f"Constants {length}", lambda x, y, z, n=length, values=weights: constants(x, y, z, "w" * n, *values),
            normal(1, 6, 6, 4), normal(6, 5), ints(6, 5))
    parameters = [np.abs(normal(5)) + 0.5, normal(5), normal(5), np.abs(normal(5)) + 0.1]
    for version in ["", "V2", "V3"]:
        op = getattr(raw, f"FusedBatchNorm{version}")
        add(f"FusedBatchNorm{version}", lambda x, s, o, m, v, op=op: op(
            x=x, scale=s, offset=o, mean=m, variance=v, epsilon=1e-3, is_training=False)[0], normal(2, 3, 4, 5), *parameters)
        add(f"FusedBatchNorm{version} training", lambda x, s, o, op=op: op(
            x=x, scale=s, offset=o, mean=[], variance=[], epsilon=1e-3, is_training=True)[:3], normal(2, 3, 4, 5),
            *parameters[:2])
    add("FusedBatchNorm nchw", lambda x, *p: raw.FusedBatchNormV3(
        x=x, scale=p[0], offset=p[1], mean=p[2], variance=p[3], data_format="NCHW", is_training=False)[0],
        normal(2, 5, 3, 4), *parameters,
        like=lambda x, *p: tf.transpose(raw.FusedBatchNormV3(
            x=tf.transpose(x, [0, 2, 3, 1]), scale=p[0], offset=p[1], mean=p[2], variance=p[3], is_training=False)[0],
            [0, 3, 1, 2]))
    add("LRN", lambda x: [tf.nn.lrn(x), tf.nn.lrn(x, 2, 1.5, 0.3, 0.75)], normal(1, 3, 3, 13))
    add("Unfused batch norm", lambda x: tf.nn.batch_normalization(x, *tf.nn.moments(x, [0, 1, 2]), 0.5, 2.0, 1e-3),
        normal(2, 4, 4, 3))


def volumes():
    for padding in ["SAME", "VALID"]:
        for size, kernel, stride in [([5, 6, 7], [3, 3, 3], [1, 1, 1]), ([5, 6, 7], [2, 3, 1], [2, 1, 3]),
                                     ([4, 4, 4], [1, 1, 1], [2, 2, 2]), ([3, 3, 3], [3, 3, 3], [4, 4, 4])]:
            tag = f"{padding} {size} {kernel} {stride}"
            options = dict(strides=[1, *stride, 1], padding=padding)
            add(f"Conv3D {tag}", lambda x, w, o=options: raw.Conv3D(input=x, filter=w, **o),
                normal(2, *size, 4), normal(*kernel, 4, 5))
            channels_first = dict(strides=[1, 1, *stride], padding=padding)
            add(f"Conv3D ncdhw {tag}", lambda x, w, o=channels_first: raw.Conv3D(
                input=x, filter=w, data_format="NCDHW", **o), normal(2, 4, *size), normal(*kernel, 4, 5),
                like=lambda x, w, o=options: tf.transpose(raw.Conv3D(
                    input=tf.transpose(x, [0, 2, 3, 4, 1]), filter=w, **o), [0, 4, 1, 2, 3]))
            pools = dict(options, ksize=[1, *kernel, 1])
            add(f"pool 3D {tag}", lambda x, o=pools: [raw.MaxPool3D(input=x, **o), raw.AvgPool3D(input=x, **o)],
                normal(2, *size, 3))
            out = [2, *(n * s if padding == "SAME" else (n - 1) * s + k for n, s, k in zip([3, 2, 2], stride, kernel)), 4]
            add(f"Conv3DBackpropInput {tag}", lambda w, x, o=options, n=out: raw.Conv3DBackpropInputV2(
                input_sizes=n, filter=w, out_backprop=x, **o), normal(*kernel, 4, 5), normal(2, 3, 2, 2, 5))
    add("Conv3D constant weights", lambda x: raw.Conv3D(
        input=x, filter=tf.identity(tf.constant(np.ones([2, 2, 2, 3, 2], np.float32))), strides=[1] * 5, padding="SAME"),
        normal(1, 4, 4, 4, 3))
    add("Conv3D empty batch", lambda x, w: raw.Conv3D(input=x, filter=w, strides=[1] * 5, padding="SAME"),
        normal(0, 3, 3, 3, 2), normal(2, 2, 2, 2, 3))


def images():
    for align, half in [(False, False), (True, False), (False, True)]:
        for size in [[10, 12], [3, 4], [7, 7], [5, 6], [1, 1], [13, 2]]:
            add(f"ResizeBicubic {align} {half} {size}", lambda x, s=size, a=align, h=half: raw.ResizeBicubic(
                images=x, size=s, align_corners=a, half_pixel_centers=h), normal(2, 5, 6, 3))
        add(f"ResizeBicubic uint8 {align} {half}", lambda x, a=align, h=half: raw.ResizeBicubic(
            images=x, size=[9, 4], align_corners=a, half_pixel_centers=h), ints(1, 6, 5, 3, low=0, high=255, dtype=np.uint8))
    for align in [False, True]:
        for size in [[10, 12], [3, 4], [5, 6], [2, 5], [1, 1]]:
            add(f"ResizeArea {align} {size}", lambda x, s=size, a=align: raw.ResizeArea(images=x, size=s, align_corners=a),
                normal(2, 5, 6, 3))
    boxes = np.array([[0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], [0.8, 0.9, 0.2, 0.1], [-0.5, -0.2, 1.5, 1.25], [0.3, 0.3, 0.3, 0.3]],
                     np.float32)
    for method in ["bilinear", "nearest"]:
        for size in [[4, 5], [1, 1], [1, 7], [14, 14]]:
            add(f"CropAndResize {method} {size}", lambda x, b, i, s=size, m=method: raw.CropAndResize(
                image=x, boxes=b, box_ind=i, crop_size=s, method=m, extrapolation_value=0.5), normal(3, 8, 9, 4), boxes,
                np.array([0, 2, 1, 0, 2], np.int32))
    add("CropAndResize uint8", lambda x, b, i: raw.CropAndResize(image=x, boxes=b, box_ind=i, crop_size=[3, 3]),
        ints(1, 6, 5, 3, low=0, high=255, dtype=np.uint8), boxes, np.zeros(5, np.int32))
    add("CropAndResize no boxes", lambda x, b, i: raw.CropAndResize(image=x, boxes=b, box_ind=i, crop_size=[3, 3]),
        normal(1, 6, 5, 3), boxes[:0], np.zeros(0, np.int32))
    for padding in ["SAME", "VALID"]:
        for size, stride, rate in [([3, 3], [1, 1], [1, 1]), ([2, 3], [2, 1], [2, 1]), ([1, 1], [3, 3], [1, 1])]:
            add(f"ExtractImagePatches {padding} {size} {stride} {rate}", lambda x, k=size, s=stride, r=rate, p=padding:
                raw.ExtractImagePatches(images=x, ksizes=[1, *k, 1], strides=[1, *s, 1], rates=[1, *r, 1], padding=p),
                normal(2, 7, 6, 3))
        for kind in [tf.int64, tf.int32]:
            for batch in [False, True]:
                add(f"MaxPoolWithArgmax {padding} {kind.name} {batch}", lambda x, p=padding, k=kind, b=batch: [
                    *raw.MaxPoolWithArgmax(input=x, ksize=[1, 3, 2, 1], strides=[1, 2, 2, 1], padding=p, Targmax=k,
                                           include_batch_in_index=b)], ints(2, 7, 6, 3).astype(np.float32))
        add(f"MaxPoolV2 {padding}", lambda x, k, s, p=padding: raw.MaxPoolV2(input=x, ksize=k, strides=s, padding=p),
            normal(2, 7, 6, 3), np.array([1, 3, 2, 1], np.int32), np.array([1, 2, 1, 1], np.int32))


def detections():
    corners = random.uniform(0, 1, [60, 2]).astype(np.float32)
    boxes = np.concatenate([corners, corners + random.uniform(-0.05, 0.4, [60, 2])], 1).astype(np.float32)
    scores = random.permutation(60).astype(np.float32) / 60
    tied = np.round(scores * 8) / 8
    for most in [0, 5, 200]:
        for similar in [0.0, 0.3, 1.0]:
            add(f"NonMaxSuppression {most} {similar}", lambda b, s, m, o=similar: [
                raw.NonMaxSuppression(boxes=b, scores=s, max_output_size=m, iou_threshold=o),
                raw.NonMaxSuppressionV2(boxes=b, scores=s, max_output_size=m, iou_threshold=o),
                raw.NonMaxSuppressionV3(boxes=b, scores=s, max_output_size=m, iou_threshold=o, score_threshold=0.4),
                *raw.NonMaxSuppressionV4(boxes=b, scores=s, max_output_size=m, iou_threshold=o, score_threshold=0.4),
                *raw.NonMaxSuppressionV4(boxes=b, scores=s, max_output_size=m, iou_threshold=o, score_threshold=0.2,
                                         pad_to_max_output_size=True),
                *raw.NonMaxSuppressionV5(boxes=b, scores=s, max_output_size=m, iou_threshold=o, score_threshold=0.2,
                                         soft_nms_sigma=0.0, pad_to_max_output_size=True),
                *raw.NonMaxSuppressionV5(boxes=b, scores=s, max_output_size=m, iou_threshold=o, score_threshold=0.2,
                                         soft_nms_sigma=0.5)], boxes, scores, np.array(most, np.int32))
    add("NonMaxSuppression of equal scores", lambda b, s: raw.NonMaxSuppressionV3(
        boxes=b, scores=s, max_output_size=60, iou_threshold=0.3, score_threshold=0.2), boxes, tied)
    add("NonMaxSuppression of none", lambda b, s: raw.NonMaxSuppressionV3(
        boxes=b, scores=s, max_output_size=60, iou_threshold=0.3, score_threshold=0.2), boxes[:0], tied[:0])
    add("NonMaxSuppressionWithOverlaps", lambda o, s: raw.NonMaxSuppressionWithOverlaps(
        overlaps=o, scores=s, max_output_size=9, overlap_threshold=0.6, score_threshold=0.1),
        random.uniform(0, 1, [60, 60]).astype(np.float32), scores)
    many = random.permutation(2 * 60 * 3).astype(np.float32).reshape(2, 60, 3) / 360
    several = (boxes[None, :, None] + random.uniform(-0.1, 0.1, [2, 60, 3, 4])).astype(np.float32)
    for pads in [False, True]:
        for clips in [False, True]:
            for per_class, total in [(4, 10), (50, 200), (3, 100), (1, 5)]:
                add(f"CombinedNonMaxSuppression {pads} {clips} {per_class} {total}", lambda b, q, s, n=per_class, t=total, o=dict(
                    pad_per_class=pads, clip_boxes=clips): [*raw.CombinedNonMaxSuppression(
                        boxes=b, scores=s, max_output_size_per_class=n, max_total_size=t, iou_threshold=0.4,
                        score_threshold=0.3, **o), *raw.CombinedNonMaxSuppression(
                        boxes=q, scores=s, max_output_size_per_class=n, max_total_size=t, iou_threshold=0.4,
                        score_threshold=0.3, **o)], several[:, :, :1], several, many)


def scattered():
    rows = np.array([[2], [0], [2]], np.int32)
    pairs = np.array([[[0, 1], [2, 3]], [[0, 1], [1, 0]]], np.int64)
    for kind in [np.float32, np.int32]:
        add(f"ScatterNd {kind.__name__}", lambda i, u, j, v: [
            raw.ScatterNd(indices=i, updates=u, shape=[4, 3]), raw.ScatterNd(indices=j, updates=v, shape=tf.constant([3, 4], tf.int64))],
            rows, ints(3, 3).astype(kind), pairs, ints(2, 2).astype(kind))
        add(f"TensorScatter {kind.__name__}", lambda x, i, u, j, v: [op(tensor=x, indices=a, updates=b) for op in [
            raw.TensorScatterAdd, raw.TensorScatterSub, raw.TensorScatterMin, raw.TensorScatterMax]
            for a, b in [(i, u), (j, v)]] + [raw.TensorScatterUpdate(tensor=x, indices=i[:2], updates=u[:2])],
            ints(3, 4).astype(kind), rows, ints(3, 4).astype(kind), pairs, ints(2, 2).astype(kind))
    add("TensorScatterUpdate bool", lambda x, u: raw.TensorScatterUpdate(tensor=x, indices=[[1], [0]], updates=u),
        bools(3, 4), bools(2, 4))
    add("ScatterNd bool", lambda u: raw.ScatterNd(indices=[[1], [0], [1]], updates=u, shape=[3]), bools(3))
    add("ScatterNd nothing", lambda u: raw.ScatterNd(indices=np.zeros([0, 1], np.int32), updates=u, shape=[3, 2]), normal(0, 2))
    add("SparseToDense", lambda v, i: [
        raw.SparseToDense(sparse_indices=i, output_shape=[4, 5], sparse_values=v, default_value=-1.0),
        raw.SparseToDense(sparse_indices=[1, 3], output_shape=[4], sparse_values=v[:2], default_value=0.5),
        raw.SparseToDense(sparse_indices=2, output_shape=[4], sparse_values=v[0], default_value=0.5)],
        normal(3), np.array([[0, 1], [2, 3], [3, 0]], np.int32))
    add("DynamicStitch", lambda a, b: [op(indices=[[0, 3], [2, 1], 3], data=[a, b, b[0]])
                                       for op in [raw.DynamicStitch, raw.ParallelDynamicStitch]], normal(2, 3), normal(2, 3))
    add("DynamicStitch scalars", lambda a: raw.DynamicStitch(indices=[1, 0], data=[a[0], a[1]]), ints(2))
    ids = np.array([0, 0, 2, 2, 3], np.int32)
    for kind in [np.float32, np.int64]:
        x = ints(5, 3).astype(kind)
        add(f"segments {kind.__name__}", lambda x, i: [op(data=x, segment_ids=i) for op in [
            raw.SegmentSum, raw.SegmentProd, raw.SegmentMax, raw.SegmentMin, raw.SegmentMean]], x, ids)
        add(f"unsorted segments {kind.__name__}", lambda x, i: [op(data=x, segment_ids=i, num_segments=6) for op in [
            raw.UnsortedSegmentSum, raw.UnsortedSegmentProd, raw.UnsortedSegmentMax, raw.UnsortedSegmentMin]],
            x, np.array([4, 0, -1, 4, 2], np.int32))
    add("unsorted segments of two dimensions", lambda x, i: raw.UnsortedSegmentSum(data=x, segment_ids=i, num_segments=3),
        normal(2, 3, 4), ints(2, 3, low=0, high=3))
    for kind in [np.float32, np.int32, np.uint8, bool]:
        for index in [tf.int32, tf.int64]:
            x = (bools(20) if kind is bool else ints(20, low=0, high=6)).astype(kind)
            add(f"Unique {kind.__name__} {index.name}", lambda x, k=index: [
                *raw.Unique(x=x, out_idx=k), *raw.UniqueWithCounts(x=x, out_idx=k),
                *raw.UniqueV2(x=x, axis=np.array([0], np.int32), out_idx=k)], x)
            if kind is not bool:
                add(f"ListDiff {kind.__name__} {index.name}", lambda x, y, k=index: [*raw.ListDiff(x=x, y=y, out_idx=k)],
                    x, ints(3, low=0, high=6).astype(kind))


def diagonals():
    x = normal(2, 4, 5)
    for below, above in [(0, 0), (-1, 0), (1, 2), (-1, -1), (4, 5), (0, -1)]:
        add(f"MatrixBandPart {below} {above}", lambda x, y, b=below, a=above: [
            raw.MatrixBandPart(input=x, num_lower=b, num_upper=a), raw.MatrixBandPart(input=y, num_lower=b, num_upper=a)],
            x, bools(4, 5))
    add("MatrixDiag", lambda x, y: [raw.MatrixDiag(diagonal=x), raw.MatrixDiag(diagonal=y), raw.MatrixDiagPart(input=y),
                                    raw.MatrixSetDiag(input=x, diagonal=x[:, :, 0])], normal(2, 4, 4), ints(3, 2))
    add("Diag", lambda x: [raw.Diag(diagonal=x), raw.DiagPart(input=raw.Diag(diagonal=x))], ints(3, 2))
    for align in ["LEFT_RIGHT", "RIGHT_LEFT", "LEFT_LEFT", "RIGHT_RIGHT"]:
        for k in [0, 2, -3, [-1, 1], [-3, -2], [1, 3], [-3, 4]]:
            bounds = np.array(k, np.int32)
            def forms(x, k=bounds, a=align):
                part = raw.MatrixDiagPartV3(input=x, k=k, padding_value=np.float32(7), align=a)
                return [part, raw.MatrixSetDiagV3(input=x * 2, diagonal=part, k=k, align=a), raw.MatrixDiagV3(
                    diagonal=part, k=k, num_rows=-1, num_cols=-1, padding_value=np.float32(-2), align=a)]
            add(f"MatrixDiagV3 {align} {k}", forms, x)
    add("MatrixDiagV2", lambda x: [
        raw.MatrixDiagPartV2(input=x, k=[-1, 1], padding_value=np.float32(7)),
        raw.MatrixSetDiagV2(input=x, diagonal=x[:, :3, :4], k=[-1, 1]),
        raw.MatrixDiagV2(diagonal=x[:, :2, :4], k=[0, 1], num_rows=4, num_cols=5, padding_value=np.float32(1)),
        raw.MatrixDiagV2(diagonal=x[:, 0], k=1, num_rows=5, num_cols=9, padding_value=np.float32(1)),
        raw.MatrixDiagV2(diagonal=x[:, 0], k=-1, num_rows=-1, num_cols=5, padding_value=np.float32(1))], x)
    for count in [1, 2, 7]:
        add(f"LinSpace {count}", lambda a, b, n=count: raw.LinSpace(start=a, stop=b, num=n),
            np.float32(-1.25), np.float32(3.5))
    add("LinSpace double", lambda a, b: raw.LinSpace(start=a, stop=b, num=5), np.float64(2), np.float64(-1))


def global_normalization(scales, *inputs):
    """The op as the graphs of its time have it: no later one may."""
    graph_def = tf.GraphDef()
    graph_def.versions.producer = 8
    node = graph_def.node.add(name="norm", op="BatchNormWithGlobalNormalization")
    for name in "tmvbg":
        graph_def.node.add(name=name, op="Placeholder").attr["dtype"].type = 1
        node.input.append(name)
    node.attr["T"].type = 1
    node.attr["variance_epsilon"].f = 0.001
    node.attr["scale_after_normalization"].b = scales
    return tf.import_graph_def(graph_def, dict(zip("tmvbg", inputs)), ["norm:0"], name="old")


def cells():
    batch, wide, units, time = 3, 6, 4, 6
    x, cell, hidden = normal(batch, wide), normal(batch, units) * 4, normal(batch, units)
    w, b = normal(wide + units, 4 * units), normal(4 * units)
    peep = [normal(units) for _ in range(3)]
    for peephole in [False, True]:
        for clip in [-1.0, 0.5, 3.0]:
            options = dict(cell_clip=clip, use_peephole=peephole)
            names = ["w", "wci", "wcf", "wco", "b"]
            add(f"LSTMBlockCell {peephole} {clip}", lambda x, c, h, *p, o=options: [*raw.LSTMBlockCell(
                x=x, cs_prev=c, h_prev=h, forget_bias=0.75, **dict(zip(names, p)), **o)], x, cell, hidden, w, *peep, b)
            for length in [0, 4, time]:
                # Past the end TensorFlow clears the states alone.
                add(f"BlockLSTM {peephole} {clip} {length}", lambda x, c, h, *p, o=options, n=length: [
                    value if at % 7 in [1, 6] else value[:n] for at, value in enumerate([
                        *raw.BlockLSTM(seq_len_max=tf.constant(n, tf.int64), x=x, cs_prev=c, h_prev=h, forget_bias=0.75,
                                       **dict(zip(names, p)), **o),
                        *raw.BlockLSTMV2(seq_len_max=tf.constant(n, tf.int64), x=x, cs_prev=c, h_prev=h,
                                         **dict(zip(names, p)), **o)])], normal(time, batch, wide), cell, hidden, w, *peep, b,
                    tolerance=5e-6)
    add("GRUBlockCell", lambda x, h, *p: [*raw.GRUBlockCell(x=x, h_prev=h, w_ru=p[0], w_c=p[1], b_ru=p[2], b_c=p[3])],
        x, hidden, normal(wide + units, 2 * units), normal(wide + units, units), normal(2 * units), normal(units))
    for scales in [False, True]:
        add(f"BatchNormWithGlobalNormalization {scales}", lambda *inputs, s=scales: global_normalization(s, *inputs),
            normal(2, 3, 3, 4), normal(4), np.abs(normal(4)), normal(4), normal(4),
            like=lambda x, m, v, b, g, s=scales: tf.nn.batch_normalization(x, m, v, b, g if s else None, 0.001))
    add("passes", lambda x: [raw.GuaranteeConst(input=x), raw.DeepCopy(x=x)], normal(3))


def fake_quantizers():
    values = np.concatenate([normal(4000) * 3, np.linspace(-7, 7, 3001, dtype=np.float32), [0, -0.0, 1e9, -1e9]])
    values = values.astype(np.float32)
    ranges = [(-6, 6), (0, 6), (-1.37, 2.91), (-0.001, 5.3), (-3.3, 0), (0.5, 4), (-4, -0.5), (-1e-3, 1e-3), (0, 0),
              (-127, 128)]
    for bits in [2, 4, 8, 11, 16]:
        for narrow in [False, True]:
            for low, high in ranges:
                options = dict(num_bits=bits, narrow_range=narrow)
                add(f"FakeQuant vars {bits} {narrow} {low} {high}", lambda x, a, b, o=options:
                    raw.FakeQuantWithMinMaxVars(inputs=x, min=a, max=b, **o),
                    values, np.float32(low), np.float32(high), tolerance=EXACT)
                if low <= 0 <= high and low < high:
                    add(f"FakeQuant args {bits} {narrow} {low} {high}", lambda x, l=low, h=high, o=options:
                        raw.FakeQuantWithMinMaxArgs(inputs=x, min=l, max=h, **o), values, tolerance=EXACT)
            low, high = np.array(ranges, np.float32).T
            add(f"FakeQuant per channel {bits} {narrow}", lambda x, a, b, o=options:
                raw.FakeQuantWithMinMaxVarsPerChannel(inputs=x, min=a, max=b, **o),
                normal(5, 40, len(ranges)) * 3, low, high, tolerance=EXACT)


def control_flow():
    def v1(build):
        def built(*inputs):
            tf.disable_control_flow_v2()
            return build(*inputs)
        return built

    def cond(x, p):
        return tf.cond(p, lambda: x * 2 + tf.constant(3.0), lambda: tf.stack([tf.constant(1.0), x[1]]))

    def nested(x):
        def body(i, total):
            inner = tf.while_loop(lambda j, t: j < i, lambda j, t: (j + 1, t + x), [0, total])[1]
            return i + 1, tf.cond(tf.equal(i % 2, 0), lambda: inner * 0.5, lambda: inner - tf.constant(0.25))
        return tf.while_loop(lambda i, t: i < 5, body, [0, tf.zeros_like(x)])

    def arrays(x):
        def body(i, array):
            return i + 1, array.write(i, x[i] * tf.cast(i, tf.float32))
        array = tf.while_loop(lambda i, a: i < 3, body, [0, tf.TensorArray(
            tf.float32, 3, element_shape=[4], clear_after_read=False)])[1]
        return [array.stack(), array.read(1), array.size(), array.gather([2, 0])]

    def scanned(x):
        return [tf.scan(lambda total, row: total + row, x), tf.map_fn(lambda row: row * 2, x)]

    add("cond true", v1(cond), normal(2), np.array(True))
    add("cond false", v1(cond), normal(2), np.array(False))
    add("loop nested", v1(nested), normal(3))
    add("loop never", v1(lambda x: tf.while_loop(lambda i, y: i < 0, lambda i, y: (i + 1, y * 2), [0, x])), normal(3))
    add("loop exchange", v1(lambda x: tf.while_loop(
        lambda i, a, b: i < 5, lambda i, a, b: (i + 1, b, a + b), [0, x, x + 1])), normal(3))
    add("loop arrays", v1(arrays), normal(3, 4))
    add("loop scan", v1(scanned), normal(4, 2))


for family in [convolutions, pools, elementwise, reductions, movements, orders, products_and_norms, volumes, images, detections,
               scattered, diagonals, cells, fake_quantizers, control_flow]:
    family()


@pytest.fixture(scope="module")
def runner(binary):
    path = binary.parent / "examples" / "run_graph"
    assert os.access(path, os.X_OK), f"{path} is not there: cargo build --release --examples makes it"
    return path


def run_cases(runner, folder, cases):
    """Runs (graph, feeds by tensor, tensors to compute) in one process; returns arrays or an error for each."""
    lines, files = [], []
    for index, (graph_def, feeds, fetches) in enumerate(cases):
        path = folder / f"{index}.pb"
        path.write_bytes(graph_def.SerializeToString())
        fields = [str(path)]
        for place, (name, array) in enumerate(feeds):
            np.save(folder / f"{index}_in{place}.npy", array)
            fields.append(f"{name}={folder}/{index}_in{place}.npy")
        files.append([folder / f"{index}_out{place}.npy" for place in range(len(fetches))])
        fields += [f"{name}>{file}" for name, file in zip(fetches, files[-1])]
        lines.append("\t".join(fields))
    (folder / "cases.txt").write_text("\n".join(lines) + "\n")
    subprocess.run([str(runner), "cases", str(folder / "cases.txt")], check=True)
    answers = (folder / "cases.out").read_text().splitlines()
    assert len(answers) == len(cases)
    return [[np.load(file) for file in outputs] if answer == "ok" else answer for answer, outputs in zip(answers, files)]


def difference(found, expected, tolerance):
    """What is wrong with an array, if anything; the tolerance is relative to the largest value."""
    expected = np.asarray(expected)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return f"{found.dtype}{list(found.shape)} instead of {expected.dtype}{list(expected.shape)}"
    if expected.dtype.kind != "f" or tolerance == EXACT:
        return None if np.array_equal(found, expected) else f"{np.sum(found != expected)} of {found.size} values differ"
    odd = ~np.isfinite(expected)
    if not np.array_equal(found[odd], expected[odd], equal_nan=True) or not np.isfinite(found[~odd]).all():
        return "infinite or missing values differ"
    off = np.abs(found[~odd] - expected[~odd]).max(initial=0) / max(np.abs(expected[~odd]).max(initial=0), 1e-30)
    return None if off <= tolerance else f"off by {off:.2g}"


def test_ops(runner, tmp_path):
    runs = []
    for case in CASES.values():
        graph, inputs, outputs = case.graph(case.build)
        feeds = [(tensor.op.name, array) for tensor, array in zip(inputs, case.arrays)]
        runs.append((graph.as_graph_def(), feeds, [output.op.name for output in outputs]))
    wrong = []
    for (name, case), found in zip(CASES.items(), run_cases(runner, tmp_path, runs)):
        if isinstance(found, str):
            wrong.append(f"{name}: {found}")
            continue
        for index, (array, expected) in enumerate(zip(found, case.expected())):
            what = difference(array, expected, case.tolerance)
            if what:
                wrong.append(f"{name} [{index}]: {what}")
    assert not wrong, f"{len(wrong)} of {len(CASES)} cases:\n" + "\n".join(wrong)


def test_functions_and_loops(runner, tmp_path):
    """While and If as TensorFlow 2 freezes them, as functions and lowered to single nodes."""
    script = pathlib.Path(__file__).with_name("interpreter_functions.py")
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True)
    runs, wanted = [], []
    for path in sorted(tmp_path.glob("model*.npz")):
        saved = np.load(path)
        graph_def = tf.GraphDef()
        graph_def.ParseFromString(path.with_suffix(".pb").read_bytes())
        feeds = [(name, saved[f"in{index}"]) for index, name in enumerate(saved["names"])]
        runs.append((graph_def, feeds, list(saved["outputs"])))
        wanted.append([saved[f"out{index}"] for index in range(len(saved["outputs"]))])
    assert len(runs) == 18
    wrong = []
    for (graph_def, _, names), found, expected in zip(runs, run_cases(runner, tmp_path, runs), wanted):
        ops = {node.op for node in graph_def.node}
        if isinstance(found, str):
            wrong.append(f"{names} {sorted(ops)}: {found}")
            continue
        wrong += [f"{name}: {what}" for name, array, value in zip(names, found, expected)
                  if (what := difference(array, value, 1e-5))]
    assert not wrong, "\n".join(wrong)


def test_says_what_it_cannot_run(runner, tmp_path):
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(tf.float32, [4], name="x")
        y = tf.signal.rfft(tf.nn.relu(x, "kept"), name="fft")
        tf.identity(tf.math.igamma(x[:3], tf.abs(y)), "out")
        tf.Variable(1.0, name="v", use_resource=False)
    with tf.Graph().as_default() as endless:
        tf.disable_control_flow_v2()
        n = tf.placeholder(tf.int32, [], name="x")
        tf.identity(tf.while_loop(lambda i: i >= n, lambda i: i + 1, [n]), "out")
    with tf.Graph().as_default() as huge:
        n = tf.placeholder(tf.int32, [], name="x")
        tf.fill([n, n, n], 1.0, name="out")
    found = run_cases(runner, tmp_path, [
        (graph.as_graph_def(), [("x", normal(4))], ["out"]),
        (endless.as_graph_def(), [("x", np.array(0, np.int32))], ["out"]),
        (huge.as_graph_def(), [("x", np.array(2**20, np.int32))], ["out"]),
    ])
    assert "fft" in found[0] and "Igamma" in found[0], found[0]
    assert "the limit of 100000 steps" in found[1], found[1]
    assert "too large" in found[2] and "in node 'out'" in found[2], found[2]
