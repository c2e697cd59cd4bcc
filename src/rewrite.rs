//! The `rewrite` verb as a function: passes over a [`Model`], the nodes that gather what they made, and the report.

use std::panic::resume_unwind;
use std::thread;

use crate::container::{Encoded, Encoding, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::op_class::is_fake_quant;
use crate::graph::{Graph, NodeId, training, verify};
use crate::options::{Common, RewriteOptions, Rules, TopologyOnly};
use crate::passes::decisions::{BatchNorm, FoldOutcome, Outcome, Quantized};
use crate::passes::topology::fold::Folded;
use crate::passes::{names, topology};
use crate::report::{FileSummary, Report, SCHEMA_VERSION, Summary, Warning};

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
/// Those of the passes; [`ErrorKind::Options`] if the name of a gathering op is taken. The model is then of no use.
pub fn rewrite<'m>(model: &'m mut Model, options: &RewriteOptions) -> Result<Rewritten<'m>> {
    options.check()?;
    let input = summarize(model);
    let mut warnings = warnings_before(model);
    if let Rules::Topology(only) = &options.rules
        && options.quantize.is_some()
        && !only.allow_training_ops
    {
        topology::training_ops::check(&model.graph)?;
    }
    let common = &options.common;
    let mut builder = options.rules.builder(&mut model.graph, &mut model.collections);
    if matches!(&options.rules, Rules::Topology(only) if only.reference_only) {
        builder.stay_out_of_loops();
    }
    for name in [&options.init_op, &options.update_op].into_iter().flatten() {
        check_free(builder.graph, name)?;
    }
    let folded = match &options.rules {
        _ if !options.fold => Folded::default(),
        Rules::Names(_) => {
            Folded { batch_norms: names::fold::fold_batch_norms(&mut builder, common)?, ..Folded::default() }
        }
        Rules::Topology(only) => topology::fold::fold_batch_norms(&mut builder, common, only)?,
    };
    let batch_norms = &folded.batch_norms;
    if options.strict_fold {
        check_all_folded(builder.graph, batch_norms)?;
    }
    let quantized = match &options.quantize {
        Some(quantize) => {
            let collection = options.vars_collection(quantize);
            match &options.rules {
                Rules::Names(only) => names::quantize::quantize(&mut builder, common, quantize, only, collection)?,
                Rules::Topology(only) => {
                    topology::quantize::quantize(&mut builder, common, quantize, only, collection, &folded)?
                }
            }
        }
        None => Quantized::default(),
    };
    let initializers: Vec<NodeId> = builder.variables.iter().map(|variable| variable.initializer).collect();
    let variables: Vec<NodeId> = builder.variables.iter().map(|variable| variable.node).collect();
    if let Some(name) = &options.init_op {
        builder.no_op(name, &initializers)?;
    }
    if let Some(name) = &options.update_op {
        builder.no_op(name, &quantized.updates)?;
    }
    // The report does not wait for the check, which looks at every edge.
    let graph = &model.graph;
    let (checked, mut report) = thread::scope(|scope| {
        let check = thread::Builder::new().spawn_scoped(scope, || verify::check_acyclic(graph));
        let report = report_of(graph, options, &variables, &initializers, folded.batch_norms, quantized);
        let checked = match check {
            Ok(running) => running.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => verify::check_acyclic(graph),
        };
        (checked, report)
    });
    checked.map_err(|error| {
        error.hint("a layer depends on a node that would have to wait for that layer's own range updates; --exclude it")
    })?;
    let output = model.encode()?;
    report.output = FileSummary { path: String::new(), bytes: output.len(), ..summarize(model) };
    report.input = input;
    warnings.append(&mut report.warnings);
    report.warnings = warnings;
    Ok(Rewritten { report, output })
}

