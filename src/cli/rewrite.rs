//! `tfquant rewrite`: open, rewrite, write, report. `tfquant fold` goes the same way.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES, FreezingArgs, HtmlArgs, InputArgs, OutputArgs, PassArgs};
use crate::cli::models::render;
use crate::cli::progress::Stages;
use crate::cli::targets::{Form, ModelTarget, Targets, checkpoint_files};
use crate::cli::terminal;
use crate::document::to_json;
use crate::freeze::on_the_way::OnTheWay;
use crate::freeze::report::in_short;
use crate::freeze::saved_model;
use crate::page::PageData;
use crate::report::{Report, plan as plan_text, text};
use crate::source::{self, Source};
use crate::{Error, ErrorKind, Model, RewriteOptions, Rewritten, Rules, other_rules, rewrite};

/// What `tfquant rewrite` is told.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant rewrite model.pb -o model_q.pb --weight-bits 8 --quant-delay 2000", after_help = EXIT_CODES, override_usage = "tfquant rewrite [OPTIONS] -o <PATH> <MODEL>")]
#[allow(clippy::struct_excessive_bools)] // switches
pub struct RewriteArgs {
    #[command(flatten)]
    pub input: InputArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    /// Write the plan as JSON, for review
    #[arg(long, value_name = "FILE", help_heading = "How much to say")]
    pub plan: Option<PathBuf>,

    #[command(flatten)]
    pub html: HtmlArgs,

    #[command(flatten)]
    pub freezing: FreezingArgs,

    #[command(flatten)]
    pub passes: PassArgs,
}

pub fn run(args: &RewriteArgs) -> Result<ExitCode> {
    let options = args.passes.rewrite_options()?;
    let documents = [args.plan.as_deref(), args.html.html.as_deref()];
    let ranges = args.passes.ranges.ranges_file.as_deref();
    transform(&args.input, &args.output, documents, &args.freezing, &options, ranges)
}

/// Opens, rewrites, writes and reports.
pub fn transform(
    input: &InputArgs,
    output: &OutputArgs,
    [plan, html]: [Option<&Path>; 2],
    freezing: &FreezingArgs,
    options: &RewriteOptions,
    ranges: Option<&Path>,
) -> Result<ExitCode> {
    let mut stages = Stages::new(!output.quiet);
    let source = source::open(&input.model)?;
    let mut job = Job::open(&source, input, output, freezing, options, &mut stages)?;
    let mut also_read = checkpoint_files(freezing.checkpoint.as_deref(), &source.location);
    also_read.extend(ranges.map(Path::to_owned));
    let (location, encoding) = (&source.location, job.model.encoding);
    let mut targets = Targets::open(output, [plan, html], location, encoding, job.form, &also_read)?;
    let mut rewritten = job.rewrite(&mut stages)?;
    if let Some(target) = &mut targets.plan {
        target.write_document(to_json(&rewritten.report).as_bytes())?;
    }
    if let Some(target) = &mut targets.html {
        let graph = &rewritten.output.model().graph;
        target.write_document(&render(&PageData::of_rewrite(graph, &rewritten.report))?)?;
    }
    if output.dry_run && !output.quiet {
        terminal::print(&terminal::paint(plan_text::to_text(&rewritten.report), terminal::line_style))?;
    }
    let code = finish(&mut rewritten, targets, output, stages);
    // Millions of nodes take longer to give back one by one than with the process.
    std::mem::forget(rewritten);
    std::mem::forget(job);
    code
}

/// A model that is open, and what is to be done to it.
pub struct Job<'a> {
    pub model: Model,
    /// What the result will be.
    pub form: Form,
    source: &'a Source,
    input: &'a InputArgs,
    options: &'a RewriteOptions,
    /// What freezes it first, if that is needed.
    freezing: Option<OnTheWay>,
    dry_run: bool,
}

impl<'a> Job<'a> {
    /// Opens the model.
    pub fn open(
        source: &'a Source,
        input: &'a InputArgs,
        output: &OutputArgs,
        freezing: &FreezingArgs,
        options: &'a RewriteOptions,
        stages: &mut Stages,
    ) -> crate::Result<Self> {
        let model = stages.run("read", || Model::open_source(source, &input.open_options_without_ends()))?;
        let freezing = freezing.on_the_way(input);
        let is_frozen = freezing.is_needed(&model, options.common.is_training)?;
        let form = Form::of(output, is_frozen);
        let freezing = is_frozen.then_some(freezing);
        Ok(Self { model, form, source, input, options, freezing, dry_run: output.dry_run })
    }

    /// Freezes it, where that is needed, and rewrites it.
    pub fn rewrite(&mut self, stages: &mut Stages) -> crate::Result<Rewritten<'_>> {
        let Self { model, source, input, options, .. } = self;
        let mut frozen = None;
        if let Some(freezing) = &self.freezing {
            let made = stages.run("freeze", || freezing.freeze(model, &source.location))?;
            (*model, frozen) = (made.model, Some(made.report));
        } else {
            model.name_ends(&input.inputs, &input.outputs)?;
        }
        match &frozen {
            _ if self.form != Form::NewSavedModel => {}
            Some(frozen) => saved_model::enclose(model, &frozen.inputs, &frozen.outputs)?,
            None => saved_model::enclose_between_its_ends(model)?,
        }
        let rewritten = stages.run("rewrite", || rewrite(model, options));
        let mut rewritten = rewritten.map_err(|error| point_to_other_rules(error, source, input, options))?;
        rewritten.report.dry_run = self.dry_run;
        rewritten.report.frozen = frozen.as_ref().map(in_short);
        Ok(rewritten)
    }
}

/// Where the rules of names refuse a graph, says what others would do.
fn point_to_other_rules(error: Error, source: &Source, input: &InputArgs, options: &RewriteOptions) -> Error {
    let by_names = matches!(options.rules, Rules::Names(_)) && options.quantize.is_some();
    if error.kind() != ErrorKind::Refused || !by_names {
        return error;
    }
    let Ok(model) = Model::open_source(source, &input.open_options()) else { return error };
    let Some(promise) = other_rules(&model, options) else { return error };
    let hint = error.hint_text().unwrap_or("the rules go by TF-Slim's names").to_owned();
    error.hint(format!("{hint}; {promise}"))
}

/// Writes the result and what there is to say about it.
fn finish(
    rewritten: &mut Rewritten<'_>,
    mut targets: Targets,
    args: &OutputArgs,
    mut stages: Stages,
) -> Result<ExitCode> {
    let Rewritten { report, output: message } = rewritten;
    if let Some(ModelTarget { output, encoding }) = &mut targets.model {
        stages.write(message.len(), output, |out| message.write(*encoding, out))?;
    }
    let written_to = args.output.as_ref().map(|path| path.display().to_string());
    report.was_run(written_to.unwrap_or_default(), stages.into_seconds());
    if let Some(target) = &mut targets.report {
        target.write_document(to_json(report).as_bytes())?;
    }
    targets.commit()?;
    if !args.quiet {
        tell(report, args.verbose);
    }
    Ok(ExitCode::SUCCESS)
}

fn tell(report: &Report, every_layer: bool) {
    terminal::say(&text::to_text(report, every_layer));
    for warning in &report.warnings {
        terminal::warn(&warning.message);
        warning.python.into_iter().for_each(terminal::say);
    }
}
