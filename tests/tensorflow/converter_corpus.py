"""Small frozen graphs with constant fake quantizers, and what TensorFlow's converter makes of each.

Each case is about one rule of the converter: which op becomes an integer op, which stays float, which model does not
run, which computes something else. Run as a program, it converts all cases with the TensorFlow that runs it and writes
the verdicts into `testdata/converter/verdicts.json` beside those of other versions; a test compares them with what
tfquant says.
"""

import argparse
import fnmatch
import functools
import inspect
import io
import json
import os
import pathlib
import tarfile
import tempfile
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf2

try:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
except ImportError:
    from tensorflow.lite.python.interpreter import Interpreter, OpResolverType
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.python.eager import context

tf = tf2.compat.v1

VERDICTS = pathlib.Path(__file__).parents[2] / "testdata" / "converter" / "verdicts.json"
GRAPHS = VERDICTS.parent / "graphs.tar.zst"
IMAGE = [1, 8, 8, 4]
CASES = {}


# ---- Parts of graphs


def fq(x, low=-1.0, high=1.0, bits=8, narrow=False, name=None):
    """A fake quantizer of a constant range."""
    return tf.quantization.fake_quant_with_min_max_vars(x, low, high, num_bits=bits, narrow_range=narrow, name=name)


def fq_per_channel(x, bits=8, name=None):
    """A fake quantizer of a constant tensor with a symmetric narrow range for each index of the last axis."""
    values = tf2.get_static_value(x) if tf2.is_tensor(x) else np.asarray(x)
    bound = np.abs(values).max(axis=tuple(range(values.ndim - 1))) + 1e-6
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(
        x, (-bound).astype("f"), bound.astype("f"), num_bits=bits, narrow_range=True, name=name
    )


def values(shape, seed=1, spread=0.3):
    """Constant numbers whose channels have different sizes, as weights' have."""
    random = np.random.RandomState(seed)
    return (random.normal(0, spread, shape) * np.linspace(0.3, 1, shape[-1])).astype(np.float32)


def bound(weights):
    return float(np.abs(weights).max())


def quantized_weights(weights, kind, bits=8, name="weights_q"):
    """The weights behind a fake quantizer of that kind."""
    constant = tf.constant(weights, name="weights")
    limit = bound(weights)
    if kind == "symmetric":
        return fq(constant, -limit, limit, bits, True, name)
    if kind == "wide":
        return fq(constant, -limit, limit, bits, False, name)
    if kind == "asymmetric":
        return fq(constant, float(weights.min()), float(weights.max()) * 1.4, bits, True, name)
    if kind == "per channel":
        return fq_per_channel(constant, bits, name)
    if kind == "args":
        return tf.quantization.fake_quant_with_min_max_args(constant, -limit, limit, bits, True, name)
    assert kind is None, kind
    return constant


def image(quantized=True, shape=None, name="x"):
    """The input, from -1 to 1."""
    x = tf.placeholder(tf.float32, shape or IMAGE, name=name)
    return fq(x, name=f"{name}_q") if quantized else x


def conv(x, weights="symmetric", channels=4, size=3, bits=8, bias=True, name="conv", seed=1, **arguments):
    """A convolution with bias; its result lies within 4 either way."""
    with tf.variable_scope(name):
        kernel = quantized_weights(values([size, size, x.shape[-1], channels], seed), weights, bits)
        x = tf.nn.conv2d(x, kernel, **{"strides": 1, "padding": "SAME", "name": "Conv2D", **arguments})
        return tf.nn.bias_add(x, values([channels], seed + 1), name="BiasAdd") if bias else x


def layer(x, name="layer", low=0.0, high=3.0, activation=tf.nn.relu, seed=1, **arguments):
    """A convolution whose result has a range."""
    x = conv(x, name=name, seed=seed, **arguments)
    return fq(activation(x) if activation else x, low, high, name=f"{name}_q")


def case(build):
    CASES[build.__name__] = build
    return build


def family(name, **variants):
    """One case for each variant of a builder that takes the variant's value."""

    def register(build):
        for variant, value in variants.items():
            CASES[f"{name}_{variant}"] = functools.partial(build, value)
        return build

    return register


# ---- Layers: weights, biases, bits

WEIGHTS = {
    "symmetric": "symmetric",
    "wide": "wide",
    "asymmetric": "asymmetric",
    "per_channel": "per channel",
    "args": "args",
    "unquantized": None,
}


@family("conv", **WEIGHTS)
def conv_weights(kind):
    return fq(tf.nn.relu6(conv(image(), kind)), 0, 6)


@family("conv_weights", nearly_symmetric=1.001, symmetric_reference=127 / 128, one_sided=0.0)
def conv_weights_wide(ratio):
    """Ranges that are not narrow: from minus the largest weight to that times the ratio."""
    weights = values([3, 3, 4, 4])
    kernel = fq(weights, -bound(weights), bound(weights) * ratio)
    return fq(tf.nn.relu(tf.nn.conv2d(image(), kernel, 1, "SAME")), 0, 3)


@case
def conv_input_unranged():
    return layer(image(False))


@case
def conv_output_unranged():
    return conv(image())


@case
def conv_output_unranged_between():
    return layer(tf.nn.relu(conv(image(), name="first")))


@case
def conv_all_args():
    x = tf.quantization.fake_quant_with_min_max_args(image(False), -1, 1)
    return tf.quantization.fake_quant_with_min_max_args(tf.nn.relu(conv(x, "args")), 0, 3)


@case
def conv_range_through_identity():
    x = tf.quantization.fake_quant_with_min_max_vars(
        image(False), tf.identity(tf.constant(-1.0)), tf.identity(tf.constant(1.0))
    )
    return layer(x)


@case
def conv_range_computed():
    x = tf.quantization.fake_quant_with_min_max_vars(image(False), -tf.constant(1.0), tf.constant(0.5) + 0.5)
    return layer(x)


@case
def conv_zero_not_a_level():
    return fq(conv(image()), -1.0, 2.0001)


@case
def conv_zero_outside():
    return fq(tf.nn.relu(conv(image())), 0.5, 3.0)


@case
def conv_min_above_max():
    return fq(tf.nn.relu(conv(image())), 1.0, -1.0)


@case
def bound_of_two_ranges():
    """A bound that two ops read, one of which it bounds nothing of."""
    bound = tf.constant(1.0)
    parts = [layer(image(), "first", high=0.5), layer(image(name="y"), "second", high=3.0)]
    low, high = [tf.maximum(tf.minimum(part, bound), 0.0) for part in parts]
    return fq(low * high, 0, 0.5)


@case
def conv_range_empty():
    return fq(tf.nn.relu(conv(image())), 0.0, 0.0)


@case
def conv_no_bias():
    return layer(image(), bias=False)


@case
def conv_bias_quantized():
    x = conv(image(), bias=False)
    return fq(tf.nn.relu(tf.nn.bias_add(x, fq(values([4], 2)))), 0, 3)


@case
def conv_bias_as_add():
    return fq(tf.nn.relu(conv(image(), bias=False) + values([4], 2)), 0, 3)


@case
def conv_bias_as_scalar():
    return fq(tf.nn.relu(conv(image(), bias=False) + 0.25), 0, 3)


@case
def conv_two_biases():
    return fq(tf.nn.relu(conv(image()) + values([4], 3)), 0, 3)


@case
def conv_range_before_bias():
    x = fq(conv(image(), bias=False), -3, 3)
    return fq(tf.nn.relu(tf.nn.bias_add(x, values([4], 2))), 0, 3)


@family("conv_weight_bits", **{str(bits): bits for bits in (2, 3, 4, 5, 6, 7, 16)})
def conv_weight_bits(bits):
    return layer(image(), bits=bits)


@family("conv_weight_bits_per_channel", **{str(bits): bits for bits in (4, 6)})
def conv_weight_bits_per_channel(bits):
    return layer(image(), bits=bits, weights="per channel")


@family("conv_activation_bits", **{str(bits): bits for bits in (4, 7, 16)})
def conv_activation_bits(bits):
    x = fq(image(False), bits=bits)
    return fq(tf.nn.relu(conv(x)), 0, 3, bits)


@case
def conv_activation_narrow():
    x = fq(image(False), narrow=True)
    return fq(tf.nn.relu(conv(x)), 0, 3, narrow=True)


@case
def conv_strided_valid():
    return layer(image(), strides=2, padding="VALID")


@case
def conv_explicit_padding():
    return layer(image(), padding=[[0, 0], [1, 2], [0, 1], [0, 0]])


@case
def conv_dilated():
    return layer(image(), dilations=[1, 2, 2, 1])


def atrous(between):
    x = tf.space_to_batch_nd(image(), [2, 2], [[2, 2], [2, 2]])
    x = fq(x) if between else x
    x = conv(x, bias=False, padding="VALID")
    x = fq(x, -3, 3) if between else x
    x = tf.batch_to_space_nd(x, [2, 2], [[0, 0], [0, 0]])
    return fq(tf.nn.relu(tf.nn.bias_add(x, values([4], 2))), 0, 3)


@family("conv_atrous", plain=False, ranged_between=True)
def conv_atrous(between):
    return atrous(between)


@case
def conv_grouped():
    weights = quantized_weights(values([3, 3, 2, 4]), "symmetric")
    return fq(tf.nn.relu(tf.nn.conv2d(image(), weights, 1, "SAME")), 0, 3)


@case
def conv_nchw():
    x = tf.transpose(image(), [0, 3, 1, 2])
    weights = quantized_weights(values([3, 3, 4, 4]), "symmetric")
    x = tf.raw_ops.Conv2D(input=x, filter=weights, strides=[1, 1, 1, 1], padding="SAME", data_format="NCHW")
    return tf.transpose(fq(tf.nn.relu(x), 0, 3), [0, 2, 3, 1])


@family("conv1d", before="before", after="after", per_channel="per channel", unquantized=None)
def conv1d(where):
    x = image(shape=[1, 16, 4])
    weights = values([3, 4, 4])
    if where == "before":
        kernel = tf.expand_dims(fq(weights, -bound(weights), bound(weights), narrow=True), 0)
    elif where == "after":
        kernel = fq(tf.expand_dims(weights, 0), -bound(weights), bound(weights), narrow=True)
    elif where == "per channel":
        kernel = fq_per_channel(weights[np.newaxis])
    else:
        kernel = tf.expand_dims(weights, 0)
    x = tf.nn.conv2d(tf.expand_dims(x, 1), kernel, 1, "SAME")
    x = tf.nn.bias_add(tf.squeeze(x, [1]), values([4], 2))
    return fq(tf.nn.relu(x), 0, 3)


@case
def conv1d_bias_before_squeeze():
    x = tf.expand_dims(image(shape=[1, 16, 4]), 1)
    x = tf.squeeze(fq(tf.nn.relu(conv(x, size=1)), 0, 3), [1])
    return fq(x, 0, 3)


@case
def conv3d():
    x = image(shape=[1, 4, 8, 8, 2])
    weights = quantized_weights(values([3, 3, 3, 2, 4]), "symmetric")
    return fq(tf.nn.relu(tf.nn.conv3d(x, weights, [1, 1, 1, 1, 1], "SAME")), 0, 3)


def depthwise_kernel(kind, multiplier):
    shape = [3, 3, 4, multiplier]
    weights = np.moveaxis(values([3, 3, multiplier, 4], 5), 2, 3)
    if kind == "reshaped":
        flat = fq_per_channel(weights.reshape([3, 3, 1, 4 * multiplier]))
        return tf.reshape(flat, shape)
    if kind == "reshaped twice":
        flat = tf.reshape(tf.constant(weights), [3, 3, 1, 4 * multiplier])
        limit = np.abs(weights).max(axis=(0, 1)).reshape(-1).astype("f")
        flat = tf.quantization.fake_quant_with_min_max_vars_per_channel(flat, -limit, limit, narrow_range=True)
        return tf.reshape(flat, shape)
    return quantized_weights(weights, kind)


DEPTHWISE = {
    **{name: (kind, 1) for name, kind in WEIGHTS.items()},
    "reshaped": ("reshaped", 1),
    "reshaped_twice": ("reshaped twice", 1),
    "multiplied": ("symmetric", 2),
    "multiplied_per_channel": ("per channel", 2),
    "multiplied_reshaped": ("reshaped", 2),
    "multiplied_reshaped_twice": ("reshaped twice", 2),
    "multiplied_unquantized": (None, 2),
}


