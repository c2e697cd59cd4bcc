//! Weights that are converted, reshaped or carried on their way to the layer.
//!
//! # What it does
//! Looks for the variable or constant behind Identity, Cast, Dequantize, Reshape, ExpandDims, Squeeze, Transpose and
//! slices, and quantizes the tensor that the layer reads, after all of them. Behind Enter, Switch, Split and Unpack, which
//! lead into a loop or a conditional or to several readers, it quantizes what enters the first of them: a constant is the
//! same in every frame, in every branch, and before it is split. Parts of a partitioned variable are quantized where they
//! have been put together.
//!
//! # When it applies
//! To weights stored as 16-bit floats or 8-bit integers; to kernels that are reshaped before use, such as those of
//! `conv1d`; to layers inside of `tf.cond` and `while_loop`; to recurrent cells, whose gates share a kernel.
//!
//! # What it leaves alone
//! Weights behind any other op, such as a normalisation: their range is not that of a stored tensor. A variable that the
//! layer reads by reference: its other readers assign to it. Slices whose place is computed.
//!
//! # Example
//! `kernel (Const, half) → Cast → Conv2D` gets `weights_quant` between `Cast` and `Conv2D`;
//! `kernel → Enter → while/MatMul` gets it between `kernel` and `Enter`.

use super::const_weights::{is_constant, is_variable};
use crate::graph::{Graph, NodeId, TensorRef};
use crate::passes::decisions::Extension;

/// More ops between weights and layer are not followed.
pub(super) const MAX_OPS: usize = 16;
/// Variables are not partitioned into more parts than this.
const MAX_PARTS: usize = 256;

/// A stored tensor that a layer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::passes) struct Stored {
    /// Where to quantize it: what the layer reads, or what enters the loop, conditional or split that it comes through.
    pub tensor: TensorRef,
    /// The rule that recognises it; nothing where the reference does.
    pub rule: Option<Extension>,
}

/// The stored tensor behind what a layer reads, if it is one.
pub(in crate::passes) fn stored(graph: &Graph, read: TensorRef) -> Option<Stored> {
    let (mut tensor, mut at) = (read, read);
    let mut rule = None;
    let mut identities = 0;
    for _ in 0..MAX_OPS {
        if is_constant(graph, at.node) {
            return placed(graph, tensor, rule.or(Some(Extension::ConstWeights)));
        }
        if is_variable(graph, at.node) {
            // The reference knows a variable behind one Identity, or two when it is a part of a partitioned one.
            return placed(graph, tensor, rule.or((identities > 2).then_some(Extension::WrappedWeights)));
        }
        if joins_stored(graph, at.node) {
            return placed(graph, tensor, Some(Extension::WrappedWeights));
        }
        let way = way(graph, at.node)?;
        match way {
            Way::Identity => identities += 1,
            Way::Reshaped | Way::Carried(_) => rule = Some(Extension::WrappedWeights),
        }
        at = graph.data_input(at.node, way.input())?;
        if matches!(way, Way::Carried(_)) {
            tensor = at;
        }
    }
    None
}

/// A quantizer goes behind a node's first output, and not between a variable and those who assign to it.
fn placed(graph: &Graph, tensor: TensorRef, rule: Option<Extension>) -> Option<Stored> {
    let is_reference = matches!(graph.op(tensor.node), "Variable" | "VariableV2");
    (tensor.port == 0 && !is_reference).then_some(Stored { tensor, rule })
}

/// Whether all that the node puts together are stored tensors.
fn joins_stored(graph: &Graph, node: NodeId) -> bool {
    let inputs: Vec<TensorRef> = match graph.op(node) {
        "ConcatV2" | "Concat" => graph.data_inputs(node).take(MAX_PARTS + 2).collect(),
        _ => return false,
    };
    let parts = match &inputs[..] {
        [parts @ .., _axis] if graph.op(node) == "ConcatV2" => parts,
        [_axis, parts @ ..] => parts,
        [] => return false,
    };
    (1..=MAX_PARTS).contains(&parts.len()) && parts.iter().all(|&part| is_stored(graph, part))
}

/// Whether the tensor is handed on from a constant or a variable.
fn is_stored(graph: &Graph, mut tensor: TensorRef) -> bool {
    for _ in 0..MAX_OPS {
        if is_constant(graph, tensor.node) || is_variable(graph, tensor.node) {
            return true;
        }
        let Some(before) = handed_on(graph, tensor.node) else { return false };
        tensor = before;
    }
    false
}

/// How an op hands a stored tensor on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Identity,
    /// In other numbers or another shape.
    Reshaped,
    /// Into a loop, a branch or several parts; which input it comes by.
    Carried(usize),
}

impl Way {
    fn input(self) -> usize {
        match self {
            Self::Identity | Self::Reshaped => 0,
            Self::Carried(input) => input,
        }
    }
}

fn way(graph: &Graph, node: NodeId) -> Option<Way> {
    match graph.op(node) {
        "Identity" | "StopGradient" => Some(Way::Identity),
        "Cast" | "Dequantize" | "Reshape" | "ExpandDims" | "Squeeze" => Some(Way::Reshaped),
        "Transpose" | "Slice" | "StridedSlice" => is_fixed(graph, node).then_some(Way::Reshaped),
        "Enter" | "Switch" | "SplitV" | "Unpack" => Some(Way::Carried(0)),
        "Split" => Some(Way::Carried(1)),
        _ => None,
    }
}

/// Whether all inputs but the first are constants, also inside a loop.
fn is_fixed(graph: &Graph, node: NodeId) -> bool {
    graph.data_inputs(node).skip(1).all(|input| {
        let is_carrier = matches!(graph.op(input.node), "Identity" | "Enter");
        let source = graph.data_input(input.node, 0).filter(|_| is_carrier).map_or(input.node, |input| input.node);
        is_constant(graph, source)
    })
}

/// The tensor that the node hands on, if that is all it does.
pub(super) fn handed_on(graph: &Graph, node: NodeId) -> Option<TensorRef> {
    graph.data_input(node, way(graph, node)?.input())
}

/// Whether the node only hands weights on, so that its readers read them too.
pub(in crate::passes) fn carries(graph: &Graph, node: NodeId) -> bool {
    way(graph, node).is_some()
}
