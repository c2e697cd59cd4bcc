//! Weights that are constants.
//!
//! # What it does
//! Takes a Const, or the Identity nodes behind one, for a layer's weights, and quantizes the layer in every form in which
//! the reference quantizes one whose weights are a variable.
//!
//! # When it applies
//! To frozen graphs, whose variables have become constants.
//!
//! # What it leaves alone
//! Layers whose input is a constant as well: they yield a constant. Layers whose weights are computed.
//!
//! # Example
//! `kernel (Const) → kernel/read → Conv2D → BiasAdd → Relu` gets `weights_quant` behind `kernel/read` and `act_quant`
//! behind `Relu`.

use crate::graph::{Graph, NodeId};

/// Whether the node is a constant.
pub(in crate::passes) fn is_constant(graph: &Graph, node: NodeId) -> bool {
    graph.op(node) == "Const"
}

/// Whether the node is a variable of any kind, or a read of a resource variable.
pub(in crate::passes) fn is_variable(graph: &Graph, node: NodeId) -> bool {
    matches!(graph.op(node), "Variable" | "VariableV2" | "ReadVariableOp")
}
