//! `tfquant ranges`: open, look, tell.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES, InputArgs, WHAT};
use crate::cli::models::open;
use crate::cli::terminal;
use crate::document::to_json;
use crate::inspect::ranges::{self, Ranges};
use crate::source::{self, Source};

/// What `tfquant ranges` is told.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant ranges model_q.pb --json > ranges.json", after_help = EXIT_CODES, next_help_heading = WHAT)]
pub struct RangesArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// Checkpoint that holds ranges which are variables
    #[arg(long, value_name = "PREFIX")]
    pub checkpoint: Option<PathBuf>,

    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,

    /// Print JSON: --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// How ranges are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for each fake quantizer
    Table,
    /// All there is to say, for programs and --ranges-file
    Json,
    /// The same for spreadsheets, a line for each range
    Csv,
    /// The calibration results of ai-edge-quantizer: activations alone
    Aeq,
    /// The statistics that TensorFlow's converter imports (tf_tfl_translate --quant-stats), as text: activations alone
    QuantStats,
}

pub fn run(args: &RangesArgs) -> Result<ExitCode> {
    let found = look(args, &source::open(&args.input.model)?)?;
    terminal::print(&match args.format {
        _ if args.json => to_json(&found),
        Format::Table => ranges::to_text(&found),
        Format::Json => to_json(&found),
        Format::Csv => ranges::csv::to_csv(&found),
        Format::Aeq => ranges::aeq::to_aeq(&found),
        Format::QuantStats => ranges::quant_stats::to_quant_stats(&found),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Opens and looks.
pub fn look(args: &RangesArgs, source: &Source) -> crate::Result<Ranges> {
    let model = open(source, &args.input)?;
    ranges::ranges(&model, &model.path, args.checkpoint.as_deref())
}
