//! Opening the models that verbs look at, and writing pages about them.

use std::path::Path;

use crate::cli::args::{FreezingArgs, InputArgs};
use crate::output::write_file;
use crate::page::{self, PageData};
use crate::source::Source;
use crate::{Error, Model, Result};

/// Opens the model that a verb looks at, or compares with; its path is what the user called it.
pub fn open(source: &Source, input: &InputArgs) -> Result<Model> {
    Model::open_source(source, &input.open_options())
}

/// Opens the model that passes are asked about, frozen first where they need that.
pub fn open_for_passes(
    source: &Source,
    input: &InputArgs,
    freezing: &FreezingArgs,
    is_training: bool,
) -> Result<Model> {
    let mut model = Model::open_source(source, &input.open_options_without_ends())?;
    let freezing = freezing.on_the_way(input);
    if freezing.is_needed(&model, is_training)? {
        model = freezing.freeze(&model, &source.location)?.model;
    } else {
        model.name_ends(&input.inputs, &input.outputs)?;
    }
    Ok(model)
}

/// Writes the page that `--html` asks for.
pub fn write_page(path: &Path, page: &PageData<'_>) -> Result<()> {
    write_file(path, &render(page)?)
}

pub fn render(page: &PageData<'_>) -> Result<Vec<u8>> {
    let mut html = Vec::new();
    page::write(page, &mut html).map_err(|error| Error::io("cannot make the page", error))?;
    Ok(html)
}
