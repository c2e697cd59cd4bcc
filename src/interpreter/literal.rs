//! The tensor that a Const holds.

use half::{bf16, f16};

use super::memory::Memory;
use super::tensor::{DType, Element, Tensor, element_count};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::tensorflow::{TensorProto, TensorShapeProto};

/// Reads a tensor. Elements stay in the file, and may not be aligned there; half-precision ones become 32-bit floats.
pub(crate) fn read(proto: &TensorProto, memory: &mut Memory) -> Result<Tensor> {
    let Some(dtype) = DType::from_number(proto.dtype) else {
        let what = format!("a constant of a type that is not computed with (DataType {})", proto.dtype);
        return Err(Error::new(ErrorKind::Refused, what));
    };
    let dims = dims(proto.tensor_shape.as_ref())?;
    let count = element_count(&dims)?;
    let source = Source { proto, dims, count };
    match dtype {
        DType::F32 => source.read(memory, &proto.float_val, |&value| value, f32::from_le_bytes),
        DType::F64 => source.read(memory, &proto.double_val, |&value| value, f64::from_le_bytes),
        DType::I32 => source.read(memory, &proto.int_val, |&value| value, i32::from_le_bytes),
        DType::I64 => source.read(memory, &proto.int64_val, |&value| value, i64::from_le_bytes),
        DType::U8 => source.read(memory, &proto.int_val, |&value| value as u8, u8::from_le_bytes),
        DType::I8 => source.read(memory, &proto.int_val, |&value| value as i8, i8::from_le_bytes),
        DType::Bool => source.read(memory, &proto.bool_val, |&value| value, |[byte]: [u8; 1]| byte != 0),
        DType::F16 => {
            let bits = |bits: [u8; 2]| f16::from_le_bytes(bits).to_f32();
            source.read(memory, &proto.half_val, |&value| f16::from_bits(value as u16).to_f32(), bits)
        }
        DType::Bf16 => {
            let bits = |bits: [u8; 2]| bf16::from_le_bytes(bits).to_f32();
            source.read(memory, &proto.half_val, |&value| bf16::from_bits(value as u16).to_f32(), bits)
        }
    }
    .map(|tensor| tensor.retyped(dtype))
}

fn dims(shape: Option<&TensorShapeProto>) -> Result<Vec<usize>> {
    let shape = shape.filter(|shape| !shape.unknown_rank);
    let sizes = shape.map_or(&[][..], |shape| &shape.dim);
    if sizes.iter().any(|dim| dim.size < 0) {
        return Err(Error::new(ErrorKind::InvalidGraph, "a constant of unknown shape"));
    }
    Ok(sizes.iter().map(|dim| usize::try_from(dim.size).unwrap_or(usize::MAX)).collect())
}

struct Source<'a> {
    proto: &'a TensorProto,
    dims: Vec<usize>,
    count: usize,
}

impl Source<'_> {
    /// The elements from the raw content, or else from the typed list, whose last value stands for those that are
    /// missing.
    fn read<T: Element, V, const SIZE: usize>(
        self,
        memory: &mut Memory,
        listed: &[V],
        from_listed: impl Fn(&V) -> T,
        from_bytes: impl Fn([u8; SIZE]) -> T,
    ) -> Result<Tensor> {
        let content = &self.proto.tensor_content;
        if content.is_empty() {
            let last = listed.last().map_or(T::default(), &from_listed);
            let values = listed.iter().map(from_listed).chain(std::iter::repeat(last));
            return Tensor::from_storage(self.dims, memory.collect(self.count, values)?);
        }
        if self.count.checked_mul(SIZE) != Some(content.len()) {
            let what = format!("a constant of {} elements with {} bytes of content", self.count, content.len());
            return Err(Error::new(ErrorKind::InvalidGraph, what));
        }
        if SIZE == size_of::<T>()
            && let Some(tensor) = Tensor::from_file::<T>(self.dims.clone(), content)
        {
            return Ok(tensor);
        }
        let (elements, _) = content.as_chunks::<SIZE>();
        Tensor::from_storage(self.dims, memory.collect(self.count, elements.iter().map(|&bytes| from_bytes(bytes)))?)
    }
}

/// The value rounded to the nearest one of the half-precision type, as a 32-bit float.
pub(super) fn round_to(dtype: DType, value: f32) -> f32 {
    match dtype {
        DType::F16 => f16::from_f32(value).to_f32(),
        DType::Bf16 => bf16::from_f32(value).to_f32(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;
    use crate::proto::tensorflow::tensor_shape_proto::Dim;

    fn proto(dtype: i32, dims: &[i64]) -> TensorProto {
        let dim = dims.iter().map(|&size| Dim { size, ..Default::default() }).collect();
        let tensor_shape = Some(TensorShapeProto { dim, unknown_rank: false });
        TensorProto { dtype, tensor_shape, ..Default::default() }
    }

    fn tensor(proto: &TensorProto) -> Result<Tensor> {
        let mut memory = Memory::new(Budget::new(1 << 20));
        let tensor = read(proto, &mut memory)?;
        memory.aligned(&tensor)
    }

    #[test]
    fn the_last_value_fills_the_rest() {
        let filled = TensorProto { int_val: vec![1, 2], ..proto(3, &[2, 2]) };
        assert_eq!(tensor(&filled).unwrap().values::<i32>().unwrap(), [1, 2, 2, 2]);
        assert_eq!(tensor(&proto(1, &[3])).unwrap().values::<f32>().unwrap(), [0.0; 3]);
    }

    #[test]
    fn content_is_read_whatever_its_alignment() {
        let bytes = bytes::Bytes::from(
            [0u8; 1].into_iter().chain([1.5f32, -2.0].into_iter().flat_map(f32::to_le_bytes)).collect::<Vec<_>>(),
        );
        let unaligned = TensorProto { tensor_content: bytes.slice(1..), ..proto(1, &[2]) };
        assert_eq!(tensor(&unaligned).unwrap().values::<f32>().unwrap(), [1.5, -2.0]);
        let short = TensorProto { tensor_content: bytes.slice(1..), ..proto(1, &[3]) };
        assert_eq!(tensor(&short).unwrap_err().kind(), ErrorKind::InvalidGraph);
    }

    #[test]
    fn half_precision_becomes_float() {
        let half = TensorProto { half_val: vec![0x3e00], ..proto(19, &[2]) };
        let read = tensor(&half).unwrap();
        assert_eq!((read.dtype(), read.values::<f32>().unwrap()), (DType::F16, &[1.5, 1.5][..]));
        assert_eq!(round_to(DType::Bf16, 1.003), 1.0);
    }

    #[test]
    fn hostile_shapes_are_errors() {
        assert!(tensor(&proto(1, &[-1])).is_err());
        assert_eq!(tensor(&proto(1, &[1 << 62, 4])).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(tensor(&proto(1, &[1 << 30])).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(tensor(&proto(7, &[])).unwrap_err().kind(), ErrorKind::Refused);
    }
}
