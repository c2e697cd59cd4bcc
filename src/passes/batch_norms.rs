//! What both generations ask of batch norms: whether they are in training mode, and what they normalise.

use super::extensions::fold_affine::layer_output;
use super::extensions::layer_ops::is_layer_op;
use crate::graph::{Graph, NodeId, TensorRef};

/// More nodes between a layer and a batch norm that stays are not followed.
const MAX_NODES: usize = 16;

/// Whether a fused batch norm is in training mode, as it is without the attribute.
pub(super) fn is_training(graph: &Graph, batch_norm: NodeId) -> bool {
    graph.attr_bool(batch_norm, "is_training").unwrap_or(true)
}

/// Whether the graph was frozen around a layer and its batch norm: nothing of weights, gamma and beta can be trained.
pub(super) fn is_frozen(graph: &Graph, parameters: [TensorRef; 3]) -> bool {
    parameters.into_iter().all(|tensor| graph.const_value(tensor).is_some())
}

/// The layer that the tensor comes of, through a bias and what rearranges it.
pub(super) fn layer_before(graph: &Graph, tensor: TensorRef) -> Option<NodeId> {
    let mut node = tensor.node;
    for _ in 0..MAX_NODES {
        match graph.op(node) {
            _ if is_layer_op(graph, node) => return Some(node),
            "Identity" | "BiasAdd" | "Squeeze" | "Reshape" | "ExpandDims" | "BatchToSpaceND" => {
                node = graph.data_input(node, 0)?.node;
            }
            "Add" | "AddV2" => {
                return graph.data_inputs(node).find_map(|input| {
                    let is_layer = is_layer_op(graph, input.node);
                    is_layer.then_some(input.node).or_else(|| Some(layer_output(graph, input)?.layer))
                });
            }
            _ => return None,
        }
    }
    None
}

/// Why there is no layer to fold a batch norm into that reads the tensor, where those of `layers` fold.
pub(super) fn no_layer(graph: &Graph, read: TensorRef, layers: &[&str]) -> String {
    let told = |node: NodeId| format!("'{}' ({})", graph.name(node), graph.op(node));
    match layer_before(graph, read) {
        None => format!("it reads {}, which is no layer", told(read.node)),
        Some(layer) if !layers.contains(&graph.op(layer)) => {
            format!("it normalises {}: only batch norms of {} fold", told(layer), layers.join(", "))
        }
        Some(layer) if layer == read.node => format!("it reads {} in a form that the rules do not know", told(layer)),
        Some(layer) => format!("{} stands between it and the layer {}", told(read.node), told(layer)),
    }
}
