//! The fake quantizers of a graph and where their ranges come from.

use serde::Serialize;

use crate::graph::op_class::{is_fake_quant, is_variable};
use crate::graph::tensor::small_floats;
use crate::graph::{Graph, NodeId, TensorRef};

/// A FakeQuant node.
#[derive(Debug, Clone)]
pub struct FakeQuant {
    /// The node.
    pub node: NodeId,
    /// The tensor it quantizes.
    pub input: TensorRef,
    /// How many levels, as bits.
    pub bits: i64,
    /// Whether the lowest level stays unused.
    pub narrow_range: bool,
    /// Its range.
    pub range: Range,
}

/// Where a range comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Range {
    /// Numbers in the graph: one of each, or one a channel.
    Constant {
        /// The lower ends.
        min: Vec<f32>,
        /// The upper ends.
        max: Vec<f32>,
    },
    /// Variables, which are read only: minimum and maximum.
    Variables([NodeId; 2]),
    /// Variables that this very graph updates while it runs, where they were found.
    Updated([Option<NodeId>; 2]),
    /// Something else that is computed.
    Computed,
}

impl Range {
    /// The variables that hold the range, minimum first.
    #[must_use]
    pub fn variables(&self) -> Vec<NodeId> {
        match self {
            Self::Variables(ends) => ends.to_vec(),
            Self::Updated(ends) => ends.iter().copied().flatten().collect(),
            _ => Vec::new(),
        }
    }
}

/// How far a graph has come on its way to a quantized one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It holds no fake quantizer.
    Float,
    /// A training rewrite: it updates its ranges while it runs.
    Training,
    /// An eval rewrite: it reads its ranges from variables.
    Eval,
    /// Its ranges are numbers in the graph.
    Frozen,
    /// Some ranges are variables, some numbers.
    Mixed,
    /// It computes its ranges in a way that no rewriter does.
    Computed,
}

impl State {
    /// The state in words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Float => "float: no fake quantizers",
            Self::Training => "training rewrite: ranges are updated while it runs",
            Self::Eval => "eval rewrite: ranges are read from variables",
            Self::Frozen => "frozen: ranges are constants",
            Self::Mixed => "mixed: some ranges are constants, some variables",
            Self::Computed => "unusual: ranges are computed",
        }
    }

    /// The state of a graph with these fake quantizers.
    #[must_use]
    pub fn of(quants: &[FakeQuant]) -> Self {
        let any = |is: fn(&Range) -> bool| quants.iter().any(|quant| is(&quant.range));
        let constant = any(|range| matches!(range, Range::Constant { .. }));
        let variable = any(|range| matches!(range, Range::Variables(_)));
        if quants.is_empty() {
            Self::Float
        } else if any(|range| matches!(range, Range::Updated(_))) {
            Self::Training
        } else if constant && variable {
            Self::Mixed
        } else if constant {
            Self::Frozen
        } else if variable {
            Self::Eval
        } else {
            Self::Computed
        }
    }
}

/// The fake quantizers of the graph, in its order.
#[must_use]
pub fn fake_quants(graph: &Graph) -> Vec<FakeQuant> {
    let is_fake_quant = graph.per_op(is_fake_quant);
    graph.ids().filter(|&node| *is_fake_quant.of(graph, node)).filter_map(|node| read(graph, node)).collect()
}

/// One fake quantizer; none if the node lacks an input.
#[must_use]
pub fn read(graph: &Graph, node: NodeId) -> Option<FakeQuant> {
    Some(FakeQuant {
        node,
        input: graph.data_input(node, 0)?,
        bits: graph.attr_int(node, "num_bits").unwrap_or(8),
        narrow_range: graph.attr_bool(node, "narrow_range").unwrap_or(false),
        range: range(graph, node),
    })
}

fn range(graph: &Graph, node: NodeId) -> Range {
    if graph.op(node) == "FakeQuantWithMinMaxArgs" {
        let end = |name, default| vec![graph.attr_float(node, name).unwrap_or(default)];
        return Range::Constant { min: end("min", -6.0), max: end("max", 6.0) };
    }
    let (Some(min), Some(max)) = (graph.data_input(node, 1), graph.data_input(node, 2)) else { return Range::Computed };
    match (trace(graph, min), trace(graph, max)) {
        (End::Constant(min), End::Constant(max)) => Range::Constant { min, max },
        (End::Variable(min), End::Variable(max)) => Range::Variables([min, max]),
        (End::Updated(min), End::Updated(max)) => Range::Updated([min, max]),
        (End::Updated(min), _) => Range::Updated([min, None]),
        (_, End::Updated(max)) => Range::Updated([None, max]),
        _ => Range::Computed,
    }
}

enum End {
    Constant(Vec<f32>),
    Variable(NodeId),
    Updated(Option<NodeId>),
    Computed,
}

/// A way through ops that hand on what they read is followed this far.
const MAX_STEPS: usize = 32;
/// More channels than any layer has.
const MAX_CHANNELS: usize = 1 << 16;

fn trace(graph: &Graph, mut tensor: TensorRef) -> End {
    let mut updated = false;
    for _ in 0..MAX_STEPS {
        let node = tensor.node;
        let op = graph.op(node);
        if is_variable(graph.op(node)) {
            return if updated { End::Updated(Some(node)) } else { End::Variable(node) };
        }
        if op == "Const" {
            return small_floats(graph, tensor, MAX_CHANNELS).map_or(End::Computed, End::Constant);
        }
        updated |=
            op.starts_with("Assign") || graph.control_inputs(node).any(|input| graph.op(input).starts_with("Assign"));
        let hands_on = op.starts_with("Assign")
            || matches!(op, "Identity" | "ReadVariableOp" | "Enter" | "RefEnter" | "RefIdentity" | "Cast" | "Reshape");
        match graph.data_input(node, 0).filter(|_| hands_on) {
            Some(input) => tensor = input,
            None => break,
        }
    }
    if updated { End::Updated(None) } else { End::Computed }
}
