//! `tfquant explain`: ask the passes, tell what they say.

use std::process::ExitCode;

use anyhow::Result;
use tfquant::inspect::{explain, to_json};
use tfquant::report::html::PageData;

use super::{open, write_page};
use crate::args::ExplainArgs;
use crate::terminal;

pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let options = args.passes.rewrite_options()?;
    let (model, path) = open(&args.input)?;
    let (rewritten, mut report) = explain::plan(&model, &options)?;
    report.input.path.clone_from(&path);
    if let Some(path) = &args.html.html {
        write_page(path, &PageData::of_rewrite(&rewritten.graph, &report))?;
    }
    let explanation = explain::explain(&model, &path, report, args.node.as_deref())?;
    let text = || terminal::paint(&explain::to_text(&explanation, args.all), terminal::line_style);
    terminal::print(&if args.json { to_json(&explanation) } else { text() })?;
    Ok(ExitCode::SUCCESS)
}
