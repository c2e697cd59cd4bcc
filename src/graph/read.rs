//! Fills a [`Graph`] from the bytes of a GraphDef, reading of each node only its name, op, inputs and device.
//!
//! Two walks: the first makes the nodes, the second resolves the inputs, which may name later nodes. Tensors are skipped
//! by their length, so the cost is that of the nodes, not of the file.

use std::ops::Range;
use std::str;

use bytes::Bytes;

use super::name::{InputName, parse_input};
use super::{Edge, Graph, HashIndex, Input, NONE, NameHash, NodeId, Span, TensorRef, length};
use crate::error::{Error, ErrorKind, Result};
use crate::threads::both;
use crate::wire::{Field, Fields, WireError, last_bytes, messages};

/// Field numbers of GraphDef and NodeDef.
pub(super) mod field {
    pub(crate) const GRAPH_NODE: u32 = 1;
    pub(crate) const GRAPH_LIBRARY: u32 = 2;
    pub(crate) const GRAPH_VERSIONS: u32 = 4;
    pub(crate) const LIBRARY_FUNCTION: u32 = 1;
    pub(crate) const NODE_NAME: u32 = 1;
    pub(crate) const NODE_OP: u32 = 2;
    pub(crate) const NODE_INPUT: u32 = 3;
    pub(crate) const NODE_DEVICE: u32 = 4;
    pub(crate) const NODE_ATTR: u32 = 5;
}

/// Offsets of nodes are kept in 32 bits; protobuf itself stops at 2 GiB.
const MAX_SOURCE_BYTES: usize = u32::MAX as usize;

/// Reads a GraphDef. The bytes are kept and handed out again unchanged.
///
/// # Errors
/// [`ErrorKind::Malformed`] with the offset where the bytes are not a GraphDef; [`ErrorKind::InvalidGraph`] for a name
/// that is missing, not UTF-8 or given twice, and for an input that names no node; [`ErrorKind::TooLarge`] past 4 GiB.
pub fn parse(source: Bytes) -> Result<Graph> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(Error::new(ErrorKind::TooLarge, "the graph is larger than 4 GiB")
            .hint("protobuf ends at 2 GiB - 1; keep the weights in a checkpoint instead of in the graph"));
    }
    let mut graph = Graph { source, ..Graph::default() };
    let source = graph.source.clone();
    let read = Fields::new(&source).try_for_each(|entry| read_entry(&mut graph, &source, entry?));
    // What is wrong with a name before comes first.
    index_names(&mut graph)?;
    read?;
    if graph.nodes.is_empty() {
        graph.insertion_point = source.len();
    }
    graph.original_count = graph.nodes.len();
    resolve_inputs(&mut graph, &source)?;
    Ok(graph)
}

impl Graph {
    /// The functions of the graph's library: name and encoded FunctionDef, in file order.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &[u8])> {
        // Without any, none need be looked for among millions of nodes.
        let source = if self.function_count > 0 { &self.source[..] } else { &[] };
        messages(source, field::GRAPH_LIBRARY)
            .flat_map(|library| messages(library, field::LIBRARY_FUNCTION))
            .map(|function| (function_name(function).unwrap_or_default(), function))
    }

    /// The encoded VersionDef, which says for which versions of TensorFlow's ops the graph was made.
    pub(crate) fn versions(&self) -> Option<&[u8]> {
        last_bytes(&self.source, field::GRAPH_VERSIONS).map(|range| &self.source[range])
    }
}

/// The name in a FunctionDef's signature.
fn function_name(function: &[u8]) -> Option<&str> {
    let signature = &function[last_bytes(function, 1)?];
    str::from_utf8(&signature[last_bytes(signature, 1)?]).ok()
}

fn count_functions(library: &[u8]) -> Result<usize, WireError> {
    Fields::new(library).try_fold(0, |count, field| Ok(count + usize::from(field?.is_message(field::LIBRARY_FUNCTION))))
}

fn read_entry(graph: &mut Graph, source: &[u8], entry: Field) -> Result<()> {
    if entry.is_message(field::GRAPH_NODE) {
        read_node(graph, source, entry)?;
        graph.insertion_point = entry.end;
    } else if entry.is_message(field::GRAPH_LIBRARY) {
        graph.function_count += count_functions(&source[entry.value()])?;
    }
    Ok(())
}

