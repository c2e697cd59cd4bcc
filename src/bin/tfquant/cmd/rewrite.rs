//! `tfquant rewrite`: open, rewrite, write, report.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use tfquant::container::Model;
use tfquant::error::{Error, ErrorKind};
use tfquant::report::html::PageData;
use tfquant::report::{Report, json, plan as plan_text, text};
use tfquant::rewrite::{Quantize, RewriteOptions, layers_by_topology, rewrite};
use tfquant::source::{self, Source};

use super::render;
use crate::args::{InputArgs, OutputArgs, RewriteArgs};
use crate::progress::Stages;
use crate::targets::{ModelTarget, Targets};
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
    let mut targets = Targets::open(output, plan, html, &source.location, model.encoding)?;
    let rewritten = stages.run("rewrite", || rewrite(&mut model, options));
    let mut report = rewritten.map_err(|error| point_to_topology(error, &source, input, options))?;
    report.dry_run = output.dry_run;
    report.input.path = input.model.display().to_string();
    if let Some(target) = &mut targets.plan {
        target.write_document(json::to_json(&report).as_bytes())?;
    }
    if let Some(target) = &mut targets.html {
        target.write_document(&render(&PageData::of_rewrite(&model.graph, &report))?)?;
    }
    if output.dry_run && !output.quiet {
        terminal::print(&terminal::paint(&plan_text::to_text(&report), terminal::line_style))?;
    }
    let code = finish(&model, targets, output, &mut report, stages);
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

/// Writes the result and what there is to say about it.
fn finish(
    model: &Model,
    mut targets: Targets,
    args: &OutputArgs,
    report: &mut Report,
    mut stages: Stages,
) -> Result<ExitCode> {
    let splice = model.to_splice()?;
    report.output.bytes = splice.len();
    report.output.path = args.output.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    if let Some(ModelTarget { output, encoding }) = &mut targets.model {
        stages.write(splice.len(), output, |out| model.write(&splice, *encoding, out))?;
    }
    report.seconds = stages.into_seconds();
    if let Some(target) = &mut targets.report {
        target.write_document(json::to_json(report).as_bytes())?;
    }
    targets.commit()?;
    if !args.quiet {
        terminal::say(&text::to_text(report, args.verbose));
        for warning in &report.warnings {
            terminal::warn(&warning.message);
        }
    }
    Ok(ExitCode::SUCCESS)
}
