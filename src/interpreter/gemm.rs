//! The product of two matrices, by the crate `matrixmultiply`: the one place that calls its unsafe functions, after
//! checking that every element they touch is there.

use super::tensor::Element;

/// A matrix in a slice: its first element is at `start`, rows and columns are that far apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    pub values: &'a [T],
    pub row_stride: usize,
    pub column_stride: usize,
}

/// A type whose matrices can be multiplied.
pub(crate) trait Multiply: Element + std::ops::AddAssign + std::ops::Mul<Output = Self> {
    /// Writes `a · b` (or adds it, if `add`) into `out`, whose rows are `out_stride` apart. `a` has `m` rows and `k`
    /// columns, `b` has `k` rows and `n` columns.
    fn multiply(
        sizes: [usize; 3],
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
        out: &mut [Self],
        out_stride: usize,
        add: bool,
    );
}

/// The index after the last one that a matrix of that size touches; `None` if that overflows.
fn extent(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> Option<usize> {
    let last_row = (rows - 1).checked_mul(row_stride)?;
    let last_column = (columns - 1).checked_mul(column_stride)?;
    last_row.checked_add(last_column)?.checked_add(1)
}

macro_rules! multiply {
    ($type:ty, $gemm:path) => {
        impl Multiply for $type {
            fn multiply(
                [m, k, n]: [usize; 3],
                a: Matrix<'_, Self>,
                b: Matrix<'_, Self>,
                out: &mut [Self],
                out_stride: usize,
                add: bool,
            ) {
                if m == 0 || n == 0 {
                    return;
                }
                if k == 0 {
                    if !add {
                        out.chunks_mut(out_stride).take(m).for_each(|row| row[..n].fill(0.0));
                    }
                    return;
                }
                let within = |end: Option<usize>, length: usize| end.is_some_and(|end| end <= length);
                assert!(
                    within(extent(m, k, a.row_stride, a.column_stride), a.values.len())
                        && within(extent(k, n, b.row_stride, b.column_stride), b.values.len())
                        && within(extent(m, n, out_stride, 1), out.len())
                        && out_stride >= n,
                    "a matrix reaches past its slice"
                );
                let beta = if add { 1.0 } else { 0.0 };
                // SAFETY: the assertion above; `out` is borrowed mutably, so it overlaps neither `a` nor `b`, and as
                // its stride is no less than its width, none of its own elements is written twice.
                #[allow(unsafe_code)]
                unsafe {
                    $gemm(
                        m,
                        k,
                        n,
                        1.0,
                        a.values.as_ptr(),
                        a.row_stride.cast_signed(),
                        a.column_stride.cast_signed(),
                        b.values.as_ptr(),
                        b.row_stride.cast_signed(),
                        b.column_stride.cast_signed(),
                        beta,
                        out.as_mut_ptr(),
                        out_stride.cast_signed(),
                        1,
                    );
                }
            }
        }
    };
}

multiply!(f32, matrixmultiply::sgemm);
multiply!(f64, matrixmultiply::dgemm);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplies_transposed_and_strided() {
        let a = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]; // 3 × 2, read as its transpose 2 × 3
        let b = [1.0f32, 0.0, 2.0, 0.0, 1.0, 0.0]; // 3 × 1 in every second element
        let mut out = [9.0f32; 4];
        let a = Matrix { values: &a, row_stride: 1, column_stride: 2 };
        let b = Matrix { values: &b, row_stride: 2, column_stride: 1 };
        f32::multiply([2, 3, 1], a, b, &mut out, 2, false);
        assert_eq!(out, [1.0 + 6.0 + 5.0, 9.0, 2.0 + 8.0 + 6.0, 9.0]);
        f32::multiply([2, 0, 1], a, b, &mut out, 2, false);
        assert_eq!(out, [0.0, 9.0, 0.0, 9.0]);
    }

    #[test]
    #[should_panic(expected = "reaches past")]
    fn never_reads_past_a_slice() {
        let short = Matrix { values: &[1.0f64; 3], row_stride: 2, column_stride: 1 };
        f64::multiply([2, 2, 1], short, short, &mut [0.0; 2], 1, false);
    }
}
