//! Dilated convolutions that read blocks: `SpaceToBatchND`, a convolution of them, `BatchToSpaceND`. TensorFlow writes those of
//! one dimension so, and version 1 all of them; the converter sees one only where it knows the batch.
//!
//! Left alone are those with strides, with channels first, and those around whose image lies neither nothing nor what `SAME` puts
//! there.

use super::super::constants::Constants;
use super::super::network::weights;
use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef, only};
use crate::proto::tensorflow::DataType;

/// One of them.
#[derive(Debug)]
pub(super) struct Dilated {
    x: TensorRef,
    weights: TensorRef,
    is_depthwise: bool,
    /// Whether the first of the two dimensions is one that is added for the convolution.
    of_one: bool,
    rates: [i64; 2],
    /// Whether zeros are put around the image, such that the result is as large.
    is_same: bool,
}

/// The one whose end a node is.
pub(super) fn find(graph: &Graph, constants: &Constants, node: NodeId, shapes: &mut ShapeCache) -> Option<Dilated> {
    let read_alone = |reader: NodeId| {
        let tensor = graph.data_input(reader, 0)?;
        (only(graph.consumers(tensor.node)) == Some(reader)).then_some(tensor.node)
    };
    let mut conv = read_alone(node)?;
    let of_one = graph.op(conv) == "Squeeze";
    if of_one {
        let axes = graph.attr_ints(conv, "squeeze_dims")?;
        conv = read_alone(conv).filter(|_| axes == [1] || axes == [-3])?;
    }
    let is_depthwise = graph.op(conv) == "DepthwiseConv2dNative";
    let weights = weights(graph, conv).filter(|weights| constants.contain(weights.node))?;
    if !(is_depthwise || graph.op(conv) == "Conv2D") || !is_plain(graph, conv) {
        return None;
    }
    let mut before = read_alone(conv)?;
    if of_one {
        let axis = graph.const_ints(graph.data_input(before, 1).filter(|_| graph.op(before) == "ExpandDims")?)?;
        before = read_alone(before).filter(|_| axis == [1] || axis == [-3])?;
    }
    let rates = ints(graph, node, 1)?;
    if graph.op(before) != "SpaceToBatchND" || ints(graph, before, 1)? != rates {
        return None;
    }
    let (around, cut) = (ints(graph, before, 2)?, ints(graph, node, 2)?);
    if rates.len() != if of_one { 1 } else { 2 } || around.len() != 2 * rates.len() || cut.len() != around.len() {
        return None;
    }
    let left: Option<Vec<i64>> = around.iter().zip(&cut).map(|(&around, &cut)| around.checked_sub(cut)).collect();
    let left = left.filter(|left| left.iter().all(|&zeros| zeros >= 0) && rates.iter().all(|&rate| rate > 0))?;
    let (rates, padding) = match (&rates[..], &left[..]) {
        (&[rate], &[before, behind]) => ([1, rate], [[0, 0], [before, behind]]),
        (&[high, wide], &[above, below, before, behind]) => ([high, wide], [[above, below], [before, behind]]),
        _ => return None,
    };
    let size = graph.complete_shape_with(weights, shapes).filter(|size| size.len() == 4)?;
    let is_same = (0..2).all(|axis| {
        let all = size[axis].saturating_sub(1).saturating_mul(rates[axis]);
        padding[axis] == [all / 2, all - all / 2]
    });
    let x = graph.data_input(before, 0).filter(|_| is_same || padding == [[0; 2]; 2])?;
    Some(Dilated { x, weights, is_depthwise, of_one, rates, is_same })
}

/// Whether the convolution takes each place of what it reads, and nothing around it.
fn is_plain(graph: &Graph, conv: NodeId) -> bool {
    let are_ones = |attr: &str| graph.attr_ints(conv, attr).is_none_or(|ints| ints.iter().all(|&int| int == 1));
    graph.attr_str(conv, "padding").as_deref() == Some("VALID")
        && graph.attr_str(conv, "data_format").is_none_or(|format| format == "NHWC")
        && ["strides", "dilations"].into_iter().all(are_ones)
        && graph.control_inputs(conv).next().is_none()
}

fn ints(graph: &Graph, node: NodeId, input: usize) -> Option<Vec<i64>> {
    graph.const_ints(graph.data_input(node, input)?)
}

impl Dilated {
    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        let mut x = self.x;
        if self.of_one {
            let axis = parts.constant("expanded", &Value::Int32(1))?;
            let mut attrs = Attrs::default();
            attrs.data_type("T", DataType::DtFloat).data_type("Tdim", DataType::DtInt32);
            x = parts.insert("expanded", "ExpandDims", &[x, axis], &attrs)?;
        }
        let mut attrs = Attrs::default();
        let [high, wide] = self.rates;
        attrs.data_type("T", DataType::DtFloat).ints("strides", &[1; 4]).ints("dilations", &[1, high, wide, 1]);
        attrs.str("padding", if self.is_same { "SAME" } else { "VALID" }).str("data_format", "NHWC");
        let op = if self.is_depthwise { "DepthwiseConv2dNative" } else { "Conv2D" };
        let conv = parts.insert(if self.of_one { "conv" } else { END }, op, &[x, self.weights], &attrs)?;
        if !self.of_one {
            return Ok(conv);
        }
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat).ints("squeeze_dims", &[1]);
        parts.insert(END, "Squeeze", &[conv], &attrs)
    }
}
