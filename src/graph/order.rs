//! Orders of a graph's nodes: one in which they could run, and the one in which TensorFlow's importer makes them, which is
//! the order in which TensorFlow's own passes see them.
//!
//! In the importer's, a node is made as soon as all its inputs are; of those that can be made, the first in the file goes first. A file in
//! topological order, which exporters write, keeps its order. A Merge that closes a while-loop waits for its control
//! inputs and for one of its tensors, as the other comes from the NextIteration behind it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::stamp::Place;
use super::{Graph, Input, NodeId, length};

impl Graph {
    /// Every node behind all it reads or waits for, except through a while-loop's NextIteration. What is on a cycle that
    /// no such node closes, or behind one, is left out.
    #[must_use]
    pub fn run_order(&self) -> Vec<NodeId> {
        self.run_order_and_waiting().0
    }

    /// [`Graph::run_order`], and for how many of its inputs each node is still waiting at the end: none, if it is in it.
    pub(super) fn run_order_and_waiting(&self) -> (Vec<NodeId>, Vec<u32>) {
        let mut waiting = self.inputs_waited_for();
        let mut order = Vec::with_capacity(self.len());
        order.extend(self.ids().filter(|node| waiting[node.index()] == 0));
        let mut next = 0;
        while let Some(&node) = order.get(next) {
            next += 1;
            self.tell_readers(node, &mut waiting, |reader| order.push(reader));
        }
        (order, waiting)
    }

    /// As [`Graph::run_order`], but readers follow as soon as they can: where one node is, the next is near.
    pub(crate) fn near_order(&self) -> Vec<NodeId> {
        let mut waiting = self.inputs_waited_for();
        let mut ready: Vec<NodeId> = self.ids().rev().filter(|node| waiting[node.index()] == 0).collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(node) = ready.pop() {
            order.push(node);
            self.tell_readers(node, &mut waiting, |reader| ready.push(reader));
        }
        order
    }

    /// By node, for how many inputs it waits: all but those that close a while-loop.
    fn inputs_waited_for(&self) -> Vec<u32> {
        let has_loops = self.may_have_loops();
        let count = |node| {
            let inputs = self.inputs(node);
            if has_loops { inputs.filter(|input| !self.closes_loop(input.node())).count() } else { inputs.len() }
        };
        self.ids().map(|node| length(count(node))).collect()
    }

