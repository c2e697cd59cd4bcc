//! Which samples go to which input, and how many of them at once.
//!
//! An input whose first dimension is open takes one sample a run, one whose first dimension is fixed as many as that says.
//! An input without a dimension for the batch takes a sample as it is.

use crate::error::{Error, ErrorKind, Result};
use crate::freeze::report::Endpoint;
use crate::graph::tensor::Shape;
use crate::interpreter::{DType, Tensor};
use crate::samples::{Samples, batch, converted, whole};

/// Samples as the user gave them.
pub struct Feed {
    /// Which input they are for; `None` where there is but one.
    pub name: Option<String>,
    /// The samples.
    pub samples: Box<dyn Samples>,
}

/// How many samples make what an input takes in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Batch {
    /// So many, one behind the other along the first dimension.
    Of(usize),
    /// One, which has all dimensions of the input.
    Alone,
}

impl Batch {
    fn size(self) -> usize {
        if let Self::Of(size) = self { size } else { 1 }
    }
}

/// An input and its samples.
#[derive(Clone)]
pub(super) struct Fitted<'f> {
    pub input: Endpoint,
    pub samples: &'f dyn Samples,
    batch: Batch,
    dtype: DType,
    /// Whether floats are cut to whole numbers.
    cut: bool,
    /// Whether its only sample is fed in every run.
    pub repeated: bool,
}

/// The samples of all inputs of a network, in their order.
#[derive(Clone)]
pub(super) struct Feeds<'f> {
    pub inputs: Vec<Fitted<'f>>,
    /// What the samples are called that are for inputs which no output reads.
    pub unread: Vec<&'f str>,
    /// How many runs they make.
    pub runs: usize,
    /// The first of them, and from one to the next.
    first: usize,
    step: usize,
}

impl<'f> Feeds<'f> {
    /// Finds out which go to which, but those for inputs that are `unread`. No more than `limit` samples are used.
    pub(super) fn new(inputs: &[Endpoint], unread: &[String], feeds: &'f [Feed], limit: usize) -> Result<Self> {
        let is_unread = |name: &str| is_among(unread, name) && !inputs.iter().any(|input| is_called(input, name));
        let (unread, feeds): (Vec<&Feed>, Vec<&Feed>) =
            feeds.iter().partition(|feed| feed.name.as_deref().is_some_and(is_unread));
        let mut inputs: Vec<Fitted> = matched(inputs, &feeds)?
            .into_iter()
            .map(|(input, feed)| Fitted::new(input.clone(), &*feed.samples))
            .collect::<Result<_>>()?;
        let runs = inputs.iter().map(|input| input.runs(limit)).max().unwrap_or(1);
        for input in &mut inputs {
            let own = input.runs(limit);
            if own == 0 {
                let (count, batch) = (input.samples.count().min(limit), input.batch.size());
                let what = format!("{count} samples do not fill a batch of {batch} of '{}'", input.input.key);
                return Err(Error::new(ErrorKind::Options, what)
                    .hint("the model's input has a fixed batch size: give at least that many samples"));
            }
            input.repeated = own < runs && input.samples.count() == 1;
        }
        if inputs.iter().any(|input| !input.repeated && input.runs(limit) != runs) {
            return Err(uneven(&inputs, limit));
        }
        let unread = unread.into_iter().filter_map(|feed| feed.name.as_deref()).collect();
        Ok(Self { inputs, unread, runs, first: 0, step: 1 })
    }

    /// The same, where these inputs get whole numbers of samples of floats, as a Cast makes them.
    pub(super) fn cut(mut self, inputs: &[String]) -> Self {
        for input in &mut self.inputs {
            input.cut = inputs.contains(&input.input.tensor);
        }
        self
    }

    /// What the inputs are fed with in that run.
    pub(super) fn run(&self, index: usize) -> Result<Vec<Tensor>> {
        self.inputs.iter().map(|input| input.run(self.first + index * self.step)).collect()
    }

    /// So many of the runs, from the first to the last, or as many that lie between those.
    pub(super) fn spread(&self, runs: usize, between: bool) -> Self {
        let step = self.step_of(runs);
        Self { runs, first: if between { step / 2 } else { 0 }, step, ..self.clone() }
    }

    /// The numbers of all runs but so many that are spread over them, and those.
    pub(super) fn parted(&self, runs: usize) -> [Vec<usize>; 2] {
        let step = self.step_of(runs);
        let (apart, others): (Vec<usize>, Vec<usize>) =
            (0..self.runs).partition(|index| index % step == 0 && index / step < runs);
        [others, apart]
    }

    fn step_of(&self, runs: usize) -> usize {
        (self.runs / runs.max(1)).max(1)
    }
}

