//! The product of two matrices, in vectors as wide as the processor has.
//!
//! The left matrix is not laid out anew: its rows are made of pieces that lie at the same distances from where each row
//! starts. So a convolution multiplies its patches where they are in the image, and a plain matrix is the case of one
//! piece a row. Of the right one, a panel at a time is copied to where the second cache holds it, strips of a few columns
//! one behind the other; each strip meets all rows of a block, and the sums of a tile of rows and columns stay in
//! registers. Where the rows are few, as in a dense layer, the right matrix is read once, row by row.

// What is not inlined into the function that was chosen for the processor does not use its vectors.
#![allow(clippy::inline_always)]

use fearless_simd::{Level, Simd, SimdBase, SimdFloat, dispatch, f32x16, f64x8};

use super::tensor::{Buffer, Element, Tensor};

/// Rows of a panel: a strip of them fills half of the first cache.
const DEPTH: usize = 256;

/// Columns of a panel: enough for the right matrix to be read in long runs.
const PANEL_COLUMNS: usize = 256;

/// Rows of a tile: with two registers of sums for each, they fill the sixteen of AVX2. Twelve, for the thirty-two of AVX-512, were
/// slower.
const TILE: usize = 6;

/// So few rows that copying a panel for them costs more than adding row to row.
const FEW: usize = 3;

/// Elements of scratch memory that a product takes.
pub(crate) const PANEL: usize = DEPTH * PANEL_COLUMNS;

/// Rows that a caller multiplies at once, at most: enough for copying panels not to count, few enough for what they read
/// to stay in the cache.
const MAX_BLOCK_ROWS: usize = 512;

/// The size of the blocks, all of about the same, that so many rows are multiplied in.
pub(crate) fn block_rows(rows: usize) -> usize {
    rows.div_ceil(rows.div_ceil(MAX_BLOCK_ROWS).max(1)).max(1)
}

/// The left matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    pub values: &'a [T],
    /// Where each row starts.
    pub starts: &'a [usize],
    /// What each row is made of.
    pub pieces: &'a [Piece],
}

/// Elements of a row that lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// How far from the start of the row.
    offset: usize,
    length: usize,
}

/// Rows of pieces of one length at those distances from the row's start.
pub(crate) fn pieces(offsets: impl Iterator<Item = usize>, length: usize) -> Vec<Piece> {
    let part = |offset: usize| {
        let starts = (0..length).step_by(DEPTH);
        starts.map(move |start| Piece { offset: offset + start, length: DEPTH.min(length - start) })
    };
    offsets.flat_map(part).collect()
}

/// The right matrix, in a slice: rows and columns are that far apart.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T: Multiply> {
    pub values: &'a [T::Stored],
    pub columns: usize,
    pub row_stride: usize,
    pub column_stride: usize,
}

/// A type whose matrices can be multiplied.
pub(crate) trait Multiply: Element + std::ops::AddAssign + std::ops::Mul<Output = Self> {
    /// The bytes of a value: weights are read from the graph's file, where they are seldom aligned.
    type Stored: Copy;
    fn load(stored: Self::Stored) -> Self;
    /// The elements of a tensor, aligned or not; `None` if they are of another type.
    fn stored(tensor: &Tensor) -> Option<&[Self::Stored]>;
    /// Writes the product into `out`, whose rows are `out_stride` apart; `panel` is scratch memory.
    fn multiply(left: Rows<'_, Self>, right: Matrix<'_, Self>, out: &mut [Self], out_stride: usize, panel: &mut [Self]);
}

macro_rules! multiply {
    ($type:ty, $vector:ident, $lanes:literal) => {
        impl Multiply for $type {
            type Stored = [u8; size_of::<$type>()];

            #[inline(always)]
            fn load(stored: Self::Stored) -> Self {
                Self::from_ne_bytes(stored)
            }

            fn stored(tensor: &Tensor) -> Option<&[Self::Stored]> {
                Some(match Self::of(tensor.data())? {
                    Buffer::Owned(storage) => bytemuck::cast_slice(storage),
                    Buffer::File(bytes) => bytes.as_chunks().0,
                })
            }

            fn multiply(
                left: Rows<'_, Self>,
                right: Matrix<'_, Self>,
                out: &mut [Self],
                out_stride: usize,
                panel: &mut [Self],
            ) {
                dispatch!(Level::new(), simd => {
                    let target = &mut Target { out, out_stride };
                    if left.starts.len() <= FEW && right.column_stride == 1 {
                        product_of_few::<_, $vector<_>, Self, $lanes>(simd, left, right, target);
                    } else {
                        product::<_, $vector<_>, Self, $lanes>(simd, left, right, target, panel);
                    }
                });
            }
        }
    };
}

