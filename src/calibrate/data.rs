//! Samples out of files: which kind a file is, and what the input that it is for makes of it.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::feed::{Feed, is_called, names};
use crate::error::{Error, ErrorKind, Result};
use crate::freeze::report::Endpoint;
use crate::interpreter::DType;
use crate::samples::array::ArraySamples;
use crate::samples::images::{ImageSamples, Layout, Shape};
use crate::samples::{Samples, Scaled, Scaling, npy, npz};
use crate::source;

/// How samples are read, where their files leave that open.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// The height and width that images are brought to; those of the input, if it has any.
    pub size: Option<[u32; 2]>,
    /// Where images have their channels; as the input's shape says.
    pub layout: Option<Layout>,
    /// The element type of raw numbers, as numpy names it; that of the input.
    pub dtype: Option<String>,
    /// The shape of a sample of raw numbers; that of the input.
    pub dims: Option<Vec<usize>>,
    /// What is done with the samples of inputs that are floats.
    pub scaling: Scaling,
}

impl Reading {
    fn is_raw(&self) -> bool {
        self.dtype.is_some() || self.dims.is_some()
    }
}

/// Samples, and the input that they are for, if that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The input.
    pub name: Option<String>,
    /// Where they are.
    pub samples: Place,
}

/// Where samples are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file or folder.
    Path(PathBuf),
    /// In memory, as a `.npy` file would hold them.
    Npy(Bytes),
}

/// Opens the samples of a model with these inputs: images of a folder, a `.npy` array, the arrays of an `.npz` archive, raw
/// numbers.
///
/// # Errors
/// [`ErrorKind::Options`] for what is none of these, or does not suit its input; those of the files.
pub fn open(given: &[Given], reading: &Reading, inputs: &[Endpoint]) -> Result<Vec<Feed>> {
    let mut feeds = Vec::new();
    for Given { name, samples } in given {
        let path = match samples {
            Place::Path(path) => path,
            Place::Npy(array) => {
                feeds.push((name.clone(), Box::new(ArraySamples::npy(array)?) as Box<dyn Samples>, None));
                continue;
            }
        };
        let in_file = |error: Error| error.in_file(&path.display().to_string());
        if path.is_dir() {
            let input = input_of(inputs, name.as_deref()).map_err(in_file)?;
            let shape = Shape::of_input(input.shape.0.as_deref(), reading.size, reading.layout).map_err(in_file)?;
            let is_float = DType::from_number(input.data_type).is_none_or(DType::is_float);
            let samples = ImageSamples::folder(path, Shape { whole: !is_float, ..shape })?;
            let layout = if shape.channels_first { Layout::ChannelsFirst } else { Layout::ChannelsLast };
            feeds.push((name.clone(), Box::new(samples), Some(layout)));
            continue;
        }
        let file = source::open_file(path)?.bytes;
        for (of_array, samples) in arrays(&file, path, reading, inputs, name.as_deref()).map_err(in_file)? {
            feeds.push((name.clone().or(of_array), Box::new(samples), None));
        }
    }
    let feeds = feeds.into_iter().map(|(name, samples, layout)| {
        let input = input_of(inputs, name.as_deref()).ok();
        Feed { samples: scaled(samples, layout, reading, input), name }
    });
    Ok(feeds.collect())
}

/// The arrays in a file, with their names where they have some.
fn arrays(
    file: &Bytes,
    path: &Path,
    reading: &Reading,
    inputs: &[Endpoint],
    name: Option<&str>,
) -> Result<Vec<(Option<String>, ArraySamples)>> {
    if file.starts_with(b"PK\x03\x04") {
        let mut arrays = npz::read(file)?;
        if name.is_some() && arrays.len() > 1 {
            let what = format!("{} arrays for one input", arrays.len());
            return Err(Error::new(ErrorKind::Options, what).hint("leave NAME= away: the arrays' own names count"));
        }
        return Ok(arrays.drain(..).map(|(name, samples)| (Some(name), samples)).collect());
    }
    let is_named_array = path.extension().is_some_and(|ending| ending == "npy");
    if is_named_array || file.starts_with(npy::MAGIC) || !reading.is_raw() {
        let unknown = |error: Error| {
            let hint = "samples are a .npy or .npz file, a folder of images, or raw numbers (--dtype, --shape)";
            if is_named_array || file.starts_with(npy::MAGIC) { error } else { error.hint(hint) }
        };
        return Ok(vec![(None, ArraySamples::npy(file).map_err(unknown)?)]);
    }
    let input = input_of(inputs, name)?;
    let dtype =
        reading.dtype.clone().or_else(|| DType::from_number(input.data_type).map(npy::descr).map(str::to_owned));
    let of_input = || {
        let dims = input.shape.0.as_deref()?.get(1..)?;
        dims.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<Vec<_>>>()
    };
    let (Some(dtype), Some(dims)) = (dtype, reading.dims.clone().or_else(of_input)) else {
        let what = format!("the input '{}' does not say what its samples are: {}", input.key, input.shape);
        return Err(Error::new(ErrorKind::Options, what).hint("give both --dtype and --shape"));
    };
    Ok(vec![(None, ArraySamples::raw(file.clone(), &dtype, &dims)?)])
}

fn input_of<'a>(inputs: &'a [Endpoint], name: Option<&str>) -> Result<&'a Endpoint> {
    let found = match (name, inputs) {
        (_, [input]) => Some(input),
        (None, _) => None,
        (Some(name), _) => inputs.iter().find(|input| is_called(input, name)),
    };
    found.ok_or_else(|| {
        let what = match name {
            Some(name) => format!("there are samples for '{name}', which is no input"),
            None => "the model has several inputs".to_owned(),
        };
        Error::new(ErrorKind::Options, what).hint(format!("say NAME=PATH; the inputs are {}", names(inputs)))
    })
}

/// The samples with the scaling that was asked for, if they are for an input of floats.
fn scaled(
    samples: Box<dyn Samples>,
    layout: Option<Layout>,
    reading: &Reading,
    input: Option<&Endpoint>,
) -> Box<dyn Samples> {
    let is_float = input.and_then(|input| DType::from_number(input.data_type)).is_some_and(DType::is_float);
    if reading.scaling.is_none() || !is_float {
        return samples;
    }
    let dims = input.and_then(|input| input.shape.0.as_deref());
    let layout = layout.or(reading.layout).or_else(|| dims.map(Layout::of_input));
    let scaling = Scaling { channels_first: layout == Some(Layout::ChannelsFirst), ..reading.scaling.clone() };
    Box::new(Scaled { samples, scaling })
}
