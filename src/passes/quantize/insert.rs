//! Puts one fake quantizer between a node and those of its consumers that should read the quantized tensor.

use super::{InsertedFakeQuant, Options, Role};
use crate::build::{Branch, Builder, GlobalStep};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;
use crate::quant_ops::{FakeQuant, RangeUpdate};

/// A fake quantizer to insert: the arguments of TensorFlow's `_InsertQuantOp`.
#[derive(Debug, Clone)]
pub(super) struct Insertion<'a> {
    /// The scope of the layer; the quantizer's nodes go below it.
    pub context: &'a str,
    /// The name below that scope.
    pub name: &'a str,
    /// The node whose first output is quantized.
    pub producer: NodeId,
    /// The nodes that shall read the quantized tensor, each once.
    pub consumers: &'a [NodeId],
    pub role: Role,
    pub moving_average: bool,
    pub delay_requested: bool,
    pub initial_min: f32,
    pub bits: u8,
    pub narrow_range: bool,
}

const INITIAL_MAX: f32 = 6.0;

/// Inserts fake quantizers one after the other, remembering what they share.
pub(super) struct Inserter<'o> {
    options: &'o Options,
    global_step: Option<GlobalStep>,
    shapes: ShapeCache,
    pub inputs_rewired: usize,
    pub updates: Vec<NodeId>,
}

impl<'o> Inserter<'o> {
    pub fn new(options: &'o Options) -> Self {
        Self { options, global_step: None, shapes: ShapeCache::default(), inputs_rewired: 0, updates: Vec::new() }
    }

    /// The global step that had to be created for a delay.
    pub fn created_global_step(&self) -> Option<NodeId> {
        self.global_step.and_then(|step| step.created)
    }

    /// TensorFlow's `_InsertQuantOp`.
    pub fn insert(&mut self, b: &mut Builder<'_>, insertion: &Insertion<'_>) -> Result<InsertedFakeQuant> {
        let Insertion { producer, consumers, .. } = *insertion;
        check_float(b.graph, producer)?;
        let scope = format!("{}/{}", insertion.context, insertion.name);
        let input = TensorRef::from(producer);
        let update = if insertion.moving_average {
            RangeUpdate::MovingAverage { decay: self.options.ema_decay }
        } else {
            RangeUpdate::LastValue
        };
        let quantized = FakeQuant {
            scope: &scope,
            input,
            rank: b.graph.rank_with(input, &mut self.shapes),
            initial_range: (insertion.initial_min, INITIAL_MAX),
            update,
            is_training: self.options.is_training,
            bits: insertion.bits,
            narrow_range: insertion.narrow_range,
            symmetric: false,
            vars_collection: &self.options.vars_collection,
        }
        .insert(b)?;
        self.updates.extend(quantized.updates.iter().flatten());

        let mut output = quantized.output;
        if let Some(delay) = self.options.quant_delay.filter(|&delay| insertion.delay_requested && delay > 0) {
            let step = self.get_global_step(b)?;
            let activate = b.greater_equal(&format!("{scope}/activate_quant"), &step, delay)?;
            output =
                b.cond(&format!("{scope}/delayed_quant"), activate, Branch::Existing(output), Branch::Existing(input))?;
        }
        let rewired = b.graph.reroute(input, output, consumers);
        if rewired != consumers.len() {
            return Err(not_all_rewired(b.graph, producer, consumers));
        }
        self.inputs_rewired += rewired;
        let name = |node: NodeId| b.graph.name(node).to_owned();
        Ok(InsertedFakeQuant {
            node: name(quantized.output.node),
            role: insertion.role,
            tensor: b.graph.tensor_name(input),
            bits: insertion.bits,
            narrow_range: insertion.narrow_range,
            range: quantized.range.map(|variable| name(variable.node)),
            consumers: consumers.iter().map(|&consumer| name(consumer)).collect(),
        })
    }

    fn get_global_step(&mut self, b: &mut Builder<'_>) -> Result<GlobalStep> {
        match self.global_step {
            Some(step) => Ok(step),
            None => Ok(*self.global_step.insert(b.get_or_create_global_step()?)),
        }
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

/// The names of the first few nodes, and how many more there are.
pub(super) fn few_names(graph: &Graph, nodes: &[NodeId]) -> String {
    let mut names: Vec<&str> = nodes.iter().take(MAX_NAMES).map(|&node| graph.name(node)).collect();
    let more = match nodes.len().saturating_sub(MAX_NAMES) {
        0 => String::new(),
        more => format!("{more} more"),
    };
    if !more.is_empty() {
        names.push(&more);
    }
    names.join(", ")
}

/// A message that named every reader of a tensor would be as long as the graph.
const MAX_NAMES: usize = 8;

/// The error for a tensor whose consumers would not all be rewired.
pub(super) fn not_all_rewired(graph: &Graph, producer: NodeId, consumers: &[NodeId]) -> Error {
    let names = few_names(graph, consumers);
    let what = format!("some inputs would not be quantized for [{names}]: not each reads this output once");
    graph.error(ErrorKind::Refused, what, producer).hint(
        "a consumer reads the tensor twice, reads another output, or was rewired for another layer; \
         leave one of the layers out (--exclude) or go on without it (--skip-unmatched)",
    )
}

/// Fake quantizers exist for 32-bit floats alone.
pub(super) fn check_float(graph: &Graph, producer: NodeId) -> Result<()> {
    if matches!(graph.op(producer), "NoOp" | "Assert" | "ControlTrigger" | "Abort") {
        return Err(graph
            .error(ErrorKind::Refused, "a node without outputs stands where a tensor to quantize should be", producer)
            .hint("the node's name makes it look like an activation; rename it or --exclude the layer"));
    }
    match graph.tensor_type(producer.into()) {
        None | Some(DataType::DtFloat | DataType::DtFloatRef | DataType::DtInvalid) => Ok(()),
        Some(other) => {
            let what = format!("a tensor to quantize is {}, not DT_FLOAT", other.as_str_name());
            Err(graph
                .error(ErrorKind::Refused, what, producer)
                .hint("fake quantizers take 32-bit floats; export the model in float32, or --exclude the layer"))
        }
    }
}
