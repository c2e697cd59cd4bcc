//! `tfquant calibrate`: open, freeze, run on samples, quantize, write, report.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::Model;
use crate::calibrate::report::{CalibrationReport, fed_to_text, to_text};
use crate::calibrate::{self, CalibrateOptions, Calibrated, Measure, Method, Repairs};
use crate::cli::ExitCode;
use crate::cli::args::{ConverterTarget, EXIT_CODES, HOW_MUCH, HtmlArgs, InputArgs, WHAT, WHERE, decay};
use crate::cli::data::DataArgs;
use crate::cli::freeze::FrozenFormat;
use crate::cli::models::render;
use crate::cli::progress::Stages;
use crate::cli::run_args::RunArgs;
use crate::cli::targets::{check_distinct, checkpoint_files};
use crate::cli::terminal;
use crate::document::to_json;
use crate::freeze::{FreezeOptions, checkpoint_beside, freeze, saved_model};
use crate::output::{Output, commit_all};
use crate::page::PageData;
use crate::source::{self, Source};

/// What is calibrated, with which samples, and where it goes.
#[derive(Debug, Args)]
#[command(
    before_help = "Example: tfquant calibrate saved_model/ --data samples.npy -o model_q.pb",
    after_help = EXIT_CODES,
    override_usage = "tfquant calibrate [OPTIONS] --data <PATH> -o <PATH> <MODEL>",
    next_help_heading = WHAT
)]
#[allow(clippy::struct_excessive_bools)] // switches
pub struct CalibrateArgs {
    #[command(flatten)]
    pub input: InputArgs,

    #[command(flatten)]
    pub data: DataArgs,

    /// Where to write the model: a file, or a new folder with --output-format saved-model; - for standard output
    #[arg(short, long, value_name = "PATH", help_heading = WHERE)]
    pub output: PathBuf,

    /// Write a GraphDef, binary or text, or a SavedModel [default: text when the output ends in .pbtxt, else binary]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub output_format: Option<FrozenFormat>,

    /// Converter that is to take the result
    #[arg(long, value_enum, default_value = "litert-int8")]
    pub target: ConverterTarget,

    /// How to quantize weights [default: symmetric-per-channel; for litert-uint8, asymmetric]
    #[arg(long, value_enum, value_name = "HOW")]
    pub weights: Option<Weights>,

    /// Bits for weights, 2 to 8
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=8))]
    pub weight_bits: u8,

    /// How to make a range of what a tensor was
    #[arg(long, value_enum, default_value = "best")]
    pub method: MethodName,

    /// Percent of all values that a range holds, for --method percentile
    #[arg(long, value_name = "P", default_value_t = 99.99, value_parser = percent)]
    pub percentile: f64,

    /// Decay of the averages, for --method moving-average
    #[arg(long, value_name = "F", default_value_t = 0.999, value_parser = decay)]
    pub ema_decay: f64,

    /// Write loops of a known length out in up to so many steps, for --target litert-* [default: 128]
    #[arg(long, value_name = "STEPS")]
    pub unroll: Option<usize>,

    #[command(flatten)]
    pub run: RunArgs,

    /// Signature to take [default: serving_default, or the only one]
    #[arg(long, value_name = "NAME")]
    pub signature: Option<String>,

    /// Checkpoint that holds the variables [default: that of the SavedModel folder]
    #[arg(long, value_name = "PREFIX")]
    pub checkpoint: Option<PathBuf>,

    /// Move weights between layers so that the channels of each are of one size; pays with --weights symmetric
    #[arg(long)]
    pub equalize: bool,

    /// Take what quantizing adds to a channel on average off its bias, over at most 128 runs
    #[arg(long)]
    pub correct_bias: bool,

    /// Write what was done as JSON, and how near each tensor is to the float one: takes a second run of the samples
    #[arg(long, value_name = "FILE", help_heading = HOW_MUCH)]
    pub report: Option<PathBuf>,

    #[command(flatten)]
    pub html: HtmlArgs,

    /// Say nothing but errors
    #[arg(short, long, help_heading = HOW_MUCH)]
    pub quiet: bool,

    /// Tell every range
    #[arg(short, long, conflicts_with = "quiet", help_heading = HOW_MUCH)]
    pub verbose: bool,
}

/// How weights are quantized.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Weights {
    /// Zero in the middle, one range a channel where the layer's kernel takes that
    SymmetricPerChannel,
    /// Zero in the middle, one range for all
    Symmetric,
    /// From the least to the greatest
    Asymmetric,
    /// Not at all: the converter does it
    Raw,
}

/// How ranges are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodName {
    /// The least and the greatest value of all samples
    Minmax,
    /// Averages of each sample's, as training does it
    MovingAverage,
    /// All but the outermost values
    Percentile,
    /// The least squared error
    Mse,
    /// The least change of the distribution
    Entropy,
    /// The one of minmax, percentile and mse that leaves the outputs nearest to the float model's
    Best,
}

