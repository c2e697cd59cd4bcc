//! Weights that are quantized already.
//!
//! # What it does
//! Finds the quantizer that a layer's weights come through: behind what only hands them on, and behind the Merge of one that
//! is delayed.
//!
//! # When it applies
//! To layers that no rule takes, to say why: their weights need no other quantizer.
//!
//! # What it leaves alone
//! Quantizers of anything but stored tensors and folded weights: that of an activation says nothing of the layer.
//!
//! # Example
//! In `kernel → FakeQuantWithMinMaxVars → Conv2D` it is the `FakeQuantWithMinMaxVars`.

use super::folded_weights::is_folded;
use super::wrapped_weights::{MAX_OPS, handed_on, stored};
use crate::graph::op_class::is_weight_quantizer;
use crate::graph::{Graph, NodeId, TensorRef};

/// The quantizer that the tensor comes through, of a graph whose weights are quantized already.
pub(in crate::passes) fn quantizer(graph: &Graph, read: TensorRef) -> Option<NodeId> {
    let mut waiting = vec![read.node];
    for _ in 0..MAX_OPS {
        let node = waiting.pop()?;
        if is_weight_quantizer(graph.op(node)) {
            let is_stored = graph.data_input(node, 0).is_some_and(|input| is_stored_or_product(graph, input));
            if is_stored {
                return Some(node);
            }
        } else if graph.op(node) == "Merge" {
            // Behind one that is delayed.
            waiting.extend(graph.data_inputs(node).map(|input| input.node));
        } else {
            waiting.extend(handed_on(graph, node).map(|input| input.node));
        }
    }
    None
}

fn is_stored_or_product(graph: &Graph, tensor: TensorRef) -> bool {
    stored(graph, tensor).is_some()
        || matches!(graph.op(tensor.node), "Variable" | "VariableV2")
        || graph.op(tensor.node) == "Mul" && is_folded(graph, tensor.node, true)
}
