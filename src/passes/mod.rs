//! The passes: each finds what its rules speak of, edits the graph, and reports every decision.
//!
//! [`common`] and [`input_to_ops`] hold what TensorFlow's rewriter shares between its passes.

pub mod common;
pub mod fold_batch_norms;
pub mod input_to_ops;
pub mod quantize;
