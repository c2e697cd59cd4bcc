//! `tfquant fold`: batch norms alone, otherwise as `tfquant rewrite`.

use anyhow::Result;
use clap::Args;

use crate::cli::ExitCode;
use crate::cli::args::{EXIT_CODES, FreezingArgs, HtmlArgs, InputArgs, LayerArgs, OutputArgs};
use crate::cli::rewrite::transform;
use crate::{NamesOnly, RewriteOptions, TopologyOnly};

/// What `tfquant fold` is told.
#[derive(Debug, Args)]
#[command(before_help = "Example: tfquant fold model.pb -o folded.pb --mode eval", after_help = EXIT_CODES, override_usage = "tfquant fold [OPTIONS] -o <PATH> <MODEL>")]
pub struct FoldArgs {
    #[command(flatten)]
    pub input: InputArgs,

    #[command(flatten)]
    pub output: OutputArgs,

    #[command(flatten)]
    pub html: HtmlArgs,

    #[command(flatten)]
    pub freezing: FreezingArgs,

    #[command(flatten)]
    pub layers: LayerArgs,
}

pub fn run(args: &FoldArgs) -> Result<ExitCode> {
    let documents = [None, args.html.html.as_deref()];
    transform(&args.input, &args.output, documents, &args.freezing, &args.rewrite_options()?, None)
}

impl FoldArgs {
    /// The library's options, checked.
    pub fn rewrite_options(&self) -> crate::Result<RewriteOptions> {
        self.layers.rewrite_options(NamesOnly::default(), TopologyOnly::default(), &[])
    }
}
