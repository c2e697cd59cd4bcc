//! The fake quantizers of weights, with ranges that the weights themselves say.
//!
//! Integer kernels want weights whose zero is zero: ranges of the same distance from zero on both sides, the lowest level
//! unused. One range a channel is what convolutions take; a depthwise one as `[h, w, 1, channels]`, which a Reshape before
//! and one behind make of its weights. Matrix products and transposed convolutions take one range for all.

use hashbrown::HashMap;
use serde::Serialize;

use super::constants::{Constants, evaluate_as_stored};
use super::insert::{FakeQuant, Range};
use super::network::{Layer, weights};
use super::new_nodes::{beside, constant_at, pivot_of};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::op_class::is_weight_quantizer;
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::interpreter::{Extremes, Limits, Tensor};
use crate::options::{Target, Weights};
use crate::proto::tensorflow::DataType;

/// A fake quantizer of weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuantizedWeights {
    /// The first layer that reads it.
    pub layer: String,
    /// Its op.
    pub op: String,
    /// The fake quantizer.
    pub node: String,
    /// One, or as many as channels.
    pub ranges: usize,
    /// The least of the lower ends.
    pub min: f32,
    /// The greatest of the upper ends.
    pub max: f32,
}

/// A channel whose weights are this much smaller than the largest is quantized as if they were not: otherwise its bias
/// would not fit the 32 bits that it has in levels of weights times input.
const SMALLEST_PART: f32 = 1e-4;

/// How weights are to be quantized.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WeightRules {
    /// The converter that takes the result, if one is known.
    pub target: Option<Target>,
    pub how: Weights,
    pub bits: u8,
}

impl WeightRules {
    /// Whether the converter makes more of weights that have no range: TensorFlow's gives each channel of a transposed
    /// convolution one, that of 2.21 each of a matrix product too, but it takes no such ranges from a graph.
    fn leave(self, graph: &Graph, layer: NodeId) -> bool {
        self.how == Weights::SymmetricPerChannel
            && self.bits == 8
            && self.target == Some(Target::LitertInt8)
            && matches!(graph.op(layer), "MatMul" | "Conv2DBackpropInput")
    }

    /// The ranges and bits that make these levels of the converter's own. OpenVINO computes in integers only where there are
    /// 8 bits: fewer are the middle of those.
    fn stored(self, ranges: Vec<Range>) -> (Vec<Range>, u8) {
        const LEVELS: f32 = 127.0;
        if self.target != Some(Target::Openvino) || self.bits >= 8 || self.how == Weights::Asymmetric {
            return (ranges, self.bits);
        }
        let levels = f32::from((1u8 << (self.bits - 1)) - 1);
        let wider = |range: Range| Range { min: range.min * LEVELS / levels, max: range.max * LEVELS / levels };
        (ranges.into_iter().map(wider).collect(), 8)
    }
}

/// What became of weights.
#[derive(Debug, Default)]
pub(crate) struct WeightsDone {
    pub quantized: Vec<QuantizedWeights>,
    /// Layers whose weights were left to the converter.
    pub left: Vec<String>,
}

