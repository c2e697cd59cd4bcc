//! Two pieces of work that do not depend on each other, on two threads.

use std::panic::resume_unwind;
use std::thread;

/// Does both at the same time, or where the system has no thread to spare, one after the other.
pub(crate) fn both<A, B: Send>(first: impl FnOnce() -> A, mut second: impl FnMut() -> B + Send) -> (A, B) {
    let (first, done) = thread::scope(|scope| {
        let running = thread::Builder::new().spawn_scoped(scope, &mut second);
        let first = first();
        (first, running.map(|running| running.join().unwrap_or_else(|panic| resume_unwind(panic))))
    });
    (first, done.unwrap_or_else(|_| second()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_are_done() {
        let words = ["a".to_owned(), "b".to_owned()];
        assert_eq!(super::both(|| words[0].len(), || words[1].clone()), (1, "b".to_owned()));
    }
}
