//! The fake quantizers: ranges that follow the tensor while training, and the op that rounds to them.
//!
//! `LastValueQuantize` and `MovingAvgQuantize` of `contrib/quantize/python/quant_ops.py`, for whole tensors: TensorFlow
//! 1.5's or 1.15's, as the builder's dialect says. [`crate::passes::quantize`] decides where they go.

use crate::collections::UPDATE_QUANT_OPS;
use crate::error::Result;
use crate::graph::attr::Tensor;
use crate::graph::{NodeId, TensorRef};
use crate::nodes::{Builder, Dialect, Variable};
use crate::proto::tensorflow::DataType;

/// How the range of a fake quantizer follows its tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum RangeUpdate {
    /// The minimum and maximum of the last value: for weights, which do not depend on the batch.
    LastValue,
    /// A moving average of the minimum and maximum, with this decay: for activations.
    MovingAverage {
        /// The share of the old average that stays at each step, between 0 and 1.
        decay: f64,
    },
}

/// A range that is a constant, to be filled in ([`crate::graph::Graph::set_inserted_attrs`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConstantRange {
    /// One for the whole tensor.
    Whole,
    /// One for each channel, along the last axis.
    PerChannel,
    /// One for each channel of a depthwise convolution's weights of these dimensions.
    Depthwise([i32; 4]),
}

/// A fake quantizer to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FakeQuant<'a> {
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
    /// Whether the range's ends are kept at the same distance from zero.
    pub symmetric: bool,
    /// The collection that the range variables enter beside the standard ones.
    pub vars_collection: &'a str,
    /// Constants in place of range variables.
    pub constant: Option<ConstantRange>,
}

/// The nodes of a new fake quantizer that others need to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantized {
    /// The fake-quantized tensor.
    pub output: TensorRef,
    /// The FakeQuant node, in front of what may stand between it and the output.
    pub node: NodeId,
    /// The variables, or constants, that hold the range's ends.
    pub range: [NodeId; 2],
    /// The ops that update the ends; absent in an eval graph.
    pub updates: Option<[NodeId; 2]>,
}

