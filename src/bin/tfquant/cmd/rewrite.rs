//! `tfquant rewrite`: open, rewrite, write, report.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use tfquant::container::{Encoding, Model};
use tfquant::error::{Error, ErrorKind};
use tfquant::output::{Output, write_file};
use tfquant::report::html::PageData;
use tfquant::report::{Report, json, plan as plan_text, text};
use tfquant::rewrite::{Quantize, RewriteOptions, layers_by_topology, rewrite};
use tfquant::source::{self, Location, Source};

use super::write_page;
use crate::args::{InputArgs, OutputArgs, RewriteArgs};
use crate::progress::Stages;
use crate::terminal;

pub fn run(args: &RewriteArgs) -> Result<ExitCode> {
    transform(
        &args.input,
        &args.output,
        args.plan.as_deref(),
        args.html.html.as_deref(),
        &args.passes.rewrite_options()?,
    )
}

/// Opens, rewrites, writes and reports.
pub fn transform(
    input: &InputArgs,
    output: &OutputArgs,
    plan: Option<&Path>,
    html: Option<&Path>,
    options: &RewriteOptions,
) -> Result<ExitCode> {
    let mut stages = Stages::new(!output.quiet);
    let source = source::open(&input.model)?;
    let mut model = stages.run("read", || Model::open_source(&source, &input.open_options()))?;
    let target = Target::open(output, &source.location, model.encoding)?;
    let rewritten = stages.run("rewrite", || rewrite(&mut model, options));
    let mut report = rewritten.map_err(|error| point_to_topology(error, &source, input, options))?;
    report.dry_run = output.dry_run;
    report.input.path = input.model.display().to_string();
    if let Some(path) = plan {
        write_file(path, json::to_json(&report).as_bytes())?;
    }
    if let Some(path) = html {
        write_page(path, &PageData::of_rewrite(&model.graph, &report))?;
    }
    if output.dry_run && !output.quiet {
        terminal::print(&terminal::paint(&plan_text::to_text(&report), terminal::line_style))?;
    }
    let code = finish(&model, target, output, &mut report, stages);
    // Millions of nodes take longer to give back one by one than with the process.
    std::mem::forget((model, report));
    code
}

/// Where the rules of names refuse a graph, says what those of topology would do.
fn point_to_topology(error: Error, source: &Source, input: &InputArgs, options: &RewriteOptions) -> Error {
    if error.kind() != ErrorKind::Refused || !matches!(options.quantize, Some(Quantize::Names(_))) {
        return error;
    }
    let Ok(model) = Model::open_source(source, &input.open_options()) else { return error };
    let layers = layers_by_topology(model);
    let hint = error.hint_text().unwrap_or("the rules go by TF-Slim's names").to_owned();
    error.hint(format!("{hint}; --match topology would quantize {layers} layers"))
}

/// The output, opened before the long work.
struct Target {
    output: Output,
    encoding: Encoding,
}

impl Target {
    /// None for a dry run.
    fn open(args: &OutputArgs, input: &Location, input_encoding: Encoding) -> Result<Option<Self>> {
        let Some(path) = args.output.as_deref().filter(|_| !args.dry_run) else { return Ok(None) };
        let in_folder = matches!(input, Location::SavedModelFolder { .. }).then_some(input_encoding);
        let encoding = args.encoding(in_folder);
        Ok(Some(Self { output: Output::open(path, input, encoding)?, encoding }))
    }
}

/// Writes the result and what there is to say about it.
fn finish(
    model: &Model,
    target: Option<Target>,
    args: &OutputArgs,
    report: &mut Report,
    mut stages: Stages,
) -> Result<ExitCode> {
    let splice = model.to_splice()?;
    report.output.bytes = splice.len();
    report.output.path = args.output.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    if let Some(Target { mut output, encoding }) = target {
        stages.write(splice.len(), &mut output, |out| model.write(&splice, encoding, out))?;
        output.commit()?;
    }
    report.seconds = stages.into_seconds();
    if let Some(path) = &args.report {
        write_file(path, json::to_json(report).as_bytes())?;
    }
    if !args.quiet {
        terminal::say(&text::to_text(report, args.verbose));
        for warning in &report.warnings {
            terminal::warn(&warning.message);
        }
    }
    Ok(ExitCode::SUCCESS)
}
