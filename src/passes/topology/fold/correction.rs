//! The correction of a folded layer whose batch norm normalises by the batch.
//!
//! The weights are scaled by the standard deviation of the moving averages; what the layer yields is scaled back to that
//! of the batch, and once the averages are frozen it is shifted instead. TensorFlow 1.15's `_ComputeBatchNormCorrections`.

use super::shapes::FoldShapes;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::attr::Tensor;
use crate::graph::{NodeId, TensorRef};
use crate::nodes::{Branch, Builder};
use crate::passes::decisions::{FoldOutcome, Refusal};

/// What keeps the variance from being zero.
#[derive(Debug, Clone, Copy)]
pub(super) enum Epsilon {
    Number(f32),
    Tensor(TensorRef),
}

/// The tensors of a batch norm that its correction is computed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statistics {
    pub gamma: TensorRef,
    pub mean: TensorRef,
    pub variance: TensorRef,
    pub moving_mean: TensorRef,
    pub moving_variance: TensorRef,
    /// One minus the decay of the moving mean, and of the moving variance.
    pub decays: [TensorRef; 2],
    pub epsilon: Epsilon,
}

/// What a folded layer is corrected by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Correction {
    /// Multiplies the weights.
    pub scale: TensorRef,
    /// Multiplies what the layer yields.
    pub reciprocal: TensorRef,
    /// Is added to that.
    pub offset: TensorRef,
}

/// When the moving averages are used instead of the batch's statistics.
#[derive(Clone, Copy)]
enum Frozen {
    Never,
    When(TensorRef),
}

impl Epsilon {
    /// `variance + epsilon`, named `add`.
    fn add_to(self, b: &mut Builder<'_>, variance: TensorRef) -> Result<TensorRef> {
        match self {
            Self::Number(epsilon) => b.binary_with_y("AddV2", "add", variance, Tensor::Float(epsilon)),
            Self::Tensor(epsilon) => b.binary("AddV2", "add", variance, epsilon),
        }
    }

    /// One over the standard deviation: `Rsqrt` of `add`.
    pub(super) fn reciprocal_deviation(self, b: &mut Builder<'_>, variance: TensorRef) -> Result<TensorRef> {
        let variance = self.add_to(b, variance)?;
        b.unary("Rsqrt", "Rsqrt", variance)
    }
}

impl Statistics {
    /// What could go wrong with [`Statistics::correct`], found out before anything is inserted.
    pub(super) fn check(&self, b: &Builder<'_>, shapes: &mut FoldShapes, at: NodeId) -> Result<(), Refusal> {
        shapes.constant_shape(b.graph, self.moving_variance, at)?;
        shapes.check_broadcast(b, self.moving_variance, self.moving_mean, at)
    }

    /// Adds the correction's nodes in the scope `name`, made unique. `at` is the node to name where that fails.
    pub(super) fn correct(
        &self,
        b: &mut Builder<'_>,
        shapes: &mut FoldShapes,
        name: &str,
        freeze_delay: Option<i64>,
        at: NodeId,
    ) -> Result<Correction> {
        b.name_scope(name, |b| {
            let moving = self.epsilon.reciprocal_deviation(b, self.moving_variance)?;
            let batch = self.epsilon.reciprocal_deviation(b, self.variance)?;
            let scale = b.binary("RealDiv", "scale_compute", moving, batch)?;
            let scale = b.unary("Identity", "correction_scale", scale)?;
            let reciprocal = b.unary("Reciprocal", "reciprocal_compute", scale)?;
            let batch_mean = b.binary("Mul", "mul", self.mean, batch)?;
            let moving_mean = b.binary("Mul", "mul", self.moving_mean, moving)?;
            let difference = b.binary("Sub", "sub", batch_mean, moving_mean)?;
            let offset = b.binary("Mul", "offset_compute", self.gamma, difference)?;
            let constant_shape = |b: &Builder<'_>, shapes: &mut FoldShapes, tensor| {
                shapes.constant_shape(b.graph, tensor, at).map_err(|refusal| refusal.error)
            };
            let offset_shape = constant_shape(b, shapes, offset)?;
            match frozen(b, freeze_delay, at)? {
                Frozen::Never => {
                    let offset = b.filled("zeros", 0.0, &offset_shape)?;
                    Ok(Correction { scale, reciprocal, offset })
                }
                Frozen::When(frozen) => {
                    for (decay, name) in self.decays.into_iter().zip(["freeze_moving_mean", "freeze_moving_var"]) {
                        freeze(b, frozen, decay, name)?;
                    }
                    let scale_shape = constant_shape(b, shapes, scale)?;
                    let ones = Branch::Filled("ones", 1.0, &scale_shape);
                    let zeros = Branch::Filled("zeros", 0.0, &offset_shape);
                    let reciprocal = b.cond("correction_recip", frozen, ones, Branch::Existing(reciprocal))?;
                    let offset = b.cond("correction_offset", frozen, Branch::Existing(offset), zeros)?;
                    Ok(Correction { scale, reciprocal, offset })
                }
            }
        })
    }
}

fn frozen(b: &mut Builder<'_>, delay: Option<i64>, at: NodeId) -> Result<Frozen> {
    let Some(delay) = delay else { return Ok(Frozen::Never) };
    let step = b.get_or_create_quantization_step()?;
    let frozen = b.greater_equal("use_moving_average", &step, delay)?;
    match b.graph.const_ints(step.tensor).as_deref() {
        None => Ok(Frozen::When(frozen)),
        Some(&[number]) if number < delay => Ok(Frozen::Never),
        Some(_) => Err(b
            .graph
            .error(ErrorKind::Refused, "the quantization step is a constant past the delay of freezing", at)
            .hint("rename the node 'fake_quantization_step/Identity', or leave out --freeze-bn-delay")),
    }
}

/// From the delay on, a moving average changes by nothing.
fn freeze(b: &mut Builder<'_>, frozen: TensorRef, decay: TensorRef, name: &str) -> Result<()> {
    let mut consumers: Vec<NodeId> = b.graph.tensor_consumers(decay).collect();
    consumers.sort_unstable();
    consumers.dedup();
    let decay_or_nothing = b.cond(name, frozen, Branch::Scalar(0.0), Branch::Existing(decay))?;
    b.graph.reroute(decay, decay_or_nothing, &consumers);
    Ok(())
}

/// The refusal of a batch norm in training mode that lacks what its correction needs.
pub(super) fn lacks(error: Error) -> Refusal {
    Refusal::fatal(FoldOutcome::NoMovingAverages, error)
}
