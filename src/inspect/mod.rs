//! Looks at a graph without running or changing it: what it is, what a rewrite would do, what a converter would say, and
//! how two graphs differ.
//!
//! Every verb of the program that only looks has its module here, which makes a document: [`summary`], [`check`],
//! [`explain`], [`diff`], [`ranges`], [`convert_script`]. A document is serialised for scripts and has a `to_text` for people and grep, one fact a line.
//! None of them reads the contents of big tensors.

pub mod attr_text;
pub mod change;
pub mod check;
pub mod convert_script;
pub mod diff;
pub mod explain;
pub mod fake_quant;
mod functions;
pub mod ranges;
pub mod summary;

use crate::container::Model;
use crate::document::FileSummary;

/// What there is to say of a file, under the path it was opened by.
#[must_use]
pub fn file_summary(model: &Model, path: &str) -> FileSummary {
    FileSummary { path: path.to_owned(), ..FileSummary::of(model) }
}
