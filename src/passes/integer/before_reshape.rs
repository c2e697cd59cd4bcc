//! What reads two Reshapes that are alike, or one twice as a square does, computed in front of them.
//!
//! # What it does
//! TensorFlow's converter moves an op of two Reshapes of one range in front of them once they are integers, gives the Reshape
//! the range of the result on one side and that of the operand on the other, and refuses what it made. Moved before, there is
//! nothing to be moved, and one Reshape less.
//!
//! # When it applies
//! To Add, Sub and Mul of one Reshape, and of two that nobody else reads, of tensors of one shape to one shape.
//!
//! # What it leaves alone
//! What broadcasts, or two Reshapes that others read; what is in loops or waits for others.
//!
//! # Example
//! `flat = Reshape(x, s); square = Mul(flat, flat)` becomes `square/unshaped = Mul(x, x); square = Reshape(square/unshaped, s)`.

use hashbrown::HashSet;

use super::loops::Bodies;
use super::network::Ends;
use super::new_nodes::{add_node, make_room, take_place};
use crate::error::Result;
use crate::graph::attr::Attrs;
use crate::graph::op_class::canonical_op;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// Moves them; says how many.
///
/// # Errors
/// Those of inserting nodes; a graph that TensorFlow would not run.
pub(crate) fn compute_before(graph: &mut Graph, outputs: &[TensorRef]) -> Result<usize> {
    let bodies = Bodies::of(graph)?;
    let mut late: Vec<LateBias> = graph
        .ids()
        .filter_map(|node| late_bias(graph, node))
        .filter(|late| ![late.bias, late.reshape].into_iter().any(|node| bodies.contain(graph, node)))
        .collect();
    let mut seen = HashSet::new();
    late.retain(|late| seen.insert(late.bias));
    for late in &late {
        late.add_before(graph)?;
    }
    let bodies = Bodies::of(graph)?;
    let ends = Ends::new(graph, outputs);
    let mut shapes = ShapeCache::default();
    let found: Vec<(NodeId, [NodeId; 2])> = graph
        .run_order()
        .into_iter()
        .filter_map(|node| Some((node, equal_reshapes(graph, &ends, node, &mut shapes)?)))
        .filter(|(node, reshapes)| !reshapes.iter().chain([node]).any(|&node| bodies.contain(graph, node)))
        .collect();
    for &(node, reshapes) in &found {
        let wholes = reshapes.map(|reshape| whole(graph, reshape));
        let ([Some(first), Some(second)], Some(shape)) = (wholes, graph.data_input(reshapes[0], 1)) else { continue };
        let (op, device) = (graph.op(node).to_owned(), graph.device(node).to_owned());
        let name = make_room(graph, node)?;
        let computed = add_node(graph, &format!("{name}/unshaped"), &op, &device, [first, second], None)?;
        let reshaped = add_reshape(graph, &name, &device, computed.into(), shape)?;
        take_place(graph, node.into(), reshaped.into());
    }
    Ok(found.len())
}

/// A bias behind a Reshape that is read twice: the converter adds it in front.
struct LateBias {
    bias: NodeId,
    /// Which of the bias's inputs is the Reshape.
    slot: usize,
    reshape: NodeId,
}

fn late_bias(graph: &Graph, node: NodeId) -> Option<LateBias> {
    let is_one = matches!(canonical_op(graph.op(node)), "Add" | "Sub" | "Mul")
        && graph.tensor_type(node.into()) == Some(DataType::DtFloat);
    let read = graph.data_input(node, 0).filter(|&read| is_one && graph.data_input(node, 1) == Some(read))?;
    let bias = read.node;
    if !matches!(canonical_op(graph.op(bias)), "Add" | "BiasAdd") || graph.control_inputs(bias).next().is_some() {
        return None;
    }
    if graph.attr_str(bias, "data_format").is_some_and(|format| format != "NHWC") {
        return None;
    }
    let slot = usize::from(graph.op(graph.data_input(bias, 0)?.node) != "Reshape");
    let (reshape, numbers) = (graph.data_input(bias, slot)?.node, graph.data_input(bias, 1 - slot)?);
    let is_vector = graph.const_node(numbers).is_some();
    let &[channels] = graph.static_shape(numbers).filter(|_| is_vector)?.as_slice() else { return None };
    let last = |tensor: TensorRef| graph.static_shape(tensor).and_then(|dims| *dims.last()?);
    let keeps_channels = graph.op(reshape) == "Reshape"
        && channels.is_some()
        && [reshape.into(), whole(graph, reshape)?].into_iter().all(|tensor| last(tensor) == channels);
    keeps_channels.then_some(LateBias { bias, slot, reshape })
}

