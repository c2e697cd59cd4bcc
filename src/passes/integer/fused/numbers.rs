//! Numbers in a graph's arithmetic: what stands beside one, and by how much a chain of products scales.

use crate::graph::op_class::canonical_op;
use crate::graph::{Graph, NodeId, TensorRef};

/// Numbers that differ by less than this part are the same.
const SAME: f32 = 1e-5;

/// The number that a tensor is: a Const, or the square root of one.
pub(super) fn number(graph: &Graph, tensor: TensorRef) -> Option<f32> {
    match graph.op(tensor.node) {
        "Sqrt" => graph.const_float(graph.data_input(tensor.node, 0)?).map(f32::sqrt),
        "Rsqrt" => graph.const_float(graph.data_input(tensor.node, 0)?).map(|number| number.sqrt().recip()),
        _ => graph.const_float(tensor),
    }
}

pub(super) fn is_about(number: f32, wanted: f32) -> bool {
    (number / wanted - 1.0).abs() < SAME
}

/// What a node of that op computes with beside a number, and the number.
pub(super) fn beside_number(graph: &Graph, node: NodeId, op: &str) -> Option<(TensorRef, f32)> {
    if canonical_op(graph.op(node)) != op {
        return None;
    }
    let (x, y) = (graph.data_input(node, 0)?, graph.data_input(node, 1)?);
    match (number(graph, x), number(graph, y)) {
        (None, Some(number)) => Some((x, number)),
        (Some(number), None) if op != "RealDiv" && op != "Sub" => Some((y, number)),
        _ => None,
    }
}

/// What a node of that op computes with beside that number.
pub(super) fn beside(graph: &Graph, node: NodeId, op: &str, wanted: f32) -> Option<TensorRef> {
    beside_number(graph, node, op).filter(|&(_, number)| is_about(number, wanted)).map(|(tensor, _)| tensor)
}

/// By how much a node scales what it reads, and what that is.
pub(super) fn scaling(graph: &Graph, node: NodeId) -> Option<(TensorRef, f32)> {
    match canonical_op(graph.op(node)) {
        "Neg" => graph.data_input(node, 0).map(|tensor| (tensor, -1.0)),
        "RealDiv" => beside_number(graph, node, "RealDiv").map(|(tensor, number)| (tensor, number.recip())),
        _ => beside_number(graph, node, "Mul"),
    }
}
