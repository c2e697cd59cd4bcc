//! Hard swishes, which TensorFlow's converter makes one op of if nothing inside has a range.
//!
//! That is `x · relu6(x + 3) · (1/6)`, multiplied in any order, with a sixth that is one: TF-Slim's 0.16667 is not, and stays
//! four ops, each of which wants its range.

use hashbrown::HashSet;

use crate::graph::op_class::canonical_op;
use crate::graph::{Graph, NodeId, TensorRef, only};

/// The nodes within hard swishes, in front of their ends.
#[derive(Debug, Default)]
pub(crate) struct HardSwishes(HashSet<NodeId>);

impl HardSwishes {
    pub(crate) fn of(graph: &Graph) -> Self {
        let found = graph.ids().filter(|&node| graph.op(node) == "Relu6").filter_map(|node| around(graph, node));
        Self(found.flatten().collect())
    }

    pub(crate) fn contain(&self, node: NodeId) -> bool {
        self.0.contains(&node)
    }
}

/// The inner nodes of the one that a Relu6 is part of.
fn around(graph: &Graph, relu: NodeId) -> Option<[NodeId; 3]> {
    let shifted = graph.data_input(relu, 0)?.node;
    let x = other_than(graph, shifted, "Add", 3.0)?;
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

fn is_sixth_of(graph: &Graph, node: NodeId, part: NodeId) -> bool {
    let sixth = other_than(graph, node, "Mul", 1.0 / 6.0).or_else(|| other_than(graph, node, "RealDiv", 6.0));
    sixth == Some(part.into())
}

/// What a node of that op computes with beside that number.
#[allow(clippy::float_cmp)] // the number stands in the graph as it is
fn other_than(graph: &Graph, node: NodeId, op: &str, number: f32) -> Option<TensorRef> {
    if canonical_op(graph.op(node)) != op {
        return None;
    }
    let (x, y) = (graph.data_input(node, 0)?, graph.data_input(node, 1)?);
    let is_number = |tensor| graph.const_float(tensor) == Some(number);
    if is_number(y) { Some(x) } else { (op != "RealDiv" && is_number(x)).then_some(y) }
}
