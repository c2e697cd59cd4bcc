//! TensorFlow's protobuf messages: the one place that names generated code.
//!
//! `build.rs` generates the types from the interface files in `proto/`. The containers and the graph never decode a
//! whole file with them, as prost drops fields it does not know; they serve for the small messages a pass reads or
//! makes (attributes, tensors, variables, contexts). [`descriptors`] drives the text format in `container::text`.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

#[allow(missing_docs, dead_code, unreachable_pub, clippy::all, clippy::pedantic)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tensorflow_protos.rs"));
}

pub(crate) use generated::mlir::quant;
pub use generated::tensorflow;

static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let encoded = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));
    #[expect(
        clippy::expect_used,
        reason = "the build script compiled and checked these very bytes; no input reaches them"
    )]
    DescriptorPool::decode(encoded.as_slice()).expect("the embedded descriptors decode")
});

/// The descriptors of every vendored message, decoded on first use.
#[must_use]
pub(crate) fn descriptors() -> &'static DescriptorPool {
    &DESCRIPTORS
}

/// The descriptor of a vendored message, by its full name.
pub(crate) fn descriptor(full_name: &str) -> MessageDescriptor {
    #[expect(clippy::expect_used, reason = "callers name messages of the vendored files, never of an input")]
    DESCRIPTORS.get_message_by_name(full_name).expect("a vendored message")
}
