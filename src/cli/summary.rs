//! `tfquant summary`: open, look, tell.

use anyhow::Result;
use clap::Args;

use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES, HOW_MUCH, InputArgs};
use crate::cli::models::open;
use crate::cli::terminal;
use crate::document::to_json;
use crate::inspect::summary::{self, Summary};
use crate::source::{self, Source};

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
    let most = (!args.all).then_some(MOST);
    let tell = |summary: &Summary<'_>| if args.json { to_json(summary) } else { summary::to_text(summary, most) };
    terminal::print(&summarize(args, &source::open(&args.input.model)?, tell)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Opens and looks; `tell` makes text of what was found.
pub fn summarize(
    args: &SummaryArgs,
    source: &Source,
    tell: impl FnOnce(&Summary<'_>) -> String,
) -> crate::Result<String> {
    let model = open(source, &args.input)?;
    Ok(tell(&summary::summarize(&model, &model.path)))
}
