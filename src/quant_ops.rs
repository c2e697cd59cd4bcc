//! The fake quantizers: ranges that follow the tensor while training, and the op that rounds to them.
//!
//! `LastValueQuantize` and `MovingAvgQuantize` of TensorFlow 1.5's `contrib/quantize/python/quant_ops.py`, for whole
//! tensors. [`crate::passes::quantize`] decides where they go.

use crate::build::{Builder, Variable};
use crate::collections::UPDATE_QUANT_OPS;
use crate::error::Result;
use crate::graph::attr::Tensor;
use crate::graph::{NodeId, TensorRef};

/// How the range of a fake quantizer follows its tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RangeUpdate {
    /// The minimum and maximum of the last value: for weights, which do not depend on the batch.
    LastValue,
    /// A moving average of the minimum and maximum, with this decay: for activations.
    MovingAverage {
        /// The share of the old average that stays at each step, between 0 and 1.
        decay: f64,
    },
}

/// A fake quantizer to be made.
#[derive(Debug, Clone, Copy)]
pub struct FakeQuant<'a> {
    /// The name and variable scope of its nodes.
    pub scope: &'a str,
    /// The float tensor to quantize.
    pub input: TensorRef,
    /// The tensor's number of axes, where known.
    pub rank: Option<usize>,
    /// The range's ends before the first update.
    pub initial_range: (f32, f32),
    /// How the range follows the tensor.
    pub update: RangeUpdate,
    /// Whether the graph trains: only then the range is updated.
    pub is_training: bool,
    /// 2 to 8.
    pub bits: u8,
    /// Whether the lowest of the 2^bits levels stays unused.
    pub narrow_range: bool,
    /// The collection that the range variables enter beside the standard ones.
    pub vars_collection: &'a str,
}

/// The nodes of a new fake quantizer that others need to know.
#[derive(Debug, Clone, Copy)]
pub struct Quantized {
    /// The fake-quantized tensor.
    pub output: TensorRef,
    /// The variables that hold the range's ends.
    pub range: [Variable; 2],
    /// The ops that update the ends; absent in an eval graph.
    pub updates: Option<[NodeId; 2]>,
}

impl FakeQuant<'_> {
    /// Adds the fake quantizer's nodes. The update ops enter the `update_quant_ops` collection.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Refused`] if a range variable of that name was made before.
    pub fn insert(&self, builder: &mut Builder<'_>) -> Result<Quantized> {
        builder.name_scope(self.scope, |b| {
            let (initial_min, initial_max) = self.initial_range;
            let min = b.model_variable(&format!("{}/min", self.scope), initial_min, self.vars_collection)?;
            let max = b.model_variable(&format!("{}/max", self.scope), initial_max, self.vars_collection)?;
            let range = [min, max];
            let (ends, updates) = if self.is_training {
                let min = self.range_end(b, &End::MIN, &min)?;
                let max = self.range_end(b, &End::MAX, &max)?;
                ([min.into(), max.into()], Some([min, max]))
            } else {
                ([min.read, max.read], None)
            };
            let output =
                b.fake_quant_with_min_max_vars([self.input, ends[0], ends[1]], self.bits, self.narrow_range)?;
            Ok(Quantized { output, range, updates })
        })
    }

    /// The update of one end of the range: towards the batch's extreme, with zero always inside the range.
    fn range_end(&self, b: &mut Builder<'_>, end: &End, variable: &Variable) -> Result<NodeId> {
        let extreme = b.reduce_all(end.reduction, end.batch_extreme, self.input, self.rank)?;
        let extreme = b.binary_with_y(end.with_zero, end.with_zero, extreme, Tensor::Float(0.0))?;
        let update = match self.update {
            RangeUpdate::LastValue => b.assign_last(end.assign_last, variable, extreme)?,
            RangeUpdate::MovingAverage { decay } => {
                b.assign_moving_average(end.assign_ema, self.scope, variable, extreme, decay)?
            }
        };
        b.collections.add_op(b.graph, UPDATE_QUANT_OPS, update);
        Ok(update)
    }
}

/// What the two ends of a range call their nodes.
struct End {
    reduction: &'static str,
    batch_extreme: &'static str,
    with_zero: &'static str,
    assign_last: &'static str,
    assign_ema: &'static str,
}

impl End {
    const MIN: Self = Self {
        reduction: "Min",
        batch_extreme: "BatchMin",
        with_zero: "Minimum",
        assign_last: "AssignMinLast",
        assign_ema: "AssignMinEma",
    };
    const MAX: Self = Self {
        reduction: "Max",
        batch_extreme: "BatchMax",
        with_zero: "Maximum",
        assign_last: "AssignMaxLast",
        assign_ema: "AssignMaxEma",
    };
}
