//! Batch norms that are constant, folded into the weights and biases before them by arithmetic.
//!
//! # What it does
//! Follows what a layer computes through all that scales and shifts its channels by constants: FusedBatchNorm, Mul,
//! RealDiv, Add, Sub, BiasAdd, and what leaves channels alone between them. The whole chain becomes new weights and one
//! BiasAdd, computed in double precision. A batch norm behind something else than a layer becomes a Mul and an Add.
//!
//! # When it applies
//! To frozen graphs in inference mode. A chain goes on while it has one reader, and counts if anything in it scales.
//!
//! # What it leaves alone
//! Layers that are only shifted; batch norms of the batch's statistics; constants that are not one number a channel.
//! The nodes that are not needed any more stay in the graph, for who drops them.
//!
//! # Example
//! `conv → FusedBatchNorm → Relu` becomes `conv (new weights) → BiasAdd → Relu`, where the BiasAdd has the batch norm's
//! name.

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use super::constants::{Constants, evaluate};
use super::network::{Ends, Layer, weights};
use super::new_nodes::{add_node, beside, constant, dims_of, make_room, take_place};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::op_class::{canonical_op, is_fused_batch_norm};
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::interpreter::{Limits, Tensor};
use crate::proto::tensorflow::DataType;

/// What became of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoldedChain {
    /// Where it begins: the layer, or the batch norm that stands behind none.
    pub node: String,
    /// Its op.
    pub op: String,
    /// What was folded, in order.
    pub folded: Vec<String>,
    /// Whether the layer's weights took it in; else it is a Mul and an Add now.
    pub into_weights: bool,
}

/// One link of a chain.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Scale, offset, mean, variance and epsilon.
    Norm([TensorRef; 4], f32),
    Mul(TensorRef),
    Div(TensorRef),
    Add(TensorRef),
    /// An Add along the channels, wherever they are.
    Bias(TensorRef),
    Sub(TensorRef),
    /// The constant minus the value.
    SubFrom(TensorRef),
    /// Hands the channels on, with so many axes fewer; `None` where that is not said.
    Pass(Option<usize>),
}

impl Step {
    fn scales(self) -> bool {
        !matches!(self, Self::Add(_) | Self::Bias(_) | Self::Sub(_) | Self::Pass(_))
    }

    fn constants(self) -> Vec<TensorRef> {
        match self {
            Self::Norm(tensors, _) => tensors.to_vec(),
            Self::Mul(tensor)
            | Self::Div(tensor)
            | Self::Add(tensor)
            | Self::Bias(tensor)
            | Self::Sub(tensor)
            | Self::SubFrom(tensor) => vec![tensor],
            Self::Pass(_) => Vec::new(),
        }
    }
}

/// A chain as it was found.
#[derive(Debug)]
struct Chain {
    /// The layer before it, if there is one.
    layer: Option<(NodeId, Layer)>,
    /// The tensor that enters it.
    start: TensorRef,
    links: Vec<(NodeId, Step)>,
    /// Where the channels are.
    channels: Layout,
}

impl Chain {
    fn scales(&self) -> bool {
        self.links.iter().any(|(_, step)| step.scales())
    }
}

/// Which dimension the channels are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Last,
    /// The second of four.
    First,
}

impl Layout {
    /// By the node's `data_format`; `None` for one that is not known here.
    fn of(graph: &Graph, node: NodeId) -> Option<Self> {
        match graph.attr_str(node, "data_format").as_deref() {
            None | Some("NHWC" | "NDHWC") => Some(Self::Last),
            Some("NCHW") => Some(Self::First),
            Some(_) => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Last => "NHWC",
            Self::First => "NCHW",
        }
    }
}

/// Folds every chain of the graph, whose outputs are given.
///
/// # Errors
/// Those of evaluating the constants and of inserting nodes.
pub(crate) fn fold(graph: &mut Graph, outputs: &[TensorRef], limits: &Limits) -> Result<Vec<FoldedChain>> {
    let mut chains = find(graph, outputs);
    chains.retain(Chain::scales);
    fold_all(graph, &chains, &|_| true, limits)
}

/// Makes one vector of what is added to a layer, where the converter needs one; says how many there were.
///
/// Numbers that are the same for all channels it keeps as one and scales that by the weights of the first channel, which is
/// wrong for all others that have a range of their own. So one of them is the next number that there is. And behind the
/// Squeeze of a one-dimensional layer, it takes nothing but a vector for a bias.
///
/// # Errors
/// Those of [`fold`].
pub(crate) fn write_as_biases(graph: &mut Graph, outputs: &[TensorRef], limits: &Limits) -> Result<usize> {
    let mut chains = find(graph, outputs);
    chains.retain(|chain| chain.layer.is_some() && !chain.scales());
    let is_no_bias = |affine: &Affine| affine.is_shaped_behind_squeeze || are_one_number(&narrowed(&affine.shift));
    Ok(fold_all(graph, &chains, &is_no_bias, limits)?.len())
}

