//! How near one graph's tensors are to another's while both run on the same samples.
//!
//! A tensor of the first graph is held until the second has computed what stands against it. Where these are many, both run
//! at the same time: memory is that of the tensors alive, however many samples and layers there are.

use hashbrown::HashMap;
use serde::Serialize;

use super::blocks::in_blocks;
use super::feed::Feeds;
use super::handed::side_by_side;
use crate::error::Result;
use crate::graph::TensorRef;
use crate::interpreter::{Plan, Session, Tensor, in_vectors};
use crate::passes::integer::Range;

/// How near a tensor is to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Fidelity {
    /// Signal to quantization noise, in decibels: ten times the logarithm of the mean square of the values over that of
    /// the differences. At most [`Fidelity::EXACT`], where nothing differs; at least the negative of it, where a value is
    /// infinite or not a number.
    pub sqnr: f64,
    /// The cosine of the angle between both, as vectors over all samples.
    pub cosine: f64,
    /// The largest difference of two values.
    pub largest_difference: f64,
    /// The part of the first one's values that lies outside of the range of the second, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clipped: Option<f64>,
}

impl Fidelity {
    /// The SQNR of what is the same: more than 32-bit floats can show.
    pub const EXACT: f64 = 200.0;
}

/// One side of a comparison.
pub(super) struct Side<'a> {
    pub plan: &'a Plan,
    pub feeds: &'a Feeds<'a>,
    /// What is fed, in the order of the feeds.
    pub inputs: &'a [TensorRef],
}

/// Two tensors to compare, and the range that the second was brought into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub tensors: [TensorRef; 2],
    pub range: Option<Range>,
}

/// Sums over the values of a pair.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    signal: f64,
    noise: f64,
    other: f64,
    product: f64,
    largest: f64,
    clipped: Option<u64>,
    count: u64,
}

/// So many sums are made side by side.
const LANES: usize = 8;

/// Sums over every eighth value each.
#[derive(Default)]
struct Lanes {
    signal: [f64; LANES],
    noise: [f64; LANES],
    other: [f64; LANES],
    product: [f64; LANES],
    largest: [f64; LANES],
}

impl Lanes {
    #[inline] // into a loop in vectors
    fn add(&mut self, values: &[f32; LANES], others: &[f32; LANES]) {
        for lane in 0..LANES {
            let (value, other) = (f64::from(values[lane]), f64::from(others[lane]));
            let difference = value - other;
            self.signal[lane] += value * value;
            self.noise[lane] += difference * difference;
            self.other[lane] += other * other;
            self.product[lane] += value * other;
            self.largest[lane] = self.largest[lane].max(difference.abs());
        }
    }
}

impl Sums {
    fn of(values: &[f32], others: &[f32], range: Option<Range>) -> Self {
        let mut lanes = Lanes::default();
        let (rows, rest) = values.as_chunks();
        let (other_rows, other_rest) = others.as_chunks();
        in_vectors!(for (row, others) in rows.iter().zip(other_rows) {
            lanes.add(row, others);
        });
        let padded = |rest: &[f32]| std::array::from_fn(|lane| rest.get(lane).copied().unwrap_or_default());
        lanes.add(&padded(rest), &padded(other_rest));
        let outside = |range: Range| values.iter().filter(|&&value| value < range.min || value > range.max).count();
        Self {
            signal: lanes.signal.iter().sum(),
            noise: lanes.noise.iter().sum(),
            other: lanes.other.iter().sum(),
            product: lanes.product.iter().sum(),
            largest: lanes.largest.into_iter().fold(0.0, f64::max),
            clipped: range.map(|range| outside(range) as u64),
            count: values.len() as u64,
        }
    }

    fn add(&mut self, more: &Self) {
        self.signal += more.signal;
        self.noise += more.noise;
        self.other += more.other;
        self.product += more.product;
        self.largest = self.largest.max(more.largest);
        if let Some(clipped) = more.clipped {
            *self.clipped.get_or_insert(0) += clipped;
        }
        self.count += more.count;
    }

    /// `None` if no values were seen.
    fn fidelity(&self) -> Option<Fidelity> {
        let sqnr = if !(self.noise.is_finite() && self.signal.is_finite()) {
            -Fidelity::EXACT
        } else if self.noise == 0.0 {
            Fidelity::EXACT
        } else {
            (10.0 * (self.signal / self.noise).log10()).clamp(-Fidelity::EXACT, Fidelity::EXACT)
        };
        let lengths = (self.signal * self.other).sqrt();
        let cosine = if self.noise == 0.0 { 1.0 } else { self.product / lengths };
        (self.count > 0).then(|| Fidelity {
            sqnr,
            cosine: if cosine.is_finite() { cosine.clamp(-1.0, 1.0) } else { 0.0 },
            largest_difference: if self.largest.is_finite() { self.largest } else { f64::MAX },
            clipped: self.clipped.map(|clipped| clipped as f64 / self.count as f64),
        })
    }
}

