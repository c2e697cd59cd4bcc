//! Inserts fake quantizers around the layers of a graph.
//!
//! [`names`] finds layers by the names their nodes have, as TensorFlow's rewriter of 2017 did; [`topology`] by structure,
//! as TensorFlow 1.15 did; `insert` and `topology_insert` put one quantizer between a node and its consumers. What they decide is told as [`Layer`]s for the report.

pub mod extensions;
mod insert;
pub mod names;
mod selection;
mod steps;
pub mod topology;
mod topology_arithmetic;
mod topology_insert;
mod topology_layers;

use serde::Serialize;

use crate::collections::MOVING_AVERAGE_VARIABLES;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId};
pub use extensions::Extension;
pub use selection::Selection;
pub use steps::{Rule, Step};

/// What to quantize, and how: the arguments of TensorFlow's `Quantize`, and which layers to leave alone.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // as many as TensorFlow's function has
pub struct Options {
    /// Bits for weights, 2 to 8.
    pub weight_bits: u8,
    /// Whether weights leave the lowest level unused, for symmetric arithmetic.
    pub weight_narrow_range: bool,
    /// Bits for activations, 2 to 8.
    pub activation_bits: u8,
    /// The decay of the moving averages of activation ranges, between 0 and 1.
    pub ema_decay: f64,
    /// The global step from which activations are quantized; before it they pass as they are.
    pub quant_delay: Option<i64>,
    /// The collection that range variables enter beside the standard ones.
    pub vars_collection: String,
    /// Whether the graph trains. In an eval graph the ranges are read, not updated.
    pub is_training: bool,
    /// Whether folded weights, which depend on the batch, get moving averages as well.
    pub quantize_folded_weights_use_ema: bool,
    /// Which layers to touch at all.
    pub selection: Selection,
    /// Whether to leave a layer that the rules refuse as it is, instead of refusing the graph.
    pub skip_unmatched: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            weight_bits: 8,
            weight_narrow_range: false,
            activation_bits: 8,
            ema_decay: 0.999,
            quant_delay: None,
            vars_collection: MOVING_AVERAGE_VARIABLES.to_owned(),
            is_training: true,
            quantize_folded_weights_use_ema: false,
            selection: Selection::default(),
            skip_unmatched: false,
        }
    }
}

impl Options {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] for bits outside 2 to 8 and a decay outside 0 to 1.
    pub fn check(&self) -> Result<()> {
        for (what, bits) in [("weight", self.weight_bits), ("activation", self.activation_bits)] {
            if !(2..=8).contains(&bits) {
                return Err(Error::new(ErrorKind::Options, format!("{what} bits must be 2 to 8, not {bits}"))
                    .hint("fake quantization rounds to at most 256 levels; 8 bits suit most devices"));
            }
        }
        if !(0.0..=1.0).contains(&self.ema_decay) {
            return Err(Error::new(
                ErrorKind::Options,
                format!("the EMA decay must be 0 to 1, not {}", self.ema_decay),
            )
            .hint("0.999 is the usual decay; smaller values follow the batches faster"));
        }
        Ok(())
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

/// Whether a layer was quantized; every other variant is the reason why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It was quantized.
    Quantized,
    /// `--exclude` names it, or `--include` names others only.
    NotSelected,
    /// It is the depthwise half of a separable convolution, which is quantized as one layer.
    SeparableDepthwise,
    /// Its folded twin `…_Fold` stands in for it.
    FoldedTwin,
    /// Its op bears no scope, so there is no layer to speak of.
    NoScope,
    /// None of its inputs is called weights.
    NoWeights,
    /// No activation and no single BiasAdd ends it.
    NoActivation,
    /// A tensor to be quantized is read by others in a way that would leave some of them unquantized.
    InputsShared,
    /// Another layer of the same scope has the names its range variables would need.
    ScopeShared,
    /// A tensor to be quantized is not float32.
    NotFloat,
    /// None of its inputs is a variable, or the product that folding makes of one.
    WeightsUnknown,
    /// It is not known how many axes a tensor to be quantized has.
    RankUnknown,
    /// `--scope` names another part of the graph.
    OutOfScope,
    /// Its tensors are read by fake quantizers already.
    AlreadyQuantized,
    /// It is there for the batch's statistics alone, which stay exact.
    BatchStatistics,
    /// A batch norm that was not folded reads it.
    BatchNormFollows,
    /// It is inside a while-loop, which new variables do not enter.
    InsideLoop,
}

impl Outcome {
    /// The outcome's code, as in the report.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Quantized => "quantized",
            Self::NotSelected => "not_selected",
            Self::SeparableDepthwise => "separable_depthwise",
            Self::FoldedTwin => "folded_twin",
            Self::NoScope => "no_scope",
            Self::NoWeights => "no_weights",
            Self::NoActivation => "no_activation",
            Self::InputsShared => "inputs_shared",
            Self::ScopeShared => "scope_shared",
            Self::NotFloat => "not_float",
            Self::WeightsUnknown => "weights_unknown",
            Self::RankUnknown => "rank_unknown",
            Self::OutOfScope => "out_of_scope",
            Self::AlreadyQuantized => "already_quantized",
            Self::BatchStatistics => "batch_statistics",
            Self::BatchNormFollows => "batch_norm_follows",
            Self::InsideLoop => "inside_loop",
        }
    }

    /// The reason in words.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Quantized => "quantized",
            Self::NotSelected => "left out by --include or --exclude",
            Self::SeparableDepthwise => "first half of a separable convolution, quantized with its second half",
            Self::FoldedTwin => "its folded twin is quantized instead",
            Self::NoScope => "the op has no scope that would name a layer",
            Self::NoWeights => "no input is called weights",
            Self::NoActivation => "no activation and no single BiasAdd ends the layer",
            Self::InputsShared => "a tensor to quantize has readers that could not all be rewired",
            Self::ScopeShared => "another layer shares its scope",
            Self::NotFloat => "a tensor to quantize is not float32",
            Self::WeightsUnknown => "no input is a variable",
            Self::RankUnknown => "the number of axes of a tensor to quantize is not known",
            Self::OutOfScope => "outside of --scope",
            Self::AlreadyQuantized => "quantized already",
            Self::BatchStatistics => "yields the batch's statistics alone, which stay exact",
            Self::BatchNormFollows => "a batch norm that was not folded reads it",
            Self::InsideLoop => "inside a while-loop",
        }
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
    /// The variables that hold the range's ends: minimum, maximum.
    pub range: [String; 2],
    /// The nodes that read the quantized tensor now.
    pub consumers: Vec<String>,
}

impl Layer {
    /// A layer that is quantized unless something is found against it.
    fn new(graph: &Graph, op: NodeId) -> Self {
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

/// What a fake quantizer quantizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A layer's weights.
    Weights,
    /// A layer's output after its activation.
    Activation,
    /// A convolution's output where it enters a bypass Add.
    BypassInput,
    /// An Add that follows convolutions.
    Add,
    /// An Add that follows a layer's activation.
    PostActivationAdd,
    /// An Add or Mul that reads quantized tensors.
    Arithmetic,
}
