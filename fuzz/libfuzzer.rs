//! The mutator of messages, as libFuzzer calls it.

use arbitrary::Unstructured;

#[path = "mutator.rs"]
mod mutator;

/// Changes the `size` bytes in place, of which the first `kept` are no part of the message; returns how many there are
/// then. Every other time, libFuzzer's own changes are made.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32, kept: usize) -> usize {
    if seed % 2 == 0 || size <= kept {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let choices: Vec<u8> = (0..64u32).map(|index| hash(seed.wrapping_add(index.wrapping_mul(0x9e37_79b9)))).collect();
    let message = mutator::mutate(&data[kept..size], &mut Unstructured::new(&choices));
    if kept + message.len() > max_size {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    data[kept..kept + message.len()].copy_from_slice(&message);
    kept + message.len()
}

/// A byte that looks drawn.
fn hash(mut number: u32) -> u8 {
    number = (number ^ number >> 16).wrapping_mul(0x45d9_f3b5);
    number = (number ^ number >> 16).wrapping_mul(0x45d9_f3b5);
    number.to_be_bytes()[1]
}
