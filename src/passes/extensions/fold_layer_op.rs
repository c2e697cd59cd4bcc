//! Batch norms of transposed and of three-dimensional convolutions.
//!
//! # What it does
//! Folds a batch norm behind Conv2DBackpropInput or Conv3D as one behind Conv2D is folded. The filter of a transposed
//! convolution has its output channels on the axis before the last, so that is the axis to scale, and it is read before
//! the data.
//!
//! # When it applies
//! To every form of batch norm that folds behind a Conv2D, training and eval.
//!
//! # What it leaves alone
//! Batch norms of BatchMatMul, whose weights may have batches of their own.
//!
//! # Example
//! `up/conv2d_transpose → up/FusedBatchNormV3 → up/Relu` becomes
//! `up/mul_fold → up/conv2d_transpose_Fold → up/add_fold → up/Relu`.

use super::folded_weights;
use crate::graph::op_class::{is_reference_layer, takes_batch_norm};
use crate::graph::{Graph, NodeId, TensorRef};

/// Whether what such a layer reads as its filter is the product that folding makes.
pub(super) fn is_folded(graph: &Graph, layer: NodeId, filter: TensorRef) -> bool {
    let is_filter = graph.data_input(layer, 1) == Some(filter);
    let is_product = graph.op(filter.node) == "Mul" && folded_weights::is_folded(graph, filter.node, true);
    takes_batch_norm(graph.op(layer)) && !is_reference_layer(graph.op(layer)) && is_filter && is_product
}

/// What the layer computes on: no weights, and no size.
pub(in crate::passes) fn data(graph: &Graph, layer: NodeId) -> Option<TensorRef> {
    graph.data_input(layer, if graph.op(layer) == "Conv2DBackpropInput" { 2 } else { 0 })
}
