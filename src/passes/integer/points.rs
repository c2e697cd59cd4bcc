//! Which tensors of a network a converter to integer arithmetic needs a range for.
//!
//! Measured with TensorFlow's converter to TFLite, 2.15 and 2.21 (`tests/tensorflow/converter_corpus.py`): a layer is
//! computed in integers if its input and what comes out of it, behind bias and activation, have ranges; ops that hand
//! values on take the range of either side; some ops have a range of their own, fixed. One tensor has one range, that all
//! its readers see.

use hashbrown::{HashMap, HashSet};

use super::constants::Constants;
use super::fused::Fused;
use super::kernels::{Kernel, is_not_converted, kernel, passes_on};
use super::loops::{Bodies, Carried, variables};
use super::masks::Mask;
use super::network::{Ends, Layer};
use super::new_nodes::pivot_of;
use crate::error::Result;
use crate::graph::op_class::{canonical_op, is_fake_quant};
use crate::graph::tensor::small_floats;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// Where ranges go.
#[derive(Debug, Default)]
pub(crate) struct Points {
    /// The tensors, inputs of the network first; each with the group whose members share a range.
    pub tensors: Vec<(TensorRef, usize)>,
    /// Constants that stand beside such tensors in ops that take one range for all they read.
    pub constants: Vec<(TensorRef, usize)>,
    /// Constants that such tensors take their numbers from.
    pub tables: Vec<(TensorRef, usize)>,
    /// Numbers that mask scores in front of a Softmax, with the group of what the Softmax reads.
    pub masks: Vec<(Mask, usize)>,
    /// Pairs of groups: what is in the second is what is in the first and a number.
    pub shifted: Vec<(usize, usize, f32)>,
    /// Of tensors that nothing but clipping reads, its bounds: levels beyond them would be lost.
    pub clipped: HashMap<TensorRef, [f32; 2]>,
    /// Nodes that no integer kernel computes.
    pub float: Vec<NodeId>,
    /// For tensors in the bodies of while-loops, a node there that new constants wait for.
    pub pivots: HashMap<TensorRef, NodeId>,
    /// Tensors in while-loops that get none: in their conditions, or where the loop has no such node.
    pub in_loops: usize,
}

impl Points {
    /// Notes which numbers in the graph bear on ranges: those that clip, mask, shift, or are looked up.
    fn note_numbers(
        &mut self,
        view: &View<'_>,
        chosen: &[TensorRef],
        softmaxes: impl Iterator<Item = NodeId>,
        place_of: &dyn Fn(TensorRef) -> Option<usize>,
        source: &dyn Fn(TensorRef) -> TensorRef,
    ) {
        for mask in softmaxes.filter_map(|softmax| Mask::before(view.graph, view.constants, softmax)) {
            self.masks.extend(place_of(mask.masked).map(|place| (mask.of_sources(source), place)));
        }
        for (place, &tensor) in chosen.iter().enumerate() {
            self.clipped.extend(view.bounds_behind(tensor).map(|bounds| (tensor, bounds)));
            let shifted = view.shifted(tensor.node).and_then(|(read, number)| Some((place_of(read)?, place, number)));
            self.shifted.extend(shifted);
            // It may be any of the table's numbers.
            self.tables.extend(view.table(tensor.node).map(|table| (table, place)));
        }
    }
}

