//! Slices put where indices say: ScatterNd, TensorScatter*, SparseToDense, DynamicStitch.

use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::layout::row_major;
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{Element, Storage, Tensor, element_count, with_values};

/// Where each row of indices points: the start of a slice, and how long the slices are.
struct Slices {
    starts: Vec<usize>,
    length: usize,
}

impl Slices {
    fn of(indices: &Tensor, dims: &[usize]) -> Result<Self> {
        let (Some(values), Some((&depth, outer))) = (indices.to_ints(), indices.dims().split_last()) else {
            return Err(invalid("indices that are no rows of integers"));
        };
        if depth > dims.len() {
            return Err(invalid(format!("indices of {depth} places into a tensor of rank {}", dims.len())));
        }
        let strides = row_major(dims);
        let rows: usize = outer.iter().product();
        let start = |row: usize| {
            let mut start = 0;
            for (at, &index) in values[row * depth..][..depth].iter().enumerate() {
                let place = usize::try_from(index).ok().filter(|&place| place < dims[at]);
                let place = place.ok_or_else(|| invalid(format!("the index {index} is out of {}", dims[at])))?;
                start += place * strides[at].unsigned_abs();
            }
            Ok(start)
        };
        let starts = (0..rows).map(start).collect::<Result<_>>()?;
        Ok(Self { starts, length: dims[depth..].iter().product() })
    }

    /// Combines each slice of `updates` with what is in its place.
    fn scatter<T: Copy>(&self, out: &mut [T], updates: &[T], step: impl Fn(T, T) -> T) -> Result<()> {
        if self.starts.len().checked_mul(self.length) != Some(updates.len()) {
            return Err(invalid(format!(
                "{} updates for {} slices of {}",
                updates.len(),
                self.starts.len(),
                self.length
            )));
        }
        if self.length > 0 {
            for (&start, updates) in self.starts.iter().zip(updates.chunks_exact(self.length)) {
                let pairs = out[start..start + self.length].iter_mut().zip(updates);
                pairs.for_each(|(old, &new)| *old = step(*old, new));
            }
        }
        Ok(())
    }
}

fn scatter_nd(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let dims = inputs.sizes(2, "a dimension")?;
        let count = element_count(&dims)?;
        let (indices, updates) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let slices = Slices::of(indices, &dims)?;
        if let Ok(updates) = inputs.values::<bool>(1) {
            let mut out = memory.zeros::<bool>(count)?;
            slices.scatter(&mut out, updates, |old, new| old | new)?;
            return Tensor::from_storage(dims, out);
        }
        with_number_type!(updates, T => {
            let mut out = memory.zeros::<T>(count)?;
            slices.scatter(&mut out, updates.values::<T>().unwrap_or_default(), Number::add)?;
            Tensor::from_storage(dims, out)
        })
    })
}

/// A copy of the elements.
fn copied<T: Element>(values: &[T], memory: &mut Memory) -> Result<Storage<T>> {
    memory.collect(values.len(), values.iter().copied())
}

fn tensor_scatter_update(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let (x, updates) = (inputs.tensor(0)?, inputs.tensor(2)?);
        let slices = Slices::of(inputs.tensor(1)?, x.dims())?;
        let updated = with_values!(x, values => {
            let mut out = copied(values, memory)?;
            let updates = updates.values().ok_or_else(|| invalid("updates of another type"))?;
            slices.scatter(&mut out, updates, |_, new| new)?;
            Tensor::from_storage(x.dims().to_vec(), out)
        })?;
        Ok(updated.retyped(x.dtype()))
    })
}

macro_rules! tensor_scatter {
    ($name:literal, $step:expr) => {
        Op {
            name: $name,
            prepare: |_| {
                kernel(|inputs, memory| {
                    let (x, updates) = (inputs.tensor(0)?, inputs.tensor(2)?);
                    let slices = Slices::of(inputs.tensor(1)?, x.dims())?;
                    with_number_type!(x, T => {
                        let mut out = copied(x.values::<T>().unwrap_or_default(), memory)?;
                        let updates = updates.values::<T>().ok_or_else(|| invalid("updates of another type"))?;
                        slices.scatter(&mut out, updates, $step)?;
                        Tensor::from_storage(x.dims().to_vec(), out)
                    })
                })
            },
        }
    };
}

