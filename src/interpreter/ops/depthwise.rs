//! DepthwiseConv2dNative: every channel for itself, vectors of channels at a time.

// What is not inlined into the function that was chosen for the processor does not use its vectors.
#![allow(clippy::inline_always)]

use fearless_simd::{Level, Simd, SimdFloat, dispatch, f32x16, f64x8};

use super::framed::Framed;
use super::window::{Window, from_channels_last, to_channels_last};
use crate::error::Result;
use crate::interpreter::gemm::Multiply;
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::with_float_type;
use crate::interpreter::tensor::{Tensor, element_count};

/// Channels that are summed in registers at once, at most.
const LANES: usize = 16;

/// Vectors of channels that a tile of pixels is summed for before the next tile: what they read stays in the first cache, and is
/// long enough to be fetched ahead.
const GROUP: usize = 4;

/// Pixels that are summed at once: their weights are read once.
const TILE: usize = 4;

fn depthwise(node: &Attributes<'_>) -> Result<Kernel> {
    let window = Window::of(node)?;
    kernel(move |inputs, memory| {
        let x = to_channels_last(inputs.take(0)?, window.channels_first, memory)?;
        let filter = inputs.tensor(1)?;
        let out = with_float_type!(x, T => convolved::<T>(&x, filter, &window, memory))?;
        memory.recycle(x);
        from_channels_last(out, window.channels_first, memory)
    })
}

/// A convolution of `[batch, height, width, channels]` with `[height, width, channels, multiplier]`.
fn convolved<T: Convolve>(x: &Tensor, filter: &Tensor, window: &Window, memory: &mut Memory) -> Result<Tensor> {
    let (&[batch, height, width, channels], &[kernel_height, kernel_width, depth, multiplier]) =
        (x.dims(), filter.dims())
    else {
        return Err(invalid("the input or the weights have not four dimensions"));
    };
    let (Some(values), Some(weights)) = (x.values::<T>(), filter.values::<T>()) else {
        return Err(invalid("the input and the weights are of different types"));
    };
    if depth != channels {
        return Err(invalid(format!("weights for {depth} channels of an input with {channels}")));
    }
    let rows = window.axis(0, height, kernel_height)?;
    let columns = window.axis(1, width, kernel_width)?;
    let outputs = channels.saturating_mul(multiplier);
    let dims = [batch, rows.output, columns.output, outputs];
    let mut out = memory.unset::<T>(element_count(&dims)?)?;
    if !out.is_empty() {
        let mut framed = Framed::new(rows, columns, channels, memory)?;
        let elements: Vec<usize> = framed.elements().collect();
        let images = out.chunks_exact_mut(rows.output * columns.output * outputs);
        for (image, out) in values.chunks_exact(height * width * channels).zip(images) {
            let mut pixels = 0..0;
            for out in out.chunks_mut(framed.block_pixels() * outputs) {
                pixels = pixels.end..pixels.end + out.len() / outputs;
                let starts = framed.starts(&pixels);
                let values = framed.band(image, &pixels);
                let block = Block { values, starts: &starts, elements: &elements, weights, channels };
                if multiplier == 1 && channels >= LANES {
                    T::sum(&block, out);
                } else {
                    block.sum_multiplied(multiplier, out);
                }
            }
        }
        framed.recycle(memory);
    }
    Tensor::from_storage(dims.to_vec(), out)
}

/// Some pixels of the result, and what they are computed from.
struct Block<'a, T> {
    values: &'a [T],
    /// Where the patch of each pixel starts.
    starts: &'a [usize],
    /// From there to each element of the window.
    elements: &'a [usize],
    weights: &'a [T],
    channels: usize,
}

/// A type whose channels can be summed.
trait Convolve: Multiply {
    /// One result for each channel, of which there are no fewer than there are lanes.
    fn sum(block: &Block<'_, Self>, out: &mut [Self]);
}

macro_rules! convolve {
    ($type:ty, $vector:ident) => {
        impl Convolve for $type {
            fn sum(block: &Block<'_, Self>, out: &mut [Self]) {
                dispatch!(Level::new(), simd => block.sum::<_, $vector<_>>(simd, out));
            }
        }
    };
}

convolve!(f32, f32x16);
convolve!(f64, f64x8);

impl<T: Multiply> Block<'_, T> {
    #[inline(always)]
    fn sum<S: Simd, V: SimdFloat<S, Element = T>>(&self, simd: S, out: &mut [T]) {
        for group in (0..self.channels).step_by(GROUP * V::LEN) {
            for (index, starts) in self.starts.chunks(TILE).enumerate() {
                for channel in (group..self.channels.min(group + GROUP * V::LEN)).step_by(V::LEN) {
                    // The last vector ends with the last channel, and sums some a second time.
                    let channel = channel.min(self.channels - V::LEN);
                    let out = &mut out[index * TILE * self.channels + channel..];
                    match *starts {
                        [a, b, c, d] => self.sum_tile::<S, V, TILE>(simd, [a, b, c, d], channel, out),
                        _ => starts.iter().enumerate().for_each(|(pixel, &start)| {
                            self.sum_tile::<S, V, 1>(simd, [start], channel, &mut out[pixel * self.channels..]);
                        }),
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn sum_tile<S: Simd, V: SimdFloat<S, Element = T>, const PIXELS: usize>(
        &self,
        simd: S,
        starts: [usize; PIXELS],
        channel: usize,
        out: &mut [T],
    ) {
        let mut sums = [V::splat(simd, T::default()); PIXELS];
        for (index, element) in self.elements.iter().enumerate() {
            let weights = V::from_slice(simd, &self.weights[index * self.channels + channel..][..V::LEN]);
            for pixel in 0..PIXELS {
                let values = &self.values[starts[pixel] + element + channel..][..V::LEN];
                sums[pixel] = V::from_slice(simd, values).mul_add(weights, sums[pixel]);
            }
        }
        for (pixel, sum) in sums.iter().enumerate() {
            sum.store_slice(&mut out[pixel * self.channels..][..V::LEN]);
        }
    }

    /// Several results for each channel.
    fn sum_multiplied(&self, multiplier: usize, out: &mut [T]) {
        for (out, start) in out.chunks_exact_mut(self.channels * multiplier).zip(self.starts) {
            out.fill(T::default());
            for (weights, element) in self.weights.chunks_exact(self.channels * multiplier).zip(self.elements) {
                let values = &self.values[start + element..][..self.channels];
                let of_channels = out.chunks_exact_mut(multiplier).zip(values).zip(weights.chunks_exact(multiplier));
                for ((out, &value), weights) in of_channels {
                    out.iter_mut().zip(weights).for_each(|(sum, &weight)| *sum += value * weight);
                }
            }
        }
    }
}

pub(super) const OPS: &[Op] = &[Op { name: "DepthwiseConv2dNative", prepare: depthwise }];
