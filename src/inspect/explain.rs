//! `tfquant explain`: what the rules say about each layer, and why.
//!
//! The passes themselves are asked: they run over the graph, told to leave alone what they would refuse, and what they
//! report is the explanation; then all they did is taken back. What is added here is the neighbourhood of a layer, which shows why a rule missed it.

use std::fmt::Write;

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use crate::container::Model;
use crate::document::{FileSummary, SCHEMA_VERSION, TOOL};
use crate::error::{Printable, Result};
use crate::graph::op_class::is_variable;
use crate::graph::training::stands_aside;
use crate::graph::{Graph, NodeId};
use crate::options::RewriteOptions;
use crate::passes::decisions::{Layer, Outcome};
use crate::report::{Report, plan};
use crate::rewrite::rewrite;

/// Everything `tfquant explain` says.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name and version of the program.
    pub tool: String,
    /// `explain`.
    pub command: String,
    /// The file.
    pub model: FileSummary,
    /// The node that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// The neighbourhood of every layer that is told about and that the rules leave alone.
    pub neighbourhoods: Vec<Neighbourhood>,
    /// What a rewrite with these options would do, in the form of its report.
    pub plan: Report,
}

/// The node that was asked about.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// Its name.
    pub node: String,
    /// Its op.
    pub op: String,
    /// The layers that have to do with it, by the names of their ops, and how.
    pub layers: Vec<Part>,
}

/// What a node is to a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The layer's op.
    pub layer: String,
    /// `layer`, `folded_twin` (that layer stands in for it), `quantized` (its output is), or `reader` (it reads what is
    /// quantized).
    pub role: &'static str,
}

/// What is around a layer's op.
#[derive(Debug, Clone, Serialize)]
pub struct Neighbourhood {
    /// The layer's op.
    pub layer: String,
    /// What it reads, and where that comes from.
    pub inputs: Vec<Neighbour>,
    /// What reads it.
    pub readers: Vec<Neighbour>,
    /// The nearest node downstream that looks like the layer's activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest_activation: Option<Neighbour>,
}

/// A node near a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Neighbour {
    /// Its name.
    pub node: String,
    /// Its op.
    pub op: String,
    /// For an input: the variable or Const it hands on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<Neighbour>>,
    /// For an activation: how many steps away it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
}

/// Runs the passes on the model; what they would refuse they leave alone and report. [`Model::reset`] takes it back.
///
/// # Errors
/// Those of the passes that are not about a single layer.
pub fn plan(model: &mut Model, options: &RewriteOptions) -> Result<Report> {
    let mut options = options.clone();
    options.strict_fold = false;
    options.common.skip_unmatched = true;
    options.allow_nothing = true;
    let mut report = rewrite(model, &options)?.report;
    report.dry_run = true;
    Ok(report)
}

/// Explains the layers of a model that was not rewritten, or what one of its nodes has to do with them, by its [`plan`].
///
/// # Errors
/// As [`plan`]; [`crate::error::ErrorKind::Options`] if the graph has no such node.
pub fn explain(model: &Model, path: &str, report: Report, node: Option<&str>) -> Result<Explanation> {
    let graph = &model.graph;
    let asked = match node {
        Some(name) => Some(asked(graph, graph.tensor_named(name)?.node, &report)),
        None => None,
    };
    let is_told = |layer: &Layer| match &asked {
        Some(asked) => asked.layers.iter().any(|part| part.layer == layer.node),
        None => is_missed(layer),
    };
    let layers = report.layers.iter().chain(&report.adds).filter(|layer| is_told(layer));
    let neighbourhoods = layers.filter_map(|layer| Some(neighbourhood(graph, graph.find(&layer.node)?))).collect();
    Ok(Explanation {
        schema_version: SCHEMA_VERSION,
        tool: TOOL.to_owned(),
        command: "explain".to_owned(),
        model: FileSummary { path: path.to_owned(), ..report.input.clone() },
        asked,
        neighbourhoods,
        plan: report,
    })
}

/// Whether the layer is left in floating point: it was not quantized, and no other layer stands in for it.
fn is_missed(layer: &Layer) -> bool {
    !matches!(layer.outcome, Outcome::Quantized | Outcome::FoldedTwin | Outcome::SeparableDepthwise)
}

fn asked(graph: &Graph, node: NodeId, report: &Report) -> Asked {
    let name = graph.name(node);
    let mut layers = Vec::new();
    for layer in report.layers.iter().chain(&report.adds) {
        let mut part = |role| layers.push(Part { layer: layer.node.clone(), role });
        if layer.node == name {
            part("layer");
        } else if layer.node.strip_suffix("_Fold") == Some(name) {
            part("folded_twin");
        }
        for quant in &layer.fake_quants {
            if quant.tensor.rsplit_once(':').is_some_and(|(node, _)| node == name) {
                part("quantized");
            }
            if quant.consumers.iter().any(|consumer| consumer == name) && layer.node != name {
                part("reader");
            }
        }
    }
    Asked { node: name.to_owned(), op: graph.op(node).to_owned(), layers }
}

fn neighbourhood(graph: &Graph, layer: NodeId) -> Neighbourhood {
    let mut seen = HashSet::new();
    let readers = graph.consumers(layer).filter(|&reader| seen.insert(reader) && !stands_aside(graph, reader));
    Neighbourhood {
        layer: graph.name(layer).to_owned(),
        inputs: graph.data_inputs(layer).map(|input| input_of(graph, input.node)).collect(),
        readers: readers.take(MAX_READERS).map(|reader| neighbour(graph, reader)).collect(),
        nearest_activation: nearest_activation(graph, layer),
    }
}

