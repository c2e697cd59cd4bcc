//! Attributes: reading one of a node's without decoding the others, and encoding those of an inserted node.
//!
//! An attribute is a map entry of the NodeDef; its value is an AttrValue. Values are decoded on first use and only where
//! a pass asks; tensors inside stay slices of the file.

use bytes::Bytes;
use prost::Message;

use super::read::field;
use super::stamp::Place;
use super::{Graph, NodeId};
use crate::proto::tensorflow::{AttrValue, DataType, TensorProto, TensorShapeProto, attr_value::Value};
use crate::source::Part;
use crate::wire::{self, Fields, put_bytes, put_header, put_uint, put_varint};

impl Graph {
    /// The attribute fields of a node, one after the other: in the file for an original node.
    pub fn attr_entries(&self, node: NodeId) -> impl Iterator<Item = (&str, &[u8])> {
        let body = self.body(node);
        wire::messages(body, field::NODE_ATTR).filter_map(map_entry)
    }

    /// The NodeDef's fields of an original node, the attribute fields of an inserted one.
    pub(crate) fn body(&self, node: NodeId) -> &[u8] {
        match self.place(node) {
            Place::Alone(place) if self.is_original(node) => &self.source[self.nodes[place].raw.range()],
            Place::Alone(place) => &self.attrs[self.nodes[place].raw.range()],
            Place::Stamped(stamp, inside) => self.stamped_attrs(stamp, inside),
        }
    }

    /// The NodeDef in the file, of a node that is as it was.
    pub(crate) fn encoded(&self, node: NodeId) -> Option<&[u8]> {
        (!self.is_changed(node)).then(|| self.body(node))
    }

    /// The attributes of an inserted node as they were encoded; of an original node, whose attributes lie between other
    /// fields, nothing.
    #[must_use]
    pub(crate) fn attr_fields(&self, node: NodeId) -> &[u8] {
        if self.is_original(node) { &[] } else { self.body(node) }
    }

    /// The encoded AttrValue of that name; of a Const whose contents lie elsewhere, without them.
    #[must_use]
    pub fn attr_bytes(&self, node: NodeId, name: &str) -> Option<&[u8]> {
        if let Some(given) = self.given_attrs.get(&node).and_then(|given| given.iter().find(|attr| &*attr.name == name))
        {
            return Some(&given.value);
        }
        let body = self.body(node);
        let entries = wire::messages(body, field::NODE_ATTR).filter(|entry| may_be_called(entry, name));
        entries.filter_map(map_entry).filter(|&(key, _)| key == name).last().map(|(_, value)| value)
    }

    /// The attribute of that name, decoded; `None` when the node lacks it or it cannot be decoded.
    #[must_use]
    pub fn attr(&self, node: NodeId, name: &str) -> Option<Value> {
        let bytes = self.attr_bytes(node, name)?;
        let is_from_file = self.is_original(node) && !self.given_attrs.contains_key(&node);
        let decoded = if is_from_file {
            AttrValue::decode(self.source.slice_ref(bytes))
        } else {
            AttrValue::decode(Bytes::copy_from_slice(bytes))
        };
        match (decoded.ok()?.value?, self.contents.get(&node)) {
            (Value::Tensor(tensor), Some(parts)) if name == "value" => {
                Some(Value::Tensor(TensorProto { tensor_content: joined(parts), ..tensor }))
            }
            (value, _) => Some(value),
        }
    }

    /// A type attribute, such as `T`, as the number of its DataType.
    #[must_use]
    pub fn attr_type(&self, node: NodeId, name: &str) -> Option<i32> {
        let value = wire::last_varint(self.attr_bytes(node, name)?, 6)?;
        i32::try_from(value).ok()
    }

    /// A boolean attribute; false, as protobuf has it, when the value is there but empty.
    #[must_use]
    pub fn attr_bool(&self, node: NodeId, name: &str) -> Option<bool> {
        match self.attr(node, name) {
            Some(Value::B(value)) => Some(value),
            _ => None,
        }
    }

    /// An integer attribute.
    #[must_use]
    pub fn attr_int(&self, node: NodeId, name: &str) -> Option<i64> {
        match self.attr(node, name) {
            Some(Value::I(value)) => Some(value),
            _ => None,
        }
    }

