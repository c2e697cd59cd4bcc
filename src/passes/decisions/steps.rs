//! What the rules looked for around a layer, in their order, and what they found: how a layer was recognised, or where
//! that ended.

use serde::Serialize;

use super::codes::coded;
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
    pub(in crate::passes) fn new(graph: &Graph, rule: Rule, found: Option<NodeId>) -> Self {
        Self { rule, found: found.map(|node| graph.name(node).to_owned()) }
    }
}

coded! {
    /// What rules look for.
    pub enum Rule {
        Scope = "scope": "Rules of names: a scope around the layer's op. Told only where there is none.",
        WeightsByName = "weights_by_name": "Rules of names: an input called weights.",
        FoldedWeights = "folded_weights": "Rules of names: the product `mul_fold` that folding a batch norm made.",
        ActivationInScope = "activation_in_scope": "Rules of names: `Relu6`, `Relu` or `Identity` in the layer's scope.",
        ActivationAbove = "activation_above": "Rules of names: the same in the scope above.",
        Bypass = "bypass": "Rules of names: `Add` or `add` beside an activation in the scope above; of structure: an Add before the activation.",
        SingleBiasAdd = "single_bias_add": "Rules of names: a BiasAdd that alone reads the layer's op.",
        AddOfScope = "add_of_scope": "Rules of names: `Add` or `add` in the scope two levels above a Conv2D.",
        Weights = "weights": "Rules of structure: an input that is a variable, read from one, or a product that folding made.",
        Bias = "bias": "Rules of structure: a BiasAdd or Add behind the layer's op.",
        Activation = "activation": "Rules of structure: the activation, or what ends the layer without one.",
        AddAfterActivation = "add_after_activation": "Rules of structure: an Add behind the activation.",
        QuantizedInput = "quantized_input": "Rules of structure: an input that is quantized already.",
    }
}
