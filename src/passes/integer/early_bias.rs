//! Biases added to a layer itself, where a recurrent cell adds them to the sum of two.
//!
//! # What it does
//! An integer layer has its bias in 32 bits, for nothing. Added behind the sum of two layers, a bias is an op of its own,
//! and its result is rounded to 8 bits once more: in an LSTM, at every step.
//!
//! # What it leaves alone
//! Sums that others read, layers that have a bias, and biases that are no number for each channel of the layer.
//!
//! # Example
//! `sum = AddV2(product, other); biased = BiasAdd(sum, b)`, where `product` is a MatMul's, becomes `product/biased =
//! BiasAdd(product, b); biased = AddV2(product/biased, other)`.

use super::constants::Constants;
use super::network::{Ends, Layer, weights};
use super::new_nodes::take_place;
use crate::error::Result;
use crate::graph::op_class::canonical_op;
use crate::graph::{Graph, Input, NodeId, TensorRef};

/// A bias behind a sum, and the layer that takes it.
struct Late {
    bias: NodeId,
    /// Which of the bias's inputs is the sum.
    slot: usize,
    sum: NodeId,
    /// Which of the sum's inputs is the layer.
    layer_slot: usize,
    layer: NodeId,
}

/// Moves them; says how many.
///
/// # Errors
/// Those of renaming nodes.
pub(crate) fn add_biases_early(graph: &mut Graph, outputs: &[TensorRef]) -> Result<usize> {
    let order = graph.run_order();
    let constants = Constants::of(graph, &order);
    let ends = Ends::new(graph, outputs);
    let found: Vec<Late> = order.iter().filter_map(|&node| late(graph, &constants, &ends, node)).collect();
    for Late { bias, slot, sum, layer_slot, layer } in &found {
        take_place(graph, (*bias).into(), (*sum).into());
        graph.set_input(*bias, *slot, Input::Data((*layer).into()));
        graph.set_input(*sum, *layer_slot, Input::Data((*bias).into()));
        // The sum is now what the bias made of it.
        let name = graph.name(*bias).to_owned();
        let free = graph.free_name(&format!("{}/biased", graph.name(*layer)));
        graph.rename(*bias, &free)?;
        graph.rename(*sum, &name)?;
    }
    Ok(found.len())
}

fn late(graph: &Graph, constants: &Constants, ends: &Ends<'_>, bias: NodeId) -> Option<Late> {
    let is_sum = |node: NodeId| canonical_op(graph.op(node)) == "Add";
    if graph.op(bias) != "BiasAdd" && !is_sum(bias) {
        return None;
    }
    let inputs = [graph.data_input(bias, 0)?, graph.data_input(bias, 1)?];
    let slot = usize::from(constants.contain(inputs[0].node));
    let sum = Some(inputs[slot].node).filter(|&sum| is_sum(sum) && ends.only_reader(sum) == Some(bias))?;
    let numbers = graph.static_shape(inputs[1 - slot]).filter(|_| constants.contain(inputs[1 - slot].node))?;
    let operands = [graph.data_input(sum, 0)?, graph.data_input(sum, 1)?];
    let takes = |operand: TensorRef| {
        let layer = Layer::of(graph, operand.node).filter(|_| ends.only_reader(operand.node) == Some(sum))?;
        let weights = weights(graph, operand.node).filter(|weights| constants.contain(weights.node))?;
        let dims: Option<Vec<usize>> =
            graph.static_shape(weights)?.iter().map(|dim| usize::try_from((*dim)?).ok()).collect();
        let (channels, _) = layer.channels(&dims?)?;
        let is_one_each = matches!(numbers[..], [Some(count)] if usize::try_from(count) == Ok(channels));
        is_one_each.then_some(operand.node)
    };
    let is_layer = |operand: TensorRef| Layer::of(graph, operand.node).is_some();
    if !operands.iter().all(|&operand| is_layer(operand)) || operands[0] == operands[1] {
        return None;
    }
    let (layer_slot, layer) = [0, 1].into_iter().find_map(|slot| Some((slot, takes(operands[slot])?)))?;
    Some(Late { bias, slot, sum, layer_slot, layer })
}
