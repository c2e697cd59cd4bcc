//! What looks wrong in a graph although it may pass a converter.

use hashbrown::{HashMap, HashSet};

use super::ranges::Reached;
use super::{Finding, Target};
use crate::container::Model;
use crate::freeze::layers;
use crate::graph::op_class::{is_fake_quant, is_fused_batch_norm, is_reference_layer};
use crate::graph::training;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::inspect::fake_quant::{self, FakeQuant, Range, State};

/// What is wrong with the graph as a whole.
#[must_use]
pub fn of_graph(graph: &Graph, quants: &[FakeQuant], state: State) -> Vec<Finding> {
    let mut findings = Vec::new();
    if state == State::Training
        && let Some(quant) = quants.iter().find(|quant| matches!(quant.range, Range::Updated(_)))
    {
        let message =
            "the graph updates its ranges while it runs: converters want an eval rewrite of the inference graph";
        findings.push(Finding::error("training_rewrite", graph.name(quant.node), message));
    }
    if let Some(node) = training::Gradients::find(graph).first(graph) {
        let message = "the graph holds gradients: extract the inference graph before converting";
        findings.push(Finding::warning("gradients_present", graph.name(node), message));
    }
    findings.extend(uninitialized(graph, quants));
    findings.extend(unsaved(graph));
    findings
}

/// Range variables that nothing gives a value.
fn uninitialized(graph: &Graph, quants: &[FakeQuant]) -> Vec<Finding> {
    let is_set = |variable: NodeId| {
        graph.consumers(variable).any(|reader| {
            graph.op(reader).starts_with("Assign") && graph.data_input(reader, 0) == Some(variable.into())
        })
    };
    let mut seen = HashSet::new();
    let variables = quants.iter().flat_map(|quant| quant.range.variables());
    variables
        .filter(|&variable| seen.insert(variable) && !is_set(variable))
        .map(|variable| {
            let message = "the range variable is never given a value";
            Finding::error("uninitialized_range", graph.name(variable), message)
        })
        .collect()
}

/// Layers that are not in the graph itself: what is checked of it says nothing of them.
pub(super) fn body_in_functions(model: &Model) -> Option<Finding> {
    let layers = layers::in_functions(model);
    let first = layers.first()?;
    let message = format!(
        "{} layers are in functions, '{}' ({}) first, and are not checked: check what tfquant freeze makes of the model",
        layers.len(),
        first.node,
        first.op
    );
    Some(Finding::error("body_in_functions", &first.function, message))
}

/// Variables that the graph's Savers do not save.
fn unsaved(graph: &Graph) -> Option<Finding> {
    let unsaved = training::unsaved_variables(graph)?;
    Some(Finding::warning("saver_misses_variables", graph.name(unsaved.saver), unsaved.message(graph)))
}

/// Batch norms that normalise by the batch they see.
fn training_batch_norms(reached: &Reached<'_>) -> Option<Finding> {
    let graph = reached.graph;
    let is_batch_norm = graph.per_op(is_fused_batch_norm);
    let trains = |node: &NodeId| {
        let is_batch_norm = *is_batch_norm.of(graph, *node) && reached.contains(*node);
        is_batch_norm && graph.attr_bool(*node, "is_training") != Some(false)
    };
    let mut training = graph.ids().filter(trains);
    let first = training.next()?;
    let message =
        format!("{} batch norms normalise by the batch: export the graph for inference", training.count() + 1);
    Some(Finding::error("training_batch_norm", graph.name(first), message))
}

/// What is wrong with single ranges, and with ranges that meet.
#[must_use]
pub fn of_ranges(reached: &Reached<'_>, quants: &[FakeQuant], target: Target) -> Vec<Finding> {
    let graph = reached.graph;
    let mut findings = Vec::new();
    for quant in quants.iter().filter(|quant| reached.contains(quant.node)) {
        let name = graph.name(quant.node);
        if let Range::Constant { min, max } = &quant.range {
            let found = of_range(reached, quant, min, max);
            findings.extend(found.filter(|finding| !(target.is_litert() && finding.code == "empty_range")));
        }
        if target == Target::TocoUint8 && quant.bits != 8 {
            let message = format!("{} bits: TFLite's 8-bit kernels use all 8 whatever the graph says", quant.bits);
            findings.push(Finding::warning("bits_ignored", name, message));
        }
    }
    findings.extend(training_batch_norms(reached));
    // The converter of today finds ranges of weights by itself, one a channel where it can.
    if !target.is_litert() {
        findings.extend(of_weights(reached));
    }
    let is_concat = graph.per_op(|op| matches!(op, "Concat" | "ConcatV2"));
    let concats = graph.ids().filter(|&node| *is_concat.of(graph, node) && reached.contains(node));
    let by_node: HashMap<NodeId, &FakeQuant> = quants.iter().map(|quant| (quant.node, quant)).collect();
    findings.extend(concats.filter_map(|concat| of_concat(reached, concat, &by_node)));
    findings
}

