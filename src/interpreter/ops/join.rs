//! Tensors put together and taken apart along an axis.

use super::slice::View;
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, Outputs, axis, invalid, kernel, size};
use crate::interpreter::layout::row_major;
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{Element, Tensor, with_values};

/// The tensors one behind the other along an axis.
pub(super) fn concatenated(parts: &[&Tensor], along: usize, memory: &mut Memory) -> Result<Tensor> {
    let [first, ..] = parts else { return Err(invalid("nothing to put together")) };
    let mut dims = first.dims().to_vec();
    dims[along] = 0;
    for part in parts {
        let agrees = |(axis, (a, b)): (usize, (&usize, &usize))| axis == along || a == b;
        if part.rank() != first.rank()
            || part.dtype() != first.dtype()
            || !part.dims().iter().zip(first.dims()).enumerate().all(agrees)
        {
            return Err(invalid("tensors of different shapes or types are put together"));
        }
        dims[along] += part.dims()[along];
    }
    with_values!(first, values => joined(values, parts, &dims, along, memory))
        .map(|joined| joined.retyped(first.dtype()))
}

/// The first argument only says what type the elements are of.
fn joined<T: Element>(_: &[T], parts: &[&Tensor], dims: &[usize], along: usize, memory: &mut Memory) -> Result<Tensor> {
    let mut out = memory.unset_for::<T>(dims)?;
    let inner: usize = dims[along + 1..].iter().product();
    let row = dims[along] * inner;
    let mut offset = 0;
    for part in parts {
        let width = part.dims()[along] * inner;
        let values = part.values::<T>().unwrap_or_default();
        if width > 0 && row > 0 {
            for (to, from) in out.chunks_exact_mut(row).zip(values.chunks_exact(width)) {
                to[offset..offset + width].copy_from_slice(from);
            }
        }
        offset += width;
    }
    Tensor::from_storage(dims.to_vec(), out)
}

/// Parts of those sizes along an axis.
pub(super) fn divided(x: &Tensor, along: usize, sizes: &[usize], memory: &mut Memory) -> Result<Vec<Tensor>> {
    let strides = row_major(x.dims());
    let mut start = 0;
    sizes
        .iter()
        .map(|&size| {
            let mut dims = x.dims().to_vec();
            dims[along] = size;
            let from = start * strides[along].unsigned_abs();
            start += size;
            View { start: from, dims: dims.clone(), strides: strides.clone() }.of(x, dims, memory)
        })
        .collect()
}

fn concat(axis_first: bool) -> Result<Kernel> {
    kernel(move |inputs, memory| {
        let parts = inputs.len().saturating_sub(1);
        let (axis_at, first) = if axis_first { (0, 1) } else { (parts, 0) };
        let along = inputs.int(axis_at)?;
        let along = axis(along, inputs.tensor(first)?.rank())?;
        if parts == 1 {
            return inputs.take(first);
        }
        concatenated(&inputs.tensors(first, first + parts)?, along, memory)
    })
}

fn pack(node: &Attributes<'_>) -> Result<Kernel> {
    let at = node.int("axis", 0);
    kernel(move |inputs, memory| {
        let parts = inputs.tensors(0, inputs.len())?;
        let [first, ..] = parts[..] else { return Err(invalid("nothing to put together")) };
        stacked(&parts, axis(at, first.rank() + 1)?, memory)
    })
}

/// The tensors, all of one shape, along a new axis.
pub(super) fn stacked(parts: &[&Tensor], along: usize, memory: &mut Memory) -> Result<Tensor> {
    let expanded = parts.iter().map(|part| {
        let mut dims = part.dims().to_vec();
        if along > dims.len() {
            return Err(invalid("tensors of different shapes are put together"));
        }
        dims.insert(along, 1);
        (*part).clone().reshaped(dims)
    });
    let expanded: Vec<Tensor> = expanded.collect::<Result<_>>()?;
    concatenated(&expanded.iter().collect::<Vec<_>>(), along, memory)
}

fn unpack(node: &Attributes<'_>) -> Result<Kernel> {
    let (at, count) = (node.int("axis", 0), size(node.int("num", 0), "the number of parts")?);
    if count > MAX_PARTS {
        return Err(invalid(format!("{count} parts")));
    }
    Ok(Box::new(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        let along = axis(at, x.rank())?;
        if x.dims()[along] != count {
            return Err(invalid(format!("{count} parts are taken from {}", x.dims()[along])));
        }
        let mut dims = x.dims().to_vec();
        dims.remove(along);
        let parts = divided(x, along, &vec![1; count], memory)?;
        parts.into_iter().map(|part| Ok(part.reshaped(dims.clone())?.into())).collect()
    }))
}

/// More parts than any graph means.
const MAX_PARTS: usize = 1 << 20;

fn split(node: &Attributes<'_>) -> Result<Kernel> {
    let count = size(node.int("num_split", 1), "the number of parts")?;
    if !(1..=MAX_PARTS).contains(&count) {
        return Err(invalid(format!("a split into {count} parts")));
    }
    Ok(Box::new(move |inputs, memory| {
        let along = inputs.int(0)?;
        let x = inputs.tensor(1)?;
        let along = axis(along, x.rank())?;
        let size = x.dims()[along];
        if size % count != 0 {
            return Err(invalid(format!("{size} is split into {count} equal parts")));
        }
        parts(divided(x, along, &vec![size / count; count], memory))
    }))
}

fn split_v(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let (sizes, along) = (inputs.ints(1)?, inputs.int(2)?);
        let x = inputs.tensor(0)?;
        let along = axis(along, x.rank())?;
        let whole = x.dims()[along];
        let open = sizes.iter().filter(|&&part| part == -1).count();
        let known = sizes.iter().filter(|&&part| part != -1).map(|&part| size(part, "a part's size"));
        let known =
            known.into_iter().try_fold(0usize, |sum, part| Ok::<_, crate::error::Error>(sum.saturating_add(part?)))?;
        if open > 1 || known > whole || open == 0 && known != whole {
            return Err(invalid(format!("the sizes of the parts do not make {whole}")));
        }
        let sizes: Vec<usize> = sizes.iter().map(|&part| usize::try_from(part).unwrap_or(whole - known)).collect();
        parts(divided(x, along, &sizes, memory))
    }))
}

fn parts(parts: Result<Vec<Tensor>>) -> Result<Outputs> {
    Ok(parts?.into_iter().map(Into::into).collect())
}

pub(super) const OPS: &[Op] = &[
    Op { name: "Concat", prepare: |_| concat(true) },
    Op { name: "ConcatV2", prepare: |_| concat(false) },
    Op { name: "Pack", prepare: pack },
    Op { name: "Unpack", prepare: unpack },
    Op { name: "Split", prepare: split },
    Op { name: "SplitV", prepare: split_v },
];