pub fn run(args: &CalibrateArgs) -> Result<ExitCode> {
    let mut stages = Stages::new(!args.quiet);
    let source = source::open(&args.input.model)?;
    args.data.check()?;
    let format = FrozenFormat::of(args.output_format, &args.output);
    let mut output = format.open(&args.output, &source.location)?;
    let mut document = args.report.as_deref().map(Output::open_document).transpose()?;
    let mut page = args.html.html.as_deref().map(Output::open_document).transpose()?;
    let documents = [("--report", document.as_ref()), ("--html", page.as_ref())];
    let written = [Some(&args.output), args.report.as_ref(), args.html.html.as_ref()];
    let mut also_read = checkpoint_files(args.checkpoint.as_deref(), &source.location);
    also_read.extend(args.data.files());
    also_read.extend(args.data.images_among(written.into_iter().flatten()));
    check_distinct(Some(&output), &documents, &source.location, &also_read)?;

    let Calibrated { model, mut report, histograms } = calibrate(args, &source, format, &mut stages, &|| true)?;
    let message = model.encode()?;
    report.output.path = args.output.display().to_string();
    stages.write(message.len(), &mut output, |out| message.write(format.encoding(), out))?;
    if let Some(document) = &mut document {
        document.write_document(to_json(&report).as_bytes())?;
    }
    if let Some(page) = &mut page {
        page.write_document(&render(&PageData::of_calibration(&model.graph, &report, &histograms))?)?;
    }
    commit_all(document.into_iter().chain(page).chain([output]).collect())?;
    if !args.quiet {
        say(&report, args.verbose);
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens, freezes, runs on samples and quantizes; goes on as long as `go_on` says so. The report lacks where the result
/// goes.
pub fn calibrate(
    args: &CalibrateArgs,
    source: &Source,
    format: FrozenFormat,
    stages: &mut Stages,
    go_on: &(dyn Fn() -> bool + Sync),
) -> crate::Result<Calibrated> {
    let model = stages.run("read", || Model::open_source(source, &args.input.open_options_without_ends()))?;
    let freezing = FreezeOptions {
        signature: args.signature.clone(),
        inputs: args.input.inputs.clone(),
        outputs: args.input.outputs.clone(),
        checkpoint: args.checkpoint.clone().or_else(|| checkpoint_beside(&source.location)),
        use_defaults: true,
        simplify: true,
    };
    let frozen = stages.run("freeze", || freeze(&model, &freezing))?;
    let feeds = args.data.open(&frozen.report.inputs)?;
    let mut calibrated = stages.count("calibrate", |counter| {
        let mut tell_fed = |fed: &[_]| counter.say(&fed_to_text(fed));
        let done = |done: usize, all: usize| {
            counter.reached(done, all);
            go_on()
        };
        calibrate::calibrate(frozen, &feeds, &args.options(), &mut tell_fed, &done)
    })?;
    let Calibrated { model: made, report, .. } = &mut calibrated;
    if format == FrozenFormat::SavedModel {
        saved_model::enclose(made, &report.freeze.inputs, &report.freeze.outputs)?;
    }
    let bytes = made.encode()?.len();
    report.was_run(&model.path, made, bytes);
    Ok(calibrated)
}

fn say(report: &CalibrationReport, every_range: bool) {
    terminal::say(&to_text(report, every_range));
    let freezing = report.freeze.warnings.iter();
    freezing.chain(&report.warnings).for_each(|warning| terminal::warn(&warning.message));
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (50.0..=100.0).contains(&percent) { Ok(percent) } else { Err("not between 50 and 100".to_owned()) }
}

impl CalibrateArgs {
    fn options(&self) -> CalibrateOptions {
        let target = calibrate::Target::from(self.target);
        let weights = self.weights.map_or(target.weights(), |weights| match weights {
            Weights::SymmetricPerChannel => calibrate::Weights::SymmetricPerChannel,
            Weights::Symmetric => calibrate::Weights::Symmetric,
            Weights::Asymmetric => calibrate::Weights::Asymmetric,
            Weights::Raw => calibrate::Weights::Raw,
        });
        let (percentile, mse) = (Method::Percentile(self.percentile), Method::SquaredError { steps: 255 });
        let methods = match self.method {
            MethodName::Minmax => vec![Method::MinMax],
            MethodName::MovingAverage => vec![Method::MovingAverage { decay: self.ema_decay }],
            MethodName::Percentile => vec![percentile],
            MethodName::Mse => vec![mse],
            MethodName::Entropy => vec![Method::Entropy { steps: 255 }],
            MethodName::Best => vec![Method::MinMax, percentile, mse],
        };
        CalibrateOptions {
            target,
            weights,
            weight_bits: self.weight_bits,
            methods,
            threads: self.run.threads(),
            limit: self.data.limit,
            repairs: Repairs { equalize: self.equalize, correct_bias: self.correct_bias },
            measure: match (&self.html.html, &self.report) {
                (Some(_), _) => Measure::Histograms,
                (None, Some(_)) => Measure::Fidelity,
                (None, None) => Measure::Nothing,
            },
            limits: self.run.limits(),
            unroll: self.unroll,
        }
    }
}
