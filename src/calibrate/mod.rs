//! Ranges from samples: what a float graph's tensors are while it runs on data, and which range that makes each.
//!
//! [`data`] makes samples of files. [`collect`] runs a plan on samples, in any number of threads, and keeps [`Statistics`] of each tensor: a pair of
//! extremes for each sample and, where a method needs it, a [`Histogram`]. [`Method`] makes ranges of them, and
//! [`calibrate`] a quantized model of a float one. Nothing
//! depends on which thread saw which sample when: extremes are kept by sample, histograms merge exactly, sums are taken in
//! blocks of samples. [`compare`] tells how near two models are on the same samples.

// Counts are converted to floats to be divided, bins to indices they are bounded to.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::similar_names
)]

mod best;
mod blocks;
mod collect;
pub mod compare;
mod correct;
pub mod data;
mod entropy;
mod feed;
mod fidelity;
mod handed;
mod head;
mod histogram;
mod look;
mod measured;
mod method;
mod model;
mod options;
mod ready;
pub mod report;
mod squared_error;
mod statistics;
mod top1;
mod work;

pub use crate::options::{Target, Weights};
pub use best::TriedMethod;
pub use collect::{Options, Runs, collect};
pub use feed::Feed;
pub use fidelity::Fidelity;
pub use histogram::Histogram;
pub use method::{Method, Range};
pub use model::{Calibrated, calibrate};
pub use options::{CalibrateOptions, Measure, Repairs};
pub use statistics::{Extremes, Statistics};
pub use top1::{Labels, Top1};