    /// Takes note that a node has run; `run_next` is told of each reader that waits for nothing more.
    fn tell_readers(&self, node: NodeId, waiting: &mut [u32], mut run_next: impl FnMut(NodeId)) {
        if self.closes_loop(node) {
            return;
        }
        for reader in self.waiting_nodes(node) {
            let waiting = &mut waiting[reader.index()];
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                run_next(reader);
            }
        }
    }

    /// Whether every node stands behind all it reads or waits for.
    pub(super) fn reads_what_comes_before(&self) -> bool {
        self.edges.iter().all(|edge| edge.from < edge.consumer)
    }

    /// Whether all nodes can be put in an order in which they run, where each stamp is run as a whole: within one, nodes
    /// are in such an order. If not, there may be one all the same, in which stamps are taken apart.
    pub(super) fn run_with_stamps_whole(&self) -> bool {
        if self.may_have_loops() {
            return false;
        }
        let alone = self.nodes.len();
        let unit = |node: u32| match self.place(NodeId(node)) {
            Place::Alone(place) => place,
            Place::Stamped(stamp, _) => alone + stamp,
        };
        let mut waiting: Vec<u32> = self.nodes.iter().map(|node| node.input_count).collect();
        waiting.extend((0..self.stamps.len()).map(|stamp| length(self.stamps.read_count(stamp))));
        let mut ready: Vec<usize> = (0..waiting.len()).filter(|&unit| waiting[unit] == 0).collect();
        let mut run = 0;
        while let Some(next) = ready.pop() {
            run += 1;
            let mut done = |last_use: u32| {
                for (_, edge) in self.edges_up_to(last_use) {
                    let consumer = unit(edge.consumer);
                    waiting[consumer] -= 1;
                    if waiting[consumer] == 0 {
                        ready.push(consumer);
                    }
                }
            };
            match self.nodes.get(next) {
                Some(node) => done(node.last_use),
                None => self.stamps.last_uses(next - alone).for_each(done),
            }
        }
        run == waiting.len()
    }

    /// All nodes: the file's in the order of their import, then the inserted ones.
    #[must_use]
    pub fn import_order(&self) -> Vec<NodeId> {
        let mut order: Vec<NodeId> = if self.is_in_order() {
            self.ids().take(self.original_count()).collect()
        } else {
            self.ordered_originals()
        };
        order.extend(self.ids_from(self.original_count()));
        order
    }

    fn is_merge(&self, node: NodeId) -> bool {
        matches!(self.op(node), "Merge" | "RefMerge")
    }

    /// Whether the edge leads back to the start of a while-loop.
    fn leads_back(&self, consumer: NodeId, producer: NodeId) -> bool {
        self.closes_loop(producer) && self.is_merge(consumer)
    }

    /// Whether every original node comes behind what the file says it reads. Inputs that a pass has rewired to inserted
    /// nodes stand behind.
    fn is_in_order(&self) -> bool {
        self.ids().take(self.original_count()).all(|node| {
            self.inputs(node).all(|input| {
                let producer = input.node();
                producer < node || !self.is_original(producer) || self.leads_back(node, producer)
            })
        })
    }

    fn ordered_originals(&self) -> Vec<NodeId> {
        let count = self.original_count();
        let mut waiting: Vec<usize> = self.ids().take(count).map(|node| self.inputs_to_wait_for(node)).collect();
        let at_once: Vec<NodeId> = self.ids().take(count).filter(|node| waiting[node.index()] == 0).collect();
        let mut at_once = at_once.into_iter().peekable();
        // What waited for nodes before; most nodes are made soon after, which keeps it small.
        let mut ready = BinaryHeap::new();
        let mut made = vec![false; count];
        let mut order = Vec::with_capacity(count);
        loop {
            let first = ready.peek().map(|&Reverse(node)| node);
            let next = at_once.next_if(|&node| first.is_none_or(|first| node < first));
            let Some(node) = next.or_else(|| ready.pop().map(|Reverse(node)| node)) else { break };
            made[node.index()] = true;
            order.push(node);
            for reader in self.waiting_nodes(node).filter(|&reader| self.is_original(reader)) {
                let waits = &mut waiting[reader.index()];
                if *waits > 0 && !self.leads_back(reader, node) {
                    *waits -= 1;
                    if *waits == 0 {
                        ready.push(Reverse(reader));
                    }
                }
            }
        }
        order.extend(self.ids().take(count).filter(|node| !made[node.index()]));
        order
    }

    fn inputs_to_wait_for(&self, node: NodeId) -> usize {
        let from_file = |input: &Input| self.is_original(input.node());
        if self.inputs(node).any(|input| input.tensor().is_some() && self.leads_back(node, input.node())) {
            return self.control_inputs(node).filter(|&other| self.is_original(other)).count() + 1;
        }
        self.inputs(node).filter(from_file).count()
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::samples::graph_of;

    fn order(lines: &str) -> Vec<String> {
        let graph = graph_of(lines);
        graph.import_order().into_iter().map(|node| graph.name(node).to_owned()).collect()
    }

    #[test]
    fn the_first_in_the_file_that_can_be_made_goes_first() {
        let lines = "sum = Add(b, a)
                     b = Neg(a)
                     c = Const
                     a = Const(^c)";
        assert_eq!(order(lines), ["c", "a", "b", "sum"]);
    }

    #[test]
    fn a_loop_is_entered_at_its_merge() {
        let lines = "next = NextIteration(body)
                     enter = Enter(x)
                     x = Const
                     body = Neg(merge)
                     merge = Merge(enter, next)";
        assert_eq!(order(lines), ["x", "enter", "merge", "body", "next"]);
    }
}
