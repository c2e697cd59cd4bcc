//! `tfquant completions`: a script that makes a shell complete the program's arguments.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory};

use crate::Cli;
use crate::args::EXIT_CODES;
use crate::terminal;

/// What `tfquant completions` is told.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant completions bash", after_help = EXIT_CODES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

pub fn run(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tfquant", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
