//! Looks at a graph without running or changing it: what it is, what a rewrite would do, what a converter would say, and
//! how two graphs differ.
//!
//! Every verb of the program that only looks has its module here, which makes a document: [`summary`], [`check`],
//! [`explain`], [`diff`]. A document is serialised for scripts and has a `to_text` for people and grep, one fact a line.
//! None of them reads the contents of big tensors.

pub mod attr_text;
pub mod check;
pub mod diff;
pub mod endpoints;
pub mod explain;
pub mod fake_quant;
pub mod summary;
pub mod tensor;

use serde::Serialize;

use crate::container::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId};
use crate::report::FileSummary;
use crate::rewrite::summarize;

/// The version of the documents' JSON form. It grows when a field changes its meaning or goes; new fields do not count.
pub const SCHEMA_VERSION: u32 = 1;

/// The name and version of the program, as the documents give it.
pub const TOOL: &str = concat!("tfquant ", env!("CARGO_PKG_VERSION"));

/// What there is to say of a file, under the path it was opened by.
#[must_use]
pub fn file_summary(model: &Model, path: &str) -> FileSummary {
    FileSummary { path: path.to_owned(), ..summarize(model) }
}

/// A document as JSON, one field a line, ending in a line break.
#[must_use]
pub fn to_json(document: &impl Serialize) -> String {
    let mut json = serde_json::to_string_pretty(document).unwrap_or_default();
    json.push('\n');
    json
}

/// The node of that name; `name:port` is taken as well.
///
/// # Errors
/// [`ErrorKind::Options`], with the node whose name comes nearest.
pub fn find_node(graph: &Graph, name: &str) -> Result<NodeId> {
    endpoints::find(graph, name).map(|tensor| tensor.node).ok_or_else(|| {
        let error = Error::new(ErrorKind::Options, format!("the graph has no node '{name}'"));
        match nearest(name, graph.ids().map(|node| graph.name(node))) {
            Some(near) => error.hint(format!("the nearest name is '{near}'")),
            None => error.hint("the graph is empty"),
        }
    })
}

/// The name that resembles `name` most.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|other| (strsim::jaro(name, other), other));
    scored.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1))).map(|(_, name)| name)
}
