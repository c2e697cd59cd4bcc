//! What a page knows: the nodes with their edges and attributes, and what was decided about them.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::Serialize;
use serde::ser::{SerializeTuple, Serializer};

use crate::document::{FileSummary, Warning};
use crate::graph::ends::ranked_ends;
use crate::graph::{Graph, Input, NodeId};
use crate::inspect::attr_text::attr_text;
use crate::inspect::diff::{Diff, Kind};
use crate::inspect::fake_quant::{Range, fake_quants};
use crate::passes::decisions::{Outcome, Role, Step};
use crate::report::Report;

/// Everything that a page shows.
#[derive(Debug, Default, Serialize)]
pub struct PageData<'a> {
    /// The headline.
    pub title: String,
    pub(super) subtitle: String,
    /// Whether the page compares two graphs.
    pub(super) diff: bool,
    pub(super) facts: Vec<(String, String)>,
    pub(super) warnings: Vec<String>,
    pub(super) ops: Vec<&'a str>,
    pub(super) nodes: Vec<PageNode<'a>>,
    pub(super) outputs: Vec<usize>,
    pub(super) marks: Vec<(usize, Mark)>,
    pub(super) quants: Vec<(usize, Quant)>,
    pub(super) changes: Vec<(usize, Vec<PageChange>)>,
}

/// What changed, how it was, how it is.
pub(super) type PageChange = (String, Option<String>, Option<String>);

/// A node: name, op, status, inputs, attributes.
#[derive(Debug)]
pub(super) struct PageNode<'a> {
    name: &'a str,
    op: usize,
    pub status: Status,
    inputs: Vec<PageInput>,
    attrs: Vec<(&'a str, String)>,
}

impl Serialize for PageNode<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(5)?;
        tuple.serialize_element(self.name)?;
        tuple.serialize_element(&self.op)?;
        tuple.serialize_element(&(self.status as u8))?;
        tuple.serialize_element(&self.inputs)?;
        tuple.serialize_element(&self.attrs)?;
        tuple.end()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Same,
    Added,
    Changed,
    Removed,
}

/// The index of a node, with a port unless that is 0; control inputs count down from -1.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
enum PageInput {
    Data(usize),
    Port(usize, u32),
    Control(i64),
}

impl PageInput {
    fn new(input: Input, index: usize) -> Self {
        match input {
            Input::Data(tensor) if tensor.port > 0 => Self::Port(index, tensor.port),
            Input::Data(_) => Self::Data(index),
            Input::Control(_) => Self::Control(-i64::try_from(index).unwrap_or(i64::MAX - 1) - 1),
        }
    }
}

/// What was decided about a node.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Mark {
    /// How it is painted.
    pub kind: &'static str,
    pub code: String,
    pub why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the rules looked for, and what they found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<(&'static str, String)>,
    /// Whether it is a layer.
    pub layer: bool,
    /// How near its tensor is to the float one, in decibels, if that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqnr: Option<f64>,
}

/// What a fake quantizer does.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Quant {
    min: String,
    max: String,
    bits: i64,
    narrow: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    /// How often which values occurred, if that was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
}

/// How often which values occurred in a tensor.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Values {
    /// The lower edge of the first bin, and the upper one of the last.
    pub span: [f64; 2],
    pub counts: Vec<u64>,
    /// The range.
    pub range: [f32; 2],
    /// The part of all that lies outside of the range.
    pub clipped: f64,
}

impl<'a> PageData<'a> {
    /// A page about a rewrite: the graph as it has become.
    #[must_use]
    pub fn of_rewrite(graph: &'a Graph, report: &Report) -> Self {
        let nodes = Nodes::of(graph);
        let marks = marks(graph, report);
        let roles = report.layers.iter().chain(&report.adds).flat_map(|layer| {
            layer.fake_quants.iter().map(move |quant| (quant.node.as_str(), role(quant.role, &layer.node)))
        });
        let quants = quants(graph, &roles.collect());
        Self {
            subtitle: subtitle(report),
            facts: facts(report),
            marks,
            quants,
            ..Self::of_graph(graph, nodes, &report.input, &report.warnings)
        }
    }

