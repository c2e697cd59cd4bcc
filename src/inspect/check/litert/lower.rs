//! A graph as ops of the converter: what it removes is not there, what it takes apart is in parts.

use hashbrown::{HashMap, HashSet};

use super::converter::Converter;
use super::program::{LayerFacts, Origin, Program, ValueId};
use crate::graph::op_class::{canonical_op, feeds, is_fake_quant};
use crate::graph::tensor::small_floats;
use crate::graph::{Graph, NodeId, TensorRef, only};
use crate::inspect::fake_quant::{self, FakeQuant};
use crate::interpreter::{Limits, Tensor};
use crate::passes::integer::constants::{Constants, evaluate};
use crate::passes::integer::kernels::MOST_DIMENSIONS;
use crate::passes::integer::network::Layer;
use crate::proto::tensorflow::DataType;

/// Constants that are looked into hold no more numbers.
const MOST_NUMBERS: usize = 1 << 16;

/// Lowers what the outputs need of the inputs, as a version of the converter does it. An op has the same place in the programs
/// of all versions; where one leaves it out, it is not alive.
pub(super) fn lower<'g>(
    graph: &'g Graph,
    inputs: &[TensorRef],
    outputs: &[TensorRef],
    converter: Converter,
) -> Program<'g> {
    let fed: HashSet<NodeId> = inputs.iter().map(|input| input.node).collect();
    let needed = graph.reached(outputs.iter().map(|output| output.node), |node| {
        let is_fed = fed.contains(&node);
        graph.data_inputs(node).map(|input| input.node).filter(move |_| !is_fed)
    });
    let order = graph.run_order();
    let constants = Constants::of(graph, &order);
    let plain = plain_constants(graph, &order, &constants);
    let mut lowering = Lowering {
        program: Program::new(graph, constants),
        converter,
        constants: plain,
        outputs: outputs.iter().copied().collect(),
        known: HashMap::new(),
        numbers: HashMap::new(),
        ends: HashMap::new(),
    };
    lowering.evaluate_ends(&order);
    for &node in order.iter().filter(|node| needed[node.index()]) {
        if lowering.constants[node.index()] {
            continue;
        }
        if fed.contains(&node) || feeds(graph.op(node)) {
            lowering.input(node);
        } else {
            lowering.node(node);
        }
    }
    for &output in outputs {
        if let Some(value) = lowering.value(output) {
            lowering.program.values[value].is_output = true;
        }
    }
    lowering.program
}

/// By node, whether its outputs are the same in every run and no fake quantizer is in what makes them.
fn plain_constants(graph: &Graph, order: &[NodeId], constants: &Constants) -> Vec<bool> {
    let mut plain = vec![false; graph.len()];
    for &node in order {
        plain[node.index()] = constants.contain(node)
            && !is_fake_quant(graph.op(node))
            && graph.data_inputs(node).all(|input| plain[input.node.index()]);
    }
    plain
}

/// What the converter sees nothing of.
fn is_alias(op: &str) -> bool {
    matches!(
        op,
        "Identity" | "StopGradient" | "CheckNumerics" | "PreventGradient" | "Snapshot" | "IdentityN" | "EnsureShape"
    )
}

pub(super) struct Lowering<'g> {
    pub program: Program<'g>,
    converter: Converter,
    pub constants: Vec<bool>,
    outputs: HashSet<TensorRef>,
    pub known: HashMap<TensorRef, ValueId>,
    /// The fake quantizers on a value, by what they do.
    numbers: HashMap<(ValueId, QuantKey), ValueId>,
    /// The ends of ranges that are computed of constants.
    ends: HashMap<TensorRef, Tensor>,
}

/// What two fake quantizers share that are the same to the converter.
type QuantKey = (i64, bool, Vec<[u32; 2]>);

