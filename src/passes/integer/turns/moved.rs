//! What comes before Transposes, written there.

use super::super::new_nodes::{constant, make_room, take_place};
use super::{Order, as_integers};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// An input of a node that is moved before Transposes.
#[derive(Debug)]
pub(super) enum Operand {
    /// What was turned, or what need not be.
    Tensor(TensorRef),
    /// Numbers, row by row, in a tensor of that shape.
    Numbers(Vec<f32>, Vec<i64>),
    Integers(Vec<i32>),
    Pairs(Vec<[i32; 2]>),
    Integer(i32),
}

/// How a node is moved.
#[derive(Debug)]
pub(super) struct Moved {
    /// The tensors that Transposes made, which it read.
    pub turned: Vec<TensorRef>,
    pub operands: Vec<Operand>,
    /// How its result is to be turned; `None` where it need not be.
    pub order: Option<Order>,
}

impl Moved {
    /// Moves the node; a Transpose of its name stands behind it, if its result is to be turned.
    pub(super) fn write(self, graph: &mut Graph, node: NodeId) -> Result<()> {
        let op = graph.op(node).to_owned();
        let device = graph.device(node).to_owned();
        let attrs = Attrs::copied(graph, node, |name| name != "_output_shapes");
        let mut inputs = Vec::with_capacity(self.operands.len());
        let read: Vec<TensorRef> = graph.data_inputs(node).collect();
        for (operand, old) in self.operands.iter().zip(read) {
            let value = match operand {
                Operand::Tensor(tensor) => {
                    inputs.push(Input::Data(*tensor));
                    continue;
                }
                Operand::Numbers(numbers, dims) => Value::Shaped(numbers, dims),
                Operand::Integers(integers) => Value::Int32s(integers),
                Operand::Pairs(pairs) => Value::Int32Pairs(pairs),
                Operand::Integer(integer) => Value::Int32(*integer),
            };
            let name = format!("{}/turned", graph.name(old.node));
            inputs.push(Input::Data(constant(graph, &name, &value)?));
        }
        let name = make_room(graph, node)?;
        let early = graph.free_name(&if self.order.is_some() { format!("{name}/early") } else { name.clone() });
        let new = NewNode { name: &early, op: &op, device: &device, inputs: &inputs, attrs: attrs.as_bytes() };
        let mut last = graph.insert(new)?;
        if let Some(order) = self.order {
            let order = constant(graph, &format!("{name}/perm"), &Value::Int32s(&as_integers(&order)))?;
            let mut attrs = Attrs::default();
            attrs.data_type("T", DataType::DtFloat).data_type("Tperm", DataType::DtInt32);
            let inputs = [Input::Data(last.into()), Input::Data(order)];
            let attrs = attrs.as_bytes();
            last = graph.insert(NewNode { name: &name, op: "Transpose", device: &device, inputs: &inputs, attrs })?;
        }
        take_place(graph, node.into(), last.into());
        Ok(())
    }
}
