//! `tfquant summary`: open, look, tell.

use std::process::ExitCode;

use anyhow::Result;
use tfquant::inspect::{summary, to_json};

use super::open;
use crate::args::SummaryArgs;
use crate::terminal;

/// How many outputs, ops, variables and functions are told unless all are asked for.
const MOST: usize = 12;

pub fn run(args: &SummaryArgs) -> Result<ExitCode> {
    let (model, path) = open(&args.input)?;
    let summary = summary::summarize(&model, &path);
    let most = (!args.all).then_some(MOST);
    terminal::print(&if args.json { to_json(&summary) } else { summary::to_text(&summary, most) })?;
    Ok(ExitCode::SUCCESS)
}
