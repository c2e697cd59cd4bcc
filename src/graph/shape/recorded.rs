//! A shape out of a list of shapes as exporters record them, without decoding the list.

use super::Dims;
use crate::wire::{Fields, WireType, varint};

/// The bytes are not as exporters write them: what they say is to be found out otherwise.
pub(super) struct Unusual;

/// Field numbers of AttrValue, its lists, TensorShapeProto and its dimensions.
mod field {
    pub(super) const LIST: u32 = 1;
    pub(super) const LIST_SHAPE: u32 = 7;
    pub(super) const SHAPE_DIM: u32 = 2;
    pub(super) const SHAPE_UNKNOWN_RANK: u32 = 3;
    pub(super) const DIM_SIZE: u32 = 1;
}

/// The shape of that number in an encoded AttrValue; none, if there is no such shape or its rank is not known.
pub(super) fn shape(value: &[u8], number: usize) -> Result<Option<Dims>, Unusual> {
    let mut fields = Fields::new(value);
    let (Some(Ok(list)), None) = (fields.next(), fields.next()) else { return Err(Unusual) };
    if !list.is_message(field::LIST) {
        return Err(Unusual);
    }
    let list = &value[list.value()];
    let mut found = None;
    for (place, part) in Fields::new(list).enumerate() {
        let part = part.ok().filter(|part| part.is_message(field::LIST_SHAPE)).ok_or(Unusual)?;
        let dims = dims(&list[part.value()])?;
        if place == number {
            found = dims;
        }
    }
    Ok(found)
}

fn dims(shape: &[u8]) -> Result<Option<Dims>, Unusual> {
    let (mut dims, mut is_known) = (Dims::new(), true);
    for part in Fields::new(shape) {
        let part = part.map_err(|_| Unusual)?;
        let value = &shape[part.value()];
        match (part.number, part.wire_type) {
            (field::SHAPE_DIM, WireType::Length) => dims.push(size(value)?),
            (field::SHAPE_UNKNOWN_RANK, WireType::Varint) => is_known = varint(value).ok_or(Unusual)?.0 == 0,
            _ => return Err(Unusual),
        }
    }
    Ok(is_known.then_some(dims))
}

fn size(dim: &[u8]) -> Result<Option<i64>, Unusual> {
    let mut size = 0;
    for part in Fields::new(dim) {
        let part = part.map_err(|_| Unusual)?;
        if (part.number, part.wire_type) != (field::DIM_SIZE, WireType::Varint) {
            return Err(Unusual);
        }
        size = varint(&dim[part.value()]).ok_or(Unusual)?.0.cast_signed();
    }
    Ok((size >= 0).then_some(size))
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::proto::tensorflow::attr_value::{ListValue, Value};
    use crate::proto::tensorflow::tensor_shape_proto::Dim;
    use crate::proto::tensorflow::{AttrValue, TensorShapeProto};

    fn recorded(shapes: Vec<TensorShapeProto>) -> Vec<u8> {
        AttrValue { value: Some(Value::List(ListValue { shape: shapes, ..ListValue::default() })) }.encode_to_vec()
    }

    fn of(sizes: &[i64]) -> TensorShapeProto {
        let dim = sizes.iter().map(|&size| Dim { size, name: String::new() }).collect();
        TensorShapeProto { dim, unknown_rank: false }
    }

    #[test]
    fn reads_what_exporters_write() {
        let unknown = TensorShapeProto { dim: Vec::new(), unknown_rank: true };
        let value = recorded(vec![of(&[-1, 0, 300]), unknown, of(&[])]);
        let shapes: Vec<Option<Dims>> = (0..4).map(|number| shape(&value, number).ok().flatten()).collect();
        assert_eq!(shapes, [Some(vec![None, Some(0), Some(300)]), None, Some(vec![]), None]);
    }

    #[test]
    fn leaves_what_is_unusual_to_others() {
        let named = TensorShapeProto { dim: vec![Dim { size: 1, name: "x".to_owned() }], unknown_rank: false };
        assert!(shape(&recorded(vec![named]), 0).is_err());
        assert!(shape(&[0x0a, 0x02, 0x3a], 0).is_err());
        assert!(shape(&[], 0).is_err());
    }
}
