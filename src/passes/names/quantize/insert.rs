//! Whether a tensor's consumers can all be rewired, and the step that a delay counts by: `_InsertQuantOp` of 2017.

use crate::error::{Error, ErrorKind, Result};
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, Input, NodeId};
use crate::nodes::{Builder, GlobalStep};
use crate::options::{Common, Quantize};
use crate::passes::decisions::InsertedFakeQuant;
use crate::passes::insertion::{self, Insertion, check_float, few_names};

/// Inserts fake quantizers one after the other, remembering what they share.
pub(super) struct Inserter<'o> {
    shared: insertion::Inserter<'o>,
    global_step: Option<GlobalStep>,
    shapes: ShapeCache,
}

impl<'o> Inserter<'o> {
    pub(super) fn new(common: &'o Common, quantize: &'o Quantize, vars_collection: &'o str) -> Self {
        let shared = insertion::Inserter::new(common, quantize, vars_collection);
        Self { shared, global_step: None, shapes: ShapeCache::default() }
    }

    /// The global step that had to be created for a delay.
    pub(super) fn created_global_step(&self) -> Option<NodeId> {
        self.global_step.and_then(|step| step.created)
    }

    /// All that was inserted.
    pub(super) fn finish(self) -> insertion::Inserter<'o> {
        self.shared
    }

    /// TensorFlow's `_InsertQuantOp`.
    pub(super) fn insert(&mut self, b: &mut Builder<'_>, insertion: &Insertion<'_>) -> Result<InsertedFakeQuant> {
        let Insertion { producer, consumers, .. } = *insertion;
        check_float(b.graph, producer)?;
        let rank = b.graph.rank_with(producer.into(), &mut self.shapes);
        let global_step = &mut self.global_step;
        let inserted = self.shared.insert(b, insertion, rank, |b| match global_step {
            Some(step) => Ok(*step),
            None => Ok(*global_step.insert(b.get_or_create_global_step()?)),
        })?;
        if inserted.rewired != consumers.len() {
            return Err(not_all_rewired(b.graph, producer, consumers));
        }
        Ok(inserted.fake_quant)
    }
}

/// Whether as many inputs of `consumers`, which are in graph order, read the first output of `producer` as there are
/// consumers. Layers may share an activation with many readers; once it is rewired, few uses are left to count.
pub(super) fn all_can_be_rewired(graph: &Graph, producer: NodeId, consumers: &[NodeId]) -> bool {
    let input = Input::Data(producer.into());
    let rewirable = match consumers {
        &[consumer] => graph.inputs(consumer).filter(|&other| other == input).count(),
        _ => {
            graph.tensor_consumers(producer.into()).filter(|consumer| consumers.binary_search(consumer).is_ok()).count()
        }
    };
    rewirable == consumers.len()
}

/// The error for a tensor whose consumers would not all be rewired.
pub(super) fn not_all_rewired(graph: &Graph, producer: NodeId, consumers: &[NodeId]) -> Error {
    let names = few_names(graph, consumers);
    let what = format!("some inputs would not be quantized for [{names}]: not each reads this output once");
    graph.error(ErrorKind::Refused, what, producer).hint(
        "a consumer reads the tensor twice, reads another output, or was rewired for another layer; \
         leave one of the layers out (--exclude) or go on without it (--skip-unmatched)",
    )
}
