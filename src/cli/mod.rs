//! The `tfquant` program: reads the command line, runs a verb, prints what went wrong.
//!
//! Each verb is a file: its arguments, an example of its use, and what it does. Exit codes: 0 done, 1 could not (or a check
//! found something), 2 wrong usage. No part of the library's interface, and nothing of the library reads it; it is here so
//! that whoever starts the program, from a binary of its own or out of another, starts the same one.

// All of it is inside the program; `main` alone is seen.
#![allow(unreachable_pub)]

mod args;
mod calibrate;
pub mod call;
mod check;
mod compare;
mod completions;
mod convert_script;
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
mod told_to_end;
mod verb;

use std::ffi::OsString;

use clap::{ColorChoice, Parser};

use verb::Verb;

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

/// How the program ends; unlike that of the standard library, a number that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode(pub u8);

impl ExitCode {
    /// Done, nothing found.
    pub const SUCCESS: Self = Self(0);
}

impl From<u8> for ExitCode {
    fn from(code: u8) -> Self {
        Self(code)
    }
}

/// Runs the program with these arguments, of which the first is its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => {
            // Whoever would read it may have had enough.
            let _ = usage.print();
            return ExitCode(if usage.use_stderr() { 2 } else { 0 });
        }
    };
    terminal::choose_color(cli.color);
    told_to_end::leave_nothing_behind();
    match cli.verb.run() {
        Ok(code) => code,
        Err(error) => terminal::fail(&error),
    }
}
