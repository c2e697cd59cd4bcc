//! Quotients whose divisor is positive whatever is fed: 2.15 has no integer kernel for them, and that of 2.21 fails where a
//! divisor comes to lie on the level 0. So has a `DivNoNan`, by constants too.
//!
//! `x / sqrt(y)` becomes `x · rsqrt(y)`, `exp(x) / sum(exp(x))` along the last axis `softmax(x)`, and any other `x / y`
//! `x · exp(-log(y))`; `div_no_nan(x, c)` becomes `x · div_no_nan(1, c)`.

use super::super::constants::Constants;
use super::super::fused::is_along_last_axis;
use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::op_class::canonical_op;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef};

/// So deep is looked for what makes a number positive.
const MOST_STEPS: usize = 6;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Division {
    x: TensorRef,
    by: By,
}

#[derive(Debug, Clone, Copy)]
enum By {
    /// The root of that.
    Root(TensorRef),
    Positive(TensorRef),
    /// Zero where that constant is.
    Constant(TensorRef),
    /// What is divided is the exponential of that, by the sum of all along the last axis.
    SumOfExponentials(TensorRef),
}

pub(super) fn find(graph: &Graph, constants: &Constants, node: NodeId, shapes: &mut ShapeCache) -> Option<Division> {
    let (x, divisor) = (graph.data_input(node, 0)?, graph.data_input(node, 1)?);
    if constants.contain(divisor.node) {
        return (graph.op(node) == "DivNoNan").then_some(Division { x, by: By::Constant(divisor) });
    }
    let is_softmax = graph.op(x.node) == "Exp"
        && graph.op(divisor.node) == "Sum"
        && graph.data_input(divisor.node, 0) == Some(x)
        && graph.attr_bool(divisor.node, "keep_dims") == Some(true)
        && is_along_last_axis(graph, divisor.node, shapes);
    let by = if is_softmax {
        By::SumOfExponentials(graph.data_input(x.node, 0)?)
    } else if graph.op(divisor.node) == "Sqrt" {
        By::Root(graph.data_input(divisor.node, 0)?)
    } else {
        is_positive(graph, divisor, MOST_STEPS).then_some(By::Positive(divisor))?
    };
    Some(Division { x, by })
}

/// Whether all elements are larger than zero, by how they are computed.
fn is_positive(graph: &Graph, tensor: TensorRef, steps: usize) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let mut inputs = graph.data_inputs(tensor.node);
    let positive = |tensor: TensorRef| is_positive(graph, tensor, steps);
    match canonical_op(graph.op(tensor.node)) {
        "Const" => graph.const_float(tensor).is_some_and(|number| number > 0.0),
        "Exp" | "Sigmoid" | "Softplus" => true,
        "Add" => {
            let operands: Vec<TensorRef> = inputs.collect();
            operands.iter().copied().any(positive)
                && operands.into_iter().all(|operand| is_not_negative(graph, operand, steps))
        }
        "Maximum" => inputs.any(positive),
        "Mul" => inputs.all(positive),
        "Sum" | "Mean" | "Max" | "Min" | "Identity" | "Reshape" | "ExpandDims" | "Squeeze" => {
            inputs.next().is_some_and(positive)
        }
        _ => false,
    }
}

fn is_not_negative(graph: &Graph, tensor: TensorRef, steps: usize) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let mut inputs = graph.data_inputs(tensor.node);
    let not_negative = |tensor: TensorRef| is_not_negative(graph, tensor, steps);
    is_positive(graph, tensor, steps)
        || match canonical_op(graph.op(tensor.node)) {
            "Const" => graph.const_float(tensor).is_some_and(|number| number >= 0.0),
            "Abs" | "Relu" | "Relu6" | "Square" | "SquaredDifference" | "Sqrt" | "Softmax" => true,
            "Mul" => graph.data_input(tensor.node, 0) == graph.data_input(tensor.node, 1) || inputs.all(not_negative),
            "Add" => inputs.all(not_negative),
            "Sum" | "Mean" | "Max" | "Min" | "Identity" | "Reshape" | "ExpandDims" | "Squeeze" => {
                inputs.next().is_some_and(not_negative)
            }
            _ => false,
        }
}

impl Division {
    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        match self.by {
            By::Root(of) => {
                let root = parts.unary("root", "Rsqrt", of)?;
                parts.binary(END, "Mul", self.x, root)
            }
            By::SumOfExponentials(of) => parts.unary(END, "Softmax", of),
            By::Positive(divisor) => divide_by_positive(parts, self.x, divisor),
            By::Constant(divisor) => {
                let one = parts.constant("reciprocal", &Value::Float(1.0))?;
                let reciprocal = parts.binary("reciprocal", "DivNoNan", one, divisor)?;
                parts.binary(END, "Mul", self.x, reciprocal)
            }
        }
    }
}

/// `x · exp(-log(y))`, as the end.
pub(super) fn divide_by_positive(parts: &mut Parts<'_>, x: TensorRef, y: TensorRef) -> Result<TensorRef> {
    let log = parts.unary("log", "Log", y)?;
    let negated = parts.with("negated", "Mul", log, -1.0)?;
    let reciprocal = parts.unary("reciprocal", "Exp", negated)?;
    parts.binary(END, "Mul", x, reciprocal)
}
