//! Activations that TensorFlow's converter takes apart, whose parts it leaves in float, or which it does not know.

use super::super::parts::{END, Parts};
use super::division::divide_by_positive;
use crate::error::Result;
use crate::graph::{Graph, NodeId, TensorRef};

/// As TensorFlow has them (`core/kernels/relu_op_functor.h`).
const SELU_SCALE: f32 = 1.050_701;
const SELU_SCALE_ALPHA: f32 = 1.758_099_3;

/// One of them, and what it reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activation {
    kind: Kind,
    x: TensorRef,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Elu,
    Selu,
    Softplus,
    Softsign,
}

pub(super) fn find(graph: &Graph, node: NodeId) -> Option<Activation> {
    let kind = match graph.op(node) {
        "Elu" => Kind::Elu,
        "Selu" => Kind::Selu,
        "Softplus" => Kind::Softplus,
        "Softsign" => Kind::Softsign,
        _ => return None,
    };
    Some(Activation { kind, x: graph.data_input(node, 0)? })
}

impl Activation {
    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        let x = self.x;
        match self.kind {
            // relu(x) + (exp(min(x, 0)) - 1)
            Kind::Elu => {
                let exp = exp_below_zero(parts, x)?;
                let below = parts.with("below", "Sub", exp, 1.0)?;
                let above = parts.unary("above", "Relu", x)?;
                parts.binary(END, "AddV2", above, below)
            }
            // s · relu(x) + (sα · exp(min(x, 0)) - sα)
            Kind::Selu => {
                let exp = exp_below_zero(parts, x)?;
                let scaled = parts.with("scaled", "Mul", exp, SELU_SCALE_ALPHA)?;
                let below = parts.with("below", "Sub", scaled, SELU_SCALE_ALPHA)?;
                let relu = parts.unary("relu", "Relu", x)?;
                let above = parts.with("above", "Mul", relu, SELU_SCALE)?;
                parts.binary(END, "AddV2", above, below)
            }
            // relu(x) - log(sigmoid(|x|)): of log(1 + exp(x)) eight bits of exp(x) leave nothing where x is small.
            Kind::Softplus => {
                let size = parts.unary("size", "Abs", x)?;
                let sigmoid = parts.unary("sigmoid", "Sigmoid", size)?;
                let log = parts.unary("log", "Log", sigmoid)?;
                let relu = parts.unary("relu", "Relu", x)?;
                parts.binary(END, "Sub", relu, log)
            }
            // x / (1 + |x|)
            Kind::Softsign => {
                let size = parts.unary("size", "Abs", x)?;
                let sum = parts.with("sum", "AddV2", size, 1.0)?;
                divide_by_positive(parts, x, sum)
            }
        }
    }
}

fn exp_below_zero(parts: &mut Parts<'_>, x: TensorRef) -> Result<TensorRef> {
    let low = parts.with("low", "Minimum", x, 0.0)?;
    parts.unary("exp", "Exp", low)
}
