//! Two pieces of work that do not depend on each other, on two threads.

use std::panic::resume_unwind;
use std::thread;

/// Does both at the same time, or where the system has no thread to spare, one after the other.
pub(crate) fn both<A, B: Send>(first: impl FnOnce() -> A, second: impl Fn() -> B + Sync) -> (A, B) {
    thread::scope(|scope| {
        let running = thread::Builder::new().spawn_scoped(scope, &second);
        let first = first();
        let second = match running {
            Ok(running) => running.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => second(),
        };
        (first, second)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_are_done() {
        let words = ["a".to_owned(), "b".to_owned()];
        assert_eq!(super::both(|| words[0].len(), || words[1].clone()), (1, "b".to_owned()));
    }
}