/// Adds a node. Its inputs may name nodes that are still to come, so that its edges are left as [`Edge::spelled`] has them.
#[allow(clippy::cast_possible_truncation)] // a header has at most 20 bytes
fn read_node(graph: &mut Graph, source: &[u8], entry: Field) -> Result<()> {
    let body = &source[entry.value()];
    let node = NodeId(length(graph.nodes.len()));
    let first_input = graph.edges.len();
    let (mut name, mut op, mut device) = ("", "", "");
    for part in Fields::new(body) {
        let part = part.map_err(|error| error.shifted(entry.value_start))?;
        let value = entry.value_start + part.value_start..entry.value_start + part.end;
        let target = match part.number {
            field::NODE_NAME => &mut name,
            field::NODE_OP => &mut op,
            field::NODE_DEVICE => &mut device,
            field::NODE_INPUT if part.is_message(part.number) => {
                graph.edges.push(Edge::spelled(node, Span::new(value.start, value.len())));
                continue;
            }
            field::NODE_ATTR if part.is_message(part.number) => continue,
            field::NODE_INPUT | field::NODE_ATTR => return Err(wrong_kind(entry.value_start + part.start)),
            _ => continue,
        };
        if !part.is_message(part.number) {
            return Err(wrong_kind(entry.value_start + part.start));
        }
        *target = text(source, value)?;
    }
    if name.is_empty() || op.is_empty() {
        let what = if name.is_empty() { "a node without a name" } else { "a node without an op" };
        return Err(Error::new(ErrorKind::InvalidGraph, format!("{what} at byte {}", entry.start))
            .in_node(name, op)
            .hint("this is not a GraphDef that TensorFlow wrote; check which file you passed"));
    }
    let raw = Span::new(entry.value_start, body.len());
    let header_len = (entry.value_start - entry.start) as u8;
    graph.push_node([name, op, device], raw, header_len);
    graph.nodes[node.index()].first_input = length(first_input);
    graph.nodes[node.index()].input_count = length(graph.edges.len() - first_input);
    Ok(())
}

impl Edge {
    /// An input slot of which it is known only where it is spelled.
    fn spelled(consumer: NodeId, spelled: Span) -> Self {
        Self { from: spelled.start, port: spelled.len, consumer: consumer.0, next: NONE, previous: NONE }
    }

    fn spelling(&self) -> Span {
        Span { start: self.from, len: self.port }
    }
}

/// So many names are looked up at once.
const AT_ONCE: usize = 64;

/// Puts the names of all nodes into the index, which has each but once.
fn index_names(graph: &mut Graph) -> Result<()> {
    let mut index = HashIndex::with_capacity(graph.nodes.len());
    let mut hashes = Vec::with_capacity(AT_ONCE);
    for first in (0..graph.nodes.len()).step_by(AT_ONCE) {
        let nodes = first..graph.nodes.len().min(first + AT_ONCE);
        hashes.clear();
        hashes.extend(nodes.map(|node| NodeId(length(node))).map(|node| (graph.hash(graph.name(node)), node)));
        index.bring_near(hashes.iter().map(|&(hash, _)| hash));
        for &(hash, node) in &hashes {
            let has_its_name = |other| graph.name(NodeId(other)) == graph.name(node);
            if let Some(taken) = index.find_or_insert(hash, node.0, has_its_name) {
                return Err(graph
                    .error(ErrorKind::InvalidGraph, "two nodes have the same name", NodeId(taken))
                    .hint("node names must be unique; export the graph again"));
            }
        }
    }
    graph.index = index;
    Ok(())
}

fn wrong_kind(offset: usize) -> Error {
    WireError { what: "a node's field is not of the kind it has in a GraphDef", offset }.into()
}

fn text(source: &[u8], range: Range<usize>) -> Result<&str, WireError> {
    let base = range.start;
    str::from_utf8(&source[range])
        .map_err(|error| WireError { what: "text that is not UTF-8", offset: base + error.valid_up_to() })
}

/// Finds the nodes that inputs name.
fn resolve_inputs(graph: &mut Graph, source: &[u8]) -> Result<()> {
    let mut edges = std::mem::take(&mut graph.edges);
    resolve_halves(graph, source, &mut edges)?;
    graph.edges = edges;
    (0..length(graph.edges.len())).for_each(|edge| graph.link(edge));
    Ok(())
}

/// So many inputs are worth a thread of their own.
const MANY_INPUTS: usize = 1 << 16;

/// Resolves the inputs of a large graph on two threads.
fn resolve_halves(graph: &Graph, source: &[u8], edges: &mut [Edge]) -> Result<()> {
    if edges.len() < MANY_INPUTS {
        return resolve_all(graph, source, edges);
    }
    let (first, second) = edges.split_at_mut(edges.len() / 2);
    let (first, second) = both(|| resolve_all(graph, source, first), || resolve_all(graph, source, second));
    first.and(second)
}

