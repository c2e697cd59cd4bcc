//! Where data enters a graph and where results leave it, without what only trains, saves or watches.

use hashbrown::HashMap;
use serde::{Serialize, Serializer};

use super::tensor::{self, Shape};
use crate::graph::{Graph, NodeId, PerOp, TensorRef, name::parse_input};
use crate::proto::tensorflow::{SignatureDef, TensorInfo, tensor_info::Encoding};
use crate::wire::{self, Fields};

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

/// The tensors that a MetaGraphDef's signatures name: which signature and key, and where.
#[derive(Debug, Default)]
pub struct Signatures {
    inputs: Vec<(String, TensorRef)>,
    outputs: Vec<(String, TensorRef)>,
}

impl Signatures {
    /// Reads the signatures of an encoded MetaGraphDef; tensors that the graph lacks are passed over.
    #[must_use]
    pub fn read(graph: &Graph, meta_graph: &[u8]) -> Self {
        const SIGNATURE_DEF: u32 = 5;
        let mut signatures = Self::default();
        for part in Fields::new(meta_graph).map_while(Result::ok).filter(|part| part.is_message(SIGNATURE_DEF)) {
            let entry = &meta_graph[part.value()];
            let Some((key, range)) = crate::collections::map_entry(entry) else { continue };
            let Ok(signature) = <SignatureDef as prost::Message>::decode(&entry[range]) else { continue };
            let find =
                |(name, info): (&String, &TensorInfo)| Some((format!("{key}:{name}"), find_tensor(graph, info)?));
            signatures.inputs.extend(signature.inputs.iter().filter_map(find));
            signatures.outputs.extend(signature.outputs.iter().filter_map(find));
        }
        signatures
    }

    /// The tensors that are read, each once.
    #[must_use]
    pub fn outputs(&self) -> Vec<TensorRef> {
        let mut tensors: Vec<TensorRef> = self.outputs.iter().map(|(_, tensor)| *tensor).collect();
        let mut seen = hashbrown::HashSet::new();
        tensors.retain(|tensor| seen.insert(*tensor));
        tensors
    }
}

fn find_tensor(graph: &Graph, info: &TensorInfo) -> Option<TensorRef> {
    match info.encoding.as_ref()? {
        Encoding::Name(name) => find(graph, name),
        _ => None,
    }
}

/// The tensor of that name: `node` or `node:port`.
#[must_use]
pub fn find(graph: &Graph, name: &str) -> Option<TensorRef> {
    match parse_input(name)? {
        crate::graph::name::InputName::Data(node, port) => Some(TensorRef { node: graph.find(node)?, port }),
        crate::graph::name::InputName::Control(_) => None,
    }
}

/// What is fed: the placeholders, those a signature names first.
#[must_use]
pub fn inputs<'a>(graph: &'a Graph, signatures: &Signatures) -> Endpoints<'a> {
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
pub fn outputs<'a>(graph: &'a Graph, signatures: &Signatures) -> Endpoints<'a> {
    let mut found = Endpoints::new(graph, &signatures.outputs);
    found.tensors = signatures.outputs();
    let named: hashbrown::HashSet<NodeId> = signatures.outputs.iter().map(|(_, tensor)| tensor.node).collect();
    found.tensors.extend(ranked_ends(graph).into_iter().filter(|node| !named.contains(node)).map(TensorRef::from));
    found
}

/// What a node is to somebody who looks for results.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It computes something that another such node reads.
    Inner,
    /// Nobody reads it.
    End,
    /// Summaries or gradients read it, nobody else.
    Watched,
    /// It saves, initialises, updates, watches or trains, or serves only nodes that do.
    Aside,
}

/// The nodes where results leave the graph, the likeliest first.
#[must_use]
pub fn ranked_ends(graph: &Graph) -> Vec<NodeId> {
    ends(graph).0
}

/// The ends that nobody reads.
#[must_use]
pub fn unread_ends(graph: &Graph) -> Vec<NodeId> {
    let (mut ends, unread) = ends(graph);
    ends.truncate(unread);
    ends
}

/// The ends, and how many of them, the first, nobody reads.
fn ends(graph: &Graph) -> (Vec<NodeId>, usize) {
    let order = graph.run_order();
    let mut roles = vec![Role::Aside; graph.len()];
    let facts = OpFacts::of(graph);
    for &node in order.iter().rev() {
        roles[node.index()] = role(graph, node, &facts, &roles);
    }
    let depth = depths(graph, &order);
    let abandoned = abandoned(graph, &order);
    drop(order);
    let is_end = |node: NodeId| matches!(roles[node.index()], Role::End | Role::Watched) && !abandoned[node.index()];
    let mut ends: Vec<NodeId> = graph.ids().filter(|&node| is_end(node)).collect();
    let is_watched = |node: NodeId| roles[node.index()] == Role::Watched;
    ends.sort_unstable_by_key(|&node| (is_watched(node), std::cmp::Reverse(depth[node.index()]), node));
    if ends.iter().any(|node| depth[node.index()] > 0) {
        ends.retain(|node| depth[node.index()] > 0);
    }
    let unread = ends.partition_point(|&node| !is_watched(node));
    (ends, unread)
}

/// What the roles of nodes depend on, of ops.
struct OpFacts {
    stands_aside: PerOp<bool>,
    watches: PerOp<bool>,
}

impl OpFacts {
    fn of(graph: &Graph) -> Self {
        Self { stands_aside: graph.per_op(op_stands_aside), watches: graph.per_op(op_watches) }
    }
}

