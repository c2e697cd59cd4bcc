//! `tfquant check`: open, check, tell; exit 1 when there is an error.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::checkpoint::read_index;
use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES_OF_FINDING, HOW_MUCH, InputArgs, WHAT};
use crate::cli::models::open;
use crate::cli::terminal;
use crate::document::to_json;
use crate::inspect::check::{self, Check, Options, against, checkpoint};
use crate::inspect::file_summary;
use crate::source::{self, Source};

/// Which converter.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Target {
    /// TensorFlow's converter of today to LiteRT (TFLite), signed 8-bit tensors
    #[value(alias = "tflite-int8")]
    LitertInt8,
    /// The same with unsigned inputs and outputs
    LitertUint8,
    /// The converter before that, unsigned 8-bit tensors
    #[value(alias = "tflite-uint8")]
    TocoUint8,
    /// OpenVINO
    Openvino,
    /// No converter in particular
    Any,
}

/// What `tfquant check` is told.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant check model_q.pb --target litert-int8 --full-integer", after_help = EXIT_CODES_OF_FINDING)]
pub struct CheckArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// Converter that is to take the graph [default: litert-int8 if all ranges are constants, else toco-uint8]
    #[arg(long, value_enum, help_heading = WHAT)]
    pub target: Option<Target>,

    /// An op that stays in float is an error (litert)
    #[arg(long, help_heading = WHAT)]
    pub full_integer: bool,

    /// Compare the ranges of MODEL, an eval graph, with those of this training graph
    #[arg(long, value_name = "TRAIN", help_heading = WHAT)]
    pub against: Option<PathBuf>,

    /// Compare the variables with the keys of this checkpoint
    #[arg(long, value_name = "PREFIX", help_heading = WHAT)]
    pub checkpoint: Option<PathBuf>,

    /// Tell the verdict on every op, not only on those that are no integer ops (litert)
    #[arg(long, help_heading = HOW_MUCH)]
    pub ops: bool,

    /// Print JSON
    #[arg(long, help_heading = HOW_MUCH)]
    pub json: bool,
}

pub fn run(args: &CheckArgs) -> Result<ExitCode> {
    let against = args.against.as_deref().map(source::open).transpose()?;
    let result = check(args, &source::open(&args.input.model)?, against.as_ref())?;
    let text = if args.json {
        to_json(&result)
    } else {
        terminal::paint(check::to_text(&result, args.ops), terminal::line_style)
    };
    terminal::print(&text)?;
    Ok(ExitCode::from(u8::from(result.findings.errors > 0)))
}

/// Opens and checks; `against` is the training graph.
pub fn check(args: &CheckArgs, source: &Source, against: Option<&Source>) -> crate::Result<Check> {
    let model = open(source, &args.input)?;
    let target = args.target.map(|target| match target {
        Target::LitertInt8 => check::Target::LitertInt8,
        Target::LitertUint8 => check::Target::LitertUint8,
        Target::TocoUint8 => check::Target::TocoUint8,
        Target::Openvino => check::Target::Openvino,
        Target::Any => check::Target::Any,
    });
    let mut result = check::check(&model, &model.path, &Options { target, full_integer: args.full_integer });
    if let Some(train) = against {
        let train = open(train, &args.input)?;
        result = result.with(against::compare(&train.graph, &model.graph));
        result.against = Some(file_summary(&train, &train.path));
    }
    if let Some(prefix) = &args.checkpoint {
        let entries = read_index(prefix)?.entries;
        let (comparison, findings) = checkpoint::compare(&model.graph, &entries, &prefix.display().to_string());
        result = result.with(findings);
        result.checkpoint = Some(comparison);
    }
    Ok(result)
}
