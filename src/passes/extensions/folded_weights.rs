//! Which products are folded weights.
//!
//! # What it does
//! Takes a Mul in front of a layer for its weights only if it is the product that folding a batch norm makes: of tensors
//! that constants and variables alone make up, or of weights and a scale that depends on the batch.
//!
//! # When it applies
//! To every layer. The reference takes any Mul for folded weights, and a dropout that was left in the graph with it.
//!
//! # What it leaves alone
//! Products that the data take part in: a dropout, a gate, a scaled query. The layer's weights are its other input.
//!
//! # Example
//! In `dropout/mul_1 → MatMul ← kernel/read` the weights are `kernel/read`.

use hashbrown::HashSet;

use super::const_weights::{is_constant, is_variable};
use super::wrapped_weights::stored;
use crate::graph::op_class::draws_numbers;
use crate::graph::{Graph, NodeId, TensorRef};

/// More nodes than this make no product of parameters: that of a batch norm has a dozen.
const MAX_NODES: usize = 64;

/// Whether the Mul is the product of weights that the layer reads as its filter, or else as one of two equal sides.
pub(in crate::passes) fn is_folded(graph: &Graph, product: NodeId, is_filter: bool) -> bool {
    if !graph.is_original(product) {
        return true;
    }
    let factors: Vec<TensorRef> = graph.data_inputs(product).collect();
    let [a, b] = factors[..] else { return false };
    // A filter is never data, so its other factor may depend on the batch: as the scale of a batch norm that trains does.
    // Elsewhere the stored factor must be a matrix: data are scaled by numbers and by rows.
    let is_weights = |factor: TensorRef| stored(graph, factor).is_some() && (is_filter || is_matrix(graph, factor));
    is_weights(a) || is_weights(b) || is_of_parameters(graph, product)
}

fn is_matrix(graph: &Graph, tensor: TensorRef) -> bool {
    let dims = graph.static_shape(tensor).unwrap_or_default();
    dims.len() == 2 && dims.iter().all(|dim| dim.is_some_and(|dim| dim > 1))
}

/// Whether constants and variables alone decide what the node yields.
fn is_of_parameters(graph: &Graph, node: NodeId) -> bool {
    let mut waiting = vec![node];
    let mut seen: HashSet<NodeId> = HashSet::from([node]);
    while let Some(node) = waiting.pop() {
        if is_constant(graph, node) || is_variable(graph, node) {
            continue;
        }
        let is_source = graph.data_inputs(node).next().is_none();
        if is_source || draws_numbers(graph.op(node)) || seen.len() > MAX_NODES {
            return false;
        }
        waiting.extend(graph.data_inputs(node).map(|input| input.node).filter(|&input| seen.insert(input)));
    }
    true
}
