//! What reads a Reshape twice, as a square does, computed in front of it.
//!
//! # What it does
//! TensorFlow's converter moves an op of two equal Reshapes in front of them once both are integers, gives the Reshape the
//! range of the result on one side and that of the operand on the other, and refuses what it made. Moved before, there is
//! nothing to be moved.
//!
//! # What it leaves alone
//! What reads two different tensors, or what two nodes make; what is in loops or waits for others.
//!
//! # Example
//! `flat = Reshape(x, s); square = Mul(flat, flat)` becomes `square/unshaped = Mul(x, x); square = Reshape(square/unshaped, s)`.

use super::loops::Bodies;
use super::new_nodes::{make_room, take_place};
use crate::error::Result;
use crate::graph::attr::Attrs;
use crate::graph::op_class::canonical_op;
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// Moves them; says how many.
///
/// # Errors
/// Those of inserting nodes; a graph that TensorFlow would not run.
pub(crate) fn compute_before(graph: &mut Graph) -> Result<usize> {
    let bodies = Bodies::of(graph)?;
    let found: Vec<(NodeId, NodeId)> = graph
        .run_order()
        .into_iter()
        .filter_map(|node| Some((node, reshape_read_twice(graph, node)?)))
        .filter(|&(node, reshape)| !bodies.contain(graph, node) && !bodies.contain(graph, reshape))
        .collect();
    for &(node, reshape) in &found {
        let (Some(whole), Some(shape)) = (whole(graph, reshape), graph.data_input(reshape, 1)) else { continue };
        let shape_type = graph.tensor_type(shape).unwrap_or(DataType::DtInt32);
        let (op, device) = (graph.op(node).to_owned(), graph.device(node).to_owned());
        let name = make_room(graph, node)?;
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat);
        let unshaped = graph.free_name(&format!("{name}/unshaped"));
        let inputs = [Input::Data(whole); 2];
        let new = NewNode { name: &unshaped, op: &op, device: &device, inputs: &inputs, attrs: attrs.as_bytes() };
        let computed = graph.insert(new)?;
        attrs.data_type("Tshape", shape_type);
        let inputs = [Input::Data(computed.into()), Input::Data(shape)];
        let new = NewNode { name: &name, op: "Reshape", device: &device, inputs: &inputs, attrs: attrs.as_bytes() };
        let shaped = graph.insert(new)?;
        take_place(graph, node.into(), shaped.into());
    }
    Ok(found.len())
}

/// The Reshape that is both operands of an op of floats.
fn reshape_read_twice(graph: &Graph, node: NodeId) -> Option<NodeId> {
    let is_one = matches!(canonical_op(graph.op(node)), "Add" | "Sub" | "Mul")
        && graph.tensor_type(node.into()) == Some(DataType::DtFloat);
    let read = graph.data_input(node, 0).filter(|&read| is_one && graph.data_input(node, 1) == Some(read))?;
    let waits = |node: NodeId| graph.control_inputs(node).next().is_some();
    (graph.op(read.node) == "Reshape" && !waits(node) && !waits(read.node)).then_some(read.node)
}

/// What a row of Reshapes begins with.
fn whole(graph: &Graph, mut reshape: NodeId) -> Option<TensorRef> {
    loop {
        let read = graph.data_input(reshape, 0)?;
        if graph.op(read.node) != "Reshape" {
            return Some(read);
        }
        reshape = read.node;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image, run};
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn a_square_is_computed_in_front_of_its_reshapes() {
        let mut graph = graph_of(
            "x = Placeholder [1,4,4,2]
             rows = Const [1,16,2]i
             all = Const [1,-1]i
             first = Reshape(x, rows)
             flat = Reshape(first, all)
             square = Mul(flat, flat)
             other = Mul(square, flat)
             out = Relu(first)",
        );
        let before = run(&graph, "other", &image(2));
        assert_eq!(compute_before(&mut graph).unwrap(), 1);
        assert_eq!(run(&graph, "other", &image(2)), before);
        let reads = |name: &str| graph.tensor_name(graph.data_input(graph.find(name).unwrap(), 0).unwrap());
        assert_eq!([reads("other"), reads("square"), reads("square/unshaped")], ["square:0", "square/unshaped:0", "x:0"]);
    }
}
