//! Walks over tensors: rows that lie at fixed distances in each of several slices.

use super::kernel::invalid;
use super::tensor::shape_text;
use crate::error::Result;

/// A walk over one shape in `N` slices at once, axes merged where all slices allow.
#[derive(Debug)]
pub(crate) struct Walk<const N: usize> {
    dims: Vec<usize>,
    strides: Vec<[isize; N]>,
}

impl<const N: usize> Walk<N> {
    /// A walk over `dims`, a step along each axis being that many elements in each slice.
    pub(super) fn new(dims: &[usize], strides: &[[isize; N]]) -> Self {
        let mut walk = Self { dims: Vec::new(), strides: Vec::new() };
        for (&dim, &stride) in dims.iter().zip(strides) {
            if dim == 1 {
                continue;
            }
            let merges = |outer: &[isize; N]| (0..N).all(|slice| outer[slice] == stride[slice] * dim as isize);
            match (walk.dims.last_mut(), walk.strides.last_mut()) {
                (Some(last), Some(outer)) if merges(outer) => {
                    *last *= dim;
                    *outer = stride;
                }
                _ => {
                    walk.dims.push(dim);
                    walk.strides.push(stride);
                }
            }
        }
        if walk.dims.is_empty() {
            walk.dims.push(1);
            walk.strides.push([1; N]);
        }
        walk
    }

    /// The length of a row, and how far apart its elements are in each slice.
    pub(super) fn row(&self) -> (usize, [isize; N]) {
        let last = self.dims.len() - 1;
        (self.dims[last], self.strides[last])
    }

    /// Visits every row: where it starts in each slice, of which the whole walk starts at `start`.
    pub(super) fn for_each_row(&self, start: [usize; N], mut visit: impl FnMut([usize; N])) {
        if self.dims.contains(&0) {
            return;
        }
        let outer = &self.dims[..self.dims.len() - 1];
        let mut index = vec![0; outer.len()];
        let mut at = start;
        loop {
            visit(at);
            let mut axis = outer.len();
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                index[axis] += 1;
                let stride = &self.strides[axis];
                if index[axis] < outer[axis] {
                    (0..N).for_each(|slice| at[slice] = at[slice].wrapping_add_signed(stride[slice]));
                    break;
                }
                let back = outer[axis] as isize - 1;
                (0..N).for_each(|slice| at[slice] = at[slice].wrapping_add_signed(-stride[slice] * back));
                index[axis] = 0;
            }
        }
    }
}

/// How far apart neighbours along each axis are in a row-major tensor.
pub(crate) fn row_major(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis].max(1) as isize;
    }
    strides
}

/// The shape that both shapes broadcast to.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let dim = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |axis| dims[axis]);
    let pairs = (0..rank).map(|axis| match (dim(a, axis), dim(b, axis)) {
        (a, b) if a == b => Some(a),
        (1, other) | (other, 1) => Some(other),
        _ => None,
    });
    pairs
        .collect::<Option<_>>()
        .ok_or_else(|| invalid(format!("the shapes {} and {} do not broadcast", shape_text(a), shape_text(b))))
}

/// The strides of a row-major tensor of shape `dims` seen as one of shape `to`, which it broadcasts to.
pub(crate) fn broadcast_strides(dims: &[usize], to: &[usize]) -> Vec<isize> {
    let missing = to.len() - dims.len();
    let strides = row_major(dims);
    (0..to.len())
        .map(|axis| match axis.checked_sub(missing) {
            Some(axis) if dims[axis] != 1 => strides[axis],
            _ => 0,
        })
        .collect()
}

/// Copies a shape from one place to another.
pub(crate) fn copy<T: Copy>(
    dims: &[usize],
    (from, from_start, from_strides): (&[T], usize, &[isize]),
    (to, to_start, to_strides): (&mut [T], usize, &[isize]),
) {
    let strides: Vec<[isize; 2]> = from_strides.iter().zip(to_strides).map(|(&from, &to)| [from, to]).collect();
    let walk = Walk::new(dims, &strides);
    let (length, [from_step, to_step]) = walk.row();
    walk.for_each_row([from_start, to_start], |[mut source, mut target]| match (from_step, to_step) {
        (1, 1) => to[target..target + length].copy_from_slice(&from[source..source + length]),
        (0, 1) => to[target..target + length].fill(from[source]),
        _ => {
            for _ in 0..length {
                to[target] = from[source];
                source = source.wrapping_add_signed(from_step);
                target = target.wrapping_add_signed(to_step);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        assert_eq!(broadcast(&[2, 1, 3], &[4, 1]).unwrap(), [2, 4, 3]);
        assert_eq!(broadcast(&[0], &[1]).unwrap(), [0]);
        assert!(broadcast(&[2], &[3]).is_err());
        assert_eq!(broadcast_strides(&[4, 1], &[2, 4, 3]), [0, 1, 0]);
    }

    #[test]
    fn copies_transposed_and_reversed() {
        let from = [0, 1, 2, 3, 4, 5];
        let mut to = [9; 6];
        copy(&[3, 2], (&from, 0, &[1, 3]), (&mut to, 0, &[2, 1]));
        assert_eq!(to, [0, 3, 1, 4, 2, 5]);
        copy(&[2, 3], (&from, 2, &[3, -1]), (&mut to, 0, &[3, 1]));
        assert_eq!(to, [2, 1, 0, 5, 4, 3]);
        copy(&[0, 3], (&from, 0, &[3, 1]), (&mut to, 0, &[3, 1]));
        copy(&[], (&from, 5, &[]), (&mut to, 0, &[]));
        assert_eq!(to[0], 5);
    }
}
