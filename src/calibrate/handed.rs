//! Tensors that one run hands to another beside it, so that few of them are held at a time.
//!
//! The second run begins when the first is over or when much is held, then in a thread of its own. Both compute nearly the
//! same in nearly the same order. The first waits while the second has much to catch up on, unless the second waits in
//! turn, for a tensor that is yet to come: neither ever waits for good.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use hashbrown::HashMap;

use crate::interpreter::Tensor;

/// So many bytes are held before the first run waits for the second.
const MOST_BYTES: usize = 64 << 20;

/// What was handed over and not taken yet.
#[derive(Default)]
struct Handed {
    /// By place, in the order in which they were computed: in a loop, a tensor is computed more than once.
    held: HashMap<usize, VecDeque<Tensor>>,
    bytes: usize,
    /// Whether the second run can do nothing before more is handed over.
    is_awaited: bool,
    /// Whether the first run is over.
    is_complete: bool,
    /// Whether the second run is over.
    is_left: bool,
}

#[derive(Default)]
struct Between {
    handed: Mutex<Handed>,
    changed: Condvar,
}

impl Between {
    fn handed(&self) -> MutexGuard<'_, Handed> {
        self.handed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, handed: MutexGuard<'a, Handed>) -> MutexGuard<'a, Handed> {
        self.changed.wait(handed).unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first run's end.
pub(super) struct Giver<'a> {
    between: &'a Between,
    /// Starts the second run, if it has not begun; says whether it has now.
    start_other: &'a mut dyn FnMut() -> bool,
}

/// The second run's end.
pub(super) struct Taker<'a>(&'a Between);

impl Giver<'_> {
    /// Hands a tensor over; waits while too much is held.
    pub(super) fn give(&mut self, place: usize, tensor: &Tensor) {
        let mut handed = self.between.handed();
        if handed.bytes > MOST_BYTES && (self.start_other)() {
            while handed.bytes > MOST_BYTES && !handed.is_awaited && !handed.is_left {
                handed = self.between.wait(handed);
            }
        }
        if !handed.is_left {
            handed.bytes += bytes(tensor);
            handed.held.entry(place).or_default().push_back(tensor.clone());
            self.between.changed.notify_all();
        }
    }
}

impl Drop for Giver<'_> {
    fn drop(&mut self) {
        self.between.handed().is_complete = true;
        self.between.changed.notify_all();
    }
}

impl Taker<'_> {
    /// The next tensor of that place, once it has been handed over; `None` if none comes.
    pub(super) fn take(&self, place: usize) -> Option<Tensor> {
        let mut handed = self.0.handed();
        loop {
            let tensor = handed.held.get_mut(&place).and_then(VecDeque::pop_front);
            handed.is_awaited = tensor.is_none();
            if tensor.is_some() || handed.is_complete {
                handed.bytes -= tensor.as_ref().map_or(0, bytes);
                self.0.changed.notify_all();
                return tensor;
            }
            self.0.changed.notify_all();
            handed = self.0.wait(handed);
        }
    }
}

impl Drop for Taker<'_> {
    fn drop(&mut self) {
        let mut handed = self.0.handed();
        handed.is_left = true;
        handed.held.clear();
        self.0.changed.notify_all();
    }
}

fn bytes(tensor: &Tensor) -> usize {
    tensor.len() * size_of::<f32>()
}

/// Runs the second beside the first, or after it.
pub(super) fn side_by_side<A, B: Send>(
    first: impl FnOnce(Giver<'_>) -> A,
    mut second: impl FnMut(Taker<'_>) -> B + Send,
) -> (A, B) {
    let between = Between::default();
    let mut second = || second(Taker(&between));
    let (given, taken) = thread::scope(|scope| {
        let mut waiting = Some(&mut second);
        let mut running = None;
        let mut start_other = || {
            let start = |second| thread::Builder::new().spawn_scoped(scope, second).ok();
            running = running.take().or_else(|| waiting.take().and_then(start));
            running.is_some()
        };
        let given = first(Giver { between: &between, start_other: &mut start_other });
        (given, running.map(|running| running.join().unwrap_or_else(|panic| resume_unwind(panic))))
    });
    (given, taken.unwrap_or_else(second))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands over a tensor of each value, in this order; what comes of taking the places in that order.
    fn taken(given: &[(usize, usize)], places: &[usize]) -> Vec<Option<usize>> {
        let give = |mut giver: Giver<'_>| {
            for &(place, len) in given {
                giver.give(place, &Tensor::vector(vec![0f32; len]));
            }
        };
        let take = |taker: Taker<'_>| {
            places.iter().map(|&place| taker.take(place).map(|tensor| tensor.len())).collect::<Vec<_>>()
        };
        side_by_side(give, take).1
    }

    #[test]
    fn tensors_come_by_their_place_and_in_their_order() {
        let given = [(0, 1), (1, 2), (1, 3), (2, 4)];
        assert_eq!(taken(&given, &[0, 1, 1, 2]), [Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(taken(&given, &[2, 1, 0, 1, 1]), [Some(4), Some(2), Some(1), Some(3), None]);
        assert_eq!(taken(&given, &[]), []);
    }

    #[test]
    fn neither_waits_for_good_though_more_is_held_than_should_be() {
        let large = MOST_BYTES / size_of::<f32>() / 2 + 1;
        let given: Vec<_> = (0..8).map(|place| (place, large)).collect();
        assert_eq!(taken(&given, &[7, 0]), [Some(large), Some(large)]);
        assert_eq!(taken(&given, &[0]), [Some(large)]);
        assert_eq!(taken(&given, &[9, 3]), [None, Some(large)]);
    }
}
