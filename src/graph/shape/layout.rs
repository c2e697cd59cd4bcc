//! Ops that give the same elements other axes.

use super::dims::{is_complete, of_rank, wrapped};
use super::{Dims, Inference};

/// The dimensions that are asked for; one that is open follows from the number of elements.
pub(super) fn reshape(at: &mut Inference<'_>) -> Option<Dims> {
    let to = at.elements(1)?;
    if to.iter().filter(|dim| dim.is_none()).count() != 1 {
        return Some(to);
    }
    let known: Option<i64> = to.iter().flatten().try_fold(1i64, |product, &dim| product.checked_mul(dim));
    let from = at.detail(0);
    let total = from.and_then(|dims| dims.into_iter().try_fold(1i64, |product, dim| product.checked_mul(dim?)));
    let rest = match (total, known) {
        (Some(total), Some(known)) if known > 0 && total % known == 0 => Some(total / known),
        _ => None,
    };
    Some(to.iter().map(|dim| dim.or(rest)).collect())
}

pub(super) fn broadcast_to(at: &mut Inference<'_>) -> Option<Dims> {
    at.elements(1)
}

pub(super) fn transpose(at: &mut Inference<'_>) -> Option<Dims> {
    let order = at.constant(1);
    let Some(dims) = at.input(0) else { return at.elements(1).map(|order| of_rank(order.len())) };
    let moved = |order: Vec<i64>| -> Option<Dims> {
        order.into_iter().map(|axis| wrapped(axis, dims.len()).map(|axis| dims[axis])).collect()
    };
    let moved = order.filter(|order| order.len() == dims.len()).and_then(moved);
    Some(moved.unwrap_or_else(|| of_rank(dims.len())))
}

pub(super) fn expand_dims(at: &mut Inference<'_>) -> Option<Dims> {
    let mut dims = at.input(0)?;
    let axis = at.constant_scalar(1)?;
    match wrapped(axis, dims.len() + 1) {
        Some(axis) => dims.insert(axis, Some(1)),
        None => dims = of_rank(dims.len() + 1),
    }
    Some(dims)
}

/// The axes of length 1 that are listed go, or all of them.
pub(super) fn squeeze(at: &mut Inference<'_>) -> Option<Dims> {
    let Some(axes) = at.ints("squeeze_dims").filter(|axes| !axes.is_empty()) else {
        let dims = at.dims(0).filter(|dims| is_complete(dims))?;
        return Some(dims.into_iter().filter(|&dim| dim != Some(1)).collect());
    };
    let dims = at.input(0)?;
    let axes: Vec<usize> = axes.into_iter().map(|axis| wrapped(axis, dims.len())).collect::<Option<_>>()?;
    Some(dims.into_iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, dim)| dim).collect())
}

/// A tensor of twice the axes, with the input on its diagonal.
pub(super) fn diagonal(at: &mut Inference<'_>) -> Option<Dims> {
    at.input(0).map(|dims| dims.repeat(2))
}
