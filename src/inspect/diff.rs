//! `tfquant diff`: how two graphs differ, node by node.
//!
//! Nodes are the same when they have the same name. Their data inputs are compared in order, their control inputs as a
//! set, their attributes by value: a tensor is the same whichever of protobuf's ways it is stored in. `_output_shapes`,
//! which only repeats what follows from the rest, is passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::Serialize;

use super::attr_text::{attr_text, same_attr};
use super::change::Change;
use super::file_summary;
use super::functions::function_changes;
use crate::container::Model;
use crate::document::{FileSummary, SCHEMA_VERSION, TOOL};
use crate::error::{Printable, Result};
use crate::graph::name::check_scope;
use crate::graph::{Graph, Input, NodeId};

/// Everything `tfquant diff` says.
#[derive(Debug, Clone, Serialize)]
pub struct Diff {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name and version of the program.
    pub tool: String,
    /// `diff`.
    pub command: String,
    /// The first file.
    pub a: FileSummary,
    /// The second file.
    pub b: FileSummary,
    /// The scope outside of which nothing was looked at. (Neither was what lies outside of the ends that the user named.)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// How many nodes are the same.
    pub same: usize,
    /// How many were added.
    pub added: usize,
    /// How many were removed.
    pub removed: usize,
    /// How many were changed.
    pub changed: usize,
    /// Every node that differs, by name.
    pub nodes: Vec<NodeDiff>,
    /// Functions of the library and collections that differ.
    pub others: Vec<OtherDiff>,
}

/// One node that differs.
#[derive(Debug, Clone, Serialize)]
pub struct NodeDiff {
    /// Its name.
    pub node: String,
    /// Its op, in the second graph if it is there.
    pub op: String,
    /// What became of it.
    pub kind: Kind,
    /// What changed in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Only the second graph has it.
    Added,
    /// Only the first graph has it.
    Removed,
    /// Both have it, and it differs.
    Changed,
}

impl Kind {
    fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Changed => '~',
        }
    }
}

/// A function or a collection that differs.
#[derive(Debug, Clone, Serialize)]
pub struct OtherDiff {
    /// `function` or `collection`.
    pub what: &'static str,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub kind: Kind,
    /// For a collection, the values it gained and lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

impl Diff {
    /// Whether there is any difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.others.is_empty()
    }
}

/// Compares two models. With a scope, only its nodes are looked at.
///
/// # Errors
/// [`crate::error::ErrorKind::Options`] if neither graph has a node in the scope.
pub fn diff(a: &Model, b: &Model, paths: [&str; 2], scope: Option<&str>) -> Result<Diff> {
    let scope = scope.map(|scope| scope.trim_end_matches('/')).filter(|scope| !scope.is_empty());
    if let Some(scope) = scope {
        check_scope(scope, || names(&a.graph).chain(names(&b.graph)))?;
    }
    let (a_part, b_part) = (Part::new(a, scope), Part::new(b, scope));
    let mut nodes = diff_nodes(&a_part, &b_part);
    nodes.sort_by(|a, b| a.node.cmp(&b.node));
    let looked_at = b_part.nodes().count();
    let count = |kind| nodes.iter().filter(|node| node.kind == kind).count();
    let (added, removed, changed) = (count(Kind::Added), count(Kind::Removed), count(Kind::Changed));
    let others = if b_part.is_all() { diff_others(a, b) } else { Vec::new() };
    Ok(Diff {
        schema_version: SCHEMA_VERSION,
        tool: TOOL.to_owned(),
        command: "diff".to_owned(),
        a: file_summary(a, paths[0]),
        b: file_summary(b, paths[1]),
        scope: scope.map(str::to_owned),
        same: looked_at.saturating_sub(added + changed),
        added,
        removed,
        changed,
        nodes,
        others,
    })
}

fn names(graph: &Graph) -> impl Iterator<Item = &str> {
    graph.ids().map(|node| graph.name(node))
}

/// What of a graph is looked at.
struct Part<'a> {
    graph: &'a Graph,
    scope: Option<&'a str>,
    between_ends: Option<Vec<bool>>,
}

impl<'a> Part<'a> {
    fn new(model: &'a Model, scope: Option<&'a str>) -> Self {
        Self { graph: &model.graph, scope, between_ends: model.between_ends() }
    }

    fn is_all(&self) -> bool {
        self.scope.is_none() && self.between_ends.is_none()
    }

