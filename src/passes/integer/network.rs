//! What the passes of this folder ask of a network: its layers, and who alone reads a tensor.

use hashbrown::HashSet;

use crate::graph::{Graph, NodeId, TensorRef, only};

/// How a layer's weights are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// `[…, in, out]`.
    Convolution,
    /// `[h, w, in, multiplier]`.
    Depthwise,
    /// `[h, w, out, in]`.
    Transposed,
    /// `[in, out]`, or the other way round.
    MatMul {
        /// `[out, in]`.
        transposed: bool,
    },
}

impl Layer {
    /// What the node is, if it is a layer.
    pub(crate) fn of(graph: &Graph, node: NodeId) -> Option<Self> {
        Some(match graph.op(node) {
            "Conv2D" => Self::Convolution,
            "DepthwiseConv2dNative" => Self::Depthwise,
            "Conv2DBackpropInput" => Self::Transposed,
            "MatMul" => Self::MatMul { transposed: graph.attr_bool(node, "transpose_b").unwrap_or(false) },
            "BatchMatMul" | "BatchMatMulV2" | "BatchMatMulV3" => {
                Self::MatMul { transposed: graph.attr_bool(node, "adj_y").unwrap_or(false) }
            }
            _ => return None,
        })
    }

    /// How many channels weights of these dimensions read, and how many numbers lie between one channel and the next.
    pub(crate) fn channels_read(self, dims: &[usize]) -> Option<(usize, usize)> {
        let at = |from_end: usize| dims.len().checked_sub(from_end).map(|axis| dims[axis]);
        Some(match self {
            Self::Convolution | Self::Depthwise | Self::MatMul { transposed: false } => (at(2)?, at(1)?),
            Self::Transposed | Self::MatMul { transposed: true } => (at(1)?, 1),
        })
    }

    /// Which input is the one that changes from run to run.
    pub(crate) fn input_slot(self) -> usize {
        if self == Self::Transposed { 2 } else { 0 }
    }

    /// How many channels weights of these dimensions make, and how many numbers lie between one channel and the next.
    pub(crate) fn channels(self, dims: &[usize]) -> Option<(usize, usize)> {
        let at = |from_end: usize| dims.len().checked_sub(from_end).map(|axis| dims[axis]);
        Some(match self {
            Self::Convolution | Self::MatMul { transposed: false } => (at(1)?, 1),
            Self::Depthwise => (at(2)?.checked_mul(at(1)?)?, 1),
            Self::Transposed | Self::MatMul { transposed: true } => (at(2)?, at(1)?),
        })
    }
}

/// Whether the op hands a layer's channels on as they are, on the way to its bias or scale.
pub(crate) fn hands_channels_on(op: &str) -> bool {
    matches!(op, "Squeeze" | "Reshape" | "BatchToSpaceND" | "Identity")
}

/// The weights of a layer.
pub(crate) fn weights(graph: &Graph, layer: NodeId) -> Option<TensorRef> {
    graph.data_input(layer, 1)
}

/// A graph and the tensors that are read at its end.
#[derive(Debug)]
pub(crate) struct Ends<'g> {
    graph: &'g Graph,
    outputs: HashSet<TensorRef>,
}

impl<'g> Ends<'g> {
    pub(crate) fn new(graph: &'g Graph, outputs: &[TensorRef]) -> Self {
        Self { graph, outputs: outputs.iter().copied().collect() }
    }

    /// Whether the tensor is an output of the network.
    pub(crate) fn is_output(&self, tensor: TensorRef) -> bool {
        self.outputs.contains(&tensor)
    }

    /// The node that alone reads anything of this one, and in one slot; none for an output of the network.
    pub(crate) fn only_reader(&self, node: NodeId) -> Option<NodeId> {
        only(self.graph.consumers(node)).filter(|_| !self.is_output(node.into()))
    }
}
