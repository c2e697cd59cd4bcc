//! A network as the converter sees it: its ops behind one another, the tensors between them, and the fake quantizers on
//! these.

use std::cell::RefCell;
use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};

use crate::graph::shape::{Dims, ShapeCache};
use crate::graph::{Graph, NodeId, TensorRef};
use crate::inspect::fake_quant::FakeQuant;
use crate::passes::integer::constants::Constants;
use crate::passes::integer::network::Layer;

/// A tensor, by its place in [`Program::values`].
pub(super) type ValueId = usize;
/// An op, by its place in [`Program::ops`].
pub(super) type OpId = usize;

/// Where a tensor comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is fed.
    Input,
    /// It is the same in every run.
    Constant,
    /// An op makes it.
    Result(OpId),
    /// It is another one behind a fake quantizer.
    Ranged { of: ValueId, quant: usize },
}

/// A tensor of floats.
#[derive(Debug)]
pub(super) struct Value {
    pub origin: Origin,
    /// What it is in the graph.
    pub tensor: TensorRef,
    /// What it is without fake quantizers.
    pub root: ValueId,
    /// Ops that read it, and in which slot; those that do no more are left out by [`Program::readers`].
    pub readers: Vec<(OpId, usize)>,
    /// The same behind fake quantizers, one for each range.
    pub ranged: Vec<ValueId>,
    pub is_output: bool,
}

/// An op, or several that the converter makes one of.
#[derive(Debug)]
pub(super) struct Op<'g> {
    /// The first of the graph's nodes in it.
    pub node: NodeId,
    /// The graph's name for what it does, or that of the converter's where the graph has none.
    pub kind: &'g str,
    /// The tensors of floats that it reads, but for biases.
    pub inputs: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
    /// Whether a Relu is part of it.
    pub activation: bool,
    /// Whether it is still an op of its own.
    pub alive: bool,
    /// What is known of it if it is a layer.
    pub layer: Option<LayerFacts>,
}

/// What a layer has taken in.
#[derive(Debug, Clone)]
pub(super) struct LayerFacts {
    pub layer: Layer,
    pub weights: ValueId,
    /// What is added to its result.
    pub biases: Vec<ValueId>,
    /// Whether a bias stands behind a fake quantizer.
    pub bias_ranged: bool,
    /// What scales the result, if that is no part of quantized weights.
    pub scaled_by: Option<NodeId>,
    /// A scale that differs from channel to channel makes biases differ as well.
    pub biases_differ: bool,
    /// What scales the input is folded into weights: by which number, and the node.
    pub factor: Option<(f64, NodeId)>,
}

/// The network.
#[derive(Debug)]
pub(super) struct Program<'g> {
    pub graph: &'g Graph,
    pub ops: Vec<Op<'g>>,
    pub values: Vec<Value>,
    pub quants: Vec<FakeQuant>,
    /// Constants behind fake quantizers that a Transpose hands on.
    pub moved: HashSet<ValueId>,
    /// By node, whether its outputs are the same in every run.
    pub constants: Constants,
    /// What makes or reads lists whose elements are of an unknown size.
    pub open_lists: Vec<NodeId>,
    /// What says whether loops go on that change floats.
    pub float_loops: BTreeSet<NodeId>,
    /// Constants in front of which a Transpose stood: whether they are, without it, one number for each channel.
    pub turned: HashMap<ValueId, bool>,
    /// Whether another version of the converter makes another program of the graph.
    pub is_of_one_version: bool,
    /// What is known of shapes.
    pub shapes: RefCell<ShapeCache>,
}

impl<'g> Program<'g> {
    pub(super) fn new(graph: &'g Graph, constants: Constants) -> Self {
        Self {
            graph,
            constants,
            ops: Vec::new(),
            values: Vec::new(),
            quants: Vec::new(),
            moved: HashSet::new(),
            open_lists: Vec::new(),
            float_loops: BTreeSet::new(),
            turned: HashMap::new(),
            is_of_one_version: false,
            shapes: RefCell::default(),
        }
    }

    /// The dimensions of a tensor.
    pub(super) fn shape(&self, tensor: TensorRef) -> Option<Dims> {
        self.graph.static_shape_with(tensor, &mut self.shapes.borrow_mut())
    }

    fn still_reads(&self, value: ValueId, (op, slot): (OpId, usize)) -> bool {
        let op = &self.ops[op];
        op.alive && op.inputs.get(slot) == Some(&value)
    }

