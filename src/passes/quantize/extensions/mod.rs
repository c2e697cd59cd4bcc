//! What TensorFlow 1.15's rules miss: one rule a file, each told of in the report by its code.
//!
//! The rules apply to what the reference's rules leave without ranges, so a graph whose layers those quantize completely
//! stays as they make it. [`super::topology::Options::reference_only`] turns all of them off.

pub mod activations;
pub mod bare_layers;
pub mod const_weights;
pub mod layer_ops;
pub mod loops;
pub mod shared_weights;
#[cfg(test)]
mod tests;
pub mod wrapped_weights;

use serde::Serialize;

use crate::graph::{Graph, NodeId, TensorRef};

/// The rule by which a layer was quantized although the reference leaves it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Extension {
    /// [`const_weights`].
    ConstWeights,
    /// [`wrapped_weights`].
    WrappedWeights,
    /// [`layer_ops`].
    LayerOp,
    /// [`bare_layers`].
    BareLayer,
    /// [`activations`].
    Activation,
    /// [`shared_weights`].
    SharedWeights,
    /// A batch norm behind a bias is folded.
    FoldBias,
    /// A folded layer reads the folded layer before it.
    FoldChain,
}

impl Extension {
    /// The rule's code, as in the report.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::ConstWeights => "const_weights",
            Self::WrappedWeights => "wrapped_weights",
            Self::LayerOp => "layer_op",
            Self::BareLayer => "bare_layer",
            Self::Activation => "activation",
            Self::SharedWeights => "shared_weights",
            Self::FoldBias => "fold_bias",
            Self::FoldChain => "fold_chain",
        }
    }
}

/// The weights of a layer op that the reference does not recognise, and the rule that does.
pub(in crate::passes::quantize) fn weights(graph: &Graph, op: NodeId) -> Option<(TensorRef, Extension)> {
    let (candidates, by_op) = layer_ops::weight_inputs(graph, op)?;
    let inputs: Vec<TensorRef> = graph.data_inputs(op).collect();
    candidates.iter().find_map(|&index| {
        let weights = *inputs.get(index)?;
        let rule = wrapped_weights::rule(graph, weights)?;
        let others_are_constant = inputs
            .iter()
            .enumerate()
            .any(|(other, &input)| other != index && candidates.contains(&other) && is_constant(graph, input));
        (!others_are_constant).then(|| (weights, by_op.or(rule).unwrap_or(Extension::BareLayer)))
    })
}

fn is_constant(graph: &Graph, tensor: TensorRef) -> bool {
    wrapped_weights::rule(graph, tensor).is_some()
}
