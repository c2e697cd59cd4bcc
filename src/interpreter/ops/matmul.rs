//! Products of matrices, one or a batch of them.

use super::framed::reuse;
use crate::error::Result;
use crate::interpreter::gemm::{Matrix, Multiply, PANEL, Rows, block_rows, pieces};
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::layout::{broadcast, broadcast_strides, copy, row_major};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_float_type};
use crate::interpreter::tensor::{Data, Storage, Tensor, element_count, shape_text};

/// The shape of a product: the batch, and rows, inner size and columns of each matrix.
struct Product {
    batch: Vec<usize>,
    sizes: [usize; 3],
}

impl Product {
    fn of(a: &[usize], b: &[usize], transposed: [bool; 2]) -> Result<Self> {
        let shapes = || format!("{} and {}", shape_text(a), shape_text(b));
        let ([a_batch @ .., a_rows, a_columns], [b_batch @ .., b_rows, b_columns]) = (a, b) else {
            return Err(invalid(format!("the shapes {} are not those of matrices", shapes())));
        };
        let (m, k) = if transposed[0] { (*a_columns, *a_rows) } else { (*a_rows, *a_columns) };
        let (k_too, n) = if transposed[1] { (*b_columns, *b_rows) } else { (*b_rows, *b_columns) };
        if k != k_too {
            return Err(invalid(format!("matrices of the shapes {} are multiplied", shapes())));
        }
        Ok(Self { batch: broadcast(a_batch, b_batch)?, sizes: [m, k, n] })
    }

    fn dims(&self) -> Vec<usize> {
        let mut dims = self.batch.clone();
        dims.extend([self.sizes[0], self.sizes[2]]);
        dims
    }

    /// Where each pair of matrices starts.
    fn pairs(&self, a: &[usize], b: &[usize]) -> impl Iterator<Item = (usize, usize)> {
        let starts = |dims: &[usize]| {
            let batch = &dims[..dims.len() - 2];
            let size: usize = dims[dims.len() - 2..].iter().product();
            let strides = broadcast_strides(batch, &self.batch);
            strides.into_iter().map(|stride| stride.unsigned_abs() * size).collect::<Vec<_>>()
        };
        let (of_a, of_b, of_batch) = (starts(a), starts(b), row_major(&self.batch));
        let (batch, count) = (self.batch.clone(), self.batch.iter().product::<usize>());
        (0..count).map(move |flat| {
            let place = |axis: usize| flat / of_batch[axis].unsigned_abs() % batch[axis];
            let start = |strides: &[usize]| (0..batch.len()).map(|axis| place(axis) * strides[axis]).sum();
            (start(&of_a), start(&of_b))
        })
    }
}

fn multiplied<T: Multiply>(a: &Tensor, b: &Tensor, transposed: [bool; 2], memory: &mut Memory) -> Result<Tensor> {
    let product = Product::of(a.dims(), b.dims(), transposed)?;
    let [m, k, n] = product.sizes;
    let mut out = memory.unset::<T>(element_count(&product.dims())?)?;
    let (Some(a_values), Some(b_values)) = (a.values::<T>(), T::stored(b)) else {
        return Err(invalid("matrices of different types are multiplied"));
    };
    // Rows of the left matrix lie side by side; of the right one, strips are copied anyway.
    let turned = transposed[0].then(|| turned::<T>(a_values, [k, m], memory)).transpose()?;
    let a_values = turned.as_deref().unwrap_or(a_values);
    let (row_stride, column_stride) = if transposed[1] { (1, k) } else { (n, 1) };
    let whole = pieces(std::iter::once(0), k);
    let mut panel = memory.unset::<T>(PANEL)?;
    if m * n > 0 {
        for ((a_start, b_start), out) in product.pairs(a.dims(), b.dims()).zip(out.chunks_exact_mut(m * n)) {
            let starts: Vec<usize> = (0..m).map(|row| a_start + row * k).collect();
            let right = Matrix { values: &b_values[b_start..], columns: n, row_stride, column_stride };
            for (starts, out) in starts.chunks(block_rows(m)).zip(out.chunks_mut(block_rows(m) * n)) {
                T::multiply(Rows { values: a_values, starts, pieces: &whole }, right, out, n, &mut panel);
            }
        }
    }
    reuse(panel, memory);
    Tensor::from_storage(product.dims(), out)
}

/// Matrices of that many rows and columns, each transposed.
fn turned<T: Multiply>(values: &[T], [rows, columns]: [usize; 2], memory: &mut Memory) -> Result<Storage<T>> {
    let mut out = memory.unset::<T>(values.len())?;
    let size = rows * columns;
    if size > 0 {
        for (from, to) in values.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
            copy(&[columns, rows], (from, 0, &[1, columns as isize]), (to, 0, &[rows as isize, 1]));
        }
    }
    Ok(out)
}

/// Integers, which are few and seldom, without any haste.
fn multiplied_integers<T: Number>(
    a: &Tensor,
    b: &Tensor,
    transposed: [bool; 2],
    memory: &mut Memory,
) -> Result<Tensor> {
    let product = Product::of(a.dims(), b.dims(), transposed)?;
    let [m, k, n] = product.sizes;
    let mut out = memory.zeros::<T>(element_count(&product.dims())?)?;
    let (Some(a_values), Some(b_values)) = (a.values::<T>(), b.values::<T>()) else {
        return Err(invalid("matrices of different types are multiplied"));
    };
    if m * n > 0 {
        for ((a_start, b_start), out) in product.pairs(a.dims(), b.dims()).zip(out.chunks_exact_mut(m * n)) {
            for (at, out) in out.iter_mut().enumerate() {
                let (row, column) = (at / n, at % n);
                *out = (0..k).fold(T::ZERO, |sum, inner| {
                    let a = if transposed[0] { inner * m + row } else { row * k + inner };
                    let b = if transposed[1] { column * k + inner } else { inner * n + column };
                    Number::add(sum, Number::mul(a_values[a_start + a], b_values[b_start + b]))
                });
            }
        }
    }
    Tensor::from_storage(product.dims(), out)
}

/// The product of two matrices, or of each pair in two batches of them.
pub(super) fn product(a: &Tensor, b: &Tensor, transposed: [bool; 2], memory: &mut Memory) -> Result<Tensor> {
    match a.data() {
        Data::I32(_) => multiplied_integers::<i32>(a, &memory.aligned(b)?, transposed, memory),
        Data::I64(_) => multiplied_integers::<i64>(a, &memory.aligned(b)?, transposed, memory),
        _ => with_float_type!(a, T => multiplied::<T>(a, b, transposed, memory)),
    }
}

fn matmul(node: &Attributes<'_>, names: [&str; 2], only_matrices: bool) -> Result<Kernel> {
    let transposed = names.map(|name| node.bool(name, false));
    kernel(move |inputs, memory| {
        if only_matrices {
            inputs.dims::<2>(0)?;
            inputs.dims::<2>(1)?;
        }
        product(inputs.tensor(0)?, inputs.tensor(1)?, transposed, memory)
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "MatMul", prepare: |node| matmul(node, ["transpose_a", "transpose_b"], true) },
    Op { name: "BatchMatMul", prepare: |node| matmul(node, ["adj_x", "adj_y"], false) },
    Op { name: "BatchMatMulV2", prepare: |node| matmul(node, ["adj_x", "adj_y"], false) },
    Op { name: "BatchMatMulV3", prepare: |node| matmul(node, ["adj_x", "adj_y"], false) },
];
