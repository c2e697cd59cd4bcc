//! The `tfquant` program, which is [`tfquant::cli`].

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tfquant::cli::main(env::args_os()).0)
}
