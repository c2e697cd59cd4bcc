//! `tfquant convert-script`: open, write the lines that convert.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::cli::ExitCode;
use crate::cli::args::{ConverterTarget, EXIT_CODES, InputArgs, WHAT};
use crate::cli::models::open;
use crate::cli::terminal;
use crate::inspect::convert_script::{Options, convert_script};
use crate::source::{self, SAVED_MODEL_FILES};
use crate::{Error, ErrorKind, Target};

/// What `tfquant convert-script` is told.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant convert-script model_q.pb > convert.py && python convert.py", after_help = EXIT_CODES)]
pub struct ConvertScriptArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// Runtime that is to run the result
    #[arg(long, value_enum, default_value = "litert-int8", help_heading = WHAT)]
    pub target: ConverterTarget,

    /// File that the script writes [default: the model's name, with .tflite or .xml]
    #[arg(long, value_name = "PATH", help_heading = WHAT)]
    pub converted: Option<PathBuf>,
}

pub fn run(args: &ConvertScriptArgs) -> Result<ExitCode> {
    if args.input.model == Path::new("-") {
        let error = Error::new(ErrorKind::Options, "a script cannot read this model, which has no name");
        return Err(error.hint("pass the file, or the folder of the SavedModel").into());
    }
    let model = open(&source::open(&args.input.model)?, &args.input)?;
    let path = folder_of(&args.input.model);
    let target = Target::from(args.target);
    let extension = if target == Target::Openvino { "xml" } else { "tflite" };
    let converted = args.converted.clone().unwrap_or_else(|| path.with_extension(extension));
    terminal::print(&convert_script(&model, &Options { target, model: path, converted: &converted })?)?;
    Ok(ExitCode::SUCCESS)
}

/// What converters call a SavedModel: its folder.
fn folder_of(path: &Path) -> &Path {
    let is_message = path.file_name().is_some_and(|name| SAVED_MODEL_FILES.iter().any(|&message| name == message));
    match path.parent().filter(|_| is_message) {
        Some(folder) if folder == Path::new("") => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}
