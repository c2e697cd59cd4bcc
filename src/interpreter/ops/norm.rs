//! Normalizations: FusedBatchNorm in its three versions, the one before it, and LRN.

use super::window::{from_channels_last, to_channels_last};
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Kernel, Op, Value, invalid, kernel, size};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{DType, Tensor};
use crate::interpreter::wide::in_vectors;

/// TensorFlow's inference and training kernels for the CPU; the later outputs are what the backward pass would use.
fn fused_batch_norm(node: &Attributes<'_>) -> Result<Kernel> {
    let epsilon = node.float("epsilon", 1e-4);
    let training = node.bool("is_training", true);
    let momentum = node.float("exponential_avg_factor", 1.0);
    let channels_first = node.channels_first()?;
    let outputs = if node.graph.op(node.node) == "FusedBatchNormV3" { 6 } else { 5 };
    Ok(Box::new(move |inputs, memory| {
        let x = inputs.take(0)?;
        let dtype = x.dtype();
        let x = to_channels_last(x, channels_first, memory)?;
        let channels = x.dims().last().copied().unwrap_or_default();
        let [scale, offset, old_mean, old_variance] = [1, 2, 3, 4].map(|index| inputs.values::<f32>(index));
        let (scale, offset, old_mean, old_variance) = (scale?, offset?, old_mean?, old_variance?);
        if scale.len() != channels || offset.len() != channels || x.values::<f32>().is_none() {
            return Err(invalid(format!("a batch norm whose parameters are not {channels} numbers each")));
        }
        let (mean, variance, saved_variance, outer) = if training {
            let moments = moments(x.values().unwrap_or_default(), channels, x.len() / channels.max(1));
            let averaged = |old: &[f32], new: &[f32]| -> Vec<f32> {
                // Without old values (or with a momentum of one) the new ones are the average.
                if old.len() != channels || momentum >= 1.0 {
                    return new.to_vec();
                }
                old.iter().zip(new).map(|(old, new)| old * (1.0 - momentum) + new * momentum).collect()
            };
            let outer = [averaged(old_mean, &moments.mean), averaged(old_variance, &moments.unbiased_variance)];
            (moments.mean, moments.variance.clone(), moments.variance, outer)
        } else {
            if old_mean.len() != channels || old_variance.len() != channels {
                return Err(invalid("a batch norm for inference without mean and variance"));
            }
            let [mean, variance] = [old_mean, old_variance].map(<[f32]>::to_vec);
            (mean.clone(), variance.clone(), variance.clone(), [mean, variance])
        };
        let factors: Vec<f32> =
            variance.iter().zip(scale).map(|(variance, scale)| (1.0 / (variance + epsilon).sqrt()) * scale).collect();
        let y = normalized(x, &mean, &factors, offset, memory)?;
        let y = from_channels_last(y, channels_first, memory)?.retyped(dtype);
        let [outer_mean, outer_variance] = outer;
        let mut made: Vec<Value> = vec![y.into()];
        made.extend([outer_mean, outer_variance, mean, saved_variance].map(|values| Tensor::vector(values).into()));
        made.resize_with(outputs, || Tensor::scalar(0f32).into());
        Ok(made)
    }))
}

struct Moments {
    mean: Vec<f32>,
    variance: Vec<f32>,
    unbiased_variance: Vec<f32>,
}

/// Mean and variance of each channel over that many pixels.
fn moments(values: &[f32], channels: usize, pixels: usize) -> Moments {
    let mut mean = vec![0f64; channels];
    let mut squares = vec![0f64; channels];
    let rows = || values.chunks_exact(channels.max(1));
    rows().for_each(|row| mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value)));
    mean.iter_mut().for_each(|sum| *sum /= pixels.max(1) as f64);
    for row in rows() {
        let pairs = squares.iter_mut().zip(row.iter().zip(&mean));
        pairs.for_each(|(sum, (&value, mean))| *sum += (f64::from(value) - mean) * (f64::from(value) - mean));
    }
    let over = |count: usize| squares.iter().map(|sum| (sum / count.max(1) as f64) as f32).collect();
    Moments {
        variance: over(pixels),
        unbiased_variance: over(pixels.saturating_sub(1)),
        mean: mean.iter().map(|&mean| mean as f32).collect(),
    }
}

