//! Shapes that a graph computes though they are known, as Keras' Dense does of more than two dimensions.
//!
//! # What it does
//! `Reshape(x, pack)` with a computed shape reads a constant instead, where all dimensions of the result are known, or all
//! but one, which becomes -1. `Shape(x)` and one dimension of it become constants where they are known, `ZerosLike(x)` and
//! `OnesLike(x)` where the shape is, and so do integers computed of constants. Nothing is left to compute then that devices of
//! integers lack, the converter sees the bias behind, and the zeros that a recurrent network begins with are constant.
//!
//! # What it leaves alone
//! Reshapes of no elements, those in loops or that wait for something, and shapes of 64-bit numbers.

use super::constants::{Constants, evaluate};
use super::loops::Bodies;
use super::new_nodes::{constant, take_place};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::shape::{ShapeCache, wrapped};
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::interpreter::{Limits, Tensor};
use crate::proto::tensorflow::DataType;

/// Longer lists of integers are no shapes.
const MOST_NUMBERS: usize = 256;

/// Makes constants of them; says how many there were.
///
/// # Errors
/// Those of inserting nodes; a graph that TensorFlow would not run.
pub(crate) fn write_as_constants(graph: &mut Graph, limits: &Limits) -> Result<usize> {
    let constants = Constants::of(graph, &graph.run_order());
    let integers = write_integers(graph, &constants, limits)?;
    let bodies = Bodies::of(graph)?;
    let mut shapes = ShapeCache::default();
    let is_plain = |graph: &Graph, node: NodeId| {
        graph.control_inputs(node).next().is_none() && !constants.contain(node) && !bodies.contain(graph, node)
    };
    let mut found: Vec<(NodeId, Known)> = Vec::new();
    for node in graph.ids().filter(|&node| is_plain(graph, node)) {
        let known = match graph.op(node) {
            "Reshape" => target(graph, &constants, node, &mut shapes).map(Known::Target),
            "Shape" => dims(graph, node, &mut shapes).map(Known::Shape),
            "StridedSlice" => dimension(graph, node, &mut shapes).map(Known::Dimension),
            "ZerosLike" => filled(graph, node, &mut shapes).map(|dims| Known::Filled(0.0, dims)),
            "OnesLike" => filled(graph, node, &mut shapes).map(|dims| Known::Filled(1.0, dims)),
            _ => None,
        };
        found.extend(known.map(|known| (node, known)));
    }
    for (node, known) in &found {
        let name = graph.name(*node).to_owned();
        let value = match known {
            Known::Target(dims) => {
                let shape = constant(graph, &format!("{name}/shape"), &Value::Int32s(dims))?;
                graph.set_input(*node, 1, Input::Data(shape));
                continue;
            }
            Known::Shape(dims) => Value::Int32s(dims),
            Known::Dimension(dim) => Value::Int32(*dim),
            Known::Filled(number, dims) => Value::Filled(*number, dims),
        };
        let known = constant(graph, &format!("{name}/known"), &value)?;
        take_place(graph, (*node).into(), known);
    }
    Ok(found.len() + integers)
}

/// Makes constants of single integers and lists of them that are computed of constants, such as the order of axes.
fn write_integers(graph: &mut Graph, constants: &Constants, limits: &Limits) -> Result<usize> {
    let is_computed = |graph: &Graph, tensor: TensorRef| {
        constants.contain(tensor.node)
            && graph.op(tensor.node) != "Const"
            && graph.tensor_type(tensor) == Some(DataType::DtInt32)
    };
    let mut read: Vec<TensorRef> = Vec::new();
    for node in graph.ids().filter(|&node| !constants.contain(node)) {
        read.extend(graph.data_inputs(node).filter(|&input| is_computed(graph, input)));
    }
    let mut values: Vec<(TensorRef, Tensor)> = evaluate(graph, read, limits)?.into_iter().collect();
    values.sort_unstable_by_key(|&(tensor, _)| tensor);
    let mut count = 0;
    for (tensor, value) in values {
        let known = match (value.dims(), value.values::<i32>()) {
            ([], Some(&[number])) => Value::Int32(number),
            ([length], Some(numbers)) if *length <= MOST_NUMBERS => Value::Int32s(numbers),
            _ => continue,
        };
        let name = format!("{}/known", graph.name(tensor.node));
        let known = constant(graph, &name, &known)?;
        take_place(graph, tensor, known);
        count += 1;
    }
    Ok(count)
}

/// What is known of what a node computes.
#[derive(Debug)]
enum Known {
    /// What a Reshape goes to.
    Target(Vec<i32>),
    /// The shape that a node makes.
    Shape(Vec<i32>),
    /// One dimension of a shape.
    Dimension(i32),
    /// The same number everywhere in a tensor of that shape.
    Filled(f32, Vec<i64>),
}

/// What a Reshape with a computed shape may read instead.
fn target(graph: &Graph, constants: &Constants, node: NodeId, shapes: &mut ShapeCache) -> Option<Vec<i32>> {
    let is_computed = graph.data_input(node, 1).is_some_and(|shape| !constants.contain(shape.node));
    let is_long = graph.attr_type(node, "Tshape") == Some(DataType::DtInt64 as i32);
    if !is_computed || is_long {
        return None;
    }
    let dims = graph.static_shape_with(node.into(), shapes)?;
    let open = dims.iter().filter(|dim| dim.is_none()).count();
    let all: Option<Vec<i32>> = dims.iter().map(|dim| dim.map_or(Some(-1), |dim| i32::try_from(dim).ok())).collect();
    all.filter(|all| open <= 1 && all.iter().all(|&dim| dim != 0))
}

/// What a Shape of 32-bit numbers makes, if all of it is known.
fn dims(graph: &Graph, node: NodeId, shapes: &mut ShapeCache) -> Option<Vec<i32>> {
    let dims = graph.complete_shape_with(graph.data_input(node, 0)?, shapes)?;
    let is_short = graph.tensor_type(node.into()) == Some(DataType::DtInt32);
    dims.into_iter().map(|dim| i32::try_from(dim).ok()).collect::<Option<_>>().filter(|_| is_short)
}

/// The shape of a tensor of floats that are all the same, if it is known.
fn filled(graph: &Graph, node: NodeId, shapes: &mut ShapeCache) -> Option<Vec<i64>> {
    let is_float = graph.tensor_type(node.into()) == Some(DataType::DtFloat);
    graph.complete_shape_with(node.into(), shapes).filter(|_| is_float)
}

/// The dimension of a shape that a StridedSlice takes out of it, if it is known.
fn dimension(graph: &Graph, node: NodeId, shapes: &mut ShapeCache) -> Option<i32> {
    let shape = graph.data_input(node, 0).filter(|shape| graph.op(shape.node) == "Shape")?;
    let is_one =
        graph.attr_int(node, "shrink_axis_mask") == Some(1) && graph.attr_int(node, "begin_mask").unwrap_or(0) == 0;
    if !is_one || graph.tensor_type(node.into()) != Some(DataType::DtInt32) {
        return None;
    }
    let [axis] = graph.const_ints(graph.data_input(node, 1)?)?[..] else { return None };
    let dims = graph.static_shape_with(graph.data_input(shape.node, 0)?, shapes)?;
    i32::try_from(dims[wrapped(axis, dims.len())?]?).ok()
}
