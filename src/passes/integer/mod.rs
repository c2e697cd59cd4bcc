//! A float network as converters to integer arithmetic want it: batch norms folded into weights, and a range, which is a
//! constant, for every tensor that needs one. No training rewrite is imitated here, and no name of one.
//!
//! [`half`] and [`indices`] first see to the types, [`lists`] and [`unroll`] to loops, [`identities`] and [`turns`] clear the
//! way between layers; [`fused`] and [`lower`] write what is there in ops that have integer kernels. [`fold`] comes next, where
//! that is asked for [`equalize`] too. [`points`] then says which tensors need a range, whoever calls finds the ranges out, and
//! [`place`] and [`weights`] put the fake quantizers in.

pub(crate) mod before_reshape;
pub(crate) mod bias;
pub(crate) mod branches;
pub(crate) mod computed_shapes;
pub(crate) mod constants;
pub(crate) mod early_bias;
pub(crate) mod equalize;
#[cfg(test)]
mod equalize_tests;
pub(crate) mod fold;
pub(crate) mod fused;
pub(crate) mod half;
pub(crate) mod identities;
pub(crate) mod indices;
pub(crate) mod insert;
pub(crate) mod kernels;
pub(crate) mod lists;
pub(crate) mod loops;
pub(crate) mod lower;
pub(crate) mod masks;
pub(crate) mod network;
mod new_nodes;
mod parts;
pub(crate) mod place;
pub(crate) mod points;
pub(crate) mod sums;
#[cfg(test)]
mod tests;
pub(crate) mod turns;
pub(crate) mod unread;
pub(crate) mod unroll;
pub(crate) mod weights;

pub use equalize::EqualizedPair;
pub use fold::FoldedChain;
pub use insert::Range;
pub use place::ActivationRange;
pub use weights::QuantizedWeights;
