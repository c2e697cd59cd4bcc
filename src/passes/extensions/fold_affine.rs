//! Batch norms made of single ops, recognised by what they compute.
//!
//! # What it does
//! Finds a layer whose output is scaled and shifted channel by channel, and folds the scales into its weights. What it is
//! scaled and shifted by may be stored as such or be computed from stored gamma, beta, mean and variance; a bias before the
//! scale is part of the shift.
//!
//! # When it applies
//! To `x * scale + shift` and its kin (`(x - mean) / deviation * gamma + beta`) behind every layer that folds, also
//! behind the Squeeze of a `conv1d`, whatever the nodes are called: batch norms of Keras 3, of `tf.nn.batch_normalization`,
//! and those that a converter has computed into two constants. In eval mode also where an `is_training` placeholder chooses
//! between the batch's moments and the moving averages: the averages are taken.
//!
//! # What it leaves alone
//! A scale without a shift, a shift without a scale, scalars; statistics of the batch, which are not stored; what the
//! reference knows by name.
//!
//! # Example
//! `conv → bn/batchnorm/mul_1 → bn/batchnorm/add_1 → relu` becomes `mul_fold → conv_Fold → add_fold → relu`.

use hashbrown::HashMap;

use crate::graph::op_class::takes_batch_norm;
use crate::graph::shape::{Dims, ShapeCache};
use crate::graph::{Graph, NodeId, TensorRef, only};

/// Longer runs of scales and shifts are not followed.
const MAX_STEPS: usize = 8;
/// More nodes between a layer and its batch norm, or between a predicate and its placeholder, are not followed.
const MAX_NODES: usize = 16;

/// A scale or a shift of every channel by its own number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::passes) enum Step {
    Add(TensorRef),
    Subtract(TensorRef),
    Multiply(TensorRef),
    Divide(TensorRef),
}

impl Step {
    fn scales(self) -> bool {
        matches!(self, Self::Multiply(_) | Self::Divide(_))
    }

    /// What every channel is scaled or shifted by.
    pub(crate) fn operand(self) -> TensorRef {
        match self {
            Self::Add(operand) | Self::Subtract(operand) | Self::Multiply(operand) | Self::Divide(operand) => operand,
        }
    }
}

/// A layer's op and what only rearranges its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::passes) struct LayerOutput {
    pub layer: NodeId,
    /// What takes out the axis that a `conv1d` put in.
    pub squeeze: Option<NodeId>,
    /// The way back from batches to space behind a dilated layer.
    pub batch_to_space: Option<NodeId>,
}

/// A layer and what it is scaled and shifted by.
#[derive(Debug, Clone)]
pub(in crate::passes) struct Chain {
    pub of: LayerOutput,
    /// From the layer on.
    pub steps: Vec<Step>,
    /// The nodes of the steps.
    pub nodes: Vec<NodeId>,
}

impl Chain {
    /// The node that ends it.
    pub(crate) fn root(&self) -> NodeId {
        self.nodes[self.nodes.len() - 1]
    }
}

/// The layer whose output the tensor is, also behind Identity and BatchToSpaceND.
pub(in crate::passes) fn layer_output(graph: &Graph, tensor: TensorRef) -> Option<LayerOutput> {
    squeezed_output(graph, tensor).filter(|of| of.squeeze.is_none())
}

/// The same, also behind the Squeeze of a `conv1d`.
fn squeezed_output(graph: &Graph, tensor: TensorRef) -> Option<LayerOutput> {
    let (mut tensor, mut squeeze, mut batch_to_space) = (tensor, None, None);
    for _ in 0..MAX_NODES {
        if tensor.port != 0 {
            return None;
        }
        match graph.op(tensor.node) {
            op if takes_batch_norm(op) => return Some(LayerOutput { layer: tensor.node, squeeze, batch_to_space }),
            "Identity" => {}
            "Squeeze" if squeeze.is_none() => squeeze = Some(tensor.node),
            "BatchToSpaceND" if batch_to_space.or(squeeze).is_none() => batch_to_space = Some(tensor.node),
            _ => return None,
        }
        tensor = graph.data_input(tensor.node, 0)?;
    }
    None
}

/// Which axis of what is scaled and shifted holds the channels, and how many axes there are. Of a Squeeze, only one that
/// takes out height or width of a layer with its channels last is known.
pub(in crate::passes) fn output_axes(graph: &Graph, of: LayerOutput) -> Option<(usize, usize)> {
    let axes = channel_axis(graph, of.layer)?;
    let Some(squeeze) = of.squeeze else { return Some(axes) };
    let is_spatial = matches!(graph.attr_ints(squeeze, "squeeze_dims").as_deref(), Some([1 | 2 | -3 | -2]));
    (axes == (3, 4) && is_spatial).then_some((2, 3))
}