multiply!(f32, f32x16, 16);
multiply!(f64, f64x8, 8);

struct Target<'a, T> {
    out: &'a mut [T],
    out_stride: usize,
}

#[inline(always)]
fn product<S: Simd, V: SimdFloat<S, Element = T>, T: Multiply, const LANES: usize>(
    simd: S,
    left: Rows<'_, T>,
    right: Matrix<'_, T>,
    target: &mut Target<'_, T>,
    panel: &mut [T],
) {
    let wide = <S::f32s as SimdBase<S>>::LEN * size_of::<f32>() == LANES * size_of::<V::Element>();
    let mut pieces = left.pieces;
    let mut first = 0;
    if pieces.is_empty() {
        let rows = target.out.chunks_mut(target.out_stride.max(1)).take(left.starts.len());
        rows.for_each(|row| row[..right.columns].fill(T::default()));
    }
    while !pieces.is_empty() {
        let (chunk, rest) = pieces.split_at(fitting(pieces));
        let left = Rows { pieces: chunk, ..left };
        let depth = chunk.iter().map(|piece| piece.length).sum();
        for first_column in (0..right.columns).step_by(PANEL_COLUMNS) {
            let columns = PANEL_COLUMNS.min(right.columns - first_column);
            let (strips, _) = panel.as_chunks_mut::<LANES>();
            let strips = &mut strips[..columns.div_ceil(LANES) * depth];
            let corner = first * right.row_stride + first_column * right.column_stride;
            copy_panel(Matrix { values: &right.values[corner..], columns, ..right }, depth, strips);
            let mut strips = strips.chunks_exact(depth);
            let mut column = first_column;
            while let Some(strip) = strips.next() {
                // A vector that is one register leaves half of them idle: two strips are taken at once.
                let beside = if wide { strips.next() } else { None };
                let width = right.columns.min(column + LANES * (1 + usize::from(beside.is_some()))) - column;
                let tiles = left.starts.len().div_ceil(TILE);
                let mut row = 0;
                for tile in 0..tiles {
                    // Of one size as far as possible: a tile of one row takes as long as one of four.
                    let rows = (left.starts.len() - row).div_ceil(tiles - tile);
                    let place = Place { row, column, width, adds: first > 0 };
                    match beside {
                        Some(beside) => sum_rows::<S, V, T, 2, LANES>(simd, left, [strip, beside], rows, target, place),
                        None => sum_rows::<S, V, T, 1, LANES>(simd, left, [strip], rows, target, place),
                    }
                    row += rows;
                }
                column += width;
            }
        }
        first += depth;
        pieces = rest;
    }
}

/// Copies the first rows of a matrix, strip by strip; what is left of the last strip is zero.
#[inline(always)]
fn copy_panel<T: Multiply, const LANES: usize>(right: Matrix<'_, T>, depth: usize, strips: &mut [[T; LANES]]) {
    if right.column_stride != 1 {
        for (index, strip) in strips.chunks_exact_mut(depth).enumerate() {
            for lane in 0..LANES {
                let column = index * LANES + lane;
                let from = right.values.get(column * right.column_stride..).filter(|_| column < right.columns);
                for (index, row) in strip.iter_mut().enumerate() {
                    row[lane] = from.map_or(T::default(), |from| T::load(from[index * right.row_stride]));
                }
            }
        }
        return;
    }
    for row in 0..depth {
        let (whole, rest) = right.values[row * right.row_stride..][..right.columns].as_chunks::<LANES>();
        for (index, from) in whole.iter().enumerate() {
            strips[index * depth + row] = loaded(from);
        }
        if !rest.is_empty() {
            let to = &mut strips[whole.len() * depth + row];
            *to = [T::default(); LANES];
            to.iter_mut().zip(rest).for_each(|(to, &from)| *to = T::load(from));
        }
    }
}

