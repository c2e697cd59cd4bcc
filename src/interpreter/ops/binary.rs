//! Ops of two tensors, element by element, with broadcasting.

use super::shape::sizes;
use super::unary::as_numbers;
use crate::error::Result;
use crate::interpreter::kernel::{Inputs, Op, invalid, kernel};
use crate::interpreter::layout::{Walk, broadcast, broadcast_strides, row_major};
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_number_type};
use crate::interpreter::tensor::{Data, Element, Tensor, element_count};

/// A tensor of the results for each pair of elements.
pub(super) fn combine<T: Element, R: Element>(
    a: &Tensor,
    b: &Tensor,
    memory: &mut Memory,
    function: impl Fn(T, T) -> R + Copy,
) -> Result<Tensor> {
    let dims = broadcast(a.dims(), b.dims())?;
    let mut out = memory.unset_for::<R>(&dims)?;
    let walk =
        walk([&row_major(&dims), &broadcast_strides(a.dims(), &dims), &broadcast_strides(b.dims(), &dims)], &dims);
    let (a, b) = (values::<T>(a)?, values::<T>(b)?);
    let (length, [_, a_step, b_step]) = walk.row();
    walk.for_each_row([0; 3], |[at, a_at, b_at]| {
        let out = &mut out[at..at + length];
        match (a_step, b_step) {
            (0, 0) => out.fill(function(a[a_at], b[b_at])),
            (0, _) => {
                let a = a[a_at];
                out.iter_mut().zip(&b[b_at..]).for_each(|(out, &b)| *out = function(a, b));
            }
            (_, 0) => {
                let b = b[b_at];
                out.iter_mut().zip(&a[a_at..]).for_each(|(out, &a)| *out = function(a, b));
            }
            _ => {
                let (a, b) = (&a[a_at..a_at + length], &b[b_at..b_at + length]);
                out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out = function(a, b));
            }
        }
    });
    Tensor::from_storage(dims, out)
}

fn values<T: Element>(tensor: &Tensor) -> Result<&[T]> {
    tensor
        .values()
        .ok_or_else(|| invalid(format!("{} and {} in one operation", T::DTYPE.name(), tensor.dtype().name())))
}

fn walk<const N: usize>(strides: [&[isize]; N], dims: &[usize]) -> Walk<N> {
    let strides: Vec<[isize; N]> = (0..dims.len()).map(|axis| strides.map(|of_slice| of_slice[axis])).collect();
    Walk::new(dims, &strides)
}

/// As [`combine`], in the memory of an operand that no one else holds, if the other broadcasts to it.
pub(super) fn combine_into<T: Element>(
    mut a: Tensor,
    mut b: Tensor,
    memory: &mut Memory,
    function: impl Fn(T, T) -> T + Copy,
) -> Result<Tensor> {
    let dims = broadcast(a.dims(), b.dims())?;
    if a.dims() == dims && fill(&mut a, &b, function) {
        return Ok(a);
    }
    if b.dims() == dims && fill(&mut b, &a, |b, a| function(a, b)) {
        return Ok(b);
    }
    let out = combine(&a, &b, memory, function);
    memory.recycle(a);
    memory.recycle(b);
    out
}

/// Replaces each element of `target` by its result with one of `other`; false if someone else holds `target`.
fn fill<T: Element>(target: &mut Tensor, other: &Tensor, function: impl Fn(T, T) -> T) -> bool {
    let dims = target.dims().to_vec();
    let (Some(target), Some(other_values)) = (target.values_mut::<T>(), other.values::<T>()) else { return false };
    let walk = walk([&row_major(&dims), &broadcast_strides(other.dims(), &dims)], &dims);
    let (length, [_, step]) = walk.row();
    walk.for_each_row([0; 2], |[at, other_at]| {
        let target = &mut target[at..at + length];
        if step == 0 {
            let other = other_values[other_at];
            target.iter_mut().for_each(|value| *value = function(*value, other));
        } else {
            let others = &other_values[other_at..other_at + length];
            target.iter_mut().zip(others).for_each(|(value, &other)| *value = function(*value, other));
        }
    });
    true
}

fn same_type(inputs: &Inputs) -> Result<()> {
    let (a, b) = (inputs.tensor(0)?, inputs.tensor(1)?);
    if a.dtype() == b.dtype() {
        Ok(())
    } else {
        Err(invalid(format!("{} and {} in one operation", a.dtype().name(), b.dtype().name())))
    }
}

