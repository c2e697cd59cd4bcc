//! `tfquant check`: whether a converter will take the graph, and what looks wrong in it.
//!
//! [`ranges`] finds every tensor that a converter would refuse for want of a range; [`lints`] finds what is suspicious
//! although it may pass; [`against`] compares a training graph with an eval graph, and [`checkpoint`] either with what
//! was saved.

pub mod against;
pub mod checkpoint;
pub mod lints;
pub mod ranges;

use std::fmt::Write;

use serde::Serialize;

use super::fake_quant::{State, fake_quants};
use super::{SCHEMA_VERSION, TOOL, file_summary};
use crate::container::Model;
use crate::error::Printable;
use crate::report::FileSummary;

/// Which converter is to take the graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// TFLite with unsigned 8-bit tensors.
    #[default]
    TfliteUint8,
    /// TFLite with signed 8-bit tensors.
    TfliteInt8,
    /// None in particular.
    Any,
}

/// How to check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The converter.
    pub target: Target,
}

/// Everything `tfquant check` says.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name and version of the program.
    pub tool: String,
    /// `check`.
    pub command: String,
    /// The file that was checked.
    pub model: FileSummary,
    /// The training graph it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<FileSummary>,
    /// The checkpoint it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<checkpoint::Comparison>,
    /// The converter in question.
    pub target: Target,
    /// How far the graph is quantized.
    pub state: State,
    /// The tensors that the walk began at.
    pub outputs: Vec<String>,
    /// How many findings are errors.
    pub errors: usize,
    /// How many findings are warnings.
    pub warnings: usize,
    /// What was found: errors first, then in graph order.
    pub findings: Vec<Finding>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A converter refuses the graph, or it cannot work.
    Error,
    /// It passes, and is probably not what was meant.
    Warning,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable code.
    pub code: &'static str,
    /// The node, variable or checkpoint key it is about.
    pub node: String,
    /// What is the matter.
    pub message: String,
}

impl Finding {
    /// An error.
    #[must_use]
    pub fn error(code: &'static str, node: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, node: node.to_owned(), message: message.into() }
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: &'static str, node: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, node, message) }
    }
}

/// Checks a model for a converter. `path` is what the user called it.
#[must_use]
pub fn check(model: &Model, path: &str, options: &Options) -> Check {
    let graph = &model.graph;
    let outputs = model.outputs();
    let quants = fake_quants(graph);
    let state = State::of(&quants);
    let mut findings = lints::of_graph(graph, &quants, state);
    let in_functions = lints::body_in_functions(model);
    let sees_the_body = in_functions.is_none();
    findings.extend(in_functions);
    let reached = ranges::Reached::new(graph, &model.ends.inputs, &outputs);
    if sees_the_body {
        findings.extend(ranges::lacking(&reached));
    }
    findings.extend(lints::of_ranges(&reached, &quants, options.target));
    Check {
        model: file_summary(model, path),
        target: options.target,
        state,
        outputs: outputs.iter().map(|&output| graph.tensor_name(output)).collect(),
        ..Check::new(findings)
    }
}

impl Check {
    /// A result that holds only findings; the rest is to be filled in.
    #[must_use]
    pub fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.severity);
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        Self {
            schema_version: SCHEMA_VERSION,
            tool: TOOL.to_owned(),
            command: "check".to_owned(),
            model: FileSummary::default(),
            against: None,
            checkpoint: None,
            target: Target::default(),
            state: State::Float,
            outputs: Vec::new(),
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            findings,
        }
    }

    /// The same with more findings.
    #[must_use]
    pub fn with(self, more: Vec<Finding>) -> Self {
        let mut findings = self.findings;
        findings.extend(more);
        let Self { errors, warnings, findings, .. } = Self::new(findings);
        Self { errors, warnings, findings, ..self }
    }
}

/// The findings for people and grep: one a line, how bad first, then the code, then the node.
#[must_use]
pub fn to_text(check: &Check) -> String {
    let mut text = String::new();
    for Finding { severity, code, node, message } in &check.findings {
        let _ = writeln!(text, "{} {code} {}: {}", severity.name(), Printable(node), Printable(message));
    }
    if let Some(checkpoint) = &check.checkpoint {
        let checkpoint::Comparison { has, lacks, renamed, extra, .. } = checkpoint;
        let _ = writeln!(
            text,
            "checkpoint: {} found, {} lacking, {} under another name, {} not in the graph",
            has.len(),
            lacks.len(),
            renamed.len(),
            extra.len()
        );
    }
    let outputs: Vec<String> = check.outputs.iter().map(|output| Printable(output).to_string()).collect();
    if !outputs.is_empty() {
        let _ = writeln!(text, "outputs: {}", outputs.join(" "));
    }
    let _ = writeln!(text, "state: {}", check.state.describe());
    let _ = writeln!(text, "result: {} errors, {} warnings", check.errors, check.warnings);
    text
}
