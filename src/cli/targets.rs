//! All that a run writes: opened before the long work, put in place together at its end.

use std::path::{Path, PathBuf};

use crate::cli::args::{OutputArgs, OutputFormat};
use crate::freeze::checkpoint_beside;
use crate::output::{Output, commit_all};
use crate::source::Location;
use crate::{Encoding, Error, ErrorKind, Result};

/// The model, and the documents about it that were asked for.
pub struct Targets {
    /// None for a dry run.
    pub model: Option<ModelTarget>,
    pub report: Option<Output>,
    pub plan: Option<Output>,
    pub html: Option<Output>,
}

pub struct ModelTarget {
    pub output: Output,
    pub encoding: Encoding,
}

/// What kind of message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The container that came in.
    AsItCame,
    /// A GraphDef, whatever came in.
    GraphDef,
    /// A SavedModel folder of its own.
    NewSavedModel,
}

impl Form {
    /// The form that these arguments ask for, of a model that is frozen first or not.
    pub fn of(args: &OutputArgs, is_frozen: bool) -> Self {
        match args.output_format {
            Some(OutputFormat::SavedModel) => Self::NewSavedModel,
            _ if is_frozen => Self::GraphDef,
            _ => Self::AsItCame,
        }
    }
}

impl Targets {
    /// Opens them all, so that one that cannot be written is known at once.
    pub fn open(
        args: &OutputArgs,
        [plan, html]: [Option<&Path>; 2],
        input: &Location,
        input_encoding: Encoding,
        form: Form,
        also_read: &[PathBuf],
    ) -> Result<Self> {
        let targets = Self {
            model: ModelTarget::open(args, input, input_encoding, form)?,
            report: args.report.as_deref().map(Output::open_document).transpose()?,
            plan: plan.map(Output::open_document).transpose()?,
            html: html.map(Output::open_document).transpose()?,
        };
        let model = targets.model.as_ref().map(|model| &model.output);
        let documents = [("--report", &targets.report), ("--plan", &targets.plan), ("--html", &targets.html)];
        let documents = documents.map(|(flag, document)| (flag, document.as_ref()));
        check_distinct(model, &documents, input, also_read)?;
        Ok(targets)
    }

    /// Makes everything appear: not before all of it is on disk, and the model last.
    pub fn commit(self) -> Result<()> {
        let model = self.model.map(|model| model.output);
        commit_all([self.report, self.plan, self.html, model].into_iter().flatten().collect())
    }
}

impl ModelTarget {
    fn open(args: &OutputArgs, input: &Location, input_encoding: Encoding, form: Form) -> Result<Option<Self>> {
        let Some(path) = args.output.as_deref().filter(|_| !args.dry_run) else { return Ok(None) };
        let in_folder = matches!(input, Location::SavedModelFolder { .. }).then_some(input_encoding);
        let encoding = args.encoding(in_folder.filter(|_| form == Form::AsItCame));
        let output = match form {
            Form::AsItCame => Output::open(path, input, encoding)?,
            Form::GraphDef => Output::open_document(path)?,
            Form::NewSavedModel => Output::open_saved_model(path, input)?,
        };
        Ok(Some(Self { output, encoding }))
    }
}

/// The files of the checkpoint that is read: the one that is named, or the one beside the model.
pub fn checkpoint_files(named: Option<&Path>, input: &Location) -> Vec<PathBuf> {
    let Some(prefix) = named.map(Path::to_owned).or_else(|| checkpoint_beside(input)) else { return Vec::new() };
    let folder = prefix.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let Some(name) = prefix.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    // Who named the index means its prefix.
    let name = name.strip_suffix(".index").unwrap_or(name);
    let is_part = |path: &PathBuf| {
        let rest = path.file_name().and_then(|file| file.to_str()?.strip_prefix(name));
        rest.is_some_and(|rest| rest == ".index" || rest.starts_with(".data-"))
    };
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(is_part).collect();
    files.sort_unstable();
    files
}

/// Checks that nothing is written where something else is, or over what was read. The model alone may replace the one that
/// it was made of.
pub fn check_distinct(
    model: Option<&Output>,
    documents: &[(&str, Option<&Output>)],
    input: &Location,
    also_read: &[PathBuf],
) -> Result<()> {
    let of_its_own = |what: String| Error::new(ErrorKind::Options, what).hint("give it a file of its own");
    let mut written: Vec<(&str, &Output)> = model.map(|model| ("--output", model)).into_iter().collect();
    for (flag, document) in documents.iter().filter_map(|&(flag, document)| Some((flag, document?))) {
        if let Some((other, _)) = written.iter().find(|(_, output)| output.replaces_same_as(document)) {
            return Err(of_its_own(format!("{other} and {flag} go to the same place")));
        }
        if input.file().is_some_and(|file| document.replaces(&file)) {
            return Err(of_its_own(format!("{flag} would replace the model that is read")));
        }
        written.push((flag, document));
    }
    for (flag, output) in written {
        if let Some(file) = also_read.iter().find(|file| output.replaces(file)) {
            return Err(of_its_own(format!("{flag} would replace '{}', which is read", file.display())));
        }
    }
    Ok(())
}
