//! Lists of tensors that loops read and write, of elements whose shape is known.
//!
//! # What it does
//! The converter to LiteRT makes tensors of lists, and wants to know how large their elements are. Those of a recurrent
//! network are batches, and a batch is open: it is fixed at one, in the inputs and in the lists.
//!
//! # When it applies
//! Where a list is made of what an input of one sample leads to, and each of its elements turns out to be a batch of one; and
//! where zeros that a network begins with are as many as the batch is large: they become constants then.
//!
//! # What it leaves alone
//! Lists whose elements differ in more than the batch, and inputs whose batch is fixed at more than one.
//!
//! # Example
//! `x = Placeholder [-1,16,8]; steps = TensorListFromTensor(Transpose(x), [-1,8]); made = TensorListReserve([-1,12], 16)`
//! becomes `x = Placeholder [1,16,8]`, and `made` is a list of `[1,12]`.

use prost::Message as _;

use super::computed_shapes::write_as_constants;
use super::constants::Constants;
use super::loops::Bodies;
use super::new_nodes::constant_at;
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, Input, NodeId};
use crate::interpreter::Limits;
use crate::proto::tensorflow::tensor_shape_proto::Dim;
use crate::proto::tensorflow::{AttrValue, DataType, TensorShapeProto, attr_value};

/// Which input of an op tells the converter the shape of a list's elements; others do so too, and are not asked.
fn element_shape_slot(op: &str) -> Option<usize> {
    match op {
        "TensorListReserve" => Some(0),
        "TensorListStack" => Some(1),
        _ => None,
    }
}

/// The element shape that a node gives the converter, if it is a constant of which not all dimensions are known.
pub(crate) fn open_element_shape(graph: &Graph, node: NodeId) -> Option<Vec<i64>> {
    let shape = graph.data_input(node, element_shape_slot(graph.op(node))?)?;
    graph.const_ints(shape).filter(|dims| dims.iter().any(|&dim| dim < 0))
}

/// Fixes the batch at one where lists need it; returns the inputs of which that was done.
///
/// # Errors
/// Those of inserting nodes and of evaluating constants.
pub(crate) fn fix_batch(graph: &mut Graph, limits: &Limits) -> Result<Vec<NodeId>> {
    let lists: Vec<(NodeId, Vec<i32>)> = graph.ids().filter_map(|node| Some((node, of_one(graph, node)?))).collect();
    let open = open_inputs(graph).unwrap_or_default();
    let fills = fills_of_open_shape(graph);
    if lists.is_empty() && fills.is_empty() || open.is_empty() {
        return Ok(Vec::new());
    }
    let mut fixed = graph.clone();
    for &input in &open {
        fix_first_dimension(&mut fixed, input);
    }
    let helps =
        if lists.is_empty() { some_are_constant(&fixed, &fills, limits)? } else { lists_hold_batches_of_one(&fixed) };
    if !helps {
        return Ok(Vec::new());
    }
    let bodies = Bodies::of(&fixed)?;
    for (list, dims) in lists {
        let Some(slot) = element_shape_slot(fixed.op(list)) else { continue };
        let name = format!("{}/element_of_one", fixed.name(list));
        let pivot = bodies.pivot(&fixed, list);
        let shape = constant_at(&mut fixed, &name, &Value::Int32s(&dims), pivot)?;
        fixed.set_input(list, slot, Input::Data(shape));
    }
    *graph = fixed;
    Ok(open)
}

/// What makes zeros, or tensors of another number, of floats whose shape is not known.
fn fills_of_open_shape(graph: &Graph) -> Vec<NodeId> {
    let mut shapes = ShapeCache::default();
    let is_float = |node: NodeId| graph.tensor_type(node.into()) == Some(DataType::DtFloat);
    let fills = graph.ids().filter(|&node| matches!(graph.op(node), "Fill" | "ZerosLike") && is_float(node));
    fills.filter(|&fill| graph.complete_shape_with(fill.into(), &mut shapes).is_none()).collect()
}

/// Whether some of the nodes become constants once shapes do.
fn some_are_constant(graph: &Graph, nodes: &[NodeId], limits: &Limits) -> Result<bool> {
    let mut known = graph.clone();
    write_as_constants(&mut known, limits)?;
    let constants = Constants::of(&known, &known.run_order());
    let mut shapes = ShapeCache::default();
    let mut is_known = |node: NodeId| match known.op(node) {
        "ZerosLike" => known.complete_shape_with(node.into(), &mut shapes).is_some(),
        _ => constants.contain(node),
    };
    Ok(nodes.iter().any(|&node| is_known(node)))
}

/// The shape of a list's elements if it is open in the first dimension alone, with one there.
fn of_one(graph: &Graph, node: NodeId) -> Option<Vec<i32>> {
    let dims = open_element_shape(graph, node)?;
    // A single number may stand for a rank that is not known.
    let [..=-1, rest @ ..] = &dims[..] else { return None };
    if rest.is_empty() {
        return None;
    }
    let known = rest.iter().map(|&dim| i32::try_from(dim).ok().filter(|&dim| dim >= 0));
    std::iter::once(Some(1)).chain(known).collect()
}

