//! `tfquant diff`: open both, compare, tell; exit 1 when they differ.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES_OF_FINDING, HOW_MUCH, HtmlArgs, InputArgs, WHAT};
use crate::cli::models::{open, open_path, write_page};
use crate::cli::terminal;
use crate::document::to_json;
use crate::inspect::diff;
use crate::page::PageData;

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
    let (a, path_a) = open(&args.input)?;
    let (b, path_b) = open_path(&args.other, &args.input)?;
    let diff = diff::diff(&a, &b, [&path_a, &path_b], args.scope.as_deref())?;
    if let Some(path) = &args.html.html {
        write_page(path, &PageData::of_diff(&a.graph, &b.graph, &diff))?;
    }
    let text = || terminal::paint(&diff::to_text(&diff), terminal::line_style);
    terminal::print(&if args.json { to_json(&diff) } else { text() })?;
    Ok(ExitCode::from(u8::from(!diff.is_empty())))
}
