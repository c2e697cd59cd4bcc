//! Which tensors a converter that reads fake quantizers would refuse as "lacking min/max data".
//!
//! The walk goes back from the outputs. A tensor needs a range of its own unless it is a constant (its range is that of
//! its elements; biases need none), an input (its range is given on the command line), handed on by an op that moves
//! values about without changing them, made by an op whose range is fixed, merged by the converter into the op that
//! alone reads it, or an unmerged activation's input, whose range follows from its output. What reads `Shape` and its
//! like reads no values.

use hashbrown::HashSet;

use super::Finding;
use crate::graph::op_class::{
    canonical_op, feeds, is_fake_quant, is_fused_batch_norm, is_reference_layer, is_variable,
};
use crate::graph::tensor::small_floats;
use crate::graph::{Graph, NodeId, PerOp, TensorRef};
use crate::proto::tensorflow::DataType;
use crate::threads::both;

/// The part of a graph that its outputs depend on.
pub struct Reached<'g> {
    /// The graph.
    pub graph: &'g Graph,
    /// What the outputs are, whatever stands between; sorted.
    outputs: Vec<TensorRef>,
    /// The nodes that the inputs are of which the user named.
    fed: HashSet<NodeId>,
    needed: Vec<bool>,
    /// Nodes that no input reaches: their values are known when the graph is converted.
    constant: Vec<bool>,
    /// The nodes of L2 normalisations, which a converter makes one op of, with a fixed range.
    normalizing: HashSet<NodeId>,
    origin_by_op: PerOp<Origin>,
}

/// How an op's output gets its range.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It is there, or given with the conversion.
    Known,
    /// It is that of the tensor that the op hands on.
    HandedOn,
    /// The op is not there for a converter.
    Alias,
    /// It has to come from a fake quantizer.
    Computed,
}

impl<'g> Reached<'g> {
    /// Walks back from the outputs to the inputs that were named, or all the way.
    #[must_use]
    pub fn new(graph: &'g Graph, inputs: &[TensorRef], outputs: &[TensorRef]) -> Self {
        let fed: HashSet<NodeId> = inputs.iter().map(|input| input.node).collect();
        let (needed, constant) = both(|| needed(graph, &fed, outputs), || constant(graph, &fed));
        let is_product = graph.per_op(|op| op == "Mul");
        let products = graph.ids().filter(|&node| needed[node.index()] && *is_product.of(graph, node));
        let normalizing = products.filter_map(|product| l2_normalization(graph, product)).flatten().collect();
        let origin_by_op = graph.per_op(origin_by_op);
        let mut reached = Self { graph, outputs: Vec::new(), fed, needed, constant, normalizing, origin_by_op };
        reached.outputs = outputs.iter().map(|&output| reached.producer(output)).collect();
        reached.outputs.sort_unstable();
        reached
    }

