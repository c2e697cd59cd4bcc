//! What was begun and is not in place yet, so that a program which is told to end can remove it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Held while something is begun or put in place.
static CHANGING: Mutex<()> = Mutex::new(());
/// What was begun and is not in place.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Waits until nobody else begins or puts in place anything.
pub(super) fn changing() -> MutexGuard<'static, ()> {
    locked(&CHANGING)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An entry of that list.
#[derive(Debug)]
pub(super) struct Unfinished(PathBuf);

impl Unfinished {
    pub(super) fn new(path: &Path) -> Self {
        locked(&UNFINISHED).insert(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        locked(&UNFINISHED).remove(&self.0);
    }
}

/// Removes all that was begun and is not in place, for a program that ends now: what is being put in place comes first,
/// and no other thread begins or puts in place anything afterwards.
pub fn abandon() {
    std::mem::forget(locked(&CHANGING));
    for path in locked(&UNFINISHED).iter() {
        // The program ends; there is no one to tell.
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}
