//! Puts one fake quantizer between a node and its consumers: what `_InsertQuantOp` has in common in both generations.
//!
//! The inserters of [`super::names`] and [`super::topology`] decide whether a tensor may be quantized and what counts the
//! steps of a delay; what is then done to the graph, and told of it, is done here.

use crate::error::{ErrorKind, Result};
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::nodes::fake_quant::{ConstantRange, FakeQuant, RangeUpdate};
use crate::nodes::{Branch, Builder, GlobalStep};
use crate::options::{Common, ConstantRanges, Quantize};
use crate::passes::decisions::{InsertedFakeQuant, Role};
use crate::passes::integer::network::Layer;
use crate::passes::integer::weights::is_per_channel;
use crate::proto::tensorflow::DataType;

/// The upper end of every range before the first update.
const INITIAL_MAX: f32 = 6.0;
/// The lower end of a range: of activations, which are not negative after a Relu, and of everything else.
pub(super) const ACTIVATION_MIN: f32 = 0.0;
pub(super) const WIDE_MIN: f32 = -6.0;

/// A fake quantizer to insert: the arguments of TensorFlow's `_InsertQuantOp`.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // as many as TensorFlow's function has
pub(super) struct Insertion<'a> {
    /// The scope of the layer; the quantizer's nodes go below it. Empty at the root.
    pub context: &'a str,
    /// The name below that scope.
    pub name: &'a str,
    /// The node whose first output is quantized.
    pub producer: NodeId,
    /// The nodes that shall read the quantized tensor, each once.
    pub consumers: &'a [NodeId],
    pub role: Role,
    /// Whether the range follows its tensor by moving averages, not by the last value.
    pub moving_average: bool,
    /// Whether a delay that was asked for counts for it.
    pub delayed: bool,
    pub initial_min: f32,
    pub bits: u8,
    pub narrow_range: bool,
    pub symmetric: bool,
}

impl Insertion<'_> {
    /// The scope of the quantizer's own nodes.
    pub(super) fn scope(&self) -> String {
        if self.context.is_empty() { self.name.to_owned() } else { format!("{}/{}", self.context, self.name) }
    }
}

/// A fake quantizer that was inserted, and how many inputs read it now.
pub(super) struct Inserted {
    pub fake_quant: InsertedFakeQuant,
    pub rewired: usize,
}

/// A fake quantizer whose range is constants that are yet to be filled in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenRange {
    /// The node.
    pub fake_quant: NodeId,
    /// The tensor that it rounds.
    pub input: TensorRef,
    /// The constants: minimum, maximum.
    pub ends: [NodeId; 2],
    /// What it quantizes.
    pub role: Role,
    /// One range, or one for each channel.
    pub constant: ConstantRange,
}

/// Inserts fake quantizers one after the other, keeping count.
pub(super) struct Inserter<'o> {
    common: &'o Common,
    quantize: &'o Quantize,
    vars_collection: &'o str,
    /// How many input slots read a quantized tensor now.
    pub inputs_rewired: usize,
    /// The ops that update ranges, in order.
    pub updates: Vec<NodeId>,
    /// What was quantized, and what its readers read now.
    pub quantized: Vec<[TensorRef; 2]>,
    /// The ranges that are yet to be filled in.
    pub open: Vec<OpenRange>,
}

impl<'o> Inserter<'o> {
    pub(super) fn new(common: &'o Common, quantize: &'o Quantize, vars_collection: &'o str) -> Self {
        Self {
            common,
            quantize,
            vars_collection,
            inputs_rewired: 0,
            updates: Vec::new(),
            quantized: Vec::new(),
            open: Vec::new(),
        }
    }

    /// Inserts one whose tensor has so many axes, as far as is known. `get_step` yields what counts the steps of a delay.
    pub(super) fn insert(
        &mut self,
        b: &mut Builder<'_>,
        insertion: &Insertion<'_>,
        rank: Option<usize>,
        get_step: impl FnOnce(&mut Builder<'_>) -> Result<GlobalStep>,
    ) -> Result<Inserted> {
        let Insertion { producer, consumers, .. } = *insertion;
        let scope = insertion.scope();
        let input = TensorRef::from(producer);
        let update = if insertion.moving_average {
            RangeUpdate::MovingAverage { decay: self.quantize.ema_decay }
        } else {
            RangeUpdate::LastValue
        };
        let constant = self.quantize.constant_ranges.as_ref().map(|chosen| constant_range(b.graph, insertion, chosen));
        let quantized = FakeQuant {
            scope: &scope,
            input,
            rank,
            initial_range: (insertion.initial_min, INITIAL_MAX),
            update,
            is_training: self.common.is_training,
            bits: insertion.bits,
            narrow_range: insertion.narrow_range,
            symmetric: insertion.symmetric,
            vars_collection: self.vars_collection,
            constant,
        }
        .insert(b)?;
        self.updates.extend(quantized.updates.iter().flatten());
        if let Some(constant) = constant {
            let (fake_quant, ends) = (quantized.node, quantized.range);
            self.open.push(OpenRange { fake_quant, input, ends, role: insertion.role, constant });
        }
        let mut output = quantized.output;
        if let Some(delay) = self.quantize.quant_delay.filter(|&delay| insertion.delayed && delay > 0) {
            let step = get_step(b)?;
            let activate = b.greater_equal(&format!("{scope}/activate_quant"), &step, delay)?;
            let (on, off) = (Branch::Existing(output), Branch::Existing(input));
            output = b.cond(&format!("{scope}/delayed_quant"), activate, on, off)?;
        }
        let rewired = b.graph.reroute(input, output, consumers);
        self.inputs_rewired += rewired;
        self.quantized.push([input, output]);
        let name = |node: NodeId| b.graph.owned_name(node);
        let fake_quant = InsertedFakeQuant {
            node: name(quantized.node),
            role: insertion.role,
            tensor: b.graph.tensor_name(input),
            bits: insertion.bits,
            narrow_range: insertion.narrow_range,
            range: quantized.range.map(name),
            consumers: consumers.iter().map(|&consumer| name(consumer)).collect(),
        };
        Ok(Inserted { fake_quant, rewired })
    }
}

/// Whether the range is one for each channel: of weights that only layers read which take that.
fn constant_range(graph: &Graph, insertion: &Insertion<'_>, chosen: &ConstantRanges) -> ConstantRange {
    let mut readers = insertion.consumers.iter().map(|&consumer| Layer::of(graph, consumer));
    let Some(layer) = readers.next().flatten().filter(|_| insertion.role == Role::Weights) else {
        return ConstantRange::Whole;
    };
    if !is_per_channel(layer, chosen.weights) || !readers.all(|other| other == Some(layer)) {
        return ConstantRange::Whole;
    }
    if layer != Layer::Depthwise {
        return ConstantRange::PerChannel;
    }
    let shape = graph.complete_shape_with(insertion.producer.into(), &mut ShapeCache::default());
    let dims: Option<Vec<i32>> = shape.and_then(|dims| dims.into_iter().map(|dim| i32::try_from(dim).ok()).collect());
    dims.and_then(|dims| dims.try_into().ok()).map_or(ConstantRange::Whole, ConstantRange::Depthwise)
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
