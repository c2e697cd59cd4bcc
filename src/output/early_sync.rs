//! Syncing while there is more to write.

use std::fs::File;
use std::thread::{self, JoinHandle};

/// Brings what is written to disk while the rest is being copied, so that the sync at the end has little left to do.
#[derive(Debug, Default)]
pub(super) struct EarlySync {
    unsynced: u64,
    running: Option<JoinHandle<()>>,
}

/// So many bytes are worth a sync of their own.
const EARLY_SYNC_BYTES: u64 = 128 << 20;

impl EarlySync {
    /// Takes note of bytes written to `file`. Whether a sync succeeds shows at the end, when all is synced again.
    pub(super) fn wrote(&mut self, file: &File, bytes: u64) {
        self.unsynced += bytes;
        let idle = self.running.as_ref().is_none_or(JoinHandle::is_finished);
        if self.unsynced < EARLY_SYNC_BYTES || !idle {
            return;
        }
        if let Ok(file) = file.try_clone() {
            self.unsynced = 0;
            self.running = thread::Builder::new().spawn(move || drop(file.sync_data())).ok();
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.join());
        }
    }
}
