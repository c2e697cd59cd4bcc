//! `tfquant explain`: ask the passes, tell what they say.

use std::process::ExitCode;

use anyhow::Result;
use tfquant::inspect::{explain, to_json};

use super::open;
use crate::args::ExplainArgs;
use crate::terminal;

pub fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let options = args.passes.rewrite_options()?;
    let (model, path) = open(&args.input)?;
    let (_rewritten, mut report) = explain::plan(&model, &options)?;
    report.input.path.clone_from(&path);
    let explanation = explain::explain(&model, &path, report, args.node.as_deref())?;
    let text = || terminal::paint(&explain::to_text(&explanation, args.all), terminal::line_style);
    terminal::print(&if args.json { to_json(&explanation) } else { text() })?;
    Ok(ExitCode::SUCCESS)
}
