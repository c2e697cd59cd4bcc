//! Attributes for people: short text, and whether two of them mean the same.

use bytes::Bytes;
use prost::Message;

use crate::graph::tensor::{Shape, attr_header, data_type_name, element_bytes};
use crate::proto::tensorflow::{
    AttrValue, TensorProto,
    attr_value::{ListValue, Value},
};

/// Text past this length is cut.
const MAX_TEXT: usize = 120;
/// Longer attributes are described by their first bytes alone.
const MAX_DECODED: usize = 1 << 16;
/// How many elements of a list or tensor are told.
const MAX_ELEMENTS: usize = 8;

/// A short text for an encoded AttrValue.
#[must_use]
pub fn attr_text(encoded: &[u8]) -> String {
    if encoded.len() > MAX_DECODED {
        return attr_header(encoded)
            .map_or_else(|| format!("{} bytes", encoded.len()), |header| head(header.data_type, &header.shape));
    }
    let value = AttrValue::decode(Bytes::copy_from_slice(encoded)).ok().and_then(|attr| attr.value);
    shorten(value.map_or_else(|| "?".to_owned(), |value| value_text(&value)))
}

fn shorten(mut text: String) -> String {
    if let Some((cut, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

fn value_text(value: &Value) -> String {
    match value {
        Value::S(bytes) => format!("\"{}\"", String::from_utf8_lossy(bytes)),
        Value::I(value) => value.to_string(),
        Value::F(value) => value.to_string(),
        Value::B(value) => value.to_string(),
        Value::Type(value) => data_type_name(*value),
        Value::Shape(shape) => Shape::from(shape).to_string(),
        Value::Tensor(tensor) => tensor_text(tensor),
        Value::List(list) => list_text(list),
        Value::Func(function) => format!("function {}", function.name),
        Value::Placeholder(name) => format!("placeholder {name}"),
    }
}

fn list_text(list: &ListValue) -> String {
    let ListValue { s, i, f, b, r#type, shape, tensor, func } = list;
    let mut all: Vec<String> = Vec::new();
    all.extend(s.iter().map(|bytes| format!("\"{}\"", String::from_utf8_lossy(bytes))));
    all.extend(i.iter().map(ToString::to_string));
    all.extend(f.iter().map(ToString::to_string));
    all.extend(b.iter().map(ToString::to_string));
    all.extend(r#type.iter().map(|number| data_type_name(*number)));
    all.extend(shape.iter().map(|shape| Shape::from(shape).to_string()));
    all.extend(tensor.iter().map(tensor_text));
    all.extend(func.iter().map(|function| format!("function {}", function.name)));
    join(&all, all.len())
}

fn join(some: &[String], count: usize) -> String {
    let told = some.len().min(MAX_ELEMENTS);
    let more = if count > told { ", …" } else { "" };
    format!("[{}{more}]", some[..told].join(", "))
}

fn head(data_type: i32, shape: &Shape) -> String {
    format!("{} {shape}", data_type_name(data_type))
}

fn tensor_text(tensor: &TensorProto) -> String {
    let shape = tensor.tensor_shape.as_ref().map_or(Shape(Some(Vec::new())), Shape::from);
    let count = shape.elements().map_or(0, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let told = count.min(MAX_ELEMENTS);
    let elements: Vec<String> = (0..told).map_while(|index| element_text(tensor, index)).collect();
    let head = head(tensor.dtype, &shape);
    match elements.as_slice() {
        [] => head,
        [only] if count == 1 => format!("{head} {only}"),
        some => format!("{head} {}", join(some, count)),
    }
}

fn element_text(tensor: &TensorProto, index: usize) -> Option<String> {
    fn last<T>(values: &[T], index: usize) -> Option<&T> {
        values.get(index).or(values.last())
    }
    if !tensor.tensor_content.is_empty() {
        let size = usize::try_from(element_bytes(tensor.dtype)?).ok()?;
        let start = index.checked_mul(size)?;
        let bytes = tensor.tensor_content.get(start..start.checked_add(size)?)?;
        return content_element(tensor.dtype, bytes);
    }
    let text = last(&tensor.float_val, index).map(ToString::to_string);
    text.or_else(|| last(&tensor.double_val, index).map(ToString::to_string))
        .or_else(|| last(&tensor.int_val, index).map(ToString::to_string))
        .or_else(|| last(&tensor.int64_val, index).map(ToString::to_string))
        .or_else(|| last(&tensor.bool_val, index).map(ToString::to_string))
        .or_else(|| last(&tensor.string_val, index).map(|bytes| format!("\"{}\"", String::from_utf8_lossy(bytes))))
}

fn content_element(data_type: i32, bytes: &[u8]) -> Option<String> {
    let name = data_type_name(data_type);
    Some(match (name.as_str(), bytes) {
        ("float32", &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]).to_string(),
        ("int32", &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]).to_string(),
        ("bool", &[byte]) => (byte != 0).to_string(),
        ("int8", &[byte]) => byte.cast_signed().to_string(),
        ("uint8", &[byte]) => byte.to_string(),
        ("int64", bytes) => i64::from_le_bytes(bytes.try_into().ok()?).to_string(),
        ("float64", bytes) => f64::from_le_bytes(bytes.try_into().ok()?).to_string(),
        _ => return None,
    })
}

/// Whether two encoded AttrValues mean the same.
#[must_use]
pub fn same_attr(a: &[u8], b: &[u8]) -> bool {
    let decode = |bytes: &[u8]| AttrValue::decode(Bytes::copy_from_slice(bytes)).ok().and_then(|attr| attr.value);
    if a == b {
        return true;
    }
    match (decode(a), decode(b)) {
        (Some(Value::Tensor(a)), Some(Value::Tensor(b))) => same_tensor(&a, &b),
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// Whether two tensors have the same type, dimensions and elements, however they are stored.
fn same_tensor(a: &TensorProto, b: &TensorProto) -> bool {
    let shape = |tensor: &TensorProto| tensor.tensor_shape.as_ref().map_or(Shape(Some(Vec::new())), Shape::from);
    if a.dtype != b.dtype || shape(a) != shape(b) {
        return false;
    }
    match (Stored::of(a), Stored::of(b)) {
        (Some(one), Some(other)) => one.same(&other),
        _ => a == b,
    }
}

/// The elements that are stored, little-endian; the last one stands for all that follow.
struct Stored {
    bytes: Vec<u8>,
    size: usize,
}

impl Stored {
    fn of(tensor: &TensorProto) -> Option<Self> {
        let size = usize::try_from(element_bytes(tensor.dtype)?).ok()?;
        let bytes = if tensor.tensor_content.is_empty() {
            let name = data_type_name(tensor.dtype);
            match name.as_str() {
                "float32" => tensor.float_val.iter().flat_map(|value| value.to_le_bytes()).collect(),
                "float64" => tensor.double_val.iter().flat_map(|value| value.to_le_bytes()).collect(),
                "int64" => tensor.int64_val.iter().flat_map(|value| value.to_le_bytes()).collect(),
                "bool" => tensor.bool_val.iter().map(|&value| u8::from(value)).collect(),
                "int32" | "int16" | "int8" | "uint8" | "uint16" => {
                    tensor.int_val.iter().flat_map(|value| value.to_le_bytes().into_iter().take(size)).collect()
                }
                "float16" | "bfloat16" => {
                    tensor.half_val.iter().flat_map(|value| value.to_le_bytes().into_iter().take(size)).collect()
                }
                _ => return None,
            }
        } else {
            tensor.tensor_content.to_vec()
        };
        Some(Self { bytes, size })
    }

    fn element(&self, index: usize) -> &[u8] {
        const ZERO: [u8; 16] = [0; 16];
        let count = self.bytes.len() / self.size;
        match count.checked_sub(1) {
            None => &ZERO[..self.size],
            Some(last) => &self.bytes[index.min(last) * self.size..][..self.size],
        }
    }

    fn same(&self, other: &Self) -> bool {
        let count = (self.bytes.len() / self.size).max(other.bytes.len() / other.size);
        (0..count).all(|index| self.element(index) == other.element(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tensorflow::{TensorShapeProto, tensor_shape_proto::Dim};

    fn attr(content: &[f32], values: &[f32], dims: &[i64]) -> Vec<u8> {
        let dim = dims.iter().map(|&size| Dim { size, ..Dim::default() }).collect();
        let tensor = TensorProto {
            dtype: 1,
            tensor_shape: Some(TensorShapeProto { dim, unknown_rank: false }),
            tensor_content: content.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
            float_val: values.to_vec(),
            ..TensorProto::default()
        };
        AttrValue { value: Some(Value::Tensor(tensor)) }.encode_to_vec()
    }

    #[test]
    fn tensors_are_compared_by_value() {
        assert!(same_attr(&attr(&[1.0, 2.0, 2.0], &[], &[3]), &attr(&[], &[1.0, 2.0], &[3])));
        assert!(same_attr(&attr(&[0.0, 0.0], &[], &[2]), &attr(&[], &[], &[2])));
        assert!(!same_attr(&attr(&[1.0, 2.0], &[], &[2]), &attr(&[], &[1.0], &[2])));
        assert!(!same_attr(&attr(&[], &[1.0], &[2]), &attr(&[], &[1.0], &[3])));
    }

    #[test]
    fn text_is_short() {
        assert_eq!(attr_text(&attr(&[], &[0.5], &[])), "float32 [] 0.5");
        assert_eq!(attr_text(&attr(&[1.0, 2.0], &[], &[2])), "float32 [2] [1, 2]");
        assert_eq!(attr_text(&attr(&[], &[1.0], &[99])), "float32 [99] [1, 1, 1, 1, 1, 1, 1, 1, …]");
        let text = AttrValue { value: Some(Value::S(Bytes::from(vec![b'x'; 500]))) }.encode_to_vec();
        assert_eq!(attr_text(&text).chars().count(), 121);
        assert_eq!(attr_text(b"\xff"), "?");
    }
}