/// `(x - mean) · factor + offset` for each channel, in `x`'s own memory if no one else holds it.
fn normalized(mut x: Tensor, mean: &[f32], factors: &[f32], offset: &[f32], memory: &mut Memory) -> Result<Tensor> {
    let channels = mean.len();
    if x.is_empty() {
        return Ok(x);
    }
    if channels == 0 {
        return Err(invalid("a batch norm of a number without channels"));
    }
    let of_channels = || mean.iter().zip(factors.iter().zip(offset));
    if let Some(values) = x.values_mut::<f32>() {
        in_vectors!(for row in values.chunks_exact_mut(channels) {
            let pairs = row.iter_mut().zip(of_channels());
            pairs.for_each(|(value, (mean, (factor, offset)))| *value = (*value - mean) * factor + offset);
        });
        return Ok(x);
    }
    let values = x.values::<f32>().unwrap_or_default();
    let mut out = memory.unset::<f32>(values.len())?;
    in_vectors!(for (out, row) in out.chunks_exact_mut(channels).zip(values.chunks_exact(channels)) {
        let pairs = out.iter_mut().zip(row).zip(of_channels());
        pairs.for_each(|((out, value), (mean, (factor, offset)))| *out = (value - mean) * factor + offset);
    });
    Tensor::from_storage(x.dims().to_vec(), out)
}

fn local_response(node: &Attributes<'_>) -> Result<Kernel> {
    let radius = size(node.int("depth_radius", 5), "the radius")?;
    let [bias, alpha, beta] =
        [("bias", 1.0), ("alpha", 1.0), ("beta", 0.5)].map(|(name, value)| node.float(name, value));
    kernel(move |inputs, memory| {
        let values = inputs.values::<f32>(0)?;
        let [.., channels] = inputs.dims::<4>(0)?;
        let mut out = memory.unset::<f32>(values.len())?;
        for (out, row) in out.chunks_exact_mut(channels.max(1)).zip(values.chunks_exact(channels.max(1))) {
            for (at, out) in out.iter_mut().enumerate() {
                let near = &row[at.saturating_sub(radius)..at.saturating_add(radius).saturating_add(1).min(channels)];
                let squares: f32 = near.iter().map(|value| value * value).sum();
                *out = row[at] * (bias + alpha * squares).powf(-beta);
            }
        }
        Ok(Tensor::from_storage(inputs.tensor(0)?.dims().to_vec(), out)?.retyped(DType::F32))
    })
}

/// The batch norm of the first published networks: `(x - mean) / sqrt(variance + epsilon)`, scaled if it says so, `+ beta`.
fn global_batch_norm(node: &Attributes<'_>) -> Result<Kernel> {
    let (epsilon, scales) = (node.float("variance_epsilon", 0.0), node.bool("scale_after_normalization", false));
    kernel(move |inputs, memory| {
        let x = inputs.take(0)?;
        let channels = x.dims().last().copied().unwrap_or_default();
        let [mean, variance, beta, gamma] = [1, 2, 3, 4].map(|index| inputs.values::<f32>(index));
        let (mean, variance, beta, gamma) = (mean?, variance?, beta?, gamma?);
        let lengths = [mean.len(), variance.len(), beta.len()];
        if lengths.iter().any(|&length| length != channels) || (scales && gamma.len() != channels) {
            return Err(invalid(format!("a batch norm whose parameters are not {channels} numbers each")));
        }
        if x.values::<f32>().is_none() {
            return Err(invalid("a batch norm of what is no 32-bit float"));
        }
        let factor = |channel: usize| {
            let factor = 1.0 / (variance[channel] + epsilon).sqrt();
            if scales { factor * gamma[channel] } else { factor }
        };
        let factors: Vec<f32> = (0..channels).map(factor).collect();
        normalized(x, mean, &factors, beta, memory)
    })
}

pub(super) const OPS: &[Op] = &[
    Op { name: "FusedBatchNorm", prepare: fused_batch_norm },
    Op { name: "FusedBatchNormV2", prepare: fused_batch_norm },
    Op { name: "FusedBatchNormV3", prepare: fused_batch_norm },
    Op { name: "BatchNormWithGlobalNormalization", prepare: global_batch_norm },
    Op { name: "LRN", prepare: local_response },
];