/// An op of two tensors of numbers that makes one of the same type.
macro_rules! arithmetic {
    ($name:literal, $a:ident, $b:ident: $type:ident => $result:expr) => {
        Op {
            name: $name,
            prepare: |_| {
                kernel(|inputs, memory| {
                    same_type(inputs)?;
                    let (a, b) = (inputs.take(0)?, inputs.take(1)?);
                    with_number_type!(a, $type => combine_into::<$type>(a, b, memory, |$a, $b| $result))
                })
            },
        }
    };
}

/// As `arithmetic`, where an integer divided by zero is an error, as in TensorFlow.
macro_rules! division {
    ($name:literal, $a:ident, $b:ident => $result:expr) => {
        Op {
            name: $name,
            prepare: |_| {
                kernel(|inputs, memory| {
                    same_type(inputs)?;
                    let (a, b) = (inputs.take(0)?, inputs.take(1)?);
                    with_number_type!(a, T => {
                        let zero = |value: &T| T::IS_INTEGER && *value == T::ZERO;
                        if !a.is_empty() && b.values::<T>().is_some_and(|b| b.iter().any(zero)) {
                            return Err(invalid("an integer is divided by zero"));
                        }
                        combine_into::<T>(a, b, memory, |$a, $b| $result)
                    })
                })
            },
        }
    };
}

/// An op of two float tensors: one function for each width.
macro_rules! floats {
    ($name:literal, $function:expr, $function64:expr) => {
        Op {
            name: $name,
            prepare: |_| {
                kernel(|inputs, memory| {
                    same_type(inputs)?;
                    let (a, b) = (inputs.take(0)?, inputs.take(1)?);
                    match a.data() {
                        Data::F32(_) => combine_into::<f32>(a, b, memory, $function),
                        Data::F64(_) => combine_into::<f64>(a, b, memory, $function64),
                        _ => Err(invalid(format!("{} where floats are needed", a.dtype().name()))),
                    }
                })
            },
        }
    };
}

/// A comparison of two tensors of numbers.
macro_rules! comparison {
    ($name:literal, $a:ident, $b:ident => $result:expr) => {
        Op {
            name: $name,
            prepare: |_| {
                kernel(|inputs, memory| {
                    same_type(inputs)?;
                    let (a, b) = (inputs.tensor(0)?, inputs.tensor(1)?);
                    if let Data::Bool(_) = a.data() {
                        let (a, b) = (&as_numbers(a, memory)?, &as_numbers(b, memory)?);
                        return combine::<u8, bool>(a, b, memory, |$a, $b| $result);
                    }
                    with_number_type!(a, T => combine::<T, bool>(a, b, memory, |$a, $b| $result))
                })
            },
        }
    };
}

/// An op of the bits of integers.
macro_rules! bits {
    ($name:literal, $a:ident, $b:ident => $result:expr) => {
        Op {
            name: $name,
            prepare: |_| {
                kernel(|inputs, memory| {
                    same_type(inputs)?;
                    let (a, b) = (inputs.take(0)?, inputs.take(1)?);
                    match a.data() {
                        Data::I32(_) => combine_into::<i32>(a, b, memory, |$a, $b| $result),
                        Data::I64(_) => combine_into::<i64>(a, b, memory, |$a, $b| $result),
                        Data::U8(_) => combine_into::<u8>(a, b, memory, |$a, $b| $result),
                        Data::I8(_) => combine_into::<i8>(a, b, memory, |$a, $b| $result),
                        _ => Err(invalid(format!("{} where integers are needed", a.dtype().name()))),
                    }
                })
            },
        }
    };
}

fn logical(inputs: &mut Inputs, memory: &mut Memory, function: impl Fn(bool, bool) -> bool + Copy) -> Result<Tensor> {
    inputs.values::<bool>(0)?;
    inputs.values::<bool>(1)?;
    combine_into(inputs.take(0)?, inputs.take(1)?, memory, function)
}

