//! The report as a short table for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Report;
use crate::error::Printable;
use crate::passes::decisions::{BatchNorm, FoldOutcome, Layer, Outcome};

/// The outcome of layers that are neither quantized nor left.
const PARTLY: Outcome = Outcome::PartlyQuantized;

/// The summary: a fact a line, without colour.
#[must_use]
pub fn to_text(report: &Report, every_layer: bool) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<16}{value}");
    };
    if let Some(frozen) = &report.frozen {
        line("frozen", frozen.clone());
    }
    line("rules", format!("{}: {}", report.rules.chosen, Printable(&report.rules.reason)));
    if let Some(dropped) = &report.dropped {
        line("dropped", dropped.to_string());
    }
    if report.folded_constants > 0 {
        line(
            "constants",
            format!("{} batch norms and scales computed into weights and biases", report.folded_constants),
        );
    }
    if !report.batch_norms.is_empty() || report.command == "fold" {
        let folded = report.batch_norms.iter().filter(|batch_norm| batch_norm.is_folded());
        line("batch norms", format!("{} of {} folded", folded.count(), report.batch_norms.len()));
        for (outcome, count) in unfolded(report) {
            line("  unfolded", format!("{count} {}: {}", outcome.code(), outcome.explanation()));
        }
    }
    let summary = &report.summary;
    let quantized =
        format!("{} of {} quantized, {} fake quantizers", summary.quantized, summary.layers, summary.fake_quants);
    if report.command != "fold" {
        line("layers", quantized);
    }
    if summary.partly > 0 {
        line("  in part", format!("{} {}: {}", summary.partly, PARTLY.code(), PARTLY.explanation()));
    }
    for (code, count) in &summary.skipped {
        line("  skipped", format!("{count} {code}: {}", explain(code, report)));
    }
    for (code, count) in extensions(report) {
        line("  extension", format!("{count} by {code}, which TensorFlow leaves as they are (--reference-only)"));
    }
    if let Some(ranges) = report.ranges {
        line("ranges", ranges.to_owned());
    }
    if !report.ops_added.is_empty() {
        let mut kinds: Vec<(&String, &usize)> = report.ops_added.iter().collect();
        kinds.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let kinds: Vec<String> = kinds.into_iter().map(|(op, count)| format!("{count} {}", Printable(op))).collect();
        line("ops added", kinds.join(", "));
    }
    line("inputs rewired", report.inputs_rewired.to_string());
    if let Some(variables) = new_variables(report) {
        line("variables", variables);
    }
    let (input, output) = (&report.input, &report.output);
    line("nodes", format!("{} → {} ({:+})", input.nodes, output.nodes, signed(output.nodes) - signed(input.nodes)));
    line("bytes", format!("{} → {}", input.bytes, output.bytes));
    if input.functions > 0 {
        line("functions", format!("{} left as they are", input.functions));
    }
    if let Some(step) = &report.created_global_step {
        line("global step", format!("created '{}': make the training loop increment it", Printable(step)));
    }
    let seconds: Vec<String> =
        report.seconds.iter().map(|(stage, seconds)| format!("{stage} {seconds:.3} s")).collect();
    line("time", seconds.join(", "));
    if every_layer {
        for batch_norm in &report.batch_norms {
            text.push_str(&batch_norm_lines(batch_norm));
        }
        for layer in report.layers.iter().chain(&report.adds) {
            text.push_str(&layer_lines(layer));
        }
    }
    text
}

/// How many variables are new, and how they come to their values.
fn new_variables(report: &Report) -> Option<String> {
    let count = report.variables.len();
    let trains = report.options.get("mode").is_some_and(|mode| mode == "training");
    let advice = match &report.init_op {
        _ if count == 0 => return None,
        Some(name) => format!("run '{}' once", Printable(name)),
        None if !trains => "their values are in a checkpoint of the training rewrite".to_owned(),
        None if report.output.container == "GraphDef" => {
            "a GraphDef has no collections: --init-op NAME adds one op that initialises them".to_owned()
        }
        None => "leave them out where a float checkpoint is restored (--report lists them)".to_owned(),
    };
    Some(format!("{count} new: {advice}"))
}

/// How many batch norms were left, by reason code.
fn unfolded(report: &Report) -> impl Iterator<Item = (FoldOutcome, usize)> {
    let mut counts: BTreeMap<&'static str, (FoldOutcome, usize)> = BTreeMap::new();
    for outcome in report.batch_norms.iter().filter(|it| !it.is_folded()).map(|it| it.outcome) {
        counts.entry(outcome.code()).or_insert((outcome, 0)).1 += 1;
    }
    counts.into_values()
}

fn explain(code: &str, report: &Report) -> &'static str {
    report.layers.iter().find(|layer| layer.outcome.code() == code).map_or("", |layer| layer.outcome.explanation())
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn batch_norm_lines(batch_norm: &BatchNorm) -> String {
    let mut text = String::new();
    let sign = if batch_norm.is_folded() { '+' } else { '-' };
    let (node, op, code) = (Printable(&batch_norm.node), Printable(&batch_norm.op), batch_norm.outcome.code());
    let _ = writeln!(text, "{sign} {node} ({op}): {code}");
    if let Some(detail) = &batch_norm.detail {
        let _ = writeln!(text, "    {}", Printable(detail));
    }
    text
}

/// How many layers and activations were quantized by each rule past the reference.
fn extensions(report: &Report) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for layer in report.layers.iter().chain(&report.adds).filter(|layer| layer.outcome.is_quantized()) {
        if let Some(extension) = layer.extension {
            *counts.entry(extension.code()).or_default() += 1;
        }
    }
    counts
}

fn layer_lines(layer: &Layer) -> String {
    let mut text = String::new();
    let sign = match layer.outcome {
        Outcome::Quantized => '+',
        Outcome::PartlyQuantized => '~',
        _ => '-',
    };
    let rule = layer.extension.map(|extension| format!(" by the extension {}", extension.code())).unwrap_or_default();
    let code = layer.outcome.code();
    let _ = writeln!(text, "{sign} {} ({}): {code}{rule}", Printable(&layer.node), Printable(&layer.op));
    if let Some(detail) = &layer.detail {
        let _ = writeln!(text, "    {}", Printable(detail));
    }
    for quant in &layer.fake_quants {
        let (node, tensor) = (Printable(&quant.node), Printable(&quant.tensor));
        let _ = writeln!(text, "    {node} reads {tensor}, read by {}", Printable(&quant.consumers.join(", ")));
    }
    text
}
