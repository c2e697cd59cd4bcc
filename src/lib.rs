//! Rewrites TensorFlow graph files for simulated quantization.
//!
//! A [`Model`] is opened from a GraphDef, MetaGraphDef or SavedModel; [`rewrite()`] folds batch norms and inserts fake
//! quantizers the way TensorFlow's own rewriter does, and says what it did; what the model has become is then written with
//! every byte kept that the passes did not change.
//!
//! ```
//! use tfquant::{Encoding, Model, Quantize, RewriteOptions, rewrite};
//!
//! # fn main() -> tfquant::Result<()> {
//! # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/mobilenet_v1.meta");
//! let mut model = Model::open_path(file.as_ref())?;
//! let quantize = Quantize { quant_delay: Some(2000), ..Quantize::default() };
//! let rewritten = rewrite(&mut model, &RewriteOptions { quantize: Some(quantize), ..RewriteOptions::default() })?;
//! assert_eq!(rewritten.report.summary.quantized, 28);
//!
//! let mut bytes = Vec::new();
//! rewritten.output.write(Encoding::Binary, &mut bytes)?;
//! # Ok(())
//! # }
//! ```

#![warn(unreachable_pub)]

pub mod calibrate;
#[cfg(test)]
mod cases;
pub mod checkpoint;
#[doc(hidden)]
pub mod cli;
mod collections;
mod container;
pub mod document;
mod drop_training;
mod error;
pub mod freeze;
mod graph;
pub mod inspect;
pub mod interpreter;
mod nodes;
mod options;
pub mod output;
pub mod page;
mod passes;
mod proto;
pub mod report;
mod rewrite;
pub mod samples;
pub mod source;
mod threads;
mod wire;

pub use container::{Encoded, Encoding, MessageKind, Model, OpenOptions};
pub use error::{Error, ErrorKind, Printable, Result};
pub use graph::write::Sink;
pub use options::{
    Common, ConstantRanges, GivenRange, GivenRanges, NamesOnly, Quantize, RewriteOptions, Rules, Selection, Target,
    TopologyOnly, Weights, is_range,
};
pub use passes::decisions;
pub use rewrite::{Rewritten, other_rules, rewrite};

/// The rooms behind the doors, for this project's own tests and fuzz targets. No part of the interface.
#[doc(hidden)]
pub mod internals {
    pub use crate::checkpoint::index as checkpoint_index;
    pub use crate::container::text;
    pub use crate::graph::attr::{self, Attrs};
    pub use crate::graph::name;
    pub use crate::graph::read::parse;
    pub use crate::graph::shape::{Dims, ShapeCache, shape_text};
    pub use crate::graph::verify::check_acyclic;
    pub use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
    pub use crate::proto::tensorflow;
    pub use crate::wire::{Field, Fields, last_varint, put_bytes, put_header, put_uint, put_varint};
}