fn of_range(reached: &Reached<'_>, quant: &FakeQuant, min: &[f32], max: &[f32]) -> Option<Finding> {
    let graph = reached.graph;
    let name = graph.name(quant.node);
    let ends = || min.iter().zip(max);
    let find = |is: fn(f32, f32) -> bool| ends().find(|&(&min, &max)| is(min, max));
    if let Some((min, max)) = find(|min, max| !min.is_finite() || !max.is_finite()) {
        return Some(Finding::error("range_not_finite", name, format!("the range is [{min}, {max}]")));
    }
    if let Some((min, max)) = find(|min, max| min > max) {
        return Some(Finding::error("min_above_max", name, format!("the range is [{min}, {max}]")));
    }
    if let Some((min, max)) = find(|min, max| min > 0.0 || max < 0.0) {
        let message = format!("the range [{min}, {max}] does not hold zero: padding and Relu need an exact zero");
        return Some(Finding::warning("range_without_zero", name, message));
    }
    if find(|min, max| min >= max).is_some() {
        return Some(Finding::warning("empty_range", name, "min and max are the same: was it ever trained?"));
    }
    let producer = graph.op(reached.producer(quant.input).node);
    if producer == "Relu6"
        && let Some((min, max)) = find(|min, max| min < 0.0 || max > 6.0)
    {
        let message = format!("the range [{min}, {max}] is wider than the [0, 6] of the Relu6 before it");
        return Some(Finding::warning("relu6_range_wide", name, message));
    }
    let untouched = |min: f32, max: f32| min.to_bits() == (-6.0f32).to_bits() && max.to_bits() == 6.0f32.to_bits();
    if ends().any(|(&min, &max)| untouched(min, max)) {
        let message = "the range is [-6, 6], with which rewriters start: was it ever trained?";
        return Some(Finding::warning("initial_range", name, message));
    }
    None
}

/// Layers whose constant weights have no fake quantizer although the layer's input has been quantized.
fn of_weights(reached: &Reached<'_>) -> Vec<Finding> {
    let graph = reached.graph;
    let (fake_quants, reference_layers) = (graph.per_op(is_fake_quant), graph.per_op(is_reference_layer));
    let any = graph.ids().any(|node| *fake_quants.of(graph, node) && reached.contains(node));
    let is_layer = |node: &NodeId| {
        let has_folded_twin = || graph.find(&[graph.name(*node), "_Fold"].concat()).is_some();
        *reference_layers.of(graph, *node) && !has_folded_twin()
    };
    let unquantized = graph.ids().filter(|node| any && is_layer(node) && reached.contains(*node)).filter_map(|layer| {
        let weights = graph.data_input(layer, 1).filter(|weights| reached.is_constant(weights.node))?;
        let is_quantized = passes_fake_quant(graph, weights);
        (!is_quantized).then(|| {
            let message = format!(
                "the weights '{}' have no fake quantizer: their range will be that of their elements",
                graph.name(weights.node)
            );
            Finding::warning("weights_without_range", graph.name(layer), message)
        })
    });
    unquantized.collect()
}

fn passes_fake_quant(graph: &Graph, mut tensor: TensorRef) -> bool {
    for _ in 0..8 {
        if is_fake_quant(graph.op(tensor.node)) {
            return true;
        }
        match graph.data_input(tensor.node, 0) {
            Some(input) => tensor = input,
            None => break,
        }
    }
    false
}

fn of_concat(reached: &Reached<'_>, concat: NodeId, quants: &HashMap<NodeId, &FakeQuant>) -> Option<Finding> {
    let graph = reached.graph;
    let mut ranges: Vec<(f32, f32)> = Vec::new();
    for input in graph.data_inputs(concat) {
        let range = &quants.get(&reached.producer(input).node)?.range;
        match range {
            fake_quant::Range::Constant { min, max } => ranges.push((*min.first()?, *max.first()?)),
            _ => return None,
        }
        if ranges.len() + 1 == graph.data_inputs(concat).count() && graph.op(concat) == "ConcatV2" {
            break;
        }
    }
    let differ = ranges.windows(2).any(|pair| pair[0] != pair[1]);
    differ.then(|| {
        let ranges: Vec<String> = ranges.iter().map(|(min, max)| format!("[{min}, {max}]")).collect();
        let message = format!("the inputs have different ranges and will be requantized: {}", ranges.join(" "));
        Finding::warning("concat_ranges_differ", graph.name(concat), message)
    })
}
