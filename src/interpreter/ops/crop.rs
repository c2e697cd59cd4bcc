//! CropAndResize, and ExtractImagePatches: parts of images.

use super::window::{Padding, Window, spatial};
use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{Tensor, element_count, with_values};

/// Where along an axis a crop of `count` places, from one share of the axis to another, sees the image.
fn place(at: usize, count: usize, [from, to]: [f32; 2], length: usize) -> Option<f32> {
    let last = length as f32 - 1.0;
    let exact = if count > 1 {
        from * last + at as f32 * ((to - from) * last / (count - 1) as f32)
    } else {
        (0.5 * f64::from(from + to) * f64::from(last)) as f32
    };
    (exact >= 0.0 && exact <= last).then_some(exact)
}

fn crop_and_resize(node: &Attributes<'_>) -> Result<Kernel> {
    let outside = node.float("extrapolation_value", 0.0);
    let nearest = match node.text("method", "bilinear").as_str() {
        "bilinear" => false,
        "nearest" => true,
        other => return Err(Error::new(ErrorKind::Refused, format!("the method '{other}' is not known"))),
    };
    kernel(move |inputs, memory| {
        let [batch, height, width, channels] = inputs.dims::<4>(0)?;
        let (boxes, images) = (inputs.values::<f32>(1)?, inputs.ints(2)?);
        let [count, four] = inputs.dims::<2>(1)?;
        let &[tall, wide] = inputs.sizes(3, "the crop's size")?.as_slice() else {
            return Err(invalid("the crop's size is not two numbers"));
        };
        if four != 4 || images.len() != count || tall == 0 || wide == 0 || height == 0 || width == 0 {
            return Err(invalid(format!("{count} boxes for {} images", images.len())));
        }
        let dims = vec![count, tall, wide, channels];
        let mut out = memory.unset::<f32>(element_count(&dims)?)?;
        out.fill(outside);
        let x = inputs.tensor(0)?;
        with_number_type!(x, T => {
            let values = x.values::<T>().unwrap_or_default();
            let crops = out.chunks_exact_mut((tall * wide * channels).max(1));
            for (crop, (place_of, &image)) in crops.zip(boxes.as_chunks::<4>().0.iter().zip(&images)) {
                let image = usize::try_from(image).ok().filter(|&image| image < batch);
                let image = image.ok_or_else(|| invalid(format!("a box of an image that is none of {batch}")))?;
                let value = |y: usize, x: usize, channel: usize| {
                    values[((image * height + y) * width + x) * channels + channel].to_f64() as f32
                };
                let &[top, left, bottom, right] = place_of;
                for (at, pixel) in crop.chunks_exact_mut(channels.max(1)).enumerate() {
                    let y = place(at / wide, tall, [top, bottom], height);
                    let x = place(at % wide, wide, [left, right], width);
                    let (Some(y), Some(x)) = (y, x) else { continue };
                    let (above, below) = (y.floor() as usize, y.ceil() as usize);
                    let (before, behind) = (x.floor() as usize, x.ceil() as usize);
                    let (down, along) = (y - y.floor(), x - x.floor());
                    for (channel, out) in pixel.iter_mut().enumerate() {
                        *out = if nearest {
                            value(y.round() as usize, x.round() as usize, channel)
                        } else {
                            let row = |y: usize| {
                                let first = value(y, before, channel);
                                first + (value(y, behind, channel) - first) * along
                            };
                            let first = row(above);
                            first + (row(below) - first) * down
                        };
                    }
                }
            }
            Tensor::from_storage(dims, out)
        })
    })
}

fn extract_image_patches(node: &Attributes<'_>) -> Result<Kernel> {
    let padding = match node.text("padding", "VALID").as_str() {
        "SAME" => Padding::Same,
        "VALID" => Padding::Valid,
        other => return Err(Error::new(ErrorKind::Refused, format!("the padding '{other}' is not known"))),
    };
    let [kernels, strides, dilations] = ["ksizes", "strides", "rates"].map(|name| spatial(node, name, false));
    let (kernels, window) =
        (kernels?, Window { padding, strides: strides?, dilations: dilations?, channels_first: false });
    kernel(move |inputs, memory| {
        let [batch, height, width, channels] = inputs.dims::<4>(0)?;
        let (rows, columns) = (window.axis(0, height, kernels[0])?, window.axis(1, width, kernels[1])?);
        let patch = element_count(&[kernels[0], kernels[1], channels])?;
        let dims = vec![batch, rows.output, columns.output, patch];
        let count = element_count(&dims)?;
        let x = inputs.tensor(0)?;
        let patches = with_values!(x, values => {
            let mut out = memory.zeros(count)?;
            let pixels = rows.output * columns.output;
            for (index, out) in out.chunks_exact_mut(patch.max(1)).enumerate() {
                let (image, at) = (index / pixels, index % pixels);
                let (tall, first_row) = rows.seen(at / columns.output);
                let (wide, first_column) = columns.seen(at % columns.output);
                for (down, element) in tall.enumerate() {
                    let row = image * height + first_row + down * rows.dilation;
                    for (along, wide) in wide.clone().enumerate() {
                        let from = (row * width + first_column + along * columns.dilation) * channels;
                        out[(element * kernels[1] + wide) * channels..][..channels]
                            .copy_from_slice(&values[from..][..channels]);
                    }
                }
            }
            Tensor::from_storage(dims, out)
        })?;
        Ok(patches.retyped(x.dtype()))
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "CropAndResize", prepare: crop_and_resize },
    Op { name: "ExtractImagePatches", prepare: extract_image_patches },
];
