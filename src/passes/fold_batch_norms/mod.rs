//! Folds batch normalisation into the weights of the layer before it, as a converter will for inference.
//!
//! [`names`] holds the rules of TensorFlow 1.5, [`topology`] those of 1.15. What was decided about every batch norm is told as [`BatchNorm`]s for
//! the report. Folding comes before [`super::quantize`], which knows folded layers by the names given here.

mod checks;
mod extension_bias;
mod extension_chain;
mod fused;
pub mod names;
#[cfg(test)]
mod tests;
pub mod topology;
mod topology_clone;
mod topology_correction;
mod topology_fused;
mod topology_parameters;
mod topology_shapes;
mod topology_unfused;
mod unfused;

use serde::Serialize;

use crate::error::Error;
use crate::passes::quantize::Selection;
use crate::passes::quantize::extensions::Extension;

/// Which batch norms to fold, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Which layers to touch at all, by the names of their ops.
    pub selection: Selection,
    /// Whether to leave a batch norm that the rules refuse as it is, instead of refusing the graph.
    pub skip_unmatched: bool,
}

/// What folding decided about one batch norm.
#[derive(Debug, Clone, Serialize)]
pub struct BatchNorm {
    /// The name of its op; for one made of single ops, the scope of these.
    pub node: String,
    /// `FusedBatchNorm` or another version of it; `batchnorm` for one made of single ops.
    pub op: String,
    /// The layer whose output it normalises, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Whether it was folded, and if not, why.
    pub outcome: Outcome,
    /// More about the reason, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The node that took the place of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folded: Option<String>,
    /// The rule by which it was folded although the reference leaves it, or leaves its layer's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<Extension>,
}

/// Whether a batch norm was folded; every other variant is the reason why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It was folded.
    Folded,
    /// `--exclude` names its layer, or `--include` names others only.
    NotSelected,
    /// What it normalises is not the output of a layer that can be folded.
    NoLayer,
    /// Single ops that are not together the batch norm the rules know.
    UnknownForm,
    /// The rules do not fold one that normalises by the batch.
    TrainingMode,
    /// Others read its output too, or nobody does.
    ExtraConsumer,
    /// Neither an activation nor a bypass Add reads its output.
    NoActivation,
    /// A shape that must be known is not.
    ShapeUnknown,
    /// The folded weights or the bias would not have the shape they must have.
    ShapeMismatch,
    /// The layer's convolution is dilated.
    Atrous,
    /// The layer's channels are not on the last axis.
    DataFormat,
    /// The layer's weights are read transposed, with the channels on the wrong axis.
    Transposed,
    /// Layer and batch norm do not both compute in float32.
    NotFloat,
    /// It is in training mode, but what updates its moving averages is not found.
    NoMovingAverages,
    /// It is inside a while-loop, which new constants do not enter.
    InsideLoop,
}

impl Outcome {
    /// The outcome's code, as in the report.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Folded => "folded",
            Self::NotSelected => "not_selected",
            Self::NoLayer => "no_layer",
            Self::UnknownForm => "unknown_form",
            Self::TrainingMode => "training_mode",
            Self::ExtraConsumer => "extra_consumer",
            Self::NoActivation => "no_activation",
            Self::ShapeUnknown => "shape_unknown",
            Self::ShapeMismatch => "shape_mismatch",
            Self::Atrous => "atrous",
            Self::DataFormat => "data_format",
            Self::Transposed => "transposed",
            Self::NotFloat => "not_float",
            Self::NoMovingAverages => "no_moving_averages",
            Self::InsideLoop => "inside_loop",
        }
    }
}

/// Why a batch norm cannot be folded.
struct Refusal {
    outcome: Outcome,
    error: Error,
    /// Whether the whole graph is refused for it. Otherwise the batch norm is left as it is and the pass goes on.
    fatal: bool,
}

impl Refusal {
    fn fatal(outcome: Outcome, error: Error) -> Self {
        Self { outcome, error: error.hint(hint(outcome)), fatal: true }
    }

    fn leave(outcome: Outcome, error: Error) -> Self {
        Self { outcome, error, fatal: false }
    }
}

fn hint(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::ExtraConsumer => {
            "let one node alone read the batch norm's output, or leave it unfolded (--skip-unmatched, --exclude)"
        }
        Outcome::NoActivation => {
            "end the layer's scope with Relu6, Relu or Identity, or leave the batch norm unfolded \
             (--skip-unmatched, --no-fold-batch-norms)"
        }
        Outcome::ShapeUnknown => "give the weights a shape that is known when the graph is built, and export it again",
        _ => "leave this batch norm unfolded (--skip-unmatched, --exclude), or all of them (--no-fold-batch-norms)",
    }
}

impl BatchNorm {
    /// Takes note of why it cannot be folded; the error, unless such a batch norm is to be left as it is.
    fn record_refusal(&mut self, refusal: Refusal, skip_unmatched: bool) -> crate::error::Result<()> {
        if refusal.fatal && !skip_unmatched {
            return Err(refusal.error);
        }
        self.outcome = refusal.outcome;
        self.detail = Some(refusal.error.to_string());
        Ok(())
    }

    /// Takes note of what came of it; the error, if the graph is refused for it.
    fn record(&mut self, result: Result<String, Refusal>, options: &Options) -> crate::error::Result<()> {
        match result {
            Ok(folded) => {
                self.outcome = Outcome::Folded;
                self.detail = None;
                self.folded = Some(folded);
            }
            Err(refusal) if refusal.fatal && !options.skip_unmatched => return Err(refusal.error),
            Err(refusal) => {
                self.outcome = refusal.outcome;
                self.detail = Some(refusal.error.to_string());
            }
        }
        Ok(())
    }
}
