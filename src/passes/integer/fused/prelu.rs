//! Parametric Relus, in the one form that TensorFlow's converter makes its integer op of.
//!
//! # What it does
//! Whatever adds up `relu(x)` and a constant part of what lies below zero becomes `relu(x) + c · relu(-x)`, where the
//! constant has an axis for each of `x` but the batch's.
//!
//! # When it applies
//! To `relu(x) - a · relu(-x)`, `relu(x) + a · -relu(-x)`, and `relu(x) + c · relu(-x)` with a constant of few axes, whose
//! inner nodes nothing else reads.
//!
//! # What it leaves alone
//! Inputs whose rank is not known.

use hashbrown::HashMap;

use super::super::constants::{Constants, evaluate};
use super::super::new_nodes::{add_node, constant, make_room, take_place};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::op_class::canonical_op;
use crate::graph::{Graph, NodeId, TensorRef, only};
use crate::interpreter::{Limits, Tensor};
use crate::proto::tensorflow::DataType;

/// One of them.
#[derive(Debug, Clone)]
struct Prelu {
    /// The Add or Sub at its end.
    end: NodeId,
    /// `relu(x)` and `relu(-x)`.
    sides: [NodeId; 2],
    /// The other nodes between `x` and the end.
    between: Vec<NodeId>,
    /// What the side below zero is multiplied by, but for the sign.
    factor: TensorRef,
    is_negated: bool,
    /// Whether it is `relu(x) + c · relu(-x)`.
    is_plain: bool,
}

/// Finds the one that ends at a node.
fn find(graph: &Graph, constants: &Constants, end: NodeId) -> Option<Prelu> {
    let op = canonical_op(graph.op(end));
    if !matches!(op, "Add" | "Sub") || graph.tensor_type(end.into()) != Some(DataType::DtFloat) {
        return None;
    }
    let operands = [graph.data_input(end, 0)?, graph.data_input(end, 1)?];
    let orders: &[[usize; 2]] = if op == "Add" { &[[0, 1], [1, 0]] } else { &[[0, 1]] };
    orders.iter().find_map(|&[above, below]| {
        let above = inner(graph, operands[above], "Relu")?;
        let product = inner(graph, operands[below], "Mul")?;
        let factors = [graph.data_input(product, 0)?, graph.data_input(product, 1)?];
        let constant = factors.iter().position(|factor| constants.contain(factor.node))?;
        let (mut side, mut between) = (factors[1 - constant], vec![product]);
        let is_flipped = graph.op(side.node) == "Neg";
        if is_flipped {
            between.push(inner(graph, side, "Neg")?);
            side = graph.data_input(side.node, 0)?;
        }
        let below = inner(graph, side, "Relu")?;
        let negated = inner(graph, graph.data_input(below, 0)?, "Neg")?;
        between.push(negated);
        (graph.data_input(negated, 0)? == graph.data_input(above, 0)?).then_some(Prelu {
            end,
            sides: [above, below],
            between,
            factor: factors[constant],
            is_negated: is_flipped != (op == "Sub"),
            is_plain: !is_flipped && op == "Add",
        })
    })
}

/// The node of a tensor, if it is of that op and read once.
fn inner(graph: &Graph, tensor: TensorRef, op: &str) -> Option<NodeId> {
    (graph.op(tensor.node) == op && tensor.port == 0 && only(graph.consumers(tensor.node)).is_some())
        .then_some(tensor.node)
}

/// The inner nodes of the one that ends at a node.
pub(super) fn inside(graph: &Graph, constants: &Constants, end: NodeId) -> Vec<NodeId> {
    let found = find(graph, constants, end);
    found.map(|prelu| prelu.sides.into_iter().chain(prelu.between).collect()).unwrap_or_default()
}

/// Gives all of them that form; says how many had another.
///
/// # Errors
/// Those of evaluating constants and of inserting nodes.
pub(super) fn unify(graph: &mut Graph, limits: &Limits) -> Result<usize> {
    let constants = Constants::of(graph, &graph.run_order());
    let found: Vec<Prelu> = graph.ids().filter_map(|node| find(graph, &constants, node)).collect();
    let factors = evaluate(graph, found.iter().map(|prelu| prelu.factor), limits)?;
    let mut unified = 0;
    for prelu in &found {
        unified += usize::from(unify_one(graph, prelu, &factors)?);
    }
    Ok(unified)
}

fn unify_one(graph: &mut Graph, prelu: &Prelu, factors: &HashMap<TensorRef, Tensor>) -> Result<bool> {
    let [above, below] = prelu.sides.map(TensorRef::from);
    let (Some(factor), Some(rank)) = (factors.get(&prelu.factor), graph.rank(above)) else { return Ok(false) };
    let Some(values) = factor.values::<f32>() else { return Ok(false) };
    let dims = factor.dims();
    if dims.len() >= rank || prelu.is_plain && dims.len() + 1 == rank {
        return Ok(false);
    }
    let mut shape = vec![1; rank - 1 - dims.len()];
    shape.extend(dims.iter().map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX)));
    let sign = if prelu.is_negated { -1.0 } else { 1.0 };
    let values: Vec<f32> = values.iter().map(|value| sign * value).collect();
    let device = graph.device(prelu.end).to_owned();
    let name = make_room(graph, prelu.end)?;
    let factor = constant(graph, &format!("{name}/factor"), &Value::Shaped(&values, &shape))?;
    let product = add_node(graph, &format!("{name}/below"), "Mul", &device, [below, factor], None)?;
    let new = add_node(graph, &name, "AddV2", &device, [above, product.into()], None)?;
    take_place(graph, prelu.end.into(), new.into());
    Ok(true)
}
