//! The range of the least squared error.
//!
//! A value inside the range is off by the rounding, which costs `scale² / 12` on average; a value outside by how far out
//! it is; zero never. Sums over the histogram from each end make the cost of a range a matter of two lookups, so that all
//! pairs of ends can be tried.

use super::histogram::{BINS, Histogram, ZERO_BIN};
use crate::passes::integer::Range;

/// At most so many ends are tried on each side.
const CANDIDATES: usize = 256;

/// What cutting off one side at each of its candidates costs.
struct Side {
    /// How far each candidate is from zero.
    ends: Vec<f64>,
    costs: Vec<f64>,
    /// How many values lie within.
    within: Vec<f64>,
}

impl Side {
    /// `bins` go outwards from zero; the last candidate is `widest`.
    fn new(histogram: &Histogram, bins: impl Iterator<Item = usize>, widest: f64) -> Self {
        let width = histogram.width();
        let counts: Vec<f64> = bins.map(|bin| histogram.counts()[bin] as f64).collect();
        // A value on the edge of a bin lies in the one behind it.
        let used = counts.len().min((widest / width) as usize + 1);
        let center = |bin: usize| (bin as f64 + 0.5) * width;
        let sum = |power: i32| (0..used).map(|bin| counts[bin] * center(bin).powi(power)).sum::<f64>();
        let mut left = [sum(0), sum(1), sum(2)];
        let all = left[0];
        let mut side = Self { ends: vec![0.0], costs: vec![left[2]], within: vec![0.0] };
        let step = used.div_ceil(CANDIDATES).max(1);
        for (bin, &count) in counts.iter().enumerate().take(used) {
            let center = center(bin);
            left = [left[0] - count, left[1] - count * center, left[2] - count * center * center];
            if (bin + 1) % step == 0 || bin + 1 == used {
                let end = ((bin + 1) as f64 * width).min(widest);
                // Σ (c - end)² over what is left; never below zero but for rounding.
                let cost =
                    if bin + 1 == used { 0.0 } else { (left[2] - 2.0 * end * left[1] + end * end * left[0]).max(0.0) };
                side.ends.push(end);
                side.costs.push(cost);
                side.within.push(all - left[0]);
            }
        }
        side
    }
}

pub(super) fn best(histogram: &Histogram, widest: Range, steps: u32) -> [f64; 2] {
    let below = Side::new(histogram, (0..ZERO_BIN).rev(), -f64::from(widest.min));
    let above = Side::new(histogram, ZERO_BIN..BINS, f64::from(widest.max));
    let mut best = ([0.0; 2], f64::INFINITY);
    for (low, below_cost) in below.costs.iter().enumerate() {
        for (high, above_cost) in above.costs.iter().enumerate() {
            let scale = (below.ends[low] + above.ends[high]) / f64::from(steps.max(1));
            let rounding = scale * scale / 12.0 * (below.within[low] + above.within[high]);
            let cost = below_cost + above_cost + rounding;
            if cost < best.1 {
                best = ([-below.ends[low], above.ends[high]], cost);
            }
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uniform_distribution_is_kept_whole() {
        let values: Vec<f32> = (0..10_000u16).map(|index| f32::from(index) / 5000.0 - 1.0).collect();
        let mut histogram = Histogram::default();
        histogram.add(&values, [-1.0, 0.9998]);
        let [low, high] = best(&histogram, Range { min: -1.0, max: 0.9998 }, 255);
        assert!(low < -0.97 && high > 0.97, "{low} {high}");
    }

    #[test]
    fn fewer_levels_cut_off_more() {
        let values: Vec<f32> =
            (1..20_000u16).map(|index| f32::from(index) / 20_000.0).map(|place| (place / (1.0 - place)).ln()).collect();
        let mut histogram = Histogram::default();
        histogram.add(&values, [-11.0, 11.0]);
        let widest = Range { min: -9.91, max: 9.91 };
        let width = |steps: u32| {
            let [low, high] = best(&histogram, widest, steps);
            high - low
        };
        assert!(width(3) < width(15) && width(15) < width(255), "{} {} {}", width(3), width(15), width(255));
    }

    #[test]
    fn values_at_the_very_end_count() {
        // Half of them where Relu6 ends, which is the edge of a bin.
        let values: Vec<f32> = (0..2000u16).map(|index| (f32::from(index) / 1000.0 * 6.0).min(6.0)).collect();
        let mut histogram = Histogram::default();
        histogram.add(&values, [0.0, 6.0]);
        assert_eq!(best(&histogram, Range { min: 0.0, max: 6.0 }, 255), [0.0, 6.0]);
    }
}
