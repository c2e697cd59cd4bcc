//! What folding decided about one batch norm, and why one cannot be folded.

use serde::Serialize;

use super::Extension;
use super::codes::coded;
use crate::error::{Error, Result};

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
    pub outcome: FoldOutcome,
    /// More about the reason, where there is more to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The node that took the place of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folded: Option<String>,
    /// The rule by which it was folded although the reference leaves it, or leaves its layer's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<Extension>,
    /// What the network computes otherwise once it is folded: where a reference's rule changes that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<&'static str>,
}

coded! {
    /// Whether a batch norm was folded; every other variant is the reason why not.
    pub enum FoldOutcome {
        Folded = "folded": "folded",
        NotSelected = "not_selected": "its layer is left out by --include, --exclude or --inputs",
        NoLayer = "no_layer": "what it normalises is not the output of a layer that can be folded",
        UnknownForm = "unknown_form": "single ops that are not together the batch norm the rules know",
        TrainingMode = "training_mode": "the rules do not fold one that normalises by the batch",
        ExtraConsumer = "extra_consumer": "others read its output too",
        NotRead = "not_read": "nothing in the graph reads its output, so that there is nowhere to fold it to",
        NoActivation = "no_activation": "neither an activation nor a bypass Add reads its output",
        ShapeUnknown = "shape_unknown": "a shape that must be known is not",
        ShapeMismatch = "shape_mismatch": "the folded weights or the bias would not have the shape they must have",
        Atrous = "atrous": "the layer's convolution is dilated",
        DataFormat = "data_format": "the layer's channels are not on the last axis",
        Transposed = "transposed": "the layer's weights are read transposed, with the channels on the wrong axis",
        NotFloat = "not_float": "layer and batch norm do not both compute in float32",
        NoMovingAverages = "no_moving_averages": "in training mode, but what updates its moving averages is not found",
        FrozenTraining = "frozen_training": "frozen from the training graph: it normalises by the batch, not by moving averages",
        InsideLoop = "inside_loop": "inside a while-loop, which new constants do not enter",
    }
}

/// Why a batch norm cannot be folded.
pub(in crate::passes) struct Refusal {
    pub outcome: FoldOutcome,
    pub error: Error,
    /// Whether the whole graph is refused for it. Otherwise the batch norm is left as it is and the pass goes on.
    pub fatal: bool,
}

impl Refusal {
    pub(crate) fn fatal(outcome: FoldOutcome, error: Error) -> Self {
        Self { outcome, error: error.hint(hint(outcome)), fatal: true }
    }

    pub(crate) fn leave(outcome: FoldOutcome, error: Error) -> Self {
        Self { outcome, error, fatal: false }
    }
}

fn hint(outcome: FoldOutcome) -> &'static str {
    match outcome {
        FoldOutcome::ExtraConsumer => {
            "let one node alone read the batch norm's output, or leave it unfolded (--skip-unmatched, --exclude)"
        }
        FoldOutcome::NoActivation => {
            "end the layer's scope with Relu6, Relu or Identity, or leave the batch norm unfolded \
             (--skip-unmatched, --no-fold-batch-norms)"
        }
        FoldOutcome::FrozenTraining => {
            "export again for inference: build the model with training=False (is_training=False, \
             learning phase 0), restore the checkpoint, then freeze; or leave it unfolded (--skip-unmatched, --exclude)"
        }
        FoldOutcome::TrainingMode => {
            "rewrite the graph in eval mode (--mode eval), or build it with is_training=True instead of a placeholder"
        }
        FoldOutcome::ShapeUnknown => {
            "give the weights a shape that is known when the graph is built, and export it again"
        }
        _ => "leave this batch norm unfolded (--skip-unmatched, --exclude), or all of them (--no-fold-batch-norms)",
    }
}

impl BatchNorm {
    /// One of that outcome, of which nothing else is known yet.
    pub(in crate::passes) fn new(node: impl Into<String>, op: impl Into<String>, outcome: FoldOutcome) -> Self {
        Self {
            node: node.into(),
            op: op.into(),
            layer: None,
            outcome,
            detail: None,
            folded: None,
            extension: None,
            changes: None,
        }
    }

    /// Takes note of why it cannot be folded; the error, unless such a batch norm is to be left as it is.
    pub(in crate::passes) fn record_refusal(&mut self, refusal: Refusal, skip_unmatched: bool) -> Result<()> {
        if refusal.fatal && !skip_unmatched {
            return Err(refusal.error);
        }
        self.outcome = refusal.outcome;
        self.detail = Some(refusal.error.to_string());
        Ok(())
    }

    /// Takes note of the node that took its place.
    pub(in crate::passes) fn record_folded(&mut self, folded: String) {
        self.outcome = FoldOutcome::Folded;
        self.detail = None;
        self.folded = Some(folded);
    }

    /// Whether it was to be folded and was not.
    #[must_use]
    pub fn is_left(&self) -> bool {
        !matches!(self.outcome, FoldOutcome::Folded | FoldOutcome::NotSelected)
    }

    /// Whether it was folded.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.outcome == FoldOutcome::Folded
    }
}
