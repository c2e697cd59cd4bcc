//! Samples that a graph is run on: arrays in numpy's files, folders of images, raw numbers.
//!
//! A source hands out one sample at a time, as a tensor whose first dimension is one: nothing but the sample itself is
//! held in memory. [`Scaling`] makes of it what the model was trained on, [`batch`] what an input takes at once.

pub mod array;
pub mod batch;
pub mod images;
pub mod npy;
pub mod npz;

use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::{DType, Data, Tensor};

/// Where the samples of one input come from.
pub trait Samples: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// The sample of that number, its first dimension being one.
    ///
    /// # Errors
    /// When it cannot be read, or there is none.
    fn sample(&self, index: usize) -> Result<Tensor>;

    /// Whether values are those of pixels from 0 to 255, or between those of several.
    fn are_pixels(&self) -> bool {
        false
    }
}

/// What is done with a sample's values: `(value · scale - mean) / std`, mean and std per channel or for all.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// What every value is multiplied with first.
    pub scale: f32,
    /// What is subtracted then: one number, or one for each channel.
    pub mean: Vec<f32>,
    /// What it is divided by at last: one number, or one for each channel.
    pub std: Vec<f32>,
    /// Whether channels are the first dimension of a sample instead of the last.
    pub channels_first: bool,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { scale: 1.0, mean: vec![0.0], std: vec![1.0], channels_first: false }
    }
}

impl Scaling {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self { channels_first: self.channels_first, ..Self::default() }
    }

    /// The sample as 32-bit floats, scaled.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] when there are neither one nor as many means or deviations as channels, or a deviation is
    /// zero.
    pub fn apply(&self, sample: &Tensor) -> Result<Tensor> {
        let values = floats(sample);
        let dims = sample.dims();
        let (channels, inner) = match (self.channels_first, dims) {
            (true, [_, channels, inner @ ..]) => (*channels, inner.iter().product()),
            _ => (dims.last().copied().unwrap_or(1), 1),
        };
        for (name, numbers) in [("mean", &self.mean), ("std", &self.std)] {
            if numbers.len() != 1 && numbers.len() != channels {
                let what = format!("{} numbers for --{name} of samples with {channels} channels", numbers.len());
                return Err(Error::new(ErrorKind::Options, what).hint("give one number, or one for each channel"));
            }
        }
        if self.std.contains(&0.0) {
            return Err(
                Error::new(ErrorKind::Options, "a standard deviation of zero").hint("--std divides the samples")
            );
        }
        let of = |numbers: &[f32], channel: usize| if numbers.len() == 1 { numbers[0] } else { numbers[channel] };
        let inner: usize = std::cmp::max(inner, 1);
        let scaled = values.into_iter().enumerate().map(|(index, value)| {
            let channel = index / inner % channels.max(1);
            (value * self.scale - of(&self.mean, channel)) / of(&self.std, channel)
        });
        Tensor::new(dims, scaled.collect())
    }
}

/// Samples that are scaled as they are handed out.
pub struct Scaled {
    /// As they are kept.
    pub samples: Box<dyn Samples>,
    /// What is done with them.
    pub scaling: Scaling,
}

impl Samples for Scaled {
    fn count(&self) -> usize {
        self.samples.count()
    }

    fn sample(&self, index: usize) -> Result<Tensor> {
        self.scaling.apply(&self.samples.sample(index)?)
    }
}

/// The elements as 32-bit floats.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // that is what is asked for
pub fn floats(tensor: &Tensor) -> Vec<f32> {
    match tensor.data() {
        Data::F32(values) => values.values().to_vec(),
        Data::F64(values) => values.values().iter().map(|&value| value as f32).collect(),
        Data::I32(values) => values.values().iter().map(|&value| value as f32).collect(),
        Data::I64(values) => values.values().iter().map(|&value| value as f32).collect(),
        Data::U8(values) => values.values().iter().map(|&value| value.into()).collect(),
        Data::I8(values) => values.values().iter().map(|&value| value.into()).collect(),
        Data::Bool(values) => values.values().iter().map(|&value| u8::from(value).into()).collect(),
    }
}

/// Whole numbers of floats, as a Cast makes them; of other types as they are.
///
/// # Errors
/// None, for a tensor that is one.
#[allow(clippy::cast_possible_truncation)] // as a Cast does
pub fn whole(sample: Tensor) -> Result<Tensor> {
    match sample.values::<f32>() {
        Some(values) => Tensor::new(sample.dims(), values.iter().map(|&value| value as i64).collect()),
        None => Ok(sample),
    }
}

/// The sample as an input of that type takes it: whole numbers stay what they are, where the type holds them.
///
/// # Errors
/// [`ErrorKind::Options`] when a value does not fit the type.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // checked, or floats
pub fn converted(sample: Tensor, dtype: DType) -> Result<Tensor> {
    if sample.dtype() == dtype {
        return Ok(sample);
    }
    let dims = sample.dims();
    let misfit = || {
        let what = format!("samples of type {} do not fit an input of type {}", sample.dtype().name(), dtype.name());
        Error::new(ErrorKind::Options, what).hint("save them as the type that the model takes")
    };
    let ints = || sample.to_ints().ok_or_else(misfit);
    let fit = |values: Result<Vec<_>, _>| values.map_err(|_: std::num::TryFromIntError| misfit());
    match dtype {
        DType::F32 | DType::F16 | DType::Bf16 => Tensor::new(dims, floats(&sample)),
        DType::F64 => Tensor::new(dims, floats(&sample).into_iter().map(f64::from).collect()),
        DType::I64 => Tensor::new(dims, ints()?),
        DType::I32 => Tensor::new(dims, fit(ints()?.into_iter().map(i32::try_from).collect())?),
        DType::U8 => {
            let values: Result<Vec<u8>, _> = ints()?.into_iter().map(u8::try_from).collect();
            Tensor::new(dims, values.map_err(|_| misfit())?)
        }
        DType::I8 => {
            let values: Result<Vec<i8>, _> = ints()?.into_iter().map(i8::try_from).collect();
            Tensor::new(dims, values.map_err(|_| misfit())?)
        }
        DType::Bool => Tensor::new(dims, ints()?.into_iter().map(|value| value != 0).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_by_channel() {
        let sample = Tensor::new(&[1, 2, 2], vec![0u8, 255, 51, 102]).unwrap();
        let scaling = Scaling { scale: 1.0 / 255.0, mean: vec![0.5, 0.0], std: vec![0.5], channels_first: false };
        let scaled = scaling.apply(&sample).unwrap();
        let close = |expected: [f32; 4], scaled: &Tensor| {
            expected.iter().zip(scaled.values::<f32>().unwrap()).all(|(a, b)| (a - b).abs() < 1e-6)
        };
        assert!(close([-1.0, 2.0, -0.6, 0.8], &scaled), "{scaled:?}");
        let first = Scaling { channels_first: true, ..scaling.clone() };
        assert!(close([-1.0, 1.0, 0.4, 0.8], &first.apply(&sample).unwrap()));
        let wrong = Scaling { mean: vec![0.0; 3], ..scaling };
        assert_eq!(wrong.apply(&sample).unwrap_err().kind(), ErrorKind::Options);
    }

    #[test]
    fn integers_fit_or_are_refused() {
        let sample = Tensor::vector(vec![1i64, 300]);
        assert_eq!(converted(sample.clone(), DType::I32).unwrap().values::<i32>().unwrap(), [1, 300]);
        assert!(converted(sample, DType::U8).is_err());
        assert!(converted(Tensor::vector(vec![0.5f32]), DType::I32).is_err());
    }
}
