//! Verbs as functions, for callers of other languages: a model and keywords in, documents and models out. Nothing is said,
//! and nothing written that was not asked for.
//!
//! Keywords are the program's own arguments, read by its own parser: `weight_bits` is `--weight-bits`. Arguments about where
//! results go and how much is said have no keyword, as results are returned.

mod keywords;
mod made;

use std::ffi::OsString;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;

pub use keywords::{Keyword, Kind, Misuse, keywords, of_python};
pub use made::Made;

use crate::calibrate::Calibrated;
use crate::calibrate::data::Given;
use crate::cli::args::{FreezingArgs, InputArgs, OutputArgs};
use crate::cli::calibrate::{CalibrateArgs, calibrate};
use crate::cli::check::check;
use crate::cli::compare::{CompareArgs, compare};
use crate::cli::diff::{self, DiffArgs};
use crate::cli::explain::{ExplainArgs, explain};
use crate::cli::fold::FoldArgs;
use crate::cli::freeze::{FreezeArgs, FrozenFormat, freeze};
use crate::cli::progress::Stages;
use crate::cli::ranges::{RangesArgs, look};
use crate::cli::rewrite::{Job, RewriteArgs};
use crate::cli::summary::{SummaryArgs, summarize};
use crate::document::Warning;
use crate::source::{self, Source};
use crate::{Error, ErrorKind, RewriteOptions};

/// The verbs that are functions.
pub const VERBS: [&str; 10] =
    ["rewrite", "fold", "freeze", "calibrate", "check", "summary", "explain", "diff", "ranges", "compare"];

/// Where a model or an array comes from.
#[derive(Debug, Clone)]
pub enum Input {
    /// A file or folder.
    Path(PathBuf),
    /// Bytes that the caller has.
    Bytes(Bytes),
}

/// What a keyword is given.
#[derive(Debug, Clone)]
pub enum Value {
    /// Yes or no.
    Switch(bool),
    /// One word, or several.
    Words(Vec<OsString>),
}

/// A verb that is called.
pub struct Call<'a> {
    /// Which.
    pub verb: &'a str,
    /// The model.
    pub model: Input,
    /// The model that it is compared with.
    pub other: Option<Input>,
    /// Samples that are in memory.
    pub arrays: Vec<Given>,
    /// The right classes.
    pub labels: Option<Input>,
    /// The rest.
    pub keywords: Vec<(String, Value)>,
    /// Asked now and then during long work whether to go on.
    pub go_on: &'a (dyn Fn() -> bool + Sync),
}

/// What comes out.
#[derive(Debug)]
pub struct Answer {
    /// What was done or found, as JSON.
    pub document: String,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// The model, of verbs that make one.
    pub made: Option<Made>,
}

