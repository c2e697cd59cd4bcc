//! How often which values occurred: 2,048 bins over `[-R, R)`, `R` a power of two that doubles when a value needs it.
//!
//! Doubling merges bins two by two, and as their edges are multiples of powers of two, nothing is ever counted in another
//! bin than if `R` had been that large from the start. So neither the order of values nor that of merging two histograms
//! changes the result.

/// How many bins there are.
pub(super) const BINS: usize = 2048;

/// The bin whose lower edge is zero.
pub(super) const ZERO_BIN: usize = BINS / 2;

/// The least `R`, as an exponent of two.
const LEAST_EXPONENT: i32 = -60;

/// Counts of values, zeros apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// `R` is two to this.
    exponent: i32,
    counts: Vec<u64>,
    /// Zeros lie on every grid: no range costs them anything.
    zeros: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { exponent: LEAST_EXPONENT, counts: vec![0; BINS], zeros: 0 }
    }
}

impl Histogram {
    /// Half the width of the whole.
    #[must_use]
    pub fn reach(&self) -> f64 {
        2f64.powi(self.exponent)
    }

    /// The width of a bin.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.reach() / ZERO_BIN as f64
    }

    /// The lower edge of a bin, which is the upper one of the bin before.
    #[must_use]
    pub fn edge(&self, bin: usize) -> f64 {
        (bin as f64 - ZERO_BIN as f64) * self.width()
    }

    /// How many values lie in each bin, from the lowest to the highest, zeros not counted.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many values are zero.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// How many values there are in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Counts values, none of which lies beyond the extremes, all of them finite.
    pub fn add(&mut self, values: &[f32], [min, max]: [f32; 2]) {
        self.grow_to(exponent_for(min.abs().max(max.abs())));
        // Multiplying by a power of two is exact (tiny values that vanish are in the bins next to zero anyway), and so is
        // the rounding down: the bin of a value is a matter of the value and R alone.
        let per_width = 2f64.powi(10 - self.exponent);
        let mut zeros = 0;
        for &value in values {
            if value == 0.0 {
                zeros += 1;
                continue;
            }
            let bin = (f64::from(value) * per_width).floor() as i64 + ZERO_BIN as i64;
            self.counts[bin.clamp(0, BINS as i64 - 1) as usize] += 1;
        }
        self.zeros += zeros;
    }

    /// Counts what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.grow_to(other.exponent);
        let doublings = (self.exponent - other.exponent).unsigned_abs();
        for (bin, &count) in other.counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
            self.counts[widened(bin, doublings)] += count;
        }
        self.zeros += other.zeros;
    }

    fn grow_to(&mut self, exponent: i32) {
        if exponent <= self.exponent {
            return;
        }
        let doublings = (exponent - self.exponent).unsigned_abs();
        let old = std::mem::replace(&mut self.counts, vec![0; BINS]);
        for (bin, count) in old.into_iter().enumerate().filter(|&(_, count)| count > 0) {
            self.counts[widened(bin, doublings)] += count;
        }
        self.exponent = exponent;
    }
}

/// The bin that a bin becomes a part of when `R` doubles that often.
fn widened(bin: usize, doublings: u32) -> usize {
    let from_zero = bin as i64 - ZERO_BIN as i64;
    (ZERO_BIN as i64 + (from_zero >> doublings.min(63))) as usize
}

/// The exponent of the least power of two that is more than a value, of those that are used.
fn exponent_for(value: f32) -> i32 {
    let mut exponent = LEAST_EXPONENT;
    if value > 0.0 && value.is_finite() {
        let (bits, bias) = (f64::from(value).to_bits(), 1023);
        exponent = exponent.max((bits >> 52 & 0x7ff) as i32 - bias + 1);
    }
    exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        add(&mut histogram, values);
        histogram
    }

    fn add(histogram: &mut Histogram, values: &[f32]) {
        let min = values.iter().copied().fold(f32::INFINITY, f32::min);
        histogram.add(values, [min, values.iter().copied().fold(f32::NEG_INFINITY, f32::max)]);
    }

    #[test]
    fn bins_are_where_their_edges_say() {
        let histogram = of(&[0.75, -1.0, 0.0, 0.999_999_9, 1e-30, -1e-30]);
        assert_eq!((histogram.reach(), histogram.zeros(), histogram.total()), (2.0, 1, 6));
        assert_eq!(histogram.width(), 2.0 / 1024.0);
        for (bin, &count) in histogram.counts().iter().enumerate().filter(|&(_, &count)| count > 0) {
            let inside = |value: f64| histogram.edge(bin) <= value && value < histogram.edge(bin + 1);
            let values = [0.75, -1.0, f64::from(0.999_999_9f32), 1e-30, -1e-30];
            assert_eq!(values.iter().filter(|&&value| inside(value)).count() as u64, count);
        }
        assert_eq!(of(&[1.0, -2.0]).reach(), 4.0, "the upper end is open");
    }

    #[test]
    fn neither_order_nor_merging_matters() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let sign = if state >> 40 & 1 == 0 { 1.0 } else { -1.0 };
            sign * (state >> 41) as f32 * 2f32.powi((state >> 33 & 31) as i32 - 50)
        };
        let values: Vec<f32> = (0..5000).map(|_| random()).collect();
        let whole = of(&values);
        let mut pieces = Histogram::default();
        values.chunks(7).for_each(|piece| add(&mut pieces, piece));
        assert_eq!(pieces, whole);
        let mut merged = Histogram::default();
        values.chunks(911).rev().for_each(|piece| merged.merge(&of(piece)));
        assert_eq!(merged, whole);
    }
}