@family("depthwise", **DEPTHWISE)
def depthwise(variant):
    kernel = depthwise_kernel(*variant)
    x = tf.nn.depthwise_conv2d_native(image(), kernel, [1, 1, 1, 1], "SAME")
    x = tf.nn.bias_add(x, values([4 * variant[1]], 2))
    return fq(tf.nn.relu6(x), 0, 6)


@family("matmul", **WEIGHTS, bits_4=4)
def matmul(kind):
    bits, kind = (kind, "symmetric") if kind == 4 else (8, kind)
    x = tf.matmul(image(shape=[1, 16]), quantized_weights(values([16, 8]), kind, bits))
    return fq(tf.nn.bias_add(x, values([8], 2)), -4, 4)


@case
def matmul_no_bias():
    return fq(tf.matmul(image(shape=[1, 16]), quantized_weights(values([16, 8]), "symmetric")), -4, 4)


@case
def matmul_output_unranged():
    return tf.matmul(image(shape=[1, 16]), quantized_weights(values([16, 8]), "symmetric"))


@case
def matmul_transposed_weights():
    weights = values([8, 16])
    x = tf.matmul(image(shape=[1, 16]), fq(weights, -bound(weights), bound(weights), narrow=True), transpose_b=True)
    return fq(x, -4, 4)


@case
def matmul_transposed_per_channel():
    x = tf.matmul(image(shape=[1, 16]), tf.transpose(fq_per_channel(values([16, 8]).T.copy())), name="mm")
    return fq(x, -4, 4)


@family("batch_matmul", weights="weights", weights_unquantized="unquantized", two_inputs="inputs")
def batch_matmul(kind):
    x = image(shape=[1, 6, 16])
    if kind == "inputs":
        other = image(shape=[1, 16, 8], name="y")
    else:
        other = quantized_weights(values([16, 8]), "symmetric" if kind == "weights" else None)
    return fq(tf.matmul(x, other), -6, 6)


@case
def matmul_two_inputs():
    return fq(tf.matmul(image(shape=[2, 16]), image(shape=[16, 8], name="y")), -6, 6)


def transposed_kernel(kind):
    weights = np.swapaxes(values([3, 3, 4, 6], 5), 2, 3).copy()  # [height, width, output, input]: channels of axis 2 differ
    if kind == "per output channel":
        return tf.transpose(fq_per_channel(np.swapaxes(weights, 2, 3).copy()), [0, 1, 3, 2])
    return quantized_weights(weights, kind)


@family("transposed_conv", **WEIGHTS, per_output_channel="per output channel")
def transposed_conv(kind):
    x = tf.nn.conv2d_transpose(image(), transposed_kernel(kind), [1, 16, 16, 6], 2, "SAME")
    return fq(tf.nn.relu(tf.nn.bias_add(x, values([6], 2))), 0, 3)


@case
def transposed_conv_no_bias():
    return fq(tf.nn.conv2d_transpose(image(), transposed_kernel("symmetric"), [1, 16, 16, 6], 2, "SAME"), -3, 3)


@case
def transposed_conv_range_before_bias():
    x = tf.nn.conv2d_transpose(image(), transposed_kernel("symmetric"), [1, 16, 16, 6], 2, "SAME")
    return fq(tf.nn.relu(tf.nn.bias_add(fq(x, -3, 3), values([6], 2))), 0, 3)


# ---- One fake quantizer, several consumers


@case
def shared_activation():
    x = layer(image())
    return [layer(x, "left", seed=2), layer(x, "right", seed=3)]


@case
def shared_activation_one_each():
    x = tf.nn.relu(conv(image()))
    return [layer(fq(x, 0, 3), "left", seed=2), layer(fq(x, 0, 3), "right", seed=3)]


@case
def shared_activation_other_ranges():
    x = tf.nn.relu(conv(image()))
    return [layer(fq(x, 0, 3), "left", seed=2), layer(fq(x, 0, 2), "right", seed=3)]


@case
def shared_by_layer_and_output():
    x = layer(image())
    return [layer(x, "next", seed=2), tf.identity(x)]


@case
def shared_residual():
    x = layer(image())
    return fq(x + layer(x, "next", -3, 3, None, seed=2), -4, 6)


@case
def shared_residual_one_each():
    x = tf.nn.relu(conv(image()))
    return fq(fq(x, 0, 3) + layer(fq(x, 0, 3), "next", -3, 3, None, seed=2), -4, 6)


@case
def shared_weights():
    weights = quantized_weights(values([3, 3, 4, 4]), "symmetric")
    x = fq(tf.nn.relu(tf.nn.conv2d(image(), weights, 1, "SAME")), 0, 3)
    return fq(tf.nn.relu(tf.nn.conv2d(x, weights, 1, "SAME")), 0, 3)


@case
def shared_weights_one_each():
    constant = values([3, 3, 4, 4])
    limit = bound(constant)
    weights = tf.constant(constant)
    x = fq(tf.nn.relu(tf.nn.conv2d(image(), fq(weights, -limit, limit, narrow=True), 1, "SAME")), 0, 3)
    return fq(tf.nn.relu(tf.nn.conv2d(x, fq(weights, -limit, limit, narrow=True), 1, "SAME")), 0, 3)


@case
def shared_input():
    x = image()
    return [layer(x, "left", seed=2), layer(x, "right", seed=3)]


@case
def shared_input_one_unranged():
    x = image(False)
    return [layer(fq(x), "left", seed=2), layer(x, "right", seed=3)]


@case
def raw_and_through_activation():
    x = conv(image())
    return fq(fq(tf.nn.relu(x), 0, 3) + x, -3, 6)


@case
def raw_and_through_activation_both_ranged():
    x = conv(image())
    return fq(fq(tf.nn.relu(x), 0, 3) + fq(x, -3, 3), -3, 6)


@case
def raw_and_through_activation_ranged_once():
    x = fq(conv(image()), -3, 3)
    return fq(fq(tf.nn.relu(x), 0, 3) + x, -3, 6)


@case
def raw_and_ranged_readers():
    x = tf.nn.relu(conv(image()))
    return [layer(fq(x, 0, 3), "ranged", seed=2), layer(x, "raw", seed=3)]


@case
def quantized_twice_alike():
    return layer(fq(layer(image(), "first"), 0, 3), "second", seed=2)


@case
def quantized_twice_otherwise():
    return layer(fq(layer(image(), "first"), 0, 2), "second", seed=2)


@case
def range_before_and_behind_activation():
    return fq(tf.nn.relu(fq(conv(image()), -3, 3)), 0, 3)


@case
def range_before_activation():
    return layer(tf.nn.relu(fq(conv(image()), -3, 3)), "next", seed=2)


@case
def range_before_relu6():
    return layer(tf.nn.relu6(fq(conv(image()), -3, 8)), "next", seed=2)


# ---- What stands in front of a layer or behind it: scales, batch norms


def next_to_layer(first, second, ranged):
    """Two arithmetic ops between the input and a convolution."""
    x = first(image())
    x = fq(x, -1.5, 1.5) if ranged == "both" else x
    x = second(x)
    x = fq(x, -2.5, 2.5) if ranged in ("both", "last") else x
    return layer(x, "next", seed=2)


RANGED = {"unranged": None, "last_ranged": "last", "both_ranged": "both"}
SCALE, OFFSET = np.float32([0.5, 0.8, 1.1, 1.4]), np.float32([-0.2, 0.1, 0.3, 0.05])


@family("mul_add_before_conv", **RANGED)
def mul_add_before_conv(ranged):
    return next_to_layer(lambda x: x * SCALE, lambda x: x + OFFSET, ranged)


@family("mul_add_relu_before_conv", **RANGED)
def mul_add_relu_before_conv(ranged):
    return next_to_layer(lambda x: x * SCALE, lambda x: tf.nn.relu(x + OFFSET), ranged)


@family("scalar_mul_add_before_conv", **RANGED)
def scalar_mul_add_before_conv(ranged):
    return next_to_layer(lambda x: x * 1.3, lambda x: x + 0.25, ranged)


@family("scalar_sub_div_before_conv", **RANGED)
def scalar_sub_div_before_conv(ranged):
    return next_to_layer(lambda x: x - 0.25, lambda x: x / 0.75, ranged)


@family("mul_before_conv", unranged=False, ranged=True)
def mul_before_conv(ranged):
    x = image() * SCALE
    return layer(fq(x, -1.5, 1.5) if ranged else x, "next", seed=2)


@family("scalar_mul_before_conv", unranged=False, ranged=True)
def scalar_mul_before_conv(ranged):
    x = image() * 1.3
    return layer(fq(x, -1.5, 1.5) if ranged else x, "next", seed=2)


@family("add_before_valid_conv", unranged=False, ranged=True)
def add_before_valid_conv(ranged):
    x = image() + OFFSET
    return layer(fq(x, -1.5, 1.5) if ranged else x, "next", seed=2, padding="VALID")


@family("mul_behind_conv", unranged=None, ranged_before=True)
def mul_behind_conv(ranged):
    x = conv(image())
    x = fq(x, -3, 3) if ranged else x
    return fq(tf.nn.relu(x * SCALE), 0, 3)


@family("scalar_mul_behind_conv", unranged=None, ranged_before=True)
def scalar_mul_behind_conv(ranged):
    x = conv(image())
    x = fq(x, -3, 3) if ranged else x
    return fq(tf.nn.relu(x * 0.8), 0, 3)


@family("mul_add_behind_conv", unranged=None, ranged=True)
def mul_add_behind_conv(ranged):
    x = conv(image(), bias=False)
    x = fq(x, -3, 3) if ranged else x
    x = x * SCALE
    x = fq(x, -3, 3) if ranged else x
    return fq(tf.nn.relu(x + OFFSET), 0, 3)


def batch_norm(x):
    return tf.nn.fused_batch_norm(
        x, SCALE, OFFSET, OFFSET * 0.5, SCALE * 0.9, epsilon=1e-3, is_training=False
    )[0]  # fmt: skip


@family("batch_norm_behind_conv", symmetric="symmetric", per_channel="per channel", unquantized=None)
def batch_norm_behind_conv(kind):
    return fq(tf.nn.relu(batch_norm(conv(image(), kind, bias=False))), 0, 3)


@family("batch_norm_behind_ranged_conv", plain=None)
def batch_norm_behind_ranged_conv(_):
    return fq(tf.nn.relu(batch_norm(fq(conv(image(), bias=False), -3, 3))), 0, 3)


@family("batch_norm_before_conv", unranged=False, ranged=True)
def batch_norm_before_conv(ranged):
    x = batch_norm(image())
    return layer(fq(x, -2.5, 2.5) if ranged else x, "next", seed=2)


@family("batch_norm_as_mul_add", unranged=False, ranged=True)
def batch_norm_as_mul_add(ranged):
    """The batch norm that nothing can absorb, between a residual Add and a Relu."""
    x = image(False)
    total = fq(fq(x) + layer(fq(x), "left", -3, 3, None), -4, 4)
    product = total * SCALE
    product = fq(product, -5, 5) if ranged else product
    return layer(fq(tf.nn.relu(product + OFFSET), 0, 5), "next", seed=3)


@case
def batch_norm_relu_before_conv():
    return layer(fq(tf.nn.relu(batch_norm(image())), 0, 2.5), "next", seed=2)


@case
def weights_scaled_before_quantizer():
    weights = tf.constant(values([3, 3, 4, 4])) * SCALE
    return fq(tf.nn.relu(tf.nn.conv2d(image(), fq(weights, -1.5, 1.5, narrow=True), 1, "SAME")), 0, 3)


@case
def weights_scaled_behind_quantizer():
    weights = quantized_weights(values([3, 3, 4, 4]), "symmetric") * SCALE
    return fq(tf.nn.relu(tf.nn.conv2d(image(), weights, 1, "SAME")), 0, 3)


@case
def weights_through_identity():
    weights = tf.identity(quantized_weights(values([3, 3, 4, 4]), "symmetric"))
    return fq(tf.nn.relu(tf.nn.conv2d(image(), weights, 1, "SAME")), 0, 3)


# ---- Ops with one input, between two layers: which range each needs


