//! How long each stage takes, and a bar on the terminal while samples are run or a big file is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::ops::Range;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::Sink;
use crate::cli::terminal;

/// Smaller outputs are done before a bar could be read.
const BAR_FROM_BYTES: u64 = 64 << 20;

/// Times the stages of a run.
pub struct Stages {
    /// Whether anything is said.
    wanted: bool,
    visible: bool,
    seconds: BTreeMap<String, f64>,
}

impl Stages {
    /// Says what there is to say if that is wanted, and shows progress if standard error is a terminal, too.
    pub fn new(wanted: bool) -> Self {
        Self { wanted, visible: wanted && io::stderr().is_terminal(), seconds: BTreeMap::new() }
    }

    /// Runs one stage behind a spinner.
    pub fn run<T>(&mut self, stage: &'static str, work: impl FnOnce() -> T) -> T {
        let spinner = self.bar(None, stage);
        let started = Instant::now();
        let result = work();
        self.finish(stage, started, &spinner);
        result
    }

    /// Runs a stage that goes through something one by one.
    pub fn count<T>(&mut self, stage: &'static str, work: impl FnOnce(&Counter) -> T) -> T {
        let counter = Counter { bar: self.bar(None, stage), says: self.wanted };
        let started = Instant::now();
        let result = work(&counter);
        self.finish(stage, started, &counter.bar);
        result
    }

    /// Runs the stage that writes `length` bytes to `out`.
    pub fn write<W: Sink, T>(&mut self, length: u64, out: &mut W, work: impl FnOnce(&mut Counted<'_, W>) -> T) -> T {
        let bar = self.bar((length >= BAR_FROM_BYTES).then_some(length), "write");
        let started = Instant::now();
        let result = work(&mut Counted { out, bar: &bar });
        self.finish("write", started, &bar);
        result
    }

    fn finish(&mut self, stage: &str, started: Instant, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.seconds.insert(stage.to_owned(), started.elapsed().as_secs_f64());
    }

    fn bar(&self, length: Option<u64>, stage: &'static str) -> ProgressBar {
        if !self.visible {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr()).with_message(stage);
        if length.is_some()
            && let Ok(style) = ProgressStyle::with_template("{msg:8} {bar:40} {bytes}/{total_bytes} {eta}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// The time each stage took, in seconds.
    pub fn into_seconds(self) -> BTreeMap<String, f64> {
        self.seconds
    }
}

/// A bar that counts, with the rate and the time that is left.
pub struct Counter {
    bar: ProgressBar,
    says: bool,
}

impl Counter {
    /// So many of all are done.
    pub fn reached(&self, done: usize, all: usize) {
        if self.bar.length().is_none() {
            let style = ProgressStyle::with_template("{msg:9} {bar:40} {pos}/{len}  {per_sec}  {eta} left");
            if let Ok(style) = style {
                self.bar.set_style(style);
            }
            self.bar.set_length(all as u64);
            self.bar.reset_eta();
        }
        self.bar.set_position(done as u64);
    }

    /// Prints text above the bar, if anything is said.
    pub fn say(&self, text: &str) {
        if self.says {
            self.bar.suspend(|| terminal::say(text));
        }
    }
}

/// A writer that moves a bar.
pub struct Counted<'a, W> {
    out: &'a mut W,
    bar: &'a ProgressBar,
}

/// Large ranges are handed on in steps, so that the bar moves.
const STEP_BYTES: usize = 16 << 20;

impl<W: Sink> Sink for Counted<'_, W> {
    fn copy_from(&mut self, file: &File, range: Range<u64>) -> io::Result<bool> {
        let mut start = range.start;
        while start < range.end {
            let end = range.end.min(start + STEP_BYTES as u64);
            if !self.out.copy_from(file, start..end)? {
                return Ok(false);
            }
            self.bar.inc(end - start);
            start = end;
        }
        Ok(true)
    }
}

impl<W: Sink> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(&bytes[..bytes.len().min(STEP_BYTES)])?;
        self.bar.inc(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
