//! Neg, Square, and powers of two and three, as products; squared differences of more than four dimensions, which the
//! converter takes apart itself and leaves in float; truths cast to numbers, as what is chosen by them.

use super::super::kernels::MOST_DIMENSIONS;
use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

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
            Kind::Cube => {
                let square = parts.binary("square", "Mul", x, x)?;
                parts.binary(END, "Mul", square, x)
            }
        }
    }
}
