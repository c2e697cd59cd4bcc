//! Runs a frozen graph on samples, without TensorFlow.
//!
//! A [`Plan`] is made of a graph, the tensors that will be fed and those that are asked for: it holds what is to be
//! computed in which order, and the constants. A [`Session`] runs it, one a thread, and shows every tensor to an observer
//! as it is computed; then the tensor goes as soon as no node reads it any more. Memory is that of the weights, which
//! stay in the graph's file where they are aligned there, of the tensors alive at one time, and of some scratch.
//!
//! Each op is a name and a kernel in [`ops`]; [`kernel`] says what that is. [`frames`] and [`function`] find the loops and
//! functions of a graph. Sizes, shapes and indices are an attacker's: [`tensor`] and [`memory`] bound them.

// Sizes of tensors are bounded (`tensor::MAX_ELEMENTS`), converting numbers is what a Cast is for, and one macro writes
// for all types what is needless for some. All kernels have one signature, whether they can fail or not.
#![allow(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::many_single_char_names,
    clippy::needless_for_each,
    clippy::similar_names,
    clippy::unnecessary_wraps
)]

mod budget;
mod extremes;
mod frames;
mod function;
mod gemm;
pub(crate) mod kernel;
mod layout;
mod literal;
mod math;
mod memory;
mod missing;
mod number;
mod ops;
mod plan;
mod run;
pub(crate) mod tensor;
#[cfg(test)]
mod tests;
mod wide;

pub use extremes::Extremes;
pub(crate) use frames::{FrameId, Frames};
pub(crate) use ops::fake_quant::Nudged;
pub(crate) use ops::resize::by_centres;
pub use plan::{Limits, Plan};
pub(crate) use plan::{constant, stored_constants};
pub use run::{Observer, Session};
pub use tensor::{Buffer, DType, Data, Element, Storage, Tensor};
pub(crate) use wide::in_vectors;
