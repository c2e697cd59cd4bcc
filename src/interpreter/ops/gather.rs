//! Elements looked up by index: Gather, GatherV2, GatherNd, and the one-hot rows of indices.

use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, Op, axis, invalid, kernel, size};
use crate::interpreter::layout::row_major;
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{Tensor, element_count, with_values};

/// The places that `indices` name along an axis of that size.
fn places(indices: &[i64], size: usize) -> Result<Vec<usize>> {
    let place = |&index: &i64| {
        let place = usize::try_from(index).ok().filter(|&place| place < size);
        place.ok_or_else(|| invalid(format!("the index {index} is out of {size}")))
    };
    indices.iter().map(place).collect()
}

/// Slices of `x` along an axis, one for each index; the first `batch` axes of both go together.
pub(super) fn gathered(
    x: &Tensor,
    indices: &Tensor,
    along: usize,
    batch: usize,
    memory: &mut Memory,
) -> Result<Tensor> {
    let Some(index_values) = indices.to_ints() else { return Err(invalid("indices that are no integers")) };
    if batch > along || batch > indices.rank() || x.dims()[..batch] != indices.dims()[..batch] {
        return Err(invalid("batch dimensions that do not agree"));
    }
    let places = places(&index_values, x.dims()[along])?;
    let batches: usize = x.dims()[..batch].iter().product();
    let outer: usize = x.dims()[batch..along].iter().product();
    let inner: usize = x.dims()[along + 1..].iter().product();
    let per_batch: usize = indices.dims()[batch..].iter().product();
    let dims: Vec<usize> =
        [&x.dims()[..along], &indices.dims()[batch..], &x.dims()[along + 1..]].into_iter().flatten().copied().collect();
    let count = element_count(&dims)?;
    let row = x.dims()[along] * inner;
    let gathered = with_values!(x, values => {
        let mut out = memory.unset(count)?;
        if count > 0 {
            let mut slots = out.chunks_exact_mut(inner);
            for at_batch in 0..batches {
                for at_outer in 0..outer {
                    let start = (at_batch * outer + at_outer) * row;
                    for (&place, slot) in places[at_batch * per_batch..][..per_batch].iter().zip(&mut slots) {
                        slot.copy_from_slice(&values[start + place * inner..][..inner]);
                    }
                }
            }
        }
        Tensor::from_storage(dims, out)
    })?;
    Ok(gathered.retyped(x.dtype()))
}

fn gather_v2(node: &Attributes<'_>) -> Result<Kernel> {
    let batch = node.int("batch_dims", 0);
    kernel(move |inputs, memory| {
        let along = inputs.int(2)?;
        let (x, indices) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let batch = if batch < 0 { batch.saturating_add(indices.rank() as i64) } else { batch };
        gathered(x, indices, axis(along, x.rank())?, size(batch, "the number of batch dimensions")?, memory)
    })
}

fn gather_nd(inputs: &Inputs, memory: &mut Memory) -> Result<Tensor> {
    let (x, indices) = (inputs.tensor(0)?, inputs.tensor(1)?);
    let (Some(index_values), Some((&depth, outer))) = (indices.to_ints(), indices.dims().split_last()) else {
        return Err(invalid("indices that are no integers"));
    };
    if depth > x.rank() {
        return Err(invalid(format!("indices of {depth} places into a tensor of rank {}", x.rank())));
    }
    let dims: Vec<usize> = outer.iter().chain(&x.dims()[depth..]).copied().collect();
    let count = element_count(&dims)?;
    let inner: usize = x.dims()[depth..].iter().product();
    let strides = row_major(x.dims());
    let rows: usize = outer.iter().product();
    let gathered = with_values!(x, values => {
        let mut out = memory.unset(count)?;
        if count > 0 {
            for (row, slot) in (0..rows).zip(out.chunks_exact_mut(inner)) {
                let mut start = 0;
                for (at, &index) in index_values[row * depth..][..depth].iter().enumerate() {
                    let place = usize::try_from(index).ok().filter(|&place| place < x.dims()[at]);
                    let place = place.ok_or_else(|| invalid(format!("the index {index} is out of {}", x.dims()[at])))?;
                    start += place * strides[at].unsigned_abs();
                }
                slot.copy_from_slice(&values[start..][..inner]);
            }
        }
        Tensor::from_storage(dims, out)
    })?;
    Ok(gathered.retyped(x.dtype()))
}

fn one_hot(node: &Attributes<'_>) -> Result<Kernel> {
    let at = node.int("axis", -1);
    kernel(move |inputs, memory| {
        let indices = inputs.ints(0)?;
        let depth = size(inputs.int(1)?, "the depth")?;
        let mut dims = inputs.tensor(0)?.dims().to_vec();
        let along = axis(at, dims.len() + 1)?;
        let inner: usize = dims[along..].iter().product();
        dims.insert(along, depth);
        let count = element_count(&dims)?;
        let (on, off) = (inputs.tensor(2)?, inputs.tensor(3)?);
        with_values!(on, on_values => {
            let (&[on_value], Some(&[off_value])) = (on_values, off.values()) else {
                return Err(invalid("the values of a one-hot row are no scalars of one type"));
            };
            let mut out = memory.collect(count, std::iter::repeat_n(off_value, count))?;
            for (flat, &index) in indices.iter().enumerate() {
                if let Some(index) = usize::try_from(index).ok().filter(|&index| index < depth) {
                    out[(flat / inner * depth + index) * inner + flat % inner] = on_value;
                }
            }
            Ok(Tensor::from_storage(dims, out)?.retyped(on.dtype()))
        })
    })
}

pub(super) const OPS: &[Op] = &[
    Op {
        name: "Gather",
        prepare: |_| {
            kernel(|inputs, memory| {
                let x = inputs.tensor(0)?;
                gathered(x, inputs.tensor(1)?, axis(0, x.rank())?, 0, memory)
            })
        },
    },
    Op { name: "GatherV2", prepare: gather_v2 },
    Op { name: "GatherNd", prepare: |_| kernel(|inputs, memory| gather_nd(inputs, memory)) },
    Op { name: "OneHot", prepare: one_hot },
];
