//! Ops that say their shape themselves, or make a tensor of a shape that they read.

use super::dims::{from_proto, of_rank};
use super::{Aspect, Dims, Inference};

pub(super) fn constant(at: &mut Inference<'_>) -> Option<Dims> {
    from_proto(&at.graph.attr_tensor(at.node(), "value")?.tensor_shape.unwrap_or_default())
}

/// Variables and placeholders.
pub(super) fn declared(at: &mut Inference<'_>) -> Option<Dims> {
    from_proto(&at.graph.attr_shape(at.node(), "shape")?)
}

/// The first kinds of variable and placeholder cannot tell a scalar from an unknown shape.
pub(super) fn declared_unless_scalar(at: &mut Inference<'_>) -> Option<Dims> {
    declared(at).filter(|dims| !dims.is_empty())
}

pub(super) fn scalar(_: &mut Inference<'_>) -> Option<Dims> {
    Some(Vec::new())
}

/// Shape and ShapeN: as many elements as the input has axes.
pub(super) fn shape(at: &mut Inference<'_>) -> Option<Dims> {
    let rank = at.detail(at.port()).and_then(|dims| i64::try_from(dims.len()).ok());
    Some(vec![rank])
}

pub(super) fn range(at: &mut Inference<'_>) -> Option<Dims> {
    let count = || {
        let [start, limit, delta] = [0, 1, 2].map(|index| at.constant_scalar(index));
        let (way, step) = (limit?.checked_sub(start?)?, delta?);
        if step == 0 {
            return None;
        }
        let (whole, rest) = (way.checked_div(step)?, way.checked_rem(step)?);
        Some(whole.checked_add(i64::from(rest != 0))?.max(0))
    };
    Some(vec![count()])
}

/// Fill and random numbers: the shape is the first input.
pub(super) fn of_first_vector(at: &mut Inference<'_>) -> Option<Dims> {
    at.elements(0)
}

/// What is read of a variable behind a resource.
pub(super) fn read_variable(at: &mut Inference<'_>) -> Option<Dims> {
    at.ask(Aspect::Variable, 0)
}

/// Assign gives its value, which must have the variable's shape if that is checked.
pub(super) fn assign(at: &mut Inference<'_>) -> Option<Dims> {
    if at.bool("validate_shape") == Some(false) { at.input(1) } else { super::elementwise::merge(at) }
}

pub(super) fn one_hot(at: &mut Inference<'_>) -> Option<Dims> {
    let mut dims = at.input(0)?;
    let depth = at.constant_scalar(1).filter(|&depth| depth >= 0);
    let axis = match at.int("axis").unwrap_or(-1) {
        -1 => Some(dims.len()),
        axis => usize::try_from(axis).ok().filter(|&axis| axis <= dims.len()),
    };
    let Some(axis) = axis else { return Some(of_rank(dims.len() + 1)) };
    dims.insert(axis, depth);
    Some(dims)
}

impl Inference<'_> {
    /// The dimensions of the variable that a resource stands for.
    pub(super) fn variable(&mut self) -> Option<Dims> {
        match self.op() {
            "VarHandleOp" => declared(self),
            "Identity" | "Enter" | "Switch" => self.ask(Aspect::Variable, 0),
            _ => None,
        }
    }
}
