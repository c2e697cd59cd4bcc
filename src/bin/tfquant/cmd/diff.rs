//! `tfquant diff`: open both, compare, tell; exit 1 when they differ.

use std::process::ExitCode;

use anyhow::Result;
use tfquant::inspect::{diff, to_json};
use tfquant::report::html::PageData;

use super::{open, open_path, write_page};
use crate::args::DiffArgs;
use crate::terminal;

pub fn run(args: &DiffArgs) -> Result<ExitCode> {
    let (a, path_a) = open(&args.input)?;
    let (b, path_b) = open_path(&args.other, &args.input)?;
    let diff = diff::diff(&a, &b, [&path_a, &path_b], args.scope.as_deref());
    if let Some(path) = &args.html.html {
        write_page(path, &PageData::of_diff(&a.graph, &b.graph, &diff))?;
    }
    let text = || terminal::paint(&diff::to_text(&diff), terminal::line_style);
    terminal::print(&if args.json { to_json(&diff) } else { text() })?;
    Ok(ExitCode::from(u8::from(!diff.is_empty())))
}
