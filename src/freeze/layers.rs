//! Layers in functions: which there are, in which function, before anything is put in place.

use serde::Serialize;

use super::library::{BodyNode, Library};
use crate::container::Model;

/// A layer in a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FunctionLayer {
    /// The function.
    pub function: String,
    /// The node's name in it.
    pub node: String,
    /// The node's op.
    pub op: String,
}

/// The ops that are layers: those that multiply an input by weights.
pub const LAYER_OPS: [&str; 9] = [
    "Conv2D",
    "DepthwiseConv2dNative",
    "MatMul",
    "BatchMatMul",
    "BatchMatMulV2",
    "BatchMatMulV3",
    "Conv2DBackpropInput",
    "Conv3D",
    "Einsum",
];

/// The layers in the functions of the model's library, in its order.
#[must_use]
pub fn in_functions(model: &Model) -> Vec<FunctionLayer> {
    if model.graph.function_count() == 0 {
        return Vec::new();
    }
    let Ok(library) = Library::read(&model.graph, None) else { return Vec::new() };
    let is_layer = |node: &&BodyNode<'_>| LAYER_OPS.contains(&node.op);
    let layers = library.functions.iter().flat_map(|function| {
        function.nodes.iter().filter(is_layer).map(|node| FunctionLayer {
            function: function.name.to_owned(),
            node: node.name.to_owned(),
            op: node.op.to_owned(),
        })
    });
    layers.collect()
}
