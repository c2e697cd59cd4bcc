//! Depthwise convolutions written as one convolution for each channel: `Split`, as many `Conv2D`, `ConcatV2`. Converters from
//! other frameworks write them so; the device runs hundreds of ops where one does.
//!
//! Left alone are those of several channels each, with channels first, and those whose convolutions are read by others too.

use super::super::constants::Constants;
use super::super::network::weights;
use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::Attrs;
use crate::graph::shape::{ShapeCache, wrapped};
use crate::graph::{Graph, NodeId, TensorRef, only};
use crate::proto::tensorflow::DataType;

/// One of them.
#[derive(Debug)]
pub(super) struct Channels {
    x: TensorRef,
    /// Height, width, one, and all channels that come out.
    weights: TensorRef,
    /// Height, width, the channels that are read, and how many each becomes.
    dims: Vec<i32>,
    window: Window,
}

/// How a convolution moves.
#[derive(Debug, PartialEq)]
struct Window {
    strides: Vec<i64>,
    dilations: Vec<i64>,
    padding: String,
}

/// The one whose end a node is.
pub(super) fn find(graph: &Graph, constants: &Constants, node: NodeId, shapes: &mut ShapeCache) -> Option<Channels> {
    let inputs: Vec<TensorRef> = graph.data_inputs(node).collect();
    let (axis, joined) = inputs.split_last().filter(|(_, joined)| joined.len() > 1)?;
    let is_last =
        |axis: TensorRef| matches!(graph.const_ints(axis).as_deref(), Some(&[axis]) if wrapped(axis, 4) == Some(3));
    let first = joined.first()?.node;
    let [parts, kernels] = [graph.data_input(first, 0)?.node, weights(graph, first)?.node];
    let window = window(graph, first).filter(|_| is_last(*axis))?;
    let is_part = |(place, conv): (u32, &TensorRef)| {
        let conv = conv.node;
        graph.op(conv) == "Conv2D"
            && graph.data_input(conv, 0) == Some(TensorRef { node: parts, port: place })
            && weights(graph, conv) == Some(TensorRef { node: kernels, port: place })
            && only(graph.consumers(conv)) == Some(node)
            && self::window(graph, conv).as_ref() == Some(&window)
    };
    let whole = |split: NodeId| {
        let is_split = graph.op(split) == "Split" && graph.control_inputs(split).next().is_none();
        let into = graph.attr_int(split, "num_split").and_then(|into| usize::try_from(into).ok());
        let axis = graph.data_input(split, 0).filter(|&axis| is_split && into == Some(joined.len()) && is_last(axis));
        axis.and_then(|_| graph.data_input(split, 1))
    };
    let (x, weights) = (whole(parts)?, whole(kernels).filter(|weights| constants.contain(weights.node))?);
    let size = graph.complete_shape_with(weights, shapes)?;
    let &[height, width, 1, outputs] = &size[..] else { return None };
    let channels = i64::try_from(joined.len()).ok()?;
    if !(0..).zip(joined).all(is_part) || outputs % channels != 0 {
        return None;
    }
    let dims = [height, width, channels, outputs / channels].map(|dim| i32::try_from(dim).ok());
    Some(Channels { x, weights, dims: dims.into_iter().collect::<Option<_>>()?, window })
}

/// How a convolution with channels last moves, if it does so equally both ways.
fn window(graph: &Graph, conv: NodeId) -> Option<Window> {
    let ones = || vec![1; 4];
    let strides = graph.attr_ints(conv, "strides").unwrap_or_else(ones);
    let dilations = graph.attr_ints(conv, "dilations").unwrap_or_else(ones);
    let padding = graph.attr_str(conv, "padding").filter(|padding| padding == "SAME" || padding == "VALID")?;
    let is_equal = |steps: &[i64]| matches!(*steps, [1, high, wide, 1] if high == wide);
    let is_plain = graph.attr_str(conv, "data_format").is_none_or(|format| format == "NHWC")
        && graph.control_inputs(conv).next().is_none();
    (is_plain && is_equal(&strides) && is_equal(&dilations)).then_some(Window { strides, dilations, padding })
}

impl Channels {
    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        let kernel = parts.reshape("kernel", self.weights, &self.dims)?;
        let Window { strides, dilations, padding } = self.window;
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat).ints("strides", &strides).ints("dilations", &dilations);
        attrs.str("padding", &padding).str("data_format", "NHWC");
        parts.insert(END, "DepthwiseConv2dNative", &[self.x, kernel], &attrs)
    }
}
