//! Weights that several layers share.
//!
//! # What it does
//! Puts one fake quantizer behind a constant that several layers read through Identity nodes of their own, so that all of
//! them read the same quantized tensor and there is one range.
//!
//! # When it applies
//! To frozen graphs of models that call a layer more than once. What layers share behind one Identity, the reference's
//! way of inserting feeds to all of them anyhow.
//!
//! # What it leaves alone
//! Variables that are read by several ops: the reference quantizes every read.
//!
//! # Example
//! `kernel → read → a/Conv2D` and `kernel → read_1 → b/Conv2D` get one `weights_quant` behind `kernel`.

use hashbrown::HashMap;

use super::const_weights::is_constant;
use crate::graph::{Graph, NodeId, TensorRef};

/// The constant behind Identity nodes.
fn constant_behind(graph: &Graph, tensor: TensorRef) -> Option<NodeId> {
    let mut node = tensor.node;
    for _ in 0..MAX_IDENTITIES {
        if graph.op(node) != "Identity" {
            break;
        }
        node = graph.data_input(node, 0)?.node;
    }
    is_constant(graph, node).then_some(node)
}

/// A longer chain is not followed.
const MAX_IDENTITIES: usize = 16;

/// Where the weights that layers read through different nodes come from, by what the layers read.
pub(in crate::passes) fn common_sources(
    graph: &Graph,
    weights: impl Iterator<Item = TensorRef>,
) -> HashMap<TensorRef, NodeId> {
    let mut readers: HashMap<NodeId, Vec<TensorRef>> = HashMap::new();
    for tensor in weights {
        if let Some(constant) = constant_behind(graph, tensor) {
            let tensors = readers.entry(constant).or_default();
            if !tensors.contains(&tensor) {
                tensors.push(tensor);
            }
        }
    }
    let shared = readers.into_iter().filter(|(_, tensors)| tensors.len() > 1);
    shared.flat_map(|(constant, tensors)| tensors.into_iter().map(move |tensor| (tensor, constant))).collect()
}