fn are_one_number(numbers: &[f32]) -> bool {
    numbers.len() > 1 && numbers[0] != 0.0 && numbers.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits())
}

fn told_apart(mut numbers: Vec<f32>) -> Vec<f32> {
    if are_one_number(&numbers)
        && let Some(last) = numbers.last_mut()
    {
        *last = last.next_up();
    }
    numbers
}

fn fold_all(
    graph: &mut Graph,
    chains: &[Chain],
    counts: &dyn Fn(&Affine) -> bool,
    limits: &Limits,
) -> Result<Vec<FoldedChain>> {
    let wanted = chains.iter().flat_map(|chain| {
        let of_layer = chain.layer.and_then(|(layer, _)| weights(graph, layer));
        of_layer.into_iter().chain(chain.links.iter().flat_map(|(_, step)| step.constants()))
    });
    let values = evaluate(graph, wanted.collect::<Vec<_>>(), limits)?;
    let mut folded = Vec::new();
    for chain in chains {
        folded.extend(fold_chain(graph, chain, &values, counts)?);
    }
    Ok(folded)
}

fn find(graph: &Graph, outputs: &[TensorRef]) -> Vec<Chain> {
    let order = graph.run_order();
    let constants = Constants::of(graph, &order);
    let ends = Ends::new(graph, outputs);
    let mut chains = Vec::new();
    let mut taken: HashSet<NodeId> = HashSet::new();
    // A chain of its own begins at a batch norm that no layer's chain has taken in, and those before it come first.
    for node in order {
        if constants.contain(node) || taken.contains(&node) {
            continue;
        }
        let layer = Layer::of(graph, node).filter(|_| {
            weights(graph, node).is_some_and(|weights| {
                constants.contain(weights.node) && graph.tensor_type(weights) == Some(DataType::DtFloat)
            })
        });
        let mut links = Vec::new();
        let start = if let Some(layer) = layer {
            (Some((node, layer)), TensorRef::from(node))
        } else if let Some(step) =
            is_fused_batch_norm(graph.op(node)).then(|| step(graph, &constants, None, node)).flatten()
        {
            let Some(input) = graph.data_input(node, 0) else { continue };
            links.push((node, step));
            (None, input)
        } else {
            continue;
        };
        let Some(layout) = Layout::of(graph, node) else { continue };
        let mut last = node;
        while let Some(reader) = ends.only_reader(last) {
            let Some(step) = step(graph, &constants, Some(last), reader) else { break };
            let goes_on = match step {
                Step::Pass(_) => start.0.is_some() && (layout == Layout::Last || graph.op(reader) == "Identity"),
                Step::Bias(_) | Step::Norm(..) => Layout::of(graph, reader) == Some(layout),
                _ => true,
            };
            if !goes_on {
                break;
            }
            links.push((reader, step));
            last = reader;
        }
        while links.last().is_some_and(|(_, step)| matches!(step, Step::Pass(_))) {
            links.pop();
        }
        if !links.is_empty() {
            taken.extend(links.iter().map(|&(node, _)| node));
            chains.push(Chain { layer: start.0, start: start.1, links, channels: layout });
        }
    }
    chains
}

