//! Functions of one float, written without branches and calls, so that loops over them run on whole vectors.
//!
//! Polynomials and rational functions of the numerics literature (Cephes; the minimax fits that Eigen evaluates), within
//! a few units in the last place of the exact value.

/// `e^x`.
#[inline]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first short enough for its products with small integers to be exact.
    #[allow(clippy::excessive_precision)] // all of its digits
    const LN_2_HIGH: f32 = 0.693_359_375;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 · 2^23 rounds to an integer.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.336_54, 88.722_83);
    let rounded = clamped * LOG2_E + ROUND;
    let exponent = rounded - ROUND;
    let rest = clamped - exponent * LN_2_HIGH - exponent * LN_2_LOW;
    let series = 1.987_569_1e-4 * rest + 1.398_2e-3;
    let series = series * rest + 8.333_452e-3;
    let series = series * rest + 4.166_579_6e-2;
    let series = series * rest + 1.666_666_5e-1;
    let series = series * rest + 0.5;
    let series = series * rest * rest + rest + 1.0;
    // The integer is in the low bits of the rounded sum. 2^128 is no float: two factors.
    let power = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = power >> 1;
    let factor = |power: i32| f32::from_bits(((power + 127) << 23) as u32);
    let value = series * factor(half) * factor(power - half);
    let value = if x > 88.722_83 { f32::INFINITY } else { value };
    let value = if x < -103.972_08 { 0.0 } else { value };
    if x.is_nan() { x } else { value }
}

/// `1 / (1 + e^-x)`.
#[inline]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent.
#[inline]
pub(crate) fn tanh(x: f32) -> f32 {
    // Past this, the nearest float is ±1.
    let clamped = x.clamp(-7.905_311, 7.905_311);
    let square = clamped * clamped;
    let numerator = -2.760_768_5e-16 * square + 2.000_188e-13;
    let numerator = numerator * square - 8.604_672e-11;
    let numerator = numerator * square + 5.122_297e-8;
    let numerator = numerator * square + 1.485_722_4e-5;
    let numerator = numerator * square + 6.372_619_3e-4;
    let numerator = (numerator * square + 4.893_524_6e-3) * clamped;
    let denominator = 1.198_258_4e-6 * square + 1.185_347_1e-4;
    let denominator = denominator * square + 2.268_434_6e-3;
    let denominator = denominator * square + 4.893_525e-3;
    let value = numerator / denominator;
    if x.is_nan() { x } else { value }
}

/// `ln(1 + e^x)`.
pub(crate) fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(function: fn(f32) -> f32, exact: fn(f64) -> f64, from: f32, to: f32) -> f64 {
        let count = 200_000u32;
        let mut worst = 0.0f64;
        for index in 0..=count {
            let x = from + (to - from) * (index as f32 / count as f32);
            let exact = exact(f64::from(x));
            worst = worst.max((f64::from(function(x)) - exact).abs() / exact.abs().max(1e-30));
        }
        worst
    }

    #[test]
    fn close_to_the_exact_values() {
        assert!(worst(exp, f64::exp, -87.0, 88.0) < 2.5e-7);
        assert!(worst(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), -80.0, 80.0) < 3e-7);
        assert!(worst(tanh, f64::tanh, -9.0, 9.0) < 1e-6);
    }

    #[test]
    fn at_the_ends() {
        assert_eq!(
            (exp(0.0), exp(f32::INFINITY), exp(f32::NEG_INFINITY), exp(89.0)),
            (1.0, f32::INFINITY, 0.0, f32::INFINITY)
        );
        assert!(exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
        assert_eq!((sigmoid(-200.0), sigmoid(200.0), tanh(0.0)), (0.0, 1.0, 0.0));
    }
}
