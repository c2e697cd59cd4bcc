//! The three fake quantizers, in the arithmetic of TensorFlow's `fake_quant_ops_functor.h`, operation by operation: what
//! they make is the same to the last bit.

use super::unary::map_floats;
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel, size};
use crate::interpreter::tensor::Tensor;

/// A range moved so that zero is one of its levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Nudged {
    /// The lowest level.
    pub min: f32,
    /// The highest level.
    pub max: f32,
    /// From one level to the next.
    pub scale: f32,
    /// As many levels as one unit has.
    inverse: f32,
    /// The level of zero, counted from the lowest.
    pub zero: f32,
}

impl Nudged {
    /// TensorFlow's `Nudge`, with `quant_zero` of its callers.
    pub(crate) fn new(min: f32, max: f32, quant_min: f32, quant_max: f32) -> Self {
        let scale = (max - min) / (quant_max - quant_min);
        let inverse = (quant_max - quant_min) / (max - min);
        let zero_point = quant_min - min / scale;
        let zero_point = if zero_point < quant_min {
            quant_min
        } else if zero_point > quant_max {
            quant_max
        } else {
            zero_point.round()
        };
        let nudged_min = (quant_min - zero_point) * scale;
        let nudged_max = (quant_max - zero_point) * scale;
        Self { min: nudged_min, max: nudged_max, scale, inverse, zero: (-nudged_min * inverse + 0.5).floor() }
    }

    /// How far the value, brought into the range, lies above its lower end.
    #[inline]
    fn above(&self, value: f32) -> f32 {
        let below_max = if self.max < value { self.max } else { value };
        (if below_max < self.min { self.min } else { below_max }) - self.min
    }

    #[inline]
    fn level(&self, levels: f32) -> f32 {
        (levels - self.zero + 0.5).floor() * self.scale
    }

    /// The level nearest to the value, as FakeQuantWithMinMaxVars computes it: by division.
    #[inline] // into loops in vectors
    pub(crate) fn divide(&self, value: f32) -> f32 {
        self.level(self.above(value) / self.scale)
    }

    /// The level nearest to the value, as the other two ops compute it: by multiplication.
    #[inline] // into loops in vectors
    pub(crate) fn multiply(&self, value: f32) -> f32 {
        self.level(self.above(value) * self.inverse)
    }
}

/// The lowest and the highest level of a node.
fn levels(node: &Attributes<'_>) -> Result<[f32; 2]> {
    let bits = size(node.int("num_bits", 8), "num_bits")?;
    if !(2..=16).contains(&bits) {
        return Err(invalid(format!("{bits} bits")));
    }
    let lowest = if node.bool("narrow_range", false) { 1.0 } else { 0.0 };
    Ok([lowest, ((1u32 << bits) - 1) as f32])
}

fn vars(node: &Attributes<'_>) -> Result<Kernel> {
    let [lowest, highest] = levels(node)?;
    kernel(move |inputs, memory| {
        let (min, max) = (inputs.scalar::<f32>(1)?, inputs.scalar::<f32>(2)?);
        inputs.values::<f32>(0)?;
        let x = inputs.take(0)?;
        if min == 0.0 && max == 0.0 {
            return map_floats(x, memory, |_| 0.0);
        }
        let nudged = Nudged::new(min, max, lowest, highest);
        map_floats(x, memory, |value| nudged.divide(value))
    })
}

fn args(node: &Attributes<'_>) -> Result<Kernel> {
    let [lowest, highest] = levels(node)?;
    let nudged = Nudged::new(node.float("min", -6.0), node.float("max", 6.0), lowest, highest);
    kernel(move |inputs, memory| {
        inputs.values::<f32>(0)?;
        map_floats(inputs.take(0)?, memory, |value| nudged.multiply(value))
    })
}

fn per_channel(node: &Attributes<'_>) -> Result<Kernel> {
    let [lowest, highest] = levels(node)?;
    kernel(move |inputs, memory| {
        let (values, min, max) = (inputs.values::<f32>(0)?, inputs.values::<f32>(1)?, inputs.values::<f32>(2)?);
        let dims = inputs.tensor(0)?.dims();
        let channels = dims.last().copied().unwrap_or_default();
        if min.len() != channels || max.len() != channels || dims.is_empty() {
            return Err(invalid(format!("{} ranges for {channels} channels", min.len())));
        }
        let of_channel =
            |(&min, &max): (&f32, &f32)| (min != 0.0 || max != 0.0).then(|| Nudged::new(min, max, lowest, highest));
        let nudged: Vec<Option<Nudged>> = min.iter().zip(max).map(of_channel).collect();
        let mut out = memory.unset::<f32>(values.len())?;
        for (out, row) in out.chunks_exact_mut(channels.max(1)).zip(values.chunks_exact(channels.max(1))) {
            for ((out, &value), nudged) in out.iter_mut().zip(row).zip(&nudged) {
                *out = nudged.as_ref().map_or(0.0, |nudged| nudged.multiply(value));
            }
        }
        Tensor::from_storage(dims.to_vec(), out)
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "FakeQuantWithMinMaxVars", prepare: vars },
    Op { name: "FakeQuantWithMinMaxArgs", prepare: args },
    Op { name: "FakeQuantWithMinMaxVarsPerChannel", prepare: per_channel },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What TensorFlow 2.15 makes of these values, as bits, by FakeQuantWithMinMaxVars and by …Args.
    #[test]
    fn the_same_bits_as_tensorflow() {
        let values = [-7.3f32, -1.0, -0.3, -0.0117, 0.0, 0.0058, 0.26, 1.4999, 2.5, 9.0];
        let wide = Nudged::new(-1.37, 2.91, 0.0, 255.0);
        let of_wide = [
            0xbfb0_2b0d,
            0xbf80_e74e,
            0xbe9a_af2a,
            0xbc89_7f42,
            0,
            0,
            0x3e80_e74e,
            0x3fbf_34f8,
            0x4020_0e23,
            0x4039_d5ff,
        ];
        assert_eq!(values.map(|value| wide.divide(value).to_bits()), of_wide);
        assert_eq!(values.map(|value| wide.multiply(value).to_bits()), of_wide);
        let narrow = Nudged::new(-1.37, 2.91, 1.0, 255.0);
        let of_narrow = [
            0xbfae_b474,
            0xbf7e_8224,
            0xbe9b_4b12,
            0xbc8a_09d7,
            0,
            0,
            0x3e81_693a,
            0x3fbf_f5af,
            0x401f_9b61,
            0x403a_914d,
        ];
        assert_eq!(values.map(|value| narrow.divide(value).to_bits()), of_narrow);
        let above_zero = Nudged::new(0.5, 4.0, 0.0, 15.0);
        let of_above_zero = [0, 0, 0, 0, 0, 0, 0x3e6e_eeef, 0x3fb3_3333, 0x4024_4444, 0x4060_0000];
        assert_eq!(values.map(|value| above_zero.divide(value).to_bits()), of_above_zero);
    }
}
