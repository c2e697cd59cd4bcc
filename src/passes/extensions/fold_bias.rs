//! Batch norms behind a bias.
//!
//! # What it does
//! Folds a fused batch norm that reads a layer through a bias, as it folds one that reads the layer itself: the folded
//! layer has no bias of its own, and the bias is taken off the means instead, `scale * (x + bias - mean)` being
//! `scale * (x - (mean - bias))`. The means that the batch norm itself computes and updates stay as they are.
//!
//! # When it applies
//! To a BiasAdd, and to an Add of one stored number per channel, behind every layer that folds, as in Keras'
//! ResNet. Without it a converter finds a batch norm between two quantized tensors, which it cannot fold any more.
//!
//! # What it leaves alone
//! Batch norms that cannot be folded, for which the reference would refuse the graph. An Add of anything else, such as the
//! other side of a residual block.
//!
//! # Example
//! `conv/Conv2D → conv/BiasAdd → bn/FusedBatchNormV3 → relu` becomes `conv/mul_fold → conv/Conv2D_Fold → conv/add_fold →
//! relu`.

use super::fold_affine::{Finder, Step, bias_axis, channel_axis, layer_output};
use crate::error::Result;
use crate::graph::TensorRef;
use crate::nodes::Builder;
use crate::proto::tensorflow::DataType;

/// What the tensor adds to a layer's output, and that output.
pub(in crate::passes) fn bias(finder: &mut Finder<'_>, tensor: TensorRef) -> Option<(TensorRef, TensorRef)> {
    let (graph, node) = (finder.graph, tensor.node);
    if graph.op(node) == "BiasAdd" {
        let (output, bias) = (graph.data_input(node, 0)?, graph.data_input(node, 1)?);
        let (axis, rank) = channel_axis(graph, layer_output(graph, output)?.layer)?;
        return (bias_axis(graph, node, rank) == axis).then_some((output, bias));
    }
    match finder.step(node)? {
        (output, step @ Step::Add(bias)) => {
            finder.fits(layer_output(graph, output)?, step, node).then_some((output, bias))
        }
        _ => None,
    }
}

/// A bias with one axis, whatever its own are.
pub(in crate::passes) fn as_vector(b: &mut Builder<'_>, axes: usize, bias: TensorRef) -> Result<TensorRef> {
    if axes == 1 { Ok(bias) } else { b.reshape("vector", bias, &[-1], DataType::DtFloat as i32) }
}

/// The mean of what the layer yields without its bias.
pub(in crate::passes) fn without_bias(b: &mut Builder<'_>, mean: TensorRef, bias: TensorRef) -> Result<TensorRef> {
    b.binary("Sub", "mean_without_bias", mean, bias)
}
