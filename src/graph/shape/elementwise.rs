//! Ops that work element by element, and those that hand on what they read.

use super::dims::{agreed, broadcast, merged, of_rank};
use super::{Dims, Inference};

/// The shape of the first input.
pub(super) fn same(at: &mut Inference<'_>) -> Option<Dims> {
    at.input(0)
}

/// The shape of the input of the output's number.
pub(super) fn each_same(at: &mut Inference<'_>) -> Option<Dims> {
    at.input(at.port())
}

/// What goes around a loop may change its shape, unless it is constant there.
pub(super) fn enter(at: &mut Inference<'_>) -> Option<Dims> {
    if at.bool("is_constant") == Some(true) { at.input(0) } else { None }
}

/// The bias has as many elements as its input has channels.
pub(super) fn bias_add(at: &mut Inference<'_>) -> Option<Dims> {
    let mut dims = at.input(0)?;
    let is_first = at.graph.attr_str(at.node(), "data_format").is_some_and(|format| format.starts_with("NC"));
    let channel = if is_first { 1 } else { dims.len().wrapping_sub(1) };
    if let Some([channels]) = at.detail(1).as_deref()
        && let Some(dim) = dims.get_mut(channel)
    {
        *dim = dim.or(*channels);
    }
    Some(dims)
}

/// Two inputs, broadcast.
pub(super) fn binary(at: &mut Inference<'_>) -> Option<Dims> {
    let (x, y) = (at.input(0), at.input(1));
    Some(broadcast_or_rank(&x?, &y?))
}

/// As [`binary`], but inputs that do not go together may be unequal as a whole instead of an error: nothing is known
/// where they might not.
pub(super) fn equality(at: &mut Inference<'_>) -> Option<Dims> {
    if at.bool("incompatible_shape_error") != Some(false) {
        return binary(at);
    }
    let (x, y) = (at.dims(0), at.dims(1));
    let (x, y) = (x?, y?);
    let may_differ = |(x, y): (&Option<i64>, &Option<i64>)| match (x, y) {
        (None, known) | (known, None) => known.is_some_and(|dim| dim != 1),
        _ => false,
    };
    if x.iter().rev().zip(y.iter().rev()).any(may_differ) { None } else { broadcast(&x, &y).ok() }
}

/// A condition and two choices, broadcast.
pub(super) fn select(at: &mut Inference<'_>) -> Option<Dims> {
    let (condition, x, y) = (at.input(0), at.input(1), at.input(2));
    Some(broadcast_or_rank(&broadcast_or_rank(&x?, &y?), &condition?))
}

/// Two choices of the same shape.
pub(super) fn select_same(at: &mut Inference<'_>) -> Option<Dims> {
    let (x, y) = (at.input(1), at.input(2));
    merged(x, y)
}

/// All inputs have the same shape.
pub(super) fn merge(at: &mut Inference<'_>) -> Option<Dims> {
    at.inputs(0..usize::MAX).into_iter().fold(None, merged)
}

/// Merge: what all inputs have in common, and which of them came.
pub(super) fn any_of(at: &mut Inference<'_>) -> Option<Dims> {
    if at.port() == 0 { agreed(at.inputs(0..usize::MAX)) } else { Some(Vec::new()) }
}

/// The shape of operands of these shapes; of such as do not go together, only the rank.
pub(super) fn broadcast_or_rank(x: &[Option<i64>], y: &[Option<i64>]) -> Dims {
    broadcast(x, y).unwrap_or_else(|_| of_rank(x.len().max(y.len())))
}
