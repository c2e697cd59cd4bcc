//! The nodes in an order in which they could run.

use crate::graph::{Graph, NodeId, verify::closes_loop};

/// Every node behind all it reads or waits for, except through a while-loop's NextIteration. Among nodes that could
/// run, the first in the file comes first as far as that is cheap.
#[must_use]
pub fn topological(graph: &Graph) -> Vec<NodeId> {
    let mut waiting = vec![0u32; graph.len()];
    let mut order = Vec::with_capacity(graph.len());
    for node in graph.ids() {
        let inputs = graph.inputs(node).filter(|input| !closes_loop(graph.op(input.node()))).count();
        waiting[node.index()] = u32::try_from(inputs).unwrap_or(u32::MAX);
        if inputs == 0 {
            order.push(node);
        }
    }
    let mut next = 0;
    while let Some(&node) = order.get(next) {
        next += 1;
        if closes_loop(graph.op(node)) {
            continue;
        }
        for usage in graph.uses(node) {
            let left = &mut waiting[usage.consumer.index()];
            *left = left.saturating_sub(1);
            if *left == 0 {
                order.push(usage.consumer);
            }
        }
    }
    order
}
