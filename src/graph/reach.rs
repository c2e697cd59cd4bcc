//! What is reached from nodes by going from each to others: to what it reads, to what reads it, to a part of these.

use super::{Graph, NodeId};

impl Graph {
    /// By node, whether it is one of `from` or reached from them, where `next` are the nodes to go on to from one.
    pub(crate) fn reached<I: IntoIterator<Item = NodeId>>(
        &self,
        from: impl IntoIterator<Item = NodeId>,
        next: impl Fn(NodeId) -> I,
    ) -> Vec<bool> {
        let mut reached = vec![false; self.len()];
        let mut waiting: Vec<NodeId> = from.into_iter().collect();
        while let Some(node) = waiting.pop() {
            if !std::mem::replace(&mut reached[node.index()], true) {
                waiting.extend(next(node));
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::Input;
    use crate::graph::samples::graph_of;

    #[test]
    fn a_walk_ends_where_a_loop_closes() {
        let graph = graph_of(
            "x = Placeholder
             enter = Enter(x)
             merge = Merge(enter, next)
             next = NextIteration(merge)
             exit = Exit(merge)
             apart = Const",
        );
        let node = |name: &str| graph.find(name).unwrap();
        let names = |reached: Vec<bool>| -> Vec<&str> {
            graph.ids().filter(|node| reached[node.index()]).map(|node| graph.name(node)).collect()
        };
        let needed = graph.reached([node("exit")], |node| graph.inputs(node).map(Input::node));
        assert_eq!(names(needed), ["x", "enter", "merge", "next", "exit"]);
        let readers = graph.reached([node("next")], |node| graph.consumers(node));
        assert_eq!(names(readers), ["merge", "next", "exit"]);
        assert!(names(graph.reached([], |node| graph.consumers(node))).is_empty());
    }
}