/// What the node does to the first output of `before`, which it reads.
fn step(graph: &Graph, constants: &Constants, before: Option<NodeId>, node: NodeId) -> Option<Step> {
    let reads = |slot: usize| graph.data_input(node, slot);
    let constant = |slot: usize| reads(slot).filter(|tensor| constants.contain(tensor.node));
    let is_chain = |slot: usize| before.is_none_or(|before| reads(slot) == Some(before.into()));
    let op = graph.op(node);
    if is_fused_batch_norm(op) {
        // Without the attribute, the op normalises by the batch's statistics.
        let is_frozen = graph.attr_bool(node, "is_training") == Some(false);
        let others = graph.uses(node).all(|usage| usage.input.tensor().is_none_or(|tensor| tensor.port == 0));
        let tensors = [constant(1)?, constant(2)?, constant(3)?, constant(4)?];
        let epsilon = graph.attr_float(node, "epsilon").unwrap_or(1e-4);
        return (is_frozen && others && is_chain(0)).then_some(Step::Norm(tensors, epsilon));
    }
    if graph.tensor_type(node.into()) != Some(DataType::DtFloat) {
        return None;
    }
    let either = || {
        let slot = usize::from(!is_chain(0));
        constant(1 - slot).filter(|_| is_chain(slot)).map(|tensor| (slot, tensor))
    };
    match canonical_op(op) {
        "BiasAdd" => constant(1).filter(|_| is_chain(0)).map(Step::Bias),
        "Add" => either().map(|(_, tensor)| Step::Add(tensor)),
        "Mul" => either().map(|(_, tensor)| Step::Mul(tensor)),
        "Sub" => either().map(|(slot, tensor)| if slot == 0 { Step::Sub(tensor) } else { Step::SubFrom(tensor) }),
        "RealDiv" => constant(1).filter(|_| is_chain(0)).map(Step::Div),
        "Squeeze" => {
            let axes = graph.attr_ints(node, "squeeze_dims").filter(|axes| !axes.is_empty());
            let keeps_channels = axes.as_ref().is_none_or(|axes| !axes.iter().any(|axis| matches!(axis, 3 | -1)));
            (is_chain(0) && keeps_channels).then_some(Step::Pass(axes.map(|axes| axes.len())))
        }
        "BatchToSpaceND" | "Identity" => is_chain(0).then_some(Step::Pass(Some(0))),
        _ => None,
    }
}

/// What a chain does to each channel.
struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
    /// Whether something is added behind a Squeeze that has axes in front of the channels.
    is_shaped_behind_squeeze: bool,
}

impl Affine {
    /// `None` where a constant is not one number, or one for each channel.
    fn of(chain: &Chain, channels: usize, values: &HashMap<TensorRef, Tensor>) -> Option<Self> {
        let mut affine =
            Self { scale: vec![1.0; channels], shift: vec![0.0; channels], is_shaped_behind_squeeze: false };
        // More axes than the tensor has would give it new ones.
        let mut most_axes = match chain.layer {
            Some((_, Layer::MatMul { .. })) => 1_usize,
            _ => 4,
        };
        let mut is_squeezed = false;
        for &(_, step) in &chain.links {
            let has_axes = |tensor: &TensorRef| values.get(tensor).is_some_and(|tensor| tensor.dims().len() > 1);
            affine.is_shaped_behind_squeeze |= is_squeezed && step.constants().iter().any(has_axes);
            let is_vector = matches!(step, Step::Norm(..) | Step::Bias(_));
            let along = |tensor: &TensorRef| -> Option<Vec<f64>> {
                let tensor = values.get(tensor)?;
                let numbers: Vec<f64> = tensor.values::<f32>()?.iter().map(|&value| f64::from(value)).collect();
                let dims = tensor.dims();
                if numbers.len() == 1 && dims.len() <= most_axes {
                    return Some(vec![numbers[0]; channels]);
                }
                let along = match (dims, chain.channels) {
                    ([count], _) if is_vector => *count,
                    ([.., count, 1, 1], Layout::First) if !is_vector => *count,
                    ([.., count], Layout::Last) if !is_vector => *count,
                    _ => return None,
                };
                (along == channels && numbers.len() == channels && dims.len() <= most_axes).then_some(numbers)
            };
            match step {
                Step::Norm(tensors, epsilon) => {
                    let [scale, offset, mean, variance] = tensors.map(|tensor| along(&tensor));
                    let (scale, offset, mean, variance) = (scale?, offset?, mean?, variance?);
                    for channel in 0..channels {
                        let by = scale[channel] / (variance[channel] + f64::from(epsilon)).sqrt();
                        affine.scale[channel] *= by;
                        affine.shift[channel] = (affine.shift[channel] - mean[channel]) * by + offset[channel];
                    }
                }
                Step::Mul(tensor) => affine.multiply(&along(&tensor)?),
                Step::Div(tensor) => affine.multiply(&along(&tensor)?.into_iter().map(f64::recip).collect::<Vec<_>>()),
                Step::Add(tensor) | Step::Bias(tensor) => affine.add(&along(&tensor)?, 1.0),
                Step::Sub(tensor) => affine.add(&along(&tensor)?, -1.0),
                Step::SubFrom(tensor) => {
                    affine.multiply(&vec![-1.0; channels]);
                    affine.add(&along(&tensor)?, 1.0);
                }
                Step::Pass(axes) => {
                    is_squeezed |= axes != Some(0);
                    most_axes = axes.map_or(1, |axes| most_axes.saturating_sub(axes)).max(1);
                }
            }
        }
        let all = affine.scale.iter().chain(&affine.shift);
        all.copied().all(f64::is_finite).then_some(affine)
    }

