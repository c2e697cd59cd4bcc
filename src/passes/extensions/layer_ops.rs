//! Layers of other ops.
//!
//! # What it does
//! Quantizes weights and output of Conv2DBackpropInput (a transposed convolution), Conv3D and BatchMatMul with one
//! constant side, as the reference does for Conv2D, MatMul and DepthwiseConv2dNative.
//!
//! # When it applies
//! Where the filter, or one side of the product, is a variable or a constant.
//!
//! # What it leaves alone
//! Products of two activations, as in attention. Convolutions of a gradient.
//!
//! # Example
//! `kernel/read → conv2d_transpose → BiasAdd → Relu` gets `weights_quant` behind `kernel/read` and `act_quant` behind
//! `Relu`.

use crate::graph::{Graph, NodeId};
use crate::passes::decisions::Extension;

/// Which inputs may be the weights of a layer op, in order of preference, and whether the op takes this rule.
pub(in crate::passes) fn weight_inputs(graph: &Graph, node: NodeId) -> Option<(&'static [usize], Option<Extension>)> {
    match graph.op(node) {
        "Conv2D" | "DepthwiseConv2dNative" => Some((&[1], None)),
        "MatMul" => Some((&[1, 0], None)),
        "Conv2DBackpropInput" | "Conv3D" => Some((&[1], Some(Extension::LayerOp))),
        "BatchMatMul" | "BatchMatMulV2" | "BatchMatMulV3" => Some((&[1, 0], Some(Extension::LayerOp))),
        _ => None,
    }
}

/// Whether the op is one that these rules quantize as a layer.
#[must_use]
pub(crate) fn is_layer_op(graph: &Graph, node: NodeId) -> bool {
    weight_inputs(graph, node).is_some()
}

/// Whether there is any such op.
#[must_use]
pub(crate) fn has_layers(graph: &Graph) -> bool {
    graph.ids().any(|node| is_layer_op(graph, node))
}