/// The inputs whose first dimension is open; none if that of another is fixed at more than one, or if they have no shape.
fn open_inputs(graph: &Graph) -> Option<Vec<NodeId>> {
    let mut open = Vec::new();
    for node in graph.ids().filter(|&node| graph.op(node) == "Placeholder") {
        let shape = graph.attr_shape(node, "shape").filter(|shape| !shape.unknown_rank)?;
        match shape.dim.first().map(|dim| dim.size) {
            Some(..=-1) if graph.is_original(node) => open.push(node),
            None | Some(1) => {}
            Some(_) => return None,
        }
    }
    Some(open)
}

/// Gives an input of the file a shape; says whether it is one.
pub(crate) fn give_shape(graph: &mut Graph, input: NodeId, dims: &[i64]) -> bool {
    let is_input = graph.op(input) == "Placeholder" && graph.is_original(input);
    if is_input {
        let dim = dims.iter().map(|&size| Dim { size, ..Dim::default() }).collect();
        let shape = TensorShapeProto { dim, unknown_rank: false };
        graph.set_attr(input, "shape", AttrValue { value: Some(attr_value::Value::Shape(shape)) }.encode_to_vec());
    }
    is_input
}

fn fix_first_dimension(graph: &mut Graph, input: NodeId) {
    let shape = graph.attr_shape(input, "shape").unwrap_or_default();
    let mut dims: Vec<i64> = shape.dim.iter().map(|dim| dim.size).collect();
    if let Some(first) = dims.first_mut() {
        *first = 1;
    }
    give_shape(graph, input, &dims);
}

/// Whether the elements of lists that are made of a tensor are batches of one, as far as that follows from the inputs.
fn lists_hold_batches_of_one(graph: &Graph) -> bool {
    let mut shapes = ShapeCache::default();
    let made = graph.ids().filter(|&node| graph.op(node) == "TensorListFromTensor");
    let tensors = made.filter_map(|list| graph.data_input(list, 0));
    let mut batches = tensors.filter_map(|tensor| *graph.static_shape_with(tensor, &mut shapes)?.get(1)?).peekable();
    batches.peek().is_some() && batches.all(|batch| batch == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    /// A network whose input has such a shape, with a list of its steps and one of what becomes of them.
    fn recurrent(input: &str, order: &str) -> Graph {
        graph_of(&format!(
            "x = Placeholder {input}
             rate = Placeholder []
             order = Const [{order}]i
             steps = Transpose(x, order)
             element = Const [?,8]i
             list = TensorListFromTensor(steps, element)
             made_of = Const [?,12]i
             count = Const [16]i
             made = TensorListReserve(made_of, count)"
        ))
    }

    fn shapes(graph: &Graph) -> [Option<Vec<i64>>; 2] {
        let input = graph.static_shape(graph.find_tensor("x").unwrap()).unwrap();
        let made = graph.data_input(graph.find("made").unwrap(), 0).unwrap();
        [input.into_iter().map(|dim| Some(dim.unwrap_or(-1))).collect(), graph.const_ints(made)]
    }

    #[test]
    fn an_open_batch_becomes_one_where_lists_hold_batches() {
        let mut graph = recurrent("[?,16,8]", "1,0,2");
        assert_eq!(fix_batch(&mut graph, &Limits::default()).unwrap(), [graph.find("x").unwrap()]);
        assert_eq!(shapes(&graph), [vec![1, 16, 8], vec![1, 12]].map(Some));
        assert!(fix_batch(&mut graph, &Limits::default()).unwrap().is_empty());
    }

    #[test]
    fn an_open_batch_becomes_one_where_a_network_begins_with_as_many_zeros() {
        let mut graph = graph_of(
            "x = Placeholder [?,8]
             shape = Shape(x) out_type=DT_INT32
             zero = Const [0]i
             one = Const [1]i
             batch = StridedSlice(shape, zero, one, one) T=DT_INT32 shrink_axis_mask=1
             dims = Pack(batch, batch) T=DT_INT32
             nothing = Const 0.0
             state = Fill(dims, nothing)",
        );
        assert_eq!(fix_batch(&mut graph, &Limits::default()).unwrap(), [graph.find("x").unwrap()]);
        assert!(fix_batch(&mut graph, &Limits::default()).unwrap().is_empty());
    }

    #[test]
    fn other_lists_stay_as_they_are() {
        // Steps that are not brought to the front are elements for each of the batch; a batch of four is no batch of one.
        for (input, order) in [("[?,?,8]", "0,1,2"), ("[?,4,8]", "0,1,2"), ("[4,16,8]", "1,0,2")] {
            let mut graph = recurrent(input, order);
            let before = shapes(&graph);
            assert!(fix_batch(&mut graph, &Limits::default()).unwrap().is_empty(), "{input}");
            assert_eq!(shapes(&graph), before);
        }
    }
}
