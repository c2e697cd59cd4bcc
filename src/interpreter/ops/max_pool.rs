//! MaxPool's other forms: with the places of what is greatest, and with its window as inputs.

use super::pool::greatest;
use super::window::{Window, spatial};
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{Tensor, element_count};

/// The greatest of each window, and where it is.
fn max_pool_with_argmax(node: &Attributes<'_>) -> Result<Kernel> {
    let window = Window { dilations: [1, 1], ..Window::of(node)? };
    let kernels = spatial(node, "ksize", false)?;
    let with_batch = node.bool("include_batch_in_index", false);
    let is_int = node.graph.attr_type(node.node, "Targmax") == Some(3);
    Ok(Box::new(move |inputs, memory| {
        let [batch, height, width, channels] = inputs.dims::<4>(0)?;
        let (rows, columns) = (window.axis(0, height, kernels[0])?, window.axis(1, width, kernels[1])?);
        let dims = vec![batch, rows.output, columns.output, channels];
        let count = element_count(&dims)?;
        let x = inputs.tensor(0)?;
        let mut places = memory.zeros::<i64>(count)?;
        let greatest = with_number_type!(x, T => {
            let values = x.values::<T>().unwrap_or_default();
            let mut out = memory.unset::<T>(count)?;
            let pixels = rows.output * columns.output;
            for (flat, (out, found)) in out.iter_mut().zip(places.iter_mut()).enumerate() {
                let (image, at, channel) = (flat / channels / pixels, flat / channels % pixels, flat % channels);
                let (tall, first_row) = rows.seen(at / columns.output);
                let (wide, first_column) = columns.seen(at % columns.output);
                let mut best: Option<(T, usize)> = None;
                for row in first_row..first_row + tall.len() {
                    for column in first_column..first_column + wide.len() {
                        let place = (row * width + column) * channels + channel;
                        let value = values[image * height * width * channels + place];
                        if best.is_none_or(|(most, _)| value > most) {
                            best = Some((value, place));
                        }
                    }
                }
                let (value, place) = best.unwrap_or((T::LEAST, 0));
                let start = if with_batch { image * height * width * channels } else { 0 };
                (*out, *found) = (value, (start + place) as i64);
            }
            Tensor::from_storage(dims.clone(), out)
        })?
        .retyped(x.dtype());
        let places = if is_int {
            let narrow = memory.collect(count, places.iter().map(|&place| place as i32))?;
            Tensor::from_storage(dims, narrow)?
        } else {
            Tensor::from_storage(dims, places)?
        };
        Ok(vec![greatest.into(), places.into()])
    }))
}

/// MaxPool whose window and strides are inputs.
fn max_pool_v2(node: &Attributes<'_>) -> Result<Kernel> {
    let window = Window { dilations: [1, 1], ..Window::of(node)? };
    kernel(move |inputs, memory| {
        let numbers = |index: usize| -> Result<[usize; 2]> {
            let values = inputs.sizes(index, "a window's size")?;
            let &[batch, a, b, c] = values.as_slice() else { return Err(invalid("a window not of four numbers")) };
            let (others, spatial) = if window.channels_first { ([batch, a], [b, c]) } else { ([batch, c], [a, b]) };
            if others != [1, 1] || spatial.iter().any(|&size| size == 0 || size > 1 << 31) {
                return Err(invalid("a window over batch or channels, or over nothing"));
            }
            Ok(spatial)
        };
        let (kernels, strides) = (numbers(1)?, numbers(2)?);
        greatest(inputs.take(0)?, kernels, &Window { strides, ..window.clone() }, memory)
    })
}

pub(super) const OPS: &[Op] =
    &[Op { name: "MaxPoolWithArgmax", prepare: max_pool_with_argmax }, Op { name: "MaxPoolV2", prepare: max_pool_v2 }];
