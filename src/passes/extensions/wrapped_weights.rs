//! Weights that are converted or reshaped on their way to the layer.
//!
//! # What it does
//! Looks for the variable or constant behind Identity, Cast, Dequantize and Reshape, and quantizes the tensor that the
//! layer reads, after all of them.
//!
//! # When it applies
//! To weights stored as 16-bit floats or 8-bit integers, and to kernels that are reshaped before use.
//!
//! # What it leaves alone
//! Weights behind any other op, such as a normalisation: their range is not that of a stored tensor. A variable that the
//! layer reads by reference: its other readers assign to it.
//!
//! # Example
//! `kernel (Const, half) → Cast → Conv2D` gets `weights_quant` between `Cast` and `Conv2D`.

use super::const_weights::{is_constant, is_variable};
use crate::graph::{Graph, TensorRef};
use crate::passes::decisions::Extension;

/// More ops between weights and layer are not followed.
const MAX_OPS: usize = 16;

/// Whether the tensor is a stored one: the rule that says so, or nothing more where it needs none. `None` if it is not.
#[allow(clippy::option_option)] // stored or not, and by which rule
pub(in crate::passes) fn rule(graph: &Graph, tensor: TensorRef) -> Option<Option<Extension>> {
    let mut node = tensor.node;
    if matches!(graph.op(node), "Variable" | "VariableV2") {
        return None;
    }
    let mut rule = None;
    let mut identities = 0;
    for _ in 0..MAX_OPS {
        if is_constant(graph, node) {
            return Some(rule.or(Some(Extension::ConstWeights)));
        }
        if is_variable(graph, node) {
            // The reference knows a variable behind one Identity, or two when it is a part of a partitioned one.
            return Some(rule.or((identities > 2).then_some(Extension::WrappedWeights)));
        }
        match graph.op(node) {
            "Identity" | "StopGradient" => identities += 1,
            "Cast" | "Dequantize" | "Reshape" => rule = Some(Extension::WrappedWeights),
            _ => return None,
        }
        node = graph.data_input(node, 0)?.node;
    }
    None
}
