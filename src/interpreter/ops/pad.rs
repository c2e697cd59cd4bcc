//! Pad, PadV2, MirrorPad.

use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, Op, invalid, kernel, size};
use crate::interpreter::layout::{copy, row_major};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{Element, Tensor, element_count, with_values};

/// How many elements are added before and behind each axis.
fn amounts(inputs: &Inputs, rank: usize) -> Result<Vec<[usize; 2]>> {
    let amounts = inputs.ints(1)?;
    if inputs.tensor(1)?.dims() != [rank, 2] {
        return Err(invalid(format!("the padding is not two numbers for each of {rank} axes")));
    }
    let pairs = amounts.as_chunks::<2>().0.iter();
    pairs.map(|&[before, behind]| Ok([size(before, "a padding")?, size(behind, "a padding")?])).collect()
}

fn grown(dims: &[usize], amounts: &[[usize; 2]]) -> Result<Vec<usize>> {
    let grown: Vec<usize> = dims
        .iter()
        .zip(amounts)
        .map(|(&dim, [before, behind])| dim.saturating_add(*before).saturating_add(*behind))
        .collect();
    element_count(&grown)?;
    Ok(grown)
}

/// The tensor in the middle of a larger one of `value`.
pub(super) fn padded<T: Element>(
    values: &[T],
    dims: &[usize],
    amounts: &[[usize; 2]],
    value: T,
    memory: &mut Memory,
) -> Result<Tensor> {
    let to = grown(dims, amounts)?;
    let mut out = memory.unset_for::<T>(&to)?;
    out.fill(value);
    let strides = row_major(&to);
    if !values.is_empty() {
        let start = amounts.iter().zip(&strides).map(|([before, _], stride)| before * stride.unsigned_abs()).sum();
        copy(dims, (values, 0, &row_major(dims)), (&mut out[..], start, &strides));
    }
    Tensor::from_storage(to, out)
}

fn pad(with_value: bool) -> Result<Kernel> {
    kernel(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        let amounts = amounts(inputs, x.rank())?;
        let padded = with_values!(x, values => {
            let value = match with_value.then(|| inputs.tensor(2)?.values().ok_or_else(|| invalid("the padding is of another type"))) {
                Some(value) => match value? {
                    &[value] => value,
                    _ => return Err(invalid("the value to pad with is not a scalar")),
                },
                None => Default::default(),
            };
            padded(values, x.dims(), &amounts, value, memory)
        })?;
        Ok(padded.retyped(x.dtype()))
    })
}

/// The place in an axis of `size` elements that the place `at` of the padded axis mirrors.
fn mirrored(at: usize, before: usize, size: usize, border: usize) -> usize {
    if at < before {
        before - at - 1 + border
    } else if at < before + size {
        at - before
    } else {
        size - 1 - border - (at - before - size)
    }
}

fn mirror_pad(node: &Attributes<'_>) -> Result<Kernel> {
    // Whether the element at the border is left out.
    let border = match node.text("mode", "").as_str() {
        "REFLECT" => 1,
        "SYMMETRIC" => 0,
        other => return Err(Error::new(ErrorKind::Refused, format!("the mode '{other}' of padding is not known"))),
    };
    kernel(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        let amounts = amounts(inputs, x.rank())?;
        let fits = |(&dim, &[before, behind]): (&usize, &[usize; 2])| before.max(behind) + border <= dim;
        if !x.dims().iter().zip(&amounts).all(|(dim, amount)| *amount == [0, 0] || fits((dim, amount))) {
            return Err(invalid("a padding that is wider than what it mirrors"));
        }
        let to = grown(x.dims(), &amounts)?;
        let count = element_count(&to)?;
        let (from_strides, to_strides) = (row_major(x.dims()), row_major(&to));
        let padded = with_values!(x, values => {
            let sources = (0..count).map(|flat| {
                let place = |axis: usize| {
                    let at = flat / to_strides[axis].unsigned_abs() % to[axis];
                    mirrored(at, amounts[axis][0], x.dims()[axis], border) * from_strides[axis].unsigned_abs()
                };
                values[(0..to.len()).map(place).sum::<usize>()]
            });
            let out = memory.collect(count, sources)?;
            Tensor::from_storage(to.clone(), out)
        })?;
        Ok(padded.retyped(x.dtype()))
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "Pad", prepare: |_| pad(false) },
    Op { name: "PadV2", prepare: |_| pad(true) },
    Op { name: "MirrorPad", prepare: mirror_pad },
];
