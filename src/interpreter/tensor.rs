//! Tensors: an element type, dimensions, and elements that are shared, not copied, from one holder to the next.
//!
//! Elements live in memory of their own, which [`super::memory`] accounts for, or in the graph's file. Half-precision
//! tensors are kept as 32-bit floats that hold only values of the half type; [`super::run`] rounds what an op makes.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::Bytes;

use super::budget::Charge;
use crate::error::{Error, ErrorKind, Result};

/// The element types that the interpreter computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// IEEE 16-bit float, kept in 32 bits.
    F16,
    /// The upper half of a 32-bit float, kept in 32 bits.
    Bf16,
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 8-bit integer.
    I8,
    /// Boolean.
    Bool,
}

impl DType {
    /// The type of that DataType number; references are taken for what they refer to.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Some(match if number > 100 { number - 100 } else { number } {
            1 => Self::F32,
            2 => Self::F64,
            3 => Self::I32,
            4 => Self::U8,
            6 => Self::I8,
            9 => Self::I64,
            10 => Self::Bool,
            14 => Self::Bf16,
            19 => Self::F16,
            _ => return None,
        })
    }

    /// TensorFlow's name of the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::Bool => "bool",
        }
    }

    /// Whether its elements are 16-bit floats, kept in 32 bits.
    #[must_use]
    pub fn is_half(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16)
    }

    /// Whether its elements are floats of any width.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::Bf16)
    }
}

/// Elements in memory of their own, and what they are charged to.
#[derive(Debug)]
pub struct Storage<T> {
    values: Vec<T>,
    /// Given back to the budget when the elements go.
    charge: Option<Charge>,
}

impl<T> Storage<T> {
    pub(super) fn new(values: Vec<T>, charge: Option<Charge>) -> Self {
        Self { values, charge }
    }

    pub(super) fn into_parts(self) -> (Vec<T>, Option<Charge>) {
        (self.values, self.charge)
    }
}

impl<T> Deref for Storage<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values
    }
}

impl<T> DerefMut for Storage<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values
    }
}

/// Shared elements.
#[derive(Debug, Clone)]
pub enum Buffer<T> {
    /// In memory of their own.
    Owned(Arc<Storage<T>>),
    /// In the graph's file, in the machine's byte order.
    File(Bytes),
}

/// The elements of a tensor, by how they are kept.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the type is the name
pub enum Data {
    F32(Buffer<f32>),
    F64(Buffer<f64>),
    I32(Buffer<i32>),
    I64(Buffer<i64>),
    U8(Buffer<u8>),
    I8(Buffer<i8>),
    Bool(Buffer<bool>),
}

/// A Rust type whose values tensors are made of.
pub trait Element: Copy + Default + PartialEq + PartialOrd + Send + Sync + std::fmt::Debug + 'static {
    /// The type it is by default: 32-bit floats may also hold half-precision ones.
    const DTYPE: DType;
    /// The elements, if they are of this type.
    fn of(data: &Data) -> Option<&Buffer<Self>>;
    /// As [`Element::of`], to be changed.
    fn of_mut(data: &mut Data) -> Option<&mut Buffer<Self>>;
    /// The elements for a tensor.
    fn wrap(buffer: Buffer<Self>) -> Data;
    /// Bytes of a file as elements, if they are aligned there.
    fn cast(bytes: &[u8]) -> Option<&[Self]>;
    /// Bytes of a file as elements, wherever they lie.
    fn decode(bytes: &[u8]) -> impl Iterator<Item = Self>;
}

macro_rules! elements {
    ($($type:ty, $variant:ident, $cast:expr, $decode:expr;)*) => {$(
        impl Element for $type {
            const DTYPE: DType = DType::$variant;
            fn of(data: &Data) -> Option<&Buffer<Self>> {
                if let Data::$variant(buffer) = data { Some(buffer) } else { None }
            }
            fn of_mut(data: &mut Data) -> Option<&mut Buffer<Self>> {
                if let Data::$variant(buffer) = data { Some(buffer) } else { None }
            }
            fn wrap(buffer: Buffer<Self>) -> Data {
                Data::$variant(buffer)
            }
            fn cast(bytes: &[u8]) -> Option<&[Self]> {
                if cfg!(target_endian = "little") { $cast(bytes) } else { None }
            }
            fn decode(bytes: &[u8]) -> impl Iterator<Item = Self> {
                bytes.as_chunks().0.iter().map(|&bytes| $decode(bytes))
            }
        }
    )*};
}

elements! {
    f32, F32, |bytes| bytemuck::try_cast_slice(bytes).ok(), f32::from_le_bytes;
    f64, F64, |bytes| bytemuck::try_cast_slice(bytes).ok(), f64::from_le_bytes;
    i32, I32, |bytes| bytemuck::try_cast_slice(bytes).ok(), i32::from_le_bytes;
    i64, I64, |bytes| bytemuck::try_cast_slice(bytes).ok(), i64::from_le_bytes;
    u8, U8, |bytes| bytemuck::try_cast_slice(bytes).ok(), u8::from_le_bytes;
    i8, I8, |bytes| bytemuck::try_cast_slice(bytes).ok(), i8::from_le_bytes;
    bool, Bool, |_| None, |[byte]: [u8; 1]| byte != 0;
}

