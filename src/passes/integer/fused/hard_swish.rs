//! Hard swishes, which TensorFlow's converter makes one op of if nothing inside has a range.
//!
//! That is `x · relu6(x + 3) · (1/6)`, multiplied in any order, with a sixth that is one: TF-Slim's 0.16667 is not, and stays
//! four ops, each of which wants its range.

use super::numbers::beside_number;
use crate::graph::{Graph, NodeId, TensorRef, only};

/// The inner nodes of the one that a Relu6 is part of.
#[allow(clippy::float_cmp)] // the number stands in the graph as it is
pub(super) fn around(graph: &Graph, relu: NodeId) -> Option<[NodeId; 3]> {
    let shifted = graph.data_input(relu, 0)?.node;
    let (x, _) = beside_number(graph, shifted, "Add").filter(|&(_, number)| number == 3.0)?;
    only(graph.consumers(shifted))?;
    // A sixth comes first, or x does.
    let product = only(graph.consumers(relu))?;
    let end = only(graph.consumers(product))?;
    let multiplies = |node: NodeId, part: NodeId| {
        let inputs: Vec<TensorRef> = graph.data_inputs(node).collect();
        graph.op(node) == "Mul" && (inputs == [part.into(), x] || inputs == [x, part.into()])
    };
    let is_one = is_sixth_of(graph, product, relu) && multiplies(end, product)
        || multiplies(product, relu) && is_sixth_of(graph, end, product);
    is_one.then_some([shifted, relu, product])
}

#[allow(clippy::float_cmp)] // the number stands in the graph as it is
fn is_sixth_of(graph: &Graph, node: NodeId, part: NodeId) -> bool {
    let is = |(read, number): (TensorRef, f32), wanted: f32| read == part.into() && number == wanted;
    beside_number(graph, node, "Mul").is_some_and(|found| is(found, 1.0 / 6.0))
        || beside_number(graph, node, "RealDiv").is_some_and(|found| is(found, 6.0))
}