/// Each input with what is fed to it.
///
/// # Errors
/// [`ErrorKind::Options`] for an input that nothing is for, and for what is for no input.
fn matched<'a, 'f>(inputs: &'a [Endpoint], feeds: &[&'f Feed]) -> Result<Vec<(&'a Endpoint, &'f Feed)>> {
    let is_for = |feed: &Feed, input: &Endpoint| match &feed.name {
        Some(name) => is_called(input, name),
        None => inputs.len() == 1,
    };
    // A single array is for a single input, whatever it is called.
    let by_name = inputs.len() > 1 || feeds.len() > 1;
    if by_name && let Some(odd) = feeds.iter().find(|feed| !inputs.iter().any(|input| is_for(feed, input))) {
        let what = match &odd.name {
            Some(name) => format!("there are samples for '{name}', which is no input"),
            None => "the model has several inputs, and there are samples that are for none by name".to_owned(),
        };
        return Err(Error::new(ErrorKind::Options, what).hint(format!("the inputs are {}", names(inputs))));
    }
    let find = |input| {
        let mut own = feeds.iter().copied().filter(|feed| !by_name || is_for(feed, input));
        match (own.next(), own.next()) {
            (Some(feed), None) => Ok((input, feed)),
            (None, _) => Err(unfed(input, feeds)),
            (Some(_), Some(_)) => {
                let what = format!("there are samples for the input '{}' twice", input.key);
                Err(Error::new(ErrorKind::Options, what).hint("give each input one array or folder"))
            }
        }
    };
    inputs.iter().map(find).collect()
}

impl<'f> Fitted<'f> {
    fn new(input: Endpoint, samples: &'f dyn Samples) -> Result<Self> {
        let Some(dtype) = DType::from_number(input.data_type) else {
            let what = format!("the input '{}' is of type {}, which is not computed with", input.tensor, input.dtype);
            return Err(Error::new(ErrorKind::Refused, what).hint("cut it off: --inputs names tensors to feed instead"));
        };
        let batch = batch(&input, samples.sample(0)?.dims())?;
        Ok(Self { input, samples, batch, dtype, cut: false, repeated: false })
    }

    fn runs(&self, limit: usize) -> usize {
        self.samples.count().min(limit) / self.batch.size()
    }

    /// How many samples that many runs use.
    pub(super) fn used(&self, runs: usize) -> usize {
        if self.repeated { 1 } else { runs * self.batch.size() }
    }

    /// Checks that a sample has the shape of an input.
    pub(super) fn check(&self, sample: &Tensor) -> Result<()> {
        batch(&self.input, sample.dims()).map(drop)
    }

    fn run(&self, index: usize) -> Result<Tensor> {
        let index = if self.repeated { 0 } else { index };
        let sample = |index: usize| {
            let sample = self.samples.sample(index)?;
            converted(if self.cut { whole(sample)? } else { sample }, self.dtype)
        };
        match self.batch {
            Batch::Alone => batch::alone(&sample(index)?),
            Batch::Of(1) => sample(index),
            Batch::Of(size) => {
                let parts: Vec<Tensor> = (index * size..(index + 1) * size).map(sample).collect::<Result<_>>()?;
                batch::joined(&parts)
            }
        }
    }
}

/// Whether a user may call the input so.
pub(super) fn is_called(input: &Endpoint, name: &str) -> bool {
    [input.key.as_str(), &input.tensor, input.node()].contains(&name) || input.was.as_deref() == Some(name)
}

/// Whether that name is among these, as a node's or as its first tensor's.
fn is_among(names: &[String], name: &str) -> bool {
    let node = |name: &str| name.strip_suffix(":0").unwrap_or(name).to_owned();
    names.iter().any(|among| node(among) == node(name))
}

pub(super) fn names(inputs: &[Endpoint]) -> String {
    inputs.iter().map(|input| format!("'{}'", input.key)).collect::<Vec<_>>().join(", ")
}

fn unfed(input: &Endpoint, feeds: &[&Feed]) -> Error {
    let given: Vec<&str> = feeds.iter().filter_map(|feed| feed.name.as_deref()).collect();
    Error::new(ErrorKind::Options, format!("there are no samples for the input '{}'", input.key)).hint(
        if given.is_empty() {
            "the model has several inputs: give NAME=PATH for each, or an .npz with an array for each".to_owned()
        } else {
            format!("there are samples for {}", given.join(", "))
        },
    )
}

fn uneven(inputs: &[Fitted<'_>], limit: usize) -> Error {
    let of = |input: &Fitted<'_>| {
        let (key, count, size) = (&input.input.key, input.samples.count().min(limit), input.batch.size());
        if size == 1 { format!("'{key}' {count}") } else { format!("'{key}' {count} in batches of {size}") }
    };
    let counts: Vec<String> = inputs.iter().map(of).collect();
    let what = format!("the inputs have samples for different numbers of runs: {}", counts.join(", "));
    Error::new(ErrorKind::Options, what).hint("give each input what it takes in each run, or one sample for all runs")
}

