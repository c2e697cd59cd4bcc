//! The verbs, in the order that `--help` has them. Each is a file of its own beside this one.

use clap::Subcommand;

use crate::cli::ExitCode;
use crate::cli::args;
use crate::cli::{
    calibrate, check, compare, completions, convert_script, diff, explain, fold, freeze, man, ranges, rewrite, summary,
};

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Insert fake quantizers around the layers of a graph
    Rewrite(rewrite::RewriteArgs),
    /// Fold batch norms into the weights of their layers, without quantizing
    Fold(fold::FoldArgs),
    /// Make one graph without variables and calls out of a model
    Freeze(freeze::FreezeArgs),
    /// Make a float model one with 8-bit ranges, which samples show, for a converter to integers
    Calibrate(calibrate::CalibrateArgs),
    /// Tell what a graph is: inputs, outputs, ops, parameters, how far it is quantized
    Summary(summary::SummaryArgs),
    /// Tell whether a converter will take a graph, and what looks wrong in it
    Check(check::CheckArgs),
    /// Tell what the rules say about each layer, and why
    Explain(explain::ExplainArgs),
    /// Tell the range of every fake quantizer, with its scale and zero point
    Ranges(ranges::RangesArgs),
    /// Print the lines of Python that convert a quantized model
    ConvertScript(convert_script::ConvertScriptArgs),
    /// Tell how two graphs differ, node by node
    Diff(diff::DiffArgs),
    /// Tell how near two models' tensors are on the same samples, and which classes both see
    Compare(compare::CompareArgs),
    /// Print the completions for a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page
    #[command(before_help = "Example: tfquant man > tfquant.1", after_help = args::EXIT_CODES)]
    Man,
}

impl Verb {
    /// Does what the verb says.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Rewrite(args) => rewrite::run(args),
            Self::Fold(args) => fold::run(args),
            Self::Freeze(args) => freeze::run(args),
            Self::Calibrate(args) => calibrate::run(args),
            Self::Summary(args) => summary::run(args),
            Self::Check(args) => check::run(args),
            Self::Explain(args) => explain::run(args),
            Self::Ranges(args) => ranges::run(args),
            Self::ConvertScript(args) => convert_script::run(args),
            Self::Diff(args) => diff::run(args),
            Self::Compare(args) => compare::run(args),
            Self::Completions(args) => completions::run(args),
            Self::Man => man::run(),
        }
    }
}
