//! What is kept of a tensor: its extremes in each sample, and a histogram where one is asked for.

use super::histogram::Histogram;
pub use crate::interpreter::Extremes;

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