def pack(x):
    return tf.reshape(tf.stack([x, x], 1), [1, 16, 8, 4])


def unpack(x):
    return tf.stack(tf.unstack(x, axis=1), 1)


def split(x):
    left, right = tf.split(x, 2, 3)
    return tf.concat([right, left], 3)


def split_v(x):
    left, right = tf.split(x, [1, 3], 3)
    return tf.concat([right, left], 3)


ALPHA = (SCALE * 0.2).reshape([1, 1, 4])


def prelu(x):
    return tf.nn.relu(x) - tf.constant(ALPHA) * tf.nn.relu(-x)


def prelu_keras(x):
    return tf.nn.relu(x) + (-tf.constant(ALPHA)) * tf.nn.relu(-x)


def prelu_ranged(x):
    """Every tensor inside has a range."""
    flipped = fq(tf.nn.relu(fq(-x)), 0, 1)
    return fq(tf.nn.relu(x), 0, 1) + fq(tf.constant(-ALPHA) * flipped, -0.3, 0)


def prelu_as_maximum(x):
    return tf.maximum(x, fq(x * tf.constant(ALPHA)))


def hard_swish_ranged(x):
    return fq(x * fq(tf.nn.relu6(x + 3.0), 0, 6), -4, 4) * np.float32(0.16667)


def hard_sigmoid_ranged(x):
    return fq(tf.nn.relu6(x + 3.0), 0, 6) * (1 / 6)


def squeeze_excite_ranged(x):
    return x * tf.nn.sigmoid(fq(tf.reduce_mean(x, [1, 2], keepdims=True)))


def squeeze_excite(x):
    return x * tf.nn.sigmoid(tf.reduce_mean(x, [1, 2], keepdims=True))


UNARY = {
    "identity": tf.identity,
    "reshape": lambda x: tf.reshape(x, [1, 4, 16, 4]),
    "expand_squeeze": lambda x: tf.squeeze(tf.expand_dims(x, 1), [1]),
    "transpose": lambda x: tf.transpose(x, [0, 2, 1, 3]),
    "slice": lambda x: tf.slice(x, [0, 1, 1, 0], [1, 6, 6, 4]),
    "strided_slice": lambda x: x[:, ::2, 1:, :],
    "split_concat": split,
    "split_v_concat": split_v,
    "pack": pack,
    "unpack": unpack,
    "gather": lambda x: tf.gather(x, [0, 2, 4], axis=1),
    "tile": lambda x: tf.tile(x, [1, 2, 1, 1]),
    "reverse": lambda x: tf.reverse(x, [1]),
    "pad": lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]),
    "pad_v2": lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-0.5),
    "mirror_pad": lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"),
    "max_pool": lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME"),
    "avg_pool": lambda x: tf.nn.avg_pool2d(x, 2, 2, "SAME"),
    "mean": lambda x: tf.reduce_mean(x, [1, 2], keepdims=True),
    "mean_channels": lambda x: tf.reduce_mean(x, [3], keepdims=True),
    "sum": lambda x: tf.reduce_sum(x, [1, 2], keepdims=True) * 1.0,
    "reduce_max": lambda x: tf.reduce_max(x, [1, 2], keepdims=True),
    "reduce_min": lambda x: tf.reduce_min(x, [1, 2], keepdims=True),
    "resize_bilinear": lambda x: tf.image.resize_bilinear(x, [16, 16]),
    "resize_bilinear_half_pixel": lambda x: tf.image.resize_bilinear(x, [16, 16], half_pixel_centers=True),
    "resize_nearest": lambda x: tf.image.resize_nearest_neighbor(x, [16, 16]),
    "depth_to_space": lambda x: tf.nn.depth_to_space(x, 2),
    "space_to_depth": lambda x: tf.nn.space_to_depth(x, 2),
    "space_to_batch_to_space": lambda x: tf.batch_to_space_nd(
        tf.space_to_batch_nd(x, [2, 2], [[0, 0], [0, 0]]), [2, 2], [[0, 0], [0, 0]]
    ),
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "leaky_relu": tf.nn.leaky_relu,
    "prelu": prelu,
    "prelu_keras": prelu_keras,
    "prelu_ranged": prelu_ranged,
    "prelu_as_maximum": prelu_as_maximum,
    "elu": tf.nn.elu,
    "selu": tf.nn.selu,
    "softplus": tf.nn.softplus,
    "sigmoid": tf.nn.sigmoid,
    "tanh": tf.nn.tanh,
    "softmax": tf.nn.softmax,
    "log_softmax": tf.nn.log_softmax,
    "swish": lambda x: x * tf.nn.sigmoid(x),
    "hard_swish": lambda x: x * tf.nn.relu6(x + 3.0) * (1 / 6),
    "hard_swish_slim": lambda x: x * (tf.nn.relu6(x + 3.0) * np.float32(0.16667)),
    "hard_swish_divided": lambda x: x * tf.nn.relu6(x + 3.0) / 6.0,
    "hard_sigmoid": lambda x: tf.nn.relu6(x + 3.0) * (1 / 6),
    "hard_swish_ranged": hard_swish_ranged,
    "hard_sigmoid_ranged": hard_sigmoid_ranged,
    "gelu": lambda x: 0.5 * x * (1.0 + tf.math.erf(x / np.float32(np.sqrt(2)))),
    "gelu_tanh": lambda x: 0.5 * x * (1.0 + tf.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + 0.044715 * tf.pow(x, 3.0)))),
    "gelu_erfc": lambda x: 0.5 * x * tf.math.erfc(-x * np.float32(np.sqrt(0.5))),
    "gelu_bert": lambda x: x * (0.5 * (1.0 + tf.math.erf(x / np.float32(np.sqrt(2))))),
    "squeeze_excite": squeeze_excite,
    "squeeze_excite_ranged": squeeze_excite_ranged,
    "abs": tf.abs,
    "neg": tf.negative,
    "square": tf.square,
    "sqrt": lambda x: tf.sqrt(tf.abs(x)),
    "rsqrt": lambda x: tf.math.rsqrt(tf.abs(x) + 1.0),
    "exp": tf.exp,
    "log": lambda x: tf.math.log(tf.abs(x) + 1.0),
    "sin": tf.sin,
    "atan": tf.atan,
    "pow": lambda x: tf.pow(tf.abs(x) + 0.1, 1.5),
    "relu_as_maximum": lambda x: tf.maximum(x, 0.0),
    "square_of_difference": lambda x: tf.square(x - x[:, ::-1]),
    "l2_divided": lambda x: x / tf.sqrt(tf.reduce_sum(tf.square(x), 3, keepdims=True) + 1e-6),
    "l2_other_axis": lambda x: tf.nn.l2_normalize(x, 1),
    "einsum": lambda x: tf.einsum("bhwc,bhvc->bhwv", x, x)[..., :4],
    "l2_normalize": lambda x: tf.nn.l2_normalize(x, 3),
    "lrn": tf.nn.local_response_normalization,
    "clip": lambda x: tf.minimum(tf.maximum(x, -0.5), 0.5),
    "bounded_above": lambda x: tf.minimum(x, 3.0),
    "bounded_below": lambda x: tf.maximum(x, -3.0),
    "clip_by_value": lambda x: tf.clip_by_value(x, -0.5, 0.5),
    "cumsum": lambda x: tf.cumsum(x, 1),
    "floor": tf.floor,
    "cast": lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32),
}

# The range behind: that in front, unless the op's result is another one; `other` is one that the kernel may not want.
BEHIND = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "hard_sigmoid_ranged": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "log_softmax": (-6.0, 0.0),
    "relu": (0.0, 1.0),
    "relu6": (0.0, 1.0),
    "relu_as_maximum": (0.0, 1.0),
    "square_of_difference": (0.0, 2.0),
    "pow": (0.0, 1.5),
    "abs": (0.0, 1.0),
    "square": (0.0, 1.0),
    "sqrt": (0.0, 1.0),
    "rsqrt": (0.0, 1.0),
    "log": (0.0, 1.0),
    "exp": (0.0, 3.0),
    "softplus": (0.0, 1.5),
    "sum": (-16.0, 16.0),
    "cumsum": (-6.0, 6.0),
}
# The ranges of the kernels whose result has a fixed one.
FIXED = {"sigmoid": (0.0, 255 / 256), "softmax": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128), "log_softmax": (-15.9375, 0)}
WHERE = ["before", "behind", "both", "other", "fixed", "end"]


def unary(name, where):
    """The op between two convolutions, with a range before it, behind it, on both sides, or with nothing behind."""
    x = image(where != "behind")
    x = UNARY[name](x)
    low, high = FIXED[name] if where == "fixed" else BEHIND.get(name, (-1.0, 1.0))
    if where == "other":
        low, high = low * 1.2, high * 1.2
    if where not in ("before", "end"):
        x = fq(x, low, high, name="behind_q")
    high = 18.0 if name == "log_softmax" else 3.0
    return x if where == "end" else layer(x, "next", seed=2, high=high)


for _name in UNARY:
    for _where in WHERE:
        if _where != "fixed" or _name in FIXED:
            CASES[f"{_name}_{_where}"] = functools.partial(unary, _name, _where)


@family("einsum_weights", both=True, behind=False)
def einsum_weights(is_ranged):
    """With a range behind: without one it runs in neither version."""
    return layer(fq(tf.einsum("bhwc,cd->bhwd", image(is_ranged), values([4, 4]))), "next", seed=2)


@case
def squared_difference_of_five_dimensions():
    x = image(shape=[1, 8, 8, 2, 2])
    return fq(tf.math.squared_difference(x, tf.reduce_max(x, -1, keepdims=True)), 0, 2)


@family("embedding", behind=True, table=False)
def embedding(is_behind):
    """Rows of a table, with a range behind or on the table."""
    words = tf.argmax(image(), 3, output_type=tf.int32)
    table = tf.constant(values([4, 4], 5))
    x = fq(tf.gather(table, words)) if is_behind else tf.gather(fq(table), words)
    return layer(x, "next", seed=2)


@family(
    "one_hot",
    ranged=lambda words: fq(tf.one_hot(words, 4), 0, 1),
    reshaped=lambda words: fq(tf.reshape(tf.one_hot(words, 4), IMAGE), 0, 1),
    joined=lambda words: fq(tf.concat([tf.one_hot(words, 2), image(shape=[1, 8, 8, 2])], 3)),
    of_first=lambda words: tf.transpose(fq(tf.one_hot(words, 4, axis=1), 0, 1), [0, 2, 3, 1]),
    scaled=lambda words: fq(0.5 * tf.one_hot(words, 4), 0, 0.5),
    unranged=lambda words: tf.one_hot(words, 4),
    long=lambda words: fq(tf.one_hot(tf.cast(words, tf.int64), 4), 0, 1),
    bytes=lambda words: tf.one_hot(tf.cast(words, tf.uint8), 4),
    chosen=lambda words: fq(tf.where_v2(tf.one_hot(words, 4, True, False, dtype=tf.bool), 1.0, -0.5)),
    chosen_bytes=lambda words: fq(
        tf.where_v2(tf.one_hot(tf.cast(tf.cast(words, tf.uint8), tf.int32), 4, True, False, dtype=tf.bool), 1.0, 0.0)
    ),
)
def one_hot(rows):
    """Rows of zeros and a one."""
    return layer(rows(tf.argmax(image(), 3, output_type=tf.int32)), "next", seed=2)


@case
def one_hot_row():
    """Before a dense layer."""
    words = tf.argmax(image(shape=[3, 4]), 1, output_type=tf.int32)
    return fq(tf.matmul(fq(tf.one_hot(words, 4), 0, 1), quantized_weights(values([4, 4]), "symmetric")))


@case
def root_by_logarithm():
    above = fq(tf.maximum(image(), 1e-10), 0, 1)
    half = fq(0.5 * fq(tf.math.log(above), -23, 0), -11.5, 0)
    return layer(fq(tf.exp(half), 0, 1), "next", seed=2)


@family("transposed_then", relu=tf.nn.relu, relu6=tf.nn.relu6)
def transposed_then(activation):
    """An activation behind a transposed convolution, with one range behind both."""
    kernel = quantized_weights(values([3, 3, 4, 4]), "symmetric")
    x = tf.nn.conv2d_transpose(image(), kernel, [1, 16, 16, 4], 2, "SAME")
    return fq(activation(tf.nn.bias_add(x, values([4], 2))), 0, 3)


