//! Loops over elements, in vectors as wide as the processor has.

/// Runs `$loops`, which are compiled a second time for AVX2: the compiler's vectors are half as wide without it.
#[cfg(target_arch = "x86_64")]
macro_rules! in_vectors {
    ($loops:expr) => {
        match fearless_simd::Level::new().as_avx2() {
            Some(simd) => fearless_simd::Simd::vectorize(
                simd,
                #[inline(always)]
                || $loops,
            ),
            None => $loops,
        }
    };
}

/// Runs `$loops`: here the compiler's vectors are as wide as the processor's.
#[cfg(not(target_arch = "x86_64"))]
macro_rules! in_vectors {
    ($loops:expr) => {
        $loops
    };
}

pub(crate) use in_vectors;
