//! Puts one fake quantizer between a node and its consumers: `_InsertQuantOp` of TensorFlow 1.15.

use hashbrown::HashSet;

use super::insert::{check_float, few_names};
use super::topology::Options;
use super::{InsertedFakeQuant, Outcome, Role};
use crate::build::{Branch, Builder};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::quant_ops::{FakeQuant, RangeUpdate};

const INITIAL_MAX: f32 = 6.0;

/// A fake quantizer to insert.
#[allow(clippy::struct_excessive_bools)] // each is a switch of its own
#[derive(Debug, Clone)]
pub(super) struct Insertion<'a> {
    /// The scope of the layer; the quantizer's nodes go below it. Empty at the root.
    pub context: &'a str,
    /// The name below that scope.
    pub name: &'a str,
    /// The node whose first output is quantized.
    pub producer: NodeId,
    /// The nodes that shall read the quantized tensor, each once.
    pub consumers: Vec<NodeId>,
    pub role: Role,
    pub moving_average: bool,
    pub initial_min: f32,
    pub bits: u8,
    pub narrow_range: bool,
    pub symmetric: bool,
    /// The producer must be in this scope, which ends in a slash.
    pub producer_scope: Option<&'a str>,
    /// All consumers must be in this scope.
    pub consumer_scope: Option<&'a str>,
    /// Whether a tensor that cannot be quantized is no reason to refuse the graph: TensorFlow would not have tried.
    pub optional: bool,
}

/// What came of an insertion.
pub(super) enum Inserted {
    FakeQuant(Box<InsertedFakeQuant>),
    /// Nothing was inserted, for this reason.
    Nothing(Outcome, Option<String>),
}

/// Inserts fake quantizers one after the other, remembering what they share.
pub(super) struct Inserter<'o> {
    options: &'o Options,
    shapes: ShapeCache,
    /// Tensors that fake quantizers read; once so, always so.
    followed: HashSet<NodeId>,
    pub inputs_rewired: usize,
    pub updates: Vec<NodeId>,
}

impl<'o> Inserter<'o> {
    pub fn new(options: &'o Options) -> Self {
        Self {
            options,
            shapes: ShapeCache::default(),
            followed: HashSet::new(),
            inputs_rewired: 0,
            updates: Vec::new(),
        }
    }

    /// Inserts the fake quantizer, unless the tensor is out of scope or quantized already.
    pub fn insert(&mut self, b: &mut Builder<'_>, insertion: &Insertion<'_>) -> Result<Inserted> {
        if !insertion.is_in_scope(b.graph) {
            return Ok(Inserted::Nothing(Outcome::OutOfScope, None));
        }
        if self.is_followed_by_fake_quant(b.graph, insertion.producer) {
            return Ok(Inserted::Nothing(Outcome::AlreadyQuantized, None));
        }
        match self.check(b, insertion) {
            Ok(()) => self.insert_checked(b, insertion),
            Err((outcome, error)) if insertion.optional || self.options.skip_unmatched => {
                Ok(Inserted::Nothing(outcome, Some(error.to_string())))
            }
            Err((_, error)) => Err(error),
        }
    }

    /// How many axes the node's first output has, if that is known.
    fn rank(&mut self, graph: &Graph, producer: NodeId) -> Option<usize> {
        graph.rank_with(producer.into(), &mut self.shapes)
    }

    /// What inserting would fail at.
    fn check(&mut self, b: &Builder<'_>, insertion: &Insertion<'_>) -> Result<(), (Outcome, Error)> {
        let (graph, producer) = (&*b.graph, insertion.producer);
        if !insertion.moving_average && self.rank(graph, producer).is_none() {
            let error = graph
                .error(ErrorKind::Refused, "it is not known how many axes the weights have", producer)
                .hint("give the weights a known shape and export again, or --exclude the layer");
            return Err((Outcome::RankUnknown, error));
        }
        check_float(graph, producer).map_err(|error| (Outcome::NotFloat, error))?;
        let input = Input::Data(producer.into());
        let slots = |&consumer: &NodeId| graph.inputs(consumer).filter(|&other| other == input).count();
        if insertion.consumers.iter().map(slots).sum::<usize>() < insertion.consumers.len() {
            return Err((Outcome::InputsShared, not_all_rewired(graph, insertion)));
        }
        Ok(())
    }

