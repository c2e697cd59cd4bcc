//! What calibrating did, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

pub use super::best::TriedMethod;
use super::compare::in_words;
pub use super::correct::CorrectedBias;
pub use super::look::Fed;
pub use super::measured::MeasuredTensor;
use crate::container::Model;
use crate::document::{FileSummary, Warning};
use crate::freeze::report::FreezeReport;
pub use crate::passes::integer::{ActivationRange, EqualizedPair, FoldedChain, QuantizedWeights};

/// What was calibrated, and how.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CalibrationReport {
    /// The version of this document; see [`crate::document::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program's name and version.
    pub tool: String,
    /// `calibrate`.
    pub command: String,
    /// What was read.
    pub input: FileSummary,
    /// What was written.
    pub output: FileSummary,
    /// The converter that the result is for.
    pub target: String,
    /// How weights are quantized.
    pub weights: String,
    /// How ranges were made of samples.
    pub method: String,
    /// Which methods were tried, the best first, if several were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<TriedMethod>,
    /// What freezing did before.
    pub freeze: FreezeReport,
    /// What was fed.
    pub fed: Vec<Fed>,
    /// Batch norms, and other scales, that were folded.
    pub folded: Vec<FoldedChain>,
    /// The ranges of activations, in the order of the graph.
    pub ranges: Vec<ActivationRange>,
    /// The fake quantizers of weights.
    pub quantized_weights: Vec<QuantizedWeights>,
    /// What became of each layer, if layers were to be equalized.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub equalized: Vec<EqualizedPair>,
    /// What became of each layer's bias, if biases were to be corrected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corrected_biases: Vec<CorrectedBias>,
    /// How near each tensor with a range, and each output, is to the float one, if that was to be measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<MeasuredTensor>,
    /// The same of outputs, as they are without equalizing and correcting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without_repairs: Vec<MeasuredTensor>,
    /// Layers whose weights the converter quantizes better by itself.
    pub weights_left_to_converter: Vec<String>,
    /// What to look at.
    pub warnings: Vec<Warning>,
}

impl CalibrationReport {
    /// Takes note of what was read, and what the result is.
    pub fn was_run(&mut self, read_from: &str, model: &Model, bytes: u64) {
        self.input = FileSummary { path: read_from.to_owned(), ..self.freeze.input.clone() };
        self.output = FileSummary { path: String::new(), bytes, ..FileSummary::of(model) };
    }
}

/// The report as text: what was done.
#[must_use]
pub fn to_text(report: &CalibrationReport, every_range: bool) -> String {
    let mut text = String::new();
    let norms = |into| report.folded.iter().filter(|chain| chain.into_weights == into).count();
    let _ = writeln!(
        text,
        "folded {} batch norms into weights, {} became Mul and Add\n{} activations and {} weights have ranges ({}, weights {}{})",
        norms(true),
        norms(false),
        report.ranges.len(),
        report.quantized_weights.len(),
        report.method,
        report.weights.replace('_', "-"),
        match report.weights_left_to_converter.len() {
            0 => String::new(),
            left => format!(", {left} left to the converter"),
        },
    );
    if !report.tried.is_empty() {
        let tried = report.tried.iter().map(|tried| format!("{} {:.2} dB", tried.method, tried.sqnr));
        let _ = writeln!(text, "tried {}, of activations alone", tried.collect::<Vec<_>>().join(", "));
    }
    if !report.equalized.is_empty() {
        let done = report.equalized.iter().filter(|pair| pair.next.is_some()).count();
        let _ =
            writeln!(text, "equalized {done} pairs of layers, {} layers are in none", report.equalized.len() - done);
    }
    if !report.corrected_biases.is_empty() {
        let done = report.corrected_biases.iter().filter(|bias| bias.largest.is_some()).count();
        let _ = writeln!(text, "corrected {done} biases, {} left", report.corrected_biases.len() - done);
    }
    for measured in report.measured.iter().filter(|measured| measured.is_output) {
        let before = report.without_repairs.iter().find(|before| before.tensor == measured.tensor);
        let before =
            before.map(|before| format!(", {:.2} dB without repairs", before.fidelity.sqnr)).unwrap_or_default();
        let _ = writeln!(text, "output {} {}{before}", measured.tensor, in_words(&measured.fidelity));
    }
    if every_range {
        for range in &report.ranges {
            let shared = if range.shared { " shared" } else { "" };
            let _ = writeln!(text, "range {} {} [{}, {}]{shared}", range.tensor, range.op, range.min, range.max);
        }
    }
    text
}

/// What was fed, a line an input.
#[must_use]
pub fn fed_to_text(fed: &[Fed]) -> String {
    let mut text = String::new();
    for Fed { tensor, dtype, shape, count, min, max, mean, .. } in fed {
        let samples = if *count == 1 { "sample" } else { "samples" };
        let _ = writeln!(text, "fed {tensor}: {count} {samples} of {dtype} {shape:?}, {min} to {max}, mean {mean:.4}");
    }
    text
}
