//! The types that the converter gives tensors: a scale, a zero point, a width.

use crate::inspect::fake_quant::{FakeQuant, Range};

/// The type of a quantized tensor. Two that are the same need no conversion.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum QuantType {
    /// One scale for all.
    Tensor(Scale),
    /// One a channel: of the fake quantizer with that number.
    Channels(usize),
    /// That of a constant whose elements say it.
    OfElements,
}

/// Levels that far apart, zero at one of them, of 256.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub step: f64,
    pub zero: i64,
    pub bits: i64,
}

impl Scale {
    /// The least and the greatest number that there is a level for.
    pub(super) fn ends(self) -> [f64; 2] {
        let levels = 1i64 << self.bits.clamp(1, 16);
        let lowest = -(levels / 2);
        [lowest - self.zero, lowest + levels - 1 - self.zero].map(|levels| self.step * as_float(levels))
    }

    /// Which part of what this holds lies outside of the other: none, or so many hundredths.
    pub(super) fn cut_off_by(self, other: Self) -> f64 {
        let ([low, high], [other_low, other_high]) = (self.ends(), other.ends());
        ((other_low - low).max(0.0) + (high - other_high).max(0.0)) / (high - low)
    }

    /// Whether numbers keep their size, to a fiftieth, if levels of this are taken for levels of the other.
    pub(super) fn reads_as(self, other: Self) -> bool {
        (self.step / other.step - 1.0).abs() < 0.02 && (self.zero - other.zero).abs() <= 2
    }
}

#[allow(clippy::cast_precision_loss)] // levels are few
fn as_float(levels: i64) -> f64 {
    levels as f64
}

/// The types of kernels whose results have a fixed range.
pub(super) fn fixed(kind: &str) -> Option<QuantType> {
    let (step, zero) = match kind {
        "Sigmoid" | "Softmax" => (1.0 / 256.0, -128),
        "Tanh" | "L2Normalization" => (1.0 / 128.0, 0),
        "LogSoftmax" => (1.0 / 16.0, 127),
        _ => return None,
    };
    Some(QuantType::Tensor(Scale { step, zero, bits: 8 }))
}

/// The types of a fake quantizer, one a channel.
pub(super) fn scales(quant: &FakeQuant) -> Vec<Scale> {
    let Range::Constant { min, max } = &quant.range else { return Vec::new() };
    min.iter().zip(max).map(|(&min, &max)| scale(min, max, quant.bits, quant.narrow_range)).collect()
}

/// Unsigned levels first, as the converter does: rounding decides where zero comes to lie.
fn scale(min: f32, max: f32, bits: i64, narrow: bool) -> Scale {
    let bits = bits.clamp(1, 16);
    let (min, max) = (f64::from(min), f64::from(max));
    let (lowest, highest) = (f64::from(u8::from(narrow)), as_float((1 << bits) - 1));
    let step = (max - min) / (highest - lowest);
    let of_min = (lowest - min / step, lowest.abs() + (min / step).abs());
    let of_max = (highest - max / step, highest.abs() + (max / step).abs());
    let zero = if of_min.1 < of_max.1 { of_min.0 } else { of_max.0 };
    let zero = if zero.is_nan() { lowest } else { zero.clamp(lowest, highest).round() };
    #[allow(clippy::cast_possible_truncation)] // it lies between two levels
    Scale { step, zero: zero as i64 - (1 << (bits - 1)), bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_lies_where_the_converter_puts_it() {
        let zero = |min, max, narrow| scale(min, max, 8, narrow).zero;
        assert_eq!([zero(-1.0, 1.0, true), zero(0.0, 6.0, false), zero(-1.0, 1.0, false)], [0, -128, 0]);
        assert_eq!(zero(-1.0, 1.001, false), -1);
        // The fake quantizer of a sigmoid's own range has the kernel's type.
        assert_eq!(Some(QuantType::Tensor(scale(0.0, 255.0 / 256.0, 8, false))), fixed("Sigmoid"));
        assert_eq!(Some(QuantType::Tensor(scale(-1.0, 127.0 / 128.0, 8, false))), fixed("Tanh"));
    }
}