/// How many readers are told.
const MAX_READERS: usize = 8;
/// How far an input is followed back, and an activation looked for.
const MAX_STEPS: usize = 8;
/// How many nodes are looked at on the way to an activation.
const MAX_SEARCHED: usize = 64;

fn neighbour(graph: &Graph, node: NodeId) -> Neighbour {
    Neighbour { node: graph.name(node).to_owned(), op: graph.op(node).to_owned(), source: None, steps: None }
}

fn input_of(graph: &Graph, input: NodeId) -> Neighbour {
    let mut source = input;
    for _ in 0..MAX_STEPS {
        if is_variable(graph.op(source)) || graph.op(source) == "Const" {
            break;
        }
        let mut inputs = graph.data_inputs(source);
        match (inputs.next(), inputs.next()) {
            (Some(only), None) => source = only.node,
            _ => break,
        }
    }
    let is_parameter = source != input && (is_variable(graph.op(source)) || graph.op(source) == "Const");
    Neighbour { source: is_parameter.then(|| Box::new(neighbour(graph, source))), ..neighbour(graph, input) }
}

fn nearest_activation(graph: &Graph, layer: NodeId) -> Option<Neighbour> {
    let mut seen: HashSet<NodeId> = HashSet::from([layer]);
    let mut front = vec![layer];
    for steps in 1..=MAX_STEPS {
        let mut next = Vec::new();
        for reader in front.iter().flat_map(|&node| graph.consumers(node)) {
            if seen.len() > MAX_SEARCHED || stands_aside(graph, reader) || !seen.insert(reader) {
                continue;
            }
            if looks_like_activation(graph.op(reader)) {
                return Some(Neighbour { steps: Some(steps), ..neighbour(graph, reader) });
            }
            next.push(reader);
        }
        front = next;
    }
    None
}

fn looks_like_activation(op: &str) -> bool {
    matches!(
        op,
        "Relu" | "Relu6" | "LeakyRelu" | "Elu" | "Selu" | "Sigmoid" | "Tanh" | "Softmax" | "Softplus" | "Softsign"
    )
}

/// The explanation for people and grep. Of a quantized layer it is told what is inserted if `all` is asked for, or the
/// node has to do with it.
#[must_use]
pub fn to_text(explanation: &Explanation, all: bool) -> String {
    let mut text = String::new();
    let Explanation { asked, plan: report, neighbourhoods, .. } = explanation;
    let neighbourhoods: HashMap<&str, &Neighbourhood> =
        neighbourhoods.iter().rev().map(|near| (near.layer.as_str(), near)).collect();
    match asked {
        Some(asked) => push_asked(&mut text, asked),
        None => text.push_str(&plan::rules(report)),
    }
    for batch_norm in &report.batch_norms {
        let is_asked = |asked: &Asked| {
            let about = [Some(&batch_norm.node), batch_norm.layer.as_ref(), batch_norm.folded.as_ref()];
            about.into_iter().flatten().any(|name| *name == asked.node)
        };
        if asked.as_ref().is_none_or(is_asked) {
            plan::push_batch_norm(&mut text, batch_norm);
        }
    }
    for layer in report.layers.iter().chain(&report.adds) {
        let concerned = asked.as_ref().map(|asked| asked.layers.iter().any(|part| part.layer == layer.node));
        if concerned == Some(false) {
            continue;
        }
        plan::push_layer(&mut text, layer);
        let in_detail = all || concerned == Some(true);
        if in_detail || is_missed(layer) {
            plan::push_steps(&mut text, layer);
        }
        if in_detail {
            plan::push_inserts(&mut text, layer);
        }
        if let Some(detail) = layer.detail.as_ref().filter(|_| !layer.outcome.is_quantized()) {
            let _ = writeln!(text, "reason {}: {}", Printable(&layer.node), Printable(detail));
        }
        if let Some(near) = neighbourhoods.get(layer.node.as_str()).filter(|_| is_missed(layer)) {
            push_neighbourhood(&mut text, near);
        }
    }
    if asked.is_none() {
        text.push_str(&plan::totals(report));
    }
    text
}

fn push_asked(text: &mut String, asked: &Asked) {
    let (node, op) = (Printable(&asked.node), Printable(&asked.op));
    if asked.layers.is_empty() {
        let _ = writeln!(text, "node {node} ({op}): no layer's op, and left as it is");
    }
    for part in asked.layers.iter().filter(|part| part.role != "layer") {
        let role = match part.role {
            "folded_twin" => "its folded twin is",
            "quantized" => "its output is quantized for",
            _ => "it reads a tensor quantized for",
        };
        let _ = writeln!(text, "node {node} ({op}): {role} {}", Printable(&part.layer));
    }
}

fn push_neighbourhood(text: &mut String, near: &Neighbourhood) {
    let layer = Printable(&near.layer);
    let name = |near: &Neighbour| format!("{} ({})", Printable(&near.node), Printable(&near.op));
    for (slot, input) in near.inputs.iter().enumerate() {
        let source = input.source.as_ref().map(|source| format!(" from {}", name(source)));
        let _ = writeln!(text, "near {layer}: input {slot} is {}{}", name(input), source.unwrap_or_default());
    }
    for reader in &near.readers {
        let _ = writeln!(text, "near {layer}: read by {}", name(reader));
    }
    if let Some(activation) = &near.nearest_activation {
        let steps = activation.steps.unwrap_or_default();
        let _ = writeln!(text, "near {layer}: nearest activation is {}, {steps} steps on", name(activation));
    }
}
