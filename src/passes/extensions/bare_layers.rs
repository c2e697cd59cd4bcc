//! Layers without a bias and without an activation.
//!
//! # What it does
//! Quantizes the output of the layer's op itself, or of the BatchToSpaceND behind a dilated one, where no larger form
//! ends the layer.
//!
//! # When it applies
//! To layers that are read by a Concat, a pooling, a softmax, the end of the graph, and the like.
//!
//! # What it leaves alone
//! A layer that a batch norm reads: a converter folds the two, which a quantizer between them would prevent. A layer that
//! was folded, whose copy stands in for it.
//!
//! # Example
//! `kernel/read → Conv2D → ConcatV2` gets `weights_quant` behind `kernel/read` and `act_quant` behind `Conv2D`.

use crate::graph::op_class::is_fused_batch_norm;
use crate::graph::{Graph, NodeId, only};

/// The node whose output is the layer's, or `None` if a batch norm reads it.
pub(in crate::passes) fn output(graph: &Graph, layer: NodeId) -> Option<NodeId> {
    let output = only(graph.consumers(layer)).filter(|&reader| graph.op(reader) == "BatchToSpaceND").unwrap_or(layer);
    (!feeds_batch_norm(graph, output)).then_some(output)
}

/// Whether a batch norm reads the node: as one op, also inside a conditional or behind a Reshape, or as single ops.
pub(in crate::passes) fn feeds_batch_norm(graph: &Graph, node: NodeId) -> bool {
    graph.consumers(node).any(|consumer| leads_to_batch_norm(graph, consumer))
}

/// Whether nothing else reads the node.
pub(in crate::passes) fn feeds_batch_norm_alone(graph: &Graph, node: NodeId) -> bool {
    graph.consumers(node).all(|consumer| leads_to_batch_norm(graph, consumer))
}

fn leads_to_batch_norm(graph: &Graph, consumer: NodeId) -> bool {
    match graph.op(consumer) {
        "Switch" | "Reshape" | "Identity" => graph.consumers(consumer).any(|next| is_batch_norm(graph, next)),
        _ => is_batch_norm(graph, consumer),
    }
}

fn is_batch_norm(graph: &Graph, node: NodeId) -> bool {
    is_fused_batch_norm(graph.op(node)) || graph.name(node).contains("batchnorm")
}
