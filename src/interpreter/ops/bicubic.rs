//! ResizeBicubic: TensorFlow's tables of weights, and its two ways with the border.

use super::resize::{Convention, fill, target};
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, kernel};
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::Tensor;

/// Places between two pixels that TensorFlow knows weights for.
const STEPS: usize = 1 << 10;

/// The four pixels of an axis that a place sees, and their weights.
#[derive(Clone, Copy)]
struct Around {
    places: [usize; 4],
    weights: [f32; 4],
}

/// Weights of a pixel less than one away, and of one between one and two away, at that step of the way.
fn weights(step: usize, steepness: f64) -> [f32; 2] {
    let near = (step as f64 / STEPS as f64) as f32;
    let far = f64::from((f64::from(near) + 1.0) as f32);
    let (near, a) = (f64::from(near), steepness);
    [
        (((a + 2.0) * near - (a + 3.0)) * near * near + 1.0) as f32,
        (((a * far - 5.0 * a) * far + 8.0 * a) * far - 4.0 * a) as f32,
    ]
}

fn around(from: usize, to: usize, convention: Convention) -> Vec<Around> {
    let scale = convention.scale(from, to);
    let place = |at: usize| {
        let exact = convention.exact(at, scale);
        let first = exact.floor();
        let step = ((exact - first) * STEPS as f32).round_ties_even().clamp(0.0, STEPS as f32) as usize;
        let a = if convention.half_pixel_centers { -0.5 } else { -0.75 };
        let ([near, far], [near_after, far_after]) = (weights(step, a), weights(STEPS - step, a));
        let wanted = [-1, 0, 1, 2].map(|offset| first as i64 + offset);
        let places = wanted.map(|place| place.clamp(0, from as i64 - 1) as usize);
        let mut weights = [far, near, near_after, far_after];
        if convention.half_pixel_centers {
            // What lies outside does not count, and the others make up for it.
            for (weight, (wanted, place)) in weights.iter_mut().zip(wanted.iter().zip(places)) {
                if *wanted != place as i64 {
                    *weight = 0.0;
                }
            }
            let sum: f32 = weights.iter().sum();
            if sum.abs() >= 1000.0 * f32::MIN_POSITIVE {
                let factor = 1.0 / sum;
                weights = weights.map(|weight| weight * factor);
            }
        }
        Around { places, weights }
    };
    (0..to).map(place).collect()
}

fn weighted(values: [f32; 4], weights: [f32; 4]) -> f32 {
    values[0] * weights[0] + values[1] * weights[1] + values[2] * weights[2] + values[3] * weights[3]
}

fn bicubic(node: &Attributes<'_>) -> Result<Kernel> {
    let convention = Convention::of(node);
    kernel(move |inputs, memory| {
        let ([batch, height, width, channels], to) = target(inputs)?;
        let x = inputs.tensor(0)?;
        let mut out = memory.unset::<f32>(batch * to[0] * to[1] * channels)?;
        let _charge = memory.charge((to[0] + to[1]).saturating_mul(size_of::<Around>()))?;
        let (rows, columns) = (around(height, to[0], convention), around(width, to[1], convention));
        with_number_type!(x, T => {
            let values = x.values::<T>().unwrap_or_default();
            fill(&mut out, channels, [&rows, &columns], |image, row, column, out| {
                for (channel, out) in out.iter_mut().enumerate() {
                    let down = column.places.map(|column| {
                        let read = |row: usize| {
                            values[((image * height + row) * width + column) * channels + channel].to_f64() as f32
                        };
                        weighted(row.places.map(read), row.weights)
                    });
                    *out = weighted(down, column.weights);
                }
            });
            Tensor::from_storage(vec![batch, to[0], to[1], channels], out)
        })
    })
}

pub(super) const OPS: &[Op] = &[Op { name: "ResizeBicubic", prepare: bicubic }];
