//! Cross-layer equalization (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019).
//!
//! # What it does
//! Where a layer's channels differ widely in size, one range for all of its weights leaves the small ones few levels. A
//! channel between two layers can be made smaller in the first and larger in the second without changing what the network
//! computes: the first layer's weights and bias of the channel are divided by `s`, the second's weights that read it are
//! multiplied. With `s = √(r₁ r₂) / r₂`, `r` being the largest weight of the channel in each, both get the same size. All
//! pairs are gone through until nothing moves any more; a depthwise layer is the second of one pair and the first of the
//! next.
//!
//! # When it applies
//! To layers of constant weights, nothing but which stands between them scales along: biases, Relu, LeakyRelu, pooling,
//! padding by zeros, resizing, the mean of an image, and each has one reader. Relu6 becomes a Relu and a Minimum with six
//! over `s`, one number a channel.
//!
//! # What it leaves alone
//! Everything else, with the reason; and channels that are next to nothing on one side. Nodes that hold something else afterwards are called `…/equalized`, so that a name
//! never means two tensors. What is not needed any more stays in the graph, for who drops it.
//!
//! # Example
//! `conv → BiasAdd → Relu → conv` with weights 1 and 9 that meet in a channel gets weights 3 and 3.

use hashbrown::HashMap;
use serde::Serialize;

use super::constants::{Constants, evaluate};
use super::network::{Ends, Layer, weights};
use super::new_nodes::{constant, dims_of, take_place};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::loops::Loops;
use crate::graph::op_class::canonical_op;
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::interpreter::{Limits, Tensor};
use crate::proto::tensorflow::DataType;

/// What became of a layer and the one behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EqualizedPair {
    /// The first layer.
    pub layer: String,
    /// Its op.
    pub op: String,
    /// The layer behind it, if they were equalized.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The least and the greatest of what its channels were divided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scales: Option<[f64; 2]>,
    /// Why they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// The Relu and the Minimum behind it that took the place of a Relu6.
    #[serde(skip)]
    pub clip: Option<[String; 2]>,
}

/// A constant that is added between two layers.
#[derive(Debug, Clone, Copy)]
struct Bias {
    node: NodeId,
    slot: usize,
    tensor: TensorRef,
    /// Whether it is added along the channels, wherever they are.
    is_bias_add: bool,
}

/// Two layers and what stands between them.
#[derive(Debug)]
struct Pair {
    /// Places in the list of layers.
    layers: [usize; 2],
    biases: Vec<Bias>,
    six: Option<NodeId>,
    /// All nodes from the first layer on whose tensors are scaled.
    scaled: Vec<NodeId>,
    channels_first: bool,
}

/// How large the weights between each channel that is read and each that is made are.
struct Sizes {
    kind: Layer,
    ins: usize,
    outs: usize,
    /// By channel read, then by channel made; for depthwise layers, by channel made.
    largest: Vec<f32>,
}

impl Sizes {
    fn of(kind: Layer, weights: &Tensor) -> Option<Self> {
        let (outs, out_apart) = kind.channels(weights.dims())?;
        let (ins, in_apart) = kind.channels_read(weights.dims())?;
        let values = weights.values::<f32>().filter(|values| !values.is_empty())?;
        let is_depthwise = kind == Layer::Depthwise;
        let mut largest = vec![0f32; if is_depthwise { outs } else { ins * outs }];
        for (index, &value) in values.iter().enumerate() {
            let out = (index / out_apart) % outs;
            let place = if is_depthwise { out } else { (index / in_apart) % ins * outs + out };
            largest[place] = largest[place].max(value.abs());
        }
        largest.iter().all(|size| size.is_finite()).then_some(Self { kind, ins, outs, largest })
    }

    /// The largest weight of each channel, made or read, scaled by what is known of the channels.
    fn of_channels(&self, scales: &Scales, made: bool) -> Vec<f64> {
        let mut sizes = vec![0f64; if made { self.outs } else { self.ins }];
        for (index, &size) in self.largest.iter().enumerate() {
            let (read, out) = match self.kind {
                Layer::Depthwise => (index * self.ins / self.outs, index),
                _ => (index / self.outs, index % self.outs),
            };
            let place = &mut sizes[if made { out } else { read }];
            *place = place.max(f64::from(size) * scales.read[read] * scales.made[out]);
        }
        sizes
    }
}

