//! Whether two MetaGraphDefs hold the same graph, node for node.
//!
//! The same node names; of each node the same op, device, data inputs in order, control inputs whatever their order, and
//! attributes, tensors by value and `_output_shapes` left out (TensorFlow writes them anew). The same collections, whose
//! messages are compared decoded, as protobuf writes maps in any order, and whatever the order of their values.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use tfquant::internals::tensorflow::attr_value::{ListValue, Value};
use tfquant::internals::tensorflow::collection_def::Kind;
use tfquant::internals::tensorflow::{
    AttrValue, CollectionDef, CondContextDef, DataType, MetaGraphDef, NodeDef, TensorProto, VariableDef,
    WhileContextDef,
};

/// What is different, one line each; nothing if the graphs are the same.
pub fn differences(expected: Bytes, actual: Bytes) -> Vec<String> {
    let expected = MetaGraphDef::decode(expected).expect("TensorFlow's result is a MetaGraphDef");
    let actual = match MetaGraphDef::decode(actual) {
        Ok(actual) => actual,
        Err(error) => return vec![format!("the output is no MetaGraphDef: {error}")],
    };
    let mut lines = Vec::new();
    compare_nodes(&nodes(&expected), &nodes(&actual), &mut lines);
    if actual.graph_def.as_ref().map(|graph| graph.node.len()) != Some(nodes(&actual).len()) {
        lines.push("a node name comes twice".to_owned());
    }
    let (expected, actual) = (collections(&expected), collections(&actual));
    for key in union(&expected, &actual) {
        let (expected, actual) = (expected.get(key), actual.get(key));
        let only_in = |some: Option<&Vec<String>>, other: Option<&Vec<String>>| -> Vec<String> {
            let extra = |value: &&String| !other.is_some_and(|other| other.contains(value));
            some.into_iter().flatten().filter(extra).cloned().collect()
        };
        if expected != actual {
            let (missing, extra) = (only_in(expected, actual), only_in(actual, expected));
            lines.push(format!("collection {key}: missing {missing:?}, extra {extra:?}"));
        }
    }
    lines
}

fn nodes(meta_graph: &MetaGraphDef) -> BTreeMap<&str, &NodeDef> {
    let graph = meta_graph.graph_def.as_ref().expect("a graph");
    graph.node.iter().map(|node| (node.name.as_str(), node)).collect()
}