/// How samples of a shape, whose first dimension is one, make what the input takes.
fn batch(input: &Endpoint, sample: &[usize]) -> Result<Batch> {
    let Shape(Some(dims)) = &input.shape else { return Ok(Batch::Of(1)) };
    let fit = |dims: &[i64], sizes: &[usize]| {
        let fits = |(&dim, &size): (&i64, &usize)| usize::try_from(dim).map_or(true, |dim| dim == size);
        dims.len() == sizes.len() && dims.iter().zip(sizes).all(fits)
    };
    match &dims[..] {
        [first, rest @ ..] if fit(rest, &sample[1..]) => {
            Ok(Batch::Of(usize::try_from(*first).ok().filter(|&size| size > 0).unwrap_or(1)))
        }
        dims if fit(dims, &sample[1..]) => Ok(Batch::Alone),
        _ => {
            let sample = &sample[1..];
            let (tensor, shape) = (&input.tensor, &input.shape);
            let what = format!("samples of the shape {sample:?} do not fit the input '{tensor}' of the shape {shape}");
            Err(Error::new(ErrorKind::Options, what).hint("the first dimension of an array counts the samples"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tensorflow::DataType;
    use crate::samples::array::ArraySamples;
    use crate::samples::npy;

    fn input(key: &str, data_type: DataType, dims: &[i64]) -> Endpoint {
        Endpoint {
            key: key.to_owned(),
            tensor: format!("{key}_1:0"),
            was: None,
            data_type: data_type as i32,
            dtype: String::new(),
            shape: Shape(Some(dims.to_vec())),
        }
    }

    fn feed(name: Option<&str>, array: &Tensor) -> Feed {
        let samples = ArraySamples::npy(&npy::write(array).into()).unwrap();
        Feed { name: name.map(str::to_owned), samples: Box::new(samples) }
    }

    /// Whole numbers from zero, in that shape.
    fn counted(dims: &[usize]) -> Tensor {
        let count: usize = dims.iter().product();
        Tensor::new(dims, (0..i32::try_from(count).unwrap()).collect()).unwrap()
    }

    fn said(result: Result<Feeds<'_>>) -> String {
        result.map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn a_fixed_batch_takes_so_many_samples() {
        let tokens = [input("tokens", DataType::DtInt32, &[4, 3])];
        let feeds = [feed(None, &counted(&[10, 3]))];
        let fed = Feeds::new(&tokens, &[], &feeds, usize::MAX).unwrap();
        assert_eq!((fed.runs, fed.inputs[0].used(fed.runs)), (2, 8));
        let second = &fed.run(1).unwrap()[0];
        assert_eq!((second.dims(), second.values::<i32>().unwrap()[0]), (&[4, 3][..], 12));
        assert!(said(Feeds::new(&tokens, &[], &feeds, 3)).contains("3 samples do not fill a batch of 4 of 'tokens'"));
        let open = [input("tokens", DataType::DtInt64, &[-1, -1])];
        let fed = Feeds::new(&open, &[], &feeds, 6).unwrap();
        assert_eq!((fed.runs, fed.run(5).unwrap()[0].values::<i64>().unwrap()), (6, &[15, 16, 17][..]));
    }

    #[test]
    fn inputs_of_different_batches_are_fed_together() {
        let image = input("image", DataType::DtFloat, &[1, 2]);
        let (ids, rate) = (input("ids", DataType::DtInt32, &[2]), input("rate", DataType::DtFloat, &[]));
        let feeds = |ids: usize| {
            [
                feed(Some("ids_1"), &counted(&[ids])),
                feed(Some("rate"), &counted(&[1])),
                feed(Some("image_1:0"), &counted(&[3, 2])),
            ]
        };
        let inputs = [image, ids, rate];
        let even = feeds(6);
        let fed = Feeds::new(&inputs, &[], &even, usize::MAX).unwrap();
        assert_eq!(fed.runs, 3);
        let last = fed.run(2).unwrap();
        assert_eq!(last[0].values::<f32>().unwrap(), [4.0, 5.0]);
        assert_eq!((last[1].dims(), last[1].values::<i32>().unwrap()), (&[2][..], &[4, 5][..]));
        assert_eq!((last[2].rank(), last[2].values::<f32>().unwrap()), (0, &[0.0][..]));
        assert!(
            said(Feeds::new(&inputs, &[], &feeds(8), usize::MAX))
                .ends_with("'image' 3, 'ids' 8 in batches of 2, 'rate' 1")
        );
        assert!(said(Feeds::new(&inputs[..2], &[], &even, usize::MAX)).contains("for 'rate', which is no input"));
        assert!(said(Feeds::new(&inputs, &[], &even[1..], usize::MAX)).contains("no samples for the input 'ids'"));
        let unread = ["rate".to_owned(), "image_1".to_owned()];
        let fed = Feeds::new(&inputs[..2], &unread, &even, usize::MAX).unwrap();
        assert_eq!((fed.inputs.len(), fed.unread), (2, vec!["rate"]), "an image is an input");
    }

    #[test]
    fn a_sample_may_be_all_that_an_input_takes() {
        let frame = [input("frame", DataType::DtFloat, &[1, 2, 3])];
        let feeds = [feed(None, &counted(&[5, 1, 2, 3]))];
        let fed = Feeds::new(&frame, &[], &feeds, usize::MAX).unwrap();
        assert_eq!((fed.runs, fed.run(4).unwrap()[0].dims()), (5, &[1, 2, 3][..]));
        let other = [feed(None, &counted(&[5, 3, 2]))];
        assert!(said(Feeds::new(&frame, &[], &other, usize::MAX)).contains("[3, 2] do not fit the input 'frame_1:0'"));
    }
}
