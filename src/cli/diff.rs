//! `tfquant diff`: open both, compare, tell; exit 1 when they differ.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::Model;
use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES_OF_FINDING, HOW_MUCH, HtmlArgs, InputArgs, WHAT};
use crate::cli::models::{open, write_page};
use crate::cli::terminal;
use crate::document::to_json;
use crate::inspect::diff::{self, Diff};
use crate::page::PageData;
use crate::source::{self, Source};
use crate::threads::both;

/// What `tfquant diff` is told.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant diff model.pb model_q.pb", after_help = EXIT_CODES_OF_FINDING)]
pub struct DiffArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// The file to compare with
    #[arg(value_name = "OTHER")]
    pub other: PathBuf,

    /// Look at the nodes of this scope alone
    #[arg(long, value_name = "SCOPE", help_heading = WHAT)]
    pub scope: Option<String>,

    /// Print JSON
    #[arg(long, help_heading = HOW_MUCH)]
    pub json: bool,

    #[command(flatten)]
    pub html: HtmlArgs,
}

pub fn run(args: &DiffArgs) -> Result<ExitCode> {
    let (a, b, diff) = compare(args, &source::open(&args.input.model)?, &source::open(&args.other)?)?;
    if let Some(path) = &args.html.html {
        write_page(path, &PageData::of_diff(&a.graph, &b.graph, &diff))?;
    }
    let text = || terminal::paint(diff::to_text(&diff), terminal::line_style);
    terminal::print(&if args.json { to_json(&diff) } else { text() })?;
    Ok(ExitCode::from(u8::from(!diff.is_empty())))
}

/// Opens both and compares them.
pub fn compare(args: &DiffArgs, a: &Source, b: &Source) -> crate::Result<(Model, Model, Diff)> {
    let (a, b) = both(|| open(a, &args.input), || open(b, &args.input));
    let (a, b) = (a?, b?);
    let diff = diff::diff(&a, &b, [&a.path, &b.path], args.scope.as_deref())?;
    Ok((a, b, diff))
}
