//! What the user should know although the rewrite went through.

use crate::container::Model;
use crate::freeze::layers;
use crate::graph::op_class::is_fake_quant;
use crate::graph::training::{self, Gradients};
use crate::graph::{Graph, NodeId};
use crate::options::RewriteOptions;
use crate::passes::decisions::{BatchNorm, Quantized};
use crate::report::{Output, Warning};

/// What can be said before anything is done.
pub(super) fn before(model: &Model) -> Vec<Warning> {
    let graph = &model.graph;
    let mut warnings = Vec::new();
    if let Some(node) = Gradients::find(graph).first(graph) {
        let message = format!(
            "the graph holds gradients already ('{}'), which bypass the quantizers: leave them out with --drop-training, or rewrite it before the training ops are added",
            graph.name(node)
        );
        warnings.push(Warning { code: "gradients_present", message });
    }
    if let Some(node) = graph.ids().find(|&node| is_fake_quant(graph.op(node))) {
        let message = format!("the graph is quantized already ('{}')", graph.name(node));
        warnings.push(Warning { code: "already_quantized", message });
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
        warnings.push(Warning { code: "layers_in_functions", message });
    }
    if !model.other_tag_sets.is_empty() {
        let message =
            format!("the SavedModel's other graphs are left as they are: {}", model.other_tag_sets.join(" | "));
        warnings.push(Warning { code: "other_graphs", message });
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
        warnings.push(Warning { code: "saver_misses_variables", message: unsaved.message(graph) });
    }
    warnings.extend(batch_norms.iter().filter_map(changed_by_fold));
    let any_quantized = quantized.layers.iter().any(|layer| layer.outcome.is_quantized());
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

/// Where a reference's rules leave the output's name to the tensor before its quantizer.
pub(super) fn of_moved_outputs(outputs: &[Output]) -> impl Iterator<Item = Warning> {
    outputs.iter().map(|Output { before, after }| Warning {
        code: "output_moved",
        message: format!("the output '{before}' is quantized by a node behind it: fetch '{after}' instead"),
    })
}
