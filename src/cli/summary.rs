//! `tfquant summary`: open, look, tell.

use anyhow::Result;
use clap::Args;

use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES, HOW_MUCH, InputArgs};
use crate::cli::models::open;
use crate::cli::terminal;
use crate::document::to_json;
use crate::inspect::summary;

/// What `tfquant summary` is told.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant summary saved_model/", after_help = EXIT_CODES)]
pub struct SummaryArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// Tell every output, op, variable and function, however many there are
    #[arg(long, help_heading = HOW_MUCH)]
    pub all: bool,

    /// Print JSON
    #[arg(long, help_heading = HOW_MUCH)]
    pub json: bool,
}

/// How many outputs, ops, variables and functions are told unless all are asked for.
const MOST: usize = 12;

pub fn run(args: &SummaryArgs) -> Result<ExitCode> {
    let (model, path) = open(&args.input)?;
    let summary = summary::summarize(&model, &path);
    let most = (!args.all).then_some(MOST);
    terminal::print(&if args.json { to_json(&summary) } else { summary::to_text(&summary, most) })?;
    Ok(ExitCode::SUCCESS)
}