/// What a layer's weights are multiplied with: by channel read, and by channel made.
#[derive(Debug, Clone)]
struct Scales {
    read: Vec<f64>,
    made: Vec<f64>,
}

/// A layer with constant weights of its own, in no loop.
struct Member {
    node: NodeId,
    kind: Layer,
    tensor: TensorRef,
}

/// Equalizes all pairs of layers that allow it; says what became of each layer.
///
/// # Errors
/// Those of evaluating constants and of inserting nodes.
pub(crate) fn equalize(graph: &mut Graph, outputs: &[TensorRef], limits: &Limits) -> Result<Vec<EqualizedPair>> {
    let order = graph.run_order();
    let constants = Constants::of(graph, &order);
    let layers = members(graph, &constants, &order);
    let (mut pairs, mut told) = (Vec::new(), Vec::new());
    let ends = Ends::new(graph, outputs);
    let places: HashMap<NodeId, usize> = layers.iter().enumerate().map(|(place, layer)| (layer.node, place)).collect();
    let walk = Walk { graph, ends: &ends, constants: &constants, layers: &layers, places: &places };
    for (place, layer) in layers.iter().enumerate() {
        let (name, op) = (graph.name(layer.node).to_owned(), graph.op(layer.node).to_owned());
        let skipped = match walk.from(place) {
            Ok(pair) => {
                pairs.push((pair, told.len()));
                None
            }
            Err(reason) => Some(reason),
        };
        told.push(EqualizedPair { layer: name, op, skipped, ..EqualizedPair::default() });
    }

    let of_biases = pairs.iter().flat_map(|(pair, _)| pair.biases.iter().map(|bias| bias.tensor));
    let wanted: Vec<TensorRef> = layers.iter().map(|layer| layer.tensor).chain(of_biases).collect();
    let values = evaluate(graph, wanted, limits)?;
    let sizes: Vec<Option<Sizes>> =
        layers.iter().map(|layer| values.get(&layer.tensor).and_then(|value| Sizes::of(layer.kind, value))).collect();
    pairs.retain(|(pair, place)| {
        let fits = fit(pair, &sizes, &values);
        told[*place].skipped = fits.clone().err();
        fits.is_ok()
    });
    let scales = converged(&pairs, &sizes);
    for (pair, place) in &pairs {
        let [first, second] = pair.layers;
        let by = &scales[first].made;
        let over = |better: fn(f64, f64) -> f64, start: f64| by.iter().map(|scale| scale.recip()).fold(start, better);
        told[*place].scales = Some([over(f64::min, f64::INFINITY), over(f64::max, 0.0)]);
        told[*place].next = Some(graph.name(layers[second].node).to_owned());
    }
    for (pair, place) in &pairs {
        told[*place].clip = rewrite_between(graph, pair, &scales[pair.layers[0]].made, &values)?;
    }
    for ((layer, scales), sizes) in layers.iter().zip(&scales).zip(&sizes) {
        let is_scaled = scales.read.iter().chain(&scales.made).any(|scale| scale.to_bits() != 1f64.to_bits());
        if let (Some(value), Some(sizes), true) = (values.get(&layer.tensor), sizes, is_scaled) {
            rewrite_weights(graph, layer, value, sizes, scales)?;
        }
    }
    Ok(told)
}

fn members(graph: &Graph, constants: &Constants, order: &[NodeId]) -> Vec<Member> {
    let loops = Loops::new(graph, order);
    let member = |&node: &NodeId| {
        let kind = Layer::of(graph, node)?;
        let tensor = weights(graph, node)?;
        let is_constant = constants.contain(tensor.node) && graph.tensor_type(tensor) == Some(DataType::DtFloat);
        (is_constant && !constants.contain(node) && !loops.contain(node)).then_some(Member { node, kind, tensor })
    };
    order.iter().filter_map(member).collect()
}