    fn multiply(&mut self, by: &[f64]) {
        self.scale.iter_mut().zip(by).for_each(|(scale, by)| *scale *= by);
        self.shift.iter_mut().zip(by).for_each(|(shift, by)| *shift *= by);
    }

    fn add(&mut self, numbers: &[f64], sign: f64) {
        self.shift.iter_mut().zip(numbers).for_each(|(shift, number)| *shift += sign * number);
    }
}

#[allow(clippy::cast_possible_truncation)] // weights are 32-bit floats
fn narrowed(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&number| number as f32).collect()
}

fn fold_chain(
    graph: &mut Graph,
    chain: &Chain,
    values: &HashMap<TensorRef, Tensor>,
    counts: &dyn Fn(&Affine) -> bool,
) -> Result<Option<FoldedChain>> {
    let old = match chain.layer {
        Some((layer, kind)) => match weights(graph, layer).and_then(|weights| values.get(&weights)) {
            Some(weights) => Some((layer, kind, weights)),
            None => return Ok(None),
        },
        None => None,
    };
    let channels = match old {
        Some((_, kind, weights)) => kind.channels(weights.dims()).map(|(channels, _)| channels),
        None => chain.links[0].1.constants().first().and_then(|scale| values.get(scale)).map(Tensor::len),
    };
    let affine = channels.and_then(|channels| Affine::of(chain, channels, values)).filter(counts);
    let Some(affine) = affine else { return Ok(None) };
    let new_weights = old.map(|(_, kind, weights)| scaled(kind, weights, &affine.scale));
    if matches!(new_weights, Some(None)) {
        return Ok(None);
    }
    let (head, _) = chain.links[0];
    let told = FoldedChain {
        node: graph.name(chain.layer.map_or(head, |(layer, _)| layer)).to_owned(),
        op: graph.op(chain.layer.map_or(head, |(layer, _)| layer)).to_owned(),
        folded: chain.links.iter().map(|&(node, _)| graph.name(node).to_owned()).collect(),
        into_weights: old.is_some(),
    };
    // The last node of the chain makes room for a new one of its name.
    let (last, _) = chain.links[chain.links.len() - 1];
    let device = graph.device(last).to_owned();
    let name = make_room(graph, last)?;
    let mut before = chain.start;
    if let (Some((layer, _, weights)), Some(Some(scaled))) = (old, new_weights) {
        let dims = dims_of(weights);
        let weights = constant(graph, &format!("{}/folded", told.node), &Value::Shaped(&scaled, &dims))?;
        graph.set_input(layer, 1, Input::Data(weights));
        for &(node, _) in chain.links.iter().filter(|(node, step)| matches!(step, Step::Pass(_)) && *node != last) {
            graph.set_input(node, 0, Input::Data(before));
            before = node.into();
        }
    } else {
        let scale = along_channels(graph, chain, &format!("{name}/scale"), &affine.scale)?;
        let scaled = add_node(graph, &format!("{name}/mul"), "Mul", &device, [before, scale], None)?;
        before = scaled.into();
    }
    let new = if old.is_some() {
        let bias = constant(graph, &beside(&told.node, "bias"), &Value::Floats(&told_apart(narrowed(&affine.shift))))?;
        add_node(graph, &name, "BiasAdd", &device, [before, bias], Some(chain.channels.name()))?
    } else {
        let shift = along_channels(graph, chain, &format!("{name}/shift"), &affine.shift)?;
        add_node(graph, &name, "AddV2", &device, [before, shift], None)?
    };
    take_place(graph, last.into(), new.into());
    Ok(Some(told))
}

/// The weights, each channel multiplied by its scale.
#[allow(clippy::cast_possible_truncation)] // weights are 32-bit floats
fn scaled(kind: Layer, weights: &Tensor, scale: &[f64]) -> Option<Vec<f32>> {
    let (channels, apart) = kind.channels(weights.dims())?;
    let channel = |index: usize| (index / apart.max(1)) % channels.max(1);
    let values = weights.values::<f32>()?.iter().enumerate();
    Some(values.map(|(index, &value)| (f64::from(value) * scale[channel(index)]) as f32).collect())
}

/// A constant of one number for each channel, shaped to meet the tensors of the chain.
fn along_channels(graph: &mut Graph, chain: &Chain, name: &str, numbers: &[f64]) -> Result<TensorRef> {
    let numbers = narrowed(numbers);
    let count = i64::try_from(numbers.len()).unwrap_or(i64::MAX);
    let dims: &[i64] = match chain.channels {
        Layout::First => &[count, 1, 1],
        Layout::Last => &[count],
    };
    constant(graph, name, &Value::Shaped(&numbers, dims))
}
