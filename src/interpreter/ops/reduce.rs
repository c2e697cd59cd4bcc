//! Reductions over axes, the places of extremes, and running sums.

use super::unary::as_numbers;
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, Op, axis, invalid, kernel};
use crate::interpreter::layout::{Walk, row_major};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{DType, Data, Element, Tensor, element_count};

/// Which axes go, and the shapes of what stays: as it is walked, and as the node makes it.
struct Axes {
    /// 0 for an axis that goes.
    strides: Vec<isize>,
    kept: Vec<usize>,
    /// How many elements become one.
    count: usize,
}

fn axes(inputs: &Inputs, keep_dims: bool) -> Result<Axes> {
    let (x, listed) = (inputs.tensor(0)?, inputs.ints(1)?);
    let mut goes = vec![false; x.rank()];
    for &index in &listed {
        goes[axis(index, x.rank())?] = true;
    }
    let sizes = x.dims().iter().zip(&goes);
    let ones: Vec<usize> = sizes.clone().map(|(&dim, &goes)| if goes { 1 } else { dim }).collect();
    let count = sizes.clone().filter(|&(_, &goes)| goes).map(|(&dim, _)| dim).product();
    let strides =
        row_major(&ones).into_iter().zip(&goes).map(|(stride, &goes)| if goes { 0 } else { stride }).collect();
    let kept = if keep_dims { ones } else { sizes.filter(|&(_, &goes)| !goes).map(|(&dim, _)| dim).collect() };
    Ok(Axes { strides, kept, count })
}

/// Folds every element into the place of the result that it belongs to.
fn fold<T: Element, A: Copy>(x: &Tensor, axes: &Axes, into: &mut [A], step: impl Fn(A, T) -> A + Copy) {
    let Some(values) = x.values::<T>() else { return };
    let strides: Vec<[isize; 2]> =
        row_major(x.dims()).into_iter().zip(&axes.strides).map(|(from, &to)| [from, to]).collect();
    let walk = Walk::new(x.dims(), &strides);
    let (length, [_, to_step]) = walk.row();
    walk.for_each_row([0; 2], |[from, to]| {
        let values = &values[from..from + length];
        if to_step == 0 || length == 1 {
            into[to] = values.iter().fold(into[to], |folded, &value| step(folded, value));
        } else {
            into[to..to + length].iter_mut().zip(values).for_each(|(folded, &value)| *folded = step(*folded, value));
        }
    });
}

/// Sums in 64-bit floats (whole numbers in wrapping 64-bit integers), so that the order does not matter to the result.
fn sum(inputs: &Inputs, memory: &mut Memory, keep_dims: bool, mean: bool) -> Result<Tensor> {
    let x = inputs.tensor(0)?;
    let axes = axes(inputs, keep_dims)?;
    let count = element_count(&axes.kept)?;
    with_number_type!(x, T => {
        let out = if T::IS_INTEGER {
            let mut sums = memory.zeros::<i64>(count)?;
            fold::<T, i64>(x, &axes, &mut sums, |sum, value| sum.wrapping_add(value.to_i64()));
            let divisor = if mean { axes.count as i64 } else { 1 };
            if divisor == 0 && count > 0 {
                return Err(invalid("the mean of no integers"));
            }
            memory.collect(count, sums.iter().map(|&sum| T::from_i64(if divisor == 1 { sum } else { sum / divisor })))?
        } else {
            let mut sums = memory.zeros::<f64>(count)?;
            fold::<T, f64>(x, &axes, &mut sums, |sum, value| sum + value.to_f64());
            let divisor = if mean { axes.count as f64 } else { 1.0 };
            memory.collect(count, sums.iter().map(|&sum| T::from_f64(sum / divisor)))?
        };
        Tensor::from_storage(axes.kept, out)
    })
}

/// What is folded from left to right.
macro_rules! folding {
    ($name:literal, $type:ident: $start:expr, $step:expr) => {
        Op {
            name: $name,
            prepare: |node| {
                let keep_dims = node.bool("keep_dims", false);
                kernel(move |inputs, memory| {
                    let x = inputs.tensor(0)?;
                    let axes = axes(inputs, keep_dims)?;
                    let count = element_count(&axes.kept)?;
                    with_number_type!(x, $type => {
                        let mut out = memory.collect::<$type>(count, std::iter::repeat_n($start, count))?;
                        fold::<$type, $type>(x, &axes, &mut out, $step);
                        Tensor::from_storage(axes.kept, out)
                    })
                })
            },
        }
    };
}

