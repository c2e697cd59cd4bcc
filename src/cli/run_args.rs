//! What a run of a model may use.

use std::thread;

use clap::Args;

use crate::cli::args::WHAT;
use crate::interpreter::Limits;

/// Threads, memory and steps.
#[derive(Debug, Args)]
#[command(next_help_heading = WHAT)]
pub struct RunArgs {
    /// Threads that run the model [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,

    /// Megabytes that the run may hold [default: half of the machine's memory]
    #[arg(long, value_name = "MB")]
    pub memory_limit: Option<usize>,

    /// Nodes that one sample may compute, each as often as a loop repeats it [default: 50000000]
    #[arg(long, value_name = "N")]
    pub max_steps: Option<u64>,
}

impl RunArgs {
    /// How many threads run the model.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
    }

    /// What a run may use.
    pub fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            memory: self.memory_limit.map_or(default.memory, |megabytes| megabytes.saturating_mul(1 << 20)),
            steps: self.max_steps.unwrap_or(default.steps),
        }
    }
}
