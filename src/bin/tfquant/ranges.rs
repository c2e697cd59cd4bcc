//! `tfquant ranges`: open, look, tell.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use tfquant::inspect::{ranges, to_json};

use crate::args::{EXIT_CODES, InputArgs, WHAT};
use crate::models::open;
use crate::terminal;

/// What `tfquant ranges` is told.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant ranges model_q.pb --json > ranges.json", after_help = EXIT_CODES, next_help_heading = WHAT)]
pub struct RangesArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// Checkpoint that holds ranges which are variables
    #[arg(long, value_name = "PREFIX")]
    pub checkpoint: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(args: &RangesArgs) -> Result<ExitCode> {
    let (model, path) = open(&args.input)?;
    let found = ranges::ranges(&model, &path, args.checkpoint.as_deref())?;
    terminal::print(&if args.json { to_json(&found) } else { ranges::to_text(&found) })?;
    Ok(ExitCode::SUCCESS)
}
