//! `tfquant completions`: a script that makes a shell complete the program's arguments.

use anyhow::Result;
use clap::{Args, CommandFactory};

use crate::cli::Cli;
use crate::cli::ExitCode;
use crate::cli::args::EXIT_CODES;
use crate::cli::terminal;

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