impl<T: Element> Buffer<T> {
    /// The elements. In a file they must be aligned, as those of every tensor are that an observer or a caller sees.
    #[must_use]
    pub fn values(&self) -> &[T] {
        match self {
            Self::Owned(storage) => storage,
            Self::File(bytes) => T::cast(bytes).unwrap_or_default(),
        }
    }
}

/// Runs `$body` with `$values` bound to a tensor's elements, whatever their type.
macro_rules! with_values {
    ($tensor:expr, $values:ident => $body:expr) => {
        match $tensor.data() {
            $crate::interpreter::tensor::Data::F32(buffer) => {
                let $values = buffer.values();
                $body
            }
            $crate::interpreter::tensor::Data::F64(buffer) => {
                let $values = buffer.values();
                $body
            }
            $crate::interpreter::tensor::Data::I32(buffer) => {
                let $values = buffer.values();
                $body
            }
            $crate::interpreter::tensor::Data::I64(buffer) => {
                let $values = buffer.values();
                $body
            }
            $crate::interpreter::tensor::Data::U8(buffer) => {
                let $values = buffer.values();
                $body
            }
            $crate::interpreter::tensor::Data::I8(buffer) => {
                let $values = buffer.values();
                $body
            }
            $crate::interpreter::tensor::Data::Bool(buffer) => {
                let $values = buffer.values();
                $body
            }
        }
    };
}
pub(crate) use with_values;

/// A tensor: a value that an edge of a graph carries.
#[derive(Debug, Clone)]
pub struct Tensor {
    dims: Vec<usize>,
    dtype: DType,
    data: Data,
}

impl Tensor {
    /// A tensor of these elements in row-major order.
    ///
    /// # Errors
    /// When there are more or fewer elements than the dimensions say.
    pub fn new<T: Element>(dims: &[usize], values: Vec<T>) -> Result<Self> {
        Self::from_storage(dims.to_vec(), Storage::new(values, None))
    }

    /// A tensor without dimensions.
    #[must_use]
    pub fn scalar<T: Element>(value: T) -> Self {
        let storage = Storage::new(vec![value], None);
        Self { dims: Vec::new(), dtype: T::DTYPE, data: T::wrap(Buffer::Owned(Arc::new(storage))) }
    }

    /// A vector.
    #[must_use]
    pub fn vector<T: Element>(values: Vec<T>) -> Self {
        let dims = vec![values.len()];
        Self { dims, dtype: T::DTYPE, data: T::wrap(Buffer::Owned(Arc::new(Storage::new(values, None)))) }
    }

    pub(super) fn from_storage<T: Element>(dims: Vec<usize>, storage: Storage<T>) -> Result<Self> {
        let count = element_count(&dims)?;
        if count != storage.len() {
            let what = format!("{} elements do not fill the shape {}", storage.len(), shape_text(&dims));
            return Err(Error::new(ErrorKind::InvalidGraph, what));
        }
        Ok(Self { dims, dtype: T::DTYPE, data: T::wrap(Buffer::Owned(Arc::new(storage))) })
    }

    /// A tensor whose elements stay in the file, aligned or not; `None` where their bytes are not those in memory.
    pub(crate) fn from_file<T: Element>(dims: Vec<usize>, bytes: &Bytes) -> Option<Self> {
        let fits = element_count(&dims).ok()?.checked_mul(size_of::<T>()) == Some(bytes.len());
        let is_plain = cfg!(target_endian = "little") && T::DTYPE != DType::Bool;
        (fits && is_plain).then(|| Self { dims, dtype: T::DTYPE, data: T::wrap(Buffer::File(bytes.clone())) })
    }

