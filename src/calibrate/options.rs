//! What a user chooses about calibrating.

use super::Method;
use crate::interpreter::Limits;
use crate::options::{Target, Weights};

/// How to calibrate.
#[derive(Debug, Clone)]
pub struct CalibrateOptions {
    /// For which converter.
    pub target: Target,
    /// How to quantize weights.
    pub weights: Weights,
    /// Bits for weights.
    pub weight_bits: u8,
    /// How to make ranges of samples: of several ways, by that which leaves the outputs nearest to the float ones.
    pub methods: Vec<Method>,
    /// How many threads run the graph.
    pub threads: usize,
    /// How many samples to use at most.
    pub limit: usize,
    /// What a run may use.
    pub limits: Limits,
    /// Up to how many steps loops of a known length are written out, for LiteRT; 128, if it does not say.
    pub unroll: Option<usize>,
    /// What is done to the network so that it suffers less.
    pub repairs: Repairs,
    /// What is measured of the result.
    pub measure: Measure,
}

/// What is done to a network so that quantizing it costs less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    /// Whether weights are moved between layers, so that channels of one layer are of one size.
    pub equalize: bool,
    /// Whether what quantizing adds to a channel on average is taken off its bias.
    pub correct_bias: bool,
}

/// What is measured of a calibrated model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// Nothing.
    #[default]
    Nothing,
    /// How near each tensor is to the float one.
    Fidelity,
    /// That, and how often which values occur.
    Histograms,
}
