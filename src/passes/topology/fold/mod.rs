//! Folds by the rules of TensorFlow 1.15's `fold_batch_norms.py`.
//!
//! # What it does
//! First the fused batch norms, found by structure wherever they are: a FusedBatchNorm that reads a layer, also through
//! BatchToSpaceND, Identity or the Reshape that a MatMul needs. In the scope of the layer it adds the folded weights
//! `mul_fold`, the layer's copy `…_Fold` that uses them, and `add_fold`, their sum with the folded bias, which is read
//! instead of the batch norm. Then the batch norms made of single ops, found by name: every scope that holds
//! `BatchNorm/batchnorm…`; and last, past the reference, those found by structure
//! ([`crate::passes::extensions::fold_affine`]).
//! A batch norm that normalises by the batch gets a correction around its folded layer, so that the weights are scaled,
//! and later quantized, by the moving averages, which move slowly, while the result is still that of the batch. From
//! [`TopologyOnly::freeze_bn_delay`] steps on the moving averages are frozen and used in place of the batch's mean and variance.
//!
//! # When it applies
//! To Conv2D, DepthwiseConv2dNative and MatMul, and past the reference to Conv2DBackpropInput and Conv3D. A batch norm in
//! training mode needs its moving averages in the graph.
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

mod affine;
mod clone;
mod correction;
mod fused;
pub(crate) use fused::GRADIENT_OP;
mod layout;
mod parameters;
mod shapes;
#[cfg(test)]
mod tests;
mod unfused;

use hashbrown::HashSet;

use crate::error::Result;
use crate::graph::loops::Loops;
use crate::graph::{Graph, NodeId};
use crate::nodes::Builder;
use crate::options::{Common, TopologyOnly};
use crate::passes::decisions::{BatchNorm, FoldOutcome};
use crate::passes::extensions::fold_affine::{Finder, Stored};
use clone::Keeping;
use shapes::FoldShapes;

/// What folding decided, and what quantizing must know of it.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// One entry per batch norm.
    pub batch_norms: Vec<BatchNorm>,
    /// Nodes that only serve batch norms which were folded.
    pub left_behind: HashSet<NodeId>,
    /// Layers whose batch norm stays, so that their weights are not those that count.
    pub unfolded: HashSet<NodeId>,
}

/// What all parts of folding share.
struct Pass<'a> {
    common: &'a Common,
    only: &'a TopologyOnly,
    keeping: Keeping,
    loops: Loops,
    shapes: FoldShapes,
    stored: Stored,
    /// Nodes that only serve batch norms which were folded.
    unread: HashSet<NodeId>,
}

impl Pass<'_> {
    fn finder<'f>(&'f mut self, graph: &'f Graph) -> Finder<'f> {
        Finder { graph, shapes: &mut self.shapes.cache, stored: &self.stored }
    }
}

/// Folds the batch norms of the builder's graph; says of each whether, and why not. The builder follows TensorFlow 1.15.
///
/// # Errors
/// [`crate::error::ErrorKind::Refused`], naming the node, for a batch norm that the rules refuse, unless
/// [`Common::skip_unmatched`] leaves it as it is.
pub(crate) fn fold_batch_norms(builder: &mut Builder<'_>, common: &Common, only: &TopologyOnly) -> Result<Folded> {
    let mut pass = Pass {
        common,
        only,
        keeping: Keeping::AsReference,
        loops: Loops::default(),
        shapes: FoldShapes::default(),
        stored: Stored::default(),
        unread: HashSet::new(),
    };
    if !only.reference_only {
        let operations = builder.operations();
        pass.keeping = Keeping::All;
        pass.loops = Loops::new(builder.graph, &operations);
        pass.stored = Stored::new(builder.graph, &operations, common.is_training);
    }
    let mut batch_norms = fused::fold(builder, &mut pass)?;
    let named = unfused::fold(builder, &mut pass)?;
    batch_norms.extend(affine::fold(builder, &mut pass, named)?);
    let unfolded = if only.reference_only { HashSet::new() } else { unfolded(builder.graph, &batch_norms) };
    Ok(Folded { batch_norms, left_behind: pass.unread, unfolded })
}

/// The layers whose batch norm stays, and is read.
fn unfolded(graph: &Graph, batch_norms: &[BatchNorm]) -> HashSet<NodeId> {
    use FoldOutcome::{Folded, NotRead, NotSelected};
    let left = batch_norms.iter().filter(|norm| !matches!(norm.outcome, Folded | NotRead | NotSelected));
    left.filter_map(|norm| graph.find(norm.layer.as_ref()?)).collect()
}