/// Puts a fake quantizer between constant weights and the layers that read them, of those that are `chosen`.
///
/// # Errors
/// Those of evaluating the weights and of inserting nodes.
pub(crate) fn quantize(
    graph: &mut Graph,
    rules: WeightRules,
    chosen: &dyn Fn(&str) -> bool,
    limits: &Limits,
) -> Result<WeightsDone> {
    let how = rules.how;
    let mut done = WeightsDone::default();
    if how == Weights::Raw {
        return Ok(done);
    }
    let constants = Constants::of(graph, &graph.run_order());
    let mut found: Vec<(TensorRef, Layer, Vec<NodeId>)> = Vec::new();
    let mut places: HashMap<(TensorRef, bool), usize> = HashMap::new();
    for node in graph.ids() {
        let Some(layer) = Layer::of(graph, node).filter(|_| chosen(graph.name(node))) else { continue };
        let Some(tensor) = weights(graph, node).filter(|tensor| {
            constants.contain(tensor.node)
                && graph.tensor_type(*tensor) == Some(DataType::DtFloat)
                && !is_weight_quantizer(graph.op(tensor.node))
        }) else {
            continue;
        };
        if rules.leave(graph, node) {
            done.left.push(graph.name(node).to_owned());
            continue;
        }
        let place = *places.entry((tensor, layer == Layer::Depthwise)).or_insert_with(|| {
            found.push((tensor, layer, Vec::new()));
            found.len() - 1
        });
        found[place].2.push(node);
    }
    let values = evaluate_as_stored(graph, found.iter().map(|(tensor, ..)| *tensor), limits)?;
    for (tensor, layer, readers) in &found {
        let Some(value) = values.get(tensor) else { continue };
        let per_channel = is_per_channel(*layer, how);
        let (ranges, bits) = rules.stored(ranges(value, *layer, how, per_channel));
        done.quantized.extend(insert(graph, *tensor, *layer, readers, value, &ranges, (per_channel, how, bits))?);
    }
    Ok(done)
}

/// Whether there is a range for each channel of a layer's weights.
pub(crate) fn is_per_channel(layer: Layer, how: Weights) -> bool {
    how == Weights::SymmetricPerChannel && matches!(layer, Layer::Convolution | Layer::Depthwise)
}

/// The ranges of the weights: one, or one for each channel.
pub(crate) fn ranges(weights: &Tensor, layer: Layer, how: Weights, per_channel: bool) -> Vec<Range> {
    let whole = whole(weights);
    let largest = whole.max.max(-whole.min);
    let usable = |size: f32| if size > 0.0 { size } else { 1.0 };
    let symmetric = |size: f32| Range { min: -size, max: size };
    if !per_channel {
        let wide = if largest > 0.0 { whole } else { Range { min: -1.0, max: 1.0 } };
        return vec![if how == Weights::Asymmetric { wide } else { symmetric(usable(largest)) }];
    }
    let Some((channels, 1)) = layer.channels(weights.dims()) else { return Vec::new() };
    sizes(weights, channels).into_iter().map(|size| symmetric(usable(size.max(largest * SMALLEST_PART)))).collect()
}

/// So many weights, or a few more, are looked at at once.
const AT_ONCE: usize = 1 << 14;

/// From the least to the greatest, zero inside; what is no number has no part in it.
fn whole(weights: &Tensor) -> Range {
    let mut range = Range { min: 0.0, max: 0.0 };
    weights.show_floats(AT_ONCE, &mut |values| {
        let Extremes { min, max } = Extremes::of(values).unwrap_or_else(|| {
            let some = |better: fn(f32, f32) -> f32| values.iter().copied().fold(0.0, better);
            Extremes { min: some(f32::min), max: some(f32::max) }
        });
        range = Range { min: range.min.min(min), max: range.max.max(max) };
    });
    range
}

/// The greatest distance from zero in each channel of weights that have their channels last.
fn sizes(weights: &Tensor, channels: usize) -> Vec<f32> {
    let mut sizes = vec![0.0f32; channels];
    let row = channels.max(1);
    weights.show_floats(AT_ONCE.next_multiple_of(row), &mut |values| {
        for row in values.chunks(row) {
            for (size, value) in sizes.iter_mut().zip(row) {
                *size = if value.abs() > *size { value.abs() } else { *size };
            }
        }
    });
    sizes
}

