//! The least and the greatest of many numbers, as fast as memory hands them out.

/// The least and the greatest value of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extremes {
    /// The least.
    pub min: f32,
    /// The greatest.
    pub max: f32,
}

impl Extremes {
    /// Those of nothing.
    pub const NONE: Self = Self { min: f32::INFINITY, max: f32::NEG_INFINITY };

    /// Those of some values; `None` if one of them is infinite or not a number.
    #[must_use]
    pub fn of(values: &[f32]) -> Option<Self> {
        const LANES: usize = 16;
        let (mut min, mut max) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        // Zero times anything but a finite number is not zero.
        let mut odd = [0f32; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                let value = chunk[lane];
                min[lane] = if value < min[lane] { value } else { min[lane] };
                max[lane] = if value > max[lane] { value } else { max[lane] };
                odd[lane] += value * 0.0;
            }
        }
        if odd.iter().any(|&sum| sum != 0.0) || rest.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let all = |lanes: [f32; LANES], better: fn(f32, f32) -> f32| {
            lanes.into_iter().chain(rest.iter().copied()).fold(lanes[0], better)
        };
        Some(Self { min: all(min, f32::min), max: all(max, f32::max) })
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// Whether they are of nothing.
    #[must_use]
    pub fn is_none(self) -> bool {
        self.min > self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_extremes_and_what_is_no_number() {
        let mut values: Vec<f32> = (0..100u8).map(|value| f32::from(value) - 40.0).collect();
        assert_eq!(Extremes::of(&values), Some(Extremes { min: -40.0, max: 59.0 }));
        assert!(Extremes::of(&[]).unwrap().is_none());
        for place in [3, 99] {
            for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let kept = std::mem::replace(&mut values[place], odd);
                assert_eq!(Extremes::of(&values), None);
                values[place] = kept;
            }
        }
    }
}