pub(super) const OPS: &[Op] = &[
    arithmetic!("Add", a, b: T => Number::add(a, b)),
    arithmetic!("AddV2", a, b: T => Number::add(a, b)),
    arithmetic!("Sub", a, b: T => Number::sub(a, b)),
    arithmetic!("Mul", a, b: T => Number::mul(a, b)),
    arithmetic!("Maximum", a, b: T => Number::greater(a, b)),
    arithmetic!("Minimum", a, b: T => Number::lesser(a, b)),
    arithmetic!("SquaredDifference", a, b: T => Number::mul(Number::sub(a, b), Number::sub(a, b))),
    arithmetic!("Pow", a, b: T => Number::pow(a, b)),
    division!("Div", a, b => Number::div(a, b)),
    division!("RealDiv", a, b => Number::div(a, b)),
    division!("TruncateDiv", a, b => Number::div(a, b)),
    division!("FloorDiv", a, b => Number::floor_div(a, b)),
    division!("FloorMod", a, b => Number::floor_mod(a, b)),
    division!("Mod", a, b => Number::remainder(a, b)),
    division!("TruncateMod", a, b => Number::remainder(a, b)),
    floats!("DivNoNan", |a, b| if b == 0.0 { 0.0 } else { a / b }, |a, b| if b == 0.0 { 0.0 } else { a / b }),
    floats!("MulNoNan", |a, b| if b == 0.0 { 0.0 } else { a * b }, |a, b| if b == 0.0 { 0.0 } else { a * b }),
    floats!("Xdivy", |a, b| if a == 0.0 { 0.0 } else { a / b }, |a, b| if a == 0.0 { 0.0 } else { a / b }),
    floats!("Xlogy", |a, b| if a == 0.0 { 0.0 } else { a * b.ln() }, |a, b| if a == 0.0 { 0.0 } else { a * b.ln() }),
    floats!("Atan2", f32::atan2, f64::atan2),
    comparison!("Equal", a, b => a == b),
    comparison!("NotEqual", a, b => a != b),
    comparison!("Less", a, b => a < b),
    comparison!("LessEqual", a, b => a <= b),
    comparison!("Greater", a, b => a > b),
    comparison!("GreaterEqual", a, b => a >= b),
    bits!("BitwiseAnd", a, b => a & b),
    bits!("BitwiseOr", a, b => a | b),
    bits!("BitwiseXor", a, b => a ^ b),
    Op { name: "LogicalAnd", prepare: |_| kernel(|inputs, memory| logical(inputs, memory, |a, b| a && b)) },
    Op { name: "LogicalOr", prepare: |_| kernel(|inputs, memory| logical(inputs, memory, |a, b| a || b)) },
    Op {
        name: "BiasAdd",
        prepare: |node| {
            let channels_first = node.channels_first()?;
            kernel(move |inputs, memory| {
                same_type(inputs)?;
                let (x, bias) = (inputs.take(0)?, inputs.take(1)?);
                let channel_axis = if channels_first { 1 } else { x.rank().saturating_sub(1) };
                if bias.rank() != 1 || x.rank() < 2 || x.dims()[channel_axis] != bias.len() {
                    return Err(invalid("a bias that is not one number a channel"));
                }
                let mut dims = vec![1; x.rank() - channel_axis];
                dims[0] = bias.len();
                let bias = bias.reshaped(dims)?;
                with_number_type!(x, T => combine_into::<T>(x, bias, memory, Number::add))
            })
        },
    },
    Op {
        name: "AddN",
        prepare: |_| {
            kernel(|inputs, memory| {
                let mut sum = inputs.take(0)?;
                for index in 1..inputs.len() {
                    let next = inputs.take(index)?;
                    if next.dtype() != sum.dtype() || next.dims() != sum.dims() {
                        return Err(invalid("tensors of different types or shapes are added"));
                    }
                    sum = with_number_type!(sum, T => combine_into::<T>(sum, next, memory, Number::add))?;
                }
                Ok(sum)
            })
        },
    },
    Op {
        name: "ClipByValue",
        prepare: |_| {
            kernel(|inputs, memory| {
                let (x, low, high) = (inputs.take(0)?, inputs.take(1)?, inputs.take(2)?);
                let dims = x.dims().to_vec();
                let is_bound = |bound: &Tensor| bound.len() == 1 || bound.dims() == dims;
                if !is_bound(&low) || !is_bound(&high) {
                    return Err(invalid("bounds that are neither scalars nor of the tensor's shape"));
                }
                with_number_type!(x, T => {
                    let below = combine_into::<T>(x, high, memory, Number::lesser)?;
                    combine_into::<T>(below, low, memory, Number::greater)?.reshaped(dims)
                })
            })
        },
    },
    Op {
        name: "BroadcastArgs",
        prepare: |_| {
            kernel(|inputs, _| {
                let dims = broadcast(&inputs.sizes(0, "a dimension")?, &inputs.sizes(1, "a dimension")?)?;
                element_count(&dims)?;
                Ok(sizes(dims.into_iter(), inputs.tensor(0)?.dtype()))
            })
        },
    },
];
