//! Folds by the rules of TensorFlow 1.15's `fold_batch_norms.py`.
//!
//! # What it does
//! First the fused batch norms, found by structure wherever they are: a FusedBatchNorm that reads a layer, also through
//! BatchToSpaceND, Identity or the Reshape that a MatMul needs. In the scope of the layer it adds the folded weights
//! `mul_fold`, the layer's copy `…_Fold` that uses them, and `add_fold`, their sum with the folded bias, which is read
//! instead of the batch norm. Then the batch norms made of single ops, found by name: every scope that holds
//! `BatchNorm/batchnorm…`.
//! A batch norm that normalises by the batch gets a correction around its folded layer, so that the weights are scaled,
//! and later quantized, by the moving averages, which move slowly, while the result is still that of the batch. From
//! [`TopologyOnly::freeze_bn_delay`] steps on the moving averages are frozen and used in place of the batch's mean and variance.
//!
//! # When it applies
//! To Conv2D, DepthwiseConv2dNative and MatMul. A batch norm in training mode needs its moving averages in the graph.
//! Where TensorFlow refuses a graph it is refused too, naming the node.
//!
//! # What it leaves alone
//! Batch norms that follow anything else than a layer, or that nobody reads, or that are inside a while-loop. The original layer and its batch norm stay
//! in the graph: in training mode they yield the batch's statistics.
//!
//! # Example
//! `conv/Conv2D → conv/BatchNorm/FusedBatchNormV3 → conv/Relu` becomes, with frozen statistics,
//! `conv/mul_fold → conv/Conv2D_Fold → conv/add_fold → conv/Relu`, and while training
//! `conv/correction_mult → conv/mul_fold → conv/Conv2D_Fold → conv/post_conv_mul → conv/correction_add → conv/add_fold`.

mod clone;
mod correction;
mod fused;
mod parameters;
mod shapes;
mod unfused;

use crate::error::Result;
use crate::graph::loops::Loops;
use crate::nodes::Builder;
use crate::options::{Common, TopologyOnly};
use crate::passes::decisions::BatchNorm;
use shapes::FoldShapes;

/// Folds the batch norms of the builder's graph; says of each whether, and why not. The builder follows TensorFlow 1.15.
///
/// # Errors
/// [`crate::error::ErrorKind::Refused`], naming the node, for a batch norm that the rules refuse, unless
/// [`Common::skip_unmatched`] leaves it as it is.
pub fn fold_batch_norms(builder: &mut Builder<'_>, common: &Common, only: &TopologyOnly) -> Result<Vec<BatchNorm>> {
    let mut shapes = FoldShapes::default();
    let loops = if only.reference_only { Loops::default() } else { Loops::new(builder.graph, &builder.operations()) };
    let mut found = fused::fold(builder, &mut shapes, &loops, common, only)?;
    found.extend(unfused::fold(builder, &mut shapes, &loops, common, only)?);
    Ok(found)
}