    /// Whether the outputs depend on the node's values.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.needed[node.index()]
    }

    /// Whether the node's values are known when the graph is converted.
    #[must_use]
    pub fn is_constant(&self, node: NodeId) -> bool {
        self.constant[node.index()]
    }

    /// Whether a node that reads the tensor's values is such, looking through ops that a converter removes.
    fn any_reader(&self, tensor: TensorRef, mut is_such: impl FnMut(NodeId) -> bool) -> bool {
        let mut aliases = Vec::new();
        let mut seen = HashSet::new();
        let mut next = Some(tensor);
        while let Some(tensor) = next {
            for reader in self.graph.tensor_consumers(tensor).filter(|&reader| self.contains(reader)) {
                if !values_read(self.graph, reader).any(|input| input == tensor) {
                    continue;
                }
                if self.origin(reader) != Origin::Alias {
                    if is_such(reader) {
                        return true;
                    }
                } else if seen.insert(reader) {
                    aliases.push(reader.into());
                }
            }
            next = aliases.pop();
        }
        false
    }

    /// The only node that reads the tensor's values.
    fn only_reader(&self, tensor: TensorRef) -> Option<NodeId> {
        let mut only = None;
        let several = self.any_reader(tensor, |reader| *only.get_or_insert(reader) != reader);
        only.filter(|_| !several)
    }

    /// The first node in graph order that reads the tensor's values.
    fn first_reader(&self, tensor: TensorRef) -> Option<NodeId> {
        let mut first: Option<NodeId> = None;
        self.any_reader(tensor, |reader| {
            first = Some(first.map_or(reader, |first| first.min(reader)));
            false
        });
        first
    }

    /// What produces the tensor, looking through ops that a converter removes.
    #[must_use]
    pub fn producer(&self, mut tensor: TensorRef) -> TensorRef {
        let mut steps = self.graph.len();
        while self.origin(tensor.node) == Origin::Alias && steps > 0 {
            match self.graph.data_input(tensor.node, 0) {
                Some(input) => tensor = input,
                None => break,
            }
            steps -= 1;
        }
        tensor
    }

    fn origin(&self, node: NodeId) -> Origin {
        if self.is_constant(node) || self.normalizing.contains(&node) {
            return Origin::Known;
        }
        if self.fed.contains(&node) {
            return Origin::Known;
        }
        match *self.origin_by_op.of(self.graph, node) {
            Origin::Computed if is_activation(self.graph.op(node)) && self.follows_pooling(node) => Origin::HandedOn,
            by_op => by_op,
        }
    }

    /// Whether the activation is merged into pooling, which hands on its range.
    fn follows_pooling(&self, activation: NodeId) -> bool {
        let Some(input) = self.graph.data_input(activation, 0) else { return false };
        matches!(self.graph.op(input.node), "MaxPool" | "AvgPool") && self.graph.tensor_consumers(input).count() == 1
    }

    /// Whether the tensor carries a range, or is merged into an op whose output does.
    fn has_range(&self, tensor: TensorRef) -> bool {
        if self.is_lone_batch_norm(tensor.node) {
            return false;
        }
        let op = |node: NodeId| self.graph.op(node);
        let has_range = |reader| is_fake_quant(op(reader)) || is_activation(op(reader)) && self.is_quantized(reader);
        if self.any_reader(tensor, has_range) {
            return true;
        }
        self.only_reader(tensor).is_some_and(|reader| {
            !self.is_output(tensor) && (self.merges(tensor.node, reader) || self.is_in_hard_swish(tensor, reader))
        })
    }

    /// Whether the node is a batch norm that a converter makes a product and a sum of.
    fn is_lone_batch_norm(&self, node: NodeId) -> bool {
        is_fused_batch_norm(self.graph.op(node)) && !self.is_affine(node)
    }

    fn is_quantized(&self, node: NodeId) -> bool {
        self.any_reader(node.into(), |reader| is_fake_quant(self.graph.op(reader)))
    }

    /// Whether the walk begins at the tensor, or at what is the same to a converter.
    fn is_output(&self, tensor: TensorRef) -> bool {
        self.outputs.binary_search(&tensor).is_ok()
    }

    /// Whether a converter makes one op of `node` and the only op that reads it.
    fn merges(&self, node: NodeId, reader: NodeId) -> bool {
        let graph = self.graph;
        let by_constant = |node: NodeId| graph.data_inputs(node).any(|input| self.is_constant(input.node));
        let is_arithmetic = |op: &str| matches!(op, "Add" | "AddV2" | "Sub" | "Mul" | "RealDiv" | "Div");
        let (op, next) = (graph.op(node), canonical_op(graph.op(reader)));
        let scales = matches!(next, "BiasAdd" | "FusedBatchNorm") || (is_arithmetic(next) && by_constant(reader));
        if scales {
            return self.is_affine(node);
        }
        if is_activation(next) || self.is_relu1(reader) {
            return is_arithmetic(op)
                || matches!(
                    op,
                    "BiasAdd" | "MaxPool" | "AvgPool" | "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3"
                )
                || is_reference_layer(op);
        }
        if next == "Maximum" {
            return self.is_relu1(node);
        }
        // A factor or summand of a layer's input is merged into the layer's weights.
        is_reference_layer(next) && is_arithmetic(op) && by_constant(node)
    }

    /// Whether the tensor is inside `x · Relu6(x + 3) / 6`, which a converter makes one op of.
    fn is_in_hard_swish(&self, tensor: TensorRef, reader: NodeId) -> bool {
        let graph = self.graph;
        let op = graph.op(reader);
        let factor = |node: NodeId| graph.data_inputs(node).find(|input| !self.is_constant(input.node));
        let by_constant = |node: NodeId| graph.data_inputs(node).any(|input| self.is_constant(input.node));
        let (gate, product) = match graph.op(tensor.node) {
            "Relu6" if matches!(op, "Mul" | "RealDiv") && by_constant(reader) => {
                match self.only_reader(reader.into()) {
                    Some(product) => (tensor.node, product),
                    None => return false,
                }
            }
            "Mul" | "RealDiv" if op == "Mul" && by_constant(tensor.node) => match factor(tensor.node) {
                Some(input) => (self.producer(input).node, reader),
                None => return false,
            },
            _ => return false,
        };
        let shifted = graph.data_input(gate, 0).map(|input| self.producer(input).node);
        let gated = shifted.filter(|&node| graph.op(gate) == "Relu6" && by_constant(node)).and_then(factor);
        graph.op(product) == "Mul" && gated.is_some_and(|gated| graph.data_inputs(product).any(|input| input == gated))
    }

    /// Whether the node is the first half of `max(min(x, 1), -1)`, which a converter takes for an activation.
    fn is_relu1(&self, minimum: NodeId) -> bool {
        let bound = |node: NodeId| {
            let mut inputs = self.graph.data_inputs(node);
            inputs.find_map(|input| small_floats(self.graph, input, 1)?.first().copied())
        };
        self.graph.op(minimum) == "Minimum"
            && bound(minimum) == Some(1.0)
            && self
                .only_reader(minimum.into())
                .is_some_and(|maximum| self.graph.op(maximum) == "Maximum" && bound(maximum) == Some(-1.0))
    }

    /// Whether the node is a layer, or arithmetic with constants that is merged into the layer before it.
    fn is_affine(&self, mut node: NodeId) -> bool {
        for _ in 0..MAX_MERGED {
            let op = self.graph.op(node);
            if is_reference_layer(op) {
                return true;
            }
            let mut variable = self.graph.data_inputs(node).filter(|input| !self.is_constant(input.node));
            let (Some(input), None) = (variable.next(), variable.next()) else { return false };
            let merged = matches!(
                op,
                "BiasAdd"
                    | "FusedBatchNorm"
                    | "FusedBatchNormV2"
                    | "FusedBatchNormV3"
                    | "Add"
                    | "AddV2"
                    | "Sub"
                    | "Mul"
                    | "RealDiv"
                    | "Div"
                    | "Identity"
            );
            if !merged || self.only_reader(input).is_none() {
                return false;
            }
            node = input.node;
        }
        false
    }
}