@family("transposed_open_then", relu=tf.nn.relu, nothing=tf.identity)
def transposed_open_then(activation):
    """The same with an open batch, for which its size is computed."""
    x = image(shape=[None, *IMAGE[1:]])
    kernel = quantized_weights(values([3, 3, 4, 4]), "symmetric")
    x = tf.nn.conv2d_transpose(x, kernel, tf.stack([tf.shape(x)[0], 16, 16, 4]), 2, "SAME")
    return fq(activation(tf.nn.bias_add(x, values([4], 2))), 0, 3)


@family("transposed_then_relu_bias", none=None, zeros=np.zeros(4, np.float32), small=np.full(4, 1e-6, np.float32))
def transposed_then_relu_bias(bias):
    """A Relu behind a transposed convolution without a bias, or with one of next to nothing."""
    kernel = quantized_weights(values([3, 3, 4, 4]), "symmetric")
    x = tf.nn.conv2d_transpose(image(), kernel, [1, 16, 16, 4], 2, "SAME")
    return fq(tf.nn.relu(x if bias is None else tf.nn.bias_add(x, bias)), 0, 3)


@family("transposed_open_then_relu_bias", none=None, zeros=np.zeros(4, np.float32), small=np.full(4, 1e-6, np.float32))
def transposed_open_then_relu_bias(bias):
    """The same with an open batch."""
    x = image(shape=[None, *IMAGE[1:]])
    kernel = quantized_weights(values([3, 3, 4, 4]), "symmetric")
    x = tf.nn.conv2d_transpose(x, kernel, tf.stack([tf.shape(x)[0], 16, 16, 4]), 2, "SAME")
    return fq(tf.nn.relu(x if bias is None else tf.nn.bias_add(x, bias)), 0, 3)


SUMS_WITH_ZEROS = {
    "conv": lambda x: tf.nn.bias_add(conv(x, bias=False), np.zeros(4, np.float32)),
    "open_pool": lambda x: tf.nn.bias_add(tf.nn.max_pool(x, 2, 2, "SAME"), np.zeros(4, np.float32)),
    "pool": lambda x: tf.nn.max_pool(x, 2, 2, "SAME") + np.zeros(4, np.float32),
    "scalar": lambda x: tf.nn.max_pool(x, 2, 2, "SAME") + 0.0,
    "minus": lambda x: tf.nn.max_pool(x, 2, 2, "SAME") - np.zeros(4, np.float32),
    "ranged": lambda x: tf.nn.max_pool(x, 2, 2, "SAME") + fq(tf.zeros(4)),
    "wider": lambda x: tf.nn.max_pool(x, 2, 2, "SAME") + np.zeros([1, 4, 4, 4], np.float32),
    "reshaped": lambda x: tf.nn.bias_add(tf.reshape(conv(x, bias=False), [-1, 16, 4, 4]), np.zeros(4, np.float32)),
    "turned": lambda x: tf.nn.bias_add(tf.transpose(conv(x, bias=False), [0, 2, 1, 3]), np.zeros(4, np.float32)),
    "softmax": lambda x: tf.nn.softmax(x) + np.zeros(4, np.float32),
}


@family("add_zeros_then_relu", **SUMS_WITH_ZEROS)
def add_zeros_then_relu(summed):
    """Zeros are added to something, before a Relu."""
    return fq(tf.nn.relu(summed(image())), 0, 3)


@family("add_zeros_before_relu_open", **SUMS_WITH_ZEROS)
def add_zeros_before_relu_open(summed):
    """The same with an open batch."""
    return fq(tf.nn.relu(summed(image(shape=[None, *IMAGE[1:]]))), 0, 3)


TURNED = {
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "tanh": tf.nn.tanh,
    "scaled": lambda x: x * 0.5,
    "biased": lambda x: tf.nn.bias_add(x, values([4], 7)),
    "ranged_relu": lambda x: tf.nn.relu(fq(x, -3, 3)),
    "relu_scaled": lambda x: tf.nn.relu(x) * 0.5,
}
TO_TURN = {"conv": conv, "pool": lambda x: tf.nn.max_pool(x, 2, 1, "SAME"), "mean": lambda x: tf.nn.avg_pool(x, 2, 1, "SAME")}


@family("turned_then", **{f"{first}_{then}": (first, then) for first in TO_TURN for then in TURNED})
def turned_then(names):
    """A Transpose between something and an op on each element."""
    first, then = names
    return fq(TURNED[then](tf.transpose(TO_TURN[first](image()), [0, 2, 1, 3])), -1, 3)


ON_EACH = "Sigmoid Abs Exp Elu Square Neg LeakyRelu Softplus Floor Selu Sin"


@family("turned_then_conv", **{name.lower(): getattr(tf.raw_ops, name) for name in ON_EACH.split()})
def turned_then_conv(op):
    """A Transpose between a convolution and an op on each element, however it is called."""
    x = tf.transpose(conv(image()), [0, 2, 1, 3])
    return fq(op(**{"features" if "features" in inspect.signature(op).parameters else "x": x}), -1, 3)


ARITHMETIC = {
    "add": tf.add, "sub": tf.subtract, "mul": tf.multiply, "div": tf.divide, "maximum": tf.maximum, "minimum": tf.minimum,
}


@family("turned_and_number", **ARITHMETIC)
def turned_and_number(op):
    """A Transpose between a convolution and arithmetic with one number for each channel, in as many dimensions."""
    return fq(op(tf.transpose(conv(image()), [0, 3, 1, 2]), np.abs(values([1, 4, 1, 1], 7)) + 0.1), -1, 3)


@family("turned_and_scalar", **ARITHMETIC)
def turned_and_scalar(op):
    """The same with one number."""
    return fq(op(tf.transpose(conv(image()), [0, 3, 1, 2]), 0.7), -1, 3)


@family("both_turned", **ARITHMETIC)
def both_turned(op):
    """The same with another convolution behind a Transpose."""
    left, right = (tf.transpose(conv(image(name=name), name=f"conv_{name}"), [0, 3, 1, 2]) for name in "xy")
    return fq(op(left, right), -1, 3)


@family("both_turned_apart", add=tf.add, mul=tf.multiply)
def both_turned_apart(op):
    """The same with Transposes in other orders."""
    left = tf.transpose(conv(image(name="x"), name="conv_x"), [0, 1, 2, 3])
    return fq(op(left, tf.transpose(conv(image(name="y"), name="conv_y"), [0, 2, 1, 3])), -1, 3)


@family("turned_sum", relu=tf.nn.relu, nothing=tf.identity)
def turned_sum(activation):
    """A Transpose behind a sum."""
    x = image()
    return fq(activation(tf.transpose(layer(x) + x, [0, 2, 1, 3])), -1, 3)


@family("times_ones_before_relu", fixed=1, open=None)
def times_ones_before_relu(batch):
    """A product with ones, before a Relu."""
    x = tf.nn.max_pool(image(shape=[batch, *IMAGE[1:]]), 2, 2, "SAME")
    return fq(tf.nn.relu(x * np.ones(4, np.float32)), 0, 3)


@family("add_zeros_then_conv", **SUMS_WITH_ZEROS)
def add_zeros_then_conv(summed):
    """Zeros are added to something that a convolution reads."""
    return layer(fq(summed(image()), -3, 3), "next", seed=2)


@family("transposed_ranged_then", relu=tf.nn.relu, relu6=tf.nn.relu6)
def transposed_ranged_then(activation):
    """The same with a range in front of the activation too."""
    kernel = quantized_weights(values([3, 3, 4, 4]), "symmetric")
    x = tf.nn.conv2d_transpose(image(), kernel, [1, 16, 16, 4], 2, "SAME")
    return fq(activation(fq(tf.nn.bias_add(x, values([4], 2)), 0, 3)), 0, 3)


# ---- Ops with two inputs


def binary(op, left, right, behind, other_high=1.0):
    """The op over two inputs, each ranged or not, in front of a convolution."""
    x, y = image(left, name="x"), image(False, name="y")
    y = fq(y, -other_high, other_high, name="y_q") if right else y
    z = op(x, y)
    return layer(fq(z, -2, 2, name="behind_q") if behind else z, "next", seed=2)


BINARY = {
    "add": lambda x, y: x + y,
    "add_relu": lambda x, y: tf.nn.relu(x + y),
    "add_n": lambda x, y: tf.add_n([x, y, x]),
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / (y + 3.0),
    "maximum": tf.maximum,
    "minimum": tf.minimum,
    "squared_difference": tf.math.squared_difference,
    "concat": lambda x, y: tf.concat([x, y], 3),
    "stack": lambda x, y: tf.reshape(tf.stack([x, y], 1), [1, 16, 8, 4]),
    "select": lambda x, y: tf.where(tf.constant(np.arange(256).reshape(IMAGE) % 2 == 0), x, y),
}
TWO = {
    "ranged": (True, True, True),
    "inputs_ranged": (True, True, False),
    "inputs_apart_ranged": (True, True, False, 2.0),
    "apart_ranged": (True, True, True, 2.0),
    "half_ranged": (True, False, True),
    "behind_ranged": (False, False, True),
}
for _name, _op in BINARY.items():
    for _variant, _arguments in TWO.items():
        CASES[f"{_name}_{_variant}"] = functools.partial(binary, _op, *_arguments)


def with_constant(op, quantized, behind):
    """The op over the input and a constant, in front of a max pool, which takes nothing into itself."""
    constant = tf.constant(SCALE)
    x = op(image(), fq(constant, 0.0, 1.5, name="constant_q") if quantized else constant)
    x = fq(x, -2.5, 2.5, name="behind_q") if behind else x
    return layer(tf.nn.max_pool2d(x, 2, 2, "SAME"), "next", seed=2)


for _name, _op in {"add": tf.add, "mul": tf.multiply, "sub": tf.subtract, "maximum": tf.maximum}.items():
    CASES[f"{_name}_constant"] = functools.partial(with_constant, _op, False, True)
    CASES[f"{_name}_constant_ranged"] = functools.partial(with_constant, _op, True, True)
    CASES[f"{_name}_constant_behind_unranged"] = functools.partial(with_constant, _op, True, False)


@family("concat_of_layers", alike=(3.0, True), apart=(2.0, True), behind_unranged=(2.0, False))
def concat_of_layers(variant):
    high, behind = variant
    x = image(False)
    joined = tf.concat([layer(fq(x), "left"), layer(fq(x), "right", high=high, seed=2)], 3)
    return layer(fq(joined, 0, 3) if behind else joined, "next", seed=3)


@case
def concat_of_layers_ranged_behind_only():
    x = image(False)
    left = tf.nn.relu(conv(fq(x), name="left"))
    right = tf.nn.relu(conv(fq(x), name="right", seed=2))
    return layer(fq(tf.concat([left, right], 3), 0, 3), "next", seed=3)


@case
def concat_with_constant():
    x = tf.concat([layer(image()), tf.constant(values([1, 8, 8, 2]))], 3)
    return layer(fq(x, -1, 3), "next", seed=3)


@case
def concat_of_pool_and_layer():
    x = image(False)
    pool = tf.nn.avg_pool2d(fq(x), 2, 1, "SAME")
    return layer(tf.concat([pool, layer(fq(x), "right", seed=2)], 3), "next", seed=3)


@case
def concat_at_end():
    x = image(False)
    return tf.concat([layer(fq(x), "left"), layer(fq(x), "right", high=2.0, seed=2)], 3)


# ---- Patterns of networks


@family("mean_matmul", unranged=False, ranged=True)
def mean_matmul(ranged):
    x = tf.reduce_mean(layer(image()), [1, 2])
    x = fq(x, 0, 3) if ranged else x
    x = tf.matmul(x, quantized_weights(values([4, 8]), "symmetric"))
    return tf.nn.softmax(fq(tf.nn.bias_add(x, values([8], 2)), -4, 4))


@case
def classifier_output_unranged():
    x = fq(tf.reduce_mean(layer(image()), [1, 2]), 0, 3)
    x = tf.matmul(x, quantized_weights(values([4, 8]), "symmetric"))
    return tf.nn.softmax(tf.nn.bias_add(x, values([8], 2)))


