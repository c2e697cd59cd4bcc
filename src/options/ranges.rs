//! Ranges that are constants: what is chosen about them.

use hashbrown::HashMap;
use serde::{Serialize, Serializer};

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

/// Ranges by the names of fake quantizers and of the tensors that they round: lower and upper end.
#[derive(Debug, Clone, Default)]
pub struct GivenRanges(HashMap<String, [f32; 2]>);

/// Whether these ends are a range: numbers, with zero between them.
#[must_use]
pub fn is_range([min, max]: [f32; 2]) -> bool {
    min.is_finite() && max.is_finite() && min <= 0.0 && max >= 0.0 && min < max
}

impl GivenRanges {
    /// Takes a range for something of that name.
    pub fn insert(&mut self, name: String, range: [f32; 2]) {
        self.0.insert(name, range);
    }

    /// The range of the first of these names that there is one for.
    #[must_use]
    pub fn find(&self, names: &[&str]) -> Option<[f32; 2]> {
        names.iter().find_map(|&name| self.0.get(name).copied())
    }
}

/// Ranges that are constants of an eval graph: those of weights come from the weights, those of activations are given.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ConstantRanges {
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
}

fn how_many<S: Serializer>(given: &GivenRanges, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(given.0.len() as u64)
}