fn key(quant: &FakeQuant) -> QuantKey {
    let ends = match &quant.range {
        fake_quant::Range::Constant { min, max } => {
            min.iter().zip(max).map(|(min, max)| [min.to_bits(), max.to_bits()]).collect()
        }
        _ => Vec::new(),
    };
    (quant.bits, quant.narrow_range, ends)
}

impl<'g> Lowering<'g> {
    fn evaluate_ends(&mut self, order: &[NodeId]) {
        let graph = self.program.graph;
        let computed = order.iter().filter(|&&node| {
            is_fake_quant(graph.op(node))
                && fake_quant::read(graph, node).is_some_and(|quant| quant.range == fake_quant::Range::Computed)
        });
        let ends = computed.flat_map(|&node| graph.data_inputs(node).skip(1));
        let ends: Vec<TensorRef> = ends.filter(|end| self.constants[end.node.index()]).collect();
        self.ends = evaluate(graph, ends, &Limits::default()).unwrap_or_default();
    }

    fn is_float(&self, tensor: TensorRef) -> bool {
        matches!(self.program.graph.tensor_type(tensor), None | Some(DataType::DtFloat))
    }

    /// What a tensor is, if it is one of floats.
    pub(super) fn value(&mut self, tensor: TensorRef) -> Option<ValueId> {
        if let Some(&known) = self.known.get(&tensor) {
            return Some(known);
        }
        let first = self.known.get(&TensorRef { node: tensor.node, port: 0 }).copied();
        let origin =
            if self.constants[tensor.node.index()] { Origin::Constant } else { self.program.values[first?].origin };
        if !self.is_float(tensor) {
            return None;
        }
        let value = self.program.value(origin, tensor);
        self.known.insert(tensor, value);
        Some(value)
    }

    fn input(&mut self, node: NodeId) {
        if self.is_float(node.into()) {
            let value = self.program.value(Origin::Input, node.into());
            self.known.insert(node.into(), value);
        }
    }

    fn read(&mut self, node: NodeId) -> Vec<ValueId> {
        let inputs: Vec<TensorRef> = self.program.graph.data_inputs(node).collect();
        inputs.into_iter().filter_map(|input| self.value(input)).collect()
    }

    /// Whether it is a Transpose that leaves all dimensions where they are.
    fn turns_nothing(&self, node: NodeId) -> bool {
        let graph = self.program.graph;
        let order = || graph.const_ints(graph.data_input(node, 1)?);
        graph.op(node) == "Transpose"
            && order().is_some_and(|order| order.iter().zip(0..).all(|(&axis, place)| axis == place))
    }

    fn node(&mut self, node: NodeId) {
        let graph = self.program.graph;
        let op = graph.op(node);
        let first = graph.data_input(node, 0);
        if self.of_loop(node) {
            // Control flow is no op.
        } else if is_fake_quant(op) {
            self.fake_quant(node);
        } else if is_alias(op) || self.turns_nothing(node) {
            for (port, input) in (0u32..).zip(graph.data_inputs(node).collect::<Vec<_>>()) {
                if let Some(value) = self.value(input) {
                    self.known.insert(TensorRef { node, port }, value);
                }
            }
        } else if matches!(op, "Reshape" | "Squeeze" | "ExpandDims") {
            self.reshape(node);
        } else if op == "Transpose" && first.is_some_and(|first| self.is_ranged_constant(first)) {
            let value = first.and_then(|first| self.value(first));
            self.program.moved.extend(value);
            self.known.extend(value.map(|value| (node.into(), value)));
        } else if let Some(whole) = self.repacked(node) {
            self.known.insert(node.into(), whole);
        } else {
            match canonical_op(op) {
                "FusedBatchNorm" => self.batch_norm(node),
                "Selu" => self.selu(node),
                "SquaredDifference" if self.is_large(node) => {
                    let read = self.read(node);
                    let difference = self.part(node, "Sub", read);
                    self.whole(node, "Square", vec![difference]);
                }
                "Softplus" => {
                    let read = self.read(node);
                    let exp = self.part(node, "Exp", read);
                    let sum = self.part(node, "Add", vec![exp]);
                    self.whole(node, "Log", vec![sum]);
                }
                _ => self.plain(node),
            }
        }
    }

