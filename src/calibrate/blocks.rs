//! Work on samples in threads, summed up so that the sum is the same for any number of them.
//!
//! Floating-point sums depend on their order. So the samples are cut into blocks, as many whatever the threads; one thread
//! sums up a block from its first sample to its last, and whoever asked adds the blocks in their order.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::{Error, ErrorKind, Result};

/// How many blocks there are at most: what is summed up is held as often.
const BLOCKS: usize = 32;

/// Goes through samples `0..count`: `start` makes what a thread works with, `fresh` an empty sum, and `add` adds a sample
/// to it. `done` is told after each sample how many there have been; when it says no, the run ends with an error.
///
/// # Errors
/// That of the first sample that has one; [`ErrorKind::Options`] when it was told to stop.
pub(super) fn in_blocks<W, S: Send>(
    count: usize,
    threads: usize,
    start: &(dyn Fn() -> W + Sync),
    fresh: &(dyn Fn() -> S + Sync),
    add: &(dyn Fn(&mut W, &mut S, usize) -> Result<()> + Sync),
    done: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<S>> {
    let blocks = count.min(BLOCKS);
    let (next, finished, stopped) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    // Samples behind one that failed are not begun; those before it are, as theirs would be the first error.
    let bad = AtomicUsize::new(usize::MAX);
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let block_of = |working: &mut W, samples: Range<usize>| {
        let mut sum = fresh();
        for index in samples {
            if stopped.load(Ordering::Relaxed) || index > bad.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = add(working, &mut sum, index) {
                bad.fetch_min(index, Ordering::Relaxed);
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                    *failed = Some((index, error));
                }
                break;
            }
            if !done(finished.fetch_add(1, Ordering::Relaxed) + 1) {
                stopped.store(true, Ordering::Relaxed);
            }
        }
        sum
    };
    let work = || {
        let mut working = start();
        let mut sums = Vec::new();
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= blocks {
                return sums;
            }
            sums.push((block, block_of(&mut working, block * count / blocks..(block + 1) * count / blocks)));
        }
    };
    let mut sums: Vec<(usize, S)> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.clamp(1, blocks.max(1))).map(|_| scope.spawn(work)).collect();
        let mut sums = work();
        sums.extend(others.into_iter().filter_map(|thread| thread.join().ok()).flatten());
        sums
    });
    if let Some((_, error)) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    if stopped.into_inner() || sums.len() < blocks {
        return Err(Error::new(ErrorKind::Options, "stopped before all samples were run"));
    }
    sums.sort_unstable_by_key(|&(block, _)| block);
    Ok(sums.into_iter().map(|(_, sum)| sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(count: usize, threads: usize, bad: &[usize]) -> Result<Vec<Vec<usize>>> {
        let add = |(): &mut (), seen: &mut Vec<usize>, index: usize| {
            seen.push(index);
            let error = || Err(Error::new(ErrorKind::Refused, format!("sample {index}")));
            if bad.contains(&index) { error() } else { Ok(()) }
        };
        in_blocks(count, threads, &|| (), &Vec::new, &add, &|_| true)
    }

    #[test]
    fn every_sample_is_in_one_block_whatever_the_threads() {
        for count in [0, 1, 31, 32, 33, 100] {
            let one = sums(count, 1, &[]).unwrap();
            assert!(one.len() <= BLOCKS);
            assert_eq!(one.concat(), (0..count).collect::<Vec<_>>());
            assert_eq!(sums(count, 5, &[]).unwrap(), one);
        }
    }

    #[test]
    fn the_first_error_is_told() {
        for threads in [1, 4] {
            assert_eq!(sums(100, threads, &[97, 13, 40]).unwrap_err().to_string(), "sample 13");
        }
        let stop = in_blocks(10, 2, &|| (), &|| (), &|(), (), _| Ok(()), &|done| done < 3);
        assert_eq!(stop.unwrap_err().kind(), ErrorKind::Options);
    }
}
