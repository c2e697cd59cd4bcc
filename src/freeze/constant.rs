//! A tensor of a checkpoint as the attributes of a Const: small ones inside, as TensorFlow's `make_tensor_proto` encodes
//! them, large ones as ranges of the files they are in.

use bytes::Bytes;
use prost::Message;

use crate::checkpoint::{Contents, Tensor};
use crate::error::{Error, Result};
use crate::graph::attr::Attrs;
use crate::proto::tensorflow::{
    AttrValue, DataType, TensorProto, TensorShapeProto, attr_value, tensor_shape_proto::Dim,
};
use crate::source::Part;

/// Contents of fewer bytes are put into the node itself.
pub(super) const FEW_BYTES: usize = 1 << 10;

/// The attributes `dtype` and `value`, encoded, and the contents that `value` lacks.
///
/// # Errors
/// [`crate::error::ErrorKind::Io`] if the file cannot be read.
pub(super) fn attributes(tensor: &Tensor) -> Result<(Vec<u8>, Vec<Part>)> {
    let dim = |&size: &i64| Dim { size, name: String::new() };
    let shape = TensorShapeProto { dim: tensor.dims.iter().map(dim).collect(), unknown_rank: false };
    let mut proto = TensorProto { dtype: tensor.data_type, tensor_shape: Some(shape), ..TensorProto::default() };
    let mut elsewhere = Vec::new();
    match &tensor.contents {
        Contents::Strings(strings) => proto.string_val.clone_from(strings),
        Contents::Numbers(parts) => {
            let bytes: usize = parts.iter().map(|part| part.bytes.len()).sum();
            let is_one = tensor.dims.iter().all(|&dim| dim == 1);
            if is_one || bytes < FEW_BYTES || has_no_raw_form(tensor.data_type) {
                let mut bytes = Vec::with_capacity(bytes);
                let read = parts.iter().try_for_each(|part| part.read_to(&mut bytes));
                read.map_err(|error| Error::io("cannot read the checkpoint", error).hint("check the disk"))?;
                if is_one || has_no_raw_form(tensor.data_type) {
                    put_values(&mut proto, &bytes);
                } else {
                    proto.tensor_content = bytes.into();
                }
            } else {
                elsewhere.clone_from(parts);
            }
        }
    }
    Ok((encoded(proto), elsewhere))
}

fn encoded(proto: TensorProto) -> Vec<u8> {
    let mut attrs = Attrs::default();
    attrs.type_number("dtype", proto.dtype);
    attrs.raw("value", &AttrValue { value: Some(attr_value::Value::Tensor(proto)) }.encode_to_vec());
    attrs.as_bytes().to_vec()
}

/// Types of four bits: how they are laid out in memory is nobody's business.
fn has_no_raw_form(data_type: i32) -> bool {
    [DataType::DtInt4 as i32, DataType::DtUint4 as i32].contains(&data_type)
}

/// Puts numbers into the field that their type has.
fn put_values(proto: &mut TensorProto, bytes: &[u8]) {
    use DataType as D;
    fn each<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
        bytes.chunks_exact(N).filter_map(|chunk| chunk.try_into().ok())
    }
    match DataType::try_from(proto.dtype).unwrap_or(D::DtInvalid) {
        D::DtFloat => proto.float_val = each(bytes).map(f32::from_le_bytes).collect(),
        D::DtDouble => proto.double_val = each(bytes).map(f64::from_le_bytes).collect(),
        D::DtComplex64 => proto.scomplex_val = each(bytes).map(f32::from_le_bytes).collect(),
        D::DtComplex128 => proto.dcomplex_val = each(bytes).map(f64::from_le_bytes).collect(),
        D::DtInt64 => proto.int64_val = each(bytes).map(i64::from_le_bytes).collect(),
        D::DtUint64 => proto.uint64_val = each(bytes).map(u64::from_le_bytes).collect(),
        D::DtUint32 => proto.uint32_val = each(bytes).map(u32::from_le_bytes).collect(),
        D::DtBool => proto.bool_val = bytes.iter().map(|&byte| byte != 0).collect(),
        D::DtHalf | D::DtBfloat16 => proto.half_val = each(bytes).map(|two| u16::from_le_bytes(two).into()).collect(),
        D::DtInt32 | D::DtQint32 => proto.int_val = each(bytes).map(i32::from_le_bytes).collect(),
        D::DtInt16 | D::DtQint16 => proto.int_val = each(bytes).map(|two| i16::from_le_bytes(two).into()).collect(),
        D::DtUint16 | D::DtQuint16 => proto.int_val = each(bytes).map(|two| u16::from_le_bytes(two).into()).collect(),
        D::DtInt8 | D::DtQint8 | D::DtInt4 => {
            proto.int_val = bytes.iter().map(|&byte| byte.cast_signed().into()).collect();
        }
        D::DtUint8 | D::DtQuint8 | D::DtUint4 => proto.int_val = bytes.iter().map(|&byte| byte.into()).collect(),
        _ => proto.tensor_content = Bytes::copy_from_slice(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freeze::library;

    fn value(data_type: DataType, dims: &[i64], bytes: Vec<u8>) -> (TensorProto, Vec<Part>) {
        let contents = Contents::Numbers(vec![Part::from(bytes)]);
        let (attrs, parts) =
            attributes(&Tensor { data_type: data_type as i32, dims: dims.to_vec(), contents }).unwrap();
        let value = AttrValue::decode(library::attr(&attrs, "value").unwrap()).unwrap().value;
        let Some(attr_value::Value::Tensor(tensor)) = value else { panic!("no tensor") };
        (tensor, parts)
    }

    #[test]
    fn one_number_goes_into_its_field_and_few_go_in_raw() {
        assert_eq!(value(DataType::DtFloat, &[], vec![0, 0, 0x80, 0x3f]).0.float_val, [1.0]);
        assert_eq!(value(DataType::DtBfloat16, &[1], vec![0x80, 0x3f]).0.half_val, [0x3f80]);
        assert_eq!(value(DataType::DtInt8, &[1, 1], vec![0xff]).0.int_val, [-1]);
        assert_eq!(value(DataType::DtInt4, &[2], vec![0xff, 3]).0.int_val, [-1, 3]);
        let (few, parts) = value(DataType::DtFloat, &[2], vec![7; 8]);
        assert_eq!((few.tensor_content, parts.len()), (Bytes::from(vec![7; 8]), 0));
        let (many, parts) = value(DataType::DtFloat, &[256], vec![7; 1024]);
        assert_eq!((many.tensor_content.len(), parts.len()), (0, 1));
    }
}
