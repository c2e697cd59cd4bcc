//! Conv2D: a product of the patches, which are read where they lie in the image, with the weights.

use super::framed::{Framed, reuse};
use super::window::{Window, check_groups, from_channels_last, to_channels_last};
use crate::error::Result;
use crate::interpreter::gemm::{Matrix, Multiply, PANEL, Rows};
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::with_float_type;
use crate::interpreter::tensor::{Tensor, element_count};

fn conv2d(node: &Attributes<'_>) -> Result<Kernel> {
    let window = Window::of(node)?;
    kernel(move |inputs, memory| {
        let x = to_channels_last(inputs.take(0)?, window.channels_first, memory)?;
        let filter = inputs.tensor(1)?;
        if x.dtype() != filter.dtype() {
            return Err(invalid("the input and the weights are of different types"));
        }
        let out = with_float_type!(x, T => convolved::<T>(&x, filter, &window, memory))?;
        memory.recycle(x);
        from_channels_last(out, window.channels_first, memory)
    })
}

/// A convolution of `[batch, height, width, channels]` with `[height, width, channels / groups, outputs]`.
fn convolved<T: Multiply>(x: &Tensor, filter: &Tensor, window: &Window, memory: &mut Memory) -> Result<Tensor> {
    let (&[batch, height, width, channels], &[kernel_height, kernel_width, depth, outputs]) = (x.dims(), filter.dims())
    else {
        return Err(invalid("the input or the weights have not four dimensions"));
    };
    let rows = window.axis(0, height, kernel_height)?;
    let columns = window.axis(1, width, kernel_width)?;
    let dims = [batch, rows.output, columns.output, outputs];
    let mut out = memory.unset::<T>(element_count(&dims)?)?;
    check_groups(channels, depth, outputs)?;
    if out.is_empty() {
        return Tensor::from_storage(dims.to_vec(), out);
    }
    let (Some(values), Some(weights)) = (x.values::<T>(), T::stored(filter)) else {
        return Err(invalid("the input and the weights are of different types"));
    };
    let mut framed = Framed::new(rows, columns, channels, memory)?;
    let mut panel = memory.unset::<T>(PANEL)?;
    let patch = framed.patch(depth);
    let group_outputs = outputs / (channels / depth);
    let images = out.chunks_exact_mut(rows.output * columns.output * outputs);
    for (image, out) in values.chunks_exact(height * width * channels).zip(images) {
        let mut pixels = 0..0;
        for out in out.chunks_mut(framed.block_pixels() * outputs) {
            pixels = pixels.end..pixels.end + out.len() / outputs;
            let starts = framed.starts(&pixels);
            let values = framed.band(image, &pixels);
            for group in 0..channels / depth {
                let left = Rows { values: &values[group * depth..], starts: &starts, pieces: &patch };
                let (first, columns) = (group * group_outputs, group_outputs);
                let right = Matrix { values: &weights[first..], columns, row_stride: outputs, column_stride: 1 };
                T::multiply(left, right, &mut out[first..], outputs, &mut panel);
            }
        }
    }
    framed.recycle(memory);
    reuse(panel, memory);
    Tensor::from_storage(dims.to_vec(), out)
}

pub(super) const OPS: &[Op] = &[Op { name: "Conv2D", prepare: conv2d }];
