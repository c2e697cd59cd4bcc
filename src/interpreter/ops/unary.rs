//! Ops of one tensor, element by element.

use crate::error::Result;
use crate::interpreter::kernel::{Op, invalid, kernel};
use crate::interpreter::math;
use crate::interpreter::memory::Memory;
use crate::interpreter::number::{Number, with_float_type, with_number_type};
use crate::interpreter::tensor::{Data, Element, Tensor};
use crate::interpreter::wide::in_vectors;

/// The tensor with every element replaced, in its own memory if no one else holds it.
pub(super) fn map<T: Element>(mut x: Tensor, memory: &mut Memory, function: impl Fn(T) -> T) -> Result<Tensor> {
    if let Some(values) = x.values_mut::<T>() {
        values.iter_mut().for_each(|value| *value = function(*value));
        return Ok(x);
    }
    let values = x.values::<T>().unwrap_or_default();
    let mut out = memory.unset::<T>(values.len())?;
    out.iter_mut().zip(values).for_each(|(out, &value)| *out = function(value));
    Tensor::from_storage(x.dims().to_vec(), out)
}

/// As [`map`], in wide vectors: for functions without calls and branches, of which networks compute much.
pub(super) fn map_floats(mut x: Tensor, memory: &mut Memory, function: impl Fn(f32) -> f32) -> Result<Tensor> {
    if let Some(values) = x.values_mut::<f32>() {
        in_vectors!(values.iter_mut().for_each(|value| *value = function(*value)));
        return Ok(x);
    }
    let values = x.values::<f32>().unwrap_or_default();
    let mut out = memory.unset::<f32>(values.len())?;
    in_vectors!(out.iter_mut().zip(values).for_each(|(out, &value)| *out = function(value)));
    Tensor::from_storage(x.dims().to_vec(), out)
}

/// A tensor of another type made of the elements of this one.
fn convert<T: Element, R: Element>(x: &Tensor, memory: &mut Memory, function: impl Fn(T) -> R) -> Result<Tensor> {
    let values = x.values::<T>().unwrap_or_default();
    Tensor::from_storage(x.dims().to_vec(), memory.collect(values.len(), values.iter().map(|&value| function(value)))?)
}

/// Booleans as zeros and ones.
pub(super) fn as_numbers(x: &Tensor, memory: &mut Memory) -> Result<Tensor> {
    convert::<bool, u8>(x, memory, u8::from)
}

/// An op of floats: one function for each width.
macro_rules! float {
    ($name:literal, $f32:expr, $f64:expr) => {
        Op {
            name: $name,
            prepare: |_| {
                kernel(|inputs, memory| {
                    let x = inputs.take(0)?;
                    match x.data() {
                        Data::F32(_) => map_floats(x, memory, $f32),
                        Data::F64(_) => map::<f64>(x, memory, $f64),
                        _ => Err(invalid(format!("{} where floats are needed", x.dtype().name()))),
                    }
                })
            },
        }
    };
}

/// An op of any numbers.
macro_rules! number {
    ($name:literal, $value:ident: $type:ident => $result:expr) => {
        Op {
            name: $name,
            prepare: |_| {
                kernel(|inputs, memory| {
                    let x = inputs.take(0)?;
                    if let Data::F32(_) = x.data() {
                        #[allow(dead_code)] // not every op asks for the type
                        type $type = f32;
                        return map_floats(x, memory, |$value| $result);
                    }
                    with_number_type!(x, $type => map::<$type>(x, memory, |$value| $result))
                })
            },
        }
    };
}

/// A question about floats.
macro_rules! question {
    ($name:literal, $value:ident => $result:expr) => {
        Op {
            name: $name,
            prepare: |_| {
                kernel(|inputs, memory| {
                    let x = inputs.tensor(0)?;
                    with_float_type!(x, T => convert(x, memory, |$value: T| $result))
                })
            },
        }
    };
}

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_SCALED_ALPHA: f64 = 1.758_099_340_847_376_7;

