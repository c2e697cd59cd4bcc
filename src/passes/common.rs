//! What the passes agree on: which nodes are nobody's business, and how a layer's end is recognised by name.
//!
//! TensorFlow 1.5's `contrib/quantize/python/common.py`.

use crate::graph::{Graph, NodeId};

/// Nodes of gradients, optimizers and summaries, by the start of their names: no pass looks at them.
const SKIPPED_PREFIXES: [&str; 6] =
    ["gradients/", "RMSProp/", "Adagrad/", "Const_", "HistogramSummary", "ScalarSummary"];

/// How the node that ends a layer is called below the layer's scope, in order of preference.
const ACTIVATION_SUFFIXES: [&str; 3] = ["/Relu6", "/Relu", "/Identity"];

/// Whether a node of that name is passed over by all passes.
#[must_use]
pub fn is_skipped(name: &str) -> bool {
    SKIPPED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The node that ends the layer of that scope: its Relu6, Relu or Identity.
#[must_use]
pub fn endpoint_activation(graph: &Graph, scope: &str) -> Option<NodeId> {
    ACTIVATION_SUFFIXES.iter().find_map(|suffix| graph.find(&[scope, suffix].concat()))
}

/// The op an op counts as: newer ops stand in for the ones the rules were written for.
#[must_use]
pub fn canonical_op(op: &str) -> &str {
    match op {
        "FusedBatchNormV2" | "FusedBatchNormV3" => "FusedBatchNorm",
        "AddV2" => "Add",
        other => other,
    }
}
