//! Convolutions and poolings of volumes: Conv3D, Conv3DBackpropInputV2, MaxPool3D, AvgPool3D.

use super::framed::reuse;
use super::slice::transposed;
use super::window::{Axis, Padding, Window, check_groups};
use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::gemm::{Matrix, Multiply, PANEL, Rows, block_rows, pieces};
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel, size};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_float_type, with_number_type};
use crate::interpreter::tensor::{Tensor, element_count};

/// The attributes of a window that moves over three axes, and how large it is where an attribute says it.
struct Volume {
    axes: [Window; 3],
    channels_first: bool,
}

/// Three numbers of an attribute with one for each axis; 1 where it is left out.
fn spatial(node: &Attributes<'_>, name: &str, channels_first: bool) -> Result<[usize; 3]> {
    let values = node.ints(name);
    let (outer, inner) = match *values.as_slice() {
        [] => return Ok([1; 3]),
        [batch, a, b, c, channels] if !channels_first => ([batch, channels], [a, b, c]),
        [batch, channels, a, b, c] => ([batch, channels], [a, b, c]),
        _ => return Err(invalid(format!("the attribute {name} has {} numbers instead of five", values.len()))),
    };
    if outer != [1, 1] {
        let what = format!("{name} other than 1 along batch or channels are not computed with");
        return Err(Error::new(ErrorKind::Refused, what));
    }
    let mut sizes = [1; 3];
    for (to, value) in sizes.iter_mut().zip(inner) {
        *to = size(value, name)?;
        if *to == 0 || *to > 1 << 31 {
            return Err(invalid(format!("{name} of {value}")));
        }
    }
    Ok(sizes)
}

impl Volume {
    fn of(node: &Attributes<'_>) -> Result<Self> {
        let channels_first = node.channels_first()?;
        let padding = match node.text("padding", "VALID").as_str() {
            "SAME" => Padding::Same,
            "VALID" => Padding::Valid,
            other => return Err(Error::new(ErrorKind::Refused, format!("the padding '{other}' is not known"))),
        };
        let strides = spatial(node, "strides", channels_first)?;
        let dilations = spatial(node, "dilations", channels_first)?;
        let axes = [0, 1, 2].map(|axis| Window {
            padding: padding.clone(),
            strides: [strides[axis]; 2],
            dilations: [dilations[axis]; 2],
            channels_first: false,
        });
        Ok(Self { axes, channels_first })
    }

    fn axes(&self, inputs: &[usize], kernels: &[usize]) -> Result<[Axis; 3]> {
        let axis = |at: usize| self.axes[at].axis(0, inputs[at], kernels[at]);
        Ok([axis(0)?, axis(1)?, axis(2)?])
    }

    fn to_channels_last(&self, x: Tensor, memory: &mut Memory) -> Result<Tensor> {
        if self.channels_first && x.rank() == 5 { transposed(&x, &[0, 2, 3, 4, 1], memory) } else { Ok(x) }
    }

    fn to_own_layout(&self, x: Tensor, memory: &mut Memory) -> Result<Tensor> {
        if self.channels_first { transposed(&x, &[0, 4, 1, 2, 3], memory) } else { Ok(x) }
    }
}

/// What a window sees of the volume: the places, as (element of the window, place in the volume).
fn seen(axes: &[Axis; 3], at: usize) -> impl Iterator<Item = (usize, usize)> {
    let [planes, rows, columns] = *axes;
    let column = at % columns.output.max(1);
    let row = at / columns.output.max(1) % rows.output.max(1);
    let plane = at / columns.output.max(1) / rows.output.max(1);
    let places = |axis: Axis, at: usize| {
        let (elements, first) = axis.seen(at);
        elements.enumerate().map(move |(index, element)| (element, first + index * axis.dilation))
    };
    places(planes, plane).flat_map(move |(z, plane)| {
        places(rows, row).flat_map(move |(y, row)| {
            places(columns, column).map(move |(x, column)| {
                let element = (z * rows.kernel + y) * columns.kernel + x;
                (element, (plane * rows.input + row) * columns.input + column)
            })
        })
    })
}

