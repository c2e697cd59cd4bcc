//! Which nodes run inside a while-loop of Enter, Merge, Switch, NextIteration and Exit.
//!
//! New variables and constants do not enter a loop's frame, and TensorFlow does not run a node whose inputs come from
//! different frames. Conditionals of Switch and Merge have no frames. Loops of function calls are not looked into.

use super::{Graph, Input, NodeId};

/// Which nodes are inside a while-loop.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    /// How many loops are around each node; empty if there are no loops at all.
    depth: Vec<u32>,
}

impl Loops {
    /// Finds out for all nodes, which are given in an order in which inputs come first.
    #[must_use]
    pub(crate) fn new(graph: &Graph, operations: &[NodeId]) -> Self {
        let is_enter = graph.per_op(|op| matches!(op, "Enter" | "RefEnter"));
        if !is_enter.any() {
            return Self::default();
        }
        let mut depth = vec![0u32; graph.len()];
        for &node in operations {
            let inputs = graph.inputs(node).map(Input::node);
            let inside = inputs.filter(|&input| !graph.closes_loop(input)).map(|input| depth[input.index()]).max();
            let inside = inside.unwrap_or(0);
            depth[node.index()] = match graph.op(node) {
                "Exit" | "RefExit" => inside.saturating_sub(1),
                _ if *is_enter.of(graph, node) => inside + 1,
                _ => inside,
            };
        }
        Self { depth }
    }

    /// Whether the node runs inside a while-loop. Nodes inserted since do not.
    #[must_use]
    pub(crate) fn contain(&self, node: NodeId) -> bool {
        self.depth.get(node.index()).is_some_and(|&depth| depth > 0)
    }
}

/// Whether the node is the Switch by which a variable of a while-loop goes round again or leaves.
pub(crate) fn is_switch_of_loop(graph: &Graph, node: NodeId) -> bool {
    graph.op(node) == "Switch" && graph.data_input(node, 1).is_some_and(|cond| graph.op(cond.node) == "LoopCond")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn a_loop_reaches_from_enter_to_exit() {
        let graph = graph_of(
            "x = Const
             enter = Enter(x)
             merge = Merge(enter)
             body = Conv2D(merge)
             exit = Exit(body)
             after = Relu(exit)",
        );
        let operations: Vec<NodeId> = graph.ids().collect();
        let loops = Loops::new(&graph, &operations);
        let inside: Vec<&str> =
            operations.iter().filter(|&&node| loops.contain(node)).map(|&node| graph.name(node)).collect();
        assert_eq!(inside, ["enter", "merge", "body"]);
    }
}