    /// What there is to show of any result: the graph, where it came from, what the user should know.
    pub(super) fn of_graph(graph: &'a Graph, nodes: Nodes<'a>, input: &FileSummary, warnings: &[Warning]) -> Self {
        Self {
            title: input.path.clone(),
            warnings: warnings.iter().map(|warning| warning.message.clone()).collect(),
            outputs: ranked_ends(graph).into_iter().map(NodeId::index).collect(),
            ops: nodes.ops,
            nodes: nodes.list,
            ..Self::default()
        }
    }

    /// A page about the difference of two graphs: all nodes of the second, and those of the first that are gone.
    #[must_use]
    pub fn of_diff(a: &'a Graph, b: &'a Graph, diff: &Diff) -> Self {
        let kinds: HashMap<&str, Kind> = diff.nodes.iter().map(|node| (node.node.as_str(), node.kind)).collect();
        let gone: Vec<NodeId> = a.ids().filter(|&node| kinds.get(a.name(node)) == Some(&Kind::Removed)).collect();
        let places: HashMap<NodeId, usize> =
            gone.iter().enumerate().map(|(place, &node)| (node, b.len() + place)).collect();
        let mut nodes = Nodes::default();
        for node in b.ids() {
            let status = match kinds.get(b.name(node)) {
                Some(Kind::Added) => Status::Added,
                Some(_) => Status::Changed,
                None => Status::Same,
            };
            nodes.push(b, node, status, NodeId::index);
        }
        // What a removed node read may be gone as well, or still be there under the same name.
        let place = |node: NodeId| {
            places.get(&node).copied().or_else(|| b.find(a.name(node)).map(NodeId::index)).unwrap_or_default()
        };
        for &node in &gone {
            nodes.push(a, node, Status::Removed, place);
        }
        let changes = diff.nodes.iter().filter(|node| !node.changes.is_empty()).filter_map(|node| {
            let changes =
                node.changes.iter().map(|change| (change.what.clone(), change.before.clone(), change.after.clone()));
            Some((b.find(&node.node)?.index(), changes.collect()))
        });
        Self {
            title: format!("{} → {}", diff.a.path, diff.b.path),
            subtitle: format!("{} added, {} removed, {} changed nodes", diff.added, diff.removed, diff.changed),
            diff: true,
            facts: vec![
                ("added".to_owned(), diff.added.to_string()),
                ("removed".to_owned(), diff.removed.to_string()),
                ("changed".to_owned(), diff.changed.to_string()),
                ("the same".to_owned(), diff.same.to_string()),
            ],
            warnings: Vec::new(),
            outputs: ranked_ends(b).into_iter().map(NodeId::index).collect(),
            changes: changes.collect(),
            ops: nodes.ops,
            nodes: nodes.list,
            marks: Vec::new(),
            quants: quants(b, &BTreeMap::new()),
        }
    }
}

/// The nodes so far, with each op kept once.
#[derive(Default)]
pub(super) struct Nodes<'a> {
    pub list: Vec<PageNode<'a>>,
    pub ops: Vec<&'a str>,
    op_index: HashMap<&'a str, usize>,
}

impl<'a> Nodes<'a> {
    /// All nodes of a graph, with what has become of them.
    pub(super) fn of(graph: &'a Graph) -> Self {
        let mut nodes = Self::default();
        for node in graph.ids() {
            let status = match (graph.is_original(node), graph.is_changed(node)) {
                (false, _) => Status::Added,
                (true, true) => Status::Changed,
                (true, false) => Status::Same,
            };
            nodes.push(graph, node, status, NodeId::index);
        }
        nodes
    }

    fn push(&mut self, graph: &'a Graph, node: NodeId, status: Status, place: impl Fn(NodeId) -> usize) {
        let op = graph.op(node);
        let next = self.ops.len();
        let index = *self.op_index.entry(op).or_insert(next);
        if index == next {
            self.ops.push(op);
        }
        let attrs = graph.attr_entries(node).filter(|(key, _)| *key != "_output_shapes");
        self.list.push(PageNode {
            name: graph.name(node),
            op: index,
            status,
            inputs: graph.inputs(node).map(|input| PageInput::new(input, place(input.node()))).collect(),
            attrs: attrs.map(|(key, value)| (key, attr_text(value))).collect(),
        });
    }
}

fn describe_step(step: &Step) -> (&'static str, String) {
    (step.rule.code(), step.found.as_deref().unwrap_or("nothing").to_owned())
}