fn role(graph: &Graph, node: NodeId, facts: &OpFacts, roles: &[Role]) -> Role {
    if *facts.stands_aside.of(graph, node) || name_stands_aside(graph.name(node)) || is_source(graph, node) {
        return Role::Aside;
    }
    let watches = |node| *facts.watches.of(graph, node) || is_gradient(graph.name(node));
    let mut read = false;
    let mut updated = false;
    for consumer in graph.consumers(node) {
        read = true;
        match roles[consumer.index()] {
            Role::Aside if watches(consumer) => {}
            Role::Aside => updated = true,
            _ => return Role::Inner,
        }
    }
    match (read, updated) {
        (false, _) => Role::End,
        (true, false) => Role::Watched,
        (true, true) => Role::Aside,
    }
}

/// The longest way from an input to each node, in steps; 0 for nodes that no input reaches.
fn depths(graph: &Graph, order: &[NodeId]) -> Vec<u32> {
    let mut depth = vec![0u32; graph.len()];
    let feeds = graph.per_op(|op| {
        matches!(
            op,
            "Placeholder"
                | "PlaceholderV2"
                | "PlaceholderWithDefault"
                | "IteratorGetNext"
                | "QueueDequeueV2"
                | "QueueDequeueManyV2"
        )
    });
    for &node in order {
        let above = graph.data_inputs(node).map(|input| depth[input.node.index()]).max().unwrap_or(0);
        depth[node.index()] = if *feeds.of(graph, node) {
            1
        } else if above > 0 {
            above + 1
        } else {
            0
        };
    }
    depth
}

/// Which nodes only follow a layer that was left behind when its batch norm was folded: its twin `…_Fold` took over.
fn abandoned(graph: &Graph, order: &[NodeId]) -> Vec<bool> {
    let mut abandoned = vec![false; graph.len()];
    let is_layer = graph.per_op(|op| matches!(op, "Conv2D" | "DepthwiseConv2dNative" | "MatMul"));
    for &node in order {
        let name = graph.name(node);
        let took_over = name.ends_with("_Fold") || name.ends_with("_fold");
        abandoned[node.index()] = !took_over
            && if *is_layer.of(graph, node) {
                graph.find(&[name, "_Fold"].concat()).is_some()
            } else {
                graph.data_inputs(node).any(|input| abandoned[input.node.index()])
            };
    }
    abandoned
}

/// Whether a node only holds what others read.
fn is_source(graph: &Graph, node: NodeId) -> bool {
    match graph.op(node) {
        "Const"
        | "Placeholder"
        | "PlaceholderV2"
        | "PlaceholderWithDefault"
        | "VariableV2"
        | "Variable"
        | "VarHandleOp"
        | "ReadVariableOp" => true,
        // What a variable is read through, and the pivots of a conditional.
        "Identity" => graph
            .data_input(node, 0)
            .is_some_and(|input| is_variable(graph, input.node) || graph.op(input.node) == "Switch"),
        _ => false,
    }
}

/// Whether the node is a variable.
#[must_use]
pub fn is_variable(graph: &Graph, node: NodeId) -> bool {
    op_is_variable(graph.op(node))
}

pub(super) fn op_is_variable(op: &str) -> bool {
    matches!(op, "VariableV2" | "Variable" | "VarHandleOp" | "AutoReloadVariable")
}

/// Whether the node belongs to a Saver.
#[must_use]
pub fn is_saving(graph: &Graph, node: NodeId) -> bool {
    name_is_saving(graph.name(node)) || op_is_saving(graph.op(node))
}

fn op_is_saving(op: &str) -> bool {
    matches!(
        op,
        "SaveV2"
            | "Save"
            | "SaveSlices"
            | "RestoreV2"
            | "Restore"
            | "RestoreSlice"
            | "MergeV2Checkpoints"
            | "ShardedFilename"
    )
}

fn name_is_saving(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("save") else { return false };
    let Some((suffix, _)) = rest.split_once('/') else { return false };
    suffix.is_empty() || suffix.strip_prefix('_').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether the node belongs to the gradients.
#[must_use]
pub fn is_gradient(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("gradients") else { return false };
    rest.split_once('/').is_some_and(|(suffix, _)| suffix.is_empty() || suffix.starts_with('_'))
}

fn op_watches(op: &str) -> bool {
    op.contains("Summary") || op == "Assert"
}

/// Whether the node is there to save, initialise, update, watch or train.
#[must_use]
pub fn stands_aside(graph: &Graph, node: NodeId) -> bool {
    op_stands_aside(graph.op(node)) || name_stands_aside(graph.name(node))
}

fn op_stands_aside(op: &str) -> bool {
    matches!(op, "NoOp" | "IsVariableInitialized" | "VarIsInitializedOp" | "ControlTrigger")
        || ["Assign", "Apply", "ResourceApply", "SparseApply", "Scatter", "QueueEnqueue", "QueueClose", "QueueSize"]
            .iter()
            .any(|prefix| op.starts_with(prefix) && op != "ScatterNd")
        || op_watches(op)
        || op_is_saving(op)
}

fn name_stands_aside(name: &str) -> bool {
    is_gradient(name) || name_is_saving(name) || name.starts_with("report_uninitialized_variables/")
}

/// The encoded MetaGraphDef's TensorFlow version, if it says one.
#[must_use]
pub fn tensorflow_version(meta_graph: &[u8]) -> Option<String> {
    let info = &meta_graph[wire::last_bytes(meta_graph, 1)?];
    let version = &info[wire::last_bytes(info, 5)?];
    (!version.is_empty()).then(|| String::from_utf8_lossy(version).into_owned())
}
