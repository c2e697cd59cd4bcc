//! Which generation of rules suits a model: `--match auto`.
//!
//! The rules of names where they accept the whole graph, keep what it computes, and leave no batch norm that those of
//! topology would fold; else those of topology, which leave with its reason what they cannot take. Which rules fit is
//! found out by trying: where those of names fall short, the graph is read again, which costs less than a copy that is
//! mostly of no use.

use super::run::{Before, run};
use super::{ErrorKind, Generation, Model, Result};
use crate::graph::Graph;
use crate::options::{NamesOnly, RewriteOptions, Rules, TopologyOnly};
use crate::passes::extensions::layer_ops;
use crate::report::Report;

/// Rewrites the model by the rules that suit it best.
///
/// # Errors
/// Those of the rules that were chosen.
pub(super) fn run_by_best(model: &mut Model, options: &RewriteOptions, only: &NamesOnly) -> Result<Report> {
    let mut strict = options.clone();
    strict.common.skip_unmatched = false;
    let by_names = Generation::Names(only);
    let before = Before::of(model, options);
    let reason = match run(model, &before, &strict, by_names) {
        Ok(report) => match (change(&report), shortfall(&model.graph, &report, options)) {
            (Some(change), _) => change,
            (None, None) => return Ok(chosen(report, "they accept the whole graph".to_owned())),
            (None, Some(shortfall)) => {
                let did_something = model.has_changes();
                model.reset()?;
                match run_by_topology(model, &before, options) {
                    Ok(by_structure) if does_more(&by_structure, &report) => {
                        return Ok(chosen(by_structure, shortfall));
                    }
                    _ => model.reset()?,
                }
                let report = if did_something { run(model, &before, &strict, by_names)? } else { report };
                return Ok(chosen(report, format!("{shortfall}, and by structure no more is done")));
            }
        },
        Err(error) if matches!(error.kind(), ErrorKind::Refused | ErrorKind::Options) => format!("by names, {error}"),
        Err(error) => return Err(error),
    };
    model.reset()?;
    Ok(chosen(run_by_topology(model, &before, options)?, reason))
}

fn chosen(mut report: Report, reason: String) -> Report {
    report.rules.reason = reason;
    report
}

fn run_by_topology(model: &mut Model, before: &Before, options: &RewriteOptions) -> Result<Report> {
    let mut lenient = options.clone();
    lenient.common.skip_unmatched = true;
    run(model, before, &lenient, Generation::Topology(&TopologyOnly::default()))
}

/// A batch norm that the rules of names folded into something else, if there is one.
fn change(report: &Report) -> Option<String> {
    let changed = report.batch_norms.iter().find(|norm| norm.changes.is_some())?;
    Some(format!("by names, folding '{}' would change what the network computes", changed.node))
}

/// What the rules of names did not do, if anything.
fn shortfall(graph: &Graph, report: &Report, options: &RewriteOptions) -> Option<String> {
    let unfolded = report.batch_norms.iter().filter(|norm| norm.is_left()).count();
    if unfolded > 0 {
        return Some(format!("by names, {unfolded} batch norms stay unfolded"));
    }
    let none_is_quantized = options.quantize.is_some() && report.summary.quantized == 0;
    (none_is_quantized && layer_ops::has_layers(graph)).then(|| "by names, no layer is quantized".to_owned())
}

/// Whether a batch norm is folded that is not by the other rules, or layers are quantized where there are none.
fn does_more(report: &Report, other: &Report) -> bool {
    let is_folded =
        |report: &Report, node: &str| report.batch_norms.iter().any(|norm| norm.node == node && norm.is_folded());
    let folds_more =
        || other.batch_norms.iter().filter(|norm| norm.is_left()).any(|norm| is_folded(report, &norm.node));
    other.summary.quantized == 0 && report.summary.quantized > 0 || folds_more()
}

/// What other rules would do to a model that the rules of names refused: a promise that holds for the command with that
/// `--match` in place of its own.
#[must_use]
pub fn other_rules(model: &Model, options: &RewriteOptions) -> Option<String> {
    let quantized = |rules: Rules| {
        let mut copy = model.clone();
        let options = RewriteOptions { rules, ..options.clone() };
        super::rewrite(&mut copy, &options).map_or(0, |rewritten| rewritten.report.summary.quantized)
    };
    let flags = [("topology", Rules::Topology(TopologyOnly::default())), ("auto", Rules::Auto(NamesOnly::default()))];
    let (flag, layers) =
        flags.into_iter().map(|(flag, rules)| (flag, quantized(rules))).find(|&(_, layers)| layers > 0)?;
    Some(format!("--match {flag} would quantize {layers} layers"))
}