fn resolve_all(graph: &Graph, source: &[u8], edges: &mut [Edge]) -> Result<()> {
    let mut some = Vec::with_capacity(AT_ONCE);
    for edges in edges.chunks_mut(AT_ONCE) {
        some.clear();
        let mut wrong = Ok(());
        for edge in &*edges {
            match text(source, edge.spelling().range()) {
                Ok(spelled) => some.push(Spelled::of(graph, NodeId(edge.consumer), spelled)),
                Err(error) => {
                    wrong = Err(error);
                    break;
                }
            }
        }
        graph.index.bring_near(some.iter().map(|spelled| spelled.hash));
        for (edge, spelled) in edges.iter_mut().zip(&some) {
            (edge.from, edge.port) = resolve(graph, spelled)?.encode();
        }
        wrong?;
    }
    Ok(())
}

/// An input of a node, as the file has it.
struct Spelled<'a> {
    node: NodeId,
    text: &'a str,
    name: Option<InputName<'a>>,
    /// The hash of the name of the node that is meant.
    hash: NameHash,
}

impl<'a> Spelled<'a> {
    fn of(graph: &Graph, node: NodeId, text: &'a str) -> Self {
        let name = parse_input(text);
        let hash = match name {
            Some(InputName::Data(name, _) | InputName::Control(name)) => graph.hash(name),
            None => NameHash::default(),
        };
        Self { node, text, name, hash }
    }
}

fn resolve(graph: &Graph, &Spelled { node, text: spelled, name, hash }: &Spelled<'_>) -> Result<Input> {
    let input = match name {
        Some(InputName::Data(name, port)) => {
            graph.find_hashed(hash, name).map(|node| Input::Data(TensorRef { node, port }))
        }
        Some(InputName::Control(name)) => graph.find_hashed(hash, name).map(Input::Control),
        None => {
            let what = format!("the input '{spelled}' is no tensor name");
            return Err(graph.error(ErrorKind::InvalidGraph, what, node).hint("an input is node, node:port or ^node"));
        }
    };
    input.ok_or_else(|| {
        graph
            .error(ErrorKind::InvalidGraph, format!("the input '{spelled}' names no node of the graph"), node)
            .hint("the graph is incomplete; extract or freeze it again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_bytes;

    fn node(name: &str, op: &str, inputs: &[&str]) -> Vec<u8> {
        let mut body = Vec::new();
        put_bytes(&mut body, 1, name.as_bytes());
        put_bytes(&mut body, 2, op.as_bytes());
        for input in inputs {
            put_bytes(&mut body, 3, input.as_bytes());
        }
        body
    }

    fn parsed(nodes: &[Vec<u8>]) -> Result<Graph> {
        let mut bytes = Vec::new();
        for node in nodes {
            put_bytes(&mut bytes, 1, node);
        }
        parse(bytes.into())
    }

    #[test]
    fn inputs_may_name_later_nodes() {
        let graph =
            parsed(&[node("b", "Neg", &["a:1", "^c"]), node("a", "Split", &[]), node("c", "NoOp", &[])]).unwrap();
        let inputs: Vec<Input> = graph.inputs(NodeId(0)).collect();
        assert_eq!(inputs, [Input::Data(TensorRef { node: NodeId(1), port: 1 }), Input::Control(NodeId(2))]);
        assert_eq!((graph.name(NodeId(0)), graph.op(NodeId(0)), graph.device(NodeId(0))), ("b", "Neg", ""));
    }

    #[test]
    fn refuses_what_is_no_graph() {
        let error = |nodes: &[Vec<u8>]| parsed(nodes).unwrap_err().to_string();
        assert_eq!(error(&[node("a", "Neg", &["b"])]), "the input 'b' names no node of the graph in node 'a' (Neg)");
        assert_eq!(error(&[node("a", "Neg", &["b:x"])]), "the input 'b:x' is no tensor name in node 'a' (Neg)");
        assert_eq!(error(&[node("a", "X", &[]), node("a", "Y", &[])]), "two nodes have the same name in node 'a' (X)");
        assert!(error(&[node("", "X", &[])]).contains("without a name at byte 0"));
        let broken = parse(Bytes::from_static(&[0x0a, 0x03, 0x0a, 0x05, 0x41])).unwrap_err();
        assert_eq!(
            broken.to_string(),
            "not a valid protobuf message: a field reaches past the end of its message at byte 4"
        );
    }
}
