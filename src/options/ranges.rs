//! Ranges that are constants: what is chosen about them.

use hashbrown::HashMap;
use regex::Regex;
use serde::{Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};

/// How weights are quantized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// Zero in the middle, one range a channel where the layer's kernel takes that.
    #[default]
    SymmetricPerChannel,
    /// Zero in the middle, one range for all.
    Symmetric,
    /// From the least to the greatest.
    Asymmetric,
    /// Not at all: the converter quantizes them.
    Raw,
}

/// The converter that takes the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// TensorFlow's converter to LiteRT (TFLite), signed 8-bit tensors.
    #[default]
    LitertInt8,
    /// The same converter's older form, unsigned 8-bit tensors.
    LitertUint8,
    /// `OpenVINO`.
    Openvino,
}

impl Target {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LitertInt8 => "litert-int8",
            Self::LitertUint8 => "litert-uint8",
            Self::Openvino => "openvino",
        }
    }

    /// Whether it is TensorFlow's converter, in either form: it makes tensors of the lists that loops read and write, and has
    /// integer kernels for the parts of some ops alone.
    #[must_use]
    pub fn is_litert(self) -> bool {
        matches!(self, Self::LitertInt8 | Self::LitertUint8)
    }

    /// Weights as its kernels want them.
    #[must_use]
    pub fn weights(self) -> Weights {
        match self {
            Self::LitertInt8 | Self::Openvino => Weights::SymmetricPerChannel,
            Self::LitertUint8 => Weights::Asymmetric,
        }
    }

    /// Checks that the converter makes of weights of so many bits what they say.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] if it does not.
    pub fn check(self, weights: Weights, bits: u8) -> Result<()> {
        if !(2..=8).contains(&bits) || (bits == 3 && self == Self::LitertInt8) {
            let what = format!("{bits}-bit weights do not come through the converter");
            return Err(Error::new(ErrorKind::Options, what).hint(
                "the converter stores 4 bits as int4 and 5 to 8 as int8; 3 bits it rounds twice, to wrong numbers",
            ));
        }
        if self == Self::LitertInt8 && weights == Weights::Asymmetric {
            return Err(Error::new(ErrorKind::Options, "int8 kernels do not take asymmetric weights")
                .hint("their convolutions fail on a zero point other than zero: use symmetric-per-channel"));
        }
        Ok(())
    }
}

/// A range that was given for an activation or an input.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenRange {
    /// The fake quantizer, or the tensor that it rounds, or both.
    pub names: Vec<String>,
    /// Lower and upper end.
    pub ends: [f32; 2],
    /// The bits that the range was made for, where that was said.
    pub bits: Option<i64>,
    /// Where it was found, such as a line of a file.
    pub place: String,
    /// Whether it is an error that the graph has nothing of these names.
    pub must_fit: bool,
}

/// Ranges of activations and inputs.
#[derive(Debug, Clone, Default)]
pub struct GivenRanges {
    ranges: Vec<GivenRange>,
    by_name: HashMap<String, usize>,
    /// For all names that match as a whole.
    by_pattern: Vec<(Regex, usize)>,
}

/// Whether these ends are a range: numbers, with zero between them.
#[must_use]
pub fn is_range([min, max]: [f32; 2]) -> bool {
    min.is_finite() && max.is_finite() && min <= 0.0 && max >= 0.0 && min < max
}

impl GivenRanges {
    /// Takes one more; of two for one name, the later one counts.
    pub fn add(&mut self, range: GivenRange) {
        for name in &range.names {
            self.by_name.insert(name.clone(), self.ranges.len());
        }
        self.ranges.push(range);
    }

    /// Takes a range for all tensors and ops whose names the pattern describes, where no name has one of its own; of two,
    /// the earlier one counts.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] for what is no pattern.
    pub fn add_for_all(&mut self, pattern: &str, range: GivenRange) -> Result<()> {
        let whole = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
            let told = error.to_string();
            let why = told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Error::new(ErrorKind::Options, format!("{}: '{pattern}' is no pattern: {why}", range.place))
        })?;
        self.by_pattern.push((whole, self.ranges.len()));
        self.ranges.push(range);
        Ok(())
    }

    /// Takes other names for a range that has been taken, as far as nothing has them yet.
    pub fn also_call(&mut self, range: &str, names: impl IntoIterator<Item = String>) {
        let Some(&place) = self.by_name.get(range) else { return };
        for name in names {
            self.by_name.entry(name).or_insert(place);
        }
    }

    /// The range of the first of these names that there is one for.
    #[must_use]
    pub fn find(&self, names: &[&str]) -> Option<&GivenRange> {
        let by_name = names.iter().find_map(|&name| self.by_name.get(name));
        let place = by_name.copied().or_else(|| {
            let matches = |pattern: &Regex| {
                names.iter().any(|&name| {
                    pattern.is_match(name) || name.strip_suffix(":0").is_some_and(|op| pattern.is_match(op))
                })
            };
            self.by_pattern.iter().find(|(pattern, _)| matches(pattern)).map(|&(_, place)| place)
        })?;
        self.ranges.get(place)
    }

    /// The same, found in the file of that name.
    #[must_use]
    pub fn in_file(mut self, file: &str) -> Self {
        self.ranges.iter_mut().for_each(|range| range.place = format!("{file}: {}", range.place));
        self
    }

    /// All of them, as they were given.
    pub fn iter(&self) -> impl Iterator<Item = &GivenRange> {
        self.ranges.iter()
    }
}

/// Ranges that are constants of an eval graph: those of weights come from the weights, those of activations are given.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ConstantRanges {
    /// The converter that takes the result, which says where ranges are wanted; without one, they are where TensorFlow's
    /// own rewriter puts them.
    pub target: Option<Target>,
    /// How to quantize weights.
    pub weights: Weights,
    /// The ranges of activations and inputs.
    #[serde(rename = "given_ranges", serialize_with = "how_many")]
    pub given: GivenRanges,
    /// The range of an activation that none is given for; without it, that is an error.
    #[serde(rename = "default_range")]
    pub default: Option<[f32; 2]>,
    /// Whether the float inputs of the graph get a range too.
    pub quantize_inputs: bool,
    /// The range of inputs that none is given for.
    pub input_range: Option<[f32; 2]>,
    /// Up to how many steps loops of a known length are written out, for LiteRT; 128, if it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unroll: Option<usize>,
}

fn how_many<S: Serializer>(given: &GivenRanges, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(given.ranges.len() as u64)
}
