//! ResizeBilinear, ResizeNearestNeighbor and ResizeArea, in all their conventions.

use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, Op, invalid, kernel, size};
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{Tensor, element_count};

/// How places of the result and of the image correspond.
#[derive(Clone, Copy)]
pub(super) struct Convention {
    pub align_corners: bool,
    pub half_pixel_centers: bool,
}

impl Convention {
    pub(super) fn of(node: &Attributes<'_>) -> Self {
        Self {
            align_corners: node.bool("align_corners", false),
            half_pixel_centers: node.bool("half_pixel_centers", false),
        }
    }

    /// Where a place of the result lies between the places of the image.
    pub(super) fn exact(self, at: usize, scale: f32) -> f32 {
        if self.half_pixel_centers { (at as f32 + 0.5) * scale - 0.5 } else { at as f32 * scale }
    }

    /// TensorFlow's `CalculateResizeScale`.
    pub(super) fn scale(self, from: usize, to: usize) -> f32 {
        if self.align_corners && to > 1 { (from - 1) as f32 / (to - 1) as f32 } else { from as f32 / to as f32 }
    }
}

/// The result's height and width, which are not zero unless the result is empty.
pub(super) fn target(inputs: &Inputs) -> Result<([usize; 4], [usize; 2])> {
    let dims = inputs.dims::<4>(0)?;
    let sizes = inputs.ints(1)?;
    let &[height, width] = sizes.as_slice() else { return Err(invalid("the new size is not two numbers")) };
    let to = [size(height, "the new height")?, size(width, "the new width")?];
    if to.contains(&0) || dims.contains(&0) {
        return Err(invalid("an image without pixels is resized"));
    }
    element_count(&[dims[0], to[0], to[1], dims[3]])?;
    Ok((dims, to))
}

/// Fills the pixels of the result, image by image, by what a row and a column of it see.
pub(super) fn fill<T, S>(
    out: &mut [T],
    channels: usize,
    [rows, columns]: [&[S]; 2],
    mut pixel: impl FnMut(usize, &S, &S, &mut [T]),
) {
    for (image, out) in out.chunks_exact_mut(rows.len() * columns.len() * channels).enumerate() {
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(columns.len() * channels)) {
            for (column, out) in columns.iter().zip(out.chunks_exact_mut(channels)) {
                pixel(image, row, column, out);
            }
        }
    }
}

/// Which two places of an axis a place lies between, and how far from the first.
#[derive(Clone, Copy)]
pub(crate) struct Between {
    pub lower: usize,
    pub upper: usize,
    pub way: f32,
}

/// Those of all places, by the centres of pixels.
pub(crate) fn by_centres(from: usize, to: usize) -> Vec<Between> {
    between(from, to, Convention { align_corners: false, half_pixel_centers: true })
}

fn between(from: usize, to: usize, convention: Convention) -> Vec<Between> {
    let scale = convention.scale(from, to);
    let place = |at: usize| {
        let exact = convention.exact(at, scale);
        let floor = exact.floor();
        let lower = (floor.max(0.0) as usize).min(from - 1);
        let upper = (exact.ceil().max(0.0) as usize).min(from - 1);
        Between { lower, upper, way: exact - floor }
    };
    (0..to).map(place).collect()
}

fn bilinear(node: &Attributes<'_>) -> Result<Kernel> {
    let convention = Convention::of(node);
    kernel(move |inputs, memory| {
        let ([batch, height, width, channels], to) = target(inputs)?;
        let x = inputs.tensor(0)?;
        let (rows, columns) = (between(height, to[0], convention), between(width, to[1], convention));
        let mut out = memory.unset::<f32>(batch * to[0] * to[1] * channels)?;
        with_number_type!(x, T => {
            let values = x.values::<T>().unwrap_or_default();
            let pixel = |image: usize, row: usize, column: usize| {
                &values[((image * height + row) * width + column) * channels..][..channels]
            };
            fill(&mut out, channels, [&rows, &columns], |image, row, column, out| {
                let (above_left, above_right) =
                    (pixel(image, row.lower, column.lower), pixel(image, row.lower, column.upper));
                let (below_left, below_right) =
                    (pixel(image, row.upper, column.lower), pixel(image, row.upper, column.upper));
                for (channel, out) in out.iter_mut().enumerate() {
                    let value = |pixel: &[T]| pixel[channel].to_f64() as f32;
                    let above = value(above_left) + (value(above_right) - value(above_left)) * column.way;
                    let below = value(below_left) + (value(below_right) - value(below_left)) * column.way;
                    *out = above + (below - above) * row.way;
                }
            });
            Tensor::from_storage(vec![batch, to[0], to[1], channels], out)
        })
    })
}