pub(super) const OPS: &[Op] =
    &[
        number!("Neg", x: T => Number::neg(x)),
        number!("Abs", x: T => Number::abs(x)),
        number!("Sign", x: T => Number::sign(x)),
        number!("Square", x: T => Number::mul(x, x)),
        number!("Relu", x: T => Number::greater(x, T::ZERO)),
        number!("Relu6", x: T => Number::lesser(Number::greater(x, T::ZERO), T::from_i64(6))),
        float!("Sqrt", f32::sqrt, f64::sqrt),
        float!("Rsqrt", |x| 1.0 / x.sqrt(), |x| 1.0 / x.sqrt()),
        float!("Reciprocal", |x| 1.0 / x, |x| 1.0 / x),
        float!("Inv", |x| 1.0 / x, |x| 1.0 / x),
        float!("Exp", math::exp, f64::exp),
        float!("Expm1", f32::exp_m1, f64::exp_m1),
        float!("Log", f32::ln, f64::ln),
        float!("Log1p", f32::ln_1p, f64::ln_1p),
        float!("Sin", f32::sin, f64::sin),
        float!("Cos", f32::cos, f64::cos),
        float!("Tan", f32::tan, f64::tan),
        float!("Asin", f32::asin, f64::asin),
        float!("Acos", f32::acos, f64::acos),
        float!("Atan", f32::atan, f64::atan),
        float!("Sinh", f32::sinh, f64::sinh),
        float!("Cosh", f32::cosh, f64::cosh),
        float!("Asinh", f32::asinh, f64::asinh),
        float!("Acosh", f32::acosh, f64::acosh),
        float!("Atanh", f32::atanh, f64::atanh),
        float!("Tanh", math::tanh, f64::tanh),
        float!("Sigmoid", math::sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
        float!("Erf", libm::erff, libm::erf),
        float!("Erfc", libm::erfcf, libm::erfc),
        float!("Floor", f32::floor, f64::floor),
        float!("Ceil", f32::ceil, f64::ceil),
        float!("Rint", f32::round_ties_even, f64::round_ties_even),
        float!("Softplus", math::softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        float!("Softsign", |x| x / (1.0 + x.abs()), |x| x / (1.0 + x.abs())),
        float!("Elu", |x| if x < 0.0 { x.exp_m1() } else { x }, |x| if x < 0.0 { x.exp_m1() } else { x }),
        float!(
            "Selu",
            |x| if x < 0.0 { SELU_SCALED_ALPHA as f32 * x.exp_m1() } else { SELU_SCALE as f32 * x },
            |x| if x < 0.0 { SELU_SCALED_ALPHA * x.exp_m1() } else { SELU_SCALE * x }
        ),
        question!("IsNan", x => x.is_nan()),
        question!("IsInf", x => x.is_infinite()),
        question!("IsFinite", x => x.is_finite()),
        Op {
            name: "Round",
            prepare: |_| {
                kernel(|inputs, memory| {
                    let x = inputs.take(0)?;
                    match x.data() {
                        Data::F32(_) => map(x, memory, f32::round_ties_even),
                        Data::F64(_) => map(x, memory, f64::round_ties_even),
                        _ => Ok(x),
                    }
                })
            },
        },
        Op {
            name: "LeakyRelu",
            prepare: |node| {
                let alpha = node.float("alpha", 0.2);
                kernel(move |inputs, memory| {
                    let x = inputs.take(0)?;
                    match x.data() {
                        Data::F32(_) => map_floats(x, memory, |x| if x > 0.0 { x } else { alpha * x }),
                        Data::F64(_) => map(x, memory, |x: f64| if x > 0.0 { x } else { f64::from(alpha) * x }),
                        _ => Err(invalid(format!("{} where floats are needed", x.dtype().name()))),
                    }
                })
            },
        },
        Op {
            name: "LogicalNot",
            prepare: |_| {
                kernel(|inputs, memory| {
                    inputs.values::<bool>(0)?;
                    map(inputs.take(0)?, memory, |x: bool| !x)
                })
            },
        },
        Op {
            name: "Invert",
            prepare: |_| {
                kernel(|inputs, memory| {
                    let x = inputs.take(0)?;
                    match x.data() {
                        Data::I32(_) => map(x, memory, |x: i32| !x),
                        Data::I64(_) => map(x, memory, |x: i64| !x),
                        Data::U8(_) => map(x, memory, |x: u8| !x),
                        Data::I8(_) => map(x, memory, |x: i8| !x),
                        _ => Err(invalid(format!("{} where integers are needed", x.dtype().name()))),
                    }
                })
            },
        },
    ];
