//! The range that changes a tensor's distribution least.
//!
//! For each way of cutting off both sides alike: the distribution with all that is outside counted at the ends, against
//! the same one told through the quantizer's levels (each level's values spread over the bins it stands for). The
//! divergence of Kullback and Leibler says how much the one tells of the other.

use super::histogram::{BINS, Histogram, ZERO_BIN};
use crate::passes::integer::Range;

/// A bin whose level has nothing to say of it.
const ALMOST_NOTHING: f64 = 1e-4;

pub(super) fn best(histogram: &Histogram, widest: Range, steps: u32) -> [f64; 2] {
    let levels = steps.max(1) as usize;
    let bins = |end: f32| f64::from(end.abs()) / histogram.width();
    // A value on the edge of a bin lies in the one above it.
    let below = (bins(widest.min).ceil() as usize).min(ZERO_BIN);
    let above = if widest.max > 0.0 { (bins(widest.max) as usize + 1).min(ZERO_BIN) } else { 0 };
    let furthest = below.max(above);
    // Fewer bins than levels are told without any loss.
    let sides = usize::from(below > 0) + usize::from(above > 0);
    let nearest = levels.div_ceil(sides.max(1)).min(furthest).max(1);
    let step = (furthest - nearest.min(furthest)).div_ceil(512).max(1);
    let mut best = (furthest, f64::INFINITY);
    for reach in (nearest..=furthest).step_by(step).chain([furthest]) {
        let divergence = divergence(histogram, ZERO_BIN - reach.min(below), ZERO_BIN + reach.min(above), levels);
        if divergence < best.1 {
            best = (reach, divergence);
        }
    }
    [histogram.edge(ZERO_BIN - best.0.min(below)), histogram.edge(ZERO_BIN + best.0.min(above))]
}

/// Of the values in bins `start..end`, those outside counted in the outermost ones, told through that many levels.
fn divergence(histogram: &Histogram, start: usize, end: usize, levels: usize) -> f64 {
    let counts = histogram.counts();
    let sum = |bins: std::ops::Range<usize>| bins.map(|bin| counts[bin] as f64).sum::<f64>();
    let (before, behind, inside) = (sum(0..start), sum(end..BINS), sum(start..end));
    let all = before + inside + behind;
    let width = end - start;
    if all == 0.0 || width == 0 {
        return 0.0;
    }
    if inside == 0.0 {
        return f64::INFINITY;
    }
    let mut divergence = 0.0;
    for level in 0..levels.min(width) {
        let bins = start + level * width / levels.min(width)..start + (level + 1) * width / levels.min(width);
        let told = sum(bins.clone());
        let filled = bins.clone().filter(|&bin| counts[bin] > 0).count();
        for bin in bins {
            let mut count = counts[bin] as f64;
            let through_level = if counts[bin] > 0 { told / filled as f64 / inside } else { ALMOST_NOTHING / all };
            if bin == start {
                count += before;
            }
            if bin + 1 == end {
                count += behind;
            }
            if count > 0.0 {
                divergence += count / all * (count / all / through_level).ln();
            }
        }
    }
    divergence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_far_out_is_cut_off() {
        // Ever fewer values towards one, and a single one at eight.
        let mut values: Vec<f32> =
            (0..60_000u16).map(|index| 1.0 - (1.0 - f32::from(index) / 60_000.0).sqrt()).collect();
        values.push(8.0);
        let mut histogram = Histogram::default();
        histogram.add(&values, [0.0, 8.0]);
        let [low, high] = best(&histogram, Range { min: 0.0, max: 8.0 }, 255);
        assert!(low == 0.0 && (1.0..5.0).contains(&high), "{low} {high}");
        values.pop();
        let mut histogram = Histogram::default();
        histogram.add(&values, [0.0, 1.0]);
        let [_, high] = best(&histogram, Range { min: 0.0, max: 0.997 }, 255);
        assert!(high > 0.9, "{high}");
    }

    #[test]
    fn values_at_the_very_end_count() {
        let values: Vec<f32> = (0..2000u16).map(|index| (f32::from(index) / 1000.0 * 6.0).min(6.0)).collect();
        let mut histogram = Histogram::default();
        histogram.add(&values, [0.0, 6.0]);
        let [low, high] = best(&histogram, Range { min: 0.0, max: 6.0 }, 255);
        assert!(low == 0.0 && high >= 6.0, "{low} {high}");
    }
}
