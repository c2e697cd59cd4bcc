//! The rewrite as a function: passes over a [`Model`], and the report of what they did.
//!
//! [`run`] rewrites by one generation of rules; [`choose`] finds out which, where that is left open.

mod choose;
mod fold_constants;
mod for_target;
mod ready;
mod run;
mod warnings;

use std::collections::BTreeMap;

use crate::container::{Encoded, Model};
use crate::document::FileSummary;
use crate::drop_training::drop_training;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::graph::op_class::is_variable;
use crate::interpreter::Limits;
use crate::options::{Generation, RewriteOptions, Rules};
use crate::passes::decisions::{BatchNorm, FoldOutcome, Outcome};
use crate::report::Report;
pub use choose::other_rules;
pub(crate) use fold_constants::{fold_constants, prepare, without_leftovers};
pub(crate) use ready::{LoopsDone, simplify, take_integers, widen_halves, write_loops_out};
use run::Before;
pub(crate) use warnings::{integers_taken, left_in_float};

/// A rewritten model, ready to be written, and what was done to it.
#[derive(Debug)]
pub struct Rewritten<'m> {
    /// What was done and why.
    pub report: Report,
    /// The model's message as it is now.
    pub output: Encoded<'m>,
}

/// Rewrites the model's graph for simulated quantization and says what was done. Nothing is written.
///
/// # Errors
/// Those of the passes; [`ErrorKind::Options`] if the name of a gathering op is taken; [`ErrorKind::Refused`] if a batch
/// norm stays unfolded that must not, or if the rules were left to choose and none does anything. The model is then of no
/// use.
pub fn rewrite<'m>(model: &'m mut Model, options: &RewriteOptions) -> Result<Rewritten<'m>> {
    options.check()?;
    let input = FileSummary::of(model);
    let mut dropped = None;
    if options.common.drop_training {
        let (kept, what) = drop_training(model, options.common.is_training)?;
        (*model, dropped) = (kept, Some(what));
    }
    let mut folded = 0;
    if options.fold_constants {
        let outputs = model.outputs();
        folded = fold_constants(model, &outputs, &Limits::default())?.len();
    }
    let ranges = form_of_ranges(&model.graph, options);
    let mut report = match (&options.rules, for_target::asked(options)) {
        (_, Some(asked)) => for_target::run(model, options, asked)?,
        (Rules::Auto(only), _) => choose::run_by_best(model, options, only)?,
        (Rules::Names(only), _) => run_by(model, options, Generation::Names(only))?,
        (Rules::Topology(only), _) => run_by(model, options, Generation::Topology(only))?,
    };
    if options.strict_fold {
        check_all_folded(&model.graph, &report.batch_norms)?;
    }
    if matches!(options.rules, Rules::Auto(_)) && !options.allow_nothing && folded == 0 {
        check_anything_done(&report, options)?;
    }
    report.input = input;
    report.dropped = dropped;
    report.folded_constants += folded;
    report.ranges = ranges;
    let output = model.encode()?;
    report.output = FileSummary { path: String::new(), bytes: output.len(), ..FileSummary::of(model) };
    Ok(Rewritten { report, output })
}

fn run_by(model: &mut Model, options: &RewriteOptions, generation: Generation<'_>) -> Result<Report> {
    let before = Before::of(model, options);
    run::run(model, &before, options, generation)
}

/// What there is to say of the ranges of an eval graph that has no variables of its own.
fn form_of_ranges(graph: &Graph, options: &RewriteOptions) -> Option<&'static str> {
    let quantize = options.quantize.as_ref().filter(|_| !options.common.is_training)?;
    if quantize.constant_ranges.is_some() {
        return Some("constants");
    }
    let is_frozen = !graph.ids().any(|node| is_variable(graph.op(node)));
    is_frozen.then_some(
        "variables, as no range of an activation was given: --ranges-file FILE or --default-range MIN,MAX make all of \
         them constants, 'tfquant calibrate' finds them out",
    )
}

fn check_all_folded(graph: &Graph, batch_norms: &[BatchNorm]) -> Result<()> {
    let Some(batch_norm) = batch_norms.iter().find(|norm| norm.is_left()) else { return Ok(()) };
    let what = format!(
        "{} batch norms stay unfolded, the first ({})",
        batch_norms.iter().filter(|norm| norm.is_left()).count(),
        batch_norm.outcome.code()
    );
    let error = match graph.find(&batch_norm.node) {
        Some(node) => graph.error(ErrorKind::Refused, what, node),
        None => Error::new(ErrorKind::Refused, what).in_node(&batch_norm.node, &batch_norm.op),
    };
    Err(error.hint("leave out --strict-fold to see the reason for each in the report, or --exclude their layers"))
}

/// Refuses a result in which nothing was done although there is something to do.
fn check_anything_done(report: &Report, options: &RewriteOptions) -> Result<()> {
    let mut reasons: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    let mut count = |code, explanation| reasons.entry(code).or_insert((0, explanation)).0 += 1;
    let what = if options.quantize.is_some() {
        let left =
            |outcome| !matches!(outcome, Outcome::NotSelected | Outcome::FoldedTwin | Outcome::SeparableDepthwise);
        let layers = report.layers.iter().filter(|layer| left(layer.outcome));
        layers.for_each(|layer| count(layer.outcome.code(), layer.outcome.explanation()));
        if report.summary.fake_quants > 0 {
            return Ok(());
        }
        "quantized"
    } else {
        let norms = report.batch_norms.iter().filter(|norm| norm.outcome != FoldOutcome::NotSelected);
        norms.for_each(|norm| count(norm.outcome.code(), norm.outcome.explanation()));
        if report.batch_norms.iter().any(BatchNorm::is_folded) {
            return Ok(());
        }
        "folded"
    };
    if reasons.is_empty() {
        return Ok(());
    }
    let reasons = reasons.into_iter().map(|(code, (count, explanation))| format!("{count} {code} ({explanation})"));
    let what = format!("nothing was {what}: {}", reasons.collect::<Vec<_>>().join(", "));
    Err(Error::new(ErrorKind::Refused, what)
        .hint("see the reason for each with 'tfquant explain'; go on all the same with --allow-nothing"))
}
