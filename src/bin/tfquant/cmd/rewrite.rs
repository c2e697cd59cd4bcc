//! `tfquant rewrite`: open, rewrite, write, report.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use tfquant::container::Model;
use tfquant::output::{Output, write_file};
use tfquant::report::{Report, json, text};
use tfquant::rewrite::rewrite;
use tfquant::source::{self, Location, Source};

use crate::args::{OutputArgs, RewriteArgs};
use crate::progress::Stages;
use crate::terminal;

pub fn run(args: &RewriteArgs) -> Result<ExitCode> {
    let options = args.rewrite_options()?;
    let mut stages = Stages::new(!args.output.quiet);
    let source = source::open(&args.input.model)?;
    let mut model = stages.run("read", || Model::open_source(&source, &args.input.open_options()))?;
    let mut report = stages.run("rewrite", || rewrite(&mut model, &options))?;
    report.input.path = args.input.model.display().to_string();
    finish(&model, &source, &args.output, report, stages)
}

/// Writes the result and what there is to say about it.
fn finish(
    model: &Model,
    source: &Source,
    args: &OutputArgs,
    mut report: Report,
    mut stages: Stages,
) -> Result<ExitCode> {
    let splice = model.to_splice()?;
    report.output.bytes = splice.len();
    report.dry_run = args.dry_run;
    if let Some(path) = args.output.as_deref().filter(|_| !args.dry_run) {
        let in_folder = matches!(source.location, Location::SavedModelFolder { .. }).then_some(model.encoding);
        let encoding = args.encoding(in_folder);
        let mut output = Output::open(path, &source.location, encoding)?;
        stages.write(splice.len(), &mut output, |out| model.write(&splice, encoding, out))?;
        output.commit()?;
        report.output.path = path.display().to_string();
    }
    report.seconds = stages.into_seconds();
    if let Some(path) = &args.report {
        write_report(path, &report)?;
    }
    if !args.quiet {
        terminal::say(&text::to_text(&report, args.verbose));
        for warning in &report.warnings {
            terminal::warn(&warning.message);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_report(path: &Path, report: &Report) -> Result<()> {
    Ok(write_file(path, json::to_json(report).as_bytes())?)
}
