//! What must hold of any graph before a pass reads it and after a pass edited it.
//!
//! Names are unique and inputs resolve by construction of [`Graph`]; what is left is that nodes can be put in an order
//! in which they run. Only while-loops go round, through the NextIteration that closes them.

use super::{Graph, NodeId};
use crate::error::{ErrorKind, Result};

/// Checks that there is no cycle except through a while-loop's NextIteration.
///
/// # Errors
/// [`ErrorKind::InvalidGraph`], naming a node of the cycle.
pub fn check_acyclic(graph: &Graph) -> Result<()> {
    if graph.reads_what_comes_before() || graph.run_with_stamps_whole() {
        return Ok(());
    }
    let (order, waiting) = graph.run_order_and_waiting();
    if order.len() == graph.len() {
        return Ok(());
    }
    Err(match node_on_cycle(graph, &waiting) {
        Some(node) => graph
            .error(ErrorKind::InvalidGraph, "a cycle that no while-loop closes", node)
            .hint("TensorFlow would not run this graph; export it again"),
        None => crate::error::Error::new(ErrorKind::InvalidGraph, "a cycle that no while-loop closes"),
    })
}

/// Walks backwards through nodes that never became ready, until one comes up again.
fn node_on_cycle(graph: &Graph, waiting: &[u32]) -> Option<NodeId> {
    let stuck = |node: &NodeId| waiting[node.index()] > 0;
    let mut node = graph.ids().find(stuck)?;
    let mut seen = vec![false; graph.len()];
    while !std::mem::replace(&mut seen[node.index()], true) {
        let mut inputs = graph.inputs(node).map(super::Input::node);
        node = inputs.find(|input| stuck(input) && !graph.closes_loop(*input))?;
    }
    Some(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn loops_may_go_round_and_nothing_else() {
        let with_loop = graph_of(
            "enter = Enter
             merge = Merge(enter, next)
             next = NextIteration(merge)",
        );
        assert!(check_acyclic(&with_loop).is_ok());

        let cycle = graph_of(
            "in = Const
                 z = Neg(b)
                 a = Add(in, b)
                 b = Neg(^a)",
        );
        let error = check_acyclic(&cycle).unwrap_err();
        assert!(matches!(error.node_name(), Some("a" | "b")), "{error}");

        assert!(check_acyclic(&graph_of("self = Neg(self)")).is_err());
    }
}
