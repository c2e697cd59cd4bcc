//! Transposes between layers, moved out of the way.
//!
//! # What it does
//! Networks that come from frameworks where channels are first have a Transpose on both sides of every layer, and what
//! belongs to the layer, its bias and its activation, stands behind the second. A Transpose goes behind what works on each
//! element; where two then follow one another that undo each other, both go. What is left are layers with their biases and
//! activations, and far fewer Transposes; the converter does a part of this by itself, but not across fake quantizers.
//!
//! # When it applies
//! To floats that change from run to run: activations, arithmetic with constants or with what is turned in the same way, Pad,
//! ConcatV2, and reductions that do away with dimensions.
//!
//! # What it leaves alone
//! What is in loops or waits for others, and Transposes whose readers would need more of them than there are now.
//!
//! # Example
//! `first = Transpose(conv, [0,3,1,2]); sum = AddV2(first, b); relu = Relu(sum); second = Transpose(relu, [0,2,3,1])` with a
//! `b` of `[1,8,1,1]` becomes `sum/early = AddV2(conv, b/turned); relu/early = Relu(sum/early)`, which is read instead of
//! `second`, where `b/turned` is `[8]`. Who reads `relu` reads a Transpose of that name.

mod look;
mod moved;
#[cfg(test)]
mod tests;

use hashbrown::{HashMap, HashSet};

use super::constants::{Constants, evaluate, is_small_float};
use super::loops::Bodies;
use super::new_nodes::{constant, take_place};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::interpreter::Limits;
use look::{Turning, is_arithmetic};

/// Which dimension of what is turned each dimension of the result is.
type Order = Vec<usize>;

/// Moves them; says how many nodes were moved before a Transpose, or lost one.
///
/// # Errors
/// Those of inserting nodes and of evaluating constants; a graph that TensorFlow would not run.
pub(crate) fn move_transposes(graph: &mut Graph, outputs: &[TensorRef], limits: &Limits) -> Result<usize> {
    if !graph.ids().any(|node| graph.op(node) == "Transpose") {
        return Ok(0);
    }
    let nodes = graph.run_order();
    let constants = Constants::of(graph, &nodes);
    let bodies = Bodies::of(graph)?;
    let nodes: Vec<NodeId> = nodes
        .into_iter()
        .filter(|&node| !constants.contain(node) && !bodies.contain(graph, node))
        .filter(|&node| graph.control_inputs(node).next().is_none())
        .collect();
    let mut shapes = ShapeCache::default();
    let operands: Vec<TensorRef> = nodes
        .iter()
        .filter(|&&node| is_arithmetic(graph.op(node)))
        .flat_map(|&node| graph.data_inputs(node).filter(|input| constants.contain(input.node)))
        .filter(|&operand| is_small_float(graph, operand, &mut shapes))
        .collect();
    let numbers = evaluate(graph, operands, limits)?;
    let outputs: HashSet<TensorRef> = outputs.iter().copied().collect();
    let mut count = 0;
    let mut pays: HashMap<TensorRef, bool> = HashMap::new();
    for node in nodes {
        let turning = Turning { graph, constants: &constants, numbers: &numbers, outputs: &outputs };
        if let Some(before) = turning.undone(node) {
            take_place(graph, node.into(), before);
            count += 1;
        } else if let Some((before, order)) = turning.joined(node) {
            let name = format!("{}/perm", graph.name(node));
            let order = constant(graph, &name, &Value::Int32s(&as_integers(&order)))?;
            graph.replace_inputs(node, &[Input::Data(before), Input::Data(order)]);
            count += 1;
        } else if let Some(moved) = turning.moved(node) {
            let worthwhile =
                moved.turned.iter().all(|&turned| *pays.entry(turned).or_insert_with(|| turning.needs_no_more(turned)));
            if worthwhile {
                moved.write(graph, node)?;
                count += 1;
            }
        }
    }
    Ok(count)
}

fn as_integers(order: &[usize]) -> Vec<i32> {
    order.iter().map(|&axis| i32::try_from(axis).unwrap_or(i32::MAX)).collect()
}