@case
def softmax_output_ranged():
    x = fq(tf.reduce_mean(layer(image()), [1, 2]), 0, 3)
    x = tf.matmul(x, quantized_weights(values([4, 8]), "symmetric"))
    return fq(tf.nn.softmax(fq(tf.nn.bias_add(x, values([8], 2)), -4, 4)), 0, 1)


@family("swish", inside_ranged=True, inside_unranged=False, inside_fixed="fixed")
def swish_inside(ranged):
    x = conv(image())
    if not ranged:
        x = fq(x, -3, 3)
        return layer(fq(x * tf.nn.sigmoid(x), -0.5, 3), "next", seed=2)
    gate = fq(tf.nn.sigmoid(fq(x, -3, 3)), 0, 255 / 256 if ranged == "fixed" else 1)
    return layer(fq(fq(x, -3, 3) * gate, -0.5, 3), "next", seed=2)


def hard_swish(ranged):
    x = conv(image())
    if not ranged:
        x = fq(x, -3, 3)
        return layer(fq(x * tf.nn.relu6(x + 3.0) * (1 / 6), -0.5, 3), "next", seed=2)
    gate = fq(tf.nn.relu6(fq(x, -3, 3) + 3.0), 0, 6)
    product = fq(fq(x, -3, 3) * gate, -3, 18)
    product = product * (1 / 6) if ranged == "inside" else fq(product * (1 / 6), -0.5, 3)
    return layer(product if ranged == "all" else fq(product, -0.5, 3), "next", seed=2)


CASES["hard_swish_of_layer"] = functools.partial(hard_swish, None)
CASES["hard_swish_of_layer_ranged_inside"] = functools.partial(hard_swish, "inside")
CASES["hard_swish_of_layer_ranged_all"] = functools.partial(hard_swish, "all")


@family("hard_swish_keras", unranged_inside=False, ranged_inside=True)
def hard_swish_keras(ranged):
    """As Keras writes it: the sixth goes to the gate."""
    inside = fq if ranged else lambda x, *_: x
    x = fq(conv(image()), -3, 3)
    gate = inside(inside(tf.nn.relu6(x + 3.0), 0, 6) * np.float32(1 / 6), 0, 1)
    return layer(fq(x * gate, -0.5, 3), "next", seed=2)


@family("hard_sigmoid_of_layer", unranged_between=False, ranged_between=True)
def hard_sigmoid_of_layer(ranged):
    """Squeeze and excite's gate: what is added to the layer is one more bias."""
    x = conv(image())
    x = fq(x, -3, 3) if ranged else x
    return fq(fq(tf.nn.relu6(x + 3.0), 0, 6) * np.float32(1 / 6), 0, 1)


@family("conv_bias_of_equal_numbers", **WEIGHTS)
def conv_bias_of_equal_numbers(kind):
    """One range a channel, and a bias that is stored as one number: it is scaled as if all channels were the first."""
    x = conv(image(), kind, bias=False)
    return fq(tf.nn.relu6(tf.nn.bias_add(x, np.full([4], 3, np.float32))), 0, 6)


@family("conv_bias_of_a_number", per_channel="per channel", unquantized=None)
def conv_bias_of_a_number(kind):
    return fq(tf.nn.relu6(conv(image(), kind, bias=False) + 3.0), 0, 6)


@case
def matmul_bias_of_a_split_constant():
    """A GRU's two biases are one constant, taken apart."""
    weights = values([8, 8])
    first, second = tf.unstack(tf.constant(values([2, 8], 2)))
    x = tf.nn.bias_add(tf.matmul(image(shape=[1, 8]), quantized_weights(weights, "symmetric")), first)
    x = tf.matmul(fq(x, -2, 2), quantized_weights(weights, "symmetric", name="second_q"))
    return fq(tf.nn.bias_add(x, second), -4, 4)


@case
def hard_swish_one_range_each():
    x = conv(image())
    return layer(fq(fq(x, -3, 3) * tf.nn.relu6(fq(x, -3, 3) + 3.0) * (1 / 6), -0.5, 3), "next", seed=2)


def excite(ranged):
    x = layer(image())
    y = tf.reduce_mean(x, [1, 2], keepdims=True)
    y = fq(y, 0, 3) if ranged else y
    y = layer(y, "reduce", size=1, seed=2)
    y = conv(y, size=1, name="expand", seed=3)
    y = tf.nn.sigmoid(fq(y, -3, 3))
    y = fq(y, 0, 255 / 256) if ranged else y
    return layer(fq(x * y, 0, 3), "next", seed=4)


@family("excite", unranged=False, ranged=True)
def excite_of_layer(ranged):
    return excite(ranged)


@family("pad_before_conv", unranged=False, alike=3.0, apart=2.5)
def pad_before_conv(high):
    x = tf.pad(layer(image()), [[0, 0], [0, 1], [0, 1], [0, 0]])
    return layer(fq(x, 0, high) if high else x, "next", seed=2, strides=2, padding="VALID")


@case
def relu_before_separable():
    x = image()
    x = tf.nn.relu(x)
    kernel = depthwise_kernel("reshaped", 1)
    x = tf.nn.depthwise_conv2d_native(x, kernel, [1, 1, 1, 1], "SAME")
    return layer(fq(x, -3, 3), "next", size=1, seed=2)


@case
def separable_unranged_between():
    x = tf.nn.depthwise_conv2d_native(image(), depthwise_kernel("reshaped", 1), [1, 1, 1, 1], "SAME")
    return layer(x, "next", size=1, seed=2)


@case
def add_then_concat():
    x = image(False)
    total = fq(x) + layer(fq(x), "left", -3, 3, None)
    return layer(tf.concat([total, fq(x)], 3), "next", seed=3)


@case
def add_then_concat_ranged():
    x = image(False)
    total = fq(fq(x) + layer(fq(x), "left", -3, 3, None), -4, 4)
    return layer(tf.concat([total, fq(x)], 3), "next", seed=3)


@case
def relu_behind_add_ranged_before():
    x = image(False)
    total = fq(fq(x) + layer(fq(x), "left", -3, 3, None), -4, 4)
    return layer(tf.nn.relu(total), "next", seed=3)


@case
def flatten_matmul():
    x = tf.reshape(layer(image()), [1, 256])
    x = tf.matmul(x, quantized_weights(values([256, 8], spread=0.05), "symmetric"))
    return fq(tf.nn.bias_add(x, values([8], 2)), -4, 4)


@case
def flatten_by_shape_matmul():
    x = layer(image(shape=[None, 8, 8, 4]))
    x = tf.reshape(x, tf.stack([tf.shape(x)[0], 256]))
    x = tf.matmul(x, quantized_weights(values([256, 8], spread=0.05), "symmetric"))
    return fq(tf.nn.bias_add(x, values([8], 2)), -4, 4)


@case
def batch_unknown():
    return layer(image(shape=[None, 8, 8, 4]))


@case
def argmax_at_end():
    return tf.argmax(tf.reshape(layer(image()), [1, 256]), 1)


@case
def gru_step():
    """One step of a GRU: gates of one matrix, every inner tensor ranged."""
    x, h = image(False, [1, 8], "x"), image(False, [1, 8], "h")
    weights = quantized_weights(values([16, 16]), "symmetric", name="gates_q")
    gates = tf.nn.bias_add(tf.matmul(tf.concat([fq(x), fq(h)], 1), weights), values([16], 2))
    reset, update = tf.split(tf.nn.sigmoid(fq(gates, -3, 3)), 2, 1)
    other = values([16, 8], 3)
    kept = fq(fq(reset, 0, 255 / 256) * fq(h))
    candidate = tf.matmul(tf.concat([fq(x), kept], 1), fq(other, -bound(other), bound(other), narrow=True))
    candidate = fq(tf.nn.tanh(fq(candidate, -3, 3)), -1, 127 / 128)
    update = fq(update, 0, 255 / 256)
    return fq(fq(update * fq(h)) + fq(fq(1.0 - update, 0, 1) * candidate), -1, 1)


@family("zeros_of_unknown_batch", unranged=False, ranged=True)
def zeros_of_unknown_batch(ranged):
    """The first state of a recurrent network, through a matrix of its own and added."""
    x = image(shape=[None, 8])
    state = tf.zeros(tf.stack([tf.shape(x)[0], 8]))
    state = fq(state) if ranged else state
    old = fq(tf.matmul(state, quantized_weights(values([8, 8], 3), "symmetric", name="state_q")), -3, 3)
    new = fq(tf.matmul(x, quantized_weights(values([8, 8]), "symmetric")), -3, 3)
    return fq(new + old, -4, 4)


@family("shape_of_input", raw=False, ranged=True)
def shape_of_input(ranged):
    """The input's size is read beside the input itself: in front of its fake quantizer, or behind it."""
    x = image(False, [None, 8, 8, 4])
    quantized = fq(x)
    batch = tf.shape(quantized if ranged else x)[0]
    return tf.reshape(layer(quantized), tf.stack([batch, 256]))


@family("depthwise_nearly_symmetric", wide=False, narrow=True)
def depthwise_nearly_symmetric(narrow):
    """A range a little larger on one side: its zero is between two levels."""
    weights = values([3, 3, 4, 1], 5)
    kernel = fq(weights, -bound(weights), bound(weights) * 1.003, narrow=narrow)
    return fq(tf.nn.relu(tf.nn.depthwise_conv2d_native(image(), kernel, [1, 1, 1, 1], "SAME")), 0, 3)


@case
def no_fake_quantizer():
    return tf.nn.relu(conv(image(False), None))


# ---- What a check has to tell apart


@family("depthwise_weight_bits", **{str(bits): bits for bits in (2, 3, 4, 6)})
def depthwise_weight_bits(bits):
    kernel = quantized_weights(values([3, 3, 4, 1], 5), "symmetric", bits)
    return fq(tf.nn.relu6(tf.nn.depthwise_conv2d_native(image(), kernel, [1, 1, 1, 1], "SAME")), 0, 0.5)


@family("matmul_weight_bits", **{str(bits): bits for bits in (2, 3, 6)})
def matmul_weight_bits(bits):
    x = tf.matmul(image(shape=[1, 16]), quantized_weights(values([16, 8]), "symmetric", bits))
    return fq(tf.nn.bias_add(x, values([8], 2)), -1, 1)


@family("transposed_conv_weight_bits", **{str(bits): bits for bits in (3, 4)})
def transposed_conv_weight_bits(bits):
    weights = np.swapaxes(values([3, 3, 4, 6], 5), 2, 3).copy()
    kernel = quantized_weights(weights, "symmetric", bits)
    return fq(tf.nn.conv2d_transpose(image(), kernel, [1, 16, 16, 6], 2, "SAME"), -3, 3)


@family("conv_weight_bits_per_channel_of", **{str(bits): bits for bits in (2, 3)})
def conv_few_weight_bits_per_channel(bits):
    return layer(image(), bits=bits, weights="per channel")


@family("activation_bits_of_input", **{str(bits): bits for bits in (2, 3, 5, 6)})
def activation_bits_of_input(bits):
    return layer(fq(image(False), bits=bits))


@family("activation_bits_inside", **{str(bits): bits for bits in (3, 4, 5, 16)})
def activation_bits_inside(bits):
    return layer(fq(tf.nn.relu(conv(image())), 0, 3, bits), "next", seed=2)


@family("scalar_mul_by", little_more=1.02, less=0.7, half=0.5, hundredth=0.01, negative=-1.0, two=2.0)
def scalar_mul_by(factor):
    """Folded into the weights, whose range stays."""
    return layer(image() * factor, "next", seed=2, low=0.0, high=3.0 * abs(factor) + 0.1)


@family("scalar_mul_before_weights", **WEIGHTS)
def scalar_mul_before_weights(kind):
    return fq(tf.nn.relu6(conv(image() * 1.6, kind)), 0, 6)


@case
def scalar_mul_before_depthwise():
    x = tf.nn.depthwise_conv2d_native(image() * 1.6, depthwise_kernel("symmetric", 1), [1, 1, 1, 1], "SAME")
    return fq(tf.nn.relu6(x), 0, 6)


@case
def scalar_mul_before_matmul():
    return fq(tf.matmul(image(shape=[1, 16]) * 1.6, quantized_weights(values([16, 8]), "symmetric")), -2, 2)