    fn insert_checked(&mut self, b: &mut Builder<'_>, insertion: &Insertion<'_>) -> Result<Inserted> {
        let prefix = insertion.prefix();
        let input = TensorRef::from(insertion.producer);
        let update = if insertion.moving_average {
            RangeUpdate::MovingAverage { decay: self.options.ema_decay }
        } else {
            RangeUpdate::LastValue
        };
        let quantized = FakeQuant {
            scope: &prefix,
            input,
            rank: self.rank(b.graph, insertion.producer),
            initial_range: (insertion.initial_min, INITIAL_MAX),
            update,
            is_training: self.options.is_training,
            bits: insertion.bits,
            narrow_range: insertion.narrow_range,
            symmetric: insertion.symmetric,
            vars_collection: &self.options.vars_collection,
        }
        .insert(b)?;
        self.updates.extend(quantized.updates.iter().flatten());
        self.followed.insert(insertion.producer);
        let mut output = quantized.output;
        if let Some(delay) = self.options.quant_delay.filter(|&delay| delay > 0) {
            let step = b.get_or_create_quantization_step()?;
            let activate = b.greater_equal(&format!("{prefix}/activate_quant"), &step, delay)?;
            let (on, off) = (Branch::Existing(output), Branch::Existing(input));
            output = b.cond(&format!("{prefix}/delayed_quant"), activate, on, off)?;
        }
        self.inputs_rewired += b.graph.reroute(input, output, &insertion.consumers);
        let name = |node: NodeId| b.graph.name(node).to_owned();
        Ok(Inserted::FakeQuant(Box::new(InsertedFakeQuant {
            node: name(quantized.output.node),
            role: insertion.role,
            tensor: b.graph.tensor_name(input),
            bits: insertion.bits,
            narrow_range: insertion.narrow_range,
            range: quantized.range.map(|variable| name(variable.node)),
            consumers: insertion.consumers.iter().map(|&consumer| name(consumer)).collect(),
        })))
    }

    /// Whether a fake quantizer reads the node's first output, also through Reshape and Identity.
    fn is_followed_by_fake_quant(&mut self, graph: &Graph, producer: NodeId) -> bool {
        if self.followed.contains(&producer) {
            return true;
        }
        let mut waiting: Vec<NodeId> = graph.tensor_consumers(producer.into()).collect();
        let mut seen: HashSet<NodeId> = HashSet::new();
        while let Some(node) = waiting.pop() {
            match graph.op(node) {
                "FakeQuantWithMinMaxVars" | "FakeQuantWithMinMaxArgs" | "FakeQuantWithMinMaxVarsPerChannel" => {
                    self.followed.insert(producer);
                    return true;
                }
                "Reshape" | "Identity" if seen.insert(node) => waiting.extend(graph.consumers(node)),
                _ => {}
            }
        }
        false
    }
}

impl Insertion<'_> {
    fn prefix(&self) -> String {
        if self.context.is_empty() { self.name.to_owned() } else { format!("{}/{}", self.context, self.name) }
    }

    fn is_in_scope(&self, graph: &Graph) -> bool {
        self.producer_scope.is_none_or(|scope| graph.name(self.producer).starts_with(scope))
            && self
                .consumer_scope
                .is_none_or(|scope| self.consumers.iter().all(|&consumer| graph.name(consumer).starts_with(scope)))
    }
}

fn not_all_rewired(graph: &Graph, insertion: &Insertion<'_>) -> Error {
    let names = few_names(graph, &insertion.consumers);
    let what = format!("no inputs would be quantized for some of [{names}]: they read another output");
    graph
        .error(ErrorKind::Refused, what, insertion.producer)
        .hint("leave the layer out (--exclude), or go on without it (--skip-unmatched)")
}
