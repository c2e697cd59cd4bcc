//! Runs a plan on samples and keeps statistics of its tensors.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use hashbrown::HashMap;

use super::statistics::Statistics;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, TensorRef};
use crate::interpreter::{Plan, Session, Tensor};

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many threads; none more than there are samples is used.
    pub threads: usize,
    /// Whether to keep histograms.
    pub histograms: bool,
}

/// What is run on.
pub struct Runs<'a> {
    /// The plan's inputs.
    pub inputs: &'a [TensorRef],
    /// The samples, by their numbers.
    pub samples: &'a [usize],
    /// What the inputs are fed with for a sample.
    pub sample: &'a (dyn Fn(usize) -> Result<Vec<Tensor>> + Sync),
}

/// Runs the plan and keeps statistics of the tensors, in their order; those that are fed may be among them. `done` is
/// told after each sample how many there have been; when it says no, the run ends with an error.
///
/// The result is the same for any number of threads, and so is the error: that of the first sample that has one.
///
/// # Errors
/// Those of a sample or of the run; [`ErrorKind::Refused`], with the node, for a value that is infinite or not a number;
/// [`ErrorKind::Options`] when it was told to stop.
pub fn collect(
    graph: &Graph,
    plan: &Plan,
    tensors: &[TensorRef],
    runs: &Runs<'_>,
    options: Options,
    done: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<Statistics>> {
    let count = runs.samples.len();
    let places: HashMap<TensorRef, usize> =
        tensors.iter().enumerate().map(|(place, &tensor)| (tensor, place)).collect();
    let fresh = || tensors.iter().map(|_| Statistics::new(count, options.histograms)).collect::<Vec<_>>();
    let (next, finished, stopped) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let work = || {
        let mut seen = fresh();
        let mut session = Session::new(plan);
        // A sample behind one that failed is not begun; those before it are, as theirs would be the first error.
        while !stopped.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            if let Err(error) = one(graph, &mut session, &places, &mut seen, index, runs) {
                stopped.store(true, Ordering::Relaxed);
                let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                    *failed = Some((index, error));
                }
                break;
            }
            if !done(finished.fetch_add(1, Ordering::Relaxed) + 1) {
                stopped.store(true, Ordering::Relaxed);
            }
        }
        seen
    };
    let threads = options.threads.clamp(1, count.max(1));
    let parts: Vec<Vec<Statistics>> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut parts = vec![work()];
        parts.extend(others.into_iter().filter_map(|thread| thread.join().ok()));
        parts
    });
    if let Some((_, error)) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    if stopped.into_inner() || parts.len() < threads {
        return Err(Error::new(ErrorKind::Options, "stopped before all samples were run"));
    }
    let mut merged = fresh();
    for part in &parts {
        merged.iter_mut().zip(part).for_each(|(all, part)| all.merge(part));
    }
    Ok(merged)
}

fn one(
    graph: &Graph,
    session: &mut Session<'_>,
    places: &HashMap<TensorRef, usize>,
    seen: &mut [Statistics],
    index: usize,
    runs: &Runs<'_>,
) -> Result<()> {
    let number = runs.samples[index];
    let mut see = |at: TensorRef, tensor: &Tensor| {
        let (Some(&place), Some(values)) = (places.get(&at), tensor.values::<f32>()) else { return Ok(()) };
        if seen[place].add(index, values) {
            return Ok(());
        }
        let what = format!("sample {number} makes a value that is infinite or not a number");
        Err(graph
            .error(ErrorKind::Refused, what, at.node)
            .hint("look at the sample and at its scaling (--mean, --std, --scale)"))
    };
    let fed = (runs.sample)(number)?;
    // What is fed is not computed, so that the run does not show it.
    runs.inputs.iter().zip(&fed).try_for_each(|(&input, tensor)| see(input, tensor))?;
    session.run(&fed, &mut see)?;
    Ok(())
}
