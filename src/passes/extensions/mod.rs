//! What TensorFlow 1.15's rules miss: one rule a file, each told of in the report by its code.
//!
//! The rules apply to what the reference's rules leave without ranges, so a graph whose layers those quantize completely
//! stays as they make it. [`crate::options::TopologyOnly::reference_only`] turns all of them off.

pub(crate) mod activations;
pub(crate) mod bare_layers;
pub(crate) mod const_weights;
pub(crate) mod fold_affine;
pub(crate) mod fold_bias;
pub(crate) mod fold_chain;
pub(crate) mod fold_layer_op;
pub(crate) mod fold_layout;
pub(crate) mod fold_switch;
pub(crate) mod folded_weights;
pub(crate) mod layer_ops;
pub(crate) mod quantized_weights;
pub(crate) mod shared_weights;
#[cfg(test)]
mod tests;
pub(crate) mod wrapped_weights;

use super::decisions::Extension;
use crate::graph::{Graph, NodeId, TensorRef};

/// Where to quantize the weights of a layer op that the reference does not recognise, and the rule that does.
pub(in crate::passes) fn weights(graph: &Graph, op: NodeId) -> Option<(TensorRef, Extension)> {
    let (candidates, by_op) = layer_ops::weight_inputs(graph, op)?;
    let inputs: Vec<TensorRef> = graph.data_inputs(op).collect();
    candidates.iter().find_map(|&index| {
        let read = *inputs.get(index)?;
        if fold_layer_op::is_folded(graph, op, read) {
            return Some((read, Extension::LayerOp));
        }
        let weights = wrapped_weights::stored(graph, read)?;
        let others_are_constant = inputs
            .iter()
            .enumerate()
            .any(|(other, &input)| other != index && candidates.contains(&other) && is_constant(graph, input));
        (!others_are_constant).then(|| (weights.tensor, by_op.or(weights.rule).unwrap_or(Extension::BareLayer)))
    })
}

fn is_constant(graph: &Graph, tensor: TensorRef) -> bool {
    wrapped_weights::stored(graph, tensor).is_some()
}

/// The quantizer of a layer op whose weights are quantized already.
pub(in crate::passes) fn weight_quantizer(graph: &Graph, op: NodeId) -> Option<NodeId> {
    let (candidates, _) = layer_ops::weight_inputs(graph, op)?;
    candidates.iter().find_map(|&index| quantized_weights::quantizer(graph, graph.data_input(op, index)?))
}