/// The decisions about layers, Adds and batch norms.
fn marks(graph: &Graph, report: &Report) -> Vec<(usize, Mark)> {
    let layers = report.layers.iter().map(|layer| (layer, true)).chain(report.adds.iter().map(|add| (add, false)));
    let layers = layers.filter_map(|(layer, is_layer)| {
        let mark = Mark {
            kind: match layer.outcome {
                Outcome::Quantized | Outcome::PartlyQuantized => "quantized",
                Outcome::FoldedTwin => "folded",
                _ => "skipped",
            },
            code: layer.outcome.code().to_owned(),
            why: layer.outcome.explanation().to_owned(),
            detail: layer.detail.clone(),
            steps: layer.steps.iter().map(describe_step).collect(),
            layer: is_layer,
            sqnr: None,
        };
        Some((graph.find(&layer.node)?.index(), mark))
    });
    // A batch norm of single ops is known by its scope, and its last op stands for it.
    let find = |name: &str| graph.find(name).or_else(|| graph.find(&format!("{name}/add_1")));
    let batch_norms = report.batch_norms.iter().filter_map(|batch_norm| {
        let is_folded = batch_norm.is_folded();
        let layer = batch_norm.layer.as_deref().unwrap_or("its layer");
        let mark = Mark {
            kind: if is_folded { "folded" } else { "skipped" },
            code: batch_norm.outcome.code().to_owned(),
            why: if is_folded { format!("folded into {layer}") } else { "a batch norm that is not folded".to_owned() },
            detail: batch_norm.detail.clone(),
            steps: Vec::new(),
            layer: false,
            sqnr: None,
        };
        Some((find(&batch_norm.node)?.index(), mark))
    });
    layers.chain(batch_norms).collect()
}

fn role(role: Role, layer: &str) -> String {
    let what = match role {
        Role::Weights => "the weights of",
        Role::Activation => "the activation of",
        Role::BypassInput => "what enters the bypass of",
        Role::Add => "the sum",
        Role::PostActivationAdd => "the sum after",
        Role::Arithmetic => "the result of",
    };
    format!("{what} {layer}")
}

pub(super) fn quants(graph: &Graph, roles: &BTreeMap<&str, String>) -> Vec<(usize, Quant)> {
    let quants = fake_quants(graph).into_iter().map(|quant| {
        let [min, max] = match &quant.range {
            Range::Constant { min, max } => [numbers(min), numbers(max)],
            Range::Computed => ["computed".to_owned(), "computed".to_owned()],
            other => {
                let names: Vec<&str> = other.variables().into_iter().map(|node| graph.name(node)).collect();
                let name = |index: usize| names.get(index).map_or("a variable", |name| name).to_owned();
                [name(0), name(1)]
            }
        };
        let role = roles.get(graph.name(quant.node)).cloned();
        (quant.node.index(), Quant { min, max, bits: quant.bits, narrow: quant.narrow_range, role, values: None })
    });
    quants.collect()
}

fn numbers(values: &[f32]) -> String {
    match values {
        [only] => only.to_string(),
        many => format!("{} channels", many.len()),
    }
}

fn subtitle(report: &Report) -> String {
    let summary = &report.summary;
    let verb = if report.dry_run { "would be" } else { "were" };
    let twins = summary.skipped.get(Outcome::FoldedTwin.code()).copied().unwrap_or_default();
    format!("{} of {} layers {verb} quantized", summary.quantized, summary.layers.saturating_sub(twins))
}

fn facts(report: &Report) -> Vec<(String, String)> {
    let summary = &report.summary;
    let mut facts = vec![
        ("layers".to_owned(), summary.layers.to_string()),
        ("quantized".to_owned(), summary.quantized.to_string()),
        ("fake quantizers".to_owned(), summary.fake_quants.to_string()),
        ("inputs rewired".to_owned(), report.inputs_rewired.to_string()),
        ("nodes".to_owned(), format!("{} → {}", report.input.nodes, report.output.nodes)),
    ];
    if !report.batch_norms.is_empty() {
        let folded = report.batch_norms.iter().filter(|it| it.is_folded()).count();
        facts.push(("batch norms folded".to_owned(), format!("{folded} of {}", report.batch_norms.len())));
    }
    if summary.partly > 0 {
        facts.push(("quantized in part".to_owned(), summary.partly.to_string()));
    }
    facts.extend(summary.skipped.iter().map(|(code, count)| (format!("left: {code}"), count.to_string())));
    facts.extend(report.options.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.replace('_', " "), text)
    }));
    facts
}
