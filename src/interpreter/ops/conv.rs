//! Conv2D: for a 1×1 kernel one matrix product, else one for each block of patches laid out as rows.

use super::window::{Axis, Window, from_channels_last, to_channels_last};
use crate::error::Result;
use crate::interpreter::gemm::{Matrix, Multiply};
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::with_float_type;
use crate::interpreter::tensor::{Tensor, element_count};

/// Bytes of patches that are multiplied at once: few enough for the cache, enough for the weights, which each product
/// arranges anew, not to count.
const BLOCK_BYTES: usize = 4 << 20;

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
    if depth == 0 || channels % depth != 0 || channels == 0 || outputs % (channels / depth) != 0 {
        return Err(invalid(format!("{channels} channels do not divide into groups of {depth} for {outputs} outputs")));
    }
    if out.is_empty() {
        return Tensor::from_storage(dims.to_vec(), out);
    }
    let (Some(values), Some(weights)) = (x.values::<T>(), filter.values::<T>()) else {
        return Err(invalid("the input and the weights are of different types"));
    };
    let groups = channels / depth;
    let patch = kernel_height * kernel_width * depth;
    let pixels = rows.output * columns.output;
    let is_plain = |axis: &Axis| axis.kernel == 1 && axis.stride == 1 && axis.before == 0 && axis.input == axis.output;
    if groups == 1 && is_plain(&rows) && is_plain(&columns) {
        let a = Matrix { values, row_stride: channels, column_stride: 1 };
        let b = Matrix { values: weights, row_stride: outputs, column_stride: 1 };
        T::multiply([batch * pixels, channels, outputs], a, b, &mut out, outputs, false);
        return Tensor::from_storage(dims.to_vec(), out);
    }
    let per_block = (BLOCK_BYTES / size_of::<T>() / patch.max(1)).clamp(1, pixels);
    let mut patches = memory.unset::<T>(element_count(&[per_block, patch])?)?;
    let image = height * width * channels;
    let group_outputs = outputs / groups;
    for at_batch in 0..batch {
        let values = &values[at_batch * image..][..image];
        for start in (0..pixels).step_by(per_block) {
            let count = per_block.min(pixels - start);
            let out = &mut out[(at_batch * pixels + start) * outputs..][..count * outputs];
            for group in 0..groups {
                let from = Patches { values, channels, first: group * depth, depth, rows, columns };
                from.lay_out(start, &mut patches[..count * patch]);
                let a = Matrix { values: &patches[..], row_stride: patch, column_stride: 1 };
                let b = Matrix { values: &weights[group * group_outputs..], row_stride: outputs, column_stride: 1 };
                let out = &mut out[group * group_outputs..];
                T::multiply([count, patch, group_outputs], a, b, out, outputs, false);
            }
        }
    }
    reuse(patches, memory);
    Tensor::from_storage(dims.to_vec(), out)
}

/// Hands scratch memory back to the session.
pub(super) fn reuse<T: Multiply>(scratch: crate::interpreter::tensor::Storage<T>, memory: &mut Memory) {
    let count = scratch.len();
    if let Ok(tensor) = Tensor::from_storage(vec![count], scratch) {
        memory.recycle(tensor);
    }
}

/// The patches of one image that a window sees.
struct Patches<'a, T> {
    values: &'a [T],
    channels: usize,
    /// The channels that are wanted: the first, and how many.
    first: usize,
    depth: usize,
    rows: Axis,
    columns: Axis,
}

impl<T: Multiply> Patches<'_, T> {
    /// Writes the patches of the window's places from `start` on, a row each.
    fn lay_out(&self, start: usize, patches: &mut [T]) {
        let line = self.columns.kernel * self.depth;
        let is_contiguous = self.depth == self.channels && self.columns.dilation == 1;
        for (index, patch) in patches.chunks_exact_mut(self.rows.kernel * line).enumerate() {
            let at = start + index;
            let (tall, first_row) = self.rows.seen(at / self.columns.output);
            let (wide, first_column) = self.columns.seen(at % self.columns.output);
            let whole = tall.len() == self.rows.kernel && wide.len() == self.columns.kernel;
            if !whole {
                patch.fill(T::default());
            }
            for (row, element) in tall.enumerate() {
                let place = (first_row + row * self.rows.dilation) * self.columns.input + first_column;
                let target = &mut patch[element * line + wide.start * self.depth..][..wide.len() * self.depth];
                if is_contiguous {
                    target.copy_from_slice(&self.values[place * self.channels..][..target.len()]);
                    continue;
                }
                for (column, target) in target.chunks_exact_mut(self.depth).enumerate() {
                    let place = place + column * self.columns.dilation;
                    target.copy_from_slice(&self.values[place * self.channels + self.first..][..self.depth]);
                }
            }
        }
    }
}

pub(super) const OPS: &[Op] = &[Op { name: "Conv2D", prepare: conv2d }];
