//! Nodes that the passes of this room add, and what these are called.

use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::interpreter::Tensor;
use crate::proto::tensorflow::DataType;

/// A name in the scope of a node; below the node, if that has none. Converters make names of a model's tensors of all that
/// was fused, so that short ones make small models.
pub(super) fn beside(node: &str, name: &str) -> String {
    let scope = node.rsplit_once('/').map_or(node, |(scope, _)| scope);
    format!("{scope}/{name}")
}

/// Adds a Const whose name is free, or made so.
pub(super) fn constant(graph: &mut Graph, name: &str, value: &Value<'_>) -> Result<TensorRef> {
    constant_at(graph, name, value, None)
}

/// The same in the body of a loop, of which `pivot` is a node.
pub(super) fn constant_at(
    graph: &mut Graph,
    name: &str,
    value: &Value<'_>,
    pivot: Option<NodeId>,
) -> Result<TensorRef> {
    let mut attrs = Attrs::default();
    attrs.data_type("dtype", value.data_type()).tensor("value", value);
    let name = graph.free_name(name);
    let waits = pivot.map(Input::Control);
    let new = NewNode { name: &name, op: "Const", device: "", inputs: waits.as_slice(), attrs: attrs.as_bytes() };
    graph.insert(new).map(Into::into)
}

/// The dimensions of what a constant is to hold.
pub(super) fn dims_of(tensor: &Tensor) -> Vec<i64> {
    tensor.dims().iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect()
}

/// The node that a constant in a loop's body waits for.
pub(super) fn pivot_of(graph: &Graph, node: NodeId) -> Option<NodeId> {
    graph.control_inputs(node).next().filter(|_| graph.op(node) == "Const")
}

/// Gives the node another name; returns the one it had, for what takes its place.
pub(super) fn make_room(graph: &mut Graph, node: NodeId) -> Result<String> {
    let name = graph.name(node).to_owned();
    let free = graph.free_name(&format!("{name}/unfolded"));
    graph.rename(node, &free)?;
    Ok(name)
}

/// Lets everyone who reads a tensor read another.
pub(super) fn take_place(graph: &mut Graph, old: TensorRef, new: TensorRef) {
    let readers: Vec<NodeId> = graph.tensor_consumers(old).collect();
    graph.reroute(old, new, &readers);
}

pub(super) fn add_node(
    graph: &mut Graph,
    name: &str,
    op: &str,
    device: &str,
    inputs: [TensorRef; 2],
    data_format: Option<&str>,
) -> Result<NodeId> {
    let mut attrs = Attrs::default();
    attrs.data_type("T", DataType::DtFloat);
    if let Some(format) = data_format {
        attrs.str("data_format", format);
    }
    let name = graph.free_name(name);
    let inputs = inputs.map(Input::Data);
    graph.insert(NewNode { name: &name, op, device, inputs: &inputs, attrs: attrs.as_bytes() })
}