@case
def scalar_mul_before_transposed():
    x = tf.nn.conv2d_transpose(image() * 1.6, transposed_kernel("symmetric"), [1, 16, 16, 6], 2, "SAME")
    return fq(x, -6, 6)


@case
def shared_pool_between_layers():
    """A pool of a ranged layer, beside a layer of a wider range."""
    x = image(False)
    left, right = layer(fq(x), "left", high=1.5, size=1), layer(fq(x), "right", high=4.0, seed=2)
    return layer(tf.concat([tf.nn.max_pool2d(left, 3, 1, "SAME"), right], 3), "next", seed=3)


@family("compared", equal=tf.equal, not_equal=tf.not_equal, greater=tf.greater, less_equal=tf.less_equal)
def compared(op):
    x = layer(image())
    return fq(tf.where(op(x, 0.5, name="compared"), x, layer(x, "other")), 0, 3)


@family("reshape_read_twice", mul=tf.multiply, add=tf.add, sub=tf.subtract, maximum=tf.maximum)
def reshape_read_twice(op):
    flat = tf.reshape(layer(image()), [1, -1], name="flat")
    return fq(op(flat, flat, name="twice"), -9, 9)


@family("reshape_with_range_read_twice", alone=False, by_others_too=True)
def reshape_with_range_read_twice(others):
    flat = fq(tf.reshape(layer(image()), [1, 64, 4], name="flat"), 0, 3)
    square = fq(tf.multiply(flat, flat, name="square"), 0, 9)
    return fq(tf.add(square, flat), 0, 12) if others else square


@case
def square_in_front_of_a_reshape():
    x = layer(image())
    return tf.reshape(fq(tf.multiply(x, x, name="square"), 0, 9), [1, -1], name="flat")


@case
def two_reshapes_of_one_range():
    sides = [tf.reshape(layer(image(), name), [1, -1]) for name in ("a", "b")]
    return fq(tf.multiply(*sides), 0, 9)


@case
def patches_side_by_side():
    return tf.space_to_depth(layer(image()), 2)


@case
def relu_behind_reshape():
    x = tf.reshape(conv(image()), [1, 4, 16, 4])
    return layer(fq(tf.nn.relu(x), 0, 3), "next", seed=2)


@case
def leaky_relu_as_maximum():
    x = image()
    return layer(fq(tf.maximum(x, x * 0.2)), "next", seed=2)


@case
def matmul_relu():
    x = tf.matmul(image(shape=[1, 16]), quantized_weights(values([16, 8]), "symmetric"))
    return fq(tf.nn.relu(tf.nn.bias_add(x, values([8], 2))), 0, 3)


@case
def leaky_relu_behind_layer():
    return fq(tf.nn.leaky_relu(conv(image())), -1, 3)


@case
def leaky_relu_behind_ranged_layer():
    return fq(tf.nn.leaky_relu(fq(conv(image()), -3, 3)), -1, 3)


@case
def range_behind_squeezed_mean():
    x = tf.squeeze(tf.reduce_mean(layer(image()), [1, 2], keepdims=True), [1, 2])
    return fq(tf.matmul(fq(x, 0, 3), quantized_weights(values([4, 8]), "symmetric")), -4, 4)


@case
def add_of_layers_unranged():
    """A residual sum whose summands have no ranges."""
    x = image(False)
    total = conv(fq(x), name="left") + conv(fq(x), name="right", seed=2)
    return layer(fq(tf.nn.relu(total), 0, 5), "next", seed=3)


@case
def conv_at_end_without_activation():
    return fq(conv(image()), -4, 4)


@case
def depthwise_dilated():
    kernel = depthwise_kernel("reshaped", 1)
    x = tf.nn.depthwise_conv2d_native(image(), kernel, [1, 1, 1, 1], "SAME", dilations=[1, 2, 2, 1])
    return fq(tf.nn.relu6(tf.nn.bias_add(x, values([4], 2))), 0, 6)


@family("conv_atrous_of", known_batch=1, unknown_batch=None)
def conv_atrous_of(batch):
    x = tf.space_to_batch_nd(image(shape=[batch, 8, 8, 4]), [2, 2], [[2, 2], [2, 2]])
    x = tf.batch_to_space_nd(conv(x, bias=False, padding="VALID"), [2, 2], [[0, 0], [0, 0]])
    return fq(tf.nn.relu(tf.nn.bias_add(x, values([4], 2))), 0, 3)


@family("div_of_ranged", both=True, inputs=False)
def div_of_ranged(behind):
    x = image() / fq(image(False, name="y") + 3.0, 0, 4)
    return layer(fq(x, -1, 1) if behind else x, "next", seed=2)


@family("conv1d_dilated", known_batch=1, unknown_batch=None)
def conv1d_dilated(batch):
    x = tf.expand_dims(tf.space_to_batch_nd(image(shape=[batch, 16, 4]), [2], [[2, 2]]), 1)
    x = conv(x, size=1, bias=False, padding="VALID")
    x = tf.batch_to_space_nd(tf.squeeze(x, [1]), [2], [[2, 2]])
    return fq(tf.nn.relu(tf.nn.bias_add(x, values([4], 2))), 0, 3)


@case
def scalar_mul_before_two_layers():
    x = image() * 1.6
    return [layer(x, "left", seed=2), layer(x, "right", seed=3)]


@case
def scalar_div_before_conv():
    return layer(image() / 0.6, "next", seed=2)


@case
def scalar_on_the_left_before_conv():
    return layer(1.6 * image(), "next", seed=2)


@family("scalar_add_before", valid_conv="VALID", same_conv="SAME")
def scalar_add_before(padding):
    return layer(image() + 0.6, "next", seed=2, padding=padding)


@case
def scalar_add_before_matmul():
    return fq(tf.matmul(image(shape=[1, 16]) + 0.6, quantized_weights(values([16, 8]), "symmetric")), -6, 6)


@case
def scalar_sub_before_valid_conv():
    return layer(image() - 0.6, "next", seed=2, padding="VALID")


@family("depthwise_bias_of_equal_numbers", symmetric="symmetric", reshaped="reshaped", unquantized=None)
def depthwise_bias_of_equal_numbers(kind):
    x = tf.nn.depthwise_conv2d_native(image(), depthwise_kernel(kind, 1), [1, 1, 1, 1], "SAME")
    return fq(tf.nn.relu6(tf.nn.bias_add(x, np.full([4], 3, np.float32))), 0, 6)


@case
def matmul_bias_of_equal_numbers_unquantized():
    x = tf.matmul(image(shape=[1, 16]), values([16, 8]))
    return fq(tf.nn.bias_add(x, np.full([8], 3, np.float32)), 0, 6)


@case
def transposed_conv_bias_of_equal_numbers_unquantized():
    x = tf.nn.conv2d_transpose(image(), transposed_kernel(None), [1, 16, 16, 6], 2, "SAME")
    return fq(tf.nn.relu(tf.nn.bias_add(x, np.full([6], 3, np.float32))), 0, 6)


@case
def conv_bias_of_zeros_per_channel():
    x = conv(image(), "per channel", bias=False)
    return fq(tf.nn.relu6(tf.nn.bias_add(x, np.zeros([4], np.float32))), 0, 6)


@case
def conv_bias_of_one_channel_per_channel():
    x = conv(image(), "per channel", bias=False, channels=1)
    return fq(tf.nn.relu6(tf.nn.bias_add(x, np.full([1], 3, np.float32))), 0, 6)


@case
def input_of_two_ranges():
    x = image(False)
    return [layer(fq(x), "left", seed=2), layer(fq(x, -0.5, 0.5), "right", seed=3)]


@case
def input_ranged_and_pooled():
    x = image(False)
    return [layer(fq(x), "left", seed=2), layer(fq(tf.nn.max_pool2d(x, 2, 2, "SAME")), "right", seed=3)]


@case
def input_ranged_and_output():
    x = image(False)
    return [layer(fq(x), "left", seed=2), tf.reshape(x, [1, 256])]


def fixed_then(hand_on, end=False):
    """An op of a fixed range, one that hands values on, and a range behind."""

    def build(variant):
        op, low, high = variant
        x = hand_on(op(image()))
        return x if end else layer(fq(x, low, high), "next", seed=2)

    return build


