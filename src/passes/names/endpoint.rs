//! How a layer's end is recognised by name: `_FindLayerEndpoint` in spirit, TensorFlow 1.5's `common.py`.

use crate::graph::{Graph, NodeId};

/// How the node that ends a layer is called below the layer's scope, in order of preference.
const ACTIVATION_SUFFIXES: [&str; 3] = ["/Relu6", "/Relu", "/Identity"];

/// The node that ends the layer of that scope: its Relu6, Relu or Identity.
#[must_use]
pub(super) fn endpoint_activation(graph: &Graph, scope: &str) -> Option<NodeId> {
    ACTIVATION_SUFFIXES.iter().find_map(|suffix| graph.find(&[scope, suffix].concat()))
}