/// By node, whether the outputs depend on its values.
fn needed(graph: &Graph, fed: &HashSet<NodeId>, outputs: &[TensorRef]) -> Vec<bool> {
    graph.reached(outputs.iter().map(|output| output.node), |node| {
        let is_fed = fed.contains(&node);
        values_read(graph, node).map(|input| input.node).filter(move |_| !is_fed)
    })
}

/// By node, whether its values are known when the graph is converted.
fn constant(graph: &Graph, fed: &HashSet<NodeId>) -> Vec<bool> {
    let is_known = graph.per_op(is_known);
    let mut constant = vec![false; graph.len()];
    for node in graph.near_order() {
        constant[node.index()] = match *is_known.of(graph, node) {
            Some(is_known) => is_known,
            None if fed.contains(&node) => false,
            None => {
                let mut inputs = graph.data_inputs(node).map(|input| constant[input.node.index()]);
                inputs.next() == Some(true) && inputs.all(|is_constant| is_constant)
            }
        };
    }
    constant
}

/// Whether an op's values are known when the graph is converted, where that does not depend on its inputs'.
fn is_known(op: &str) -> Option<bool> {
    if op == "Const" || is_variable(op) || reads_only_shape(op) { Some(true) } else { feeds(op).then_some(false) }
}

/// How the output of such an op gets its range, wherever it stands.
fn origin_by_op(op: &str) -> Origin {
    match op {
        op if is_fake_quant(op) || feeds(op) => Origin::Known,
        "Sigmoid" | "Softmax" | "Tanh" => Origin::Known,
        "Identity"
        | "StopGradient"
        | "PreventGradient"
        | "CheckNumerics"
        | "Snapshot"
        | "PlaceholderWithDefault"
        | "IdentityN" => Origin::Alias,
        "MaxPool"
        | "MaxPoolV2"
        | "AvgPool"
        | "Reshape"
        | "Squeeze"
        | "ExpandDims"
        | "ResizeBilinear"
        | "ResizeNearestNeighbor"
        | "Slice"
        | "StridedSlice"
        | "Gather"
        | "GatherV2"
        | "Transpose"
        | "Pad"
        | "PadV2"
        | "Mean"
        | "Split"
        | "SplitV"
        | "SpaceToDepth"
        | "Concat"
        | "ConcatV2"
        | "Pack"
        | "Max"
        | "Sum"
        | "Tile"
        | "TopK"
        | "TopKV2" => Origin::HandedOn,
        _ => Origin::Computed,
    }
}

