//! The rules of TensorFlow 1.15: layers are known by structure, whatever their nodes are called.

pub(crate) mod fold;
pub(crate) mod quantize;
pub(crate) mod training_ops;
