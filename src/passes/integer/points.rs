//! Which tensors of a network a converter to integer arithmetic needs a range for.
//!
//! Measured with TensorFlow's converter to TFLite, 2.15 and 2.21 (`tests/tensorflow/converter_corpus.py`): a layer is
//! computed in integers if its input and what comes out of it, behind bias and activation, have ranges; ops that hand
//! values on take the range of either side; some ops have a range of their own, fixed. One tensor has one range, that all
//! its readers see.

use hashbrown::{HashMap, HashSet};

use super::constants::Constants;
use super::hard_swish::HardSwishes;
use super::kernels::{Kernel, kernel, passes_on};
use super::loops::{Bodies, Carried, variables};
use super::network::{Ends, Layer};
use super::new_nodes::pivot_of;
use super::prelu::Prelus;
use crate::error::Result;
use crate::graph::op_class::{canonical_op, is_fake_quant};
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// Where ranges go.
#[derive(Debug, Default)]
pub(crate) struct Points {
    /// The tensors, inputs of the network first; each with the group whose members share a range.
    pub tensors: Vec<(TensorRef, usize)>,
    /// Constants that stand beside such tensors in ops that take one range for all they read.
    pub constants: Vec<(TensorRef, usize)>,
    /// Nodes that no integer kernel computes.
    pub float: Vec<NodeId>,
    /// For tensors in the bodies of while-loops, a node there that new constants wait for.
    pub pivots: HashMap<TensorRef, NodeId>,
    /// Tensors in while-loops that get none: in their conditions, or where the loop has no such node.
    pub in_loops: usize,
}

/// Finds them. `inputs` are those of the network that are floats and get a range of their own.
///
/// # Errors
/// A graph that TensorFlow would not run.
pub(crate) fn points(graph: &Graph, inputs: &[TensorRef], fed: &[TensorRef], outputs: &[TensorRef]) -> Result<Points> {
    let order = graph.run_order();
    let constants = Constants::of(graph, &order);
    let bodies = Bodies::of(graph)?;
    let (prelus, hard_swishes) = (Prelus::of(graph, &constants), HardSwishes::of(graph));
    let view = View { graph, ends: Ends::new(graph, outputs), constants: &constants };
    let mut points = Points::default();
    let live = graph.reached(fed.iter().map(|input| input.node), |node| graph.consumers(node));
    let is_fed: HashSet<NodeId> = fed.iter().map(|input| input.node).collect();
    let mut chosen: Vec<TensorRef> =
        inputs.iter().copied().filter(|&input| !stands_for_integers(graph, input)).collect();
    let choose = |tensor: TensorRef, chosen: &mut Vec<TensorRef>, points: &mut Points| {
        if bodies.contain(graph, tensor.node) {
            let Some(pivot) = bodies.pivot(graph, tensor.node) else {
                points.in_loops += 1;
                return;
            };
            points.pivots.insert(tensor, pivot);
        }
        chosen.push(tensor);
    };
    let carried: HashMap<NodeId, TensorRef> = variables(graph)
        .iter()
        .filter(|variable| !variable.readers(graph).is_empty())
        .map(|variable| (variable.switch, variable.in_body()))
        .collect();
    for &node in order.iter().filter(|&&node| live[node.index()] && !is_fed.contains(&node)) {
        let op = graph.op(node);
        if prelus.contain(node) || hard_swishes.contain(node) {
            continue;
        }
        if kernel(op) == Kernel::None {
            points.float.push(node);
        }
        if !makes_float(graph, node)
            || passes_on(op)
            || kernel(op) == Kernel::Fixed
            || is_fake_quant(op)
            || is_control_flow(op) && op != "Exit" && !carried.contains_key(&node)
            || is_flow(op)
            || view.is_taken_in(node)
        {
            continue;
        }
        choose(carried.get(&node).copied().unwrap_or(node.into()), &mut chosen, &mut points);
    }
    let places: HashMap<TensorRef, usize> = chosen.iter().enumerate().map(|(place, &tensor)| (tensor, place)).collect();
    let mut groups = Groups((0..chosen.len()).collect());
    let sources = view.sources(&order);
    for &node in order.iter().filter(|&&node| live[node.index()] && kernel(graph.op(node)) == Kernel::Joins) {
        let operands = view.operands(node);
        let made: Vec<usize> = operands
            .iter()
            .map(|operand| sources[operand.node.index()].unwrap_or(*operand))
            .filter_map(|tensor| places.get(&tensor).copied())
            .collect();
        let Some(&first) = made.first() else { continue };
        for &other in &made {
            groups.join(first, other);
        }
        if !matches!(graph.op(node), "Maximum" | "Minimum") {
            let beside = operands.iter().filter(|tensor| {
                constants.contain(tensor.node) && graph.tensor_type(**tensor) == Some(DataType::DtFloat)
            });
            points.constants.extend(beside.map(|&tensor| (tensor, first)));
        }
    }
    // What a loop carries, and what a list holds, has one range: nothing is rounded on the way.
    let handed_on = Carried::of(graph);
    for (place, tensor) in chosen.iter().enumerate() {
        for source in handed_on.sources(tensor.node) {
            let source = sources[source.node.index()].unwrap_or(source);
            if let Some(&other) = places.get(&source) {
                groups.join(place, other);
            }
        }
    }
    points.tensors = chosen.into_iter().enumerate().map(|(place, tensor)| (tensor, groups.of(place))).collect();
    points.constants.iter_mut().for_each(|(_, group)| *group = groups.of(*group));
    points.constants.sort_unstable();
    points.constants.dedup_by_key(|(tensor, _)| *tensor);
    for (tensor, _) in &points.constants {
        if let Some(pivot) = pivot_of(graph, tensor.node) {
            points.pivots.insert(*tensor, pivot);
        }
    }
    Ok(points)
}

