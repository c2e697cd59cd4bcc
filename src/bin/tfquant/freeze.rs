//! `tfquant freeze`: open, freeze, write, report.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use tfquant::freeze::report::{FreezeReport, to_text};
use tfquant::freeze::{FreezeOptions, checkpoint_beside, freeze, saved_model};
use tfquant::inspect::to_json;
use tfquant::output::{Output, commit_all};
use tfquant::{Encoding, Error, ErrorKind, Model, OpenOptions, source};

use crate::args::{EXIT_CODES, HOW_MUCH, InputArgs, WHERE};
use crate::progress::Stages;
use crate::terminal;

/// What is frozen, and where it goes.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant freeze saved_model/ -o frozen.pb", after_help = EXIT_CODES)]
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
    #[arg(long, value_name = "NAME")]
    pub signature: Option<String>,

    /// Checkpoint that holds the variables [default: that of the SavedModel folder]
    #[arg(long, value_name = "PREFIX")]
    pub checkpoint: Option<PathBuf>,

    /// Put the default in place of every PlaceholderWithDefault
    #[arg(long)]
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
    let mut output = args.open_output()?;
    let mut document = args.report.as_deref().map(Output::open_document).transpose()?;
    check_distinct(&output, document.as_ref(), &source)?;

    // Names of inputs and outputs may be those of a signature, or of what is in functions: freezing finds them.
    let open = OpenOptions { inputs: Vec::new(), outputs: Vec::new(), ..args.input.open_options() };
    let model = stages.run("read", || Model::open_source(&source, &open))?;
    let options = FreezeOptions {
        signature: args.signature.clone(),
        inputs: args.input.inputs.clone(),
        outputs: args.input.outputs.clone(),
        checkpoint: args.checkpoint.clone().or_else(|| checkpoint_beside(&source.location)),
        use_defaults: args.use_defaults,
    };
    let mut frozen = stages.run("freeze", || freeze(&model, &options))?;
    if args.format() == FrozenFormat::SavedModel {
        saved_model::enclose(&mut frozen.model, &frozen.report.inputs, &frozen.report.outputs)?;
    }
    let message = frozen.model.encode()?;
    frozen.report.input.path = args.input.model.display().to_string();
    frozen.report.output.path = args.output.display().to_string();
    frozen.model.kind.name().clone_into(&mut frozen.report.output.container);
    frozen.report.output.bytes = message.len();
    let encoding = if args.format() == FrozenFormat::Text { Encoding::Text } else { Encoding::Binary };
    stages.write(message.len(), &mut output, |out| message.write(encoding, out))?;
    if let Some(document) = &mut document {
        document.write_document(to_json(&frozen.report).as_bytes())?;
    }
    commit_all(document.into_iter().chain([output]).collect())?;
    if !args.quiet {
        say(&frozen.report);
    }
    Ok(ExitCode::SUCCESS)
}

fn say(report: &FreezeReport) {
    terminal::say(&to_text(report));
    for warning in &report.warnings {
        terminal::warn(&warning.message);
    }
}

impl FreezeArgs {
    fn format(&self) -> FrozenFormat {
        let is_text = self.output.extension().is_some_and(|ending| ending == "pbtxt");
        self.output_format.unwrap_or(if is_text { FrozenFormat::Text } else { FrozenFormat::Binary })
    }

    fn open_output(&self) -> Result<Output> {
        Ok(match self.format() {
            FrozenFormat::SavedModel => Output::open_saved_model(&self.output)?,
            FrozenFormat::Binary | FrozenFormat::Text => Output::open_document(&self.output)?,
        })
    }
}

fn check_distinct(output: &Output, report: Option<&Output>, source: &source::Source) -> Result<()> {
    let Some(report) = report else { return Ok(()) };
    if output.replaces_same_as(report) || source.location.file().is_some_and(|file| report.replaces(&file)) {
        let error = Error::new(ErrorKind::Options, "--report would replace the model");
        return Err(error.hint("give it a file of its own").into());
    }
    Ok(())
}
