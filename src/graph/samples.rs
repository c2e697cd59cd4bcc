//! Small graphs for tests, as a few lines of text.
//!
//! ```text
//! x = Placeholder [?,8,8,3]
//! w = Const [3,3,3,4]
//! conv = Conv2D(x, w) strides=[1,2,2,1] padding="VALID"
//! six = Const 6.0
//! axes = Const [1,2]i
//! barrier = NoOp(^conv)
//! ```
//! Behind the op of a Placeholder or variable stands its shape, behind that of a Const its number, its shape (of ones), or
//! its integers. Every node is float32 (`T` and `dtype`), convolutions have strides of one and SAME padding unless told
//! otherwise.

use std::fmt::Write;

use bytes::Bytes;

use super::attr::{Attrs, Tensor};
use super::{Graph, Input, NewNode, NodeId, TensorRef, read};
use crate::proto::tensorflow::DataType;
use crate::wire::put_bytes;

/// The graph of these lines.
pub(crate) fn graph_of(lines: &str) -> Graph {
    read::parse(file_of(lines)).unwrap_or_else(|error| panic!("{error}"))
}

/// The GraphDef of these lines.
pub(crate) fn file_of(lines: &str) -> Bytes {
    let mut file = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        put_bytes(&mut file, 1, &node_of(line));
    }
    file.into()
}

/// A line as a NodeDef.
fn node_of(line: &str) -> Vec<u8> {
    let (name, rest) = line.split_once(" = ").unwrap_or_else(|| panic!("no node: {line}"));
    let (op, rest) = rest.split_at(rest.find(['(', ' ']).unwrap_or(rest.len()));
    let (inputs, rest) = match rest.strip_prefix('(') {
        Some(rest) => rest.split_once(')').unwrap_or_else(|| panic!("no ')': {line}")),
        None => ("", rest),
    };
    let mut node = Vec::new();
    put_bytes(&mut node, 1, name.as_bytes());
    put_bytes(&mut node, 2, op.as_bytes());
    for input in inputs.split(',').map(str::trim).filter(|input| !input.is_empty()) {
        put_bytes(&mut node, 3, input.as_bytes());
    }
    let mut attrs = Attrs::default();
    for word in rest.split_whitespace() {
        match word.split_once('=') {
            Some((key, value)) => put_attr(&mut attrs, key, value),
            None => put_value(&mut attrs, op, word),
        }
    }
    let is_given = |key: &str| rest.split_whitespace().any(|word| word.split('=').next() == Some(key));
    for key in ["T", "dtype"].into_iter().filter(|key| !(is_given(key) || op == "Const" && *key == "dtype")) {
        attrs.data_type(key, DataType::DtFloat);
    }
    if op.contains("Conv") || op.contains("Pool") {
        if !is_given("strides") {
            attrs.ints("strides", &[1; 4]);
        }
        if !is_given("padding") {
            attrs.str("padding", "SAME");
        }
    }
    node.extend_from_slice(attrs.as_bytes());
    node
}

fn dims(text: &str) -> Vec<i64> {
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    let dims = inner.split(',').filter(|dim| !dim.is_empty());
    dims.map(|dim| if dim == "?" { -1 } else { dim.parse().unwrap() }).collect()
}

/// What stands behind the op without a key.
fn put_value(attrs: &mut Attrs, op: &str, word: &str) {
    if op != "Const" {
        attrs.shape("shape", &dims(word));
    } else if let Some(integers) = word.strip_suffix('i') {
        let integers: Vec<i32> = dims(integers).into_iter().map(|integer| integer.try_into().unwrap()).collect();
        attrs.data_type("dtype", DataType::DtInt32).tensor("value", &Tensor::Int32s(&integers));
    } else if word.starts_with('[') {
        attrs.data_type("dtype", DataType::DtFloat).tensor("value", &Tensor::Filled(1.0, &dims(word)));
    } else {
        attrs.data_type("dtype", DataType::DtFloat).tensor("value", &Tensor::Float(word.parse().unwrap()));
    }
}

fn put_attr(attrs: &mut Attrs, key: &str, value: &str) {
    if value.starts_with('[') {
        attrs.ints(key, &dims(value));
    } else if let Some(text) = value.strip_prefix('"') {
        attrs.str(key, text.trim_end_matches('"'));
    } else if let Ok(flag) = value.parse::<bool>() {
        attrs.bool(key, flag);
    } else if let Ok(integer) = value.parse::<i64>() {
        attrs.int(key, integer);
    } else if let Ok(number) = value.parse::<f32>() {
        attrs.float(key, number);
    } else {
        let data_type = DataType::from_str_name(value).unwrap_or_else(|| panic!("no value: {value}"));
        attrs.data_type(key, data_type);
    }
}

/// What a pass did to a graph of [`graph_of`], a line a node: the nodes that read something else now, and the inserted
/// ones, without what a range consists of and without plain constants.
pub(crate) fn changes(before: &Graph, after: &Graph) -> String {
    let mut text = String::new();
    for node in after.ids() {
        let is_new = !after.is_original(node);
        let plumbing = matches!(after.op(node), "Const" | "VariableV2" | "VarHandleOp" | "Identity" | "ReadVariableOp");
        let is_shown = if is_new {
            !plumbing && !after.op(node).starts_with("Assign") || before.find(after.name(node)).is_some()
        } else {
            before.name(node) != after.name(node) || spelled(before, node) != spelled(after, node)
        };
        if is_shown {
            let _ = writeln!(text, "{} = {}({})", after.name(node), after.op(node), spelled(after, node));
        }
    }
    text
}

/// A node's inputs; the ends of a fake quantizer's range go without saying.
fn spelled(graph: &Graph, node: NodeId) -> String {
    let is_fake_quant = graph.op(node).starts_with("FakeQuantWithMinMaxVars");
    let inputs = graph.inputs(node).take(if is_fake_quant { 1 } else { usize::MAX });
    let inputs: Vec<String> = inputs
        .map(|input| match input {
            Input::Data(TensorRef { node, port: 0 }) => graph.name(node).to_owned(),
            Input::Data(TensorRef { node, port }) => format!("{}:{port}", graph.name(node)),
            Input::Control(node) => format!("^{}", graph.name(node)),
        })
        .collect();
    inputs.join(", ")
}

/// A graph of inserted nodes.
pub(crate) struct Sample(pub Graph);

impl Sample {
    pub(crate) fn new() -> Self {
        Self(read::parse(Bytes::new()).unwrap())
    }

    /// Adds a node, whatever its name; returns its first output.
    pub(crate) fn add(
        &mut self,
        op: &str,
        inputs: &[TensorRef],
        attrs: impl FnOnce(&mut Attrs) -> &mut Attrs,
    ) -> TensorRef {
        let mut encoded = Attrs::default();
        attrs(&mut encoded);
        let name = format!("n{}", self.0.len());
        let inputs: Vec<Input> = inputs.iter().copied().map(Input::Data).collect();
        let new = NewNode { name: &name, op, device: "", inputs: &inputs, attrs: encoded.as_bytes() };
        self.0.insert(new).unwrap().into()
    }
}