impl FakeQuant<'_> {
    /// Adds the fake quantizer's nodes. In TensorFlow 1.5 the update ops enter the `update_quant_ops` collection.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Refused`] if a range variable of that name was made before.
    pub(crate) fn insert(&self, builder: &mut Builder<'_>) -> Result<Quantized> {
        match builder.stamp(self)? {
            Some(quantized) => Ok(quantized),
            None => self.insert_nodes(builder),
        }
    }

    /// Adds the nodes one by one.
    pub(super) fn insert_nodes(&self, builder: &mut Builder<'_>) -> Result<Quantized> {
        match builder.dialect {
            Dialect::V1_5 => builder.name_scope(self.scope, |b| self.insert_in(b, self.scope)),
            Dialect::V1_15 => builder.variable_scope(self.scope, |b, scope| self.insert_in(b, scope)),
        }
    }

    fn insert_in(&self, b: &mut Builder<'_>, variable_scope: &str) -> Result<Quantized> {
        if let Some(constant) = self.constant {
            return self.insert_constant(b, constant);
        }
        let (initial_min, initial_max) = self.initial_range;
        let min = b.model_variable(&format!("{variable_scope}/min"), initial_min, self.vars_collection)?;
        let max = b.model_variable(&format!("{variable_scope}/max"), initial_max, self.vars_collection)?;
        let updates = if self.is_training {
            let [new_min, new_max] = self.new_range(b)?;
            let min = self.update(b, &End::MIN, variable_scope, &min, new_min)?;
            let max = self.update(b, &End::MAX, variable_scope, &max, new_max)?;
            Some([min, max])
        } else {
            None
        };
        let [min_update, max_update] = updates.map_or([None; 2], |updates| updates.map(Some));
        let ends = [(&min, min_update), (&max, max_update)];
        let output = b.fake_quant_with_min_max_vars(self.input, ends, self.bits, self.narrow_range)?;
        Ok(Quantized { output, node: output.node, range: [min.node, max.node], updates })
    }

    fn insert_constant(&self, b: &mut Builder<'_>, constant: ConstantRange) -> Result<Quantized> {
        let (min, max) = self.initial_range;
        let min = b.constant("min", Tensor::Float(min))?;
        let max = b.constant("max", Tensor::Float(max))?;
        let (bits, narrow) = (self.bits, self.narrow_range);
        let range = [min.node, max.node];
        let quantized = match constant {
            ConstantRange::Whole => b.fake_quant_of_constants([self.input, min, max], bits, narrow)?,
            ConstantRange::PerChannel => b.fake_quant_per_channel([self.input, min, max], bits, narrow)?,
            ConstantRange::Depthwise([height, width, channels, multiplier]) => {
                let flat = [height, width, 1, channels.saturating_mul(multiplier)];
                let flat = b.reshape("flat", self.input, &flat, DataType::DtFloat as i32)?;
                b.fake_quant_per_channel([flat, min, max], bits, narrow)?
            }
        };
        let output = match constant {
            ConstantRange::Depthwise(dims) => b.reshape("shaped", quantized, &dims, DataType::DtFloat as i32)?,
            _ => quantized,
        };
        Ok(Quantized { output, node: quantized.node, range, updates: None })
    }

    /// The range of the batch, with zero always inside.
    fn new_range(&self, b: &mut Builder<'_>) -> Result<[TensorRef; 2]> {
        let min = b.reduce_all(End::MIN.reduction, End::MIN.batch_extreme, self.input, self.rank)?;
        let max = b.reduce_all(End::MAX.reduction, End::MAX.batch_extreme, self.input, self.rank)?;
        if !self.symmetric {
            let zero = Tensor::Float(0.0);
            let min = b.binary_with_y(End::MIN.widen, End::MIN.widen, min, zero)?;
            return Ok([min, b.binary_with_y(End::MAX.widen, End::MAX.widen, max, zero)?]);
        }
        let ratio = Tensor::Float(self.min_max_ratio());
        let mirrored = b.binary_with_y("RealDiv", "truediv", max, ratio)?;
        let low = b.binary(End::MIN.widen, End::MIN.widen, min, mirrored)?;
        let mirrored = b.binary_with_y("Mul", "mul", min, ratio)?;
        Ok([low, b.binary(End::MAX.widen, End::MAX.widen, max, mirrored)?])
    }

    /// The largest value over the lowest of a symmetric range. In two's complement there is one more negative level.
    fn min_max_ratio(&self) -> f32 {
        if self.narrow_range {
            return -1.0;
        }
        let levels = f32::from(1u16 << self.bits);
        -(levels - 2.0) / levels
    }

    /// Moves one end of the range towards the batch's.
    fn update(
        &self,
        b: &mut Builder<'_>,
        end: &End,
        variable_scope: &str,
        variable: &Variable,
        value: TensorRef,
    ) -> Result<NodeId> {
        let update = match self.update {
            RangeUpdate::LastValue => b.assign_last(end.assign_last, variable, value)?,
            RangeUpdate::MovingAverage { decay } => {
                b.assign_moving_average(end.assign_ema, variable_scope, variable, value, decay)?
            }
        };
        if b.dialect == Dialect::V1_5 {
            b.collections.add_op(b.graph, UPDATE_QUANT_OPS, update);
        }
        Ok(update)
    }
}

/// What the two ends of a range call their nodes.
struct End {
    reduction: &'static str,
    batch_extreme: &'static str,
    widen: &'static str,
    assign_last: &'static str,
    assign_ema: &'static str,
}

impl End {
    const MIN: Self = Self {
        reduction: "Min",
        batch_extreme: "BatchMin",
        widen: "Minimum",
        assign_last: "AssignMinLast",
        assign_ema: "AssignMinEma",
    };
    const MAX: Self = Self {
        reduction: "Max",
        batch_extreme: "BatchMax",
        widen: "Maximum",
        assign_last: "AssignMaxLast",
        assign_ema: "AssignMaxEma",
    };
}
