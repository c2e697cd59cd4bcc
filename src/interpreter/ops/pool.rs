//! MaxPool and AvgPool.

use super::window::{Window, from_channels_last, spatial, to_channels_last};
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{Tensor, element_count};

fn pool(node: &Attributes<'_>, average: bool) -> Result<Kernel> {
    let window = Window { dilations: [1, 1], ..Window::of(node)? };
    let sizes = spatial(node, "ksize", window.channels_first)?;
    kernel(move |inputs, memory| {
        let x = to_channels_last(inputs.take(0)?, window.channels_first, memory)?;
        let out = with_number_type!(x, T => pooled::<T>(&x, sizes, &window, average, memory))?;
        memory.recycle(x);
        from_channels_last(out, window.channels_first, memory)
    })
}

/// The greatest of each window of that size.
pub(super) fn greatest(x: Tensor, sizes: [usize; 2], window: &Window, memory: &mut Memory) -> Result<Tensor> {
    let x = to_channels_last(x, window.channels_first, memory)?;
    let out = with_number_type!(x, T => pooled::<T>(&x, sizes, window, false, memory))?;
    from_channels_last(out, window.channels_first, memory)
}

fn pooled<T: Number>(
    x: &Tensor,
    sizes: [usize; 2],
    window: &Window,
    average: bool,
    memory: &mut Memory,
) -> Result<Tensor> {
    let &[batch, height, width, channels] = x.dims() else {
        return Err(invalid("the input has not four dimensions"));
    };
    let (rows, columns) = (window.axis(0, height, sizes[0])?, window.axis(1, width, sizes[1])?);
    let dims = [batch, rows.output, columns.output, channels];
    let values = x.values::<T>().unwrap_or_default();
    let mut out = memory.unset::<T>(element_count(&dims)?)?;
    let pixels = rows.output * columns.output;
    for (index, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
        let (image, at) = (index / pixels, index % pixels);
        let (tall, first_row) = rows.seen(at / columns.output);
        let (wide, first_column) = columns.seen(at % columns.output);
        out.fill(if average { T::ZERO } else { T::LEAST });
        for row in first_row..first_row + tall.len() {
            let line = (image * height + row) * width + first_column;
            let line = &values[line * channels..][..wide.len() * channels];
            for pixel in line.chunks_exact(channels) {
                let pairs = out.iter_mut().zip(pixel);
                if average {
                    pairs.for_each(|(sum, &value)| *sum = Number::add(*sum, value));
                } else {
                    pairs.for_each(|(most, &value)| *most = Number::greater(*most, value));
                }
            }
        }
        if average {
            // What is padded does not count.
            let count = T::from_i64((tall.len() * wide.len()) as i64);
            out.iter_mut().for_each(|sum| *sum = Number::div(*sum, count));
        }
    }
    Tensor::from_storage(dims.to_vec(), out)
}

pub(super) const OPS: &[Op] = &[
    Op { name: "MaxPool", prepare: |node| pool(node, false) },
    Op { name: "AvgPool", prepare: |node| pool(node, true) },
];
