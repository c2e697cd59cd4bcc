//! What a pass decided about one layer, and what it inserted for it.

use serde::Serialize;

use super::codes::coded;
use super::{Extension, Step};
use crate::graph::{Graph, NodeId, TensorRef};

/// What quantizing did.
#[derive(Debug, Default)]
pub struct Quantized {
    /// One entry per layer op, in graph order.
    pub layers: Vec<Layer>,
    /// One entry per Add, Mul or activation that was quantized for the layers around it.
    pub adds: Vec<Layer>,
    /// The ops that update ranges, in order.
    pub updates: Vec<NodeId>,
    /// How many input slots read a quantized tensor now.
    pub inputs_rewired: usize,
    /// Every tensor that was quantized, and what its readers read now.
    pub tensors: Vec<[TensorRef; 2]>,
    /// The name of the global step, if one had to be created.
    pub created_global_step: Option<String>,
    /// Ranges that are constants, to be filled in.
    pub(crate) open: Vec<crate::passes::insertion::OpenRange>,
}

impl Quantized {
    /// Takes note that a quantized tensor has another name now, and that a node in its place hands it on.
    pub(crate) fn tensor_was_renamed(&mut self, before: &str, after: &str, handed_on_by: &str) {
        let layers = self.layers.iter_mut().chain(&mut self.adds);
        for fake_quant in layers.flat_map(|layer| &mut layer.fake_quants).filter(|quant| quant.tensor == before) {
            after.clone_into(&mut fake_quant.tensor);
            fake_quant.consumers = vec![handed_on_by.to_owned()];
        }
    }
}

/// What a pass decided about one layer.
#[derive(Debug, Clone, Serialize)]
pub struct Layer {
    /// The name of the layer's op.
    pub node: String,
    /// The op: `Conv2D`, `MatMul`, …
    pub op: String,
    /// Whether it was quantized, and if not, why.
    pub outcome: Outcome,
    /// More about the reason, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How the rules recognised it, or where they gave up; empty if they did not look.
    pub steps: Vec<Step>,
    /// The fake quantizers that were inserted for it.
    pub fake_quants: Vec<InsertedFakeQuant>,
    /// The rule by which it was quantized although TensorFlow would leave it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<Extension>,
}

coded! {
    /// Whether a layer was quantized; every other variant is the reason why not.
    pub enum Outcome {
        Quantized = "quantized": "quantized",
        PartlyQuantized = "partly_quantized": "some of its tensors are quantized, some are left",
        NotSelected = "not_selected": "left out by --include, --exclude or --inputs",
        SeparableDepthwise = "separable_depthwise": "first half of a separable convolution, quantized with its second half",
        FoldedTwin = "folded_twin": "its folded twin is quantized instead",
        NoScope = "no_scope": "the op has no scope that would name a layer",
        NoWeights = "no_weights": "no input is called weights",
        NoActivation = "no_activation": "no activation and no single BiasAdd ends the layer",
        InputsShared = "inputs_shared": "a tensor to quantize has readers that could not all be rewired",
        ScopeShared = "scope_shared": "another layer shares its scope",
        NotFloat = "not_float": "a tensor to quantize is not float32",
        WeightsUnknown = "weights_unknown": "no input is a variable or a constant",
        WeightsQuantized = "weights_quantized": "its weights are quantized already",
        RankUnknown = "rank_unknown": "the number of axes of a tensor to quantize is not known",
        OutOfScope = "out_of_scope": "outside of --scope",
        AlreadyQuantized = "already_quantized": "quantized already",
        Gradient = "gradient": "a gradient, which stays exact",
        BatchStatistics = "batch_statistics": "yields the batch's statistics alone, which stay exact",
        BatchNormFollows = "batch_norm_follows": "a batch norm that was not folded reads it",
        InsideLoop = "inside_loop": "inside a while-loop, where no range can follow the tensor",
    }
}

impl Outcome {
    /// Whether the layer was quantized, wholly or in part.
    #[must_use]
    pub fn is_quantized(self) -> bool {
        matches!(self, Self::Quantized | Self::PartlyQuantized)
    }
}

/// One fake quantizer that a pass inserted.
#[derive(Debug, Clone, Serialize)]
pub struct InsertedFakeQuant {
    /// The name of its FakeQuantWithMinMaxVars node.
    pub node: String,
    /// What it quantizes for its layer.
    pub role: Role,
    /// The tensor it quantizes.
    pub tensor: String,
    /// How many levels, as bits.
    pub bits: u8,
    /// Whether the lowest level stays unused.
    pub narrow_range: bool,
    /// The variables, or constants, that hold the range's ends: minimum, maximum.
    pub range: [String; 2],
    /// The nodes that read the quantized tensor now.
    pub consumers: Vec<String>,
}

impl Layer {
    /// A layer that is quantized unless something is found against it.
    pub(crate) fn new(graph: &Graph, op: NodeId) -> Self {
        Self {
            node: graph.name(op).to_owned(),
            op: graph.op(op).to_owned(),
            outcome: Outcome::Quantized,
            detail: None,
            steps: Vec::new(),
            fake_quants: Vec::new(),
            extension: None,
        }
    }
}

coded! {
    /// What a fake quantizer quantizes.
    pub enum Role {
        Weights = "weights": "weights",
        Activation = "activation": "activation",
        BypassInput = "bypass_input": "bypass input",
        Add = "add": "add",
        PostActivationAdd = "post_activation_add": "add after activation",
        Arithmetic = "arithmetic": "arithmetic",
    }
}