/// Whether a float input is nothing but whole numbers to the network, such as words: between two levels there are none.
fn stands_for_integers(graph: &Graph, input: TensorRef) -> bool {
    let is_cast = |reader: NodeId| {
        let to = graph.attr_type(reader, "DstT").and_then(|to| DataType::try_from(to).ok());
        graph.op(reader) == "Cast" && matches!(to, Some(DataType::DtInt32 | DataType::DtInt64 | DataType::DtUint8))
    };
    let mut readers = graph.tensor_consumers(input).peekable();
    readers.peek().is_some() && readers.all(is_cast)
}

/// Whether the node's first output is a float; elements of lists are what the list says.
fn makes_float(graph: &Graph, node: NodeId) -> bool {
    if matches!(graph.op(node), "TensorListGetItem" | "TensorListStack" | "TensorListGather") {
        return graph.attr_type(node, "element_dtype") == Some(DataType::DtFloat as i32);
    }
    graph.tensor_type(node.into()) == Some(DataType::DtFloat)
}

fn is_control_flow(op: &str) -> bool {
    matches!(
        op,
        "Switch" | "Merge" | "Enter" | "Exit" | "NextIteration" | "LoopCond" | "Placeholder" | "PlaceholderWithDefault"
    )
}

/// Ops whose only float is the token that orders the accesses to a tensor array.
fn is_flow(op: &str) -> bool {
    matches!(op, "TensorArrayV3" | "TensorArrayScatterV3" | "TensorArrayWriteV3" | "TensorArraySplitV3")
}

/// What is asked about a node's surroundings.
struct View<'g> {
    graph: &'g Graph,
    ends: Ends<'g>,
    constants: &'g Constants,
}

