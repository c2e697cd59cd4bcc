//! What is kept of a tensor: its extremes in each sample, and a histogram where one is asked for.

use super::histogram::Histogram;

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

/// What is kept of one tensor over all samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The extremes in each sample, by the sample's number; [`Extremes::NONE`] where the tensor was not computed.
    pub by_sample: Vec<Extremes>,
    /// Of all values, where it was asked for.
    pub histogram: Option<Histogram>,
}

impl Statistics {
    /// Of a tensor that was not seen yet in any of that many samples.
    #[must_use]
    pub fn new(samples: usize, with_histogram: bool) -> Self {
        Self { by_sample: vec![Extremes::NONE; samples], histogram: with_histogram.then(Histogram::default) }
    }

    /// The extremes of all samples.
    #[must_use]
    pub fn extremes(&self) -> Extremes {
        self.by_sample.iter().copied().fold(Extremes::NONE, Extremes::and)
    }

    /// Takes the values of a tensor in one sample, in which it may be computed more than once; false if one of them is
    /// infinite or not a number.
    #[must_use]
    pub fn add(&mut self, sample: usize, values: &[f32]) -> bool {
        let Some(extremes) = Extremes::of(values) else { return false };
        self.by_sample[sample] = self.by_sample[sample].and(extremes);
        if let Some(histogram) = &mut self.histogram
            && !extremes.is_none()
        {
            histogram.add(values, [extremes.min, extremes.max]);
        }
        true
    }

    /// Takes what another thread has seen.
    pub fn merge(&mut self, other: &Self) {
        let pairs = self.by_sample.iter_mut().zip(&other.by_sample);
        pairs.for_each(|(mine, &others)| *mine = mine.and(others));
        if let (Some(mine), Some(others)) = (&mut self.histogram, &other.histogram) {
            mine.merge(others);
        }
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
