//! Where data enters a graph and where results leave it, without what only trains, saves or watches.

use serde::Serialize;

use super::tensor::{self, Shape};
use crate::graph::op_class::{is_reference_layer, is_variable};
use crate::graph::training::{is_saving, stands_aside, watches};
use crate::graph::{Graph, NodeId, TensorRef, name::parse_input};
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

    /// The nodes that are fed.
    pub fn inputs(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.inputs.iter().map(|(_, tensor)| tensor.node)
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
pub fn inputs(graph: &Graph, signatures: &Signatures) -> Vec<Endpoint> {
    let mut inputs: Vec<Endpoint> = graph
        .ids()
        .filter(|&node| matches!(graph.op(node), "Placeholder" | "PlaceholderV2" | "PlaceholderWithDefault"))
        .filter(|&node| !is_saving(graph, node))
        .map(|node| endpoint(graph, node.into(), &signatures.inputs))
        .collect();
    inputs.sort_by_key(|input| input.signature.is_none());
    inputs
}

/// What is read: the signatures' outputs, then tensors that nobody reads, then tensors that only summaries or gradients
/// read; among each, the farthest from an input first. What depends on no input is an output only if nothing does.
#[must_use]
pub fn outputs(graph: &Graph, signatures: &Signatures) -> Vec<Endpoint> {
    let mut found: Vec<Endpoint> =
        signatures.outputs().into_iter().map(|tensor| endpoint(graph, tensor, &signatures.outputs)).collect();
    let named: hashbrown::HashSet<NodeId> = signatures.outputs.iter().map(|(_, tensor)| tensor.node).collect();
    found.extend(
        ranked_ends(graph)
            .into_iter()
            .filter(|node| !named.contains(node))
            .map(|node| endpoint(graph, node.into(), &signatures.outputs)),
    );
    found
}

fn endpoint(graph: &Graph, tensor: TensorRef, signature: &[(String, TensorRef)]) -> Endpoint {
    Endpoint {
        node: graph.name(tensor.node).to_owned(),
        tensor: graph.tensor_name(tensor),
        op: graph.op(tensor.node).to_owned(),
        dtype: tensor::type_name(graph, tensor),
        shape: tensor::shape(graph, tensor),
        signature: signature.iter().find(|(_, named)| *named == tensor).map(|(name, _)| name.clone()),
    }
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
    ends(graph).into_iter().map(|end| end.node).collect()
}

/// The ends that nobody reads.
#[must_use]
pub fn unread_ends(graph: &Graph) -> Vec<NodeId> {
    ends(graph).into_iter().filter(|end| !end.watched).map(|end| end.node).collect()
}

/// A node where results leave the graph.
struct End {
    node: NodeId,
    /// Whether summaries or gradients read it.
    watched: bool,
}

fn ends(graph: &Graph) -> Vec<End> {
    let order = graph.run_order();
    let mut roles = vec![Role::Aside; graph.len()];
    for &node in order.iter().rev() {
        roles[node.index()] = role(graph, node, &roles);
    }
    let depth = depths(graph, &order);
    let abandoned = abandoned(graph, &order);
    let is_end = |node: NodeId| matches!(roles[node.index()], Role::End | Role::Watched) && !abandoned[node.index()];
    let mut ends: Vec<NodeId> = graph.ids().filter(|&node| is_end(node)).collect();
    let rank = |node: NodeId| {
        let depth = depth[node.index()];
        (roles[node.index()] == Role::Watched, std::cmp::Reverse(depth), node)
    };
    ends.sort_by_key(|&node| rank(node));
    if ends.iter().any(|node| depth[node.index()] > 0) {
        ends.retain(|node| depth[node.index()] > 0);
    }
    let end = |node: NodeId| End { node, watched: roles[node.index()] == Role::Watched };
    ends.into_iter().map(end).collect()
}

fn role(graph: &Graph, node: NodeId, roles: &[Role]) -> Role {
    if stands_aside(graph, node) || is_source(graph, node) {
        return Role::Aside;
    }
    let mut read = false;
    let mut updated = false;
    for consumer in graph.consumers(node) {
        read = true;
        match roles[consumer.index()] {
            Role::Aside if watches(graph, consumer) => {}
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
    for &node in order {
        let feeds = matches!(
            graph.op(node),
            "Placeholder"
                | "PlaceholderV2"
                | "PlaceholderWithDefault"
                | "IteratorGetNext"
                | "QueueDequeueV2"
                | "QueueDequeueManyV2"
        );
        let above = graph.data_inputs(node).map(|input| depth[input.node.index()]).max().unwrap_or(0);
        depth[node.index()] = if feeds {
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
    for &node in order {
        let name = graph.name(node);
        let took_over = name.ends_with("_Fold") || name.ends_with("_fold");
        let is_layer = is_reference_layer(graph.op(node));
        abandoned[node.index()] = !took_over
            && if is_layer {
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
            .is_some_and(|input| is_variable(graph.op(input.node)) || graph.op(input.node) == "Switch"),
        _ => false,
    }
}

/// The encoded MetaGraphDef's TensorFlow version, if it says one.
#[must_use]
pub fn tensorflow_version(meta_graph: &[u8]) -> Option<String> {
    let info = &meta_graph[wire::last_bytes(meta_graph, 1)?];
    let version = &info[wire::last_bytes(info, 5)?];
    (!version.is_empty()).then(|| String::from_utf8_lossy(version).into_owned())
}