fn truth(node: &Attributes<'_>, start: bool, step: fn(bool, bool) -> bool) -> Result<Kernel> {
    let keep_dims = node.bool("keep_dims", false);
    kernel(move |inputs, memory| {
        inputs.values::<bool>(0)?;
        let axes = axes(inputs, keep_dims)?;
        let count = element_count(&axes.kept)?;
        let mut out = memory.collect(count, std::iter::repeat_n(start, count))?;
        fold(inputs.tensor(0)?, &axes, &mut out, step);
        Tensor::from_storage(axes.kept, out)
    })
}

fn summing(node: &Attributes<'_>, mean: bool) -> Result<Kernel> {
    let keep_dims = node.bool("keep_dims", false);
    kernel(move |inputs, memory| sum(inputs, memory, keep_dims, mean))
}

/// The place of the first element that is `better` than all before it, along one axis.
fn extreme_place(node: &Attributes<'_>, greatest: bool) -> Result<Kernel> {
    let dtype = node.dtype("output_type", DType::I64)?;
    kernel(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        let along = axis(inputs.int(1)?, x.rank())?;
        let size = x.dims()[along];
        if size == 0 {
            return Err(invalid("the place of an extreme of nothing"));
        }
        let inner: usize = x.dims()[along + 1..].iter().product();
        let mut dims = x.dims().to_vec();
        dims.remove(along);
        let count = element_count(&dims)?;
        let x_bool;
        let x = if let Data::Bool(_) = x.data() {
            x_bool = as_numbers(x, memory)?;
            &x_bool
        } else {
            x
        };
        with_number_type!(x, T => {
            let values = x.values::<T>().unwrap_or_default();
            let place = |flat: usize| {
                let start = flat / inner * inner * size + flat % inner;
                let mut best = 0;
                for index in 1..size {
                    let (value, best_value) = (values[start + index * inner], values[start + best * inner]);
                    if if greatest { value > best_value } else { value < best_value } {
                        best = index;
                    }
                }
                best
            };
            match dtype {
                DType::I32 => {
                    Tensor::from_storage(dims, memory.collect(count, (0..count).map(|flat| place(flat) as i32))?)
                }
                _ => Tensor::from_storage(dims, memory.collect(count, (0..count).map(|flat| place(flat) as i64))?),
            }
        })
    })
}

fn running(node: &Attributes<'_>, product: bool) -> Result<Kernel> {
    let (exclusive, reverse) = (node.bool("exclusive", false), node.bool("reverse", false));
    kernel(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        if x.rank() == 0 {
            return Err(invalid("a running sum over a scalar"));
        }
        let along = axis(inputs.int(1)?, x.rank())?;
        let size = x.dims()[along];
        let inner: usize = x.dims()[along + 1..].iter().product();
        with_number_type!(x, T => {
            let values = x.values::<T>().unwrap_or_default();
            let mut out = memory.unset::<T>(values.len())?;
            for start in (0..values.len()).filter(|flat| (flat / inner).is_multiple_of(size)) {
                let mut running = if product { T::ONE } else { T::ZERO };
                for index in 0..size {
                    let at = start + inner * if reverse { size - 1 - index } else { index };
                    let next = if product { Number::mul(running, values[at]) } else { Number::add(running, values[at]) };
                    out[at] = if exclusive { running } else { next };
                    running = next;
                }
            }
            Tensor::from_storage(x.dims().to_vec(), out)
        })
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "Sum", prepare: |node| summing(node, false) },
    Op { name: "Mean", prepare: |node| summing(node, true) },
    folding!("Max", T: T::LEAST, Number::greater),
    folding!("Min", T: T::GREATEST, Number::lesser),
    folding!("Prod", T: T::ONE, Number::mul),
    Op { name: "All", prepare: |node| truth(node, true, |a, b| a && b) },
    Op { name: "Any", prepare: |node| truth(node, false, |a, b| a || b) },
    Op { name: "ArgMax", prepare: |node| extreme_place(node, true) },
    Op { name: "ArgMin", prepare: |node| extreme_place(node, false) },
    Op { name: "Cumsum", prepare: |node| running(node, false) },
    Op { name: "Cumprod", prepare: |node| running(node, true) },
];
