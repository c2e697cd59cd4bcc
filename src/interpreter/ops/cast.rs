//! Cast.

use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, kernel};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{DType, Element, Tensor, with_values};

/// A type that can be made into every other.
trait Convert: Element {
    fn f32(self) -> f32;
    fn f64(self) -> f64;
    fn i32(self) -> i32;
    fn i64(self) -> i64;
    fn u8(self) -> u8;
    fn i8(self) -> i8;
    fn bool(self) -> bool;
}

macro_rules! convert {
    ($($type:ty),*) => {$(
        impl Convert for $type {
            fn f32(self) -> f32 { self as f32 }
            fn f64(self) -> f64 { self as f64 }
            fn i32(self) -> i32 { self as i32 }
            fn i64(self) -> i64 { self as i64 }
            fn u8(self) -> u8 { self as u8 }
            fn i8(self) -> i8 { self as i8 }
            fn bool(self) -> bool { self != <$type>::default() }
        }
    )*};
}

#[allow(clippy::unnecessary_cast, clippy::float_cmp)]
mod numbers {
    use super::Convert;
    convert!(f32, f64, i32, i64, u8, i8);
}

impl Convert for bool {
    fn f32(self) -> f32 {
        u8::from(self).into()
    }
    fn f64(self) -> f64 {
        u8::from(self).into()
    }
    fn i32(self) -> i32 {
        self.into()
    }
    fn i64(self) -> i64 {
        self.into()
    }
    fn u8(self) -> u8 {
        self.into()
    }
    fn i8(self) -> i8 {
        self.into()
    }
    fn bool(self) -> bool {
        self
    }
}

fn to_vec<T: Convert>(dims: Vec<usize>, values: &[T], to: DType, memory: &mut Memory) -> Result<Tensor> {
    let (count, values) = (values.len(), values.iter().copied());
    match to {
        DType::F32 | DType::F16 | DType::Bf16 => Tensor::from_storage(dims, memory.collect(count, values.map(T::f32))?),
        DType::F64 => Tensor::from_storage(dims, memory.collect(count, values.map(T::f64))?),
        DType::I32 => Tensor::from_storage(dims, memory.collect(count, values.map(T::i32))?),
        DType::I64 => Tensor::from_storage(dims, memory.collect(count, values.map(T::i64))?),
        DType::U8 => Tensor::from_storage(dims, memory.collect(count, values.map(T::u8))?),
        DType::I8 => Tensor::from_storage(dims, memory.collect(count, values.map(T::i8))?),
        DType::Bool => Tensor::from_storage(dims, memory.collect(count, values.map(T::bool))?),
    }
}

fn cast(node: &Attributes<'_>) -> Result<Kernel> {
    let to = node.dtype("DstT", DType::F32)?;
    kernel(move |inputs, memory| {
        let x = inputs.take(0)?;
        if x.dtype() == to || x.dtype().is_half() && to == DType::F32 {
            return Ok(x.retyped(to));
        }
        with_values!(x, values => to_vec(x.dims().to_vec(), values, to, memory))
    })
}

pub(super) const OPS: &[Op] = &[Op { name: "Cast", prepare: cast }];
