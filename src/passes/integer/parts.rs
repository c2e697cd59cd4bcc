//! The nodes that take the place of one: beside it, on its device, in its loop.

use super::new_nodes::{add_node, constant_at, make_room, take_place};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// The name of the node that they take the place of.
pub(super) const END: &str = "";

/// Adds such nodes.
#[derive(Debug)]
pub(super) struct Parts<'g> {
    graph: &'g mut Graph,
    node: NodeId,
    /// Of the node; it has another now.
    name: String,
    device: String,
    pivot: Option<NodeId>,
}

impl<'g> Parts<'g> {
    /// For a node, which gets another name. `pivot` is a node of the loop's body that it is in, if any.
    ///
    /// # Errors
    /// Those of renaming.
    pub(super) fn in_place_of(graph: &'g mut Graph, node: NodeId, pivot: Option<NodeId>) -> Result<Self> {
        let device = graph.device(node).to_owned();
        let name = make_room(graph, node)?;
        Ok(Self { graph, node, name, device, pivot })
    }

    /// Lets everyone who reads the node read what stands in its place.
    pub(super) fn end_with(self, last: TensorRef) {
        take_place(self.graph, self.node.into(), last);
    }

    fn named(&self, part: &str) -> String {
        if part == END { self.name.clone() } else { format!("{}/{part}", self.name) }
    }

    /// A constant beside a part.
    pub(super) fn constant(&mut self, part: &str, value: &Value<'_>) -> Result<TensorRef> {
        let name = self.named(part);
        constant_at(self.graph, &format!("{name}/y"), value, self.pivot)
    }

    /// An op of one tensor.
    pub(super) fn unary(&mut self, part: &str, op: &str, x: TensorRef) -> Result<TensorRef> {
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat);
        self.insert(part, op, &[x], &attrs)
    }

    /// An op of two.
    pub(super) fn binary(&mut self, part: &str, op: &str, x: TensorRef, y: TensorRef) -> Result<TensorRef> {
        let name = self.named(part);
        add_node(self.graph, &name, op, &self.device, [x, y], None).map(Into::into)
    }

    /// An op of a tensor and a number.
    pub(super) fn with(&mut self, part: &str, op: &str, x: TensorRef, number: f32) -> Result<TensorRef> {
        let number = self.constant(part, &Value::Float(number))?;
        self.binary(part, op, x, number)
    }

    /// One tensor's elements where it is true, another's elsewhere.
    pub(super) fn choose(&mut self, part: &str, is: TensorRef, x: TensorRef, y: TensorRef) -> Result<TensorRef> {
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat);
        self.insert(part, "SelectV2", &[is, x, y], &attrs)
    }

    /// The mean along axes, which stay as ones.
    pub(super) fn mean(&mut self, part: &str, x: TensorRef, axes: &[i32]) -> Result<TensorRef> {
        let axes = self.constant(part, &Value::Int32s(axes))?;
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat).data_type("Tidx", DataType::DtInt32).bool("keep_dims", true);
        self.insert(part, "Mean", &[x, axes], &attrs)
    }

    /// The product of two matrices.
    pub(super) fn mat_mul(&mut self, part: &str, x: TensorRef, y: TensorRef) -> Result<TensorRef> {
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat).bool("transpose_a", false).bool("transpose_b", false);
        self.insert(part, "MatMul", &[x, y], &attrs)
    }

    /// The elements of a tensor in a shape of these dimensions.
    pub(super) fn reshape(&mut self, part: &str, x: TensorRef, dims: &[i32]) -> Result<TensorRef> {
        let dims = self.constant(part, &Value::Int32s(dims))?;
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat).data_type("Tshape", DataType::DtInt32);
        self.insert(part, "Reshape", &[x, dims], &attrs)
    }

    /// A tensor whose axes are those of another in this order.
    pub(super) fn transpose(&mut self, part: &str, x: TensorRef, order: &[i32]) -> Result<TensorRef> {
        let order = self.constant(part, &Value::Int32s(order))?;
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat).data_type("Tperm", DataType::DtInt32);
        self.insert(part, "Transpose", &[x, order], &attrs)
    }

    /// A node of integers again, of floats: `x` takes the place of its first input.
    pub(super) fn copy(&mut self, part: &str, node: NodeId, x: TensorRef) -> Result<TensorRef> {
        let (op, others) = (self.graph.op(node).to_owned(), self.graph.data_inputs(node).skip(1));
        let inputs: Vec<TensorRef> = std::iter::once(x).chain(others).collect();
        let mut attrs = Attrs::copied(self.graph, node, |name| name != "T");
        attrs.data_type("T", DataType::DtFloat);
        self.insert(part, &op, &inputs, &attrs)
    }

    /// Any op.
    pub(super) fn insert(&mut self, part: &str, op: &str, inputs: &[TensorRef], attrs: &Attrs) -> Result<TensorRef> {
        let name = self.graph.free_name(&self.named(part));
        let inputs: Vec<Input> = inputs.iter().copied().map(Input::Data).collect();
        let new = NewNode { name: &name, op, device: &self.device, inputs: &inputs, attrs: attrs.as_bytes() };
        self.graph.insert(new).map(Into::into)
    }
}
