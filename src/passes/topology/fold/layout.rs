//! Where the channels are: numbers per channel laid out beside a layer's weights, and beside what it yields.

use super::clone::Keeping;
use super::shapes::FoldShapes;
use crate::error::Result;
use crate::graph::{NodeId, TensorRef};
use crate::nodes::Builder;
use crate::passes::extensions::fold_layout::{has_channels_before_last, is_channels_second};
use crate::proto::tensorflow::DataType;

/// How a layer's scale must be laid out to multiply its weights; `None` where a vector does.
pub(super) fn scale_dims(
    b: &Builder<'_>,
    shapes: &mut FoldShapes,
    keeping: Keeping,
    [layer, at]: [NodeId; 2],
    weights: TensorRef,
) -> Result<Option<[i32; 2]>> {
    if b.graph.op(layer) == "DepthwiseConv2dNative" {
        return shapes.depthwise_scale(b.graph, weights, at).map(Some).map_err(|refusal| refusal.error);
    }
    Ok((keeping == Keeping::All && has_channels_before_last(b.graph, layer)).then_some([-1, 1]))
}

/// A vector of one number per channel, laid out to be combined with what the layer yields.
pub(super) fn along_channels(
    b: &mut Builder<'_>,
    keeping: Keeping,
    layer: NodeId,
    name: &str,
    vector: TensorRef,
) -> Result<TensorRef> {
    if keeping == Keeping::AsReference || !is_channels_second(b.graph, layer) {
        return Ok(vector);
    }
    let dims: &[i32] = if b.graph.op(layer) == "Conv3D" { &[1, -1, 1, 1, 1] } else { &[1, -1, 1, 1] };
    b.reshape(name, vector, dims, DataType::DtFloat as i32)
}
