//! What a rewrite did and why: every decision with a reason code, what was added, and what the user should know.
//!
//! [`Report`] is the document behind every form of output; [`text`] is the table on the terminal.

mod names;
pub mod plan;
pub mod text;

use std::collections::BTreeMap;

pub use names::Names;
use serde::Serialize;

use crate::document::{FileSummary, Warning};
pub use crate::drop_training::Dropped;
use crate::passes::decisions::{BatchNorm, Layer, Outcome};

/// Everything there is to say about one rewrite.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The version of this document; see [`crate::document::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name and version of the program.
    pub tool: String,
    /// The verb: `rewrite`.
    pub command: String,
    /// The file that was read.
    pub input: FileSummary,
    /// The file that was written, or would be.
    pub output: FileSummary,
    /// Whether nothing was written on purpose.
    pub dry_run: bool,
    /// The options in force.
    pub options: BTreeMap<String, serde_json::Value>,
    /// What was frozen on the way, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<String>,
    /// Which generation of rules was chosen, and why.
    pub rules: ChosenRules,
    /// What was left out because it only trains, saves or watches, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
    /// How many batch norms and other constant scales were folded by arithmetic, if that was asked for or a converter wants
    /// it.
    #[serde(skip_serializing_if = "is_zero")]
    pub folded_constants: usize,
    /// Whether the ranges of an eval graph without variables of its own are constants or variables, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranges: Option<&'static str>,
    /// How many layers there are, and how many of them had which outcome.
    pub summary: Summary,
    /// The decision about every batch norm, if they were to be folded.
    pub batch_norms: Vec<BatchNorm>,
    /// The decision about every layer, in graph order.
    pub layers: Vec<Layer>,
    /// The decision about every Add after convolutions; where a converter says where ranges go, about every activation.
    pub adds: Vec<Layer>,
    /// The model's outputs that were quantized.
    pub outputs: Vec<Output>,
    /// How many nodes of each op were inserted.
    pub ops_added: BTreeMap<String, usize>,
    /// How many input slots of existing nodes read something else now.
    pub inputs_rewired: usize,
    /// The global step that had to be created for the delay.
    pub created_global_step: Option<String>,
    /// The inserted variables, by name.
    pub variables: Names,
    /// The ops that initialise them, in the same order.
    pub initializers: Names,
    /// The NoOp that runs all of them, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_op: Option<String>,
    /// The ops that update the ranges.
    pub update_ops: Names,
    /// What the user should know.
    pub warnings: Vec<Warning>,
    /// How long each stage took, in seconds.
    pub seconds: BTreeMap<String, f64>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Report {
    /// Takes note of where the result went, and how long each stage took.
    pub fn was_run(&mut self, written_to: String, seconds: BTreeMap<String, f64>) {
        self.output.path = written_to;
        self.seconds = seconds;
    }
}

/// The rules that a rewrite went by.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ChosenRules {
    /// `names` or `topology`.
    #[serde(rename = "match")]
    pub chosen: &'static str,
    /// Why these.
    pub reason: String,
}

/// An output of the model that was quantized.
#[derive(Debug, Clone, Serialize)]
pub struct Output {
    /// The tensor's name in the model that came in.
    pub before: String,
    /// The name of the quantized tensor in the model that goes out.
    pub after: String,
}

/// The layers in numbers.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Layers the rules speak of.
    pub layers: usize,
    /// Layers that were quantized.
    pub quantized: usize,
    /// Layers of which some tensors were quantized and some were left.
    pub partly: usize,
    /// Layers that were not, by reason code.
    pub skipped: BTreeMap<&'static str, usize>,
    /// Fake quantizers inserted.
    pub fake_quants: usize,
}

impl Summary {
    /// Counts the outcomes of layers and Adds.
    #[must_use]
    pub fn of(layers: &[Layer], adds: &[Layer]) -> Self {
        let mut summary = Self::default();
        // A layer and its folded twin are one layer.
        for layer in layers.iter().filter(|layer| layer.outcome != Outcome::FoldedTwin) {
            summary.layers += 1;
            match layer.outcome {
                Outcome::Quantized => summary.quantized += 1,
                Outcome::PartlyQuantized => summary.partly += 1,
                outcome => *summary.skipped.entry(outcome.code()).or_default() += 1,
            }
        }
        summary.fake_quants = layers.iter().chain(adds).map(|layer| layer.fake_quants.len()).sum();
        summary
    }
}
