//! Whether a tensor may be quantized, and the step that a delay counts by: `_InsertQuantOp` of TensorFlow 1.15.

use hashbrown::HashSet;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::op_class::is_fake_quant;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, Input, NodeId};
use crate::nodes::Builder;
use crate::options::{Common, Quantize};
use crate::passes::decisions::{InsertedFakeQuant, Outcome};
use crate::passes::insertion::{self, Insertion, check_float, few_names};

/// Where and whether to insert.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms<'a> {
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
    shared: insertion::Inserter<'o>,
    common: &'o Common,
    shapes: ShapeCache,
    /// Tensors that fake quantizers read; once so, always so.
    followed: HashSet<NodeId>,
}

impl<'o> Inserter<'o> {
    pub(super) fn new(common: &'o Common, quantize: &'o Quantize, vars_collection: &'o str) -> Self {
        let shared = insertion::Inserter::new(common, quantize, vars_collection);
        Self { shared, common, shapes: ShapeCache::default(), followed: HashSet::new() }
    }

    /// All that was inserted.
    pub(super) fn finish(self) -> insertion::Inserter<'o> {
        self.shared
    }

    /// Inserts the fake quantizer, unless the tensor is out of scope or quantized already.
    pub(super) fn insert(
        &mut self,
        b: &mut Builder<'_>,
        insertion: &Insertion<'_>,
        terms: &Terms<'_>,
    ) -> Result<Inserted> {
        if !terms.include(b.graph, insertion) {
            return Ok(Inserted::Nothing(Outcome::OutOfScope, None));
        }
        if self.is_followed_by_fake_quant(b.graph, insertion.producer) {
            return Ok(Inserted::Nothing(Outcome::AlreadyQuantized, None));
        }
        let free_name = if self.common.skip_unmatched { free_name(b, insertion) } else { None };
        let insertion = &Insertion { name: free_name.as_deref().unwrap_or(insertion.name), ..*insertion };
        match self.check(b, insertion) {
            Ok(()) => {
                let rank = self.rank(b.graph, insertion.producer);
                let get_step = |b: &mut Builder<'_>| b.get_or_create_quantization_step();
                let inserted = self.shared.insert(b, insertion, rank, get_step)?;
                self.followed.insert(insertion.producer);
                Ok(Inserted::FakeQuant(Box::new(inserted.fake_quant)))
            }
            Err((outcome, error)) if terms.optional || self.common.skip_unmatched => {
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
        if self.common.skip_unmatched {
            return Ok(()); // under a free name
        }
        check_variables_are_new(b, insertion)
            .map_err(|error| (Outcome::ScopeShared, error.in_node(graph.name(producer), graph.op(producer))))
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
                op if is_fake_quant(op) => {
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

/// That the quantizer's range variables would have names of their own.
fn check_variables_are_new(b: &Builder<'_>, insertion: &Insertion<'_>) -> Result<()> {
    let scope = b.unique_variable_scope(&insertion.scope());
    b.check_variable_is_new(&format!("{scope}/min"))
}

/// Another name for a quantizer whose range variables exist: TensorFlow forgets a scope's inner scopes once it is closed,
/// makes them again where layers are in scopes of quantizers, and then refuses the graph.
fn free_name(b: &Builder<'_>, insertion: &Insertion<'_>) -> Option<String> {
    let is_free = |name: &str| check_variables_are_new(b, &Insertion { name, ..*insertion }).is_ok();
    if is_free(insertion.name) {
        return None;
    }
    (1..=u32::MAX).map(|suffix| format!("{}_{suffix}", insertion.name)).find(|name| is_free(name))
}

impl Terms<'_> {
    fn include(&self, graph: &Graph, insertion: &Insertion<'_>) -> bool {
        let is_inside = |node: NodeId, scope: &str| graph.name(node).starts_with(scope);
        self.producer_scope.is_none_or(|scope| is_inside(insertion.producer, scope))
            && self
                .consumer_scope
                .is_none_or(|scope| insertion.consumers.iter().all(|&consumer| is_inside(consumer, scope)))
    }
}

fn not_all_rewired(graph: &Graph, insertion: &Insertion<'_>) -> Error {
    let names = few_names(graph, insertion.consumers);
    let what = format!("no inputs would be quantized for some of [{names}]: they read another output");
    graph
        .error(ErrorKind::Refused, what, insertion.producer)
        .hint("leave the layer out (--exclude), or go on without it (--skip-unmatched)")
}
