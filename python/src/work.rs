//! Work beside the interpreter: on a thread with a stack of its own, while other threads of Python run, and until Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// As much as a program's first thread has; a thread of Python may have less.
const STACK_BYTES: usize = 8 << 20;

/// How often the interpreter is asked whether someone pressed Ctrl-C.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Does the work, which asks now and then whether to go on.
pub fn run<T: Send>(py: Python<'_>, work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> T + Send) -> PyResult<T> {
    let (stopped, ended) = (AtomicBool::new(false), Ended::new());
    thread::scope(|scope| {
        let worker = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || {
            let _told = ended.told_when_dropped();
            work(&|| !stopped.load(Ordering::Relaxed))
        })?;
        let mut interrupted = Ok(());
        while interrupted.is_ok() && !py.detach(|| ended.within(LOOK_EVERY)) {
            interrupted = py.check_signals();
        }
        stopped.store(true, Ordering::Relaxed);
        let outcome = py.detach(|| worker.join());
        interrupted?;
        outcome
            .map_err(|_| PyRuntimeError::new_err("tfquant failed on its own account; this is a bug, please report it"))
    })
}

/// Whether the work has ended, for the thread that waits for it.
struct Ended {
    flag: AtomicBool,
    waiting: Thread,
}

/// Tells it, however the work ends.
struct Told<'a>(&'a Ended);

impl Ended {
    fn new() -> Self {
        Self { flag: AtomicBool::new(false), waiting: thread::current() }
    }

    fn told_when_dropped(&self) -> Told<'_> {
        Told(self)
    }

    /// Waits for the end, not longer than that.
    fn within(&self, time: Duration) -> bool {
        if !self.flag.load(Ordering::Acquire) {
            thread::park_timeout(time);
        }
        self.flag.load(Ordering::Acquire)
    }
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.flag.store(true, Ordering::Release);
        self.0.waiting.unpark();
    }
}
