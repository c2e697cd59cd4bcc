//! Shapes that a graph computes though they are known, as Keras' Dense does of more than two dimensions.
//!
//! # What it does
//! `Reshape(x, pack)` with a computed shape reads a constant instead, where all dimensions of the result are known, or all
//! but one, which becomes -1. Nothing is left to compute then that devices of integers lack, and the converter sees the bias
//! behind.
//!
//! # What it leaves alone
//! Reshapes of no elements, those in loops or that wait for something, and shapes of 64-bit numbers.

use super::constants::Constants;
use super::loops::Bodies;
use super::new_nodes::constant;
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, Input, NodeId};
use crate::proto::tensorflow::DataType;

/// Makes constants of them; says how many there were.
///
/// # Errors
/// Those of inserting nodes; a graph that TensorFlow would not run.
pub(crate) fn write_as_constants(graph: &mut Graph) -> Result<usize> {
    let constants = Constants::of(graph, &graph.run_order());
    let bodies = Bodies::of(graph)?;
    let mut shapes = ShapeCache::default();
    let mut found: Vec<(NodeId, Vec<i32>)> = Vec::new();
    for node in graph.ids().filter(|&node| graph.op(node) == "Reshape") {
        let is_computed = graph.data_input(node, 1).is_some_and(|shape| !constants.contain(shape.node));
        let is_long = graph.attr_type(node, "Tshape") == Some(DataType::DtInt64 as i32);
        if !is_computed
            || is_long
            || graph.control_inputs(node).next().is_some()
            || constants.contain(node)
            || bodies.contain(graph, node)
        {
            continue;
        }
        let dims = graph.static_shape_with(node.into(), &mut shapes);
        found.extend(dims.and_then(|dims| target(&dims)).map(|target| (node, target)));
    }
    for (node, target) in &found {
        let name = format!("{}/shape", graph.name(*node));
        let shape = constant(graph, &name, &Value::Int32s(target))?;
        graph.set_input(*node, 1, Input::Data(shape));
    }
    Ok(found.len())
}

/// What a Reshape to these dimensions reads.
fn target(dims: &[Option<i64>]) -> Option<Vec<i32>> {
    let open = dims.iter().filter(|dim| dim.is_none()).count();
    let all: Option<Vec<i32>> = dims.iter().map(|dim| dim.map_or(Some(-1), |dim| i32::try_from(dim).ok())).collect();
    all.filter(|all| open <= 1 && all.iter().all(|&dim| dim != 0))
}
