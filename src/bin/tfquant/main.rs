//! The `tfquant` program: reads the command line, runs a verb, prints what went wrong.
//!
//! Exit codes: 0 done, 1 could not (or a check found something), 2 wrong usage.

mod args;
mod cmd;
mod freeze;
mod progress;
mod targets;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Verb};

fn main() -> ExitCode {
    let cli = Cli::parse();
    terminal::choose_color(cli.color);
    match run(&cli) {
        Ok(code) => code,
        Err(error) => terminal::fail(&error),
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.verb {
        Verb::Rewrite(args) => cmd::rewrite::run(args),
        Verb::Fold(args) => cmd::fold::run(args),
        Verb::Freeze(args) => freeze::run(args),
        Verb::Summary(args) => cmd::summary::run(args),
        Verb::Check(args) => cmd::check::run(args),
        Verb::Explain(args) => cmd::explain::run(args),
        Verb::Diff(args) => cmd::diff::run(args),
        Verb::Completions(args) => cmd::completions::run(args),
        Verb::Man => cmd::man::run(),
    }
}