    fn plain(&mut self, node: NodeId) {
        let graph = self.program.graph;
        let inputs = self.read(node);
        if inputs.is_empty() && !self.is_float(node.into()) {
            return;
        }
        if matches!(graph.op(node), "Shape" | "ShapeN" | "Rank" | "Size") {
            let read = graph.data_input(node, 0);
            if read.is_none_or(|read| self.is_known(read)) {
                return;
            }
        }
        let kind = match canonical_op(graph.op(node)) {
            "BiasAdd" => "Add",
            "Maximum" if inputs.iter().any(|&input| self.is_plain(input) && self.is_filled_with(input, 0.0, 0.0)) => {
                self.relu(node, &inputs);
                return;
            }
            "Div" | "RealDiv" if inputs.get(1).is_some_and(|&by| self.program.plain(by) == Some(by)) => "Mul",
            kind => kind,
        };
        if let Some((same, in_all)) = self.unchanged(node, kind, &inputs) {
            self.program.is_of_one_version |= !in_all;
            if in_all || self.converter == Converter::Newest {
                if !in_all {
                    let left_out = self.program.push(node, kind, Vec::new());
                    self.program.ops[left_out].alive = false;
                }
                self.known.insert(node.into(), same);
                return;
            }
        }
        let Some(layer) = Layer::of(graph, node).filter(|_| inputs.len() >= 2) else {
            self.whole(node, kind, inputs);
            return;
        };
        let [weights, read] = match layer {
            Layer::Transposed => [inputs[0], inputs[1]],
            _ => [inputs[1], inputs[0]],
        };
        let op = self.whole(node, kind, vec![read, weights]);
        self.program.ops[op].layer = Some(LayerFacts {
            layer,
            weights,
            biases: Vec::new(),
            bias_ranged: false,
            scaled_by: None,
            biases_differ: false,
            factor: None,
        });
    }

    /// What a sum with zeros or a product with ones hands on, and whether all versions leave it out: where dimensions are not
    /// known, 2.15 does so only with one number.
    fn unchanged(&self, node: NodeId, kind: &str, inputs: &[ValueId]) -> Option<(ValueId, bool)> {
        let &[left, right] = inputs else { return None };
        let (neutral, pairs) = match kind {
            "Add" => (0.0, vec![(left, right), (right, left)]),
            "Sub" => (0.0, vec![(left, right)]),
            "Mul" => (1.0, vec![(left, right), (right, left)]),
            _ => return None,
        };
        let dims = |value: ValueId| self.program.shape(self.program.values[value].tensor);
        let is_number = |by| dims(by).is_some_and(|dims| dims.iter().all(|&dim| dim == Some(1)));
        let is_neutral = |by: ValueId| self.is_plain(by) && self.is_filled_with(by, neutral, f32::EPSILON);
        let keeps_shape = |value| dims(value).is_some_and(|dims| self.program.shape(node.into()) == Some(dims));
        let (value, by) =
            pairs.into_iter().find(|&(value, by)| is_neutral(by) && (is_number(by) || keeps_shape(value)))?;
        Some((value, is_number(by) || self.is_known(node.into())))
    }

    /// Whether the value is a constant without a fake quantizer.
    fn is_plain(&self, value: ValueId) -> bool {
        self.program.plain(value) == Some(value)
    }

    /// A Maximum with zeros.
    fn relu(&mut self, node: NodeId, inputs: &[ValueId]) {
        let read = inputs.iter().copied().filter(|&input| !self.program.is_constant(input)).take(1).collect();
        self.whole(node, "Relu", read);
    }

