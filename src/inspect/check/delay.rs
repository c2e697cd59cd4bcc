//! Fake quantizers with a delay, as training rewrites with `--quant-delay` have them: `Merge(Switch(x), Switch(fake_quant(x)))`.
//!
//! What they are asked about is the network once the delay is over: whoever reads the Merge then reads the fake quantizer.

use std::borrow::Cow;

use crate::graph::op_class::is_fake_quant;
use crate::graph::{Graph, NodeId, TensorRef};

/// The graph as it is once every delay is over. Nodes keep their numbers.
#[must_use]
pub fn after_delays(graph: &Graph) -> Cow<'_, Graph> {
    let is_merge = graph.per_op(|op| op == "Merge");
    let merges = graph.ids().filter(|&node| *is_merge.of(graph, node));
    let delayed: Vec<_> = merges.filter_map(|merge| Some((merge, delayed(graph, merge)?))).collect();
    let mut after = Cow::Borrowed(graph);
    for (merge, quantized) in delayed {
        let consumers: Vec<NodeId> = graph.consumers(merge).collect();
        after.to_mut().reroute(merge.into(), quantized, &consumers);
    }
    after
}

/// The fake quantizer's result that the Merge yields from some step on, instead of what the fake quantizer reads.
fn delayed(graph: &Graph, merge: NodeId) -> Option<TensorRef> {
    let [off, on] = [graph.data_input(merge, 0)?, graph.data_input(merge, 1)?];
    let switched = |branch: TensorRef, port| {
        let is_switch = graph.op(branch.node) == "Switch" && branch.port == port;
        graph.data_input(branch.node, 0).filter(|_| is_switch)
    };
    let (raw, quantized) = (switched(off, 0)?, switched(on, 1)?);
    let is_of_raw = is_fake_quant(graph.op(quantized.node)) && graph.data_input(quantized.node, 0) == Some(raw);
    is_of_raw.then_some(quantized)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    /// A convolution behind a conditional whose branches are these.
    fn behind(branches: &str) -> Graph {
        graph_of(&format!(
            "x = Placeholder [1,4,4,2]
             low = Const -1.0
             high = Const 1.0
             quant = FakeQuantWithMinMaxVars(x, low, high)
             late = Placeholder []
             {branches}
             merge = Merge(off, on:1)
             w = Const [1,1,2,2]
             conv = Conv2D(merge, w)"
        ))
    }

    fn read_by_conv(graph: &Graph) -> &str {
        let conv = graph.find("conv").unwrap();
        let after = after_delays(graph);
        let read = after.data_input(conv, 0).unwrap();
        graph.name(read.node)
    }

    #[test]
    fn who_reads_a_delayed_fake_quantizer_reads_it_at_once() {
        let delayed = behind("off = Switch(x, late)\non = Switch(quant, late)");
        assert_eq!(read_by_conv(&delayed), "quant");
    }

    #[test]
    fn another_conditional_stays() {
        let other = behind("half = Mul(x, low)\noff = Switch(half, late)\non = Switch(quant, late)");
        assert_eq!(read_by_conv(&other), "merge");
    }
}