    fn has(&self, node: NodeId) -> bool {
        let rest = |scope| self.graph.name(node).strip_prefix(scope);
        self.scope.is_none_or(|scope| rest(scope).is_some_and(|rest: &str| rest.is_empty() || rest.starts_with('/')))
            && self.between_ends.as_ref().is_none_or(|between| between[node.index()])
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.graph.ids().filter(|&node| self.has(node))
    }
}

fn diff_nodes(a_part: &Part, b_part: &Part) -> Vec<NodeDiff> {
    let (a, b) = (a_part.graph, b_part.graph);
    let mut found = vec![false; a.len()];
    let mut finder = Finder::new(a);
    let mut differing = Vec::new();
    for node in b_part.nodes() {
        let Some(before) = finder.find(b.name(node)) else {
            differing.push(node_diff(b, node, Kind::Added, Vec::new()));
            continue;
        };
        found[before.index()] = true;
        let changes = changes(a, before, b, node);
        if !changes.is_empty() {
            differing.push(node_diff(b, node, Kind::Changed, changes));
        }
    }
    let gone = a_part.nodes().filter(|&node| !found[node.index()] && b.find(a.name(node)).is_none());
    differing.extend(gone.map(|node| node_diff(a, node, Kind::Removed, Vec::new())));
    differing
}

/// Finds nodes by their names, which mostly come in the graph's order.
struct Finder<'g> {
    graph: &'g Graph,
    /// The one behind the one found last.
    next: NodeId,
}

impl<'g> Finder<'g> {
    fn new(graph: &'g Graph) -> Self {
        Self { graph, next: NodeId(0) }
    }

    fn find(&mut self, name: &str) -> Option<NodeId> {
        let is_next = self.next.index() < self.graph.len() && self.graph.is_named(self.next, name);
        let found = if is_next { self.next } else { self.graph.find(name)? };
        self.next = NodeId(found.0 + 1);
        Some(found)
    }
}

fn node_diff(graph: &Graph, node: NodeId, kind: Kind, changes: Vec<Change>) -> NodeDiff {
    NodeDiff { node: graph.name(node).to_owned(), op: graph.op(node).to_owned(), kind, changes }
}

fn changes(a: &Graph, before: NodeId, b: &Graph, after: NodeId) -> Vec<Change> {
    let mut changes = Vec::new();
    if a.encoded(before).is_some_and(|encoded| b.encoded(after) == Some(encoded)) {
        return changes;
    }
    let mut compare = |what: &str, before: &str, after: &str| {
        if before != after {
            changes.push(Change::new(what, Some(before.to_owned()), Some(after.to_owned())));
        }
    };
    compare("op", a.op(before), b.op(after));
    compare("device", a.device(before), b.device(after));
    diff_inputs(a, before, b, after, &mut changes);
    diff_attrs(a, before, b, after, &mut changes);
    changes
}

/// An input as a NodeDef spells it.
#[must_use]
pub fn spell(graph: &Graph, input: Input) -> String {
    match input {
        Input::Control(node) => format!("^{}", graph.name(node)),
        Input::Data(tensor) if tensor.port == 0 => graph.name(tensor.node).to_owned(),
        Input::Data(tensor) => graph.tensor_name(tensor),
    }
}

fn diff_inputs(a: &Graph, before: NodeId, b: &Graph, after: NodeId, changes: &mut Vec<Change>) {
    fn named(graph: &Graph, input: Input) -> (&str, Option<u32>) {
        (graph.name(input.node()), input.tensor().map(|tensor| tensor.port))
    }
    if a.inputs(before).map(|input| named(a, input)).eq(b.inputs(after).map(|input| named(b, input))) {
        return;
    }
    let data = |graph: &Graph, node| -> Vec<String> {
        graph.inputs(node).filter(|input| input.tensor().is_some()).map(|input| spell(graph, input)).collect()
    };
    let control = |graph: &Graph, node| -> BTreeSet<String> {
        graph.control_inputs(node).map(|input| graph.name(input).to_owned()).collect()
    };
    let (old, new) = (data(a, before), data(b, after));
    for slot in 0..old.len().max(new.len()) {
        let (old, new) = (old.get(slot), new.get(slot));
        if old != new {
            changes.push(Change::new(&format!("input {slot}"), old.cloned(), new.cloned()));
        }
    }
    let (old, new) = (control(a, before), control(b, after));
    changes.extend(old.difference(&new).map(|name| Change::new("control input", Some(name.clone()), None)));
    changes.extend(new.difference(&old).map(|name| Change::new("control input", None, Some(name.clone()))));
}