/// Why nothing comes out.
#[derive(Debug)]
pub enum Failure {
    /// The call is wrong.
    Misuse(Misuse),
    /// The work failed.
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Misuse> for Failure {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

type Outcome = Result<Answer, Failure>;

impl Input {
    fn open(&self) -> Result<Source, Error> {
        match self {
            Self::Path(path) => source::open(path),
            Self::Bytes(bytes) => Ok(Source::of_bytes(bytes.clone())),
        }
    }
}

impl Call<'_> {
    /// Does what the verb says.
    ///
    /// # Errors
    /// [`Failure::Misuse`] for keywords that the verb does not have, or does not take so; the errors of the verb.
    pub fn run(mut self) -> Outcome {
        match self.verb {
            "rewrite" => {
                let args: RewriteArgs = self.parse()?;
                let options = args.passes.rewrite_options()?;
                self.transform(&args.input, &args.output, &args.freezing, &options)
            }
            "fold" => {
                let args: FoldArgs = self.parse()?;
                let options = args.rewrite_options()?;
                self.transform(&args.input, &args.output, &args.freezing, &options)
            }
            "freeze" => self.freeze(&self.parse()?),
            "calibrate" => {
                let mut args: CalibrateArgs = self.parse()?;
                args.data.data.append(&mut self.arrays);
                self.calibrate(&args)
            }
            "compare" => {
                let mut args: CompareArgs = self.parse()?;
                args.data.data.append(&mut self.arrays);
                self.compare(&args)
            }
            "check" => {
                let against = self.other.as_ref().map(Input::open).transpose()?;
                Ok(found(&check(&self.parse()?, &self.model.open()?, against.as_ref())?))
            }
            "summary" => {
                let document = summarize(&self.parse::<SummaryArgs>()?, &self.model.open()?, |it| to_json(it))?;
                Ok(Answer { document, warnings: Vec::new(), made: None })
            }
            "explain" => Ok(found(&explain(&self.parse::<ExplainArgs>()?, || self.model.open())?)),
            "diff" => {
                let args: DiffArgs = self.parse()?;
                let (_, _, difference) = diff::compare(&args, &self.model.open()?, &self.open_other()?)?;
                Ok(found(&difference))
            }
            "ranges" => Ok(found(&look(&self.parse::<RangesArgs>()?, &self.model.open()?)?)),
            verb => Err(Misuse::unknown(format!("there is no verb '{verb}'")).into()),
        }
    }

    fn parse<A: Args>(&self) -> Result<A, Misuse> {
        keywords::parse(self.verb, &self.keywords)
    }

    fn open_other(&self) -> Result<Source, Error> {
        let missing = || Error::new(ErrorKind::Options, "there is no model to compare with");
        self.other.as_ref().ok_or_else(missing)?.open()
    }

    fn transform(
        &self,
        input: &InputArgs,
        output: &OutputArgs,
        freezing: &FreezingArgs,
        options: &RewriteOptions,
    ) -> Outcome {
        let mut stages = Stages::new(false);
        let source = self.model.open()?;
        let mut job = Job::open(&source, input, output, freezing, options, &mut stages)?;
        let form = job.form;
        let mut rewritten = job.rewrite(&mut stages)?;
        let made = Made::new(&rewritten.output, output.encoding(None), form, source.location.clone())?;
        rewritten.report.was_run(String::new(), stages.into_seconds());
        Ok(answer(&rewritten.report, &rewritten.report.warnings, made))
    }

    fn freeze(&self, args: &FreezeArgs) -> Outcome {
        let format = FrozenFormat::of(args.output_format, &args.output);
        let source = self.model.open()?;
        let frozen = freeze(args, &source, format, &mut Stages::new(false))?;
        let made = Made::new(&frozen.model.encode()?, format.encoding(), format.form(), source.location)?;
        Ok(answer(&frozen.report, &frozen.report.warnings, made))
    }

    fn calibrate(&self, args: &CalibrateArgs) -> Outcome {
        args.data.check()?;
        let format = FrozenFormat::of(args.output_format, &args.output);
        let source = self.model.open()?;
        let Calibrated { model, report, .. } = calibrate(args, &source, format, &mut Stages::new(false), self.go_on)?;
        let made = Made::new(&model.encode()?, format.encoding(), format.form(), source.location)?;
        Ok(answer(&report, report.freeze.warnings.iter().chain(&report.warnings), made))
    }

    fn compare(&self, args: &CompareArgs) -> Outcome {
        args.data.check()?;
        let sources = [self.model.open()?, self.open_other()?];
        let labels = self.labels.as_ref().map(|labels| match labels {
            Input::Path(path) => source::open_file(path),
            Input::Bytes(bytes) => Ok(Source::of_bytes(bytes.clone())),
        });
        let labels = labels.transpose()?;
        Ok(found(&compare(args, &sources, labels.as_ref(), &mut Stages::new(false), self.go_on)?))
    }
}

fn found(document: &impl Serialize) -> Answer {
    Answer { document: to_json(document), warnings: Vec::new(), made: None }
}

fn answer<'w>(document: &impl Serialize, warnings: impl IntoIterator<Item = &'w Warning>, made: Made) -> Answer {
    let in_words = |warning: &Warning| match warning.python {
        Some(python) => format!("{}\n{python}", warning.message),
        None => warning.message.clone(),
    };
    let warnings = warnings.into_iter().map(in_words).collect();
    Answer { document: to_json(document), warnings, made: Some(made) }
}

/// A document for a program: without line breaks.
fn to_json(document: &impl Serialize) -> String {
    serde_json::to_string(document).unwrap_or_default()
}
