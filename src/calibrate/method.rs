//! From statistics to a range.

use super::histogram::{BINS, Histogram};
use super::statistics::Statistics;
use super::{entropy, squared_error};
pub use crate::passes::integer::Range;

/// How a range is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// The extremes of all samples.
    MinMax,
    /// The average of each sample's extremes, as a training rewrite makes it (TensorFlow's `assign_moving_average` with
    /// zero debiasing): each sample moves it by one minus the decay.
    MovingAverage {
        /// 0.999 in a training rewrite.
        decay: f64,
    },
    /// Between the values that this part of all, in percent, lies below and above.
    Percentile(f64),
    /// The range of the least squared error for quantizers of that many levels.
    SquaredError {
        /// 255 for 8 bits.
        steps: u32,
    },
    /// The range that changes the distribution least (Kullback and Leibler), for quantizers of that many levels.
    Entropy {
        /// 255 for 8 bits.
        steps: u32,
    },
}

impl Method {
    /// Whether it needs histograms, which take more time than the rest of a run.
    #[must_use]
    pub fn needs_histogram(self) -> bool {
        !matches!(self, Self::MinMax | Self::MovingAverage { .. })
    }

    /// What reports call it.
    #[must_use]
    pub fn in_words(self) -> String {
        match self {
            Self::MinMax => "minmax".to_owned(),
            Self::MovingAverage { decay } => format!("moving average, decay {decay}"),
            Self::Percentile(percent) => format!("percentile {percent}"),
            Self::SquaredError { .. } => "mse".to_owned(),
            Self::Entropy { .. } => "entropy".to_owned(),
        }
    }

    /// The range; `None` if the tensor never held a value.
    #[must_use]
    pub fn range(self, statistics: &Statistics) -> Option<Range> {
        let extremes = statistics.extremes();
        if extremes.is_none() {
            return None;
        }
        let widest = Range { min: extremes.min.min(0.0), max: extremes.max.max(0.0) };
        let histogram = statistics.histogram.as_ref();
        let [min, max] = match (self, histogram) {
            (Self::MovingAverage { decay }, _) => moving_average(statistics, decay),
            (Self::Percentile(percent), Some(histogram)) => percentile(histogram, percent / 100.0),
            (Self::SquaredError { steps }, Some(histogram)) => squared_error::best(histogram, widest, steps),
            (Self::Entropy { steps }, Some(histogram)) => entropy::best(histogram, widest, steps),
            _ => return Some(widest),
        };
        // Edges of bins lie a little beyond the values. Zero has no sign: some forms of ranges would not keep it.
        Some(Range { min: (min as f32).clamp(widest.min, 0.0) + 0.0, max: (max as f32).clamp(0.0, widest.max) })
    }
}

/// In the order of samples, whatever thread has seen them.
fn moving_average(statistics: &Statistics, decay: f64) -> [f64; 2] {
    let (mut biased, mut left) = ([0.0; 2], 1.0);
    for sample in statistics.by_sample.iter().filter(|sample| !sample.is_none()) {
        let ends = [f64::from(sample.min.min(0.0)), f64::from(sample.max.max(0.0))];
        biased = std::array::from_fn(|end| biased[end] - (biased[end] - ends[end]) * (1.0 - decay));
        left *= decay;
    }
    // With a decay of one nothing ever moves.
    biased.map(|end| if left < 1.0 { end / (1.0 - left) } else { end })
}

/// The outer edges of the bins in which that part of all values is reached from below, and from above.
fn percentile(histogram: &Histogram, part: f64) -> [f64; 2] {
    let lowest = reached(histogram, 0..BINS / 2, part).map_or(0.0, |bin| histogram.edge(bin));
    let highest = reached(histogram, (BINS / 2..BINS).rev(), part).map_or(0.0, |bin| histogram.edge(bin + 1));
    [lowest, highest]
}

/// The first bin, from outside to zero, from which on there is less than that part of all values.
fn reached(histogram: &Histogram, mut bins: impl Iterator<Item = usize>, part: f64) -> Option<usize> {
    let wanted = histogram.total() as f64 * part;
    let mut left = histogram.total();
    bins.find(|&bin| {
        left -= histogram.counts()[bin];
        (left as f64) < wanted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten samples of a bell curve with a few values far out, from the quantiles of a logistic distribution.
    fn statistics() -> Statistics {
        let mut statistics = Statistics::new(10, true);
        for sample in 0..10u16 {
            let places = (0..5000u16).map(|index| (f32::from(index) + 0.5 + f32::from(sample) / 20.0) / 5001.0);
            let mut values: Vec<f32> = places.map(|place| (place / (1.0 - place)).ln() * 0.5).collect();
            values.extend([30.0 + f32::from(sample), -8.0, 0.0]);
            assert!(statistics.add(usize::from(sample), &values));
        }
        statistics
    }

    #[test]
    fn extremes_and_their_average() {
        let statistics = statistics();
        assert_eq!(Method::MinMax.range(&statistics), Some(Range { min: -8.0, max: 39.0 }));
        let average = Method::MovingAverage { decay: 0.9 }.range(&statistics).unwrap();
        // The weights of the samples are 0.9^9 … 0.9^0.
        let weights: Vec<f64> = (0..10).map(|sample| 0.9f64.powi(9 - sample)).collect();
        let expected: f64 = weights.iter().enumerate().map(|(sample, weight)| weight * (30.0 + sample as f64)).sum();
        assert!((f64::from(average.max) - expected / weights.iter().sum::<f64>()).abs() < 1e-5);
        assert!((average.min + 8.0).abs() < 1e-5);
        assert_eq!(Method::MinMax.range(&Statistics::new(3, true)), None);
    }

    #[test]
    fn zero_is_always_inside() {
        let mut statistics = Statistics::new(1, true);
        assert!(statistics.add(0, &[3.0, 4.0]));
        let methods = [
            Method::MinMax,
            Method::MovingAverage { decay: 0.999 },
            Method::Percentile(99.0),
            Method::SquaredError { steps: 255 },
            Method::Entropy { steps: 255 },
        ];
        for method in methods {
            let range = method.range(&statistics).unwrap();
            assert!(range.min == 0.0 && (3.0..=4.0).contains(&range.max), "{method:?}: {range:?}");
        }
    }

    #[test]
    fn what_lies_far_out_is_cut_off() {
        let statistics = statistics();
        let of = |method: Method| method.range(&statistics).unwrap();
        let percentile = of(Method::Percentile(99.9));
        // The values themselves, sorted: 50,030 of them, 50 of which are more than the bound.
        assert!((2.5..4.5).contains(&percentile.max) && (-5.0..-2.5).contains(&percentile.min), "{percentile:?}");
        let error = of(Method::SquaredError { steps: 15 });
        assert!(error.max < 39.0 && error.min < -1.0, "{error:?}");
    }
}