fn attrs(graph: &Graph, node: NodeId) -> BTreeMap<&str, &[u8]> {
    graph.attr_entries(node).filter(|(key, _)| *key != "_output_shapes").collect()
}

fn diff_attrs(a: &Graph, before: NodeId, b: &Graph, after: NodeId, changes: &mut Vec<Change>) {
    if a.attr_entries(before).eq(b.attr_entries(after)) {
        return;
    }
    let (old, new) = (attrs(a, before), attrs(b, after));
    let keys: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    for key in keys {
        let (old, new) = (old.get(key), new.get(key));
        if !old.zip(new).is_some_and(|(old, new)| same_attr(old, new)) {
            let text = |value: Option<&&[u8]>| value.map(|value| attr_text(value));
            changes.push(Change::new(&format!("attr {key}"), text(old), text(new)));
        }
    }
}

fn diff_others(a: &Model, b: &Model) -> Vec<OtherDiff> {
    let functions = |model: &Model| -> BTreeMap<String, Vec<u8>> {
        model.graph.functions().map(|(name, body)| (name.to_owned(), body.to_vec())).collect()
    };
    let collections = |model: &Model| -> BTreeMap<String, Vec<String>> {
        let collections = &model.collections;
        let keys = collections.keys().into_iter().filter(|key| !a.collections.has_the_same(&b.collections, key));
        keys.map(|key| (key.to_owned(), collections.all_names(key))).collect()
    };
    let mut others = diff_maps("function", &functions(a), &functions(b), |old, new| function_changes(old, new));
    // Bytes may differ where messages do not: map entries and fields come in any order.
    others.retain(|other| other.kind != Kind::Changed || !other.changes.is_empty());
    others.extend(diff_maps("collection", &collections(a), &collections(b), |old, new| {
        let (old, new): (BTreeSet<&String>, BTreeSet<&String>) = (old.iter().collect(), new.iter().collect());
        let lost = old.difference(&new).map(|name| Change::new("value", Some((*name).clone()), None));
        let gained = new.difference(&old).map(|name| Change::new("value", None, Some((*name).clone())));
        lost.chain(gained).collect()
    }));
    others
}

fn diff_maps<T: PartialEq>(
    what: &'static str,
    a: &BTreeMap<String, T>,
    b: &BTreeMap<String, T>,
    changes: impl Fn(&T, &T) -> Vec<Change>,
) -> Vec<OtherDiff> {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let other = |name: &String| {
        let (kind, changes) = match (a.get(name), b.get(name)) {
            (Some(_), None) => (Kind::Removed, Vec::new()),
            (None, _) => (Kind::Added, Vec::new()),
            (Some(old), Some(new)) if old == new => return None,
            (Some(old), Some(new)) => (Kind::Changed, changes(old, new)),
        };
        Some(OtherDiff { what, name: name.clone(), kind, changes })
    };
    keys.into_iter().filter_map(other).collect()
}

/// The differences for people and grep: a fact a line, what became of it first, the node's name next.
#[must_use]
pub fn to_text(diff: &Diff) -> String {
    let mut text = String::new();
    for node in &diff.nodes {
        let head = format!("{} {}", node.kind.sign(), Printable(&node.node));
        if node.changes.is_empty() {
            let _ = writeln!(text, "{head} ({})", Printable(&node.op));
        }
        push_changes(&mut text, &head, &node.changes);
    }
    for other in &diff.others {
        let head = format!("{} {} {}", other.kind.sign(), other.what, Printable(&other.name));
        if other.changes.is_empty() {
            let _ = writeln!(text, "{head}");
        }
        push_changes(&mut text, &head, &other.changes);
    }
    let Diff { added, removed, changed, same, .. } = diff;
    let _ = writeln!(text, "nodes: {added} added, {removed} removed, {changed} changed, {same} the same");
    text
}

fn push_changes(text: &mut String, head: &str, changes: &[Change]) {
    for change in changes {
        let side =
            |side: &Option<String>| side.as_ref().map_or("(none)".to_owned(), |text| Printable(text).to_string());
        let _ =
            writeln!(text, "{head} {}: {} -> {}", Printable(&change.what), side(&change.before), side(&change.after));
    }
}
