//! Neg, Square, and powers of two and three, as products; roots, and logarithms and powers that one is added to or taken from,
//! by those that have kernels; squared differences of more than four dimensions, which the
//! converter takes apart itself and leaves in float; truths cast to numbers, as what is chosen by them.

use super::super::kernels::MOST_DIMENSIONS;
use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// What a root is drawn from at least: zero has no logarithm.
const LEAST: f32 = 1e-10;

/// What is computed, and of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arithmetic {
    kind: Kind,
    x: TensorRef,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Neg,
    Square,
    Cube,
    Sqrt,
    Log1p,
    Expm1,
    /// One where it is true, zero elsewhere.
    Truth,
    /// Minus this one, squared.
    Difference(TensorRef),
}

#[allow(clippy::float_cmp)] // the number stands in the graph as it is
pub(super) fn find(graph: &Graph, node: NodeId, shapes: &mut ShapeCache) -> Option<Arithmetic> {
    let kind = match graph.op(node) {
        "Neg" => Kind::Neg,
        "Square" => Kind::Square,
        "Sqrt" => Kind::Sqrt,
        "Log1p" => Kind::Log1p,
        "Expm1" => Kind::Expm1,
        "Cast" => {
            let from = graph.attr_type(node, "SrcT").and_then(|from| DataType::try_from(from).ok());
            (from == Some(DataType::DtBool)).then_some(Kind::Truth)?
        }
        "SquaredDifference" => {
            let is_large = graph.rank_with(node.into(), shapes).is_some_and(|rank| rank > MOST_DIMENSIONS);
            Kind::Difference(graph.data_input(node, 1).filter(|_| is_large)?)
        }
        "Pow" => match graph.data_input(node, 1).and_then(|power| graph.const_float(power)) {
            Some(2.0) => Kind::Square,
            Some(3.0) => Kind::Cube,
            _ => return None,
        },
        _ => return None,
    };
    Some(Arithmetic { kind, x: graph.data_input(node, 0)? })
}

impl Arithmetic {
    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        let x = self.x;
        match self.kind {
            Kind::Neg => parts.with(END, "Mul", x, -1.0),
            Kind::Square => parts.binary(END, "Mul", x, x),
            Kind::Truth => {
                let one = parts.constant("one", &Value::Float(1.0))?;
                let zero = parts.constant("zero", &Value::Float(0.0))?;
                parts.choose(END, x, one, zero)
            }
            Kind::Difference(y) => {
                let difference = parts.binary("difference", "Sub", x, y)?;
                parts.binary(END, "Mul", difference, difference)
            }
            // exp(log(x) / 2): eight bits of the logarithm tell small numbers apart, which those of 1 / sqrt(x) do not.
            Kind::Sqrt => {
                let above = parts.with("above", "Maximum", x, LEAST)?;
                let log = parts.unary("log", "Log", above)?;
                let half = parts.with("half", "Mul", log, 0.5)?;
                parts.unary(END, "Exp", half)
            }
            Kind::Log1p => {
                let more = parts.with("more", "AddV2", x, 1.0)?;
                parts.unary(END, "Log", more)
            }
            Kind::Expm1 => {
                let exp = parts.unary("exp", "Exp", x)?;
                parts.with(END, "Sub", exp, 1.0)
            }
            Kind::Cube => {
                let square = parts.binary("square", "Mul", x, x)?;
                parts.binary(END, "Mul", square, x)
            }
        }
    }
}
