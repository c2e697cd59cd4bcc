//! Batch norms behind a bias.
//!
//! # What it does
//! Folds a fused batch norm that reads a layer through a BiasAdd, as it folds one that reads the layer itself: the folded
//! layer has no bias of its own, and the bias is taken off the means instead, `scale * (x + bias - mean)` being
//! `scale * (x - (mean - bias))`. The means that the batch norm itself computes and updates stay as they are.
//!
//! # When it applies
//! To Conv2D, DepthwiseConv2dNative and MatMul with channels last, as in Keras' ResNet. Without it a converter finds a batch
//! norm between two quantized tensors, which it cannot fold any more.
//!
//! # What it leaves alone
//! Batch norms that cannot be folded, for which the reference would refuse the graph.
//!
//! # Example
//! `conv/Conv2D → conv/BiasAdd → bn/FusedBatchNormV3 → relu` becomes `conv/mul_fold → conv/Conv2D_Fold → conv/add_fold →
//! relu`.

use crate::error::Result;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::nodes::Builder;

/// Whether a batch norm behind this BiasAdd may be folded.
pub(in crate::passes) fn is_foldable(graph: &Graph, bias_add: NodeId) -> bool {
    graph.attr_str(bias_add, "data_format").is_none_or(|format| format == "NHWC")
}

/// The mean of what the layer yields without its bias.
pub(in crate::passes) fn without_bias(b: &mut Builder<'_>, mean: TensorRef, bias: TensorRef) -> Result<TensorRef> {
    b.binary("Sub", "mean_without_bias", mean, bias)
}
