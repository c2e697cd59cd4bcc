//! A rewrite by one generation of rules: its passes, the nodes that gather what they made, and the report.

use super::warnings;
use crate::container::Model;
use crate::document::{SCHEMA_VERSION, Warning};
use crate::error::{ErrorKind, Result};
use crate::graph::{Graph, NodeId, TensorRef, verify};
use crate::options::{Common, Generation, RewriteOptions};
use crate::passes::decisions::{BatchNorm, Quantized};
use crate::passes::topology::fold::Folded;
use crate::passes::{constant_ranges, names, output_names, topology};
use crate::report::{ChosenRules, Names, Output, Report, Summary};
use crate::threads::both;

/// What is to be known of a model before it is rewritten, by whatever rules.
pub(super) struct Before {
    warnings: Vec<Warning>,
    /// Of no use if nothing is quantized.
    outputs: Vec<TensorRef>,
    /// The nodes as TensorFlow would import them.
    order: Vec<NodeId>,
}

impl Before {
    pub(super) fn of(model: &Model, options: &RewriteOptions) -> Self {
        let outputs = || if options.quantize.is_some() { model.outputs() } else { Vec::new() };
        let ((warnings, order), outputs) = both(|| (warnings::before(model), model.graph.import_order()), outputs);
        Self { warnings, outputs, order }
    }
}

/// Runs the passes over the model's graph. What the file has become is not told yet.
///
/// # Errors
/// Those of the passes; [`ErrorKind::Options`] if the name of a gathering op is taken. The model is then of no use.
pub(super) fn run(
    model: &mut Model,
    before: &Before,
    options: &RewriteOptions,
    generation: Generation<'_>,
) -> Result<Report> {
    let settled;
    let generation = match generation {
        Generation::Names(_) => generation,
        Generation::Topology(only) => {
            settled = only.settled_for(&model.graph);
            Generation::Topology(&settled)
        }
    };
    if let Generation::Topology(only) = generation
        && options.quantize.is_some()
        && !only.allow_training_ops
    {
        topology::training_ops::check(&model.graph)?;
    }
    let selection = options.common.selection.clone();
    let before_inputs = model.before_inputs();
    let selection = selection.without(before_inputs.iter().map(|&node| model.graph.name(node)));
    let common = &Common { selection, ..options.common.clone() };
    let mut builder = generation.builder(&mut model.graph, &mut model.collections, before.order.clone());
    if matches!(generation, Generation::Topology(only) if only.reference_only) {
        builder.stay_out_of_loops();
    }
    for name in [&options.init_op, &options.update_op].into_iter().flatten() {
        check_free(builder.graph, name)?;
    }
    let folded = match generation {
        _ if !options.fold => Folded::default(),
        Generation::Names(_) => {
            Folded { batch_norms: names::fold::fold_batch_norms(&mut builder, common)?, ..Folded::default() }
        }
        Generation::Topology(only) => topology::fold::fold_batch_norms(&mut builder, common, only)?,
    };
    let mut quantized = match &options.quantize {
        Some(quantize) => {
            let collection = generation.vars_collection(quantize);
            match generation {
                Generation::Names(only) => names::quantize::quantize(&mut builder, common, quantize, only, collection)?,
                Generation::Topology(only) => {
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
    if let Some(chosen) = options.quantize.as_ref().and_then(|quantize| quantize.constant_ranges.as_ref()) {
        constant_ranges::fill(builder.graph, &quantized.open, chosen, &folded.batch_norms)?;
    }
    let keeps_names = matches!(generation, Generation::Topology(only) if !only.reference_only);
    let outputs = quantized_outputs(builder.graph, &before.outputs, &mut quantized, keeps_names)?;
    // The report does not wait for the check, which looks at every edge.
    let graph = &model.graph;
    let report = || report_of(graph, options, generation, &variables, &initializers, folded.batch_norms, quantized);
    // As it was read, it was checked then.
    let check = || if graph.has_changes() { verify::check_acyclic(graph) } else { Ok(()) };
    let (mut report, checked) = both(report, check);
    let mut warnings = before.warnings.clone();
    if !keeps_names {
        warnings.extend(warnings::of_moved_outputs(&outputs));
    }
    report.outputs = outputs;
    checked.map_err(|error| {
        error.hint("a layer depends on a node that would have to wait for that layer's own range updates; --exclude it")
    })?;
    warnings.append(&mut report.warnings);
    report.warnings = warnings;
    Ok(report)
}

/// The outputs of the model that were quantized, under their old names and their new ones, which are the same where names
/// are to be kept.
fn quantized_outputs(
    graph: &mut Graph,
    outputs: &[TensorRef],
    quantized: &mut Quantized,
    keeps_names: bool,
) -> Result<Vec<Output>> {
    let mut told = Vec::new();
    for output in output_names::quantized_outputs(outputs, &quantized.tensors) {
        let before = graph.tensor_name(output.tensor);
        let mut after = output.quantized;
        if keeps_names {
            after = output_names::keep(graph, &output)?.into();
            quantized.tensor_was_renamed(&before, &graph.tensor_name(output.tensor), graph.name(after.node));
        }
        told.push(Output { before, after: graph.tensor_name(after) });
    }
    Ok(told)
}

/// What was done, but for the files and what there was to warn of before.
fn report_of(
    graph: &Graph,
    options: &RewriteOptions,
    generation: Generation<'_>,
    variables: &[NodeId],
    initializers: &[NodeId],
    batch_norms: Vec<BatchNorm>,
    quantized: Quantized,
) -> Report {
    let names = |nodes: &[NodeId]| Names::of(graph, nodes);
    let folded = batch_norms.iter().filter(|batch_norm| batch_norm.is_folded()).count();
    Report {
        schema_version: SCHEMA_VERSION,
        tool: concat!("tfquant ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: if options.quantize.is_some() { "rewrite" } else { "fold" }.to_owned(),
        options: options.in_force(generation),
        rules: ChosenRules { chosen: generation.name(), reason: "asked for".to_owned() },
        summary: Summary::of(&quantized.layers, &quantized.adds),
        ops_added: graph.ops_inserted().into_iter().map(|(op, count)| (op.to_owned(), count)).collect(),
        inputs_rewired: quantized.inputs_rewired + folded,
        variables: names(variables),
        initializers: names(initializers),
        init_op: options.init_op.clone(),
        update_ops: names(&quantized.updates),
        warnings: warnings::after(graph, options, variables, &batch_norms, &quantized),
        created_global_step: quantized.created_global_step,
        batch_norms,
        layers: quantized.layers,
        adds: quantized.adds,
        ..Report::default()
    }
}

fn check_free(graph: &Graph, name: &str) -> Result<()> {
    match graph.find(name) {
        None => Ok(()),
        Some(taken) => Err(graph
            .error(ErrorKind::Options, "the name for a new op is taken", taken)
            .hint("choose another name with --init-op or --update-op")),
    }
}