struct Walk<'g> {
    graph: &'g Graph,
    ends: &'g Ends<'g>,
    constants: &'g Constants,
    layers: &'g [Member],
    places: &'g HashMap<NodeId, usize>,
}

impl Walk<'_> {
    /// From a layer to the next one; why that is not one that it could be equalized with.
    fn from(&self, place: usize) -> Result<Pair, String> {
        let graph = self.graph;
        let first = &self.layers[place];
        let shares = |layer: &Member| self.ends.only_reader(layer.tensor.node) != Some(layer.node);
        if shares(first) {
            return Err("its weights are read by others too".to_owned());
        }
        let channels_first = is_first(graph, first.node);
        let mut pair =
            Pair { layers: [place; 2], biases: Vec::new(), six: None, scaled: vec![first.node], channels_first };
        let (mut last, mut is_image) = (first.node, !matches!(first.kind, Layer::MatMul { .. }));
        loop {
            let Some(node) = self.ends.only_reader(last) else {
                let name = graph.name(last);
                return Err(if self.ends.is_output(last.into()) {
                    format!("'{name}' is an output of the network")
                } else {
                    format!("'{name}' has not one reader")
                });
            };
            let refuse = |why: &str| Err(format!("'{}' ({}) {why}", graph.name(node), graph.op(node)));
            let reads_in = |slot: usize| graph.data_input(node, slot) == Some(last.into());
            if let Some(kind) = Layer::of(graph, node) {
                let Some(&place) = self.places.get(&node).filter(|_| reads_in(kind.input_slot())) else {
                    return refuse("has no constant weights");
                };
                if shares(&self.layers[place]) {
                    return refuse("shares its weights with others");
                }
                if is_transposed(graph, node) {
                    return refuse("transposes what it reads");
                }
                if pair.biases.iter().any(|bias| self.ends.only_reader(bias.tensor.node) != Some(bias.node)) {
                    return refuse("reads what has a bias that others read too");
                }
                pair.layers[1] = place;
                return Ok(pair);
            }
            let op = canonical_op(graph.op(node));
            match op {
                "BiasAdd" | "Add" => {
                    let slot = usize::from(reads_in(0));
                    let operand = graph.data_input(node, slot).filter(|operand| self.constants.contain(operand.node));
                    let is_bias_add = op == "BiasAdd";
                    if is_bias_add && is_first(graph, node) != channels_first {
                        return refuse("has its channels elsewhere");
                    }
                    match operand {
                        Some(tensor) if reads_in(1 - slot) => {
                            pair.biases.push(Bias { node, slot, tensor, is_bias_add });
                        }
                        _ => return refuse("adds what is no constant"),
                    }
                }
                "Relu6" if pair.six.is_none() => pair.six = Some(node),
                "Relu"
                | "LeakyRelu"
                | "Identity"
                | "MaxPool"
                | "AvgPool"
                | "Pad"
                | "ResizeBilinear"
                | "ResizeNearestNeighbor"
                | "SpaceToBatchND"
                | "BatchToSpaceND"
                    if reads_in(0) => {}
                "Mean" if reads_in(0) && is_image && self.is_over_image(node, channels_first) => is_image = false,
                "Squeeze" if reads_in(0) => is_image = false,
                // Behind the mean of an image, nothing but channels is left of a sample.
                "Reshape" if reads_in(0) && graph.op(last) == "Mean" => {}
                _ => return refuse("is no layer, and does not scale along"),
            }
            if channels_first && !is_image && matches!(op, "Add" | "Relu6") {
                return refuse("stands behind what has moved the channels");
            }
            pair.scaled.push(node);
            last = node;
        }
    }

    fn is_over_image(&self, node: NodeId, channels_first: bool) -> bool {
        let axes = self.graph.data_input(node, 1).and_then(|axes| self.graph.const_ints(axes)).unwrap_or_default();
        let image: [i64; 2] = if channels_first { [2, 3] } else { [1, 2] };
        !axes.is_empty() && axes.iter().all(|&axis| image.contains(&axis.rem_euclid(4)))
    }
}

