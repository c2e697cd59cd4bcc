//! `tfquant explain`: ask the passes, tell what they say.

use anyhow::Result;
use clap::Args;

use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES, FreezingArgs, HOW_MUCH, HtmlArgs, InputArgs, PassArgs};
use crate::cli::models::{open_for_passes, write_page};
use crate::cli::terminal;
use crate::document::to_json;
use crate::inspect::explain::{self, Explanation};
use crate::page::PageData;
use crate::source::{self, Source};

/// What `tfquant explain` is told.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant explain model.pb conv1/Conv2D", after_help = EXIT_CODES)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// The node to explain [default: every layer, those left alone in detail]
    #[arg(value_name = "NODE", conflicts_with = "all")]
    pub node: Option<String>,

    /// Explain every layer in detail
    #[arg(long, help_heading = HOW_MUCH)]
    pub all: bool,

    /// Print JSON
    #[arg(long, help_heading = HOW_MUCH)]
    pub json: bool,

    #[command(flatten)]
    pub html: HtmlArgs,

    #[command(flatten)]
    pub freezing: FreezingArgs,

    #[command(flatten)]
    pub passes: PassArgs,
}

pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let explanation = explain(args, || source::open(&args.input.model))?;
    let text = || terminal::paint(explain::to_text(&explanation, args.all), terminal::line_style);
    terminal::print(&if args.json { to_json(&explanation) } else { text() })?;
    Ok(ExitCode::SUCCESS)
}

/// Opens, asks, and writes the page if one is wanted.
pub fn explain(args: &ExplainArgs, open: impl FnOnce() -> crate::Result<Source>) -> crate::Result<Explanation> {
    let options = args.passes.rewrite_options()?;
    let mut model = open_for_passes(&open()?, &args.input, &args.freezing, options.common.is_training)?;
    let report = explain::plan(&mut model, &options)?;
    if let Some(path) = &args.html.html {
        write_page(path, &PageData::of_rewrite(&model.graph, &report))?;
    }
    model.reset()?;
    explain::explain(&model, &model.path, report, args.node.as_deref())
}
