//! What the documents of all verbs have in common: their version, what they say of a file, a warning, their form as JSON.
//!
//! [`crate::report`], [`crate::freeze`], [`crate::calibrate`] and [`crate::inspect`] make documents of them.

use serde::Serialize;

use crate::container::{Encoding, Model};

/// The version of the documents' JSON form. It grows when a field changes its meaning or goes; new fields do not count.
pub const SCHEMA_VERSION: u32 = 1;

/// The name and version of the program, as documents give it.
pub const TOOL: &str = concat!("tfquant ", env!("CARGO_PKG_VERSION"));

/// A model's file, read or written.
#[derive(Debug, Clone, Default, Serialize)]
pub struct FileSummary {
    /// The path; `-` for a stream.
    pub path: String,
    /// `GraphDef`, `MetaGraphDef` or `SavedModel`.
    pub container: String,
    /// `binary` or `text`.
    pub encoding: String,
    /// The size of the message in its binary form.
    pub bytes: u64,
    /// How many nodes the graph has.
    pub nodes: usize,
    /// How many functions its library has; they are carried along unchanged.
    pub functions: usize,
}

impl FileSummary {
    /// What there is to say of the model's message, as it was opened.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        Self {
            path: model.path.clone(),
            container: model.kind.name().to_owned(),
            encoding: if model.encoding == Encoding::Text { "text" } else { "binary" }.to_owned(),
            bytes: model.bytes().len() as u64,
            nodes: model.graph.len(),
            functions: model.graph.function_count(),
        }
    }
}

/// Something the user should know although the rewrite went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// A stable code.
    pub code: &'static str,
    /// What is the matter, and what to do about it.
    pub message: String,
    /// Lines of Python that do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<&'static str>,
}

impl Warning {
    /// A warning in words.
    #[must_use]
    pub fn new(code: &'static str, message: String) -> Self {
        Self { code, message, python: None }
    }
}

/// A document as JSON, one field a line, ending in a line break.
#[must_use]
pub fn to_json(document: &impl Serialize) -> String {
    let mut json = serde_json::to_string_pretty(document).unwrap_or_default();
    json.push('\n');
    json
}