#[inline(always)]
fn product_of_few<S: Simd, V: SimdFloat<S, Element = T>, T: Multiply, const LANES: usize>(
    simd: S,
    left: Rows<'_, T>,
    right: Matrix<'_, T>,
    target: &mut Target<'_, T>,
) {
    for (row, &start) in left.starts.iter().enumerate() {
        let out = &mut target.out[row * target.out_stride..][..right.columns];
        out.fill(T::default());
        let mut first = 0;
        for piece in left.pieces {
            let factors = &left.values[start + piece.offset..][..piece.length];
            let (eights, rest) = factors.as_chunks::<8>();
            for factors in eights {
                add_rows::<S, V, T, 8, LANES>(
                    simd,
                    factors,
                    &right.values[first * right.row_stride..],
                    right.row_stride,
                    out,
                );
                first += factors.len();
            }
            for &factor in rest {
                add_rows::<S, V, T, 1, LANES>(
                    simd,
                    &[factor],
                    &right.values[first * right.row_stride..],
                    right.row_stride,
                    out,
                );
                first += 1;
            }
        }
    }
}

/// Adds as many rows as there are factors, each times its factor.
#[inline(always)]
fn add_rows<S: Simd, V: SimdFloat<S, Element = T>, T: Multiply, const ROWS: usize, const LANES: usize>(
    simd: S,
    factors: &[T; ROWS],
    values: &[T::Stored],
    stride: usize,
    out: &mut [T],
) {
    let mut rows = [&values[..0]; ROWS];
    for (row, slot) in rows.iter_mut().enumerate() {
        *slot = &values[row * stride..][..out.len()];
    }
    let (vectors, rest) = out.as_chunks_mut::<LANES>();
    let rest_start = vectors.len() * LANES;
    for (index, out) in vectors.iter_mut().enumerate() {
        let mut sum = V::from_slice(simd, out);
        for row in 0..ROWS {
            if let Some(stored) = rows[row][index * LANES..].first_chunk() {
                let values = V::from_slice(simd, &loaded::<T, LANES>(stored));
                sum = V::splat(simd, factors[row]).mul_add(values, sum);
            }
        }
        sum.store_slice(out);
    }
    for (index, out) in rest.iter_mut().enumerate() {
        (0..ROWS).for_each(|row| *out += factors[row] * T::load(rows[row][rest_start + index]));
    }
}

/// How many pieces go with one strip.
fn fitting(pieces: &[Piece]) -> usize {
    let mut depth = 0;
    let fits = |piece: &&Piece| {
        depth += piece.length;
        depth <= DEPTH
    };
    pieces.iter().take_while(fits).count()
}

#[inline(always)]
fn loaded<T: Multiply, const LANES: usize>(stored: &[T::Stored; LANES]) -> [T; LANES] {
    let mut values = [T::default(); LANES];
    for lane in 0..LANES {
        values[lane] = T::load(stored[lane]);
    }
    values
}

/// Which tile of the result.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
    width: usize,
    /// Whether it is added to what is there.
    adds: bool,
}

/// A tile of up to [`TILE`] rows and one strip or two.
#[inline(always)]
fn sum_rows<S: Simd, V: SimdFloat<S, Element = T>, T: Multiply, const STRIPS: usize, const LANES: usize>(
    simd: S,
    left: Rows<'_, T>,
    strips: [&[[T; LANES]]; STRIPS],
    rows: usize,
    target: &mut Target<'_, T>,
    place: Place,
) {
    match rows {
        6 => sum_tile::<S, V, T, 6, STRIPS, LANES>(simd, left, strips, target, place),
        5 => sum_tile::<S, V, T, 5, STRIPS, LANES>(simd, left, strips, target, place),
        4 => sum_tile::<S, V, T, 4, STRIPS, LANES>(simd, left, strips, target, place),
        3 => sum_tile::<S, V, T, 3, STRIPS, LANES>(simd, left, strips, target, place),
        2 => sum_tile::<S, V, T, 2, STRIPS, LANES>(simd, left, strips, target, place),
        _ => sum_tile::<S, V, T, 1, STRIPS, LANES>(simd, left, strips, target, place),
    }
}

#[inline(always)]
fn sum_tile<
    S: Simd,
    V: SimdFloat<S, Element = T>,
    T: Multiply,
    const ROWS: usize,
    const STRIPS: usize,
    const LANES: usize,
