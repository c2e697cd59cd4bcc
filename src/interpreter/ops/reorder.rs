//! Elements put into another order along an axis: the greatest first, reversed, rolled.

use super::gather::gathered;
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, axis, invalid, kernel, size};
use crate::interpreter::layout::row_major;
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{Tensor, element_count, with_values};

/// The greatest elements of each row, the greatest first, and where they were; of equal ones the first comes first.
fn top_k(node: &Attributes<'_>, is_v2: bool) -> Result<Kernel> {
    let fixed = node.int("k", 0);
    Ok(Box::new(move |inputs, memory| {
        let count = size(if is_v2 { inputs.int(1)? } else { fixed }, "the number of greatest elements")?;
        let x = inputs.tensor(0)?;
        let Some((&length, outer)) = x.dims().split_last() else { return Err(invalid("the greatest of a scalar")) };
        if count > length {
            return Err(invalid(format!("the {count} greatest of {length}")));
        }
        let dims: Vec<usize> = outer.iter().copied().chain([count]).collect();
        let total = element_count(&dims)?;
        let mut order = memory.zeros::<i32>(length)?;
        let mut indices = memory.zeros::<i32>(total)?;
        let values = with_number_type!(x, T => {
            let mut greatest = memory.unset::<T>(total)?;
            let rows = x.values::<T>().unwrap_or_default().chunks_exact(length.max(1));
            let results = greatest.chunks_exact_mut(count.max(1)).zip(indices.chunks_exact_mut(count.max(1)));
            for (row, (greatest, indices)) in rows.zip(results) {
                order.iter_mut().enumerate().for_each(|(index, place)| *place = index as i32);
                let at = |place: i32| row[place as usize];
                let is_nan = |place: i32| at(place).to_f64().is_nan();
                order.sort_by(|&a, &b| at(b).partial_cmp(&at(a)).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b))));
                indices.copy_from_slice(&order[..count]);
                greatest.iter_mut().zip(&*indices).for_each(|(value, &place)| *value = at(place));
            }
            Tensor::from_storage(dims.clone(), greatest)
        })?;
        Ok(vec![values.retyped(x.dtype()).into(), Tensor::from_storage(dims, indices)?.into()])
    }))
}

/// The first so many elements of each row of the batch reversed, each row its own number.
fn reverse_sequence(node: &Attributes<'_>) -> Result<Kernel> {
    let (along, batch) = (node.int("seq_dim", 0), node.int("batch_dim", 0));
    kernel(move |inputs, memory| {
        let (x, lengths) = (inputs.tensor(0)?, inputs.sizes(1, "a length")?);
        let (along, batch) = (axis(along, x.rank())?, axis(batch, x.rank())?);
        let (length, rows) = (x.dims()[along], x.dims()[batch]);
        if along == batch || lengths.len() != rows || lengths.iter().any(|&reversed| reversed > length) {
            return Err(invalid(format!("{} lengths of sequences for {rows} of {length}", lengths.len())));
        }
        let strides = row_major(x.dims());
        let (step, row) = (strides[along].unsigned_abs(), strides[batch].unsigned_abs());
        let reversed = with_values!(x, values => {
            let source = |flat: usize| {
                let (at, reversed) = (flat / step % length, lengths[flat / row % rows]);
                if at < reversed { values[flat - at * step + (reversed - 1 - at) * step] } else { values[flat] }
            };
            let out = memory.collect(values.len(), (0..values.len()).map(source))?;
            Tensor::from_storage(x.dims().to_vec(), out)
        })?;
        Ok(reversed.retyped(x.dtype()))
    })
}

/// Elements moved along axes, those that leave one end coming in at the other.
fn roll(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let (shifts, axes) = (inputs.ints(1)?, inputs.ints(2)?);
        if shifts.len() != axes.len() {
            return Err(invalid(format!("{} shifts for {} axes", shifts.len(), axes.len())));
        }
        let mut x = inputs.take(0)?;
        for (shift, along) in shifts.into_iter().zip(axes) {
            let along = axis(along, x.rank())?;
            let length = x.dims()[along] as i64;
            if length > 0 {
                let first = shift.rem_euclid(length);
                let places = memory.collect(x.dims()[along], (0..length).map(|at| (at - first).rem_euclid(length)))?;
                let places = Tensor::from_storage(vec![x.dims()[along]], places)?;
                x = gathered(&x, &places, along, 0, memory)?;
            }
        }
        Ok(x)
    })
}

/// Where each place is in a permutation.
fn invert_permutation(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let order = inputs.sizes(0, "a place")?;
        let mut places = vec![None; order.len()];
        for (at, &place) in order.iter().enumerate() {
            match places.get_mut(place) {
                Some(slot @ None) => *slot = Some(at as i64),
                _ => return Err(invalid("the places are no permutation")),
            }
        }
        let x = inputs.tensor(0)?;
        with_number_type!(x, T => {
            let places = places.into_iter().flatten().map(<T as Number>::from_i64);
            Tensor::from_storage(x.dims().to_vec(), memory.collect(order.len(), places)?)
        })
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "TopK", prepare: |node| top_k(node, false) },
    Op { name: "TopKV2", prepare: |node| top_k(node, true) },
    Op { name: "ReverseSequence", prepare: reverse_sequence },
    Op { name: "Roll", prepare: roll },
    Op { name: "InvertPermutation", prepare: invert_permutation },
];
