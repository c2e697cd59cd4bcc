//! Which samples go to which input, and what they are.

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::freeze::report::Endpoint;
use crate::graph::tensor::Shape;
use crate::interpreter::{DType, Tensor};
use crate::samples::{Samples, converted, floats};

/// Samples as the user gave them.
pub struct Feed {
    /// Which input they are for; `None` where there is but one.
    pub name: Option<String>,
    /// The samples.
    pub samples: Box<dyn Samples>,
}

/// What was fed to an input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fed {
    /// The input.
    pub tensor: String,
    /// The element type of the samples.
    pub dtype: String,
    /// The dimensions of one sample, without the batch's.
    pub shape: Vec<usize>,
    /// How many samples.
    pub count: usize,
    /// The least value.
    pub min: f32,
    /// The greatest value.
    pub max: f32,
    /// The mean of all values.
    pub mean: f64,
}

/// The samples of all inputs of a network, in their order.
pub(super) struct Feeds<'f> {
    inputs: Vec<(Endpoint, &'f dyn Samples, usize)>,
    /// How many runs they make.
    pub runs: usize,
}

impl<'f> Feeds<'f> {
    /// Finds out which go to which. No more than `limit` samples are used.
    pub(super) fn new(inputs: &[Endpoint], feeds: &'f [Feed], limit: usize) -> Result<Self> {
        let mut found = Vec::new();
        for input in inputs {
            let feed = match feeds {
                [feed] if inputs.len() == 1 => Some(feed),
                feeds => feeds.iter().find(|feed| feed.name.as_deref().is_some_and(|name| is_called(input, name))),
            };
            let Some(feed) = feed else { return Err(unfed(input, feeds)) };
            found.push((input.clone(), &*feed.samples, batch(input)));
        }
        if let Some(odd) = feeds.iter().find(|feed| {
            inputs.len() > 1
                && !inputs.iter().any(|input| feed.name.as_deref().is_some_and(|name| is_called(input, name)))
        }) {
            let name = odd.name.as_deref().unwrap_or("?");
            return Err(Error::new(ErrorKind::Options, format!("there are samples for '{name}', which is no input"))
                .hint(format!("the inputs are {}", names(inputs))));
        }
        let counts: Vec<usize> = found.iter().map(|(_, samples, _)| samples.count()).collect();
        if counts.iter().any(|&count| count != counts[0]) {
            return Err(Error::new(
                ErrorKind::Options,
                format!("the inputs have different numbers of samples: {counts:?}"),
            )
            .hint("give each input one sample for every run"));
        }
        let samples = counts.first().copied().unwrap_or(1).min(limit);
        let batch = found.iter().map(|(.., batch)| *batch).max().unwrap_or(1);
        let runs = samples / batch.max(1);
        if runs == 0 {
            return Err(Error::new(ErrorKind::Options, format!("{samples} samples do not fill a batch of {batch}"))
                .hint("the model's input has a fixed batch size: give at least that many samples"));
        }
        Ok(Self { inputs: found, runs })
    }

    /// What the inputs are fed with in that run.
    pub(super) fn run(&self, index: usize) -> Result<Vec<Tensor>> {
        self.inputs.iter().map(|(input, samples, batch)| batch_of(input, *samples, index, *batch)).collect()
    }

    /// Looks at all that will be fed.
    ///
    /// # Errors
    /// Those of the samples; [`ErrorKind::Options`] if they do not fit an input, or are all the same.
    pub(super) fn look(&self) -> Result<Vec<Fed>> {
        let look = |(input, samples, batch): &(Endpoint, &dyn Samples, usize)| {
            let first = samples.sample(0)?;
            check_shape(input, first.dims())?;
            let (mut min, mut max, mut sum, mut count) = (f32::INFINITY, f32::NEG_INFINITY, 0.0f64, 0usize);
            for index in 0..self.runs * batch {
                let values = floats(&samples.sample(index)?);
                for &value in &values {
                    (min, max) = (min.min(value), max.max(value));
                    sum += f64::from(value);
                }
                count += values.len();
            }
            if min >= max && self.runs * batch * first.len() > 1 {
                let what = format!("all samples of the input '{}' are {min}", input.tensor);
                return Err(Error::new(ErrorKind::Options, what).hint("calibration needs data like those of real use"));
            }
            Ok(Fed {
                tensor: input.tensor.clone(),
                dtype: first.dtype().name().to_owned(),
                shape: first.dims()[1..].to_vec(),
                count: self.runs * batch,
                min,
                max,
                mean: sum / count.max(1) as f64,
            })
        };
        self.inputs.iter().map(look).collect()
    }
}

fn is_called(input: &Endpoint, name: &str) -> bool {
    let node = input.tensor.split(':').next().unwrap_or_default();
    [input.key.as_str(), &input.tensor, node].contains(&name) || input.was.as_deref() == Some(name)
}

fn names(inputs: &[Endpoint]) -> String {
    inputs.iter().map(|input| format!("'{}'", input.key)).collect::<Vec<_>>().join(", ")
}

fn unfed(input: &Endpoint, feeds: &[Feed]) -> Error {
    let given: Vec<&str> = feeds.iter().filter_map(|feed| feed.name.as_deref()).collect();
    Error::new(ErrorKind::Options, format!("there are no samples for the input '{}'", input.key)).hint(
        if given.is_empty() {
            "the model has several inputs: save an array for each with numpy.savez(file, NAME=array, …)".to_owned()
        } else {
            format!("the file has arrays for {}", given.join(", "))
        },
    )
}

/// The batch that an input insists on.
fn batch(input: &Endpoint) -> usize {
    let first = input.shape.0.as_ref().and_then(|dims| dims.first().copied());
    first.and_then(|dim| usize::try_from(dim).ok()).unwrap_or(1).max(1)
}

fn check_shape(input: &Endpoint, sample: &[usize]) -> Result<()> {
    let Shape(Some(dims)) = &input.shape else { return Ok(()) };
    let fits = |(&dim, &size): (&i64, &usize)| usize::try_from(dim).map_or(true, |dim| dim == size);
    if dims.len() == sample.len() && dims.iter().zip(sample).skip(1).all(fits) {
        return Ok(());
    }
    let what = format!(
        "samples of the shape {:?} do not fit the input '{}' of the shape {}",
        &sample[1..],
        input.tensor,
        input.shape
    );
    Err(Error::new(ErrorKind::Options, what).hint("the first dimension of the array counts the samples"))
}

fn batch_of(input: &Endpoint, samples: &dyn Samples, run: usize, batch: usize) -> Result<Tensor> {
    let dtype = DType::from_number(input.data_type).ok_or_else(|| {
        Error::new(
            ErrorKind::Refused,
            format!("the input '{}' is of type {}, which is not computed with", input.tensor, input.dtype),
        )
    })?;
    let sample = |index: usize| converted(samples.sample(index)?, dtype);
    if batch == 1 {
        return sample(run);
    }
    let parts: Vec<Tensor> = (run * batch..(run + 1) * batch).map(sample).collect::<Result<_>>()?;
    let mut dims = parts[0].dims().to_vec();
    dims[0] = batch;
    let joined: Option<Vec<&[f32]>> = parts.iter().map(|part| part.values::<f32>()).collect();
    let Some(joined) = joined else {
        let what = format!("the input '{}' has a fixed batch size of {batch} and is not of floats", input.tensor);
        return Err(Error::new(ErrorKind::Refused, what).hint("export the model with a batch size of one, or none"));
    };
    Tensor::new(&dims, joined.concat())
}