    /// The dimensions, outermost first.
    #[must_use]
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// How many dimensions there are.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The element type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dims.contains(&0)
    }

    /// The elements, as they are kept.
    #[must_use]
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements in row-major order; `None` when they are of another type.
    #[must_use]
    pub fn values<T: Element>(&self) -> Option<&[T]> {
        T::of(&self.data).map(Buffer::values)
    }

    /// Shows 32-bit floats, so many at a time, wherever they lie: in a file they need not be aligned.
    pub(crate) fn show_floats(&self, at_once: usize, show: &mut dyn FnMut(&[f32])) {
        match &self.data {
            Data::F32(Buffer::File(bytes)) if f32::cast(bytes).is_none() => {
                let mut block = vec![0f32; at_once.max(1)];
                for bytes in bytes.chunks(size_of_val(&block[..])) {
                    let block = &mut block[..bytes.len() / size_of::<f32>()];
                    // The file's order of bytes is this machine's (`from_file`).
                    bytemuck::cast_slice_mut(block).copy_from_slice(bytes);
                    show(block);
                }
            }
            Data::F32(buffer) => buffer.values().chunks(at_once.max(1)).for_each(show),
            _ => {}
        }
    }

    /// The elements, to be changed in place; `None` when they are of another type or someone else holds them too.
    pub(super) fn values_mut<T: Element>(&mut self) -> Option<&mut [T]> {
        match T::of_mut(&mut self.data)? {
            Buffer::Owned(storage) => Arc::get_mut(storage).map(|storage| &mut **storage),
            Buffer::File(_) => None,
        }
    }

    /// The elements themselves, if no one else holds them.
    pub(super) fn into_storage<T: Element>(self) -> Option<Storage<T>> {
        let mut data = self.data;
        match T::of_mut(&mut data)? {
            Buffer::Owned(storage) => {
                let storage = std::mem::replace(storage, Arc::new(Storage::new(Vec::new(), None)));
                Arc::into_inner(storage)
            }
            Buffer::File(_) => None,
        }
    }

    /// The part at that place of the first dimension, which stays, as one.
    ///
    /// # Errors
    /// When there is no such part.
    pub fn row(&self, index: usize) -> Result<Self> {
        let count = self.dims.first().copied().unwrap_or_default();
        if index >= count {
            return Err(Error::new(ErrorKind::InvalidGraph, format!("there is no row {index} of {count}")));
        }
        let mut dims = self.dims.clone();
        dims[0] = 1;
        let length = self.len() / count;
        let row = with_values!(self, values => {
            Self::new(&dims, values.get(index * length..(index + 1) * length).unwrap_or_default().to_vec())
        })?;
        Ok(row.retyped(self.dtype))
    }

    /// The same elements under other dimensions.
    pub(super) fn reshaped(mut self, dims: Vec<usize>) -> Result<Self> {
        if element_count(&dims)? != self.len() {
            let (from, to) = (shape_text(&self.dims), shape_text(&dims));
            return Err(Error::new(ErrorKind::InvalidGraph, format!("the shape {from} does not reshape to {to}")));
        }
        self.dims = dims;
        Ok(self)
    }

    /// The same elements as values of a half-precision type, which the caller knows them to be, or as 32-bit floats.
    pub(super) fn retyped(mut self, dtype: DType) -> Self {
        if matches!(self.data, Data::F32(_)) && (dtype.is_half() || dtype == DType::F32) {
            self.dtype = dtype;
        }
        self
    }

    /// Integers of any width as 64-bit ones; `None` for other types.
    #[must_use]
    pub fn to_ints(&self) -> Option<Vec<i64>> {
        Some(match &self.data {
            Data::I32(values) => values.values().iter().map(|&value| value.into()).collect(),
            Data::I64(values) => values.values().to_vec(),
            Data::U8(values) => values.values().iter().map(|&value| value.into()).collect(),
            Data::I8(values) => values.values().iter().map(|&value| value.into()).collect(),
            _ => return None,
        })
    }
}

/// Shapes with more elements are refused, dimensions of zero counted as one: no loop over a shape takes for ever.
#[cfg(target_pointer_width = "64")]
const MAX_ELEMENTS: usize = 1 << 34;
/// A quarter of all the bytes that 32 bits can address.
#[cfg(not(target_pointer_width = "64"))]
const MAX_ELEMENTS: usize = 1 << 28;

/// How many elements a tensor of these dimensions has.
pub(super) fn element_count(dims: &[usize]) -> Result<usize> {
    let extent = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim.max(1)));
    match extent {
        Some(extent) if extent <= MAX_ELEMENTS && dims.len() <= MAX_RANK => {
            Ok(if dims.contains(&0) { 0 } else { extent })
        }
        _ => Err(Error::new(ErrorKind::TooLarge, format!("the shape {} is too large to compute", shape_text(dims)))
            .hint("feed a smaller batch or image, or compute less of the graph (--inputs, --outputs)")),
    }
}

/// TensorFlow's own bound.
const MAX_RANK: usize = 254;

/// A shape in words: `[1,224,224,3]`.
pub(super) fn shape_text(dims: &[usize]) -> String {
    let shown: Vec<String> = dims.iter().take(12).map(ToString::to_string).collect();
    format!("[{}{}]", shown.join(","), if dims.len() > 12 { ",…" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_multiply_past_memory_are_refused() {
        assert_eq!(element_count(&[2, 0, 3]).unwrap(), 0);
        assert_eq!(element_count(&[]).unwrap(), 1);
        for dims in [&[usize::MAX, 2][..], &[usize::MAX / 2, 0], &[1 << 20; 4], &[1; 300]] {
            assert_eq!(element_count(dims).unwrap_err().kind(), ErrorKind::TooLarge);
        }
    }

    #[test]
    fn only_a_sole_holder_changes_elements() {
        let mut tensor = Tensor::vector(vec![1.0f32, 2.0]);
        let other = tensor.clone();
        assert!(tensor.values_mut::<f32>().is_none());
        drop(other);
        tensor.values_mut::<f32>().unwrap()[0] = 5.0;
        assert_eq!(tensor.values::<f32>().unwrap(), [5.0, 2.0]);
        assert!(tensor.values::<i32>().is_none());
    }
}
