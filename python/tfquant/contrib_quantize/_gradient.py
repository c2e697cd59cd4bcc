"""The gradient of a batch norm that was folded in training, under the name that folding gives it."""

from __future__ import annotations

from typing import Any

import tensorflow.compat.v1 as tf

NAME = "FoldFusedBatchNormGrad"


def fold_fused_batch_norm_grad(op: tf.Operation, _: Any, *grads: Any) -> tuple[Any, ...]:
    """The gradient of the batch's mean and variance, which a folded layer reads instead of the normalised values."""
    shape = [-1, 1, 1] if op.get_attr("data_format") == b"NCHW" else [-1]
    x, mean, mean_grad, variance_grad = op.inputs[0], *(tf.reshape(t, shape) for t in (op.outputs[1], *grads[:2]))
    n = tf.cast(tf.size(x) / tf.size(mean), tf.float32)
    return mean_grad / n + 2 * variance_grad * (x - mean) / (n - 1), None, None, None, None


try:
    tf.RegisterGradient(NAME)(fold_fused_batch_norm_grad)
except KeyError:
    # It is there: from a script that needed it before.
    pass
