//! `Roll`, for which the converter has an op only in float: what comes first changes places with what comes last, axis by axis.

use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// How far a tensor is rolled, each axis at most once.
#[derive(Debug)]
pub(super) struct Roll {
    x: TensorRef,
    rank: usize,
    turns: Vec<Turn>,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    axis: i32,
    /// So many come first that do not afterwards.
    first: i32,
}

pub(super) fn find(graph: &Graph, node: NodeId, shapes: &mut ShapeCache) -> Option<Roll> {
    let x = graph.data_input(node, 0)?;
    let ints = |slot: usize| graph.data_input(node, slot).and_then(|tensor| graph.const_ints(tensor));
    let (shifts, places) = (ints(1)?, ints(2)?);
    let dims = graph.static_shape_with(x, shapes)?;
    let rank = i64::try_from(dims.len()).ok()?;
    let mut by_axis: Vec<(i64, i64)> = Vec::new();
    for (&shift, along) in shifts.iter().zip(places) {
        let axis = if along < 0 { along + rank } else { along };
        match by_axis.iter_mut().find(|(other, _)| *other == axis) {
            Some((_, all)) => *all = all.checked_add(shift)?,
            None => by_axis.push((axis, shift)),
        }
    }
    let mut turns = Vec::new();
    for (axis, shift) in by_axis {
        let size = (*dims.get(usize::try_from(axis).ok()?)?).filter(|&size| size > 0)?;
        let first = shift.checked_neg()?.rem_euclid(size);
        if first != 0 {
            turns.push(Turn { axis: i32::try_from(axis).ok()?, first: i32::try_from(first).ok()? });
        }
    }
    (!turns.is_empty()).then_some(Roll { x, rank: dims.len(), turns })
}

impl Roll {
    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        let mut x = self.x;
        for (index, &Turn { axis, first }) in self.turns.iter().enumerate() {
            let along = |number: i32, others: i32| -> Vec<i32> {
                (0..self.rank).map(|other| if i32::try_from(other) == Ok(axis) { number } else { others }).collect()
            };
            let last = slice(parts, &format!("last_{axis}"), x, &along(first, 0), &along(-1, -1))?;
            let head = slice(parts, &format!("first_{axis}"), x, &along(0, 0), &along(first, -1))?;
            let at = parts.constant(&format!("axis_{axis}"), &Value::Int32(axis))?;
            let mut attrs = Attrs::default();
            attrs.int("N", 2).data_type("T", DataType::DtFloat).data_type("Tidx", DataType::DtInt32);
            let name = if index + 1 == self.turns.len() { END.to_owned() } else { format!("rolled_{axis}") };
            x = parts.insert(&name, "ConcatV2", &[last, head, at], &attrs)?;
        }
        Ok(x)
    }
}

/// A part of a tensor; a size of -1 is all that is left.
fn slice(parts: &mut Parts<'_>, name: &str, x: TensorRef, begin: &[i32], size: &[i32]) -> Result<TensorRef> {
    let begin = parts.constant(&format!("{name}/begin"), &Value::Int32s(begin))?;
    let size = parts.constant(&format!("{name}/size"), &Value::Int32s(size))?;
    let mut attrs = Attrs::default();
    attrs.data_type("T", DataType::DtFloat).data_type("Index", DataType::DtInt32);
    parts.insert(name, "Slice", &[x, begin, size], &attrs)
}