/// What was done, but for the files and what there was to warn of before.
fn report_of(
    graph: &Graph,
    options: &RewriteOptions,
    variables: &[NodeId],
    initializers: &[NodeId],
    batch_norms: Vec<BatchNorm>,
    quantized: Quantized,
) -> Report {
    let names = |nodes: &[NodeId]| nodes.iter().map(|&node| graph.name(node)).collect();
    let folded = batch_norms.iter().filter(|batch_norm| batch_norm.is_folded()).count();
    Report {
        schema_version: SCHEMA_VERSION,
        tool: concat!("tfquant ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: if options.quantize.is_some() { "rewrite" } else { "fold" }.to_owned(),
        options: options.in_force(),
        summary: Summary::of(&quantized.layers, &quantized.adds),
        ops_added: graph.ops_inserted().into_iter().map(|(op, count)| (op.to_owned(), count)).collect(),
        inputs_rewired: quantized.inputs_rewired + folded,
        variables: names(variables),
        initializers: names(initializers),
        update_ops: names(&quantized.updates),
        warnings: warnings_after(graph, options, variables, &batch_norms, &quantized),
        created_global_step: quantized.created_global_step,
        batch_norms,
        layers: quantized.layers,
        adds: quantized.adds,
        ..Report::default()
    }
}

fn check_all_folded(graph: &Graph, batch_norms: &[BatchNorm]) -> Result<()> {
    let left = |batch_norm: &&BatchNorm| !matches!(batch_norm.outcome, FoldOutcome::Folded | FoldOutcome::NotSelected);
    let Some(batch_norm) = batch_norms.iter().find(left) else { return Ok(()) };
    let what = format!(
        "{} batch norms stay unfolded, the first ({})",
        batch_norms.iter().filter(left).count(),
        batch_norm.outcome.code()
    );
    let error = match graph.find(&batch_norm.node) {
        Some(node) => graph.error(ErrorKind::Refused, what, node),
        None => Error::new(ErrorKind::Refused, what).in_node(&batch_norm.node, &batch_norm.op),
    };
    Err(error.hint("leave out --strict-fold to see the reason for each in the report, or --exclude their layers"))
}

fn check_free(graph: &Graph, name: &str) -> Result<()> {
    match graph.find(name) {
        None => Ok(()),
        Some(taken) => Err(graph
            .error(ErrorKind::Options, "the name for a new op is taken", taken)
            .hint("choose another name with --init-op or --update-op")),
    }
}

/// What there is to say of the model's message, as it was opened.
#[must_use]
pub fn summarize(model: &Model) -> FileSummary {
    FileSummary {
        path: model.path.clone(),
        container: model.kind.name().to_owned(),
        encoding: if model.encoding == Encoding::Text { "text" } else { "binary" }.to_owned(),
        bytes: model.bytes().len() as u64,
        nodes: model.graph.len(),
        functions: model.graph.function_count(),
    }
}

/// How many layers of the model the rules of TensorFlow 1.15 would quantize; what to tell someone whose graph the rules
/// of 1.5 refused.
#[must_use]
pub fn layers_by_topology(mut model: Model) -> usize {
    let only = TopologyOnly { allow_training_ops: true, ..TopologyOnly::default() };
    let common = Common { skip_unmatched: true, ..Common::default() };
    let options = RewriteOptions { common, rules: Rules::Topology(only), ..RewriteOptions::default() };
    rewrite(&mut model, &options).map_or(0, |rewritten| rewritten.report.summary.quantized)
}

fn warnings_before(model: &Model) -> Vec<Warning> {
    let graph = &model.graph;
    let mut warnings = Vec::new();
    if let Some(node) = training::first_gradient(graph) {
        let message = format!(
            "the graph holds gradients already ('{}'): rewrite it before the training ops are added, or they bypass the quantizers",
            graph.name(node)
        );
        warnings.push(Warning { code: "gradients_present", message });
    }
    if let Some(node) = graph.ids().find(|&node| is_fake_quant(graph.op(node))) {
        let message = format!("the graph is quantized already ('{}')", graph.name(node));
        warnings.push(Warning { code: "already_quantized", message });
    }
    if !model.other_tag_sets.is_empty() {
        let message =
            format!("the SavedModel's other graphs are left as they are: {}", model.other_tag_sets.join(" | "));
        warnings.push(Warning { code: "other_graphs", message });
    }
    warnings
}

fn warnings_after(
    graph: &Graph,
    options: &RewriteOptions,
    variables: &[NodeId],
    batch_norms: &[BatchNorm],
    quantized: &Quantized,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !variables.is_empty()
        && let Some(unsaved) = training::unsaved_variables(graph)
    {
        warnings.push(Warning { code: "saver_misses_variables", message: unsaved.message(graph) });
    }
    warnings.extend(batch_norms.iter().filter_map(changed_by_fold));
    let any_quantized = quantized.layers.iter().any(|layer| layer.outcome == Outcome::Quantized);
    if options.quantize.is_some() && !any_quantized {
        let message = "no layer was quantized".to_owned();
        warnings.push(Warning { code: "nothing_quantized", message });
    }
    warnings
}

/// A fold after which the network computes something else, as the reference's does.
fn changed_by_fold(batch_norm: &BatchNorm) -> Option<Warning> {
    let changes = batch_norm.changes?;
    let message = format!(
        "folding '{}' changes what the network computes, as in TensorFlow: {changes}; without --reference-only it is kept",
        batch_norm.node
    );
    Some(Warning { code: "fold_changes_result", message })
}
