//! What is kept of a tensor: its extremes in each sample, and a histogram where one is asked for.

use super::histogram::Histogram;
pub use crate::interpreter::Extremes;

/// Of a tensor in a sample, a histogram counts no more values than about that many: counting takes longer than computing.
const MOST_COUNTED: usize = 1 << 14;

/// So many neighbours are counted together.
const RUN: usize = 64;

/// What is kept of one tensor over all samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// The extremes in each sample, by the sample's number; [`Extremes::NONE`] where the tensor was not computed.
    pub by_sample: Vec<Extremes>,
    /// Where it was asked for: of all values, or of 16,384 in each sample, from all over the tensor.
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
            some(values).for_each(|run| histogram.add(run, [extremes.min, extremes.max]));
        }
        true
    }

    /// Takes what was seen of further samples.
    pub(super) fn extend(&mut self, further: &Self) {
        self.by_sample.extend_from_slice(&further.by_sample);
        if let (Some(mine), Some(others)) = (&mut self.histogram, &further.histogram) {
            mine.merge(others);
        }
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

/// All values, or runs of them from all over the tensor. Where a run begins has nothing to do with rows and channels.
fn some(values: &[f32]) -> impl Iterator<Item = &[f32]> {
    const GOLDEN: usize = 0x9E37_79B1;
    let span =
        if values.len() > MOST_COUNTED { values.len().div_ceil(MOST_COUNTED / RUN) } else { values.len().max(1) };
    let is_all = span >= values.len();
    values.chunks(span).enumerate().map(move |(index, chunk)| {
        if is_all {
            return chunk;
        }
        let first = index.wrapping_mul(GOLDEN) % (chunk.len().saturating_sub(RUN) + 1);
        &chunk[first..chunk.len().min(first + RUN)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_tensor_is_counted_in_parts_that_are_like_the_whole() {
        let channels = 64;
        let values: Vec<f32> = (0..channels * 10_000).map(|index| (index % channels) as f32).collect();
        let mut statistics = Statistics::new(1, true);
        assert!(statistics.add(0, &values));
        let histogram = statistics.histogram.unwrap();
        assert_eq!(statistics.by_sample[0], Extremes { min: 0.0, max: 63.0 });
        assert!((MOST_COUNTED - RUN..=MOST_COUNTED).contains(&(histogram.total() as usize)), "{}", histogram.total());
        let counts: Vec<u64> = histogram.counts().iter().copied().filter(|&count| count > 0).collect();
        let fair = histogram.total() / channels as u64;
        assert!(counts.len() == channels - 1 && counts.iter().all(|count| count.abs_diff(fair) <= 1), "{counts:?}");
        assert_eq!(some(&values[..MOST_COUNTED]).collect::<Vec<_>>(), [&values[..MOST_COUNTED]]);
        assert!(some(&[]).next().is_none());
    }
}
