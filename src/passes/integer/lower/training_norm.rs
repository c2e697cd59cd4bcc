//! Batch norms in training mode, which normalize by what they read: Keras 2 makes layer norms and group norms of them, with
//! samples in the place of channels.
//!
//! Left alone are those whose means or variances are read, or whose scale or offset is neither constant nor filled with ones
//! or zeros.

use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::{Graph, NodeId, TensorRef};

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrainingNorm {
    x: TensorRef,
    epsilon: f32,
    channels_first: bool,
    /// Filled with ones.
    has_no_scale: bool,
    /// Filled with zeros.
    has_no_offset: bool,
    scale: TensorRef,
    offset: TensorRef,
}

/// The one that a node is.
pub(super) fn find(graph: &Graph, node: NodeId) -> Option<TrainingNorm> {
    let reads_statistics = graph.uses(node).filter_map(|usage| usage.input.tensor()).any(|tensor| tensor.port > 0);
    if reads_statistics || !graph.attr_bool(node, "is_training").unwrap_or(true) {
        return None;
    }
    let [x, scale, offset] = [graph.data_input(node, 0)?, graph.data_input(node, 1)?, graph.data_input(node, 2)?];
    let channels_first = graph.attr_str(node, "data_format").is_some_and(|format| format == "NCHW");
    let (has_no_scale, has_no_offset) = (is_filled(graph, scale, 1.0), is_filled(graph, offset, 0.0));
    let is_simple = |tensor: TensorRef, is_none: bool| is_none || !channels_first && graph.op(tensor.node) == "Const";
    (is_simple(scale, has_no_scale) && is_simple(offset, has_no_offset)).then_some(TrainingNorm {
        x,
        epsilon: graph.attr_float(node, "epsilon").unwrap_or(1e-4),
        channels_first,
        has_no_scale,
        has_no_offset,
        scale,
        offset,
    })
}

#[allow(clippy::float_cmp)] // the number stands in the graph as it is
fn is_filled(graph: &Graph, tensor: TensorRef, number: f32) -> bool {
    graph.op(tensor.node) == "Fill"
        && graph.data_input(tensor.node, 1).and_then(|value| graph.const_float(value)) == Some(number)
}

impl TrainingNorm {
    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        let axes: &[i32] = if self.channels_first { &[0, 2, 3] } else { &[0, 1, 2] };
        let mean = parts.mean("mean", self.x, axes)?;
        let squares = parts.binary("squares", "SquaredDifference", self.x, mean)?;
        let variance = parts.mean("variance", squares, axes)?;
        let more = parts.with("more", "AddV2", variance, self.epsilon)?;
        let root = parts.unary("root", "Rsqrt", more)?;
        let centred = parts.binary("centred", "Sub", self.x, mean)?;
        let [scale, offset] = [!self.has_no_scale, !self.has_no_offset];
        let mut last = parts.binary(if scale || offset { "normal" } else { END }, "Mul", centred, root)?;
        if scale {
            last = parts.binary(if offset { "scaled" } else { END }, "Mul", last, self.scale)?;
        }
        if offset {
            last = parts.binary(END, "AddV2", last, self.offset)?;
        }
        Ok(last)
    }
}
