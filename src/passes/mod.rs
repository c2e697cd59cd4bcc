//! The passes: each finds what its rules speak of, edits the graph, and reports every decision.
//!
//! [`names`] are the rules of October 2017 with TensorFlow 1.5, [`topology`] those of 1.15, each with a `fold` and a
//! `quantize`; [`extensions`] go past what TensorFlow does. [`integer`] makes a float network ready for integer
//! arithmetic. What they share stands beside them.

mod batch_norms;
pub(crate) mod constant_ranges;
pub(crate) mod consumers;
pub mod decisions;
pub(crate) mod extensions;
mod graph_matcher;
pub(crate) mod insertion;
pub(crate) mod integer;
pub(crate) mod names;
pub(crate) mod output_names;
pub(crate) mod topology;