    /// Whether nothing is done with the value.
    pub(super) fn is_unread(&self, value: ValueId) -> bool {
        let of_value = &self.values[value];
        // What reads it no more has stood in front.
        let is_read = || of_value.readers.iter().rev().any(|&reader| self.still_reads(value, reader));
        !of_value.is_output && of_value.ranged.is_empty() && !is_read()
    }

    /// The ops that read the value now, one for each time.
    pub(super) fn readers(&self, value: ValueId) -> impl Iterator<Item = OpId> + '_ {
        let reads = move |&&reader: &&(OpId, usize)| self.still_reads(value, reader);
        self.values[value].readers.iter().filter(reads).map(|&(op, _)| op)
    }

    /// The op that alone reads what another makes, if nothing else is done with that.
    pub(super) fn only_reader(&self, value: ValueId) -> Option<OpId> {
        let of_value = &self.values[value];
        if of_value.is_output || !of_value.ranged.is_empty() {
            return None;
        }
        crate::graph::only(self.readers(value))
    }

    /// Whether the value is read by nothing but one fake quantizer: which tensor that makes.
    pub(super) fn only_range(&self, value: ValueId) -> Option<ValueId> {
        let of_value = &self.values[value];
        let [ranged] = of_value.ranged[..] else { return None };
        self.readers(value).next().is_none().then_some(ranged)
    }

    /// The tensor that the op reads first, unless it reads none: a graph may say anything.
    pub(super) fn read(&self, op: OpId) -> Option<ValueId> {
        self.ops[op].inputs.first().copied()
    }

    /// The op that makes the value.
    pub(super) fn producer(&self, value: ValueId) -> Option<OpId> {
        match self.values[value].origin {
            Origin::Result(op) => Some(op),
            _ => None,
        }
    }

    /// Whether the value is a constant, with a fake quantizer or without.
    pub(super) fn is_constant(&self, value: ValueId) -> bool {
        self.plain(value).is_some()
    }

    /// The constant that the value is, without its fake quantizers.
    pub(super) fn plain(&self, value: ValueId) -> Option<ValueId> {
        let root = self.values[value].root;
        (self.values[root].origin == Origin::Constant).then_some(root)
    }

    /// The fake quantizer that the value stands behind.
    pub(super) fn quant(&self, value: ValueId) -> Option<usize> {
        match self.values[value].origin {
            Origin::Ranged { quant, .. } => Some(quant),
            _ => None,
        }
    }

    /// Adds an op; whoever calls adds what it makes.
    pub(super) fn push(&mut self, node: NodeId, kind: &'g str, inputs: Vec<ValueId>) -> OpId {
        let op = self.ops.len();
        for (slot, &input) in inputs.iter().enumerate() {
            self.values[input].readers.push((op, slot));
        }
        self.ops.push(Op { node, kind, inputs, outputs: Vec::new(), activation: false, alive: true, layer: None });
        op
    }

    /// Adds a tensor.
    pub(super) fn value(&mut self, origin: Origin, tensor: TensorRef) -> ValueId {
        let value = self.values.len();
        let root = match origin {
            Origin::Ranged { of, .. } => self.values[of].root,
            _ => value,
        };
        self.values.push(Value { origin, tensor, root, readers: Vec::new(), ranged: Vec::new(), is_output: false });
        if let Origin::Result(op) = origin {
            self.ops[op].outputs.push(value);
        }
        value
    }

    /// Makes an op read another value in a slot.
    pub(super) fn reread(&mut self, op: OpId, slot: usize, value: ValueId) {
        self.ops[op].inputs[slot] = value;
        self.values[value].readers.push((op, slot));
    }

    /// Makes `op` the one that makes what `taken` made, which is no op of its own any more.
    pub(super) fn take_over(&mut self, op: OpId, taken: OpId) {
        let outputs = std::mem::take(&mut self.ops[taken].outputs);
        for &output in &outputs {
            self.values[output].origin = Origin::Result(op);
        }
        self.ops[op].outputs = outputs;
        self.ops[taken].alive = false;
    }

    /// Removes an op that nothing reads any more.
    pub(super) fn drop_if_unread(&mut self, op: OpId) {
        if self.ops[op].outputs.iter().all(|&value| self.is_unread(value)) {
            self.ops[op].alive = false;
        }
    }
}
