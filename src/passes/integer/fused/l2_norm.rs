//! Vectors brought to length one along the last axis, which TensorFlow's converter makes one op of if nothing inside has a
//! range: `x · rsqrt(max(sum(x²), ε))` and `x / sqrt(sum(x²) + ε)`, also without ε.

use super::numbers::beside_number;
use crate::graph::op_class::canonical_op;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef, only};

/// Larger is no small number to the converter.
const SMALL: f32 = 1e-3;

/// One of them.
#[derive(Debug)]
pub(super) struct L2Norm {
    pub inside: Vec<NodeId>,
    pub end: NodeId,
}

/// The one that a Square is part of.
pub(super) fn around(graph: &Graph, square: NodeId, shapes: &mut ShapeCache) -> Option<L2Norm> {
    let x = graph.data_input(square, 0)?;
    let sum = only(graph.consumers(square)).filter(|&node| graph.op(node) == "Sum")?;
    is_along_last_axis(graph, sum, shapes).then_some(())?;
    let mut inside = vec![square, sum];
    let mut last = only(graph.consumers(sum))?;
    let bounded = beside_number(graph, last, "Maximum").or_else(|| beside_number(graph, last, "Add"));
    if let Some((read, number)) = bounded {
        (read == sum.into() && number.abs() < SMALL).then_some(())?;
        inside.push(last);
        last = only(graph.consumers(last))?;
    }
    inside.push(last);
    let end = only(graph.consumers(last))?;
    let inputs: Vec<TensorRef> = graph.data_inputs(end).collect();
    let of_root = TensorRef::from(last);
    let is_one = match (graph.op(last), canonical_op(graph.op(end))) {
        ("Rsqrt", "Mul") => inputs == [x, of_root] || inputs == [of_root, x],
        ("Sqrt", "RealDiv") => inputs == [x, of_root],
        _ => false,
    };
    is_one.then_some(L2Norm { inside, end })
}

/// Whether a Sum goes along the last axis, and no other.
pub(crate) fn is_along_last_axis(graph: &Graph, sum: NodeId, shapes: &mut ShapeCache) -> bool {
    let along = graph.data_input(sum, 1).and_then(|axes| graph.const_ints(axes));
    let rank = graph
        .data_input(sum, 0)
        .and_then(|input| graph.rank_with(input, shapes))
        .and_then(|rank| i64::try_from(rank).ok());
    matches!(along.as_deref(), Some(&[axis]) if axis == -1 || rank == Some(axis + 1))
}
