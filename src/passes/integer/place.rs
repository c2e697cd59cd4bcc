//! Puts the fake quantizers of activations where [`super::points`] says, with ranges that whoever calls knows.

use hashbrown::HashMap;
use serde::Serialize;

use super::constants::evaluate;
use super::insert::{Range, quantize};
use super::masks;
use super::points::Points;
use crate::error::Result;
use crate::graph::{Graph, TensorRef};
use crate::interpreter::{Limits, Tensor};

/// The range of an activation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActivationRange {
    /// The tensor.
    pub tensor: String,
    /// The op that makes it.
    pub op: String,
    /// The fake quantizer.
    pub node: String,
    /// The lower end.
    pub min: f32,
    /// The upper end.
    pub max: f32,
    /// Whether other tensors have the same range because an op reads them together.
    pub shared: bool,
}

/// Bits of activations: what every target's kernels take.
pub(crate) const BITS: u8 = 8;
const LEVELS: f32 = 255.0;
/// The range of a tensor that was zero all along.
const OF_ZEROS: Range = Range { min: 0.0, max: 1.0 };

/// Puts them in. `of` is the range of a tensor alone, `None` if it holds nothing but zeros; all members of a group get the
/// union of theirs.
///
/// # Errors
/// Those of evaluating constants and of inserting nodes.
pub(crate) fn place(
    graph: &mut Graph,
    points: &Points,
    outputs: &[TensorRef],
    of: &dyn Fn(TensorRef) -> Option<Range>,
    limits: &Limits,
) -> Result<Vec<ActivationRange>> {
    let masked = masks::write(graph, &points.masks, of, limits)?;
    let is_read = |&(constant, _): &(TensorRef, usize)| graph.consumers(constant.node).next().is_some();
    let constants: Vec<(TensorRef, usize)> =
        points.constants.iter().copied().filter(is_read).chain(masked.numbers).collect();
    let of = |tensor| masked.ranges.get(&tensor).copied().or_else(|| of(tensor));
    let ranges = ranges(graph, points, &constants, &of, limits)?;
    let mut members: HashMap<usize, usize> = HashMap::new();
    let all = || points.tensors.iter().chain(&constants);
    all().for_each(|(_, group)| *members.entry(*group).or_default() += 1);
    let mut placed = Vec::new();
    for &(tensor, group) in all() {
        let range = ranges.get(&group).copied().unwrap_or(OF_ZEROS);
        let name = graph.tensor_name(tensor);
        let op = graph.op(tensor.node).to_owned();
        let node =
            quantize(graph, tensor, range, BITS, outputs.contains(&tensor), points.pivots.get(&tensor).copied())?;
        placed.push(ActivationRange {
            tensor: name,
            op,
            node: graph.name(node).to_owned(),
            min: range.min,
            max: range.max,
            shared: members.get(&group).is_some_and(|&members| members > 1),
        });
    }
    Ok(placed)
}

/// The range of each group of tensors: the union of what its members need.
fn ranges(
    graph: &Graph,
    points: &Points,
    constants: &[(TensorRef, usize)],
    of: &dyn Fn(TensorRef) -> Option<Range>,
    limits: &Limits,
) -> Result<HashMap<usize, Range>> {
    let mut ranges: HashMap<usize, Range> = HashMap::new();
    let mut widen = |group: usize, by: Range| {
        let range = ranges.entry(group).or_insert(by);
        *range = Range { min: range.min.min(by.min), max: range.max.max(by.max) };
    };
    for &(tensor, group) in &points.tensors {
        let range = of(tensor).unwrap_or(Range { min: 0.0, max: 0.0 });
        let [low, high] = points.clipped.get(&tensor).copied().unwrap_or([f32::NEG_INFINITY, f32::INFINITY]);
        widen(group, Range { min: range.min.max(low), max: range.max.min(high) });
    }
    let beside = || constants.iter().chain(&points.tables);
    let constants = evaluate(graph, beside().map(|&(tensor, _)| tensor), limits)?;
    for (tensor, group) in beside() {
        let values = constants.get(tensor).and_then(Tensor::values::<f32>).unwrap_or_default();
        for &value in values {
            widen(*group, Range { min: value.min(0.0), max: value.max(0.0) });
        }
    }
    // What moves by less than a level has the same levels: nothing is rounded on the way.
    for &(of, to, number) in &points.shifted {
        let (Some(&a), Some(&b)) = (ranges.get(&of), ranges.get(&to)) else { continue };
        let both = Range { min: a.min.min(b.min), max: a.max.max(b.max) };
        if number.abs() * LEVELS < both.max - both.min {
            ranges.insert(of, both);
            ranges.insert(to, both);
        }
    }
    for range in ranges.values_mut().filter(|range| range.min >= range.max) {
        *range = OF_ZEROS;
    }
    Ok(ranges)
}
