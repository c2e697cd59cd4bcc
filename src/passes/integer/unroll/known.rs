//! What the first steps compute of zeros alone: a recurrent network begins with nothing, and converters leave parts of that in
//! float.

use hashbrown::HashSet;

use super::super::computed_shapes::write_as_constants;
use super::super::constants::{Constants, computes, evaluate, is_small_float};
use super::super::new_nodes::{constant, dims_of, take_place};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::interpreter::{Limits, Tensor};
use crate::proto::tensorflow::DataType;

/// Ops of cells that a constant may go through.
const OF_CELLS: [&str; 9] =
    ["BatchMatMulV2", "BiasAdd", "Conv2D", "MatMul", "Relu", "Relu6", "Sigmoid", "Softplus", "Tanh"];

/// So often what has become zero is followed: each time takes a walk through the graph.
const MOST_ROUNDS: usize = 16;

/// Makes constants of what nodes inserted since then compute of constants, where others read it, and drops sums with zeros.
///
/// # Errors
/// Those of evaluating and inserting.
pub(super) fn write(graph: &mut Graph, since: usize, limits: &Limits) -> Result<()> {
    let goes_through = |op: &str| computes(op) || OF_CELLS.contains(&op);
    let constants = Constants::through(graph, &graph.run_order(), goes_through);
    let is_computed = |node: NodeId| constants.contain(node) && node.index() >= since && graph.op(node) != "Const";
    let mut shapes = ShapeCache::default();
    let mut read: Vec<TensorRef> = Vec::new();
    for node in graph.ids_from(since).filter(|&node| !constants.contain(node)) {
        for input in graph.data_inputs(node).filter(|input| constants.contain(input.node)) {
            if is_computed(input.node) || is_small_float(graph, input, &mut shapes) {
                read.push(input);
            }
        }
    }
    let values = evaluate(graph, read, limits)?;
    let zeros = values.iter().filter(|(_, value)| is_zero(value)).map(|(&tensor, _)| tensor).collect();
    simplify_zeros(graph, since, &constants, zeros)?;
    let mut computed: Vec<_> = values.into_iter().filter(|(tensor, _)| tensor.node.index() >= since).collect();
    computed.sort_unstable_by_key(|&(tensor, _)| tensor);
    for (tensor, value) in computed {
        let Some(numbers) = value.values::<f32>().filter(|_| graph.op(tensor.node) != "Const") else { continue };
        let name = format!("{}/known", graph.name(tensor.node));
        let known = constant(graph, &name, &Value::Shaped(numbers, &dims_of(&value)))?;
        take_place(graph, tensor, known);
    }
    Ok(())
}

/// Makes zeros of products with zeros that a network begins with, where it was written out in its steps from the start
/// (`tf.nn.static_rnn`), and drops sums with them; says of how many nodes.
///
/// # Errors
/// Those of evaluating and inserting.
pub(crate) fn begin_with_zeros(graph: &mut Graph, limits: &Limits) -> Result<usize> {
    let fills = |graph: &Graph| -> Vec<NodeId> {
        let is_float = |node: NodeId| graph.tensor_type(node.into()) == Some(DataType::DtFloat);
        graph.ids().filter(|&node| graph.op(node) == "Fill" && is_float(node)).collect()
    };
    if fills(graph).is_empty() {
        return Ok(0);
    }
    write_as_constants(graph, limits)?;
    let constants = Constants::of(graph, &graph.run_order());
    let is_nothing = |fill: NodeId| {
        constants.contain(fill) && graph.data_input(fill, 1).and_then(|value| graph.const_float(value)) == Some(0.0)
    };
    let zeros = fills(graph).into_iter().filter(|&fill| is_nothing(fill)).map(TensorRef::from).collect();
    let mut count = simplify_zeros(graph, 0, &constants, zeros)?;
    if count == 0 {
        return Ok(0);
    }
    // What was a product is a zero now, and what is added to that may be one too, as untrained biases are.
    for _ in 0..MOST_ROUNDS {
        let constants = Constants::of(graph, &graph.run_order());
        let zeros = zero_operands(graph, &constants, limits)?;
        match simplify_zeros(graph, 0, &constants, zeros)? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

/// The constant operands of products and sums that are all zero.
fn zero_operands(graph: &Graph, constants: &Constants, limits: &Limits) -> Result<HashSet<TensorRef>> {
    let mut shapes = ShapeCache::default();
    let mut operands = Vec::new();
    for node in graph.ids().filter(|&node| !constants.contain(node) && takes_zeros(graph.op(node))) {
        operands.extend(
            graph
                .data_inputs(node)
                .filter(|&input| constants.contain(input.node) && is_small_float(graph, input, &mut shapes)),
        );
    }
    let values = evaluate(graph, operands, limits)?;
    Ok(values.into_iter().filter(|(_, value)| is_zero(value)).map(|(tensor, _)| tensor).collect())
}

fn is_zero(value: &Tensor) -> bool {
    value.values::<f32>().is_some_and(|numbers| numbers.iter().all(|&number| number == 0.0))
}

/// Whether it is a sum, or a product.
fn takes_zeros(op: &str) -> bool {
    is_product(op) || matches!(op, "Add" | "AddV2")
}

fn is_product(op: &str) -> bool {
    matches!(op, "Mul" | "MatMul" | "Conv2D")
}

/// Lets what reads a sum of a tensor and zeros read the tensor, and makes zeros of products with zeros. The converter does so
/// too, and is left with two ranges of one tensor, or with parts that nobody reads.
fn simplify_zeros(
    graph: &mut Graph,
    since: usize,
    constants: &Constants,
    mut zeros: HashSet<TensorRef>,
) -> Result<usize> {
    let mut shapes = ShapeCache::default();
    let mut count = 0;
    for node in graph.run_order() {
        // What nobody reads has been replaced already.
        if node.index() < since || constants.contain(node) || graph.consumers(node).next().is_none() {
            continue;
        }
        let (Some(a), Some(b)) = (graph.data_input(node, 0), graph.data_input(node, 1)) else { continue };
        let op = graph.op(node);
        if !(zeros.contains(&a) || zeros.contains(&b)) || !takes_zeros(op) {
            continue;
        }
        let Some(dims) = graph.complete_shape_with(node.into(), &mut shapes) else { continue };
        if is_product(op) {
            let name = format!("{}/zero", graph.name(node));
            let zero = constant(graph, &name, &Value::Filled(0.0, &dims))?;
            take_place(graph, node.into(), zero);
            zeros.insert(zero);
            count += 1;
        } else {
            let other = if zeros.contains(&a) { b } else { a };
            if graph.complete_shape_with(other, &mut shapes) == Some(dims) {
                take_place(graph, node.into(), other);
                count += 1;
            }
        }
    }
    Ok(count)
}