/// Which axis of a layer's output holds the channels, and how many axes there are; `None` for a data format that is not
/// known here.
pub(in crate::passes) fn channel_axis(graph: &Graph, layer: NodeId) -> Option<(usize, usize)> {
    if graph.op(layer) == "MatMul" {
        return Some((1, 2));
    }
    let rank = if graph.op(layer) == "Conv3D" { 5 } else { 4 };
    match graph.attr_str(layer, "data_format").as_deref() {
        None | Some("NHWC" | "NDHWC") => Some((rank - 1, rank)),
        Some("NCHW" | "NCDHW") => Some((1, rank)),
        Some(_) => None,
    }
}

/// How many channels a layer yields, as its weights tell.
pub(in crate::passes) fn channels(graph: &Graph, shapes: &mut ShapeCache, layer: NodeId) -> Option<i64> {
    let dims = graph.static_shape_with(graph.data_input(layer, 1)?, shapes)?;
    let axis = |axis: usize| dims.get(axis).copied().flatten();
    match graph.op(layer) {
        "Conv2D" => axis(3),
        "Conv2DBackpropInput" => axis(2),
        "Conv3D" => axis(4),
        "DepthwiseConv2dNative" => axis(2)?.checked_mul(axis(3)?),
        "MatMul" => axis(usize::from(graph.attr_bool(layer, "transpose_b") != Some(true))),
        _ => None,
    }
}

/// Whether a tensor of that shape holds one number per channel, beside a tensor of `rank` axes.
pub(in crate::passes) fn is_per_channel(dims: &Dims, channels: i64, (axis, rank): (usize, usize)) -> bool {
    let Some(missing) = rank.checked_sub(dims.len()) else { return false };
    !dims.is_empty()
        && missing <= axis
        && dims.iter().zip(missing..).all(|(&dim, at)| dim == Some(if at == axis { channels } else { 1 }))
}

/// What is computed from variables and constants alone.
#[derive(Debug, Default)]
pub(in crate::passes) struct Stored {
    is_stored: Vec<bool>,
    /// In eval mode: what a Merge yields whose other side is the batch's own.
    chosen: HashMap<NodeId, TensorRef>,
}

impl Stored {
    /// Finds out for all nodes, which are given in an order in which inputs come first.
    pub(crate) fn new(graph: &Graph, operations: &[NodeId], is_training: bool) -> Self {
        let mut stored = Self { is_stored: vec![false; graph.len()], chosen: HashMap::new() };
        for &node in operations {
            stored.is_stored[node.index()] = match graph.op(node) {
                "Const" | "Variable" | "VariableV2" | "VarHandleOp" => true,
                op if is_arithmetic(op) => graph.data_inputs(node).all(|input| stored.holds(input.node)),
                "Switch" => !is_training && graph.data_input(node, 0).is_some_and(|input| stored.holds(input.node)),
                "Merge" if !is_training => stored.choose(graph, node),
                _ => false,
            };
        }
        stored
    }

    /// Whether the node yields what is stored. Nodes inserted since do not count.
    pub(crate) fn holds(&self, node: NodeId) -> bool {
        self.is_stored.get(node.index()).copied().unwrap_or(false)
    }

    /// Whether there are conditionals that a placeholder decides.
    pub(crate) fn has_choices(&self) -> bool {
        !self.chosen.is_empty()
    }

    /// What to read in place of a Merge.
    pub(crate) fn chosen(&self, merge: NodeId) -> Option<TensorRef> {
        self.chosen.get(&merge).copied()
    }

    /// A Merge by a placeholder is stored if one side is: then that side is the one of inference.
    fn choose(&mut self, graph: &Graph, merge: NodeId) -> bool {
        let mut sides = graph.data_inputs(merge);
        let (Some(first), Some(second), None) = (sides.next(), sides.next(), sides.next()) else { return false };
        let chosen = match [first, second].map(|side| self.holds(side.node)) {
            [true, false] => first,
            [false, true] => second,
            _ => return false,
        };
        let is_chosen = switch_of(graph, chosen).is_some_and(|switch| is_by_placeholder(graph, switch));
        if is_chosen {
            self.chosen.insert(merge, chosen);
        }
        is_chosen
    }
}

/// The Switch by which a tensor inside a conditional came there.
fn switch_of(graph: &Graph, tensor: TensorRef) -> Option<NodeId> {
    let mut node = tensor.node;
    for _ in 0..MAX_NODES {
        if graph.op(node) == "Switch" {
            return Some(node);
        }
        node = graph.data_input(node, 0)?.node;
    }
    None
}

/// Whether a placeholder decides about a Switch.
pub(in crate::passes) fn is_by_placeholder(graph: &Graph, switch: NodeId) -> bool {
    let Some(mut predicate) = graph.data_input(switch, 1) else { return false };
    for _ in 0..MAX_NODES {
        match graph.op(predicate.node) {
            "Placeholder" | "PlaceholderWithDefault" => return true,
            "Identity" | "LogicalNot" | "Squeeze" | "Reshape" | "Cast" => {}
            _ => return false,
        }
        let Some(next) = graph.data_input(predicate.node, 0) else { return false };
        predicate = next;
    }
    false
}

