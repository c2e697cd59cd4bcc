//! The rules of October 2017, with the op builders of TensorFlow 1.5: layers are known by the names of their nodes.

mod endpoint;
pub(crate) mod fold;
pub(crate) mod quantize;
