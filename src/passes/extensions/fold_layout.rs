//! Folded layers that keep their dilations, data format and transposition.
//!
//! # What it does
//! Copies all that a layer computes by: dilations, the way back from batches to space, explicit padding, the data format.
//! Scales the axis of the weights that makes channels, and adds the bias along the channels.
//!
//! # When it applies
//! Where the reference's folded layer would compute something else than the layer and its batch norm: it copies neither
//! dilations nor a convolution's BatchToSpaceND, scales transposed weights along the wrong axis, takes a depthwise layer to
//! have its channels last, and adds the bias along the last axis whatever the data format.
//!
//! # What it leaves alone
//! Data formats other than NHWC and NCHW.
//!
//! # Example
//! `Conv2D (dilations 1,2,2,1) → FusedBatchNormV3` becomes `mul_fold → Conv2D_Fold (dilations 1,2,2,1) → add_fold`.

use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId};

/// What the reference's folded layer computes otherwise; `None` if it computes the same.
pub(in crate::passes) fn lost_by_reference(
    graph: &Graph,
    layer: NodeId,
    batch_to_space: Option<NodeId>,
) -> Option<&'static str> {
    let is_depthwise = graph.op(layer) == "DepthwiseConv2dNative";
    let is_dilated = graph.attr_ints(layer, "dilations").is_some_and(|dilations| dilations.iter().any(|&by| by > 1));
    if batch_to_space.is_some() && !is_depthwise {
        Some("the folded layer is not put back from batches to space")
    } else if is_dilated {
        Some("the folded layer has no dilations")
    } else if is_channels_second(graph, layer) {
        Some("the layer is NCHW, but the folded bias is added along the last axis")
    } else if is_transposed(graph, layer) {
        Some("the layer reads its weights transposed, but they are scaled along the axis of its input")
    } else {
        None
    }
}

/// Whether the layer is NCHW.
pub(in crate::passes) fn is_channels_second(graph: &Graph, layer: NodeId) -> bool {
    graph.op(layer) != "MatMul" && graph.attr_str(layer, "data_format").is_some_and(|format| format.starts_with("NC"))
}

/// Whether the channels that the layer makes are on the axis of its weights before the last.
pub(in crate::passes) fn has_channels_before_last(graph: &Graph, layer: NodeId) -> bool {
    graph.op(layer) == "Conv2DBackpropInput" || is_transposed(graph, layer)
}

/// Whether the layer reads its weights with the channels on the first axis.
pub(in crate::passes) fn is_transposed(graph: &Graph, layer: NodeId) -> bool {
    graph.op(layer) == "MatMul" && graph.attr_bool(layer, "transpose_b") == Some(true)
}

/// Whether a BatchToSpaceND leaves the channels where they are: none of its blocks is of them.
pub(in crate::passes) fn spares_channels(
    graph: &Graph,
    shapes: &mut ShapeCache,
    batch_to_space: NodeId,
    channel_axis: usize,
) -> bool {
    let Some(block) = graph.data_input(batch_to_space, 1) else { return false };
    // The first block is that of the axis behind the batch.
    let place = channel_axis - 1;
    match (graph.const_ints(block), graph.static_shape_with(block, shapes).as_deref()) {
        (Some(sizes), _) => sizes.get(place).is_none_or(|&size| size == 1),
        (None, Some([Some(blocks)])) => usize::try_from(*blocks).is_ok_and(|blocks| blocks <= place),
        _ => false,
    }
}