impl View<'_> {
    /// Whether the node adds a bias, or another one, to what a layer computes.
    fn is_bias(&self, node: NodeId) -> bool {
        self.biased(node).is_some_and(|tensor| self.comes_from_layer(tensor.node))
    }

    /// What a node adds a constant to that is a number, or one for each channel.
    fn biased(&self, node: NodeId) -> Option<TensorRef> {
        if !matches!(canonical_op(self.graph.op(node)), "BiasAdd" | "Add") {
            return None;
        }
        let inputs = [self.graph.data_input(node, 0)?, self.graph.data_input(node, 1)?];
        let constant = inputs.iter().position(|input| self.constants.contain(input.node))?;
        let is_vector = self
            .graph
            .static_shape(inputs[constant])
            .is_none_or(|dims| dims.split_last().is_none_or(|(_, outer)| outer.iter().all(|&dim| dim == Some(1))));
        is_vector.then_some(inputs[1 - constant])
    }

    fn comes_from_layer(&self, mut node: NodeId) -> bool {
        const MAX_STEPS: usize = 8;
        for _ in 0..MAX_STEPS {
            if self.ends.only_reader(node).is_none() {
                return false;
            }
            if Layer::of(self.graph, node).is_some() {
                return true;
            }
            let between = || self.graph.data_input(node, 0).filter(|_| is_between_layer_and_bias(self.graph.op(node)));
            match self.biased(node).or_else(between) {
                Some(input) => node = input.node,
                None => return false,
            }
        }
        false
    }

    /// Whether the converter computes the node and its only reader as one.
    fn is_taken_in(&self, node: NodeId) -> bool {
        let op = canonical_op(self.graph.op(node));
        let is_layer = Layer::of(self.graph, node).is_some();
        let is_bias = self.is_bias(node);
        if !is_layer && !is_bias && !matches!(op, "Add" | "Sub" | "Mul" | "BiasAdd") {
            return false;
        }
        let Some(reader) = self.ends.only_reader(node) else { return false };
        if matches!(self.graph.op(reader), "Relu" | "Relu6") {
            return true;
        }
        if !is_layer {
            return is_bias && self.is_bias(reader);
        }
        let (mut reader, mut between, mut from_batch) = (Some(reader), 0, false);
        while let Some(node) = reader.filter(|&node| is_between_layer_and_bias(self.graph.op(node))) {
            between += 1;
            from_batch |= self.graph.op(node) == "BatchToSpaceND";
            reader = self.ends.only_reader(node);
        }
        // The converter sees no bias behind a dilated convolution of one dimension, and no dilated convolution where a
        // dimension, such as the batch, is unknown.
        let is_seen = !from_batch || (between == 1 && self.has_known_input(node));
        is_seen && reader.is_some_and(|reader| self.is_bias(reader))
    }

    fn has_known_input(&self, layer: NodeId) -> bool {
        let input = self.graph.data_input(layer, 0).and_then(|input| self.graph.static_shape(input));
        input.is_some_and(|dims| dims.iter().all(Option::is_some))
    }

    /// The tensors that a joining op takes by one range.
    fn operands(&self, node: NodeId) -> Vec<TensorRef> {
        let inputs: Vec<TensorRef> = self.graph.data_inputs(node).collect();
        match self.graph.op(node) {
            "ConcatV2" => inputs.split_last().map(|(_, values)| values.to_vec()).unwrap_or_default(),
            "Concat" | "Select" | "SelectV2" => inputs.into_iter().skip(1).collect(),
            _ => inputs,
        }
    }

    /// By node that hands values on, the tensor that they come from; one stands for all that a node joins, which share a
    /// range.
    fn sources(&self, order: &[NodeId]) -> Vec<Option<TensorRef>> {
        let mut sources: Vec<Option<TensorRef>> = vec![None; self.graph.len()];
        for &node in order.iter().filter(|&&node| passes_on(self.graph.op(node))) {
            let read = if kernel(self.graph.op(node)) == Kernel::Joins {
                self.operands(node).into_iter().find(|operand| !self.constants.contain(operand.node))
            } else {
                self.graph.data_input(node, usize::from(self.graph.op(node) == "Split"))
            };
            sources[node.index()] = read.map(|read| sources[read.node.index()].unwrap_or(read));
        }
        sources
    }
}

fn is_between_layer_and_bias(op: &str) -> bool {
    matches!(op, "Squeeze" | "Reshape" | "BatchToSpaceND")
}

/// Disjoint sets of places.
struct Groups(Vec<usize>);

impl Groups {
    fn of(&mut self, mut place: usize) -> usize {
        while self.0[place] != place {
            self.0[place] = self.0[self.0[place]];
            place = self.0[place];
        }
        place
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of(a), self.of(b));
        let (low, high) = (a.min(b), a.max(b));
        self.0[high] = low;
    }
}
