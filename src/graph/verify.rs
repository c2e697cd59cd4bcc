//! What must hold of any graph before a pass reads it and after a pass edited it.
//!
//! Names are unique and inputs resolve by construction of [`Graph`]; what is left is that nodes can be put in an order
//! in which they run. Only while-loops go round, through the NextIteration that closes them.

use super::{Graph, NodeId};
use crate::error::{ErrorKind, Result};

/// Whether an op closes a while-loop, so that its output may lead back to its input.
#[must_use]
pub fn closes_loop(op: &str) -> bool {
    matches!(op, "NextIteration" | "RefNextIteration")
}

/// Checks that there is no cycle except through a while-loop's NextIteration.
///
/// # Errors
/// [`ErrorKind::InvalidGraph`], naming a node of the cycle.
pub fn check_acyclic(graph: &Graph) -> Result<()> {
    let mut waiting = vec![0u32; graph.len()];
    let mut ready = Vec::new();
    for node in graph.ids() {
        let inputs = graph.inputs(node).filter(|input| !closes_loop(graph.op(input.node()))).count();
        waiting[node.index()] = u32::try_from(inputs).unwrap_or(u32::MAX);
        if inputs == 0 {
            ready.push(node);
        }
    }
    let mut ordered = 0;
    while let Some(node) = ready.pop() {
        ordered += 1;
        if closes_loop(graph.op(node)) {
            continue;
        }
        for usage in graph.uses(node) {
            let waiting = &mut waiting[usage.consumer.index()];
            *waiting -= 1;
            if *waiting == 0 {
                ready.push(usage.consumer);
            }
        }
    }
    if ordered == graph.len() {
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
        node =
            graph.inputs(node).map(super::Input::node).find(|input| stuck(input) && !closes_loop(graph.op(*input)))?;
    }
    Some(node)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::graph::read;
    use crate::wire::put_bytes;

    fn graph(nodes: &[(&str, &str, &[&str])]) -> Graph {
        let mut bytes = Vec::new();
        for (name, op, inputs) in nodes {
            let mut body = Vec::new();
            put_bytes(&mut body, 1, name.as_bytes());
            put_bytes(&mut body, 2, op.as_bytes());
            inputs.iter().for_each(|input| put_bytes(&mut body, 3, input.as_bytes()));
            put_bytes(&mut bytes, 1, &body);
        }
        read::parse(Bytes::from(bytes)).unwrap()
    }

    #[test]
    fn loops_may_go_round_and_nothing_else() {
        let with_loop = graph(&[
            ("enter", "Enter", &[]),
            ("merge", "Merge", &["enter", "next"]),
            ("next", "NextIteration", &["merge"]),
        ]);
        assert!(check_acyclic(&with_loop).is_ok());

        let cycle =
            graph(&[("in", "Const", &[]), ("z", "Neg", &["b"]), ("a", "Add", &["in", "b"]), ("b", "Neg", &["^a"])]);
        let error = check_acyclic(&cycle).unwrap_err();
        assert!(matches!(error.node_name(), Some("a" | "b")), "{error}");

        assert!(check_acyclic(&graph(&[("self", "Neg", &["self"])])).is_err());
    }
}
