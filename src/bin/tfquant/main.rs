//! The `tfquant` program: reads the command line, runs a verb, prints what went wrong.
//!
//! Each verb is a file: its arguments, an example of its use, and what it does. Exit codes: 0 done, 1 could not (or a check
//! found something), 2 wrong usage.

mod args;
mod calibrate;
mod check;
mod compare;
mod completions;
mod data;
mod diff;
mod explain;
mod fold;
mod freeze;
mod man;
mod models;
mod progress;
mod ranges;
mod rewrite;
mod run_args;
mod summary;
mod targets;
mod terminal;
#[cfg(test)]
mod tests;

use std::process::{self, ExitCode};

use clap::{ColorChoice, Parser, Subcommand};
use tfquant::output;

/// Rewrites TensorFlow graph files for simulated quantization.
#[derive(Debug, Parser)]
#[command(name = "tfquant", version, arg_required_else_help = true, after_help = args::EXIT_CODES_OF_ALL)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", help_heading = args::HOW_MUCH)]
    color: ColorChoice,
}

#[derive(Debug, Subcommand)]
enum Verb {
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

fn main() -> ExitCode {
    let cli = Cli::parse();
    terminal::choose_color(cli.color);
    leave_nothing_behind_when_told_to_end();
    match run(&cli.verb) {
        Ok(code) => code,
        Err(error) => terminal::fail(&error),
    }
}

/// Ctrl-C and the like, unless whoever started the program had it ignore them.
fn leave_nothing_behind_when_told_to_end() {
    const ENDED_BY_CTRL_C: i32 = 128 + 2;
    let handled = ctrlc::try_set_handler(|| {
        output::abandon();
        process::exit(ENDED_BY_CTRL_C);
    });
    drop(handled);
}

fn run(verb: &Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Rewrite(args) => rewrite::run(args),
        Verb::Fold(args) => fold::run(args),
        Verb::Freeze(args) => freeze::run(args),
        Verb::Calibrate(args) => calibrate::run(args),
        Verb::Summary(args) => summary::run(args),
        Verb::Check(args) => check::run(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Ranges(args) => ranges::run(args),
        Verb::Diff(args) => diff::run(args),
        Verb::Compare(args) => compare::run(args),
        Verb::Completions(args) => completions::run(args),
        Verb::Man => man::run(),
    }
}
