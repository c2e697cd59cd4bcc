//! What the rules looked for around a layer, in their order, and what they found: how a layer was recognised, or where
//! that ended.

use serde::Serialize;

use crate::graph::{Graph, NodeId};

/// One thing the rules looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What.
    pub rule: Rule,
    /// The node that was found, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

impl Step {
    pub(super) fn new(graph: &Graph, rule: Rule, found: Option<NodeId>) -> Self {
        Self { rule, found: found.map(|node| graph.name(node).to_owned()) }
    }
}

/// What rules look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rule {
    /// Rules of names: a scope around the layer's op. Told only where there is none.
    Scope,
    /// Rules of names: an input called weights.
    WeightsByName,
    /// Rules of names: the product `mul_fold` that folding a batch norm made.
    FoldedWeights,
    /// Rules of names: `Relu6`, `Relu` or `Identity` in the layer's scope.
    ActivationInScope,
    /// Rules of names: the same in the scope above.
    ActivationAbove,
    /// Rules of names: `Add` or `add` beside an activation in the scope above; of structure: an Add before the activation.
    Bypass,
    /// Rules of names: a BiasAdd that alone reads the layer's op.
    SingleBiasAdd,
    /// Rules of names: `Add` or `add` in the scope two levels above a Conv2D.
    AddOfScope,
    /// Rules of structure: an input that is a variable, read from one, or a product that folding made.
    Weights,
    /// Rules of structure: a BiasAdd or Add behind the layer's op.
    Bias,
    /// Rules of structure: the activation, or what ends the layer without one.
    Activation,
    /// Rules of structure: an Add behind the activation.
    AddAfterActivation,
    /// Rules of structure: an input that is quantized already.
    QuantizedInput,
}

impl Rule {
    /// The rule's code, as in the report.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::WeightsByName => "weights_by_name",
            Self::FoldedWeights => "folded_weights",
            Self::ActivationInScope => "activation_in_scope",
            Self::ActivationAbove => "activation_above",
            Self::Bypass => "bypass",
            Self::SingleBiasAdd => "single_bias_add",
            Self::AddOfScope => "add_of_scope",
            Self::Weights => "weights",
            Self::Bias => "bias",
            Self::Activation => "activation",
            Self::AddAfterActivation => "add_after_activation",
            Self::QuantizedInput => "quantized_input",
        }
    }
}
