//! Convolutions and pooling: a window slides over an image, or over a volume.

use super::dims::{of_rank, with_rank};
use super::{Dims, Inference};

/// The axes of an image or a volume, by a data format.
pub(super) struct Layout {
    pub rank: usize,
    pub channel: usize,
    /// The first of the axes that are neither batch nor channel.
    pub spatial: usize,
}

impl Layout {
    /// The node's layout, which has so many axes; none if its channels are in groups.
    pub(super) fn of(at: &Inference<'_>, rank: usize) -> Option<Self> {
        let format = at.graph.attr_str(at.node(), "data_format").unwrap_or_default();
        let channels_first = format.starts_with("NC");
        let (channel, spatial) = if channels_first { (1, 2) } else { (rank - 1, 1) };
        (format.is_empty() || format.len() == rank).then_some(Self { rank, channel, spatial })
    }

    /// The axes that are neither batch nor channel.
    pub(super) fn spatial_axes(&self) -> std::ops::Range<usize> {
        self.spatial..self.spatial + self.rank - 2
    }
}

/// An image whose channels are in groups of four has an axis more.
fn grouped(at: &Inference<'_>, rank: usize) -> Dims {
    let format = at.graph.attr_str(at.node(), "data_format");
    of_rank(if format.as_deref() == Some("NCHW_VECT_C") { rank + 1 } else { rank })
}

/// A filter of height, width, channels in and channels out.
pub(super) fn conv_2d(at: &mut Inference<'_>) -> Option<Dims> {
    convolution(at, 4)
}

/// A filter of depth, height, width, channels in and channels out.
pub(super) fn conv_3d(at: &mut Inference<'_>) -> Option<Dims> {
    convolution(at, 5)
}

fn convolution(at: &mut Inference<'_>, rank: usize) -> Option<Dims> {
    let Some(layout) = Layout::of(at, rank) else { return Some(grouped(at, rank)) };
    let (mut dims, filter) = (with_rank(at.detail(0), rank), with_rank(at.detail(1), rank));
    dims[layout.channel] = filter[rank - 1];
    let strides = at.ints("strides").unwrap_or_default();
    Some(slide(at, &layout, dims, &filter[..rank - 2], &strides))
}

/// A filter of height, width, channels in and how many channels each of them becomes.
pub(super) fn depthwise(at: &mut Inference<'_>) -> Option<Dims> {
    let Some(layout) = Layout::of(at, 4) else { return Some(of_rank(4)) };
    let (mut dims, filter) = (with_rank(at.detail(0), 4), with_rank(at.detail(1), 4));
    dims[layout.channel] = filter[2].zip(filter[3]).and_then(|(inputs, each)| inputs.checked_mul(each));
    let strides = at.ints("strides").unwrap_or_default();
    Some(slide(at, &layout, dims, &filter[..2], &strides))
}

pub(super) fn pool_2d(at: &mut Inference<'_>) -> Option<Dims> {
    pool(at, 4)
}

pub(super) fn pool_3d(at: &mut Inference<'_>) -> Option<Dims> {
    pool(at, 5)
}

fn pool(at: &mut Inference<'_>, rank: usize) -> Option<Dims> {
    let Some(layout) = Layout::of(at, rank) else { return Some(grouped(at, rank)) };
    let image = at.detail(0);
    let [sizes, strides] = ["ksize", "strides"].map(|attr| at.ints(attr).unwrap_or_default());
    Some(pooled(at, &layout, image, &sizes, &strides))
}

/// As [`pool_2d`], with the sizes and strides of the window as inputs; nothing is known unless they are constant.
pub(super) fn pool_2d_v2(at: &mut Inference<'_>) -> Option<Dims> {
    let (sizes, strides) = at.constant(1).zip(at.constant(2))?;
    let Some(layout) = Layout::of(at, 4) else { return Some(grouped(at, 4)) };
    let image = at.detail(0);
    Some(pooled(at, &layout, image, &sizes, &strides))
}

fn pooled(at: &Inference<'_>, layout: &Layout, image: Option<Dims>, sizes: &[i64], strides: &[i64]) -> Dims {
    let mut dims = with_rank(image, layout.rank);
    // A window over channels is not what makes networks.
    dims[layout.channel] = dims[layout.channel].filter(|_| sizes.get(layout.channel) == Some(&1));
    let window: Dims = layout.spatial_axes().map(|axis| sizes.get(axis).copied()).collect();
    slide(at, layout, dims, &window, strides)
}

/// The gradient of a convolution, whose first input says the shape of what it was a convolution of.
pub(super) fn conv_2d_backprop_input(at: &mut Inference<'_>) -> Option<Dims> {
    Some(with_rank(at.elements(0), 4))
}

/// All patches of an image, the pixels of each in a row.
pub(super) fn patches(at: &mut Inference<'_>) -> Option<Dims> {
    let mut dims = with_rank(at.detail(0), 4);
    let (Some(sizes), Some(strides), Some(rates)) = (at.ints("ksizes"), at.ints("strides"), at.ints("rates")) else {
        return Some(of_rank(4));
    };
    let padding = at.graph.attr_str(at.node(), "padding");
    // TensorFlow counts patches where it knows both sizes.
    if dims[1].and(dims[2]).is_none() {
        dims[1..3].fill(None);
    }
    for axis in [1, 2] {
        let [size, stride, rate] = [&sizes, &strides, &rates].map(|of_axes| of_axes.get(axis).copied());
        dims[axis] = steps(dims[axis], size, stride, rate, padding.as_deref());
        dims[3] = dims[3].zip(size).and_then(|(channels, size)| channels.checked_mul(size));
    }
    Some(dims)
}

/// An image, unchanged.
pub(super) fn same_image(at: &mut Inference<'_>) -> Option<Dims> {
    Some(with_rank(at.detail(0), 4))
}

/// What a sliding window makes of an image.
fn slide(at: &Inference<'_>, layout: &Layout, mut dims: Dims, window: &[Option<i64>], strides: &[i64]) -> Dims {
    let dilations = at.ints("dilations");
    let padding = at.graph.attr_str(at.node(), "padding");
    for (axis, window) in layout.spatial_axes().zip(window) {
        let stride = strides.get(axis).copied();
        let dilation = dilations.as_ref().map_or(Some(1), |dilations| dilations.get(axis).copied());
        dims[axis] = steps(dims[axis], *window, stride, dilation, padding.as_deref());
    }
    dims
}

/// How many steps a window makes along an axis.
fn steps(
    size: Option<i64>,
    window: Option<i64>,
    stride: Option<i64>,
    dilation: Option<i64>,
    padding: Option<&str>,
) -> Option<i64> {
    let (size, stride) = (size?, stride.filter(|&stride| stride > 0)?);
    match padding? {
        "SAME" => size.checked_add(stride - 1).map(|size| size / stride),
        "VALID" => {
            let reach = window?.checked_sub(1)?.checked_mul(dilation?)?;
            size.checked_sub(reach)?.checked_add(stride - 1).map(|size| (size / stride).max(0))
        }
        _ => None,
    }
}
