//! Rows combined by the segment that each belongs to: Segment* and UnsortedSegment*.

use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, Op, invalid, kernel, size};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{Tensor, element_count};

/// Rows combined by the segment that each belongs to. Sorted segments end with the last one named.
fn segments<T: Number>(
    inputs: &Inputs,
    (start, sorted): (T, bool),
    memory: &mut Memory,
    step: impl Fn(T, T) -> T,
) -> Result<(Tensor, Vec<usize>)> {
    let (x, ids) = (inputs.tensor(0)?, inputs.tensor(1)?);
    let names = inputs.ints(1)?;
    let Some(row_dims) = x.dims().get(ids.rank()..).filter(|_| x.dims().starts_with(ids.dims())) else {
        return Err(invalid("segments that do not fit what they divide"));
    };
    if sorted && (names.windows(2).any(|pair| pair[0] > pair[1]) || names.first().is_some_and(|&id| id < 0)) {
        return Err(invalid("segments that are not in order"));
    }
    let count = match names.last() {
        _ if !sorted => size(inputs.int(2)?, "the number of segments")?,
        Some(&last) => size(last.saturating_add(1), "the number of segments")?,
        None => 0,
    };
    let length = element_count(row_dims)?;
    let dims: Vec<usize> = std::iter::once(count).chain(row_dims.iter().copied()).collect();
    let total = element_count(&dims)?;
    let mut out = memory.collect::<T>(total, std::iter::repeat_n(start, total))?;
    let _charge = memory.charge(count.saturating_mul(size_of::<usize>()))?;
    let mut sizes = vec![0; count];
    let values = x.values::<T>().unwrap_or_default();
    for (at, &id) in names.iter().enumerate() {
        // Rows of negative segments are left out.
        let Ok(id) = usize::try_from(id) else { continue };
        if id >= count {
            return Err(invalid(format!("the segment {id} is out of {count}")));
        }
        sizes[id] += 1;
        let pairs = out[id * length..][..length].iter_mut().zip(&values[at * length..][..length]);
        pairs.for_each(|(folded, &value)| *folded = step(*folded, value));
    }
    Ok((Tensor::from_storage(dims, out)?, sizes))
}

macro_rules! segment {
    ($name:literal, $sorted:literal, $type:ident: $start:expr, $step:expr) => {
        Op {
            name: $name,
            prepare: |_| {
                kernel(|inputs, memory| {
                    let x = inputs.tensor(0)?;
                    with_number_type!(x, $type => {
                        let (mut out, sizes) = segments::<$type>(inputs, ($start, $sorted), memory, $step)?;
                        if $sorted && $start != T::ONE {
                            // Segments that no row belongs to are zero, or one for products.
                            empty_to_zero::<$type>(&mut out, &sizes);
                        }
                        Ok(out)
                    })
                })
            },
        }
    };
}

/// The greatest or least finite number, which TensorFlow leaves where there are no rows.
fn extreme<T: Number>(greatest: bool) -> T {
    let wide = if size_of::<T>() == size_of::<f32>() { f64::from(f32::MAX) } else { f64::MAX };
    match (T::IS_INTEGER, greatest) {
        (true, true) => T::GREATEST,
        (true, false) => T::LEAST,
        (false, _) => T::from_f64(if greatest { wide } else { -wide }),
    }
}

fn empty_to_zero<T: Number>(out: &mut Tensor, sizes: &[usize]) {
    let length = out.len() / sizes.len().max(1);
    let Some(values) = out.values_mut::<T>() else { return };
    for (row, _) in sizes.iter().enumerate().filter(|&(_, &size)| size == 0) {
        values[row * length..][..length].fill(T::ZERO);
    }
}

fn segment_mean(_: &Attributes<'_>) -> Result<Kernel> {
    kernel(|inputs, memory| {
        let x = inputs.tensor(0)?;
        with_number_type!(x, T => {
            let (mut out, sizes) = segments::<T>(inputs, (T::ZERO, true), memory, Number::add)?;
            let length = out.len() / sizes.len().max(1);
            if let Some(values) = out.values_mut::<T>() {
                for (row, &size) in sizes.iter().enumerate().filter(|&(_, &size)| size > 0) {
                    let divisor = T::from_i64(size as i64);
                    values[row * length..][..length].iter_mut().for_each(|sum| *sum = Number::div(*sum, divisor));
                }
            }
            Ok(out)
        })
    })
}

pub(super) const OPS: &[Op] = &[
    segment!("SegmentSum", true, T: T::ZERO, Number::add),
    segment!("SegmentProd", true, T: T::ONE, Number::mul),
    segment!("SegmentMax", true, T: T::LEAST, Number::greater),
    segment!("SegmentMin", true, T: T::GREATEST, Number::lesser),
    Op { name: "SegmentMean", prepare: segment_mean },
    segment!("UnsortedSegmentSum", false, T: T::ZERO, Number::add),
    segment!("UnsortedSegmentProd", false, T: T::ONE, Number::mul),
    segment!("UnsortedSegmentMax", false, T: extreme::<T>(false), Number::greater),
    segment!("UnsortedSegmentMin", false, T: extreme::<T>(true), Number::lesser),
];
