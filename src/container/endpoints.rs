//! Where data enters a graph and where results leave it, without what only trains, saves or watches.

use hashbrown::HashMap;
use serde::{Serialize, Serializer};

use crate::container::Signatures;
use crate::graph::ends::ranked_ends;
use crate::graph::tensor::{self, Shape};
use crate::graph::training::is_saving;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::wire;

/// A tensor at which a graph is fed or read.
#[derive(Debug, Clone, Serialize)]
pub struct Endpoint {
    /// The node's name, as converters want it.
    pub node: String,
    /// The tensor's name, as sessions want it.
    pub tensor: String,
    /// The node's op.
    pub op: String,
    /// The element type.
    pub dtype: String,
    /// The dimensions.
    pub shape: Shape,
    /// The signature that names it, as `signature:key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// Tensors at which a graph is fed or read. There may be as many as nodes, so that each is described when it is told.
#[derive(Debug, Clone)]
pub struct Endpoints<'a> {
    graph: &'a Graph,
    tensors: Vec<TensorRef>,
    /// By tensor, the signature that names it.
    signatures: HashMap<TensorRef, String>,
}

impl<'a> Endpoints<'a> {
    fn new(graph: &'a Graph, named: &[(String, TensorRef)]) -> Self {
        let mut signatures = HashMap::new();
        for (name, tensor) in named {
            signatures.entry(*tensor).or_insert_with(|| name.clone());
        }
        Self { graph, tensors: Vec::new(), signatures }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Each of them.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Endpoint> {
        self.tensors.iter().map(|&tensor| self.describe(tensor))
    }

    fn describe(&self, tensor: TensorRef) -> Endpoint {
        let graph = self.graph;
        Endpoint {
            node: graph.name(tensor.node).to_owned(),
            tensor: graph.tensor_name(tensor),
            op: graph.op(tensor.node).to_owned(),
            dtype: tensor::type_name(graph, tensor),
            shape: tensor::shape(graph, tensor),
            signature: self.signatures.get(&tensor).cloned(),
        }
    }
}

impl Serialize for Endpoints<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// What is fed: the placeholders, those a signature names first.
#[must_use]
pub(crate) fn inputs<'a>(graph: &'a Graph, signatures: &Signatures) -> Endpoints<'a> {
    let mut found = Endpoints::new(graph, &signatures.inputs);
    let is_placeholder = graph.per_op(|op| matches!(op, "Placeholder" | "PlaceholderV2" | "PlaceholderWithDefault"));
    let placeholders = graph.ids().filter(|&node| *is_placeholder.of(graph, node) && !is_saving(graph, node));
    found.tensors.extend(placeholders.map(TensorRef::from));
    found.tensors.sort_by_key(|tensor| !found.signatures.contains_key(tensor));
    found
}

/// What is read: the signatures' outputs, then tensors that nobody reads, then tensors that only summaries or gradients
/// read; among each, the farthest from an input first. What depends on no input is an output only if nothing does.
#[must_use]
pub(crate) fn outputs<'a>(graph: &'a Graph, signatures: &Signatures) -> Endpoints<'a> {
    let mut found = Endpoints::new(graph, &signatures.outputs);
    found.tensors = signatures.outputs();
    let named: hashbrown::HashSet<NodeId> = signatures.outputs.iter().map(|(_, tensor)| tensor.node).collect();
    found.tensors.extend(ranked_ends(graph).into_iter().filter(|node| !named.contains(node)).map(TensorRef::from));
    found
}

/// The encoded MetaGraphDef's TensorFlow version, if it says one.
#[must_use]
pub(crate) fn tensorflow_version(meta_graph: &[u8]) -> Option<String> {
    let info = &meta_graph[wire::last_bytes(meta_graph, 1)?];
    let version = &info[wire::last_bytes(info, 5)?];
    (!version.is_empty()).then(|| String::from_utf8_lossy(version).into_owned())
}