/// Whether the node has its channels in the second dimension instead of the last.
fn is_first(graph: &Graph, node: NodeId) -> bool {
    graph.attr_str(node, "data_format").is_some_and(|format| format == "NCHW")
}

fn is_transposed(graph: &Graph, node: NodeId) -> bool {
    ["transpose_a", "adj_x"].iter().any(|name| graph.attr_bool(node, name) == Some(true))
}

/// Whether the channels that the first makes are those that the second reads, and of the biases between.
fn fit(pair: &Pair, sizes: &[Option<Sizes>], values: &HashMap<TensorRef, Tensor>) -> Result<(), String> {
    let [Some(first), Some(second)] = pair.layers.map(|place| sizes[place].as_ref()) else {
        return Err("weights that are empty, infinite or no numbers".to_owned());
    };
    if first.outs != second.ins {
        return Err(format!("{} channels are made and {} read: they are mixed between", first.outs, second.ins));
    }
    for bias in &pair.biases {
        let dims = values.get(&bias.tensor).map(Tensor::dims).unwrap_or_default();
        let count: usize = dims.iter().product();
        let along = match dims {
            [] | [_] if count == 1 => true,
            [_] => bias.is_bias_add || !pair.channels_first,
            [.., _, 1, 1] if pair.channels_first => true,
            [.., _] => !pair.channels_first,
            [] => false,
        };
        let is_per_channel = count == first.outs && dims.contains(&count) && along;
        if count != 1 && !is_per_channel {
            return Err("a bias that is not one number a channel".to_owned());
        }
    }
    Ok(())
}

/// A channel this much smaller than the largest is next to nothing: sizing it up would size up its bias alone.
const NOTHING: f64 = 1e-4;
/// A pair whose channels move less than this is done.
const STILL: f64 = 1e-4;
/// Nothing goes on moving this long, but where zeros make it.
const MOST_SWEEPS: usize = 100;

/// The scales of all layers when no pair moves them any more.
fn converged(pairs: &[(Pair, usize)], sizes: &[Option<Sizes>]) -> Vec<Scales> {
    let ones = |sizes: &Option<Sizes>| {
        let [ins, outs] = sizes.as_ref().map_or([0; 2], |sizes| [sizes.ins, sizes.outs]);
        Scales { read: vec![1.0; ins], made: vec![1.0; outs] }
    };
    let mut scales: Vec<Scales> = sizes.iter().map(ones).collect();
    let counts = |of: &Sizes, scales: &Scales, made: bool| {
        let sizes = of.of_channels(scales, made);
        let least = sizes.iter().copied().fold(0.0, f64::max) * NOTHING;
        sizes.into_iter().map(move |size| size > least).collect::<Vec<bool>>()
    };
    let moved: Vec<Vec<bool>> = pairs
        .iter()
        .map(|(pair, _)| {
            let [first, second] = pair.layers;
            let (Some(of_first), Some(of_second)) = (&sizes[first], &sizes[second]) else { return Vec::new() };
            let read = counts(of_second, &scales[second], false);
            counts(of_first, &scales[first], true).into_iter().zip(read).map(|(made, read)| made && read).collect()
        })
        .collect();
    for _ in 0..MOST_SWEEPS {
        let mut furthest = 0f64;
        for ((pair, _), moved) in pairs.iter().zip(&moved) {
            let [first, second] = pair.layers;
            let (Some(of_first), Some(of_second)) = (&sizes[first], &sizes[second]) else { continue };
            let made = of_first.of_channels(&scales[first], true);
            let read = of_second.of_channels(&scales[second], false);
            for (channel, (made, read)) in made.into_iter().zip(read).enumerate() {
                let by = if moved[channel] { (made * read).sqrt() / read } else { 1.0 };
                scales[first].made[channel] /= by;
                scales[second].read[channel] *= by;
                furthest = furthest.max(by.ln().abs());
            }
        }
        if furthest < STILL {
            break;
        }
    }
    scales
}

