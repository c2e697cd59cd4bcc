//! The verbs, one a file.

pub mod check;
pub mod completions;
pub mod diff;
pub mod explain;
pub mod fold;
pub mod man;
pub mod rewrite;
pub mod summary;

use std::path::Path;

use anyhow::Result;
use tfquant::container::Model;
use tfquant::output::write_file;
use tfquant::report::html::{self, PageData};
use tfquant::source;

use crate::args::InputArgs;

/// Opens the model that a verb looks at; says what the user called it.
fn open(input: &InputArgs) -> Result<(Model, String)> {
    open_path(&input.model, input)
}

/// Opens another model in the same way.
fn open_path(path: &Path, input: &InputArgs) -> Result<(Model, String)> {
    let source = source::open(path)?;
    Ok((Model::open_source(&source, &input.open_options())?, path.display().to_string()))
}

/// Writes the page that `--html` asks for.
fn write_page(path: &Path, page: &PageData<'_>) -> Result<()> {
    Ok(write_file(path, &render(page)?)?)
}

fn render(page: &PageData<'_>) -> Result<Vec<u8>> {
    let mut html = Vec::new();
    html::write(page, &mut html)?;
    Ok(html)
}
