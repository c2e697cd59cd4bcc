//! `tfquant check`: whether a converter will take the graph, and what looks wrong in it.
//!
//! [`litert`] says what TensorFlow's converter of today makes of each op; [`ranges`] finds every tensor that the one
//! before it would refuse for want of a range; [`lints`] finds what is suspicious although it may pass; [`against`] compares a training graph with an eval graph, and [`checkpoint`] either with what
//! was saved.

pub mod against;
pub mod checkpoint;
pub mod delay;
pub mod findings;
pub mod lints;
pub mod litert;
pub mod ranges;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use findings::MAX_LISTED;
pub use findings::{Finding, Findings};

use super::fake_quant::{State, fake_quants};
use super::file_summary;
use crate::container::Model;
use crate::document::{FileSummary, SCHEMA_VERSION, TOOL};
use crate::error::Printable;
use crate::threads::both;

/// Which converter is to take the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// TensorFlow's converter of today, signed 8-bit tensors.
    LitertInt8,
    /// The same with unsigned inputs and outputs; inside it is signed.
    LitertUint8,
    /// TensorFlow's converter before that, unsigned 8-bit tensors.
    TocoUint8,
    /// `OpenVINO`, which reads fake quantizers wherever they are.
    Openvino,
    /// None in particular.
    Any,
}

impl Target {
    /// The converter in question where none is named: that of today takes graphs whose ranges are all numbers.
    #[must_use]
    fn of(state: State) -> Self {
        if state == State::Frozen { Self::LitertInt8 } else { Self::TocoUint8 }
    }

    fn is_litert(self) -> bool {
        matches!(self, Self::LitertInt8 | Self::LitertUint8)
    }
}

/// How to check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The converter; by default the one that the graph seems to be made for.
    pub target: Option<Target>,
    /// Whether an op that stays in float is an error.
    pub full_integer: bool,
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
    /// The tensors that the walk began at, the first [`MAX_LISTED`] of them.
    pub outputs: Vec<String>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub unlisted_outputs: usize,
    /// What becomes of each op, where the converter is today's.
    #[serde(flatten)]
    pub ops: Option<litert::Verdicts>,
    /// What was found.
    #[serde(flatten)]
    pub findings: Findings,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Checks a model for a converter. `path` is what the user called it.
#[must_use]
pub fn check(model: &Model, path: &str, options: &Options) -> Check {
    let graph = &*delay::after_delays(&model.graph);
    let (outputs, (quants, state, of_graph)) = both(
        || model.outputs(),
        || {
            let quants = fake_quants(graph);
            let state = State::of(&quants);
            let of_graph = lints::of_graph(graph, &quants, state);
            (quants, state, of_graph)
        },
    );
    let in_functions = lints::body_in_functions(model);
    let sees_the_body = in_functions.is_none();
    let target = options.target.unwrap_or_else(|| Target::of(state));
    let reached = ranges::Reached::new(graph, &model.ends.inputs, &outputs);
    let wants_all_ranges = sees_the_body && matches!(target, Target::TocoUint8 | Target::Any);
    let lacking = ranges::lacking(&reached).filter(|_| wants_all_ranges);
    let mut findings = Findings::default()
        .with(of_graph)
        .with(in_functions)
        .with_each(ranges::LACKING, lacking, |tensor| ranges::finding(&reached, tensor))
        .with(lints::of_ranges(&reached, &quants, target));
    let mut ops = None;
    if target.is_litert() && sees_the_body {
        let (verdicts, found) = litert::judge(graph, &quants, [&model.ends.inputs, &outputs], options.full_integer);
        findings = findings.with(found);
        ops = Some(verdicts);
    }
    Check {
        schema_version: SCHEMA_VERSION,
        tool: TOOL.to_owned(),
        command: "check".to_owned(),
        model: file_summary(model, path),
        against: None,
        checkpoint: None,
        target,
        state,
        outputs: outputs.iter().take(MAX_LISTED).map(|&output| graph.tensor_name(output)).collect(),
        unlisted_outputs: outputs.len().saturating_sub(MAX_LISTED),
        ops,
        findings,
    }
}

impl Check {
    /// The same with more findings.
    #[must_use]
    pub fn with(self, more: Vec<Finding>) -> Self {
        Self { findings: self.findings.with(more), ..self }
    }
}

/// The findings for people and grep: one a line, how bad first, then the code, then the node.
#[must_use]
pub fn to_text(check: &Check, all_ops: bool) -> String {
    let mut text = String::new();
    let mut hints: BTreeMap<&str, &str> = BTreeMap::new();
    for Finding { severity, code, node, message, hint } in &check.findings.listed {
        let _ = writeln!(text, "{} {code} {}: {}", severity.name(), Printable(node), Printable(message));
        if let Some(hint) = hint {
            hints.entry(code).or_insert(hint);
        }
    }
    for (code, hint) in hints {
        let _ = writeln!(text, "hint {code}: {hint}");
    }
    for (code, count) in &check.findings.unlisted {
        let _ = writeln!(text, "{count} more {code}");
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
    let mut outputs: Vec<String> = check.outputs.iter().map(|output| Printable(output).to_string()).collect();
    if check.unlisted_outputs > 0 {
        outputs.push(format!("and {} more", check.unlisted_outputs));
    }
    if !outputs.is_empty() {
        let _ = writeln!(text, "outputs: {}", outputs.join(" "));
    }
    if let Some(ops) = check.ops.as_ref().filter(|ops| !ops.verdicts.is_empty()) {
        for op in ops.ops.iter().filter(|_| all_ops) {
            let why = if op.codes.is_empty() { String::new() } else { format!(" ({})", op.codes.join(", ")) };
            let verdict = op.verdict.name();
            let _ =
                writeln!(text, "op {} ({}, {}): {verdict}{why}", Printable(&op.node), Printable(&op.op), op.becomes);
        }
        let counts: Vec<String> = ops.verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        let _ = writeln!(text, "ops: {}", counts.join(", "));
    }
    let _ = writeln!(text, "state: {}", check.state.describe());
    let _ = writeln!(text, "result: {} errors, {} warnings", check.findings.errors, check.findings.warnings);
    text
}
