//! What the user should know although the rewrite went through.

use crate::container::Model;
use crate::document::Warning;
use crate::freeze::layers;
use crate::graph::op_class::is_fake_quant;
use crate::graph::training::{self, Gradients};
use crate::graph::{Graph, NodeId};
use crate::options::{RewriteOptions, Rules};
use crate::passes::decisions::{BatchNorm, Quantized};
use crate::passes::integer::kernels::is_not_converted;
use crate::passes::integer::points::Points;
use crate::passes::topology::fold::GRADIENT_OP;
use crate::proto::tensorflow::DataType;
use crate::report::Output;

/// Which nodes a converter to integers will leave in float.
pub(crate) fn left_in_float(graph: &Graph, points: &Points) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(&first) = points.float.first() {
        let message = format!(
            "{} nodes have no integer kernel and stay in float, the first '{}' ({})",
            points.float.len(),
            graph.name(first),
            graph.op(first)
        );
        warnings.push(Warning::new("stays_in_float", message));
    }
    let unknown: Vec<_> = points.float.iter().filter(|&&node| is_not_converted(graph.op(node))).collect();
    if let Some(&&first) = unknown.first() {
        let message = format!(
            "the converter has no op for {} of them, the first '{}' ({}): it makes no model",
            unknown.len(),
            graph.name(first),
            graph.op(first)
        );
        warnings.push(Warning::new("not_converted", message));
    }
    if points.in_loops > 0 {
        let message =
            format!("{} tensors that decide whether while-loops go on get no range and stay in float", points.in_loops);
        warnings.push(Warning::new("in_loops", message));
    }
    warnings
}

/// Of which inputs the batch was fixed.
pub(crate) fn batch_fixed(graph: &Graph, inputs: &[NodeId]) -> Option<Warning> {
    let names: Vec<String> = inputs.iter().map(|&input| format!("'{}'", graph.name(input))).collect();
    let message = format!(
        "the model takes one sample a run now: the converter wants to know how large lists, or the zeros that a network \
         begins with, are, and they are as the batch of {} is, which is fixed at 1",
        names.join(", ")
    );
    (!names.is_empty()).then(|| Warning::new("batch_fixed", message))
}

/// Which inputs of floats take integers.
pub(crate) fn integers_taken(inputs: &[(String, DataType)]) -> Option<Warning> {
    let (first, _) = inputs.first()?;
    let count = inputs.len();
    let message = format!(
        "{count} inputs of floats that are only cast to integers take those now, '{first}' first: there is nothing to \
         quantize in them"
    );
    Some(Warning::new("integer_inputs", message))
}

/// What can be said before anything is done.
pub(super) fn before(model: &Model) -> Vec<Warning> {
    let graph = &model.graph;
    let mut warnings = Vec::new();
    if let Some(node) = Gradients::find(graph).first(graph) {
        let message = format!(
            "the graph holds gradients already ('{}'), which bypass the quantizers: leave them out with --drop-training, or rewrite it before the training ops are added",
            graph.name(node)
        );
        warnings.push(Warning::new("gradients_present", message));
    }
    if let Some(node) = graph.ids().find(|&node| is_fake_quant(graph.op(node))) {
        let message = format!("the graph is quantized already ('{}')", graph.name(node));
        warnings.push(Warning::new("already_quantized", message));
    }
    let in_functions = layers::in_functions(model);
    if let Some(first) = in_functions.first() {
        let message = format!(
            "{} layers in functions are left as they are, '{}' ({}) of '{}' first: --freeze puts functions in place (--mode eval)",
            in_functions.len(),
            first.node,
            first.op,
            first.function
        );
        warnings.push(Warning::new("layers_in_functions", message));
    }
    if !model.other_tag_sets.is_empty() {
        let message =
            format!("the SavedModel's other graphs are left as they are: {}", model.other_tag_sets.join(" | "));
        warnings.push(Warning::new("other_graphs", message));
    }
    warnings
}

/// What can be said when it is done.
pub(super) fn after(
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
        warnings.push(Warning::new("saver_misses_variables", unsaved.message(graph)));
    }
    warnings.extend(batch_norms.iter().filter_map(|norm| changed_by_fold(norm, &options.rules)));
    if options.common.is_training {
        warnings.extend(gradient_to_register(graph, batch_norms));
    }
    let any_quantized = quantized.layers.iter().any(|layer| layer.outcome.is_quantized());
    if options.quantize.is_some() && !any_quantized {
        let message = "no layer was quantized".to_owned();
        warnings.push(Warning::new("nothing_quantized", message));
    }
    warnings
}

/// A fold after which the network computes something else, as the reference's does.
fn changed_by_fold(batch_norm: &BatchNorm, rules: &Rules) -> Option<Warning> {
    let changes = batch_norm.changes?;
    let remedy = match rules {
        Rules::Topology(_) => "without --reference-only it is kept",
        Rules::Names(_) | Rules::Auto(_) => "--match auto leaves it as it is",
    };
    let message = format!(
        "folding '{}' changes what the network computes, as in TensorFlow: {changes}; {remedy}",
        batch_norm.node
    );
    Some(Warning::new("fold_changes_result", message))
}

/// What registers the gradient that folded batch norms ask for, in NHWC or NCHW.
const FOLD_GRADIENT: &str = include_str!("fold_gradient.py");

/// Batch norms whose batch statistics alone are used have a gradient of another name, which TensorFlow 2 does not know.
fn gradient_to_register(graph: &Graph, batch_norms: &[BatchNorm]) -> Option<Warning> {
    let asks = |norm: &&BatchNorm| {
        let node = graph.find(&norm.node).filter(|_| norm.is_folded());
        node.and_then(|node| graph.attr_str(node, "_gradient_op_type")).is_some_and(|name| name == GRADIENT_OP)
    };
    let first = batch_norms.iter().find(asks)?;
    let message = format!(
        "{} folded batch norms, '{}' first, ask for the gradient {GRADIENT_OP}, which TensorFlow 1.15 alone brings along: register it before minimize(), with tf as tensorflow.compat.v1",
        batch_norms.iter().filter(asks).count(),
        first.node
    );
    Some(Warning { python: Some(FOLD_GRADIENT), ..Warning::new("gradient_to_register", message) })
}

/// Where a reference's rules leave the output's name to the tensor before its quantizer.
pub(super) fn of_moved_outputs(outputs: &[Output]) -> impl Iterator<Item = Warning> {
    outputs.iter().map(|Output { before, after }| {
        let message = format!("the output '{before}' is quantized by a node behind it: fetch '{after}' instead");
        Warning::new("output_moved", message)
    })
}