FIXED_OPS = {
    "sigmoid": (tf.nn.sigmoid, 0.0, 1.0),
    "sigmoid_fixed": (tf.nn.sigmoid, 0.0, 255 / 256),
    "softmax_other": (tf.nn.softmax, 0.0, 0.5),
    "tanh": (tf.nn.tanh, -1.0, 1.0),
    "l2": (lambda x: tf.nn.l2_normalize(x, 3), -0.8, 0.8),
}
family("fixed_then_reshape", **FIXED_OPS)(fixed_then(lambda x: tf.reshape(x, [1, 4, 16, 4])))
family("fixed_then_pool", **FIXED_OPS)(fixed_then(lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME")))
family("fixed_then_reshape_end", sigmoid=FIXED_OPS["sigmoid"])(fixed_then(lambda x: tf.reshape(x, [1, 256]), True))


@family("fixed_beside", first=True, second=False)
def fixed_beside(first):
    """A sigmoid beside a wider tensor in a concatenation without a range of its own."""
    x = image(False)
    gate, wide = tf.nn.sigmoid(fq(x)), layer(fq(x), "right", high=4.0, seed=2)
    return layer(tf.concat([gate, wide] if first else [wide, gate], 3), "next", seed=3)


@family("concat_holding", behind=("narrow", 4.0), unranged=("narrow", None), wide_first=("wide", None))
def concat_holding(variant):
    """Two ranges that hold what they are of."""
    first, behind = variant
    x = image(False)
    both = [layer(fq(x), "left", high=1.0, size=1), layer(fq(x), "right", high=4.0, seed=2)]
    joined = tf.concat(both if first == "narrow" else both[::-1], 3)
    return layer(fq(joined, 0, behind) if behind else joined, "next", seed=3)


@case
def concat_nearly_alike():
    x = image(False)
    return layer(tf.concat([layer(fq(x), "left", high=3.9), layer(fq(x), "right", high=4.0, seed=2)], 3), "next", seed=3)


@case
def concat_holding_read_twice():
    """What enters the concatenation is read by a layer too."""
    x = image(False)
    left, right = layer(fq(x), "left", high=1.0, size=1), layer(fq(x), "right", high=4.0, seed=2)
    return [layer(tf.concat([left, right], 3), "next", seed=3), layer(right, "other", seed=4)]


@case
def relu_between_ranges_behind_add():
    x = image(False)
    total = fq(fq(x) + layer(fq(x), "left", -3, 3, None), -4, 4)
    return layer(fq(tf.nn.relu(total), 0, 4), "next", seed=3)


@case
def relu_between_ranges_twice_read():
    x = fq(conv(image()), -3, 3)
    return [layer(fq(tf.nn.relu(x), 0, 3), "left", seed=2), layer(x, "right", seed=3)]


@family("hands_on_float", neg=tf.negative, elu=tf.nn.elu, div=lambda x: 1.0 / (x + 2.0))
def hands_on_float(op):
    """What stays float, and a range only behind an op that hands values on."""
    return layer(fq(tf.reshape(op(image()), [1, 4, 16, 4])), "next", seed=2)


@family(
    "range_behind",
    pool=lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME"),
    resize=lambda x: tf.image.resize_bilinear(x, [16, 16]),
    reshape=lambda x: tf.reshape(x, [1, 4, 16, 4]),
    mean=lambda x: tf.reduce_mean(x, [1, 2], keepdims=True),
)
def range_behind(op):
    """A layer whose range stands behind an op that hands it on."""
    return layer(fq(op(tf.nn.relu(conv(image()))), 0, 3), "next", seed=2)


@case
def range_behind_pool_of_two_readers():
    x = tf.nn.relu(conv(image()))
    return [layer(fq(tf.nn.max_pool2d(x, 2, 2, "SAME"), 0, 3), "left", seed=2), layer(fq(x, 0, 3), "right", seed=3)]


@case
def output_beside_its_range():
    x = tf.nn.relu(conv(image()))
    return [layer(fq(x, 0, 4), "next", seed=2), x]


@family("batch_norm_behind_depthwise", symmetric="symmetric", per_channel="per channel", unquantized=None)
def batch_norm_behind_depthwise(kind):
    x = tf.nn.depthwise_conv2d_native(image(), depthwise_kernel(kind, 1), [1, 1, 1, 1], "SAME")
    return fq(tf.nn.relu(batch_norm(x)), 0, 3)


@family("scalar_mul_behind", per_channel="per channel", unquantized=None)
def scalar_mul_behind(kind):
    return fq(tf.nn.relu(conv(image(), kind) * 0.8), 0, 3)


@family("mul_behind", per_channel="per channel", unquantized=None)
def mul_behind(kind):
    return fq(tf.nn.relu(conv(image(), kind) * SCALE), 0, 3)


@family("mul_behind_matmul", symmetric="symmetric", unquantized=None)
def mul_behind_matmul(kind):
    x = tf.matmul(image(shape=[1, 16]), quantized_weights(values([16, 4]), kind))
    return fq(tf.nn.relu(x * SCALE), 0, 3)


@family("depthwise_zero_point", **{str(points): points for points in (1, 2, 4, 8, 16)})
def depthwise_zero_point(points):
    """Weights whose zero is so many levels off the middle."""
    weights = values([3, 3, 4, 1], 5)
    kernel = fq(weights, -bound(weights), bound(weights) * (1 + 2 * points / (127 - points)), narrow=True)
    return fq(tf.nn.relu(tf.nn.depthwise_conv2d_native(image(), kernel, [1, 1, 1, 1], "SAME")), 0, 3)


@family("conv_wide_of", **{str(number): number for number in range(1, 13)})
def conv_wide_of(number):
    """Symmetric, not narrow: where zero comes to lie depends on how numbers are rounded."""
    weights = values([3, 3, 4, 4])
    limit = np.float32(bound(weights) * (1 + number / 37))
    return fq(tf.nn.relu(tf.nn.conv2d(image(), fq(weights, -limit, limit), 1, "SAME")), 0, 3)


@case
def top_k_at_end():
    return tf.nn.top_k(tf.reshape(layer(image()), [1, 256]), 3)[0]


@family("batch_norm_behind_bias", symmetric="symmetric", per_channel="per channel")
def batch_norm_behind_bias(kind):
    return fq(tf.nn.relu(batch_norm(conv(image(), kind))), 0, 3)


@case
def conv_of_two_inputs():
    return fq(tf.nn.conv2d(image(), image(shape=[3, 3, 4, 4], name="y"), 1, "SAME"), -4, 4)


@case
def range_far_too_small():
    """The range of the input holds a fiftieth of what the weights make of it."""
    return layer(fq(layer(image(), high=0.02), 0, 0.02), "next", seed=2)


@case
def relu6_range_too_small():
    x = fq(tf.nn.relu6(conv(image() * 1.0)), 0, 6)
    return layer(x, "next", seed=2)


@family("reinterpreted", reshape=lambda x: tf.reshape(x, [1, 4, 16, 4]), pool=lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME"))
def reinterpreted(op):
    """A range on either side of what hands values on, one twice the other, behind a layer."""
    return layer(fq(op(layer(image(), high=4.0)), 0, 8), "next", seed=2)


ZEROS = np.zeros(4, "f")
NEUTRAL = {
    "zeros_added": lambda x: x + ZEROS,
    "zero_added": lambda x: x + np.float32(0),
    "zeros_taken_off": lambda x: x - ZEROS,
    "zeros_as_bias": lambda x: tf.nn.bias_add(x, ZEROS),
    "times_ones": lambda x: x * np.ones(4, "f"),
    "by_ones": lambda x: x / np.ones(4, "f"),
    "zeros_added_twice": lambda x: x + ZEROS + ZEROS,
}


@family("unchanged", **NEUTRAL)
def unchanged(op):
    """Arithmetic that leaves everything as it is."""
    return fq(tf.nn.relu(op(fq(tf.nn.avg_pool2d(layer(image()), 2, 2, "VALID"), 0, 3))), 0, 3)


@case
def unchanged_zero_of_unknown_batch():
    x = tf.nn.avg_pool2d(layer(image(shape=[None, 8, 8, 4])), 2, 2, "VALID")
    return fq(tf.nn.relu(fq(x, 0, 3) + np.float32(0)), 0, 3)


# ---- While-loops


def loop(step, *states, steps=3, frames=True):
    """The states after so many steps, in frames of Enter and Exit, as `calibrate` writes them, or as a function."""

    def body(count, *states):
        return [count + 1, *step(count, *states)]

    (tf.disable_control_flow_v2 if frames else tf.enable_control_flow_v2)()
    try:
        return tf.while_loop(lambda count, *_: count < steps, body, [0, *states])[1:]
    finally:
        tf.enable_control_flow_v2()


def product(x, seed, ranged=True, kind="symmetric"):
    """What is multiplied by eight columns of weights."""
    weights = quantized_weights(values([x.shape[-1], 8], seed), kind, name=f"weights{seed}_q")
    made = tf.matmul(x, weights)
    return fq(made, -3, 3) if ranged else made


def recurrent(x, h, product_ranged=True, sum_ranged=True, result_ranged=True):
    """A step of a simple recurrent network."""
    mixed = product(x, 1) + product(h, 2, product_ranged)
    made = tf.nn.tanh(fq(mixed, -4, 4) if sum_ranged else mixed)
    return fq(made, -1, 127 / 128) if result_ranged else made


def sequence(steps=3):
    """What a loop reads from, step by step: a list of rows."""
    return tf.raw_ops.TensorListFromTensor(tensor=image(shape=[steps, 1, 8]), element_shape=[1, 8])


def row(rows, count):
    return tf.raw_ops.TensorListGetItem(input_handle=rows, index=count, element_shape=[1, 8], element_dtype=tf.float32)


def empty_list(steps=3):
    return tf.raw_ops.TensorListReserve(element_shape=[1, 8], num_elements=steps, element_dtype=tf.float32)


def stacked(rows, steps=3):
    return tf.raw_ops.TensorListStack(
        input_handle=rows, element_shape=[1, 8], element_dtype=tf.float32, num_elements=steps
    )


@family("loop", frames=True, functional=False)
def loop_of_frames(frames):
    x, h = image(shape=[1, 8]), image(shape=[1, 8], name="h")
    return loop(lambda _, h: [recurrent(x, fq(h))], h, frames=frames)[0]


@family("loop_step", product_unranged="product_ranged", sum_unranged="sum_ranged", result_unranged="result_ranged")
def loop_step(lacking):
    x, h = image(shape=[1, 8]), image(shape=[1, 8], name="h")
    return loop(lambda _, h: [recurrent(x, fq(h), **{lacking: False})], h)[0]


@case
def loop_state_unranged():
    x, h = image(shape=[1, 8]), image(shape=[1, 8], name="h")
    return loop(lambda _, h: [recurrent(x, h)], h)[0]


@case
def loop_ranged_inside():
    """The ends are in floats: what they are is said in the body."""
    x, h = image(False, [1, 8]), image(False, [1, 8], "h")
    return loop(lambda _, h: [recurrent(fq(x), fq(h))], h)[0]


@case
def loop_between_layers():
    x = product(image(shape=[1, 8]), 3)
    (h,) = loop(lambda _, h: [recurrent(x, fq(h))], tf.zeros([1, 8]))
    return product(fq(h), 4)


@family("loop_weights", per_channel="per channel", asymmetric="asymmetric", unquantized=None)
def loop_weights(kind):
    h = image(shape=[1, 8], name="h")
    return loop(lambda _, h: [fq(tf.nn.tanh(product(fq(h), 2, kind=kind)), -1, 127 / 128)], h)[0]


@case
def loop_weights_entered():
    """The weights and their range are outside; the loop is given them."""
    h = image(shape=[1, 8], name="h")
    weights = quantized_weights(values([8, 8], 2), "symmetric")
    return loop(lambda _, h: [fq(tf.nn.tanh(fq(tf.matmul(fq(h), weights), -3, 3)), -1, 127 / 128)], h)[0]


@family("loop_gru", frames=True, functional=False)
def loop_gru(frames):
    x, h = image(shape=[1, 8]), image(shape=[1, 8], name="h")

    def step(_, h):
        h = fq(h)
        update = fq(tf.nn.sigmoid(fq(product(x, 1) + product(h, 2), -4, 4)), 0, 255 / 256)
        reset = fq(tf.nn.sigmoid(fq(product(x, 3) + product(h, 4), -4, 4)), 0, 255 / 256)
        other = fq(tf.nn.tanh(fq(product(x, 5) + product(fq(reset * h), 6), -4, 4)), -1, 127 / 128)
        return [fq(fq(update * h) + fq(fq(1.0 - update, 0, 1) * other), -1, 1)]

    return loop(step, h, frames=frames)[0]


@case
def loop_lstm():
    """Two states go round."""
    x, h, c = image(shape=[1, 8]), image(shape=[1, 8], name="h"), image(shape=[1, 8], name="c")

    def step(_, h, c):
        both = tf.concat([x, fq(h)], 1)
        into, kept, out = (fq(tf.nn.sigmoid(product(both, seed)), 0, 255 / 256) for seed in (1, 2, 3))
        new = fq(tf.nn.tanh(product(both, 4)), -1, 127 / 128)
        c = fq(fq(kept * fq(c, -2, 2), -2, 2) + fq(into * new), -2, 2)
        return [fq(out * fq(tf.nn.tanh(c), -1, 127 / 128), -1, 127 / 128), c]

    return loop(step, h, c)[0]


@case
def loop_convolution():
    return loop(lambda _, x: [layer(fq(x, 0, 3))], image())[0]


@case
def loop_square():
    """No integer kernel computes what goes round."""
    return loop(lambda _, x: [fq(tf.square(fq(x)))], image(shape=[1, 8]))[0]


@family("loop_reads_list", ranged=True, unranged=False)
def loop_reads_list(ranged):
    rows = sequence()

    def step(count, h):
        x = row(rows, count)
        return [recurrent(fq(x) if ranged else x, fq(h))]

    return loop(step, tf.zeros([1, 8]))[0]


@family("loop_writes_list", of_three=(3, True), of_one=(1, True), of_floats=(3, False))
def loop_writes_list(variant):
    steps, ranged = variant
    x = image(shape=[1, 8])

    def step(count, h, rows):
        h = recurrent(x, fq(h), result_ranged=ranged)
        item = h if ranged else h * 2.0
        return [h, tf.raw_ops.TensorListSetItem(input_handle=rows, index=count, item=item)]

    _, rows = loop(step, tf.zeros([1, 8]), empty_list(steps), steps=steps)
    return fq(stacked(rows, steps))


@case
def loop_writes_list_where_it_begins():
    """The last row alone is kept, as recurrent layers do that return no sequence."""
    x = image(shape=[1, 8])

    def step(_, h, rows):
        h = recurrent(x, fq(h))
        return [h, tf.raw_ops.TensorListSetItem(input_handle=rows, index=0, item=h)]

    _, rows = loop(step, tf.zeros([1, 8]), empty_list(1))
    return fq(stacked(rows, 1))


@case
def loop_behind_loop():
    """The second reads what the first has written."""
    x = image(shape=[1, 8])

    def first(count, h, rows):
        h = recurrent(x, fq(h))
        return [h, tf.raw_ops.TensorListSetItem(input_handle=rows, index=count, item=h)]

    _, rows = loop(first, tf.zeros([1, 8]), empty_list())
    whole = fq(stacked(rows))
    again = tf.raw_ops.TensorListFromTensor(tensor=whole, element_shape=[1, 8])
    return loop(lambda count, h: [recurrent(fq(row(again, count)), fq(h))], tf.zeros([1, 8]))[0]


# ---- Converting and judging


class Case:
    """A graph, ready to be converted: its definition and the names of its ends."""

    def __init__(self, name):
        self.name = name
        with tf.Graph().as_default() as graph:
            outputs = CASES[name]()
            outputs = outputs if isinstance(outputs, list) else [outputs]
            outputs = [tf.identity(output, name=f"output{number}") for number, output in enumerate(outputs)]
            self.inputs = [op.name for op in graph.get_operations() if op.type == "Placeholder"]
        self.outputs = [output.op.name for output in outputs]
        self.graph_def = graph.as_graph_def()


def convert(graph_def, inputs, outputs, dtype="int8", way="saved_model", options=None):
    """The .tflite that today's converter makes of a frozen graph, without representative data.

    `way` is how it gets the graph: "saved_model" (TensorFlow 2's converter) or "frozen" (that of compat.v1).
    `options` sets further attributes of the converter.
    """
    # With eager execution off, as in tests of version 1, TensorFlow would take another converter.
    with tempfile.TemporaryDirectory() as folder, context.eager_mode():
        if way == "saved_model":
            converter = tf2.lite.TFLiteConverter.from_saved_model(save(graph_def, inputs, outputs, folder))
        else:
            path = f"{folder}/frozen.pb"
            pathlib.Path(path).write_bytes(graph_def.SerializeToString())
            converter = tf.lite.TFLiteConverter.from_frozen_graph(path, inputs, outputs)
            converter.inference_type = tf2.dtypes.as_dtype(dtype)
            # Zero point and levels per unit; for an input with a fake quantizer they must be given all the same.
            converter.quantized_input_stats = {name: (128.0 if dtype == "uint8" else 0.0, 127.5) for name in inputs}
        converter.optimizations = [tf2.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = tf2.dtypes.as_dtype(dtype)
        for option, value in (options or {}).items():
            setattr(converter, option, value)
        return converter.convert()


def save(graph_def, inputs, outputs, folder):
    """Writes a SavedModel with one signature; returns its folder."""
    path = f"{folder}/saved_model"
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name="")
        ends = [{name: graph.get_tensor_by_name(f"{name}:0") for name in names} for names in (inputs, outputs)]
        tf.saved_model.simple_save(session, path, *ends)
    return path


TYPES = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
OPS = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def operators(tflite):
    """Every op of the model in the order of execution, those of loops behind the main graph's: its name, the types it
    reads and writes, its result.

    The result is the name of its first output tensor; the converter makes it of the nodes it fused, joined by ';'.
    """
    model = schema.ModelT.InitFromPackedBuf(tflite, 0)
    return [described(model, graph, op) for graph in model.subgraphs for op in graph.operators]


def described(model, graph, op):
    code = model.operatorCodes[op.opcodeIndex]
    name = OPS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    name = code.customCode.decode() if name == "CUSTOM" else name
    reads, writes = [
        [tensor_type(graph.tensors[index]) for index in indices if index >= 0] for indices in (op.inputs, op.outputs)
    ]
    return {"op": name, "reads": reads, "writes": writes, "result": graph.tensors[op.outputs[0]].name.decode()}


def tensor_type(tensor):
    """The type's name; '*' and the number of scales behind it, if each channel has one."""
    scales = tensor.quantization.scale if tensor.quantization else None
    return TYPES[tensor.type] + (f"*{len(scales)}" if scales is not None and len(scales) > 1 else "")


def stays_float(operator):
    """True of an op that computes in float."""
    return operator["op"] not in ("QUANTIZE", "DEQUANTIZE") and "float32" in operator["reads"] + operator["writes"]


def float_tensors(tflite):
    """The names of all float tensors of the model's main graph."""
    graph = schema.ModelT.InitFromPackedBuf(tflite, 0).subgraphs[0]
    return [tensor.name.decode() for tensor in graph.tensors if TYPES[tensor.type] == "float32"]


def interpreter(tflite):
    """The model, allocated and ready to run by the built-in kernels."""
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    made = Interpreter(model_content=tflite, experimental_op_resolver_type=kernels, num_threads=1)
    made.allocate_tensors()
    return made


def ends(tflite, made, inputs, outputs):
    """The details of the model's inputs and outputs, by the graph's names: the converter gives its tensors others."""
    model = schema.ModelT.InitFromPackedBuf(tflite, 0)
    found = []
    for names, details, end in (inputs, made.get_input_details(), "inputs"), (outputs, made.get_output_details(), "outputs"):
        if model.signatureDefs:
            of_index = {each["index"]: each for each in details}
            signature = getattr(model.signatureDefs[0], end)
            found.append({each.name.decode(): of_index[each.tensorIndex] for each in signature})
        else:
            found.append(dict(zip(names, details)))
    return found


def run(made, sources, sinks, feeds):
    """What the model makes of float inputs, by name: each output in float, and its scale (0 where it is none)."""
    for name, detail in sources.items():
        made.set_tensor(detail["index"], quantize(feeds[name], detail))
    made.invoke()
    return {name: dequantize(made.get_tensor(detail["index"]), detail) for name, detail in sinks.items()}


def dequantize(value, detail):
    scale, zero = detail["quantization"]
    return ((value.astype(np.float32) - zero) * scale if scale else value), scale


def quantize(value, detail):
    scale, zero = detail["quantization"]
    if not scale:
        return value.astype(detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(value / scale) + zero, limits.min, limits.max).astype(detail["dtype"])


def random_feeds(graph_def, inputs, seed=1):
    """Numbers all over the range that an input has behind its fake quantizer; from -1 to 1 where there is none."""
    random = np.random.RandomState(seed)
    nodes = {node.name: node for node in graph_def.node}
    shapes = {name: [max(dim.size, 1) for dim in nodes[name].attr["shape"].shape.dim] for name in inputs}
    ends = dict.fromkeys(inputs, (-1, 1))
    for node in graph_def.node:
        if node.op == "FakeQuantWithMinMaxVars" and node.input[0] in ends:
            values = [nodes[end].attr["value"].tensor for end in node.input[1:3] if nodes[end].op == "Const"]
            if len(values) == 2:
                ends[node.input[0]] = [float(tf.make_ndarray(value)) for value in values]
    return {name: random.uniform(*ends[name], shapes[name]).astype(np.float32) for name in inputs}


def without_fake_quantizers(graph_def):
    """The graph as it was before it was quantized."""
    plain = tf.GraphDef()
    plain.CopyFrom(graph_def)
    for node in plain.node:
        if node.op.startswith("FakeQuantWithMinMax"):
            node.op = "Identity"
            del node.input[1:]
            node.attr.clear()
            node.attr["T"].type = tf.float32.as_datatype_enum
    return plain


def run_float(graph_def, outputs, feeds):
    """What TensorFlow makes of the graph with its fake quantizers."""
    with tf.Graph().as_default() as graph, tf.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name="")
        return session.run({name: f"{name}:0" for name in outputs}, {f"{name}:0": feeds[name] for name in feeds})


def verdicts(tflite, graph_def=None, inputs=(), outputs=()):
    """What became of a model: per op integer or float, whether it runs, and how far it is from the graph.

    `off` is the largest distance from what TensorFlow makes of the fake-quantized graph, in levels of the output where
    that is quantized, else relative to the largest value. `nearer` is told of a model that is off because it clips less
    than the graph does: it is at least twice as near to the graph without fake quantizers.
    """
    ops = operators(tflite)
    found = {
        "ops": [f"{op['op']} {','.join(op['reads'])}>{','.join(op['writes'])}" for op in ops],
        "results": [op["result"] for op in ops],
        "float_ops": sum(map(stays_float, ops)),
        "float_tensors": len(float_tensors(tflite)),
    }
    try:
        made = interpreter(tflite)
        sources, sinks = ends(tflite, made, inputs, outputs)
        found["inputs"], found["outputs"] = map(quantizations, (sources, sinks))
        if graph_def is not None:
            feeds = random_feeds(graph_def, inputs)
            got = run(made, sources, sinks, feeds)
            wanted = run_float(graph_def, outputs, feeds)
            found["off"] = max(distance(*got[name], wanted[name]) for name in got)
            if found["off"] > 4:
                plain = run_float(without_fake_quantizers(graph_def), outputs, feeds)
                of_model = max(distance(*got[name], plain[name]) for name in got)
                of_graph = max(distance(wanted[name], got[name][1], plain[name]) for name in got)
                found.update({"nearer": True} if 2 * of_model < of_graph else {})
        found["runs"] = True
    except (RuntimeError, ValueError) as error:
        found["runs"] = last_line(error)
    except tf2.errors.OpError:
        found["runs"], found["off"] = True, None  # TensorFlow itself has no kernel for the graph, as for NCHW.
    return found


def quantizations(details):
    """Of each named tensor its type, scale and zero point."""
    return {
        name: [np.dtype(each["dtype"]).name, float(each["quantization"][0]), int(each["quantization"][1])]
        for name, each in details.items()
    }


def distance(value, scale, wanted):
    apart = np.abs(value.reshape(-1).astype(np.float64) - wanted.reshape(-1)).max()
    return round(float(apart / (scale or max(np.abs(wanted).max(), 1e-9))), 3)


def last_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kernels = [line for line in lines if ".cc:" in line]
    return (kernels or lines or [repr(error)])[0][-200:]


def judge(name, way="saved_model", dtype="int8"):
    """The verdict over one case."""
    case = Case(name)
    try:
        tflite = convert(case.graph_def, case.inputs, case.outputs, dtype, way)
    except Exception as error:  # The converter raises whatever came to its mind.
        return {"converts": converter_error(error)}
    return verdicts(tflite, case.graph_def, case.inputs, case.outputs)


def converter_error(error):
    lines = [line.strip() for line in str(error).splitlines() if "error:" in line]
    return (lines or [last_line(error)])[0][-200:]


def apart(function, *arguments):
    """The function's result, computed in a process of its own: a converter that crashes takes that one along."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            answer = function(*arguments)
        except BaseException:
            answer = {"failed": traceback.format_exc()}
        with os.fdopen(writer, "w") as pipe:
            json.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(text) if text else {"converts": f"crashes with signal {status & 127}"}


def verdict(name, both_ways):
    """The verdict over a case read from a SavedModel; if asked for, also what is different read from a frozen graph."""
    saved = apart(judge, name, "saved_model")
    if both_ways:
        frozen = apart(judge, name, "frozen")
        skip = ("results", "inputs", "outputs")
        if {k: v for k, v in saved.items() if k not in skip} != {k: v for k, v in frozen.items() if k not in skip}:
            saved["frozen"] = frozen
    return saved


def known_verdicts(path=VERDICTS):
    """All verdicts in the file: of each TensorFlow's version, by the case's name."""
    known = json.loads(path.read_text()) if path.exists() else {}
    for verdicts in known.values():
        for name, found in verdicts.items():
            if "as" in found:
                verdicts[name] = known[found["as"]][name]
    return known


def write(found, path=VERDICTS):
    """Adds verdicts of this TensorFlow to those in the file, a line per case; one that an older version shares refers to it."""
    known = known_verdicts(path)
    known.setdefault(tf2.__version__, {}).update(found)
    versions = sorted(known, key=lambda version: [int(part) for part in version.split(".")])
    blocks = []
    for version in versions:
        lines = []
        for name in filter(known[version].__contains__, CASES):
            alike = [older for older in versions if known[older].get(name) == known[version][name]]
            verdict = {"as": alike[0]} if alike[0] != version else known[version][name]
            lines.append(f"  {json.dumps(name)}: {json.dumps(verdict)}")
        blocks.append(f"{json.dumps(version)}: {{\n" + ",\n".join(lines) + "\n}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join(blocks) + "\n}\n")


def pack(path=GRAPHS):
    """Writes the graph of every case into an archive, for tests without TensorFlow."""
    import zstandard

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in CASES:
            graph = Case(name).graph_def.SerializeToString(deterministic=True)
            entry = tarfile.TarInfo(f"{name}.pb")
            entry.size = len(graph)
            archive.addfile(entry, io.BytesIO(graph))
    path.write_bytes(zstandard.ZstdCompressor(19).compress(packed.getvalue()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="names of cases, '*' stands for any part; all without")
    parser.add_argument("--print", action="store_true", help="print instead of writing")
    parser.add_argument("--both-ways", action="store_true", help="convert frozen graphs as well as SavedModels")
    parser.add_argument("--graphs", action="store_true", help="pack the graphs instead (needs zstandard)")
    arguments = parser.parse_args()
    if arguments.graphs:
        return pack()
    chosen = [name for name in CASES if not arguments.cases or any(fnmatch.fnmatch(name, part) for part in arguments.cases)]
    for name in chosen:
        found = verdict(name, arguments.both_ways)
        if arguments.print:
            print(name, json.dumps(found, indent=1), flush=True)
        else:
            write({name: found})


if __name__ == "__main__":
    main()
