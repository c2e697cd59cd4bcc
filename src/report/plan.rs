//! The plan of a rewrite for people and grep: a fact a line, its kind first.

use std::fmt::Write;

use super::Report;
use crate::error::Printable;
use crate::passes::decisions::{BatchNorm, InsertedFakeQuant, Layer, Outcome, Step};

/// Everything the rewrite does, or would do.
#[must_use]
pub fn to_text(report: &Report) -> String {
    let mut text = report.frozen.as_ref().map(|frozen| format!("frozen {frozen}\n")).unwrap_or_default();
    text.push_str(&rules(report));
    if let Some(dropped) = &report.dropped {
        let _ = writeln!(text, "dropped {dropped}");
    }
    for batch_norm in &report.batch_norms {
        push_batch_norm(&mut text, batch_norm);
    }
    for layer in report.layers.iter().chain(&report.adds) {
        push_layer(&mut text, layer);
        push_inserts(&mut text, layer);
    }
    for (op, count) in &report.ops_added {
        let _ = writeln!(text, "ops {count} {}", Printable(op));
    }
    if let Some(step) = &report.created_global_step {
        let _ = writeln!(text, "global_step {}", Printable(step));
    }
    for (kind, names) in [("variable", &report.variables), ("update", &report.update_ops)] {
        for name in names.iter() {
            let _ = writeln!(text, "{kind} {}", Printable(&name));
        }
    }
    text.push_str(&totals(report));
    text
}

/// The rules that were chosen, and why.
#[must_use]
pub fn rules(report: &Report) -> String {
    format!("rules {}: {}\n", report.rules.chosen, Printable(&report.rules.reason))
}

/// What was decided about a batch norm, and why.
pub fn push_batch_norm(text: &mut String, batch_norm: &BatchNorm) {
    let BatchNorm { node, op, layer, outcome, detail, folded, extension, changes } = batch_norm;
    let _ = write!(text, "batch_norm {} ({}): {}", Printable(node), Printable(op), outcome.code());
    if let Some(layer) = layer.as_ref().filter(|_| folded.is_some()) {
        let _ = write!(text, " into {}", Printable(layer));
    }
    if let Some(folded) = folded {
        let _ = write!(text, ", now {}", Printable(folded));
    }
    if let Some(extension) = extension {
        let _ = write!(text, ", extension {}", extension.code());
    }
    if let Some(detail) = detail {
        let _ = write!(text, ": {}", Printable(detail));
    }
    if let Some(changes) = changes {
        let _ = write!(text, ", changes the result: {changes}");
    }
    text.push('\n');
}

/// The numbers in one line.
#[must_use]
pub fn totals(report: &Report) -> String {
    let summary = &report.summary;
    let skipped: Vec<String> = summary.skipped.iter().map(|(code, count)| format!(", {count} {code}")).collect();
    let folded = report.batch_norms.iter().filter(|batch_norm| batch_norm.is_folded());
    let batch_norms = match report.batch_norms.len() {
        0 => String::new(),
        count => format!("{count} batch norms: {} folded; ", folded.count()),
    };
    let partly = match summary.partly {
        0 => String::new(),
        count => format!(", {count} {}", Outcome::PartlyQuantized.code()),
    };
    format!(
        "total {batch_norms}{} layers: {} quantized{partly}{}; {} fake quantizers, {} inputs rewired\n",
        summary.layers,
        summary.quantized,
        skipped.concat(),
        summary.fake_quants,
        report.inputs_rewired
    )
}

/// What was decided about a layer, and why.
pub fn push_layer(text: &mut String, layer: &Layer) {
    let (name, op, outcome) = (Printable(&layer.node), Printable(&layer.op), layer.outcome);
    let _ = match (outcome, &layer.detail) {
        (Outcome::Quantized, _) => writeln!(text, "layer {name} ({op}): quantized"),
        (Outcome::PartlyQuantized, Some(detail)) => {
            writeln!(text, "layer {name} ({op}): {}: {}", outcome.code(), Printable(detail))
        }
        _ => writeln!(text, "layer {name} ({op}): {}: {}", outcome.code(), outcome.explanation()),
    };
}

/// What the rules looked for around a layer and found, in order; and, of a layer they recognised, the pattern that this
/// amounts to.
pub fn push_steps(text: &mut String, layer: &Layer) {
    let name = Printable(&layer.node);
    let matched: Vec<&str> =
        layer.steps.iter().filter(|step| step.found.is_some()).map(|step| step.rule.code()).collect();
    if layer.outcome.is_quantized() && !matched.is_empty() {
        let _ = writeln!(text, "pattern {name}: {}", matched.join(" + "));
    }
    for Step { rule, found } in &layer.steps {
        let _ = match found {
            Some(found) => writeln!(text, "step {name}: {} found {}", rule.code(), Printable(found)),
            None => writeln!(text, "step {name}: {} found nothing", rule.code()),
        };
    }
    if let Some(extension) = layer.extension {
        let _ = writeln!(text, "extension {name}: {}", extension.code());
    }
}

/// What is inserted for a layer.
pub fn push_inserts(text: &mut String, layer: &Layer) {
    for quant in &layer.fake_quants {
        push_insert(text, layer, quant);
    }
}

fn push_insert(text: &mut String, layer: &Layer, quant: &InsertedFakeQuant) {
    let role = quant.role.explanation();
    let narrow = if quant.narrow_range { ", narrow" } else { "" };
    let _ = writeln!(
        text,
        "insert {} ({role} of {}, {} bits{narrow}) reads {}, read by {}",
        Printable(&quant.node),
        Printable(&layer.node),
        quant.bits,
        Printable(&quant.tensor),
        Printable(&quant.consumers.join(" "))
    );
}
