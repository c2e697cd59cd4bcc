//! Folds by the rules of TensorFlow 1.5's `fold_batch_norms.py`.
//!
//! # What it does
//! First the fused batch norms, in graph order: a FusedBatchNorm that reads a Conv2D or DepthwiseConv2dNative, then one
//! that reads a MatMul through a Reshape and is read through another. In the scope of the layer it adds the folded
//! weights `mul_fold`, which are the weights times gamma over the standard deviation; the layer's copy `…_Fold` that
//! uses them; the `bias`; and `add_fold`, their sum, which is read instead of the batch norm. Mean and variance are the
//! batch's own in a training graph, else the batch norm's inputs.
//! Then the batch norms made of single ops, found by name: every scope that holds `BatchNorm/batchnorm/…`, with gamma or
//! without. Their own scale becomes `mul_fold`; the activation of the scope (`Relu6`, `Relu` or `Identity`), or else the
//! `Add` of the scope above, reads `add_fold` instead.
//!
//! # When it applies
//! To layers in NHWC, not dilated, whose batch norm is read once (fused) or by that activation or Add (single ops).
//! Where TensorFlow refuses a graph it is refused too, naming the node that TensorFlow names.
//!
//! # What it leaves alone
//! Batch norms that follow anything else than a layer; gradients, optimizers and summaries. Also the dilated, NCHW and
//! transposed layers that TensorFlow 1.5 folds into a network that computes something else.
//! The original layer and its batch norm stay in the graph: in a training graph they yield the batch's statistics.
//!
//! # Example
//! `conv/Conv2D → conv/BatchNorm/FusedBatchNorm → conv/Relu` becomes
//! `conv/mul_fold → conv/Conv2D_Fold → conv/add_fold → conv/Relu`.

mod checks;
mod fused;
#[cfg(test)]
mod tests;
mod unfused;

use hashbrown::HashSet;

use crate::error::Result;
use crate::graph::name::parent;
use crate::graph::shape::ShapeCache;
use crate::nodes::Builder;
use crate::options::Common;
use crate::passes::consumers::is_skipped;
use crate::passes::decisions::{BatchNorm, FoldOutcome};
use crate::passes::extensions::fold_affine::{Finder, Stored};

/// Folds the batch norms of the builder's graph; says of each whether, and why not.
///
/// # Errors
/// [`crate::error::ErrorKind::Refused`], naming the node, for a batch norm that the rules refuse, unless
/// [`Common::skip_unmatched`] leaves it as it is.
pub(crate) fn fold_batch_norms(builder: &mut Builder<'_>, common: &Common) -> Result<Vec<BatchNorm>> {
    let mut shapes = ShapeCache::default();
    let mut found = fused::fold(builder, &mut shapes, common)?;
    found.extend(unfused::fold(builder, &mut shapes, common)?);
    let others = nameless(builder, &mut shapes, &found);
    found.extend(others);
    Ok(found)
}

/// Batch norms of single ops that are not called as the rules know them, so that they stay.
fn nameless(builder: &Builder<'_>, shapes: &mut ShapeCache, found: &[BatchNorm]) -> Vec<BatchNorm> {
    let (graph, operations) = (&*builder.graph, builder.operations());
    let known: HashSet<&str> =
        found.iter().flat_map(|norm| [Some(norm.node.as_str()), norm.layer.as_deref()]).flatten().collect();
    let stored = Stored::new(graph, &operations, true);
    let mut finder = Finder { graph, shapes, stored: &stored };
    let mut seen = HashSet::new();
    let mut others = Vec::new();
    for node in operations.into_iter().filter(|&node| graph.is_original(node) && !is_skipped(graph.name(node))) {
        let Some(chain) = finder.chain(node) else { continue };
        let layer = graph.name(chain.of.layer);
        let is_known = known.contains(layer) || known.contains(parent(graph.name(node)).unwrap_or_default());
        if !is_known && seen.insert(chain.of.layer) {
            let mut batch_norm = BatchNorm::new(graph.name(node), "batchnorm", FoldOutcome::UnknownForm);
            batch_norm.layer = Some(layer.to_owned());
            batch_norm.detail = Some("its scope is not called BatchNorm, by which the rules know it".to_owned());
            others.push(batch_norm);
        }
    }
    others
}
