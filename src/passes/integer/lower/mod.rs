//! Ops that have no integer kernel, or one that rounds more often than it must, written as ops that suit integers, for targets
//! whose converter takes them as they are.
//!
//! # What it does
//! Each part of what is written so gets a range of its own later; the last part has the name of the op. [`activations`]
//! are Elu, Selu, Softplus and Softsign; [`arithmetic`] is Neg, Square and small powers; [`division`] divides by what is
//! positive; [`training_norm`] is a batch norm in training mode, as Keras 2 makes layer norms of; [`einsum`] is a dense layer
//! of more than two dimensions, [`dilated`] a convolution of blocks, [`channels`] a depthwise one that is taken apart;
//! [`one_hot`] chooses by truths, what differs is more or less, [`cast_constants`] are floats from the start, and [`patches`] and [`roll`] only move what
//! they are given.
//!
//! # When it applies
//! To 32-bit floats that change from run to run, also in the bodies of loops.
//!
//! # What it leaves alone
//! What is part of an op that the converter knows whole ([`super::fused`]); nodes that wait for others.
//!
//! # Example
//! `e = Elu(x)` becomes `e/above = Relu(x); e/low = Minimum(x, 0); e/exp = Exp(e/low); e/below = Sub(e/exp, 1);
//! e = AddV2(e/above, e/below)`.

mod activations;
mod arithmetic;
mod cast_constants;
mod channels;
mod dilated;
mod division;
mod einsum;
mod one_hot;
mod patches;
mod roll;
#[cfg(test)]
mod tests;
mod training_norm;

use super::constants::Constants;
use super::fused::Fused;
use super::loops::Bodies;
use super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::Attrs;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// What takes the place of a node.
#[derive(Debug)]
enum Lowered {
    Activation(activations::Activation),
    Arithmetic(arithmetic::Arithmetic),
    Norm(training_norm::TrainingNorm),
    Division(division::Division),
    Dense(einsum::Dense),
    Dilated(dilated::Dilated),
    Channels(channels::Channels),
    /// Whether two tensors differ.
    NotEqual([TensorRef; 2]),
    OneHot(one_hot::OneHot),
    Patches(patches::Patches),
    Roll(roll::Roll),
    CastConstant(cast_constants::CastConstant),
}

/// Writes them so; says how many there were.
///
/// # Errors
/// Those of inserting nodes; a graph that TensorFlow would not run.
pub(crate) fn lower(graph: &mut Graph) -> Result<usize> {
    let constants = Constants::of(graph, &graph.run_order());
    let fused = Fused::of(graph, &constants);
    let bodies = Bodies::of(graph)?;
    let is_plain = |node: NodeId| {
        !constants.contain(node)
            && !fused.contain(node)
            && (graph.tensor_type(node.into()) == Some(DataType::DtFloat) || compares_floats(graph, node))
            && graph.control_inputs(node).next().is_none()
    };
    let mut shapes = ShapeCache::default();
    let is_read = |graph: &Graph, node: NodeId| graph.consumers(node).next().is_some();
    let mut found: Vec<(NodeId, Option<NodeId>, bool)> = graph
        .ids()
        .filter(|&node| is_plain(node) && find(graph, &constants, node, &mut shapes).is_some())
        .map(|node| (node, bodies.pivot(graph, node), is_read(graph, node)))
        .filter(|&(node, pivot, _)| pivot.is_some() || !bodies.contain(graph, node))
        .collect();
    // What is divided by is known to be positive while it is whole; a dense layer's bias comes with it.
    found.sort_by_key(|&(node, ..)| match graph.op(node) {
        "RealDiv" | "DivNoNan" => 0,
        "Einsum" => 2,
        _ => 1,
    });
    for &(node, pivot, was_read) in &found {
        // A quotient does without the root that it is divided by; what the node reads may have been replaced.
        if was_read && !is_read(graph, node) {
            continue;
        }
        let Some(lowered) = find(graph, &constants, node, &mut shapes) else { continue };
        let mut parts = Parts::in_place_of(graph, node, pivot)?;
        let last = match lowered {
            Lowered::Activation(activation) => activation.write(&mut parts)?,
            Lowered::Arithmetic(arithmetic) => arithmetic.write(&mut parts)?,
            Lowered::Norm(norm) => norm.write(&mut parts)?,
            Lowered::Division(division) => division.write(&mut parts)?,
            Lowered::Dense(dense) => dense.write(&mut parts)?,
            Lowered::Dilated(dilated) => dilated.write(&mut parts)?,
            Lowered::Channels(channels) => channels.write(&mut parts)?,
            Lowered::NotEqual([x, y]) => {
                let (more, less) = (parts.binary("more", "Greater", x, y)?, parts.binary("less", "Less", x, y)?);
                parts.insert(END, "LogicalOr", &[more, less], &Attrs::default())?
            }
            Lowered::OneHot(one_hot) => one_hot.write(&mut parts)?,
            Lowered::Patches(patches) => patches.write(&mut parts)?,
            Lowered::Roll(roll) => roll.write(&mut parts)?,
            Lowered::CastConstant(cast) => cast.write(&mut parts)?,
        };
        parts.end_with(last);
    }
    Ok(found.len())
}

/// Whether the node asks of floats what no integer kernel does.
fn compares_floats(graph: &Graph, node: NodeId) -> bool {
    graph.op(node) == "NotEqual" && graph.attr_type(node, "T") == Some(DataType::DtFloat as i32)
}

fn find(graph: &Graph, constants: &Constants, node: NodeId, shapes: &mut ShapeCache) -> Option<Lowered> {
    match graph.op(node) {
        "Elu" | "Selu" | "Softplus" | "Softsign" => activations::find(graph, node).map(Lowered::Activation),
        "Neg" | "Square" | "Sqrt" | "Log1p" | "Expm1" | "SquaredDifference" | "Pow" => {
            arithmetic::find(graph, node, shapes).map(Lowered::Arithmetic)
        }
        "Cast" => arithmetic::find(graph, node, shapes)
            .map(Lowered::Arithmetic)
            .or_else(|| cast_constants::find(graph, constants, node).map(Lowered::CastConstant)),
        "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => {
            training_norm::find(graph, node).map(Lowered::Norm)
        }
        "NotEqual" => Some(Lowered::NotEqual([graph.data_input(node, 0)?, graph.data_input(node, 1)?])),
        "ConcatV2" => channels::find(graph, constants, node, shapes).map(Lowered::Channels),
        "BatchToSpaceND" => dilated::find(graph, constants, node, shapes).map(Lowered::Dilated),
        "Add" | "AddV2" | "Einsum" => einsum::find(graph, constants, node, shapes).map(Lowered::Dense),
        "OneHot" => one_hot::find(graph, node).map(Lowered::OneHot),
        "ExtractImagePatches" => patches::find(graph, node, shapes).map(Lowered::Patches),
        "Roll" => roll::find(graph, node, shapes).map(Lowered::Roll),
        "RealDiv" | "DivNoNan" => division::find(graph, constants, node, shapes).map(Lowered::Division),
        _ => None,
    }
}