/// Scales the biases between two layers, gives a Relu6 its clip for each channel, and names what is scaled now. The Relu
/// and the Minimum that a Relu6 became are told.
fn rewrite_between(
    graph: &mut Graph,
    pair: &Pair,
    scales: &[f64],
    values: &HashMap<TensorRef, Tensor>,
) -> Result<Option<[String; 2]>> {
    for bias in &pair.biases {
        let Some(value) = values.get(&bias.tensor) else { continue };
        let numbers = value.values::<f32>().unwrap_or_default();
        let divided: Vec<f64> = scales
            .iter()
            .enumerate()
            .map(|(channel, scale)| f64::from(numbers[channel.min(numbers.len() - 1)]) * scale)
            .collect();
        let is_shaped = value.rank() > 1 && value.len() == scales.len();
        let dims =
            if is_shaped { dims_of(value) } else { along(scales.len(), pair.channels_first && !bias.is_bias_add) };
        let name = format!("{}/equalized", graph.name(bias.tensor.node));
        let new = constant(graph, &name, &Value::Shaped(&narrowed(&divided), &dims))?;
        graph.set_input(bias.node, bias.slot, Input::Data(new));
    }
    let clip = pair.six.map(|six| clip(graph, six, scales, pair.channels_first)).transpose()?;
    for &node in pair.scaled.iter().filter(|&&node| Some(node) != pair.six) {
        let name = graph.free_name(&format!("{}/equalized", graph.name(node)));
        graph.rename(node, &name)?;
    }
    Ok(clip)
}

/// Puts a Relu and a Minimum in the place of a Relu6.
fn clip(graph: &mut Graph, six: NodeId, scales: &[f64], channels_first: bool) -> Result<[String; 2]> {
    let (name, device) = (graph.name(six).to_owned(), graph.device(six).to_owned());
    let ends: Vec<f64> = scales.iter().map(|scale| 6.0 * scale).collect();
    let dims = along(scales.len(), channels_first);
    let ends = constant(graph, &format!("{name}/ends"), &Value::Shaped(&narrowed(&ends), &dims))?;
    let mut attrs = Attrs::default();
    attrs.data_type("T", DataType::DtFloat);
    let add = |graph: &mut Graph, what: &str, op: &str, inputs: &[Input]| {
        let name = graph.free_name(&format!("{name}/{what}"));
        graph.insert(NewNode { name: &name, op, device: &device, inputs, attrs: attrs.as_bytes() })
    };
    let Some(input) = graph.data_input(six, 0) else { return Ok([name.clone(), name]) };
    let relu = add(graph, "equalized", "Relu", &[Input::Data(input)])?;
    let clipped = add(graph, "clipped", "Minimum", &[Input::Data(relu.into()), Input::Data(ends)])?;
    take_place(graph, six.into(), clipped.into());
    Ok([relu, clipped].map(|node| graph.name(node).to_owned()))
}

fn rewrite_weights(graph: &mut Graph, layer: &Member, value: &Tensor, sizes: &Sizes, scales: &Scales) -> Result<()> {
    let dims = value.dims();
    let (Some((_, out_apart)), Some((_, in_apart))) = (layer.kind.channels(dims), layer.kind.channels_read(dims))
    else {
        return Ok(());
    };
    let values = value.values::<f32>().unwrap_or_default().iter().enumerate();
    let products: Vec<f64> = values
        .map(|(index, &value)| {
            let (read, made) = ((index / in_apart) % sizes.ins, (index / out_apart) % sizes.outs);
            f64::from(value) * scales.read[read] * scales.made[made]
        })
        .collect();
    let name = format!("{}/equalized", graph.name(layer.tensor.node));
    let new = constant(graph, &name, &Value::Shaped(&narrowed(&products), &dims_of(value)))?;
    graph.set_input(layer.node, 1, Input::Data(new));
    Ok(())
}

/// The shape of one number a channel.
fn along(channels: usize, first: bool) -> Vec<i64> {
    let channels = i64::try_from(channels).unwrap_or(i64::MAX);
    if first { vec![channels, 1, 1] } else { vec![channels] }
}

#[allow(clippy::cast_possible_truncation)] // weights are 32-bit floats
fn narrowed(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&number| number as f32).collect()
}