fn conv3d(node: &Attributes<'_>) -> Result<Kernel> {
    let volume = Volume::of(node)?;
    kernel(move |inputs, memory| {
        let x = volume.to_channels_last(inputs.take(0)?, memory)?;
        let filter = inputs.tensor(1)?;
        if x.dtype() != filter.dtype() {
            return Err(invalid("the input and the weights are of different types"));
        }
        let out = with_float_type!(x, T => convolved::<T>(&x, filter, &volume, memory))?;
        volume.to_own_layout(out, memory)
    })
}

/// A block of patches at a time, copied to where they lie row by row, times the weights.
fn convolved<T: Multiply>(x: &Tensor, filter: &Tensor, volume: &Volume, memory: &mut Memory) -> Result<Tensor> {
    let (&[batch, a, b, c, channels], &[p, q, r, depth, outputs]) = (x.dims(), filter.dims()) else {
        return Err(invalid("the input or the weights have not five dimensions"));
    };
    let (sizes, kernels) = ([a, b, c], [p, q, r]);
    let axes = volume.axes(&sizes, &kernels)?;
    let dims = [batch, axes[0].output, axes[1].output, axes[2].output, outputs];
    let mut out = memory.unset::<T>(element_count(&dims)?)?;
    check_groups(channels, depth, outputs)?;
    if out.is_empty() {
        return Tensor::from_storage(dims.to_vec(), out);
    }
    let (Some(values), Some(weights)) = (x.values::<T>(), T::stored(filter)) else {
        return Err(invalid("the input and the weights are of different types"));
    };
    let places: usize = axes.iter().map(|axis| axis.output).product();
    let elements: usize = kernels.iter().product();
    let patch = elements * depth;
    let per_block = block_rows(places);
    let mut patches = memory.unset::<T>(element_count(&[per_block, patch])?)?;
    let mut panel = memory.unset::<T>(PANEL)?;
    let inner = pieces(std::iter::once(0), patch);
    let starts: Vec<usize> = (0..per_block).map(|index| index * patch).collect();
    let group_outputs = outputs / (channels / depth);
    let image = sizes.iter().product::<usize>() * channels;
    for (image, out) in values.chunks_exact(image).zip(out.chunks_exact_mut(places * outputs)) {
        for (block, out) in out.chunks_mut(per_block * outputs).enumerate() {
            let count = out.len() / outputs;
            for group in 0..channels / depth {
                patches.fill(T::default());
                for (index, to) in patches.chunks_exact_mut(patch).take(count).enumerate() {
                    for (element, place) in seen(&axes, block * per_block + index) {
                        to[element * depth..][..depth]
                            .copy_from_slice(&image[place * channels + group * depth..][..depth]);
                    }
                }
                let left = Rows { values: &patches, starts: &starts[..count], pieces: &inner };
                let first = group * group_outputs;
                let right =
                    Matrix { values: &weights[first..], columns: group_outputs, row_stride: outputs, column_stride: 1 };
                T::multiply(left, right, &mut out[first..], outputs, &mut panel);
            }
        }
    }
    reuse(patches, memory);
    reuse(panel, memory);
    Tensor::from_storage(dims.to_vec(), out)
}

fn backprop_input(node: &Attributes<'_>) -> Result<Kernel> {
    let volume = Volume::of(node)?;
    kernel(move |inputs, memory| {
        let sizes = inputs.sizes(0, "a dimension")?;
        let x = volume.to_channels_last(inputs.take(2)?, memory)?;
        let dims: [usize; 5] = match *sizes.as_slice() {
            [batch, channels, a, b, c] if volume.channels_first => [batch, a, b, c, channels],
            [batch, a, b, c, channels] => [batch, a, b, c, channels],
            _ => return Err(invalid("the size of the result is not five numbers")),
        };
        let filter = inputs.tensor(1)?;
        if x.dtype() != filter.dtype() {
            return Err(invalid("the input and the weights are of different types"));
        }
        let out = with_float_type!(x, T => spread::<T>(&x, filter, dims, &volume, memory))?;
        volume.to_own_layout(out, memory)
    })
}

