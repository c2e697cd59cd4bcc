//! DepthwiseConv2dNative: every channel for itself, vectors of channels at a time.

use super::window::{Axis, Window, from_channels_last, to_channels_last};
use crate::error::Result;
use crate::interpreter::gemm::Multiply;
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::with_float_type;
use crate::interpreter::tensor::{Tensor, element_count};

/// Channels that are summed in registers at once.
const LANES: usize = 16;

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
fn convolved<T: Multiply>(x: &Tensor, filter: &Tensor, window: &Window, memory: &mut Memory) -> Result<Tensor> {
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
    let dims = [batch, rows.output, columns.output, channels.saturating_mul(multiplier)];
    let mut out = memory.unset::<T>(element_count(&dims)?)?;
    if !out.is_empty() {
        let image = height * width * channels;
        for (image_index, out) in out.chunks_exact_mut(rows.output * columns.output * channels * multiplier).enumerate()
        {
            let values = &values[image_index * image..][..image];
            for (at_row, out) in out.chunks_exact_mut(columns.output * channels * multiplier).enumerate() {
                for (at_column, out) in out.chunks_exact_mut(channels * multiplier).enumerate() {
                    let place = Place::new(&rows, &columns, at_row, at_column);
                    if multiplier == 1 {
                        place.sum(values, weights, channels, out);
                    } else {
                        place.sum_multiplied(values, weights, channels, multiplier, out);
                    }
                }
            }
        }
    }
    Tensor::from_storage(dims.to_vec(), out)
}

/// One place of the window: which of its elements see the input, and where.
struct Place {
    tall: std::ops::Range<usize>,
    wide: std::ops::Range<usize>,
    /// The pixel that the first of them sees, and the ways from row to row and from column to column.
    pixel: usize,
    down: usize,
    across: usize,
    kernel_width: usize,
}

impl Place {
    fn new(rows: &Axis, columns: &Axis, at_row: usize, at_column: usize) -> Self {
        let (tall, first_row) = rows.seen(at_row);
        let (wide, first_column) = columns.seen(at_column);
        Self {
            tall,
            wide,
            pixel: first_row * columns.input + first_column,
            down: rows.dilation * columns.input,
            across: columns.dilation,
            kernel_width: columns.kernel,
        }
    }

    /// The window's elements that see the input: each one's index, and the pixel it sees.
    fn elements(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.tall.clone().enumerate().flat_map(move |(row, tall)| {
            self.wide.clone().enumerate().map(move |(column, wide)| {
                (tall * self.kernel_width + wide, self.pixel + row * self.down + column * self.across)
            })
        })
    }

    fn sum<T: Multiply>(&self, values: &[T], weights: &[T], channels: usize, out: &mut [T]) {
        let (whole, rest) = out.as_chunks_mut::<LANES>();
        let rest_start = whole.len() * LANES;
        for (index, out) in whole.iter_mut().enumerate() {
            let start = index * LANES;
            let mut sums = [T::default(); LANES];
            for (row, tall) in self.tall.clone().enumerate() {
                let mut value_at = (self.pixel + row * self.down) * channels + start;
                let mut weight_at = (tall * self.kernel_width + self.wide.start) * channels + start;
                for _ in self.wide.clone() {
                    let values = &values[value_at..value_at + LANES];
                    let weights = &weights[weight_at..weight_at + LANES];
                    for lane in 0..LANES {
                        sums[lane] += values[lane] * weights[lane];
                    }
                    value_at += self.across * channels;
                    weight_at += channels;
                }
            }
            *out = sums;
        }
        rest.fill(T::default());
        for (element, pixel) in self.elements() {
            if rest.is_empty() {
                break;
            }
            let values = &values[pixel * channels + rest_start..];
            let weights = &weights[element * channels + rest_start..];
            rest.iter_mut().zip(values.iter().zip(weights)).for_each(|(sum, (&value, &weight))| *sum += value * weight);
        }
    }

    fn sum_multiplied<T: Multiply>(
        &self,
        values: &[T],
        weights: &[T],
        channels: usize,
        multiplier: usize,
        out: &mut [T],
    ) {
        out.fill(T::default());
        for (element, pixel) in self.elements() {
            let values = &values[pixel * channels..][..channels];
            let weights = &weights[element * channels * multiplier..];
            let channel_weights = weights.chunks_exact(multiplier);
            for ((out, &value), weights) in out.chunks_exact_mut(multiplier).zip(values).zip(channel_weights) {
                out.iter_mut().zip(weights).for_each(|(sum, &weight)| *sum += value * weight);
            }
        }
    }
}

pub(super) const OPS: &[Op] = &[Op { name: "DepthwiseConv2dNative", prepare: depthwise }];