fn insert(
    graph: &mut Graph,
    tensor: TensorRef,
    layer: Layer,
    readers: &[NodeId],
    value: &Tensor,
    ranges: &[Range],
    (per_channel, how, bits): (bool, Weights, u8),
) -> Result<Option<QuantizedWeights>> {
    let Some(&first) = readers.first().filter(|_| !ranges.is_empty()) else { return Ok(None) };
    let (layer_name, op) = (graph.name(first).to_owned(), graph.op(first).to_owned());
    let name = beside(&layer_name, "wq");
    let flat = (per_channel && layer == Layer::Depthwise).then(|| flattened(value.dims())).flatten();
    let mut input = tensor;
    let pivot = pivot_of(graph, tensor.node);
    if let Some([flat, _]) = &flat {
        input = reshape(graph, &format!("{name}/flat"), input, flat, pivot)?;
    }
    let quant =
        FakeQuant { name: &name, input, ranges, per_channel, bits, narrow_range: how != Weights::Asymmetric, pivot };
    let node = quant.insert(graph)?;
    let mut output = TensorRef::from(node);
    if let Some([_, dims]) = &flat {
        output = reshape(graph, &format!("{name}/shaped"), output, dims, pivot)?;
    }
    graph.reroute(tensor, output, readers);
    let told = QuantizedWeights {
        layer: layer_name,
        op,
        node: graph.name(node).to_owned(),
        ranges: ranges.len(),
        min: ranges.iter().map(|range| range.min).fold(0.0, f32::min),
        max: ranges.iter().map(|range| range.max).fold(0.0, f32::max),
    };
    Ok(Some(told))
}

/// The shape that has all channels of a depthwise convolution in its last dimension, and the shape there was.
fn flattened(dims: &[usize]) -> Option<[[i32; 4]; 2]> {
    let mut numbers = [0i32; 4];
    for (number, &dim) in numbers.iter_mut().zip(dims) {
        *number = i32::try_from(dim).ok()?;
    }
    let [height, width, channels, multiplier] = numbers;
    (dims.len() == 4).then_some(())?;
    Some([[height, width, 1, channels.checked_mul(multiplier)?], numbers])
}

fn reshape(graph: &mut Graph, name: &str, input: TensorRef, dims: &[i32], pivot: Option<NodeId>) -> Result<TensorRef> {
    let shape = constant_at(graph, &format!("{name}/shape"), &Value::Int32s(dims), pivot)?;
    let mut attrs = Attrs::default();
    attrs.data_type("T", DataType::DtFloat).data_type("Tshape", DataType::DtInt32);
    let inputs = [Input::Data(input), Input::Data(shape)];
    let name = graph.free_name(name);
    let new = NewNode { name: &name, op: "Reshape", device: "", inputs: &inputs, attrs: attrs.as_bytes() };
    graph.insert(new).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_bits_are_the_middle_of_eight_where_only_those_are_run() {
        let rules = |target| WeightRules { target: Some(target), how: Weights::Symmetric, bits: 7 };
        let range = Range { min: -0.63, max: 0.63 };
        assert_eq!(rules(Target::LitertInt8).stored(vec![range]), (vec![range], 7));
        let (ranges, bits) = rules(Target::Openvino).stored(vec![range]);
        assert_eq!((ranges[0].max / 127.0, bits), (range.max / 63.0, 8), "a level is as high as with 7 bits");
    }

    #[test]
    fn weights_are_looked_at_wherever_they_lie_in_the_file() {
        let numbers: Vec<f32> =
            (0..6 * 4000u16).map(|index| (f32::from(index % 977) - 400.0) * f32::from(1 + index % 6)).collect();
        let aligned = Tensor::new(&[1, 1, 4000, 6], numbers.clone()).unwrap();
        let bytes: Vec<u8> = [0].into_iter().chain(numbers.iter().flat_map(|number| number.to_le_bytes())).collect();
        let bytes = bytes::Bytes::from(bytes);
        let moved = |by: usize| [&vec![0; by][..], &bytes[1..]].concat();
        for by in 0..4 {
            let moved = bytes::Bytes::from(moved(by)).slice(by..);
            let stored = Tensor::from_file::<f32>(vec![1, 1, 4000, 6], &moved).unwrap();
            for how in [Weights::Asymmetric, Weights::Symmetric, Weights::SymmetricPerChannel] {
                let per_channel = is_per_channel(Layer::Convolution, how);
                let ranges = |weights| ranges(weights, Layer::Convolution, how, per_channel);
                assert_eq!(ranges(&stored), ranges(&aligned));
                assert!(ranges(&aligned)[0].max > 0.0);
            }
        }
    }
}
