//! `tfquant freeze`: open, freeze, write, report.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES, HOW_MUCH, InputArgs, WHAT, WHERE};
use crate::cli::progress::Stages;
use crate::cli::targets::{Form, check_distinct, checkpoint_files};
use crate::cli::terminal;
use crate::document::to_json;
use crate::freeze::report::{FreezeReport, to_text};
use crate::freeze::{self, FreezeOptions, Frozen, checkpoint_beside, saved_model};
use crate::output::{Output, commit_all};
use crate::source::{self, Location, Source};
use crate::{Encoding, Model};

/// What is frozen, and where it goes.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant freeze saved_model/ -o frozen.pb", after_help = EXIT_CODES, override_usage = "tfquant freeze [OPTIONS] -o <PATH> <MODEL>")]
pub struct FreezeArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// Where to write the frozen graph: a file, or a new folder with --output-format saved-model; - for standard output
    #[arg(short, long, value_name = "PATH", help_heading = WHERE)]
    pub output: PathBuf,

    /// Write a GraphDef, binary or text, or a SavedModel [default: text when the output ends in .pbtxt, else binary]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub output_format: Option<FrozenFormat>,

    /// Signature to freeze [default: serving_default, or the only one]
    #[arg(long, value_name = "NAME", help_heading = WHAT)]
    pub signature: Option<String>,

    /// Checkpoint that holds the variables [default: that of the SavedModel folder]
    #[arg(long, value_name = "PREFIX", help_heading = WHAT)]
    pub checkpoint: Option<PathBuf>,

    /// Put the default in place of every PlaceholderWithDefault
    #[arg(long, help_heading = WHAT)]
    pub use_defaults: bool,

    /// Write what was done as JSON
    #[arg(long, value_name = "FILE", help_heading = HOW_MUCH)]
    pub report: Option<PathBuf>,

    /// Say nothing but errors
    #[arg(short, long, help_heading = HOW_MUCH)]
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FrozenFormat {
    /// A GraphDef in protobuf's wire format
    Binary,
    /// A GraphDef in protobuf's text format
    Text,
    /// A SavedModel folder with the signature serving_default
    SavedModel,
}

pub fn run(args: &FreezeArgs) -> Result<ExitCode> {
    let mut stages = Stages::new(!args.quiet);
    let source = source::open(&args.input.model)?;
    let format = FrozenFormat::of(args.output_format, &args.output);
    let mut output = format.open(&args.output, &source.location)?;
    let mut document = args.report.as_deref().map(Output::open_document).transpose()?;
    let also_read = checkpoint_files(args.checkpoint.as_deref(), &source.location);
    check_distinct(Some(&output), &[("--report", document.as_ref())], &source.location, &also_read)?;

    let mut frozen = freeze(args, &source, format, &mut stages)?;
    let message = frozen.model.encode()?;
    frozen.report.output.path = args.output.display().to_string();
    stages.write(message.len(), &mut output, |out| message.write(format.encoding(), out))?;
    if let Some(document) = &mut document {
        document.write_document(to_json(&frozen.report).as_bytes())?;
    }
    commit_all(document.into_iter().chain([output]).collect())?;
    if !args.quiet {
        say(&frozen.report);
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens and freezes; the report lacks where the result goes.
pub fn freeze(args: &FreezeArgs, source: &Source, format: FrozenFormat, stages: &mut Stages) -> crate::Result<Frozen> {
    // Names of inputs and outputs may be those of a signature, or of what is in functions: freezing finds them.
    let model = stages.run("read", || Model::open_source(source, &args.input.open_options_without_ends()))?;
    let options = FreezeOptions {
        signature: args.signature.clone(),
        inputs: args.input.inputs.clone(),
        outputs: args.input.outputs.clone(),
        checkpoint: args.checkpoint.clone().or_else(|| checkpoint_beside(&source.location)),
        use_defaults: args.use_defaults,
        simplify: false,
    };
    let mut frozen = stages.run("freeze", || freeze::freeze(&model, &options))?;
    if format == FrozenFormat::SavedModel {
        saved_model::enclose(&mut frozen.model, &frozen.report.inputs, &frozen.report.outputs)?;
    }
    frozen.report.input.path = model.path;
    frozen.model.kind.name().clone_into(&mut frozen.report.output.container);
    frozen.report.output.bytes = frozen.model.encode()?.len();
    Ok(frozen)
}

fn say(report: &FreezeReport) {
    terminal::say(&to_text(report));
    for warning in &report.warnings {
        terminal::warn(&warning.message);
    }
}

impl FrozenFormat {
    /// The format that was asked for, or that the path's ending tells.
    pub fn of(asked_for: Option<Self>, path: &Path) -> Self {
        let is_text = path.extension().is_some_and(|ending| ending == "pbtxt");
        asked_for.unwrap_or(if is_text { Self::Text } else { Self::Binary })
    }

    pub fn open(self, path: &Path, input: &Location) -> crate::Result<Output> {
        match self {
            Self::SavedModel => Output::open_saved_model(path, input),
            Self::Binary | Self::Text => Output::open_document(path),
        }
    }

    pub fn form(self) -> Form {
        if self == Self::SavedModel { Form::NewSavedModel } else { Form::GraphDef }
    }

    pub fn encoding(self) -> Encoding {
        if self == Self::Text { Encoding::Text } else { Encoding::Binary }
    }
}
