//! Softmax and LogSoftmax over the last axis, and L2Loss's sum of squares.

use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, invalid, kernel};
use crate::interpreter::math;
use crate::interpreter::number::Number;
use crate::interpreter::tensor::{Data, Element, Tensor};

/// One row's softmax, or its logarithm.
fn row<T: Number>(out: &mut [T], row: &[T], log: bool, exp: impl Fn(T) -> T, ln: impl Fn(f64) -> f64) {
    let most = row.iter().copied().fold(T::LEAST, Number::greater);
    out.iter_mut().zip(row).for_each(|(out, &value)| *out = Number::sub(value, most));
    if log {
        let sum = ln(out.iter().map(|&value| exp(value).to_f64()).sum());
        out.iter_mut().for_each(|value| *value = T::from_f64(value.to_f64() - sum));
        return;
    }
    out.iter_mut().for_each(|value| *value = exp(*value));
    let sum = T::from_f64(out.iter().map(|value| value.to_f64()).sum());
    out.iter_mut().for_each(|value| *value = Number::div(*value, sum));
}

fn softmax(_: &Attributes<'_>, log: bool) -> Result<Kernel> {
    kernel(move |inputs, memory| {
        let x = inputs.tensor(0)?;
        let Some(&width) = x.dims().last() else { return Err(invalid("the softmax of a scalar")) };
        let width = width.max(1);
        match x.data() {
            Data::F32(values) => {
                let mut out = memory.unset::<f32>(x.len())?;
                let rows = out.chunks_exact_mut(width).zip(values.values().chunks_exact(width));
                rows.for_each(|(out, values)| row(out, values, log, math::exp, f64::ln));
                Tensor::from_storage(x.dims().to_vec(), out)
            }
            Data::F64(values) => {
                let mut out = memory.unset::<f64>(x.len())?;
                let rows = out.chunks_exact_mut(width).zip(values.values().chunks_exact(width));
                rows.for_each(|(out, values)| row(out, values, log, f64::exp, f64::ln));
                Tensor::from_storage(x.dims().to_vec(), out)
            }
            _ => Err(invalid(format!("{} where floats are needed", x.dtype().name()))),
        }
    })
}

fn half_of_squares<T: Element + Number>(values: &[T]) -> Tensor {
    let sum: f64 = values.iter().map(|value| value.to_f64() * value.to_f64()).sum();
    Tensor::scalar(T::from_f64(sum / 2.0))
}

pub(super) const OPS: &[Op] = &[
    Op { name: "Softmax", prepare: |node| softmax(node, false) },
    Op { name: "LogSoftmax", prepare: |node| softmax(node, true) },
    Op {
        name: "L2Loss",
        prepare: |_| {
            kernel(|inputs, _| match inputs.tensor(0)?.data() {
                Data::F32(values) => Ok(half_of_squares(values.values())),
                Data::F64(values) => Ok(half_of_squares(values.values())),
                _ => Err(invalid("the squares of what is no float")),
            })
        },
    },
];