    /// A floating-point attribute.
    #[must_use]
    pub fn attr_float(&self, node: NodeId, name: &str) -> Option<f32> {
        match self.attr(node, name) {
            Some(Value::F(value)) => Some(value),
            _ => None,
        }
    }

    /// A list of integers, such as `strides`.
    #[must_use]
    pub fn attr_ints(&self, node: NodeId, name: &str) -> Option<Vec<i64>> {
        match self.attr(node, name) {
            Some(Value::List(list)) => Some(list.i),
            _ => None,
        }
    }

    /// A string attribute, such as `data_format`, if it is UTF-8.
    #[must_use]
    pub fn attr_str(&self, node: NodeId, name: &str) -> Option<String> {
        match self.attr(node, name) {
            Some(Value::S(value)) => String::from_utf8(value.into()).ok(),
            _ => None,
        }
    }

    /// A shape attribute.
    #[must_use]
    pub fn attr_shape(&self, node: NodeId, name: &str) -> Option<TensorShapeProto> {
        match self.attr(node, name) {
            Some(Value::Shape(shape)) => Some(shape),
            _ => None,
        }
    }

    /// A tensor attribute, such as the `value` of a Const; its content stays a slice of the file.
    #[must_use]
    pub fn attr_tensor(&self, node: NodeId, name: &str) -> Option<TensorProto> {
        match self.attr(node, name) {
            Some(Value::Tensor(tensor)) => Some(tensor),
            _ => None,
        }
    }

    /// The groups a node is colocated with: the `loc:@…` entries of `_class`, or its own when it has none.
    ///
    /// TensorFlow's `Operation.colocation_groups`.
    #[must_use]
    pub fn colocation_groups(&self, node: NodeId) -> Vec<Bytes> {
        let value = self.attr_bytes(node, "_class").unwrap_or_default();
        let list = wire::last_bytes(value, 1).map_or(&[][..], |list| &value[list]);
        let groups = wire::messages(list, 2).filter(|group| group.starts_with(b"loc:@"));
        let listed: Vec<Bytes> = groups.map(Bytes::copy_from_slice).collect();
        if listed.is_empty() { vec![Bytes::from(format!("loc:@{}", self.name(node)))] } else { listed }
    }
}

/// Contents in one piece: the range itself, if there is but one.
fn joined(parts: &[Part]) -> Bytes {
    match parts {
        [part] => part.bytes.clone(),
        _ => parts.iter().flat_map(|part| &part.bytes[..]).copied().collect(),
    }
}

/// Whether a map entry may have this key: a look at its first bytes, where serializers put the key.
fn may_be_called(entry: &[u8], key: &str) -> bool {
    match entry {
        [0x0a, length, rest @ ..] if *length < 0x80 => {
            usize::from(*length) == key.len() && rest.starts_with(key.as_bytes())
        }
        _ => true,
    }
}

/// Splits a map entry with a string key: the key and the bytes of the value.
pub(crate) fn map_entry(entry: &[u8]) -> Option<(&str, &[u8])> {
    let (mut key, mut value) = (None, &[][..]);
    for part in Fields::new(entry).map_while(Result::ok) {
        match part.number {
            1 if part.is_message(1) => key = Some(&entry[part.value()]),
            2 if part.is_message(2) => value = &entry[part.value()],
            _ => {}
        }
    }
    Some((std::str::from_utf8(key?).ok()?, value))
}

/// Encodes the attributes of one node. Call in alphabetical order, which is the order they are written in.
#[derive(Debug, Default)]
pub struct Attrs {
    bytes: Vec<u8>,
    value: Vec<u8>,
    tensor: Vec<u8>,
}

impl Attrs {
    /// The encoded fields so far, for [`super::NewNode::attrs`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Starts the next node's.
    pub fn clear(&mut self) -> &mut Self {
        self.bytes.clear();
        self
    }

    /// Those of a node that are to be kept.
    pub(crate) fn copied(graph: &Graph, node: NodeId, keep: impl Fn(&str) -> bool) -> Self {
        let mut attrs = Self::default();
        for (name, value) in graph.attr_entries(node).filter(|(name, _)| keep(name)) {
            attrs.raw(name, value);
        }
        attrs
    }

    /// Attribute fields that are encoded already.
    pub fn encoded(&mut self, fields: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(fields);
        self
    }