/// What a batch norm's parameters may be computed by.
fn is_arithmetic(op: &str) -> bool {
    matches!(
        op,
        "Identity"
            | "ReadVariableOp"
            | "StopGradient"
            | "Cast"
            | "Reshape"
            | "Squeeze"
            | "ExpandDims"
            | "Add"
            | "AddV2"
            | "Sub"
            | "Mul"
            | "Div"
            | "RealDiv"
            | "Neg"
            | "Rsqrt"
            | "Sqrt"
            | "Reciprocal"
            | "Inv"
            | "Pow"
            | "Square"
            | "Maximum"
            | "Minimum"
    )
}

/// A graph in which chains are looked for.
pub(in crate::passes) struct Finder<'a> {
    pub graph: &'a Graph,
    pub shapes: &'a mut ShapeCache,
    pub stored: &'a Stored,
}

impl Finder<'_> {
    /// The chain that ends at the node or, through nodes that alone read what is before them, behind it.
    pub(crate) fn chain(&mut self, node: NodeId) -> Option<Chain> {
        if !matches!(self.graph.op(node), "Add" | "AddV2" | "Sub" | "BiasAdd") {
            return None;
        }
        let mut chain = self.chain_above(node)?;
        self.extend(&mut chain);
        Some(chain)
    }

    /// The steps from the layer to the node, one of which scales. (Asked first, since the shapes cost more.)
    fn chain_above(&mut self, node: NodeId) -> Option<Chain> {
        let (mut steps, mut nodes) = (Vec::new(), vec![node]);
        let (mut tensor, step) = self.step(node)?;
        steps.push(step);
        let of = loop {
            if let Some(of) = squeezed_output(self.graph, tensor) {
                break of;
            }
            if steps.len() == MAX_STEPS || tensor.port != 0 {
                return None;
            }
            nodes.push(tensor.node);
            let (next, step) = self.step(tensor.node)?;
            steps.push(step);
            tensor = next;
        };
        steps.reverse();
        nodes.reverse();
        if !steps.iter().any(|step| step.scales()) {
            return None;
        }
        let fits = steps.iter().zip(&nodes).all(|(&step, &node)| self.fits(of, step, node));
        fits.then_some(Chain { of, steps, nodes })
    }

    /// Goes on to what alone reads the chain, up to the last shift.
    fn extend(&mut self, chain: &mut Chain) {
        let mut longer = chain.clone();
        while longer.steps.len() < MAX_STEPS {
            let Some(reader) = only(self.graph.uses(longer.root())) else { return };
            let node = reader.consumer;
            let Some((tensor, step)) = self.step(node) else { return };
            if tensor != TensorRef::from(longer.root()) || !self.fits(longer.of, step, node) {
                return;
            }
            longer.steps.push(step);
            longer.nodes.push(node);
            if !step.scales() {
                *chain = longer.clone();
            }
        }
    }

    /// What the node does to which tensor, if it combines one with something stored.
    pub(crate) fn step(&self, node: NodeId) -> Option<(TensorRef, Step)> {
        let mut inputs = self.graph.data_inputs(node);
        let (first, second) = (inputs.next()?, inputs.next()?);
        let [of_first, of_second] = [first, second].map(|input| self.stored.holds(input.node));
        match (self.graph.op(node), of_first, of_second) {
            ("Add" | "AddV2" | "BiasAdd", false, true) => Some((first, Step::Add(second))),
            ("Add" | "AddV2", true, false) => Some((second, Step::Add(first))),
            ("Sub", false, true) => Some((first, Step::Subtract(second))),
            ("Mul", false, true) => Some((first, Step::Multiply(second))),
            ("Mul", true, false) => Some((second, Step::Multiply(first))),
            ("Div" | "RealDiv", false, true) => Some((first, Step::Divide(second))),
            _ => None,
        }
    }

    /// Whether the step goes channel by channel.
    pub(crate) fn fits(&mut self, of: LayerOutput, step: Step, node: NodeId) -> bool {
        let (Some(axes), Some(channels)) = (output_axes(self.graph, of), channels(self.graph, self.shapes, of.layer))
        else {
            return false;
        };
        let Some(dims) = self.graph.static_shape_with(step.operand(), self.shapes) else { return false };
        if self.graph.op(node) == "BiasAdd" {
            return dims == [Some(channels)] && bias_axis(self.graph, node, axes.1) == axes.0;
        }
        is_per_channel(&dims, channels, axes)
    }
}

/// Along which axis a BiasAdd adds to a tensor of `rank` axes.
pub(in crate::passes) fn bias_axis(graph: &Graph, bias_add: NodeId, rank: usize) -> usize {
    let is_second = graph.attr_str(bias_add, "data_format").is_some_and(|format| format.starts_with("NC"));
    if is_second { 1 } else { rank - 1 }
}
