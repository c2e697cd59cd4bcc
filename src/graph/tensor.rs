//! What a node says of its tensor without the tensor's contents being read: element type, dimensions, bytes.
//!
//! Big tensors stay untouched on disk: only the few bytes before and after their contents are looked at.

use std::fmt;

use prost::Message as _;
use serde::{Serialize, Serializer};

use crate::graph::{Graph, NodeId, TensorRef, constant::element_count};
use crate::proto::tensorflow::{DataType, TensorShapeProto, VersionDef, attr_value::Value};
use crate::wire::{self, Fields, WireType};

/// The dimensions of a tensor; -1 for one that is not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape(pub Option<Vec<i64>>);

impl Shape {
    /// How many elements there are, if all dimensions are known.
    #[must_use]
    pub fn elements(&self) -> Option<u64> {
        self.0.as_ref()?.iter().try_fold(1u64, |count, &dim| count.checked_mul(u64::try_from(dim).ok()?))
    }
}

impl From<&TensorShapeProto> for Shape {
    fn from(shape: &TensorShapeProto) -> Self {
        Self((!shape.unknown_rank).then(|| shape.dim.iter().map(|dim| dim.size.max(-1)).collect()))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(dims) = &self.0 else { return f.write_str("?") };
        f.write_str("[")?;
        for (index, dim) in dims.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if *dim < 0 { write!(f, "{comma}?") } else { write!(f, "{comma}{dim}") }?;
        }
        f.write_str("]")
    }
}

impl Serialize for Shape {
    /// A list of dimensions, null for each that is not known; null when not even their number is.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dims = self.0.as_ref().map(|dims| dims.iter().map(|&dim| (dim >= 0).then_some(dim)).collect::<Vec<_>>());
        dims.serialize(serializer)
    }
}

/// The value of a Const by what surrounds its contents.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// The element type's number.
    pub data_type: i32,
    /// The dimensions.
    pub shape: Shape,
    /// How many bytes the contents take in the file.
    pub stored_bytes: u64,
}

/// Looks at a Const's value without reading the contents.
#[must_use]
pub(crate) fn header(graph: &Graph, node: NodeId) -> Option<Header> {
    attr_header(graph.attr_bytes(node, "value")?)
}

/// Looks at an encoded AttrValue's tensor without reading the contents.
#[must_use]
pub(crate) fn attr_header(attr: &[u8]) -> Option<Header> {
    let tensor = &attr[wire::last_bytes(attr, 8)?];
    let mut header = Header { data_type: 0, shape: Shape(Some(Vec::new())), stored_bytes: 0 };
    for part in Fields::new(tensor).map_while(Result::ok) {
        let value = &tensor[part.value()];
        match (part.number, part.wire_type) {
            (1, WireType::Varint) => {
                header.data_type = wire::varint(value).and_then(|(value, _)| i32::try_from(value).ok()).unwrap_or(0);
            }
            (2, WireType::Length) => {
                let shape: TensorShapeProto = prost::Message::decode(value).ok()?;
                header.shape = Shape::from(&shape);
            }
            (3, _) => {}
            _ => header.stored_bytes += value.len() as u64,
        }
    }
    Some(header)
}

/// The floats of a small Const, also behind Identity; none if there are more than `most`.
#[must_use]
pub(crate) fn small_floats(graph: &Graph, tensor: TensorRef, most: usize) -> Option<Vec<f32>> {
    let value = graph.const_value(tensor)?;
    let count = element_count(&value)?;
    if count > most || value.dtype != DataType::DtFloat as i32 {
        return None;
    }
    let mut floats: Vec<f32> = if value.tensor_content.is_empty() {
        value.float_val
    } else {
        value
            .tensor_content
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect()
    };
    let last = floats.last().copied().unwrap_or(0.0);
    floats.resize(count, last);
    Some(floats)
}

/// The dimensions of a tensor, where the node itself says them.
#[must_use]
pub(crate) fn shape(graph: &Graph, tensor: TensorRef) -> Shape {
    let node = tensor.node;
    if graph.op(node) == "Const" {
        return header(graph, node).map_or(Shape(None), |header| header.shape);
    }
    let of_op = match graph.op(node) {
        "Placeholder" if cannot_tell_scalars(graph) => {
            graph.attr_shape(node, "shape").filter(|shape| !shape.dim.is_empty())
        }
        "Placeholder" | "PlaceholderV2" | "PlaceholderWithDefault" | "VariableV2" | "Variable" | "VarHandleOp" => {
            graph.attr_shape(node, "shape")
        }
        _ => None,
    };
    let recorded = || match graph.attr(node, "_output_shapes") {
        Some(Value::List(list)) => list.shape.get(tensor.port as usize).cloned(),
        _ => None,
    };
    of_op.or_else(recorded).map_or(Shape(None), |shape| Shape::from(&shape))
}

/// Whether the graph is of a time when the shape of a Placeholder of which nothing was known was that of a scalar.
fn cannot_tell_scalars(graph: &Graph) -> bool {
    const LAST_VERSION: i32 = 21;
    let versions = graph.versions().and_then(|versions| VersionDef::decode(versions).ok());
    versions.unwrap_or_default().producer <= LAST_VERSION
}

/// The element type of a tensor as Python spells it; `?` where the node does not say it.
#[must_use]
pub(crate) fn type_name(graph: &Graph, tensor: TensorRef) -> String {
    let node = tensor.node;
    if graph.op(node) == "VarHandleOp" {
        return graph.attr_type(node, "dtype").map_or_else(|| "?".to_owned(), data_type_name);
    }
    graph.tensor_type(tensor).map_or_else(|| "?".to_owned(), |data_type| data_type_name(data_type as i32))
}

/// An element type as Python spells it: `float32`, `int8`, `bool`.
#[must_use]
pub(crate) fn data_type_name(number: i32) -> String {
    let Ok(data_type) = DataType::try_from(number) else { return format!("type_{number}") };
    match data_type {
        DataType::DtFloat => "float32".to_owned(),
        DataType::DtDouble => "float64".to_owned(),
        DataType::DtHalf => "float16".to_owned(),
        DataType::DtFloatRef => "float32_ref".to_owned(),
        other => other.as_str_name().trim_start_matches("DT_").to_lowercase(),
    }
}

/// How many bytes one element takes in memory; none for strings and handles.
#[must_use]
pub(crate) fn element_bytes(number: i32) -> Option<u64> {
    Some(match DataType::try_from(number).ok()? {
        DataType::DtBool | DataType::DtInt8 | DataType::DtUint8 | DataType::DtQint8 | DataType::DtQuint8 => 1,
        DataType::DtInt16
        | DataType::DtUint16
        | DataType::DtHalf
        | DataType::DtBfloat16
        | DataType::DtQint16
        | DataType::DtQuint16 => 2,
        DataType::DtFloat | DataType::DtInt32 | DataType::DtUint32 | DataType::DtQint32 => 4,
        DataType::DtDouble | DataType::DtInt64 | DataType::DtUint64 | DataType::DtComplex64 => 8,
        DataType::DtComplex128 => 16,
        _ => return None,
    })
}