>(
    simd: S,
    left: Rows<'_, T>,
    mut strips: [&[[T; LANES]]; STRIPS],
    target: &mut Target<'_, T>,
    place: Place,
) {
    let Some(starts) = left.starts[place.row..].first_chunk::<ROWS>() else { return };
    let mut sums = [[V::splat(simd, T::default()); STRIPS]; ROWS];
    let out = |row: usize, strip: usize| {
        let start = (place.row + row) * target.out_stride + place.column + strip * LANES;
        start..start + LANES.min(place.width - strip * LANES)
    };
    if place.adds {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (strip, sum) in sums.iter_mut().enumerate() {
                let before = &target.out[out(row, strip)];
                *sum = if before.len() == LANES {
                    V::from_slice(simd, before)
                } else {
                    let mut whole = [T::default(); LANES];
                    whole[..before.len()].copy_from_slice(before);
                    V::from_slice(simd, &whole)
                };
            }
        }
    }
    for piece in left.pieces {
        let mut rows = [&left.values[..0]; ROWS];
        for row in 0..ROWS {
            rows[row] = &left.values[starts[row] + piece.offset..][..piece.length];
        }
        let of_piece = strips.map(|strip| &strip[..piece.length]);
        for index in 0..piece.length {
            let mut right = [V::splat(simd, T::default()); STRIPS];
            for strip in 0..STRIPS {
                right[strip] = V::from_slice(simd, &of_piece[strip][index]);
            }
            for row in 0..ROWS {
                let factor = V::splat(simd, rows[row][index]);
                for strip in 0..STRIPS {
                    sums[row][strip] = factor.mul_add(right[strip], sums[row][strip]);
                }
            }
        }
        strips = strips.map(|strip| &strip[piece.length..]);
    }
    for (row, sums) in sums.iter().enumerate() {
        for (strip, sum) in sums.iter().enumerate() {
            let after = &mut target.out[out(row, strip)];
            if after.len() == LANES {
                sum.store_slice(after);
            } else {
                let mut whole = [T::default(); LANES];
                sum.store_slice(&mut whole);
                after.copy_from_slice(&whole[..after.len()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplies_transposed_and_strided() {
        let a = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]; // its first and last two numbers are a row of two pieces
        let b = [1.0f32, 0.0, 2.0, 0.0, 1.0, 0.0, 3.0, 0.0]; // 4 × 1 in every second element
        let mut out = [9.0f32; 3];
        let left = Rows { values: &a, starts: &[0, 1], pieces: &pieces([0, 3].into_iter(), 2) };
        let right = Matrix { values: bytemuck::cast_slice(&b), columns: 1, row_stride: 2, column_stride: 1 };
        f32::multiply(left, right, &mut out, 2, &mut vec![0.0; PANEL]);
        assert_eq!(out, [1.0 + 4.0 + 4.0 + 15.0, 9.0, 2.0 + 6.0 + 5.0 + 18.0]);
        let nothing = Rows { pieces: &[], ..left };
        f32::multiply(nothing, right, &mut out, 2, &mut []);
        assert_eq!(out, [0.0, 9.0, 0.0]);
    }

    #[test]
    fn every_size_of_tile_and_strip() {
        let mut panel = vec![0.0; PANEL];
        for (rows, depth, columns) in [(1, 1, 1), (7, 600, 17), (13, 257, 40), (31, 5, 8), (5, 512, 16), (4, 3, 600)] {
            let a: Vec<f64> = (0..rows * depth).map(|index| (index % 7) as f64 - 3.0).collect();
            let b: Vec<f64> = (0..depth * columns).map(|index| (index % 5) as f64 - 2.0).collect();
            let transposed: Vec<f64> = (0..depth * columns).map(|at| b[at % depth * columns + at / depth]).collect();
            let starts: Vec<usize> = (0..rows).map(|row| row * depth).collect();
            let left = Rows { values: &a, starts: &starts, pieces: &pieces([0].into_iter(), depth) };
            let plain = Matrix { values: bytemuck::cast_slice(&b), columns, row_stride: columns, column_stride: 1 };
            let turned =
                Matrix { values: bytemuck::cast_slice(&transposed), columns, row_stride: 1, column_stride: depth };
            for right in [plain, turned] {
                let mut out = vec![0.5; rows * columns];
                f64::multiply(left, right, &mut out, columns, &mut panel);
                for (at, &found) in out.iter().enumerate() {
                    let (row, column) = (at / columns, at % columns);
                    let sum: f64 = (0..depth).map(|k| a[row * depth + k] * b[k * columns + column]).sum();
                    assert_eq!(found, sum, "{rows} × {depth} × {columns} at {at}");
                }
            }
        }
    }
}
