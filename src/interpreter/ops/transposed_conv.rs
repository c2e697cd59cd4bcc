//! Conv2DBackpropInput: a convolution the other way round, as upsampling layers use it.

use super::framed::reuse;
use super::window::{Window, from_channels_last, to_channels_last};
use crate::error::Result;
use crate::interpreter::gemm::{Matrix, Multiply, PANEL, Rows, block_rows, pieces};
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::with_float_type;
use crate::interpreter::tensor::{Tensor, element_count};

fn backprop_input(node: &Attributes<'_>) -> Result<Kernel> {
    let window = Window::of(node)?;
    kernel(move |inputs, memory| {
        let sizes = inputs.sizes(0, "a dimension")?;
        let x = to_channels_last(inputs.take(2)?, window.channels_first, memory)?;
        let dims: [usize; 4] = match *sizes.as_slice() {
            // Only height and width may be given.
            [height, width] if x.rank() == 4 => {
                let channels = inputs.dims::<4>(1)?[2];
                [x.dims()[0], height, width, channels]
            }
            [batch, channels, height, width] if window.channels_first => [batch, height, width, channels],
            [batch, height, width, channels] => [batch, height, width, channels],
            _ => return Err(invalid("the size of the result is not four numbers")),
        };
        let filter = inputs.tensor(1)?;
        if x.dtype() != filter.dtype() {
            return Err(invalid("the input and the weights are of different types"));
        }
        let out = with_float_type!(x, T => spread::<T>(&x, filter, dims, &window, memory))?;
        memory.recycle(x);
        from_channels_last(out, window.channels_first, memory)
    })
}

/// Adds, for each pixel of `x`, the weights times its channels to where a window over the result would have seen it.
fn spread<T: Multiply>(
    x: &Tensor,
    filter: &Tensor,
    dims: [usize; 4],
    window: &Window,
    memory: &mut Memory,
) -> Result<Tensor> {
    let (&[batch, height, width, outputs], &[kernel_height, kernel_width, depth, filters]) = (x.dims(), filter.dims())
    else {
        return Err(invalid("the input or the weights have not four dimensions"));
    };
    let rows = window.axis(0, dims[1], kernel_height)?;
    let columns = window.axis(1, dims[2], kernel_width)?;
    if filters != outputs || depth != dims[3] || batch != dims[0] || [rows.output, columns.output] != [height, width] {
        return Err(invalid("the result's size, the weights and the input do not go together"));
    }
    let mut out = memory.zeros::<T>(element_count(&dims)?)?;
    let (values, weights) = (x.values::<T>().unwrap_or_default(), T::stored(filter).unwrap_or_default());
    let pixels = height * width;
    if out.is_empty() || pixels == 0 || outputs == 0 {
        return Tensor::from_storage(dims.to_vec(), out);
    }
    let patch = kernel_height * kernel_width * depth;
    let per_block = block_rows(pixels);
    let inner = pieces(std::iter::once(0), outputs);
    let mut patches = memory.unset::<T>(element_count(&[per_block, patch])?)?;
    let mut panel = memory.unset::<T>(PANEL)?;
    let image = dims[1] * dims[2] * depth;
    for (at_batch, out) in out.chunks_exact_mut(image).enumerate() {
        for start in (0..pixels).step_by(per_block) {
            let count = per_block.min(pixels - start);
            let starts: Vec<usize> =
                (start..start + count).map(|pixel| (at_batch * pixels + pixel) * outputs).collect();
            let left = Rows { values, starts: &starts, pieces: &inner };
            let right = Matrix { values: weights, columns: patch, row_stride: 1, column_stride: outputs };
            T::multiply(left, right, &mut patches, patch, &mut panel);
            for (index, patch) in patches.chunks_exact(patch).take(count).enumerate() {
                let at = start + index;
                let (tall, first_row) = rows.seen(at / columns.output);
                let (wide, first_column) = columns.seen(at % columns.output);
                for (row, element) in tall.enumerate() {
                    let line = (first_row + row * rows.dilation) * columns.input + first_column;
                    for (column, wide) in wide.clone().enumerate() {
                        let to = &mut out[(line + column * columns.dilation) * depth..][..depth];
                        let from = &patch[(element * kernel_width + wide) * depth..][..depth];
                        to.iter_mut().zip(from).for_each(|(sum, &value)| *sum += value);
                    }
                }
            }
        }
    }
    reuse(patches, memory);
    reuse(panel, memory);
    Tensor::from_storage(dims.to_vec(), out)
}

pub(super) const OPS: &[Op] = &[Op { name: "Conv2DBackpropInput", prepare: backprop_input }];