    fn is_filled_with(&self, constant: ValueId, number: f32, nearly: f32) -> bool {
        const MOST_STEPS: usize = 16;
        let graph = self.program.graph;
        let mut tensor = self.program.values[constant].tensor;
        for _ in 0..MOST_STEPS {
            match graph.data_input(tensor.node, 0) {
                Some(read) if matches!(graph.op(tensor.node), "Reshape" | "Squeeze" | "ExpandDims") => tensor = read,
                _ => break,
            }
        }
        let numbers = small_floats(graph, tensor, MOST_NUMBERS);
        numbers.is_some_and(|numbers| numbers.iter().all(|&each| (each - number).abs() <= nearly))
    }

    /// An op that makes what the node makes.
    pub(super) fn whole(&mut self, node: NodeId, kind: &'g str, inputs: Vec<ValueId>) -> usize {
        let op = self.program.push(node, kind, inputs);
        let ports = self.program.graph.uses(node).filter_map(|usage| usage.input.tensor());
        let mut ports: Vec<TensorRef> = ports.chain([node.into()]).collect();
        ports.sort_unstable();
        ports.dedup();
        // A Split makes all its parts, read or not.
        if kind == "Split" || kind == "SplitV" || kind == "Unpack" {
            let name = if kind == "Unpack" { "num" } else { "num_split" };
            let count = self.program.graph.attr_int(node, name).unwrap_or(0).clamp(0, 1 << 16);
            ports = (0..count).filter_map(|port| port.try_into().ok()).map(|port| TensorRef { node, port }).collect();
        }
        for tensor in ports {
            if self.is_float(tensor) {
                let value = self.program.value(Origin::Result(op), tensor);
                self.known.insert(tensor, value);
            }
        }
        op
    }

    /// An op whose result only another part of the same node reads.
    pub(super) fn part(&mut self, node: NodeId, kind: &'g str, inputs: Vec<ValueId>) -> ValueId {
        let op = self.program.push(node, kind, inputs);
        self.program.value(Origin::Result(op), node.into())
    }

    /// A constant that the converter makes for a node, of the shape of one of its inputs.
    fn constant(&mut self, node: NodeId, input: usize) -> ValueId {
        let like = self.program.graph.data_input(node, input).unwrap_or_else(|| node.into());
        self.program.value(Origin::Constant, like)
    }

    fn is_ranged_constant(&mut self, tensor: TensorRef) -> bool {
        let value = self.value(tensor);
        value.is_some_and(|value| self.program.quant(value).is_some() && self.program.is_constant(value))
    }

    fn fake_quant(&mut self, node: NodeId) {
        let graph = self.program.graph;
        let Some(mut quant) = fake_quant::read(graph, node) else { return };
        let end = |slot| {
            let numbers = self.ends.get(&graph.data_input(node, slot)?)?.values::<f32>()?;
            Some(numbers.to_vec())
        };
        if quant.range == fake_quant::Range::Computed
            && let (Some(min), Some(max)) = (end(1), end(2))
        {
            quant.range = fake_quant::Range::Constant { min, max };
        }
        let Some(of) = self.value(quant.input) else { return };
        let key = key(&quant);
        let twice = self.program.quant(of).filter(|&other| self::key(&self.program.quants[other]) == key);
        if twice.is_some() {
            self.known.insert(node.into(), of);
            return;
        }
        if let Some(&alike) = self.numbers.get(&(of, key.clone())) {
            self.known.insert(node.into(), alike);
            return;
        }
        let number = self.program.quants.len();
        self.program.quants.push(quant);
        let value = self.program.value(Origin::Ranged { of, quant: number }, node.into());
        self.program.values[of].ranged.push(value);
        self.known.insert(node.into(), value);
        self.numbers.insert((of, key), value);
    }

    fn is_large(&self, node: NodeId) -> bool {
        self.program.shape(node.into()).is_some_and(|dims| dims.len() > MOST_DIMENSIONS)
    }

