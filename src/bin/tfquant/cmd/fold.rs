//! `tfquant fold`: batch norms alone, otherwise as `tfquant rewrite`.

use std::process::ExitCode;

use anyhow::Result;

use super::rewrite::transform;
use crate::args::FoldArgs;

pub fn run(args: &FoldArgs) -> Result<ExitCode> {
    transform(&args.input, &args.output, None, args.html.html.as_deref(), &args.rewrite_options()?)
}
