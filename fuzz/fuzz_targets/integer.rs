#![no_main]

#[path = "../bodies.rs"]
#[allow(dead_code)] // every target runs one of them
mod bodies;
#[path = "../libfuzzer.rs"]
mod libfuzzer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::integer(data));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    libfuzzer::mutate(data, size, max_size, seed, 1)
});
