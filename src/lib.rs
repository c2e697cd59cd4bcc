//! Rewrites TensorFlow graph files for simulated quantization.
//!
//! A [`container::Model`] is opened from the bytes of a GraphDef, MetaGraphDef or SavedModel; [`rewrite::rewrite`] folds
//! batch norms and inserts fake quantizers the way TensorFlow's own rewriter does, and says what it did; the model is then
//! written back with every byte kept that the passes did not change.
//!
//! ```
//! use tfquant::container::{Encoding, Model, OpenOptions};
//! use tfquant::passes::{fold_batch_norms, quantize};
//! use tfquant::rewrite::{Fold, Quantize, RewriteOptions, rewrite};
//!
//! # fn main() -> tfquant::error::Result<()> {
//! # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/mobilenet_v1.meta");
//! let source = tfquant::source::open(file.as_ref())?;
//! let mut model = Model::open_source(&source, &OpenOptions::default())?;
//! let options = RewriteOptions {
//!     fold: Some(Fold::Names(fold_batch_norms::Options::default())),
//!     quantize: Some(Quantize::Names(quantize::Options { quant_delay: Some(2000), ..Default::default() })),
//!     ..Default::default()
//! };
//! let report = rewrite(&mut model, &options)?;
//! assert_eq!(report.summary.quantized, 28);
//!
//! let mut rewritten = Vec::new();
//! model.write(&model.to_splice()?, Encoding::Binary, &mut rewritten)?;
//! # Ok(())
//! # }
//! ```

pub mod build;
pub mod calibrate;
pub mod collections;
pub mod container;
pub mod error;
pub mod graph;
pub mod graph_matcher;
pub mod inspect;
pub mod interpreter;
pub mod output;
pub mod passes;
pub mod proto;
pub mod quant_ops;
pub mod report;
pub mod rewrite;
pub mod samples;
pub mod source;
pub mod wire;
