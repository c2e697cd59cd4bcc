//! How much memory all sessions of a plan may hold together: who holds some, holds a [`Charge`] for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// How much may be held, and how much is.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), peak: AtomicUsize::new(0) })
    }

    /// What is held now, in bytes.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that was held at once, in bytes.
    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    pub(super) fn charge(self: &Arc<Self>, bytes: usize) -> Result<Charge> {
        let added = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|&sum| sum <= self.limit)
        });
        match added {
            Ok(before) => {
                self.peak.fetch_max(before + bytes, Ordering::Relaxed);
                Ok(Charge { budget: Arc::clone(self), bytes })
            }
            Err(used) => Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "{} more would pass the memory limit of {} ({} in use)",
                    size(bytes),
                    size(self.limit),
                    size(used)
                ),
            )
            .hint("raise --memory-limit, use fewer --threads, or feed a smaller batch")),
        }
    }
}

/// A number of bytes in words.
fn size(bytes: usize) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// Bytes that a budget counts until this goes.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
