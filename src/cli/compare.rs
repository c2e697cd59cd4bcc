//! `tfquant compare`: open both, freeze both, run both on samples, tell.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::Model;
use crate::calibrate::Labels;
use crate::calibrate::compare::{self, CompareOptions, Comparison, in_words, to_text};
use crate::calibrate::report::fed_to_text;
use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES_OF_FINDING, HOW_MUCH, InputArgs, WHAT, WHERE};
use crate::cli::data::DataArgs;
use crate::cli::progress::Stages;
use crate::cli::run_args::RunArgs;
use crate::cli::terminal;
use crate::document::to_json;
use crate::freeze::{FreezeOptions, Frozen, checkpoint_beside, freeze};
use crate::samples::npy;
use crate::source::{self, Source};

/// What `tfquant compare` is told.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: tfquant compare model.pb model_q.pb --data samples.npy --labels labels.npy",
    after_help = EXIT_CODES_OF_FINDING,
    next_help_heading = WHAT
)]
pub struct CompareArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// The model to compare with, the quantized one
    #[arg(value_name = "OTHER", help_heading = WHERE)]
    pub other: PathBuf,

    #[command(flatten)]
    pub data: DataArgs,

    #[command(flatten)]
    pub run: RunArgs,

    /// The right class of each sample, as whole numbers in a .npy
    #[arg(long, value_name = "FILE", help_heading = WHERE)]
    pub labels: Option<PathBuf>,

    /// Exit with 1 if an output's SQNR is below this
    #[arg(long, value_name = "DB", allow_negative_numbers = true)]
    pub min_sqnr: Option<f64>,

    /// Signature to take [default: serving_default, or the only one]
    #[arg(long, value_name = "NAME")]
    pub signature: Option<String>,

    /// Checkpoint that holds the variables of MODEL [default: that of the SavedModel folder]
    #[arg(long, value_name = "PREFIX")]
    pub checkpoint: Option<PathBuf>,

    /// Tell every tensor, not the worst ones alone
    #[arg(long, help_heading = HOW_MUCH)]
    pub all: bool,

    /// Print JSON
    #[arg(long, help_heading = HOW_MUCH)]
    pub json: bool,
}

pub fn run(args: &CompareArgs) -> Result<ExitCode> {
    args.data.check()?;
    let sources = [source::open(&args.input.model)?, source::open(&args.other)?];
    let labels = args.labels.as_deref().map(source::open_file).transpose()?;
    let mut stages = Stages::new(true);
    let comparison = compare(args, &sources, labels.as_ref(), &mut stages, &|| true)?;
    terminal::print(&if args.json { to_json(&comparison) } else { to_text(&comparison, args.all) })?;
    let too_low =
        comparison.worst_output().filter(|output| args.min_sqnr.is_some_and(|least| output.fidelity.sqnr < least));
    if let Some(output) = too_low {
        terminal::warn(&format!("the output '{}' {}", output.tensor, in_words(&output.fidelity)));
    }
    Ok(ExitCode::from(u8::from(too_low.is_some())))
}

/// Opens and freezes both and runs them on the samples; goes on as long as `go_on` says so.
pub fn compare(
    args: &CompareArgs,
    sources: &[Source; 2],
    labels: Option<&Source>,
    stages: &mut Stages,
    go_on: &(dyn Fn() -> bool + Sync),
) -> crate::Result<Comparison> {
    let models = stages.run("freeze", || -> crate::Result<_> {
        Ok([args.freeze(&sources[0], args.checkpoint.as_deref())?, args.freeze(&sources[1], None)?])
    })?;
    let [a, b] = &models;
    let feeds = [args.data.open(&a.report.inputs)?, args.data.open(&b.report.inputs)?];
    let samples = feeds[0].first().map_or(0, |feed| feed.samples.count());
    let labels = labels.map(|labels| open_labels(labels, samples)).transpose()?;
    let options = CompareOptions { threads: args.run.threads(), limit: args.data.limit, limits: args.run.limits() };
    let mut comparison = stages.count("compare", |counter| {
        let mut tell_fed = |fed: &[_]| counter.say(&fed_to_text(fed));
        let done = |done: usize, all: usize| {
            counter.reached(done, all);
            go_on()
        };
        compare::compare(&models, &feeds, labels.as_ref(), &options, &mut tell_fed, &done)
    })?;
    comparison.models = sources.each_ref().map(|source| source.path.display().to_string());
    Ok(comparison)
}

fn open_labels(file: &Source, samples: usize) -> crate::Result<Labels> {
    let labels = npy::read(&file.bytes).and_then(|array| Labels::new(&array, samples));
    labels.map_err(|error| file.name_in(error))
}

impl CompareArgs {
    fn freeze(&self, source: &Source, checkpoint: Option<&Path>) -> crate::Result<Frozen> {
        let model = Model::open_source(source, &self.input.open_options_without_ends())?;
        let options = FreezeOptions {
            signature: self.signature.clone(),
            inputs: self.input.inputs.clone(),
            outputs: self.input.outputs.clone(),
            checkpoint: checkpoint.map(Path::to_path_buf).or_else(|| checkpoint_beside(&source.location)),
            use_defaults: true,
            simplify: true,
        };
        freeze(&model, &options)
    }
}
