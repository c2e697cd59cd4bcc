//! Opening the models that verbs look at, and writing pages about them.

use std::path::Path;

use anyhow::Result;

use crate::cli::args::{FreezingArgs, InputArgs};
use crate::output::write_file;
use crate::page::{self, PageData};
use crate::{Model, source};

/// Opens the model that a verb looks at; says what the user called it.
pub fn open(input: &InputArgs) -> Result<(Model, String)> {
    open_path(&input.model, input)
}

/// Opens another model in the same way.
pub fn open_path(path: &Path, input: &InputArgs) -> Result<(Model, String)> {
    let source = source::open(path)?;
    Ok((Model::open_source(&source, &input.open_options())?, path.display().to_string()))
}

/// Opens the model that passes are asked about, frozen first where they need that.
pub fn open_for_passes(input: &InputArgs, freezing: &FreezingArgs, is_training: bool) -> Result<(Model, String)> {
    let source = source::open(&input.model)?;
    let mut model = Model::open_source(&source, &input.open_options_without_ends())?;
    let freezing = freezing.on_the_way(input);
    if freezing.is_needed(&model, is_training)? {
        model = freezing.freeze(&model, &source.location)?.model;
    } else {
        model.name_ends(&input.inputs, &input.outputs)?;
    }
    Ok((model, input.model.display().to_string()))
}

/// Writes the page that `--html` asks for.
pub fn write_page(path: &Path, page: &PageData<'_>) -> Result<()> {
    Ok(write_file(path, &render(page)?)?)
}

pub fn render(page: &PageData<'_>) -> Result<Vec<u8>> {
    let mut html = Vec::new();
    page::write(page, &mut html)?;
    Ok(html)
}
