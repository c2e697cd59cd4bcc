//! What samples are: their extremes and mean, before anything is computed of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use super::Extremes;
use super::feed::{Feeds, Fitted};
use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::Tensor;
use crate::samples::floats;

/// What was fed to an input.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Fed {
    /// The input.
    pub tensor: String,
    /// The element type of the samples.
    pub dtype: String,
    /// The dimensions of one sample, without the batch's.
    pub shape: Vec<usize>,
    /// How many samples.
    pub count: usize,
    /// How many more there are, which do not fill a batch.
    pub left_over: usize,
    /// The least value.
    pub min: f32,
    /// The greatest value.
    pub max: f32,
    /// The mean of all values.
    pub mean: f64,
    /// Whether all values are whole numbers, or between those of pixels.
    pub whole_numbers: bool,
}

/// What one sample, or several, hold.
#[derive(Debug, Clone, Copy)]
struct Seen {
    extremes: Extremes,
    sum: f64,
    count: usize,
    whole: bool,
}

impl Seen {
    const NOTHING: Self = Self { extremes: Extremes::NONE, sum: 0.0, count: 0, whole: true };

    /// None for a sample with a value that is infinite or not a number.
    fn of(sample: &Tensor) -> Option<Self> {
        let values = floats(sample);
        Some(Self {
            extremes: Extremes::of(&values)?,
            sum: values.iter().map(|&value| f64::from(value)).sum(),
            count: values.len(),
            whole: values.iter().all(|value| value.fract() == 0.0),
        })
    }

    fn and(self, other: Self) -> Self {
        Self {
            extremes: self.extremes.and(other.extremes),
            sum: self.sum + other.sum,
            count: self.count + other.count,
            whole: self.whole && other.whole,
        }
    }
}

/// Looks at all that will be fed, in that many threads; `limit` is how many samples there may be at most.
///
/// # Errors
/// Those of the samples; [`ErrorKind::Options`] if they do not fit an input, hold what is no number, or are all the same.
pub(super) fn look(feeds: &Feeds<'_>, limit: usize, threads: usize) -> Result<Vec<Fed>> {
    feeds.inputs.iter().map(|input| fed(input, feeds.runs, limit, threads)).collect()
}

fn fed(input: &Fitted<'_>, runs: usize, limit: usize, threads: usize) -> Result<Fed> {
    let used = input.used(runs);
    let first = input.samples.sample(0)?;
    let seen = see_all(input, used, threads)?;
    let Extremes { min, max } = seen.extremes;
    // What is one number each time may be a switch.
    if min >= max && first.len() > 1 {
        let what = format!("all samples of the input '{}' are {min}", input.input.tensor);
        return Err(Error::new(ErrorKind::Options, what).hint("calibration needs data like those of real use"));
    }
    Ok(Fed {
        tensor: input.input.tensor.clone(),
        dtype: first.dtype().name().to_owned(),
        shape: first.dims()[1..].to_vec(),
        count: used,
        left_over: input.samples.count().min(limit) - used,
        min,
        max,
        mean: seen.sum / seen.count.max(1) as f64,
        whole_numbers: seen.whole || input.samples.are_pixels(),
    })
}

/// Adds up in the order of samples, whichever thread has seen them; the error is that of the first that has one.
fn see_all(input: &Fitted<'_>, count: usize, threads: usize) -> Result<Seen> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut seen = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return seen;
            }
            let one = see(input, index);
            let failed = one.is_err();
            seen.push((index, one));
            if failed {
                next.store(count, Ordering::Relaxed);
            }
        }
    };
    let mut all = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.clamp(1, count.max(1))).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for thread in others {
            all.extend(thread.join().unwrap_or_default());
        }
        all
    });
    all.sort_unstable_by_key(|&(index, _)| index);
    all.into_iter().try_fold(Seen::NOTHING, |seen, (_, one)| Ok(seen.and(one?)))
}

fn see(input: &Fitted<'_>, index: usize) -> Result<Seen> {
    let sample = input.samples.sample(index)?;
    input.check(&sample)?;
    Seen::of(&sample).ok_or_else(|| {
        let what = format!("sample {index} of '{}' holds a value that is infinite or not a number", input.input.tensor);
        Error::new(ErrorKind::Options, what).hint("take it out, or look at the scaling (--mean, --std, --scale)")
    })
}
