//! One difference between two nodes, or two functions.

use serde::Serialize;

/// One difference within a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// `op`, `device`, `input 0`, `control inputs`, `attr T`.
    pub what: String,
    /// How it was; null where it was not there.
    pub before: Option<String>,
    /// How it is; null where it is not there.
    pub after: Option<String>,
}

impl Change {
    pub(super) fn new(what: &str, before: Option<String>, after: Option<String>) -> Self {
        Self { what: what.to_owned(), before, after }
    }
}