/// Adds, for each place of `x`, the weights times its channels to where a window over the result would have seen it.
fn spread<T: Multiply>(
    x: &Tensor,
    filter: &Tensor,
    dims: [usize; 5],
    volume: &Volume,
    memory: &mut Memory,
) -> Result<Tensor> {
    let (&[batch, a, b, c, outputs], &[p, q, r, depth, filters]) = (x.dims(), filter.dims()) else {
        return Err(invalid("the input or the weights have not five dimensions"));
    };
    let (sizes, kernels) = ([a, b, c], [p, q, r]);
    let axes = volume.axes(&dims[1..4], &kernels)?;
    let fits = axes.iter().zip(sizes).all(|(axis, size)| axis.output == size);
    if filters != outputs || depth != dims[4] || batch != dims[0] || !fits {
        return Err(invalid("the result's size, the weights and the input do not go together"));
    }
    let mut out = memory.zeros::<T>(element_count(&dims)?)?;
    let places: usize = sizes.iter().product();
    let (values, weights) = (x.values::<T>().unwrap_or_default(), T::stored(filter).unwrap_or_default());
    if out.is_empty() || places == 0 || outputs == 0 {
        return Tensor::from_storage(dims.to_vec(), out);
    }
    let patch = kernels.iter().product::<usize>() * depth;
    let per_block = block_rows(places);
    let inner = pieces(std::iter::once(0), outputs);
    let mut patches = memory.unset::<T>(element_count(&[per_block, patch])?)?;
    let mut panel = memory.unset::<T>(PANEL)?;
    let image = dims[1..].iter().product::<usize>();
    for (at_batch, out) in out.chunks_exact_mut(image).enumerate() {
        for start in (0..places).step_by(per_block) {
            let count = per_block.min(places - start);
            let starts: Vec<usize> =
                (start..start + count).map(|place| (at_batch * places + place) * outputs).collect();
            let left = Rows { values, starts: &starts, pieces: &inner };
            let right = Matrix { values: weights, columns: patch, row_stride: 1, column_stride: outputs };
            T::multiply(left, right, &mut patches, patch, &mut panel);
            for (index, patch) in patches.chunks_exact(patch).take(count).enumerate() {
                for (element, place) in seen(&axes, start + index) {
                    let pairs = out[place * depth..][..depth].iter_mut().zip(&patch[element * depth..][..depth]);
                    pairs.for_each(|(sum, &value)| *sum += value);
                }
            }
        }
    }
    reuse(patches, memory);
    reuse(panel, memory);
    Tensor::from_storage(dims.to_vec(), out)
}

fn pool(node: &Attributes<'_>, average: bool) -> Result<Kernel> {
    let volume = Volume::of(node)?;
    let kernels = spatial(node, "ksize", volume.channels_first)?;
    kernel(move |inputs, memory| {
        let x = volume.to_channels_last(inputs.take(0)?, memory)?;
        let out = with_number_type!(x, T => pooled::<T>(&x, kernels, &volume, average, memory))?;
        volume.to_own_layout(out, memory)
    })
}

fn pooled<T: Number>(
    x: &Tensor,
    kernels: [usize; 3],
    volume: &Volume,
    average: bool,
    memory: &mut Memory,
) -> Result<Tensor> {
    let &[batch, a, b, c, channels] = x.dims() else { return Err(invalid("the input has not five dimensions")) };
    let axes = volume.axes(&[a, b, c], &kernels)?;
    let dims = [batch, axes[0].output, axes[1].output, axes[2].output, channels];
    let values = x.values::<T>().unwrap_or_default();
    let mut out = memory.unset::<T>(element_count(&dims)?)?;
    let places: usize = axes.iter().map(|axis| axis.output).product();
    for (index, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
        let image = index / places * a * b * c;
        let mut count = 0;
        out.fill(if average { T::ZERO } else { T::LEAST });
        for (_, place) in seen(&axes, index % places) {
            let pairs = out.iter_mut().zip(&values[(image + place) * channels..][..channels]);
            if average {
                pairs.for_each(|(sum, &value)| *sum = Number::add(*sum, value));
            } else {
                pairs.for_each(|(most, &value)| *most = Number::greater(*most, value));
            }
            count += 1;
        }
        if average {
            // What is padded does not count.
            out.iter_mut().for_each(|sum| *sum = Number::div(*sum, T::from_i64(count)));
        }
    }
    Tensor::from_storage(dims.to_vec(), out)
}

pub(super) const OPS: &[Op] = &[
    Op { name: "Conv3D", prepare: conv3d },
    Op { name: "Conv3DBackpropInputV2", prepare: backprop_input },
    Op { name: "MaxPool3D", prepare: |node| pool(node, false) },
    Op { name: "AvgPool3D", prepare: |node| pool(node, true) },
];