fn union<'a, T>(a: &'a BTreeMap<impl AsRef<str> + Ord, T>, b: &'a BTreeMap<impl AsRef<str> + Ord, T>) -> Vec<&'a str> {
    let mut keys: Vec<&str> = a.keys().map(AsRef::as_ref).chain(b.keys().map(AsRef::as_ref)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn compare_nodes(expected: &BTreeMap<&str, &NodeDef>, actual: &BTreeMap<&str, &NodeDef>, lines: &mut Vec<String>) {
    for name in union(expected, actual) {
        match (expected.get(name), actual.get(name)) {
            (Some(expected), Some(actual)) => compare_node(expected, actual, lines),
            (Some(missing), None) => lines.push(format!("missing node {name} ({})", missing.op)),
            (None, Some(extra)) => lines.push(format!("extra node {name} ({})", extra.op)),
            (None, None) => {}
        }
    }
}

fn compare_node(expected: &NodeDef, actual: &NodeDef, lines: &mut Vec<String>) {
    let name = &expected.name;
    let mut compare = |what: &str, expected: &dyn std::fmt::Debug, actual: &dyn std::fmt::Debug, same: bool| {
        if !same {
            lines.push(format!("{name} {what}: expected {expected:?}, got {actual:?}"));
        }
    };
    compare("op", &expected.op, &actual.op, expected.op == actual.op);
    compare("device", &expected.device, &actual.device, expected.device == actual.device);
    let (ours, theirs) = (inputs(actual), inputs(expected));
    compare("inputs", &theirs, &ours, theirs == ours);
    for key in union(&expected.attr, &actual.attr) {
        if key != "_output_shapes" {
            let (expected, actual) = (expected.attr.get(key), actual.attr.get(key));
            let same = expected == actual || expected.map(canonical) == actual.map(canonical);
            compare(&format!("attribute {key}"), &expected, &actual, same);
        }
    }
}

/// Data inputs in order, then control inputs by name.
fn inputs(node: &NodeDef) -> Vec<&str> {
    let (mut controls, mut inputs): (Vec<&str>, Vec<&str>) =
        node.input.iter().map(String::as_str).partition(|input| input.starts_with('^'));
    for input in &mut inputs {
        *input = input.strip_suffix(":0").unwrap_or(input);
    }
    controls.sort_unstable();
    inputs.append(&mut controls);
    inputs
}

/// The same bytes for attributes that mean the same.
fn canonical(attr: &AttrValue) -> Vec<u8> {
    match &attr.value {
        Some(Value::Tensor(tensor)) => {
            AttrValue { value: Some(Value::Tensor(canonical_tensor(tensor))) }.encode_to_vec()
        }
        Some(Value::List(list)) if !list.s.is_empty() => {
            let mut list: ListValue = list.clone();
            list.s.sort();
            AttrValue { value: Some(Value::List(list)) }.encode_to_vec()
        }
        _ => attr.encode_to_vec(),
    }
}

/// The tensor with its values as bytes, without the repetitions of the last one; as it is for types that graphs spell
/// one way only.
fn canonical_tensor(tensor: &TensorProto) -> TensorProto {
    fn bytes<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> (Vec<u8>, usize) {
        (values.iter().flat_map(|&value| bytes(value)).collect(), N)
    }
    let (listed, width) = match tensor.dtype() {
        DataType::DtFloat => bytes(&tensor.float_val, f32::to_le_bytes),
        DataType::DtDouble => bytes(&tensor.double_val, f64::to_le_bytes),
        DataType::DtInt32 => bytes(&tensor.int_val, i32::to_le_bytes),
        DataType::DtInt64 => bytes(&tensor.int64_val, i64::to_le_bytes),
        DataType::DtBool => bytes(&tensor.bool_val, |value| [u8::from(value)]),
        _ => return tensor.clone(),
    };
    let mut values = if tensor.tensor_content.is_empty() { &listed[..] } else { &tensor.tensor_content[..] };
    while let Some(shorter) = values.len().checked_sub(width).filter(|&shorter| shorter >= width) {
        if values[shorter..] != values[shorter - width..shorter] {
            break;
        }
        values = &values[..shorter];
    }
    let zero = [0; 8];
    let values = if values.is_empty() { &zero[..width] } else { values };
    TensorProto {
        dtype: tensor.dtype,
        tensor_shape: tensor.tensor_shape.clone(),
        tensor_content: values.to_vec().into(),
        ..TensorProto::default()
    }
}

fn collections(meta_graph: &MetaGraphDef) -> BTreeMap<&str, Vec<String>> {
    let filled = meta_graph.collection_def.iter().filter(|(_, collection)| collection.kind.is_some());
    filled.map(|(key, collection)| (key.as_str(), values(key, collection))).collect()
}

/// The values of a collection, decoded and sorted; the first line tells their kind.
fn values(key: &str, collection: &CollectionDef) -> Vec<String> {
    let (kind, mut values) = match &collection.kind {
        Some(Kind::NodeList(list)) => ("nodes", list.value.clone()),
        Some(Kind::BytesList(list)) => ("bytes", list.value.iter().map(|value| message(key, value)).collect()),
        other => ("other", vec![format!("{other:?}")]),
    };
    values.sort();
    values.insert(0, kind.to_owned());
    values
}

fn message(key: &str, value: &Bytes) -> String {
    fn decoded<M: Message + Default + std::fmt::Debug>(value: &Bytes) -> Option<String> {
        M::decode(value.clone()).ok().map(|message| format!("{message:?}"))
    }
    let decoded = match key {
        "cond_context" => decoded::<CondContextDef>(value),
        "while_context" => decoded::<WhileContextDef>(value),
        _ if key.contains("variables") || key.contains("vars") || key == "global_step" => decoded::<VariableDef>(value),
        _ => None,
    };
    decoded.unwrap_or_else(|| format!("{value:?}"))
}
