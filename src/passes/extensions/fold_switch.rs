//! Batch norms in a conditional between training and inference.
//!
//! # What it does
//! Folds the fused batch norm of the inference branch, with its parameters read outside of the conditional, and lets the
//! readers of the conditional read the folded layer.
//!
//! # When it applies
//! In eval mode, to `Switch`, `Merge` and two fused batch norms, one of each kind, as an `is_training` placeholder makes them.
//! The placeholder has no say in the layer any more.
//!
//! # What it leaves alone
//! All of them in training mode: which statistics count is only known when the graph runs.
//!
//! # Example
//! `conv → cond/Switch → cond/FusedBatchNormV3_1 → cond/Merge → relu` becomes `mul_fold → conv_Fold → add_fold → relu`.

use crate::error::Result;
use crate::graph::op_class::is_fused_batch_norm;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::nodes::Builder;
use crate::passes::batch_norms::is_training;

/// More nodes between a batch norm and the Switch of its parameter are not followed.
const MAX_NODES: usize = 16;

/// The two batch norms that a Merge chooses from: that of inference, that of training.
pub(in crate::passes) fn branches(graph: &Graph, merge: NodeId) -> Option<[NodeId; 2]> {
    if graph.op(merge) != "Merge" {
        return None;
    }
    let mut sides = graph.data_inputs(merge);
    let (first, second) = (sides.next()?, sides.next()?);
    let [first, second] = [behind_identities(graph, first)?, behind_identities(graph, second)?];
    match [first, second].map(|batch_norm| is_training(graph, batch_norm)) {
        [false, true] => Some([first, second]),
        [true, false] => Some([second, first]),
        _ => None,
    }
}

/// The fused batch norm whose output the tensor is.
fn behind_identities(graph: &Graph, mut tensor: TensorRef) -> Option<NodeId> {
    for _ in 0..MAX_NODES {
        if tensor.port != 0 {
            return None;
        }
        if graph.op(tensor.node) != "Identity" {
            return is_fused_batch_norm(graph.op(tensor.node)).then_some(tensor.node);
        }
        tensor = graph.data_input(tensor.node, 0)?;
    }
    None
}

/// How a tensor inside a conditional comes there.
enum Origin {
    /// It is outside already.
    Outside,
    /// By a Switch of that tensor.
    Switched(TensorRef),
    /// It is a constant inside.
    Constant(NodeId),
}

/// Where a tensor comes from, and the nodes between there and the tensor, the last first.
fn origin(graph: &Graph, tensor: TensorRef) -> Option<(Origin, Vec<NodeId>)> {
    let (mut node, mut between) = (tensor.node, Vec::new());
    for _ in 0..MAX_NODES {
        match graph.op(node) {
            "Switch" => return Some((Origin::Switched(graph.data_input(node, 0)?), between)),
            "Const" if graph.control_inputs(node).next().is_some() => return Some((Origin::Constant(node), between)),
            "Const" | "Variable" | "VariableV2" | "VarHandleOp" => return Some((Origin::Outside, between)),
            "Identity" | "ReadVariableOp" | "StopGradient" | "Cast" => between.push(node),
            _ => return None,
        }
        node = graph.data_input(node, 0)?.node;
    }
    None
}

/// Whether the tensor can be read outside of the conditional.
pub(in crate::passes) fn can_leave(graph: &Graph, tensor: TensorRef) -> bool {
    origin(graph, tensor).is_some()
}

/// What a Switch lets in, if the tensor comes of one.
pub(in crate::passes) fn switched(graph: &Graph, tensor: TensorRef) -> Option<TensorRef> {
    (graph.op(tensor.node) == "Switch").then(|| graph.data_input(tensor.node, 0)).flatten()
}

/// The tensor as it is outside of the conditional: what is between the Switch and it is copied.
pub(in crate::passes) fn outside(b: &mut Builder<'_>, tensor: TensorRef) -> Result<TensorRef> {
    let Some((origin, between)) = origin(b.graph, tensor) else { return Ok(tensor) };
    let mut outside = match origin {
        Origin::Outside => return Ok(tensor),
        Origin::Switched(tensor) => tensor,
        Origin::Constant(node) => b.clone_op("constant", node, &[])?,
    };
    for node in between.into_iter().rev() {
        outside = b.clone_op("outside", node, &[outside])?;
    }
    Ok(outside)
}