fn nearest(from: usize, to: usize, convention: Convention) -> Vec<usize> {
    let scale = convention.scale(from, to);
    let place = |at: usize| {
        let exact = if convention.half_pixel_centers { (at as f32 + 0.5) * scale } else { at as f32 * scale };
        let whole = if convention.align_corners { exact.round() } else { exact.floor() };
        (whole.max(0.0) as usize).min(from - 1)
    };
    (0..to).map(place).collect()
}

fn nearest_neighbor(node: &Attributes<'_>) -> Result<Kernel> {
    let convention = Convention::of(node);
    kernel(move |inputs, memory| {
        let ([batch, height, width, channels], to) = target(inputs)?;
        let x = inputs.tensor(0)?;
        let (rows, columns) = (nearest(height, to[0], convention), nearest(width, to[1], convention));
        with_number_type!(x, T => {
            let values = x.values::<T>().unwrap_or_default();
            let mut out = memory.unset::<T>(batch * to[0] * to[1] * channels)?;
            fill(&mut out, channels, [&rows, &columns], |image, row, column, out| {
                out.copy_from_slice(&values[((image * height + row) * width + column) * channels..][..channels]);
            });
            Tensor::from_storage(vec![batch, to[0], to[1], channels], out)
        })
    })
}

/// The places of an axis that a place of the result covers, and how much of each.
fn covered(from: usize, to: usize, convention: Convention) -> Vec<Vec<(usize, f32)>> {
    let scale = convention.scale(from, to);
    let place = |at: usize| {
        let (start, end) = (at as f32 * scale, (at + 1) as f32 * scale);
        let seen = start.floor() as i64..end.ceil() as i64;
        let share = |place: i64| {
            let place = place as f32;
            if place < start {
                if place + 1.0 > end { scale } else { place + 1.0 - start }
            } else if place + 1.0 > end {
                end - place
            } else {
                1.0
            }
        };
        seen.map(|place| (place.clamp(0, from as i64 - 1) as usize, share(place))).collect()
    };
    (0..to).map(place).collect()
}

/// The mean of what each pixel of the result covers.
fn area(node: &Attributes<'_>) -> Result<Kernel> {
    let convention = Convention { half_pixel_centers: false, ..Convention::of(node) };
    kernel(move |inputs, memory| {
        let ([batch, height, width, channels], to) = target(inputs)?;
        let x = inputs.tensor(0)?;
        let parts = (to[0] + to[1]).saturating_mul(2).saturating_add(height + width);
        let _charge = memory.charge(parts.saturating_mul(2 * size_of::<(usize, f32)>()))?;
        let (rows, columns) = (covered(height, to[0], convention), covered(width, to[1], convention));
        let whole = convention.scale(height, to[0]) * convention.scale(width, to[1]);
        let mut out = memory.unset::<f32>(batch * to[0] * to[1] * channels)?;
        with_number_type!(x, T => {
            let values = x.values::<T>().unwrap_or_default();
            fill(&mut out, channels, [&rows, &columns], |image, row, column, out| {
                out.fill(0.0);
                for &(y, tall) in row {
                    for &(x, wide) in column {
                        let pixel = &values[((image * height + y) * width + x) * channels..][..channels];
                        let share = tall * wide / whole;
                        out.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value.to_f64() as f32 * share);
                    }
                }
            });
            Tensor::from_storage(vec![batch, to[0], to[1], channels], out)
        })
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "ResizeArea", prepare: area },
    Op { name: "ResizeBilinear", prepare: bilinear },
    Op { name: "ResizeNearestNeighbor", prepare: nearest_neighbor },
];