/// The nodes of `x · rsqrt(max(sum(x²), ε))` that ends in `product`, if that is what it is.
fn l2_normalization(graph: &Graph, product: NodeId) -> Option<[NodeId; 5]> {
    let operand = |node: NodeId, ops: &[&str]| {
        graph.data_inputs(node).map(|input| input.node).find(|&input| ops.contains(&graph.op(input)))
    };
    let rsqrt = operand(product, &["Rsqrt"])?;
    let bounded = operand(rsqrt, &["Maximum", "Add", "AddV2"])?;
    let sum = operand(bounded, &["Sum"])?;
    let square = operand(sum, &["Square"])?;
    let normalized = graph.data_input(square, 0)?;
    graph.data_inputs(product).any(|input| input == normalized).then_some([product, rsqrt, bounded, sum, square])
}

/// The code of a tensor that lacks a range.
pub const LACKING: &str = "lacking_range";

/// More arithmetic with constants than this does not follow one layer.
const MAX_MERGED: usize = 16;

fn is_activation(op: &str) -> bool {
    matches!(op, "Relu" | "Relu6")
}

fn reads_only_shape(op: &str) -> bool {
    matches!(op, "Shape" | "ShapeN" | "Rank" | "Size")
}

/// The tensors whose values an op works on: not the range of a fake quantizer, nothing where only the shape counts.
fn values_read(graph: &Graph, node: NodeId) -> impl Iterator<Item = TensorRef> {
    let op = graph.op(node);
    let count = if reads_only_shape(op) {
        0
    } else if is_fake_quant(op) {
        1
    } else {
        usize::MAX
    };
    graph.data_inputs(node).take(count)
}

/// Every tensor that a converter would refuse, in graph order.
pub fn lacking(reached: &Reached<'_>) -> impl Iterator<Item = TensorRef> {
    let graph = reached.graph;
    let computed = graph.ids().filter(|&node| reached.contains(node) && reached.origin(node) == Origin::Computed);
    computed.map(TensorRef::from).filter(|&tensor| {
        let is_float = matches!(graph.tensor_type(tensor), None | Some(DataType::DtFloat));
        is_float && !reached.has_range(tensor)
    })
}

/// Why a converter would refuse the tensor.
#[must_use]
pub fn finding(reached: &Reached<'_>, tensor: TensorRef) -> Finding {
    Finding::error(LACKING, reached.graph.name(tensor.node), describe(reached, tensor))
}

fn describe(reached: &Reached<'_>, tensor: TensorRef) -> String {
    let graph = reached.graph;
    let op = graph.op(tensor.node);
    if reached.is_lone_batch_norm(tensor.node) {
        return format!("{op} follows no layer it could be folded into, and the product inside it lacks min/max data");
    }
    match reached.first_reader(tensor) {
        Some(reader) => {
            format!("{op} lacks min/max data and is read by {} ({})", graph.name(reader), graph.op(reader))
        }
        None => format!("{op} lacks min/max data and is an output"),
    }
}
