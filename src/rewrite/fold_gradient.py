@tf.RegisterGradient("FoldFusedBatchNormGrad")
def fold_fused_batch_norm_grad(op, _, *grads):
    x, shape = op.inputs[0], [-1, 1, 1] if op.get_attr("data_format") == b"NCHW" else [-1]
    mean, mean_grad, variance_grad = (tf.reshape(t, shape) for t in (op.outputs[1], *grads[:2]))
    n = tf.cast(tf.size(x) / tf.size(mean), tf.float32)
    return mean_grad / n + 2 * variance_grad * (x - mean) / (n - 1), None, None, None, None
