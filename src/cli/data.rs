//! The samples that a model is run on: where they are, and what is done with them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::calibrate::Feed;
use crate::calibrate::data::{self, Given, Place, Reading};
use crate::freeze::report::Endpoint;
use crate::samples::{Scaling, images, npy};
use crate::{Error, ErrorKind, Result};

/// Files and folders with samples.
#[derive(Debug, Args)]
#[command(next_help_heading = "Samples")]
pub struct DataArgs {
    /// Samples: a folder of PNG and JPEG images; .npy, whose first dimension counts them; .npz with an array for each input;
    /// raw numbers. With several inputs, once for each of them
    #[arg(long, value_name = "[NAME=]PATH", required = true, value_parser = given)]
    pub data: Vec<Given>,

    /// Use no more than this many samples of each input
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    pub limit: usize,

    /// Bring images to this size [default: that of the model's input]
    #[arg(long, value_name = "HEIGHTxWIDTH", value_parser = size)]
    pub resize: Option<[u32; 2]>,

    /// Where images have their channels [default: as the model's input]
    #[arg(long, value_enum)]
    pub layout: Option<Layout>,

    /// Element type of raw numbers, as NumPy names it [default: that of the model's input]
    #[arg(long, value_name = "TYPE", value_parser = descr)]
    pub dtype: Option<String>,

    /// Shape of one sample of raw numbers, separated by commas [default: that of the model's input]
    #[arg(long, value_name = "DIMS", value_delimiter = ',')]
    pub shape: Vec<usize>,

    /// Multiply the samples of float inputs with this, a number or a fraction such as 1/255; before --mean and --std
    #[arg(long, value_name = "F", value_parser = number, default_value = "1", hide_default_value = true)]
    pub scale: f32,

    /// Subtract this from the samples of float inputs: a number, or one for each channel
    #[arg(long, value_name = "F,…", value_delimiter = ',', value_parser = number, allow_hyphen_values = true)]
    pub mean: Vec<f32>,

    /// Divide the samples of float inputs by this: a number, or one for each channel
    #[arg(long, value_name = "F,…", value_delimiter = ',', value_parser = number)]
    pub std: Vec<f32>,
}

/// Where images have their channels.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Layout {
    /// Behind height and width
    Nhwc,
    /// Before them
    Nchw,
}

impl DataArgs {
    /// Checks that all of it is there, before the long work.
    pub fn check(&self) -> Result<()> {
        let missing = |path: &Path| {
            let what = format!("there is no '{}'", path.display());
            Error::new(ErrorKind::Io, what).hint("--data names a file or folder, for one of several inputs NAME=PATH")
        };
        self.files().iter().try_for_each(|path| if path.exists() { Ok(()) } else { Err(missing(path)) })
    }

    /// What is read.
    pub fn files(&self) -> Vec<PathBuf> {
        let path = |given: &Given| match &given.samples {
            Place::Path(path) => Some(path.clone()),
            Place::Npy(_) => None,
        };
        self.data.iter().filter_map(path).collect()
    }

    /// Those of the paths at which there are images that are read: in a folder of samples.
    pub fn images_among<'a>(&self, paths: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
        let folders: Vec<PathBuf> = self.files().iter().filter_map(|path| path.canonicalize().ok()).collect();
        let is_read = |path: &&PathBuf| {
            let whole = path.canonicalize().ok().filter(|whole| images::is_image(whole));
            whole.is_some_and(|whole| folders.iter().any(|folder| folder.is_dir() && whole.starts_with(folder)))
        };
        paths.filter(is_read).cloned().collect()
    }

    /// The samples for these inputs.
    pub fn open(&self, inputs: &[Endpoint]) -> Result<Vec<Feed>> {
        let or = |numbers: &[f32], otherwise: f32| if numbers.is_empty() { vec![otherwise] } else { numbers.to_vec() };
        let reading = Reading {
            size: self.resize,
            layout: self.layout.map(|layout| match layout {
                Layout::Nhwc => images::Layout::ChannelsLast,
                Layout::Nchw => images::Layout::ChannelsFirst,
            }),
            dtype: self.dtype.clone(),
            dims: (!self.shape.is_empty()).then(|| self.shape.clone()),
            scaling: Scaling {
                scale: self.scale,
                mean: or(&self.mean, 0.0),
                std: or(&self.std, 1.0),
                channels_first: false,
            },
        };
        data::open(&self.data, &reading, inputs)
    }
}

/// A path, or a name and a path; a path that is there is one, whatever it is called.
fn given(text: &str) -> std::result::Result<Given, String> {
    let whole = PathBuf::from(text);
    match text.split_once('=').filter(|_| !whole.exists()) {
        Some((name, path)) if name.is_empty() || path.is_empty() => Err("not a path, or NAME=PATH".to_owned()),
        Some((name, path)) => Ok(Given { name: Some(name.to_owned()), samples: Place::Path(path.into()) }),
        None => Ok(Given { name: None, samples: Place::Path(whole) }),
    }
}

fn size(text: &str) -> std::result::Result<[u32; 2], String> {
    let side = |text: &str| text.trim().parse().ok().filter(|&side| side > 0);
    let (height, width) = text.split_once(['x', ',']).unwrap_or((text, text));
    match (side(height), side(width)) {
        (Some(height), Some(width)) => Ok([height, width]),
        _ => Err("not HEIGHTxWIDTH in pixels, such as 224x224".to_owned()),
    }
}

fn descr(text: &str) -> std::result::Result<String, String> {
    npy::descr_of(text).ok_or_else(|| "not a type such as float32, uint8, int32 or <f4".to_owned())
}

fn number(text: &str) -> std::result::Result<f32, String> {
    let number = match text.split_once('/') {
        Some((above, below)) => {
            above.trim().parse::<f64>().ok().zip(below.trim().parse::<f64>().ok()).map(|(a, b)| a / b)
        }
        None => text.trim().parse().ok(),
    };
    #[allow(clippy::cast_possible_truncation)] // samples are of that type
    let number = number.map(|number| number as f32);
    number.filter(|number| number.is_finite()).ok_or_else(|| "not a number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_user_writes() {
        assert_eq!(size("224"), Ok([224, 224]));
        assert_eq!(size("96x128"), Ok([96, 128]));
        assert!(size("0x3").is_err() && size("ax3").is_err());
        assert_eq!(number("1/255"), Ok(1.0 / 255.0));
        assert_eq!(number("-2.5"), Ok(-2.5));
        assert!(number("1/0").is_err() && number("nan").is_err());
        assert_eq!(descr("uint8"), Ok("|u1".to_owned()));
        assert!(descr("complex64").is_err());
        let named = given("a/b:0=c=d.npy").unwrap();
        assert_eq!((named.name.as_deref(), named.samples), (Some("a/b:0"), Place::Path("c=d.npy".into())));
        assert_eq!(given("Cargo.toml").unwrap().name, None);
        assert!(given("image=").is_err());
    }
}
