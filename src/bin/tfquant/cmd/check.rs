//! `tfquant check`: open, check, tell; exit 1 when there is an error.

use std::process::ExitCode;

use anyhow::Result;
use tfquant::checkpoint::read_index;
use tfquant::inspect::check::{self, Options, Target, against, checkpoint};
use tfquant::inspect::{file_summary, to_json};

use super::{open, open_path};
use crate::args::{self, CheckArgs};
use crate::terminal;

pub fn run(args: &CheckArgs) -> Result<ExitCode> {
    let (model, path) = open(&args.input)?;
    let target = match args.target {
        args::Target::TfliteUint8 => Target::TfliteUint8,
        args::Target::TfliteInt8 => Target::TfliteInt8,
        args::Target::Any => Target::Any,
    };
    let mut result = check::check(&model, &path, &Options { outputs: args.outputs.clone(), target })?;
    if let Some(train) = &args.against {
        let (train, train_path) = open_path(train, &args.input)?;
        result = result.with(against::compare(&train.graph, &model.graph));
        result.against = Some(file_summary(&train, &train_path));
    }
    if let Some(prefix) = &args.checkpoint {
        let entries = read_index(prefix)?.entries;
        let (comparison, findings) = checkpoint::compare(&model.graph, &entries, &prefix.display().to_string());
        result = result.with(findings);
        result.checkpoint = Some(comparison);
    }
    let text =
        if args.json { to_json(&result) } else { terminal::paint(&check::to_text(&result), terminal::line_style) };
    terminal::print(&text)?;
    Ok(ExitCode::from(u8::from(result.errors > 0)))
}