    fn entry(&mut self, name: &str, encode: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.value.clear();
        encode(&mut self.value);
        put_header(&mut self.bytes, field::NODE_ATTR, wire::field_len(name.len()) + wire::field_len(self.value.len()));
        put_bytes(&mut self.bytes, 1, name.as_bytes());
        put_bytes(&mut self.bytes, 2, &self.value);
        self
    }

    /// An attribute whose AttrValue is encoded already, such as one of another node's.
    pub fn raw(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.entry(name, |out| out.extend_from_slice(value))
    }

    /// A type.
    pub fn data_type(&mut self, name: &str, value: DataType) -> &mut Self {
        self.type_number(name, value as i32)
    }

    /// A type, by its number, which may be newer than the enum.
    pub fn type_number(&mut self, name: &str, value: i32) -> &mut Self {
        self.entry(name, |out| put_uint(out, 6, i64::from(value).cast_unsigned()))
    }

    /// A boolean.
    pub fn bool(&mut self, name: &str, value: bool) -> &mut Self {
        self.entry(name, |out| put_uint(out, 5, u64::from(value)))
    }

    /// An integer.
    pub fn int(&mut self, name: &str, value: i64) -> &mut Self {
        self.entry(name, |out| put_uint(out, 3, value.cast_unsigned()))
    }

    /// A floating-point number.
    #[cfg(test)]
    pub fn float(&mut self, name: &str, value: f32) -> &mut Self {
        self.entry(name, |out| {
            put_varint(out, 4 << 3 | 5);
            out.extend_from_slice(&value.to_le_bytes());
        })
    }

    /// A string.
    pub fn str(&mut self, name: &str, value: &str) -> &mut Self {
        self.entry(name, |out| put_bytes(out, 2, value.as_bytes()))
    }

    /// A list of strings.
    pub fn strs<S: AsRef<[u8]>>(&mut self, name: &str, values: &[S]) -> &mut Self {
        self.entry(name, |out| {
            put_header(out, 1, values.iter().map(|value| wire::field_len(value.as_ref().len())).sum());
            for value in values {
                put_bytes(out, 2, value.as_ref());
            }
        })
    }

    /// A list of integers.
    pub fn ints(&mut self, name: &str, values: &[i64]) -> &mut Self {
        self.entry(name, |out| {
            let mut packed = Vec::new();
            for &value in values {
                put_varint(&mut packed, value.cast_unsigned());
            }
            put_header(out, 1, wire::field_len(packed.len()));
            put_bytes(out, 3, &packed);
        })
    }

    /// A shape; `None` for a dimension that is not known.
    pub fn shape(&mut self, name: &str, dims: &[i64]) -> &mut Self {
        self.entry(name, |out| {
            let shape = encode_shape(dims);
            put_bytes(out, 7, &shape);
        })
    }

    /// A tensor.
    pub fn tensor(&mut self, name: &str, tensor: &Tensor<'_>) -> &mut Self {
        let mut encoded = std::mem::take(&mut self.tensor);
        encoded.clear();
        tensor.encode(&mut encoded);
        self.entry(name, |out| put_bytes(out, 8, &encoded));
        self.tensor = encoded;
        self
    }
}

fn encode_shape(dims: &[i64]) -> Vec<u8> {
    let mut shape = Vec::new();
    for &dim in dims {
        let mut size = Vec::new();
        if dim != 0 {
            put_uint(&mut size, 1, dim.cast_unsigned());
        }
        put_bytes(&mut shape, 2, &size);
    }
    shape
}