/// `SparseToDense`: a value, or one for each index, over a default.
fn sparse_to_dense(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let dims = inputs.sizes(1, "a dimension")?;
        let count = element_count(&dims)?;
        let indices = inputs.tensor(0)?;
        let indices = match indices.rank() {
            2 => indices.clone(),
            _ => indices.clone().reshaped(vec![indices.len(), 1])?,
        };
        if indices.dims()[1] != dims.len() {
            return Err(invalid(format!("indices of {} places into {} dimensions", indices.dims()[1], dims.len())));
        }
        let slices = Slices::of(&indices, &dims)?;
        let (values, default) = (inputs.tensor(2)?, inputs.tensor(3)?);
        let dense = with_values!(values, values => {
            let Some(&[default]) = default.values() else { return Err(invalid("the default is no scalar of the type")) };
            let mut out = memory.collect(count, std::iter::repeat_n(default, count))?;
            match values {
                &[value] => slices.starts.iter().for_each(|&start| out[start] = value),
                _ => slices.scatter(&mut out, values, |_, new| new)?,
            }
            Tensor::from_storage(dims, out)
        })?;
        Ok(dense.retyped(inputs.tensor(2)?.dtype()))
    })
}

/// Rows of several tensors put together in the order that indices say; of two for one place, the later.
fn dynamic_stitch(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let parts = inputs.len() / 2;
        let first = inputs.tensor(parts)?;
        let Some(row_dims) = first.dims().get(inputs.tensor(0)?.rank()..) else {
            return Err(invalid("indices with more dimensions than what they place"));
        };
        let mut dims = row_dims.to_vec();
        let length = element_count(row_dims)?;
        let indices: Vec<Vec<usize>> = (0..parts).map(|part| inputs.sizes(part, "an index")).collect::<Result<_>>()?;
        let rows = indices.iter().flatten().max().map_or(Some(0), |most| most.checked_add(1));
        dims.insert(0, rows.ok_or_else(|| invalid("an index that is too large"))?);
        let count = element_count(&dims)?;
        let stitched = with_values!(first, first_values => {
            let mut out = memory.zeros(count)?;
            for (part, places) in indices.iter().enumerate() {
                let values = inputs.tensor(parts + part)?;
                let values = of_type_of(first_values, values)?;
                if Some(values.len()) != places.len().checked_mul(length) {
                    return Err(invalid(format!("{} values for {} rows of {length}", values.len(), places.len())));
                }
                if length > 0 {
                    for (&place, row) in places.iter().zip(values.chunks_exact(length)) {
                        out[place * length..][..length].copy_from_slice(row);
                    }
                }
            }
            Tensor::from_storage(dims, out)
        })?;
        Ok(stitched.retyped(first.dtype()))
    })
}

/// The elements of a tensor, which must be of the type of those.
pub(super) fn of_type_of<'a, T: Element>(_: &[T], tensor: &'a Tensor) -> Result<&'a [T]> {
    tensor.values().ok_or_else(|| invalid("tensors of different types are put together"))
}

pub(super) const OPS: &[Op] = &[
    Op { name: "ScatterNd", prepare: scatter_nd },
    Op { name: "TensorScatterUpdate", prepare: tensor_scatter_update },
    tensor_scatter!("TensorScatterAdd", Number::add),
    tensor_scatter!("TensorScatterSub", Number::sub),
    tensor_scatter!("TensorScatterMin", Number::lesser),
    tensor_scatter!("TensorScatterMax", Number::greater),
    Op { name: "SparseToDense", prepare: sparse_to_dense },
    Op { name: "DynamicStitch", prepare: dynamic_stitch },
    Op { name: "ParallelDynamicStitch", prepare: dynamic_stitch },
];
