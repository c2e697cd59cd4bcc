//! Ops that move pixels between the axes of an image, and those that resize it.

use super::dims::{of_rank, with_rank};
use super::window::Layout;
use super::{Dims, Inference};

/// SpaceToBatchND: blocks of any axes, sizes and margins as inputs.
pub(super) fn space_to_batch_nd(at: &mut Inference<'_>) -> Option<Dims> {
    let dims = at.input(0)?;
    Some(to_batch(dims, &at.constant(1).unwrap_or_default(), at.constant(2).as_deref()))
}

/// BatchToSpaceND: back again.
pub(super) fn batch_to_space_nd(at: &mut Inference<'_>) -> Option<Dims> {
    let dims = at.input(0)?;
    Some(from_batch(dims, &at.constant(1).unwrap_or_default(), at.constant(2).as_deref()))
}

/// SpaceToBatch: square blocks of an image.
pub(super) fn space_to_batch(at: &mut Inference<'_>) -> Option<Dims> {
    let size = at.int("block_size").unwrap_or(0);
    Some(to_batch(with_rank(at.detail(0), 4), &[size; 2], at.constant(1).as_deref()))
}

/// BatchToSpace: back again.
pub(super) fn batch_to_space(at: &mut Inference<'_>) -> Option<Dims> {
    let size = at.int("block_size").unwrap_or(0);
    Some(from_batch(with_rank(at.detail(0), 4), &[size; 2], at.constant(1).as_deref()))
}

/// The sizes of blocks, and their margins if they are known, by axis after the batch; none if they do not fit.
fn blocks(rank: usize, sizes: &[i64], margins: Option<&[i64]>) -> Option<Vec<(i64, Option<[i64; 2]>)>> {
    let fits = !sizes.is_empty() && sizes.len() < rank && sizes.iter().all(|&size| size > 0);
    let Some(margins) = margins else { return fits.then(|| sizes.iter().map(|&size| (size, None)).collect()) };
    let (margins, rest) = margins.as_chunks();
    let fits = fits && rest.is_empty() && margins.len() == sizes.len();
    fits.then(|| sizes.iter().copied().zip(margins.iter().copied().map(Some)).collect())
}

fn to_batch(mut dims: Dims, sizes: &[i64], margins: Option<&[i64]>) -> Dims {
    let Some(blocks) = blocks(dims.len(), sizes, margins) else { return of_rank(dims.len()) };
    for (axis, (size, margins)) in (1..).zip(blocks) {
        dims[0] = dims[0].and_then(|batch| batch.checked_mul(size));
        let padded = |dim: i64, [before, after]: [i64; 2]| dim.checked_add(before)?.checked_add(after);
        dims[axis] = dims[axis].zip(margins).and_then(|(dim, margins)| Some(padded(dim, margins)? / size));
    }
    dims
}

fn from_batch(mut dims: Dims, sizes: &[i64], margins: Option<&[i64]>) -> Dims {
    let Some(blocks) = blocks(dims.len(), sizes, margins) else { return of_rank(dims.len()) };
    for (axis, (size, margins)) in (1..).zip(blocks) {
        dims[0] = dims[0].map(|batch| batch / size);
        let cropped =
            |dim: i64, [before, after]: [i64; 2]| dim.checked_mul(size)?.checked_sub(before)?.checked_sub(after);
        dims[axis] = dims[axis].zip(margins).and_then(|(dim, margins)| cropped(dim, margins)).filter(|&dim| dim >= 0);
    }
    dims
}

/// SpaceToDepth: the pixels of a block become channels.
pub(super) fn space_to_depth(at: &mut Inference<'_>) -> Option<Dims> {
    regrouped(at, |pixels, size| Some(pixels / size), i64::checked_mul)
}

/// DepthToSpace: back again.
pub(super) fn depth_to_space(at: &mut Inference<'_>) -> Option<Dims> {
    regrouped(at, i64::checked_mul, |channels, area| Some(channels / area))
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
        let margins = Some(&[2, 3, 0, 0][..]);
        let there = to_batch(vec![Some(2), Some(9), None, Some(3)], &[2, 2], margins);
        assert_eq!(there, [Some(8), Some(7), None, Some(3)]);
        assert_eq!(from_batch(there, &[2, 2], margins), [Some(2), Some(9), None, Some(3)]);
        assert_eq!(to_batch(vec![Some(2)], &[2, 2], margins), [None]);
    }
}
