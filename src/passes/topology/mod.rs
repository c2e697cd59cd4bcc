//! The rules of TensorFlow 1.15: layers are known by structure, whatever their nodes are called.

pub mod fold;
pub mod quantize;
pub mod training_ops;
