//! Rewrites TensorFlow graph files for simulated quantization.

pub mod build;
pub mod collections;
pub mod container;
pub mod error;
pub mod graph;
pub mod graph_matcher;
pub mod inspect;
pub mod output;
pub mod passes;
pub mod proto;
pub mod quant_ops;
pub mod report;
pub mod rewrite;
pub mod source;
pub mod wire;
