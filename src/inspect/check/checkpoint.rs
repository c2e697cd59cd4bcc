//! `tfquant check --checkpoint PREFIX`: whether the checkpoint holds what the graph's variables want.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use super::Finding;
use crate::checkpoint::{Entry, OBJECT_GRAPH, OBJECT_SUFFIX};
use crate::graph::op_class::is_variable;
use crate::graph::tensor::{self, Shape};
use crate::graph::{Graph, name::leaf};

/// The variables of a graph beside the keys of a checkpoint.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Comparison {
    /// What the user called it.
    pub prefix: String,
    /// Variables whose key is there.
    pub has: Vec<String>,
    /// Variables that have no key.
    pub lacks: Vec<String>,
    /// Variables whose value seems to be there under another key.
    pub renamed: Vec<Renamed>,
    /// Keys that no variable asks for.
    pub extra: Vec<String>,
}

/// A variable and the key that seems to be its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// The variable.
    pub variable: String,
    /// The key.
    pub key: String,
}

/// Names less alike than this are not taken for the same.
const ALIKE: f64 = 0.75;

/// Compares a graph's variables with a checkpoint's keys.
#[must_use]
pub fn compare(graph: &Graph, entries: &BTreeMap<String, Entry>, prefix: &str) -> (Comparison, Vec<Finding>) {
    let mut comparison = Comparison { prefix: prefix.to_owned(), ..Comparison::default() };
    let mut findings = Vec::new();
    let mut missing: Vec<(String, Shape)> = Vec::new();
    let variables: BTreeMap<String, Shape> = graph
        .ids()
        .filter(|&node| is_variable(graph.op(node)))
        .map(|node| (graph.name(node).to_owned(), tensor::shape(graph, node.into())))
        .collect();
    for (name, shape) in &variables {
        match entries.get(name) {
            None => missing.push((name.clone(), shape.clone())),
            Some(entry) => {
                let stored = stored_shape(entry);
                if !compatible(shape, &stored) {
                    let message = format!("the variable has the shape {shape}, its value in the checkpoint {stored}");
                    findings.push(Finding::error("checkpoint_shape_differs", name, message));
                }
                comparison.has.push(name.clone());
            }
        }
    }
    let mut spare = Spare::new(entries.iter().filter(|(key, _)| !variables.contains_key(*key)));
    if entries.contains_key(OBJECT_GRAPH) {
        // Its keys are paths of Python objects, and what it holds under which the loader knows.
        let mut left = Vec::new();
        for (name, shape) in missing {
            match spare.take(&name, &shape) {
                Some(key) => comparison.renamed.push(Renamed { variable: name, key }),
                None => left.push((name, shape)),
            }
        }
        let mut by_shape = spare.by_shape();
        let mut take_any = |shape: &Shape| by_shape.get_mut(&shape.to_string())?.pop();
        missing = Vec::new();
        let mut taken = HashSet::new();
        for (name, shape) in left {
            if let Some(key) = take_any(&shape) {
                comparison.renamed.push(Renamed { variable: name, key: key.clone() });
                taken.insert(key);
            } else {
                missing.push((name, shape));
            }
        }
        spare.remove(&taken);
    }
    for (name, shape) in missing {
        if let Some(key) = spare.take(&name, &shape) {
            let message = format!("the checkpoint seems to hold the variable as '{key}'");
            findings.push(Finding::error("checkpoint_other_name", &name, message));
            comparison.renamed.push(Renamed { variable: name, key });
        } else {
            findings.push(Finding::error("checkpoint_lacks", &name, "the checkpoint holds no such variable"));
            comparison.lacks.push(name);
        }
    }
    comparison.extra = spare.rest();
    (comparison, findings)
}

fn stored_shape(entry: &Entry) -> Shape {
    Shape(Some(entry.dims.clone()))
}

fn compatible(variable: &Shape, stored: &Shape) -> bool {
    match (&variable.0, &stored.0) {
        (Some(variable), Some(stored)) => {
            variable.len() == stored.len() && variable.iter().zip(stored).all(|(a, b)| *a < 0 || a == b)
        }
        _ => true,
    }
}

/// Keys that no variable has claimed, by the last part of their names.
struct Spare<'a> {
    keys: HashMap<&'a str, Vec<(&'a str, &'a Entry)>>,
}

impl<'a> Spare<'a> {
    fn new(entries: impl Iterator<Item = (&'a String, &'a Entry)>) -> Self {
        let mut keys: HashMap<&str, Vec<(&str, &Entry)>> = HashMap::new();
        for (key, entry) in entries {
            keys.entry(leaf(plain(key))).or_default().push((key, entry));
        }
        Self { keys }
    }

    /// The key most like the name, of those that fit the shape.
    fn take(&mut self, name: &str, shape: &Shape) -> Option<String> {
        let keys = self.keys.get_mut(leaf(name))?;
        let fitting = keys.iter().enumerate().filter(|(_, (_, entry))| compatible(shape, &stored_shape(entry)));
        let scored = fitting.map(|(index, (key, _))| (strsim::jaro(name, plain(key)), index));
        let (score, index) = scored.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))?;
        (score >= ALIKE).then(|| keys.remove(index).0.to_owned())
    }

    /// The keys of variables by their shapes, the first by name last.
    fn by_shape(&self) -> HashMap<String, Vec<String>> {
        let mut all: Vec<&(&str, &Entry)> =
            self.keys.values().flatten().filter(|(key, _)| key.ends_with(OBJECT_SUFFIX)).collect();
        all.sort_by(|a, b| b.0.cmp(a.0));
        let mut by_shape: HashMap<String, Vec<String>> = HashMap::new();
        for (key, entry) in all {
            by_shape.entry(stored_shape(entry).to_string()).or_default().push((*key).to_owned());
        }
        by_shape
    }

    fn remove(&mut self, taken: &HashSet<String>) {
        self.keys.values_mut().for_each(|keys| keys.retain(|(key, _)| !taken.contains(*key)));
    }

    fn rest(self) -> Vec<String> {
        let mut rest: Vec<String> = self.keys.into_values().flatten().map(|(key, _)| key.to_owned()).collect();
        rest.sort();
        rest
    }
}

fn plain(key: &str) -> &str {
    let key = key.strip_suffix(OBJECT_SUFFIX).unwrap_or(key);
    key.strip_suffix("/ExponentialMovingAverage").unwrap_or(key)
}