/// Finds them. `inputs` are those of the network that are floats and get a range of their own.
///
/// # Errors
/// A graph that TensorFlow would not run.
pub(crate) fn points(graph: &Graph, inputs: &[TensorRef], fed: &[TensorRef], outputs: &[TensorRef]) -> Result<Points> {
    let order = graph.run_order();
    let constants = Constants::of(graph, &order);
    let bodies = Bodies::of(graph)?;
    let fused = Fused::of(graph, &constants);
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
        .filter(|variable| !variable.readers(graph).is_empty() && !carries_flow(graph, variable.switch))
        .map(|variable| (variable.switch, variable.in_body()))
        .collect();
    for &node in order.iter().filter(|&&node| live[node.index()] && !is_fed.contains(&node)) {
        let op = graph.op(node);
        if fused.contain(node) {
            continue;
        }
        if kernel(op) == Kernel::None || is_not_converted(op) {
            points.float.push(node);
        }
        if !makes_float(graph, node)
            || view.hands_on(node)
            || kernel(op) == Kernel::Fixed
            || fused.is_fixed(node)
            || is_fake_quant(op)
            || is_control_flow(op) && op != "Exit" && !carried.contains_key(&node)
            || carries_flow(graph, node)
            || view.is_taken_in(node)
        {
            continue;
        }
        choose(carried.get(&node).copied().unwrap_or(node.into()), &mut chosen, &mut points);
    }
    let places: HashMap<TensorRef, usize> = chosen.iter().enumerate().map(|(place, &tensor)| (tensor, place)).collect();
    let mut groups = Groups((0..chosen.len()).collect());
    let sources = view.sources(&order);
    let joins = |node: NodeId| kernel(graph.op(node)) == Kernel::Joins && view.hands_on(node);
    for &node in order.iter().filter(|&&node| live[node.index()] && joins(node)) {
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
    let source = |tensor: TensorRef| sources[tensor.node.index()].unwrap_or(tensor);
    // What is reversed has a range of its own to the converter, and the levels of what it was.
    for (place, tensor) in chosen.iter().enumerate().filter(|(_, tensor)| graph.op(tensor.node) == "ReverseV2") {
        let read = graph.data_input(tensor.node, 0).and_then(|read| places.get(&source(read)));
        if let Some(&read) = read {
            groups.join(place, read);
        }
    }
    let softmaxes = order.iter().copied().filter(|&node| live[node.index()] && graph.op(node) == "Softmax");
    points.note_numbers(&view, &chosen, softmaxes, &|tensor| places.get(&source(tensor)).copied(), &source);
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
    points.constants.iter_mut().chain(&mut points.tables).for_each(|(_, group)| *group = groups.of(*group));
    points.masks.iter_mut().for_each(|(_, group)| *group = groups.of(*group));
    points.shifted.iter_mut().for_each(|(of, to, _)| [*of, *to] = [groups.of(*of), groups.of(*to)]);
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

/// Whether the node's first output is a float.
fn makes_float(graph: &Graph, node: NodeId) -> bool {
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

/// Whether the node makes such a token, or hands one on.
fn carries_flow(graph: &Graph, mut node: NodeId) -> bool {
    const MAX_STEPS: usize = 64;
    for _ in 0..MAX_STEPS {
        match graph.op(node) {
            op if is_flow(op) => return true,
            "Switch" | "Merge" | "Enter" | "Exit" | "NextIteration" | "Identity" => {}
            _ => return false,
        }
        let Some(read) = graph.data_input(node, 0) else { return false };
        node = read.node;
    }
    false
}

/// Biases of more numbers are taken for ones.
const MOST_CHANNELS: usize = 1 << 16;

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
            let between = || self.graph.data_input(node, 0).filter(|_| self.is_between_layer_and_bias(node));
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
        if self.is_relu(reader) {
            // The converter leaves it beside a transposed convolution that has no bias.
            return !self.is_transposed_without_bias(node);
        }
        if !is_layer {
            return is_bias && self.is_bias(reader);
        }
        let (mut reader, mut between, mut from_batch) = (Some(reader), 0, false);
        while let Some(node) = reader.filter(|&node| self.is_between_layer_and_bias(node)) {
            between += 1;
            from_batch |= self.graph.op(node) == "BatchToSpaceND";
            reader = self.ends.only_reader(node);
        }
        // The converter sees no bias behind a dilated convolution of one dimension, no dilated convolution where a
        // dimension, such as the batch, is unknown, nor, in 2.15, one that does not follow a transposed convolution at once.
        let is_seen = !from_batch || (between == 1 && self.has_known_input(node));
        let is_seen = is_seen && !(between > 0 && self.transposed(node).is_some());
        is_seen && reader.is_some_and(|reader| self.is_bias(reader))
    }

    /// The transposed convolution that the node is, or gives a bias to.
    fn transposed(&self, node: NodeId) -> Option<NodeId> {
        let is_one = |&node: &NodeId| Layer::of(self.graph, node) == Some(Layer::Transposed);
        Some(node).filter(is_one).or_else(|| self.biased(node).map(|tensor| tensor.node).filter(is_one))
    }

    fn is_transposed_without_bias(&self, node: NodeId) -> bool {
        let Some(layer) = self.transposed(node) else { return false };
        let is_zeros = |mut input: TensorRef| {
            while matches!(self.graph.op(input.node), "Reshape" | "Squeeze" | "ExpandDims")
                && let Some(read) = self.graph.data_input(input.node, 0)
                && self.constants.contain(input.node)
            {
                input = read;
            }
            self.holds_zeros(input, MOST_CHANNELS)
        };
        node == layer || self.graph.data_inputs(node).any(is_zeros)
    }

    /// What the converter adds biases before: a Reshape only where its shape is constant.
    fn is_between_layer_and_bias(&self, node: NodeId) -> bool {
        match self.graph.op(node) {
            "Squeeze" | "BatchToSpaceND" => true,
            "Reshape" => self.graph.data_input(node, 1).is_some_and(|shape| self.constants.contain(shape.node)),
            _ => false,
        }
    }

    fn has_known_input(&self, layer: NodeId) -> bool {
        let input = self.graph.data_input(layer, 0).and_then(|input| self.graph.static_shape(input));
        input.is_some_and(|dims| dims.iter().all(Option::is_some))
    }

    /// Whether the node's result is made of values that it reads and that have a range.
    fn hands_on(&self, node: NodeId) -> bool {
        self.handed_on(node).is_some()
    }

    /// What a node hands on, or one of the tensors that it joins. What it takes from constants alone has no range yet; and a
    /// Maximum with zero is a Relu to the converter.
    fn handed_on(&self, node: NodeId) -> Option<TensorRef> {
        if !passes_on(self.graph.op(node)) || self.is_relu(node) {
            return None;
        }
        if kernel(self.graph.op(node)) == Kernel::Joins {
            return self.operands(node).into_iter().find(|operand| !self.constants.contain(operand.node));
        }
        let read = self.graph.data_input(node, usize::from(self.graph.op(node) == "Split"));
        read.filter(|read| !self.constants.contain(read.node) || self.constants.contain(node))
    }

    fn is_relu(&self, node: NodeId) -> bool {
        match self.graph.op(node) {
            "Relu" | "Relu6" => true,
            "Maximum" => self.graph.data_inputs(node).any(|input| self.holds_zeros(input, 1)),
            _ => false,
        }
    }

    /// Whether the tensor is a constant of so many zeros at most.
    fn holds_zeros(&self, tensor: TensorRef, most: usize) -> bool {
        self.constants.contain(tensor.node)
            && small_floats(self.graph, tensor, most).is_some_and(|numbers| numbers.iter().all(|&number| number == 0.0))
    }

    /// What an Add adds a number to, and the number.
    fn shifted(&self, node: NodeId) -> Option<(TensorRef, f32)> {
        if canonical_op(self.graph.op(node)) != "Add" {
            return None;
        }
        let [a, b] = [self.graph.data_input(node, 0)?, self.graph.data_input(node, 1)?];
        let number = |tensor: TensorRef| self.graph.const_float(tensor);
        number(b).map(|number| (a, number)).or_else(|| number(a).map(|number| (b, number)))
    }

    /// What clips the tensor, if nothing else reads it.
    fn bounds_behind(&self, tensor: TensorRef) -> Option<[f32; 2]> {
        const MOST_CLIPS: usize = 4;
        let [mut low, mut high] = [f32::NEG_INFINITY, f32::INFINITY];
        let mut last = tensor.node;
        for _ in 0..MOST_CLIPS {
            let Some(reader) = self.ends.only_reader(last).filter(|_| tensor.port == 0) else { break };
            let number = || self.graph.data_inputs(reader).find_map(|input| self.graph.const_float(input));
            match (self.graph.op(reader), number()) {
                ("Relu", _) => low = low.max(0.0),
                ("Relu6", _) => [low, high] = [low.max(0.0), high.min(6.0)],
                ("Minimum", Some(number)) => high = high.min(number),
                ("Maximum", Some(number)) => low = low.max(number),
                _ => break,
            }
            last = reader;
        }
        (low.is_finite() || high.is_finite()).then_some([low.min(0.0), high.max(0.0)]).filter(|_| low < high)
    }

    /// The table of numbers that a node takes its result from.
    fn table(&self, node: NodeId) -> Option<TensorRef> {
        let table = self.graph.data_input(node, 0).filter(|table| self.constants.contain(table.node))?;
        matches!(self.graph.op(node), "Gather" | "GatherV2").then_some(table)
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
        for &node in order {
            let read = self.handed_on(node);
            sources[node.index()] = read.map(|read| sources[read.node.index()].unwrap_or(read));
        }
        sources
    }
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