    /// Whether all dimensions of the tensor are.
    fn is_known(&self, tensor: TensorRef) -> bool {
        self.program.shape(tensor).is_some_and(|dims| dims.iter().all(Option::is_some))
    }

    /// One Reshape for several in a row, and none for what leaves the shape as it is.
    fn reshape(&mut self, node: NodeId) {
        let graph = self.program.graph;
        let Some(read) = graph.data_input(node, 0) else { return };
        let Some(mut value) = self.value(read) else { return };
        if self.is_ranged_constant(read) {
            self.known.insert(node.into(), value);
            return;
        }
        let mut steps = Vec::new();
        while let Some(before) = self.program.producer(value).filter(|&op| {
            let tensor = self.program.values[value].tensor;
            self.program.ops[op].kind == "Reshape"
                && self.program.values[value].ranged.is_empty()
                && only(graph.tensor_consumers(tensor)).is_some()
                && !self.outputs.contains(&tensor)
        }) {
            let Some(further) = self.program.read(before) else { break };
            steps.push(before);
            value = further;
        }
        let tensor = self.program.values[value].tensor;
        let is_same = self.is_known(tensor) && self.program.shape(tensor) == self.program.shape(node.into());
        for &before in &steps {
            self.program.ops[before].alive = false;
        }
        if is_same {
            self.known.insert(node.into(), value);
        } else {
            self.whole(node, "Reshape", vec![value]);
        }
    }

    /// What an Unpack took apart, if the node puts just that together again.
    fn repacked(&mut self, node: NodeId) -> Option<ValueId> {
        let graph = self.program.graph;
        if graph.op(node) != "Pack" {
            return None;
        }
        let unpack = graph.data_input(node, 0)?.node;
        let axis = |node| graph.attr_int(node, "axis").unwrap_or(0);
        let count = graph.attr_int(unpack, "num").unwrap_or(0);
        let read: Vec<TensorRef> = graph.data_inputs(node).collect();
        let in_order =
            read.iter().zip(0i64..).all(|(tensor, port)| tensor.node == unpack && i64::from(tensor.port) == port);
        let is_whole = i64::try_from(read.len()).is_ok_and(|read| read == count);
        let is_so = graph.op(unpack) == "Unpack" && axis(node) == axis(unpack) && in_order && is_whole;
        let whole = graph.data_input(unpack, 0).filter(|_| is_so)?;
        let ports: Vec<ValueId> = read.iter().filter_map(|tensor| self.known.get(tensor).copied()).collect();
        if let Some(op) = ports.first().and_then(|&port| self.program.producer(port))
            && graph.consumers(unpack).all(|reader| reader == node)
        {
            self.program.ops[op].alive = false;
        }
        self.value(whole)
    }

    /// A product and a sum.
    fn batch_norm(&mut self, node: NodeId) {
        let Some(input) = self.program.graph.data_input(node, 0).and_then(|input| self.value(input)) else { return };
        let scale = self.constant(node, 1);
        let product = self.part(node, "Mul", vec![input, scale]);
        let offset = self.constant(node, 2);
        self.whole(node, "Add", vec![product, offset]);
    }

    /// `where(x > 0, c · x, d · (exp(x) - 1))`.
    fn selu(&mut self, node: NodeId) {
        let Some(input) = self.program.graph.data_input(node, 0).and_then(|input| self.value(input)) else { return };
        let [zero, scale, one, factor] = [(); 4].map(|()| self.constant(node, 0));
        self.program.push(node, "Greater", vec![input, zero]);
        let above = self.part(node, "Mul", vec![input, scale]);
        let exp = self.part(node, "Exp", vec![input]);
        let shifted = self.part(node, "Sub", vec![exp, one]);
        let below = self.part(node, "Mul", vec![shifted, factor]);
        self.whole(node, "Select", vec![above, below]);
    }
}
