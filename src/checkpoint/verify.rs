//! Compares what was handed out of data files with its checksums, several ranges at a time.
//!
//! Ranges are read through small buffers, not through the map, so that what was checked does not count as this process's
//! memory.

use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{mask, tensor::wrong_checksum};
use crate::error::{Error, Result};
use crate::source::Part;

/// A range of a data file that a checksum is of.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub key: String,
    pub part: Part,
    pub crc32c: u32,
}

/// So many bytes are read at a time.
const CHUNK_BYTES: usize = 1 << 18;
/// More threads wait for each other.
const MAX_THREADS: usize = 4;
/// Fewer bytes are read before a thread has started.
const BYTES_PER_THREAD: usize = 4 << 20;

/// Compares all of them; tells of the first, in their order, that is wrong.
pub(super) fn verify(ranges: &[Range]) -> Result<()> {
    let bytes: usize = ranges.iter().map(|range| range.part.bytes.len()).sum();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(MAX_THREADS).min(bytes / BYTES_PER_THREAD + 1);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = None;
        while let Some((place, range)) = take(&next, ranges) {
            if let Err(error) = verify_one(range) {
                wrong = wrong.or(Some((place, error)));
            }
        }
        wrong
    };
    let wrong = thread::scope(|scope| {
        let started: Vec<_> =
            (1..threads).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let own = work();
        let others = started.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        others.chain([own]).flatten().min_by_key(|(place, _)| *place)
    });
    wrong.map_or(Ok(()), |(_, error)| Err(error))
}

fn take<'a>(next: &AtomicUsize, ranges: &'a [Range]) -> Option<(usize, &'a Range)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    Some((place, ranges.get(place)?))
}

fn verify_one(range: &Range) -> Result<()> {
    let crc = checksum(&range.part).map_err(|error| {
        Error::io(format!("cannot read '{}' of the checkpoint", range.key), error).hint("check the disk")
    })?;
    if mask(crc) == range.crc32c { Ok(()) } else { Err(wrong_checksum(&range.key)) }
}

fn checksum(part: &Part) -> io::Result<u32> {
    let (mut crc, mut start, mut chunk) = (0, 0, Vec::new());
    while start < part.bytes.len() {
        let end = part.bytes.len().min(start + CHUNK_BYTES);
        chunk.clear();
        if let Some(range) = part.slice(start..end) {
            range.read_to(&mut chunk)?;
        }
        crc = crc32c::crc32c_append(crc, &chunk);
        start = end;
    }
    Ok(crc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_wrong_is_told() {
        let range = |key: usize, crc: u32| {
            let bytes = vec![u8::try_from(key % 251).unwrap(); 3 << 20];
            let crc32c = mask(crc32c::crc32c(&bytes)) ^ crc;
            Range { key: key.to_string(), part: Part::from(bytes), crc32c }
        };
        let right: Vec<Range> = (0..9).map(|key| range(key, 0)).collect();
        assert!(verify(&right).is_ok());
        let wrong: Vec<Range> = (0..9).map(|key| range(key, u32::from(key >= 4))).collect();
        assert!(verify(&wrong).unwrap_err().to_string().contains("checksum of '4'"));
    }
}