impl LateBias {
    fn add_before(&self, graph: &mut Graph) -> Result<()> {
        let &Self { bias, slot, reshape } = self;
        let (Some(whole), Some(shape)) = (whole(graph, reshape), graph.data_input(reshape, 1)) else { return Ok(()) };
        let Some(numbers) = graph.data_input(bias, 1 - slot) else { return Ok(()) };
        let (op, device) = (graph.op(bias).to_owned(), graph.device(bias).to_owned());
        let name = make_room(graph, bias)?;
        let inputs = if slot == 0 { [whole, numbers] } else { [numbers, whole] };
        let biased = add_node(graph, &format!("{name}/unshaped"), &op, &device, inputs, None)?;
        let reshaped = add_reshape(graph, &name, &device, biased.into(), shape)?;
        take_place(graph, bias.into(), reshaped.into());
        Ok(())
    }
}

fn add_reshape(graph: &mut Graph, name: &str, device: &str, x: TensorRef, shape: TensorRef) -> Result<NodeId> {
    let mut attrs = Attrs::default();
    attrs.data_type("T", DataType::DtFloat).data_type("Tshape", graph.tensor_type(shape).unwrap_or(DataType::DtInt32));
    let inputs = [x, shape].map(Input::Data);
    graph.insert(NewNode { name, op: "Reshape", device, inputs: &inputs, attrs: attrs.as_bytes() })
}

/// The Reshapes that are the operands of an op of floats, if it may as well be computed in front of them.
fn equal_reshapes(graph: &Graph, ends: &Ends<'_>, node: NodeId, shapes: &mut ShapeCache) -> Option<[NodeId; 2]> {
    let is_one = matches!(canonical_op(graph.op(node)), "Add" | "Sub" | "Mul")
        && graph.tensor_type(node.into()) == Some(DataType::DtFloat);
    let reads = [graph.data_input(node, 0).filter(|_| is_one)?, graph.data_input(node, 1)?];
    let reshapes = reads.map(|read| read.node);
    let waits = |node: NodeId| graph.control_inputs(node).next().is_some();
    if waits(node) || reshapes.iter().any(|&reshape| graph.op(reshape) != "Reshape" || waits(reshape)) {
        return None;
    }
    if reads[0] == reads[1] {
        return Some(reshapes);
    }
    let mut are_alike = |first: TensorRef, second: TensorRef| {
        // Of the sizes, that of the batch may be open.
        let known = graph.static_shape_with(first, shapes).filter(|dims| dims.iter().skip(1).all(Option::is_some));
        known.is_some_and(|dims| !dims.is_empty() && graph.static_shape_with(second, shapes) == Some(dims))
    };
    let is_moved = reshapes.iter().all(|&reshape| ends.only_reader(reshape) == Some(node))
        && are_alike(reads[0], reads[1])
        && are_alike(whole(graph, reshapes[0])?, whole(graph, reshapes[1])?);
    is_moved.then_some(reshapes)
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
             b = Const [2]
             biased = BiasAdd(first, b)
             doubled = AddV2(biased, biased)
             out = Relu(first)",
        );
        let before = ["other", "doubled"].map(|node| run(&graph, node, &image(2)));
        assert_eq!(compute_before(&mut graph, &[]).unwrap(), 2);
        assert_eq!(["other", "doubled"].map(|node| run(&graph, node, &image(2))), before);
        let reads = |name: &str| graph.tensor_name(graph.data_input(graph.find(name).unwrap(), 0).unwrap());
        assert_eq!(
            [reads("other"), reads("square"), reads("square/unshaped")],
            ["square:0", "square/unshaped:0", "x:0"]
        );
    }
    #[test]
    fn so_is_what_two_reshapes_are_added_to_unless_they_differ() {
        let lines = |other: &str, read: &str| {
            format!(
                "x = Placeholder [1,4,4,2]
                 rows = Const [1,16,2]i
                 high = Relu(x)
                 low = {other}
                 a = Reshape(high, rows)
                 b = Reshape(low, rows)
                 sum = AddV2(a, b)
                 read = Relu({read})"
            )
        };
        let mut graph = graph_of(&lines("Relu6(x)", "sum"));
        let before = run(&graph, "sum", &image(2));
        assert_eq!(compute_before(&mut graph, &[]).unwrap(), 1);
        assert_eq!(run(&graph, "sum", &image(2)), before);
        let in_rows = "Reshape(x, rows)";
        for lines in [lines("Relu6(x)", "a"), lines(&format!("Relu6(row)\nrow = {in_rows}"), "sum")] {
            assert_eq!(compute_before(&mut graph_of(&lines), &[]).unwrap(), 0);
        }
    }
}