/// What is done with the results of a run of both.
pub(super) type Judge<'a, J> = dyn Fn(&mut J, usize, [&[Tensor]; 2]) -> Result<()> + Sync + 'a;

/// Runs both sides on all samples and measures each pair; `None` for one that was not computed, or whose shapes differ.
/// `judge` sees what each run comes to; its notes come back block by block.
///
/// # Errors
/// Those of the runs and of `judge`.
pub(super) fn measure<J: Default + Send>(
    sides: &[Side<'_>; 2],
    pairs: &[Pair],
    threads: usize,
    judge: &Judge<'_, J>,
    done: &(dyn Fn(usize) -> bool + Sync),
) -> Result<(Vec<Option<Fidelity>>, Vec<J>)> {
    let places = [0, 1].map(|side| {
        pairs.iter().enumerate().map(|(place, pair)| (pair.tensors[side], place)).collect::<HashMap<_, _>>()
    });
    let start = || [0, 1].map(|side: usize| Session::new(sides[side].plan));
    let fresh = || (vec![Sums::default(); pairs.len()], J::default());
    let add = |sessions: &mut [Session<'_>; 2], (sums, notes): &mut (Vec<Sums>, J), index: usize| {
        let [first, second] = sessions;
        let (results, others) = side_by_side(
            |mut giver| {
                run(first, &sides[0], index, &mut |at, tensor| {
                    if let Some(&place) = places[0].get(&at)
                        && tensor.values::<f32>().is_some()
                    {
                        giver.give(place, tensor);
                    }
                })
            },
            |taker| {
                run(second, &sides[1], index, &mut |at, other| {
                    if let Some(&place) = places[1].get(&at)
                        && let Some(others) = other.values::<f32>()
                        && let Some(tensor) = taker.take(place)
                        && let Some(values) = tensor.values::<f32>()
                        && tensor.dims() == other.dims()
                    {
                        sums[place].add(&Sums::of(values, others, pairs[place].range));
                    }
                })
            },
        );
        let (results, others) = (results?, others?);
        judge(notes, index, [&results, &others])
    };
    let blocks = in_blocks(sides[0].feeds.runs, threads, &start, &fresh, &add, done)?;
    let mut total = vec![Sums::default(); pairs.len()];
    let mut notes = Vec::new();
    for (sums, note) in blocks {
        total.iter_mut().zip(&sums).for_each(|(total, sums)| total.add(sums));
        notes.push(note);
    }
    Ok((total.iter().map(Sums::fidelity).collect(), notes))
}

/// Shows what is fed, then what is computed.
fn run(
    session: &mut Session<'_>,
    side: &Side<'_>,
    index: usize,
    show: &mut dyn FnMut(TensorRef, &Tensor),
) -> Result<Vec<Tensor>> {
    let fed = side.feeds.run(index)?;
    side.inputs.iter().zip(&fed).for_each(|(&input, tensor)| show(input, tensor));
    session.run(&fed, &mut |at, tensor| {
        show(at, tensor);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f32], others: &[f32]) -> Fidelity {
        Sums::of(values, others, Some(Range { min: -1.0, max: 2.0 })).fidelity().unwrap()
    }

    #[test]
    fn decibels_and_cosine_are_what_they_are_called() {
        let values: Vec<f32> = (0..100u8).map(|index| f32::from(index) / 10.0 - 3.0).collect();
        let halves: Vec<f32> = values.iter().map(|value| value * 0.5).collect();
        let half = of(&values, &halves);
        assert!((half.sqnr - 20.0 * 2f64.log10()).abs() < 1e-9 && (half.cosine - 1.0).abs() < 1e-12, "{half:?}");
        assert!((half.largest_difference - 3.45).abs() < 1e-6, "{half:?}");
        assert!((half.clipped.unwrap() - 0.69).abs() < 1e-9, "20 below -1, 49 above 2: {half:?}");
        let turned = of(&[1.0, 0.0], &[0.0, 1.0]);
        assert!(turned.cosine.abs() < 1e-12 && (turned.sqnr + 10.0 * 2f64.log10()).abs() < 1e-9, "{turned:?}");
    }

    #[test]
    fn what_is_the_same_and_what_is_no_number_have_an_end() {
        assert_eq!(of(&[0.0, 1.0], &[0.0, 1.0]).sqnr, Fidelity::EXACT);
        assert_eq!(of(&[0.0, 0.0], &[0.0, 0.0]).cosine, 1.0);
        assert_eq!(of(&[0.0, 0.0], &[0.0, 1.0]).sqnr, -Fidelity::EXACT);
        for odd in [f32::NAN, f32::INFINITY] {
            let odd = of(&[1.0, 1.0], &[1.0, odd]);
            assert_eq!((odd.sqnr, odd.cosine), (-Fidelity::EXACT, 0.0));
            assert!(odd.largest_difference.is_finite());
        }
        assert!(Sums::default().fidelity().is_none());
    }
}