/// A small tensor for a Const, encoded as TensorFlow's `make_tensor_proto` does: one element in the typed field, more
/// as raw content.
#[derive(Debug, Clone, Copy)]
pub enum Tensor<'a> {
    /// A scalar float.
    Float(f32),
    /// A scalar 32-bit integer.
    Int32(i32),
    /// A scalar 64-bit integer.
    Int64(i64),
    /// A scalar boolean.
    Bool(bool),
    /// A vector of 32-bit integers.
    Int32s(&'a [i32]),
    /// A vector of floats.
    Floats(&'a [f32]),
    /// The same float everywhere in a tensor of that shape.
    Filled(f32, &'a [i64]),
    /// Floats, row by row, in a tensor of that shape.
    Shaped(&'a [f32], &'a [i64]),
    /// Rows of two 32-bit integers, as paddings are.
    Int32Pairs(&'a [[i32; 2]]),
}

impl Tensor<'_> {
    /// The element type.
    #[must_use]
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Float(_) | Self::Floats(_) | Self::Filled(..) | Self::Shaped(..) => DataType::DtFloat,
            Self::Int32(_) | Self::Int32s(_) | Self::Int32Pairs(_) => DataType::DtInt32,
            Self::Int64(_) => DataType::DtInt64,
            Self::Bool(_) => DataType::DtBool,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_uint(out, 1, self.data_type() as u64);
        match *self {
            Self::Float(value) => {
                put_bytes(out, 2, &[]);
                put_bytes(out, 5, &value.to_le_bytes());
            }
            Self::Filled(value, dims) => {
                put_bytes(out, 2, &encode_shape(dims));
                put_bytes(out, 5, &value.to_le_bytes());
            }
            Self::Shaped(values, dims) => {
                put_bytes(out, 2, &encode_shape(dims));
                put_header(out, 4, values.len() * 4);
                for value in values {
                    out.extend_from_slice(&value.to_le_bytes());
                }
            }
            Self::Int32Pairs(rows) => {
                put_bytes(out, 2, &encode_shape(&[i64::try_from(rows.len()).unwrap_or(i64::MAX), 2]));
                put_header(out, 4, rows.len() * 8);
                for value in rows.as_flattened() {
                    out.extend_from_slice(&value.to_le_bytes());
                }
            }
            Self::Int32(value) => packed_int(out, 7, i64::from(value)),
            Self::Int64(value) => packed_int(out, 10, value),
            Self::Bool(value) => packed_int(out, 11, i64::from(value)),
            Self::Int32s(values) => vector(
                out,
                7,
                values,
                |&value| value.to_le_bytes(),
                |out, &value| {
                    put_varint(out, i64::from(value).cast_unsigned());
                },
            ),
            Self::Floats(values) => vector(
                out,
                5,
                values,
                |value| value.to_le_bytes(),
                |out, value| {
                    out.extend_from_slice(&value.to_le_bytes());
                },
            ),
        }
    }
}

fn packed_int(out: &mut Vec<u8>, number: u32, value: i64) {
    put_bytes(out, 2, &[]);
    put_header(out, number, wire::varint_len(value.cast_unsigned()));
    put_varint(out, value.cast_unsigned());
}

fn vector<T>(
    out: &mut Vec<u8>,
    number: u32,
    values: &[T],
    content: impl Fn(&T) -> [u8; 4],
    element: impl Fn(&mut Vec<u8>, &T),
) {
    put_bytes(out, 2, &encode_shape(&[values.len().cast_signed() as i64]));
    if let [value] = values {
        let mut one = Vec::new();
        element(&mut one, value);
        put_bytes(out, number, &one);
    } else if !values.is_empty() {
        put_bytes(out, 4, &values.iter().flat_map(content).collect::<Vec<u8>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{NewNode, read};

    #[test]
    fn what_is_encoded_is_read_back() {
        let mut graph = read::parse(Bytes::new()).unwrap();
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat).strs("_class", &["loc:@x"]).bool("flag", false).int("num_bits", -8);
        attrs.float("range", 0.5).shape("shape", &[2, -1, 0]).ints("strides", &[1, 2]);
        attrs.tensor("value", &Tensor::Int32s(&[3, -4]));
        let node =
            graph.insert(NewNode { name: "n", op: "Op", device: "", inputs: &[], attrs: attrs.as_bytes() }).unwrap();

        assert_eq!(graph.attr_type(node, "T"), Some(1));
        assert_eq!(graph.colocation_groups(node), ["loc:@x"]);
        assert_eq!(graph.attr_bool(node, "flag"), Some(false));
        assert_eq!(graph.attr_int(node, "num_bits"), Some(-8));
        assert_eq!(graph.attr_float(node, "range"), Some(0.5));
        assert_eq!(graph.attr_ints(node, "strides"), Some(vec![1, 2]));
        let dims: Vec<i64> = graph.attr_shape(node, "shape").unwrap().dim.iter().map(|dim| dim.size).collect();
        assert_eq!(dims, [2, -1, 0]);
        let tensor = graph.attr_tensor(node, "value").unwrap();
        assert_eq!((tensor.dtype, tensor.tensor_content.as_ref()), (3, &[3, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff][..]));
        assert_eq!(graph.attr(node, "missing"), None);
    }
}
