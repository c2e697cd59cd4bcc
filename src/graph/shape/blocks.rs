//! Ops that move pixels between the axes of an image, and those that resize it.

use super::dims::{of_rank, with_rank};
use super::window::Layout;
use super::{Dims, Inference};

/// SpaceToBatchND: blocks of any axes, sizes and margins as inputs.
pub(super) fn space_to_batch_nd(at: &mut Inference<'_>) -> Option<Dims> {
    let dims = at.input(0)?;
    let rank = dims.len();
    let blocks = at.constant(1).zip(at.constant(2));
    Some(blocks.and_then(|(sizes, margins)| space_to_batch(dims, &sizes, &margins)).unwrap_or_else(|| of_rank(rank)))
}

/// BatchToSpaceND: back again.
pub(super) fn batch_to_space_nd(at: &mut Inference<'_>) -> Option<Dims> {
    let dims = at.input(0)?;
    let rank = dims.len();
    let blocks = at.constant(1).zip(at.constant(2));
    Some(blocks.and_then(|(sizes, margins)| batch_to_space(dims, &sizes, &margins)).unwrap_or_else(|| of_rank(rank)))
}

/// The sizes and margins of blocks, by axis after the batch.
fn blocks<'a>(
    dims: &Dims,
    sizes: &'a [i64],
    margins: &'a [i64],
) -> Option<impl Iterator<Item = (i64, [i64; 2])> + use<'a>> {
    let (margins, rest) = margins.as_chunks();
    let fits = rest.is_empty() && margins.len() == sizes.len() && sizes.len() < dims.len();
    (fits && sizes.iter().all(|&size| size > 0)).then(|| sizes.iter().copied().zip(margins.iter().copied()))
}

fn space_to_batch(mut dims: Dims, sizes: &[i64], margins: &[i64]) -> Option<Dims> {
    for (axis, (size, [before, after])) in (1..).zip(blocks(&dims, sizes, margins)?) {
        dims[0] = dims[0].and_then(|batch| batch.checked_mul(size));
        dims[axis] = dims[axis].and_then(|dim| Some(dim.checked_add(before)?.checked_add(after)? / size));
    }
    Some(dims)
}

fn batch_to_space(mut dims: Dims, sizes: &[i64], margins: &[i64]) -> Option<Dims> {
    for (axis, (size, [before, after])) in (1..).zip(blocks(&dims, sizes, margins)?) {
        dims[0] = dims[0].map(|batch| batch / size);
        let spread = dims[axis].and_then(|dim| dim.checked_mul(size)?.checked_sub(before)?.checked_sub(after));
        dims[axis] = spread.filter(|&dim| dim >= 0);
    }
    Some(dims)
}

/// SpaceToDepth: the pixels of a block become channels.
pub(super) fn space_to_depth(at: &mut Inference<'_>) -> Option<Dims> {
    regrouped(at, |pixels, size| Some(pixels / size), |channels, area| channels.checked_mul(area))
}

/// DepthToSpace: back again.
pub(super) fn depth_to_space(at: &mut Inference<'_>) -> Option<Dims> {
    regrouped(at, |pixels, size| pixels.checked_mul(size), |channels, area| Some(channels / area))
}

type Scale = fn(i64, i64) -> Option<i64>;

fn regrouped(at: &mut Inference<'_>, pixels: Scale, channels: Scale) -> Option<Dims> {
    let Some(layout) = Layout::of(at, 4) else { return Some(of_rank(5)) };
    let mut dims = with_rank(at.detail(0), 4);
    let size = at.int("block_size").filter(|&size| size > 1);
    let Some((size, area)) = size.and_then(|size| Some((size, size.checked_mul(size)?))) else {
        return Some(of_rank(4));
    };
    for axis in layout.spatial_axes() {
        dims[axis] = dims[axis].and_then(|dim| pixels(dim, size));
    }
    dims[layout.channel] = dims[layout.channel].and_then(|dim| channels(dim, area));
    Some(dims)
}

/// Resizing: a new height and width, an input.
pub(super) fn resize(at: &mut Inference<'_>) -> Option<Dims> {
    let mut dims = with_rank(at.detail(0), 4);
    let sizes = at.constant(1).filter(|sizes| sizes.len() == 2).unwrap_or_default();
    for (axis, dim) in dims[1..3].iter_mut().enumerate() {
        *dim = sizes.get(axis).copied().filter(|&size| size >= 0);
    }
    Some(dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_to_batch_and_back_keeps_what_is_known() {
        let there = space_to_batch(vec![Some(2), Some(9), None, Some(3)], &[2, 2], &[2, 3, 0, 0]).unwrap();
        assert_eq!(there, [Some(8), Some(7), None, Some(3)]);
        assert_eq!(batch_to_space(there, &[2, 2], &[2, 3, 0, 0]), Some(vec![Some(2), Some(9), None, Some(3)]));
        assert_eq!(space_to_batch(vec![Some(2)], &[2, 2], &[0, 0]), None);
    }
}
