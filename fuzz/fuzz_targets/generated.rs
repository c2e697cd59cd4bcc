#![no_main]

#[path = "../bodies.rs"]
#[allow(dead_code)] // every target runs one of them
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| bodies::generated(data));
