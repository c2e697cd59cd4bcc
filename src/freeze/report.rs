//! What freezing did, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::document::{FileSummary, Warning};
use crate::error::Printable;
use crate::graph::tensor::Shape;

/// What was frozen, and into what.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FreezeReport {
    /// The version of this document; see [`crate::document::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program's name and version.
    pub tool: String,
    /// `freeze`.
    pub command: String,
    /// What was read.
    pub input: FileSummary,
    /// What was written.
    pub output: FileSummary,
    /// The signature that was frozen, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Where the frozen graph is fed.
    pub inputs: Vec<Endpoint>,
    /// Where it is read.
    pub outputs: Vec<Endpoint>,
    /// The variables that became constants.
    pub variables: Vec<FrozenVariable>,
    /// How many bytes their values take.
    pub variable_bytes: u64,
    /// How many calls, conditionals and loops were put in place.
    pub calls_inlined: usize,
    /// Functions that the graph still needs.
    pub functions_kept: Vec<String>,
    /// How many nodes of the graph itself were left out, as no output needs them.
    pub nodes_dropped: usize,
    /// What to look at.
    pub warnings: Vec<Warning>,
    /// The last nodes of dropouts that were taken out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropouts: Vec<String>,
    /// Inputs of the model that no output needs, by name or by what the signature calls them: they are in it no more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
}

/// A tensor at which the frozen graph is fed or read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Endpoint {
    /// What the signature calls it.
    pub key: String,
    /// The tensor's name in the frozen graph.
    pub tensor: String,
    /// The tensor's name in the model, where it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<String>,
    /// The element type's number.
    #[serde(skip)]
    pub data_type: i32,
    /// The element type.
    pub dtype: String,
    /// The dimensions.
    pub shape: Shape,
}

impl Endpoint {
    /// The name of the node that makes the tensor.
    #[must_use]
    pub fn node(&self) -> &str {
        self.tensor.split(':').next().unwrap_or_default()
    }
}

/// A variable that became a constant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FrozenVariable {
    /// The constant.
    pub node: String,
    /// Under which key the checkpoint has its value.
    pub key: String,
}

/// What was done, in one line.
#[must_use]
pub fn in_short(report: &FreezeReport) -> String {
    let calls = match report.calls_inlined {
        0 => String::new(),
        1 => ", 1 call put in place".to_owned(),
        calls => format!(", {calls} calls put in place"),
    };
    let (variables, bytes, nodes) = (report.variables.len(), report.variable_bytes, report.output.nodes);
    format!("{variables} variables ({bytes} bytes){calls}: {nodes} nodes")
}

/// The report as text: what was done, then a line for each input and output.
#[must_use]
pub fn to_text(report: &FreezeReport) -> String {
    let mut text = format!("froze {}\n", in_short(report));
    for (what, endpoints) in [("input", &report.inputs), ("output", &report.outputs)] {
        for endpoint in endpoints {
            let was = endpoint.was.as_ref().map(|was| format!(", was {}", Printable(was))).unwrap_or_default();
            let Endpoint { key, tensor, dtype, shape, .. } = endpoint;
            let _ = writeln!(text, "{what} {}: {} {dtype} {shape}{was}", Printable(key), Printable(tensor));
        }
    }
    if !report.functions_kept.is_empty() {
        let _ = writeln!(text, "functions kept: {}", Printable(&report.functions_kept.join(", ")));
    }
    text
}
