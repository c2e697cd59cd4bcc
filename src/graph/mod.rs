//! The graph a pass reads and edits: nodes in an arena, edges known from both ends, bytes kept where they came from.
//!
//! An original node is its span in the file plus what every pass needs decoded (name, op, device, inputs); an inserted
//! node is a name, edges, and its attributes already encoded. Every edit goes through [`Graph`], which keeps the name
//! index and the consumers right. [`read`] fills the graph, [`write`](mod@write) says which bytes it has become,
//! [`verify`] checks what must hold of any graph.

pub mod attr;
pub(crate) mod constant;
pub(crate) mod einsum;
mod element_type;
pub(crate) mod ends;
mod index;
mod kinds;
pub(crate) mod loops;
pub mod name;
pub(crate) mod op_class;
pub(crate) mod order;
pub(crate) mod pattern;
mod reach;
pub(crate) mod read;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod shape;
pub(crate) mod stamp;
pub(crate) mod tensor;
pub(crate) mod training;
pub(crate) mod verify;
mod words;
pub(crate) mod write;

use std::collections::BTreeMap;

use bytes::Bytes;
use hashbrown::HashMap;

use crate::error::{Error, ErrorKind, Result};
use crate::source::Part;
use index::NameHasher;
pub(crate) use index::{HashIndex, NameHash, NameSet};
use kinds::{Kind, Kinds};
use stamp::{Place, Stamps};
pub(crate) use words::Word;
use words::Words;

/// A node, by its place in the graph's arena: file order first, then order of insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// The node's place in the arena.
    #[must_use]
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One output of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorRef {
    /// The node that produces the tensor.
    pub node: NodeId,
    /// Which of its outputs.
    pub port: u32,
}

impl From<NodeId> for TensorRef {
    /// A node's first output, which is what naming a node as an input means.
    fn from(node: NodeId) -> Self {
        Self { node, port: 0 }
    }
}

/// What one input slot of a node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// A tensor.
    Data(TensorRef),
    /// The wish to run after that node.
    Control(NodeId),
}

/// The one item that there is; none of none or several.
pub(crate) fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    let item = items.next()?;
    items.next().is_none().then_some(item)
}

impl Input {
    /// The node at the other end.
    #[must_use]
    #[inline]
    pub fn node(self) -> NodeId {
        match self {
            Self::Data(tensor) => tensor.node,
            Self::Control(node) => node,
        }
    }

    /// The tensor, unless this is a control input.
    #[must_use]
    #[inline]
    pub fn tensor(self) -> Option<TensorRef> {
        match self {
            Self::Data(tensor) => Some(tensor),
            Self::Control(_) => None,
        }
    }
}

/// One place where a node's output is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The node that uses it.
    pub consumer: NodeId,
    /// In which of its input slots.
    pub slot: usize,
    /// What that slot holds.
    pub input: Input,
}

/// A range of one of the graph's buffers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    /// No buffer reaches 4 GiB: files and what is inserted into them are kept below.
    pub(crate) fn new(start: usize, len: usize) -> Self {
        Self { start: length(start), len: length(len) }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

#[derive(Debug, Clone, Copy)]
struct Node {
    name: Span,
    /// Original: the NodeDef's body in `source`. Inserted: its attribute fields in `attrs`.
    raw: Span,
    first_input: u32,
    input_count: u32,
    /// The last edge that leads from it; behind it comes the first one.
    last_use: u32,
    /// Bytes of tag and length before the body.
    header_len: u8,
    edited: bool,
    renamed: bool,
}

const NONE: u32 = u32::MAX;
const CONTROL: u32 = u32::MAX;

/// One input slot; the slots of a node are consecutive. All uses of a node form a ring.
#[derive(Debug, Clone, Copy)]
struct Edge {
    from: u32,
    port: u32,
    consumer: u32,
    next: u32,
    previous: u32,
}

/// A GraphDef being rewritten.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    source: Bytes,
    nodes: Vec<Node>,
    /// By node, its op and device: their number in `kinds`. Apart, as passes look for nodes of an op among all.
    node_kinds: Vec<u32>,
    original_count: usize,
    /// Where in `source` inserted nodes go: after the last original one.
    insertion_point: usize,
    function_count: usize,
    edges: Vec<Edge>,
    /// Names of all nodes, one after the other.
    text: String,
    words: Words,
    /// Encoded attributes of inserted nodes.
    attrs: Vec<u8>,
    kinds: Kinds,
    /// Attributes that original nodes were given, encoded, by node.
    given_attrs: HashMap<NodeId, Vec<GivenAttr>>,
    /// Contents that lie elsewhere, of original Consts whose `value` has none.
    contents: HashMap<NodeId, Vec<Part>>,
    index: HashIndex,
    hasher: NameHasher,
    /// Nodes that are inserted many times.
    stamps: Stamps,
}

/// An attribute that an original node was given: its name, and its AttrValue encoded.
#[derive(Debug, Clone)]
struct GivenAttr {
    name: Box<str>,
    value: Vec<u8>,
}

/// What an inserted node is made of; see [`Graph::insert`].
#[derive(Debug, Clone, Copy)]
pub struct NewNode<'a> {
    /// The full name, not yet in the graph.
    pub name: &'a str,
    /// The op, as in the op registry.
    pub op: &'a str,
    /// The requested device, mostly empty.
    pub device: &'a str,
    /// Data inputs first, then control inputs.
    pub inputs: &'a [Input],
    /// The attributes, encoded by [`attr::Attrs`].
    pub attrs: &'a [u8],
}

impl Graph {
    /// How many nodes there are now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len() + self.stamps.count
    }

    /// Whether there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of all nodes that are no stamp's, one after the other.
    pub(crate) fn names_text(&self) -> &str {
        &self.text
    }

    /// Whether there may be a node whose name holds that word. No, only if there is none.
    pub(crate) fn some_name_may_hold(&self, word: Word) -> bool {
        !self.stamps.is_empty() || self.words.are_held(&self.text, word)
    }

    /// How many nodes came from the file.
    #[must_use]
    pub fn original_count(&self) -> usize {
        self.original_count
    }

    /// How many functions the graph's library holds; they are carried along as they are.
    #[must_use]
    pub fn function_count(&self) -> usize {
        self.function_count
    }

    /// Whether the node came from the file.
    #[must_use]
    pub fn is_original(&self, node: NodeId) -> bool {
        node.index() < self.original_count
    }

    /// Whether the node differs from what the file holds: inserted, or given other inputs.
    #[must_use]
    pub fn is_changed(&self, node: NodeId) -> bool {
        !self.is_original(node) || self.nodes[node.index()].edited
    }

    /// Whether anything differs from what the file holds.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.len() > self.original_count || self.nodes.iter().any(|node| node.edited)
    }

    /// How many nodes of each op were inserted.
    #[must_use]
    pub fn ops_inserted(&self) -> BTreeMap<&str, usize> {
        self.ops_of(&self.node_kinds[self.original_count..])
    }

    /// How many there are of each op, of nodes of these kinds and those of stamps.
    fn ops_of(&self, node_kinds: &[u32]) -> BTreeMap<&str, usize> {
        let mut counts = vec![0; self.kinds.len()];
        for &kind in node_kinds {
            counts[kind as usize] += 1;
        }
        self.stamps.count_kinds(&mut counts);
        self.kinds.by_op(counts)
    }

    /// All nodes in order: the file's, then the inserted ones.
    #[allow(clippy::cast_possible_truncation)] // node ids are u32 by construction
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        (0..self.len() as u32).map(NodeId)
    }

    /// The nodes inserted since there were `count` nodes.
    #[allow(clippy::cast_possible_truncation)] // as above
    pub fn ids_from(&self, count: usize) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (count as u32..self.len() as u32).map(NodeId)
    }

    /// The node of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.find_hashed(self.hash(name), name)
    }

    /// The name, or where a node has it the first of `name_1`, `name_2`, … that none has.
    pub(crate) fn free_name(&self, name: &str) -> String {
        let numbered = (1..).map(|number| format!("{name}_{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| self.find(name).is_none()).unwrap_or_else(|| name.to_owned())
    }

    /// The tensor of that name: `node` or `node:port`.
    #[must_use]
    pub fn find_tensor(&self, name: &str) -> Option<TensorRef> {
        match name::parse_input(name)? {
            name::InputName::Data(node, port) => Some(TensorRef { node: self.find(node)?, port }),
            name::InputName::Control(_) => None,
        }
    }

    /// The tensor of a name that the user gave.
    ///
    /// # Errors
    /// [`ErrorKind::Options`], with the node whose name comes nearest.
    pub fn tensor_named(&self, name: &str) -> Result<TensorRef> {
        self.find_tensor(name).ok_or_else(|| {
            let error = Error::new(ErrorKind::Options, format!("the graph has no node '{name}'"));
            match nearest(name, self.ids().map(|node| self.name(node))) {
                Some(near) => error.hint(format!("the nearest name is '{near}'")),
                None => error.hint("the graph is empty"),
            }
        })
    }

    /// As [`Graph::find`], for a name whose hash is known.
    pub(crate) fn find_hashed(&self, hash: NameHash, name: &str) -> Option<NodeId> {
        let is_it = |node| match self.alone(NodeId(node)) {
            Some(node) => &self.text[node.name.range()] == name,
            None => false,
        };
        self.index.find(hash, is_it).map(NodeId).or_else(|| self.find_stamped(name))
    }

    /// The hash of a name, for the tables that find names.
    pub(crate) fn hash(&self, name: &str) -> NameHash {
        self.hasher.hash(name)
    }

    /// The node's name.
    #[must_use]
    #[inline]
    pub fn name(&self, node: NodeId) -> &str {
        match self.place(node) {
            Place::Alone(place) => &self.text[self.nodes[place].name.range()],
            Place::Stamped(stamp, inside) => self.stamped_name(stamp, inside),
        }
    }

    #[inline]
    fn place(&self, node: NodeId) -> Place {
        self.stamps.place(node)
    }

    /// How long the node's name is.
    fn name_len(&self, node: NodeId) -> usize {
        match self.place(node) {
            Place::Alone(place) => self.nodes[place].name.len as usize,
            Place::Stamped(stamp, inside) => self.stamped_name_len(stamp, inside),
        }
    }

    /// Appends the node's name, which need not be a text of its own for that.
    pub(crate) fn put_name(&self, node: NodeId, out: &mut Vec<u8>) {
        match self.place(node) {
            Place::Alone(place) => out.extend_from_slice(self.text[self.nodes[place].name.range()].as_bytes()),
            Place::Stamped(stamp, inside) => self.put_stamped_name(stamp, inside, out),
        }
    }

    /// A copy of the node's name.
    pub(crate) fn owned_name(&self, node: NodeId) -> String {
        let mut name = Vec::with_capacity(self.name_len(node));
        self.put_name(node, &mut name);
        String::from_utf8(name).unwrap_or_default()
    }

    /// What `fact` says of the node's name, which need not be a text of its own for longer.
    pub(crate) fn with_name<T>(&self, node: NodeId, fact: impl FnOnce(&str) -> T) -> T {
        if self.is_stamped(node) { fact(&self.owned_name(node)) } else { fact(self.name(node)) }
    }

    /// The node's name, or of a stamped node the scope that it is below, which ends in `_quant`.
    pub(crate) fn name_or_scope(&self, node: NodeId) -> &str {
        match self.place(node) {
            Place::Alone(place) => &self.text[self.nodes[place].name.range()],
            Place::Stamped(stamp, _) => self.scope_of(stamp),
        }
    }

    /// Whether the node has that name.
    pub(crate) fn is_named(&self, node: NodeId, name: &str) -> bool {
        match self.place(node) {
            Place::Alone(place) => &self.text[self.nodes[place].name.range()] == name,
            Place::Stamped(stamp, inside) => self.stamped_name_reads(stamp, inside, name),
        }
    }

    /// Op and device, by their number.
    #[inline]
    fn kind_number(&self, node: NodeId) -> usize {
        let number = match self.place(node) {
            Place::Alone(place) => self.node_kinds[place],
            Place::Stamped(stamp, inside) => self.stamps.kind(stamp, inside),
        };
        number as usize
    }

    #[inline]
    fn kind(&self, node: NodeId) -> &Kind {
        self.kinds.get(self.kind_number(node))
    }

    /// The node's op, such as `Conv2D`.
    #[must_use]
    #[inline]
    pub fn op(&self, node: NodeId) -> &str {
        &self.kind(node).op
    }

    /// Finds out something about ops, once for each op of the graph however many nodes have it.
    pub(crate) fn per_op<T>(&self, fact: impl Fn(&str) -> T) -> PerOp<T> {
        PerOp(self.kinds.iter().map(|kind| fact(&kind.op)).collect())
    }

    /// How many nodes there are of each op.
    #[must_use]
    pub fn op_counts(&self) -> BTreeMap<&str, usize> {
        self.ops_of(&self.node_kinds)
    }

    /// Whether the node closes a while-loop, so that its output may lead back to its input.
    #[must_use]
    pub fn closes_loop(&self, node: NodeId) -> bool {
        self.kind(node).closes_loop
    }

    /// Whether any op closes a while-loop; no, only if there is none.
    fn may_have_loops(&self) -> bool {
        self.kinds.iter().any(|kind| kind.closes_loop)
    }

    /// The node's requested device, mostly empty.
    #[must_use]
    pub fn device(&self, node: NodeId) -> &str {
        &self.kind(node).device
    }

    /// An error about this node: `<what> in node 'name' (Op)`.
    #[must_use]
    pub fn error(&self, kind: ErrorKind, what: impl Into<String>, node: NodeId) -> Error {
        Error::new(kind, what).in_node(self.name(node), self.op(node))
    }

    /// The tensor's name: `node:port`.
    #[must_use]
    pub fn tensor_name(&self, tensor: TensorRef) -> String {
        let mut name = self.owned_name(tensor.node);
        name.push(':');
        match tensor.port {
            0 => name.push('0'),
            port => name.push_str(&port.to_string()),
        }
        name
    }

    #[inline]
    fn input_count(&self, node: NodeId) -> usize {
        match self.place(node) {
            Place::Alone(place) => self.nodes[place].input_count as usize,
            Place::Stamped(stamp, inside) => self.stamps.input_count(stamp, inside),
        }
    }

    /// All inputs of the node, in slot order.
    pub fn inputs(&self, node: NodeId) -> impl DoubleEndedIterator<Item = Input> + ExactSizeIterator + '_ {
        let (edges, stamped, count) = match self.place(node) {
            Place::Alone(place) => {
                let Node { first_input, input_count, .. } = self.nodes[place];
                let edges = &self.edges[first_input as usize..(first_input + input_count) as usize];
                (edges, None, edges.len())
            }
            Place::Stamped(stamp, inside) => (&[][..], Some((stamp, inside)), self.stamps.input_count(stamp, inside)),
        };
        (0..count).map(move |slot| match stamped {
            None => edges[slot].input(),
            Some((stamp, inside)) => self.stamped_input(stamp, inside, slot),
        })
    }

    /// The tensors the node reads, in order.
    pub fn data_inputs(&self, node: NodeId) -> impl DoubleEndedIterator<Item = TensorRef> + '_ {
        self.inputs(node).filter_map(Input::tensor)
    }

    /// The nodes this node waits for without reading them.
    pub fn control_inputs(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.inputs(node).filter_map(|input| match input {
            Input::Control(node) => Some(node),
            Input::Data(_) => None,
        })
    }

    /// The tensor in the node's data input `index`.
    #[must_use]
    pub fn data_input(&self, node: NodeId, index: usize) -> Option<TensorRef> {
        self.data_inputs(node).nth(index)
    }

    /// Every use of the node's outputs, control edges included, in the order in which the edges came to be.
    pub fn uses(&self, node: NodeId) -> impl Iterator<Item = Use> + '_ {
        let slot = |index: u32, edge: Edge| match self.place(NodeId(edge.consumer)) {
            Place::Alone(place) => index - self.nodes[place].first_input,
            Place::Stamped(stamp, _) => self.stamps.slot_of(stamp, index),
        };
        let inside = self.uses_in_stamp(node).map(|(consumer, slot)| {
            let slot = slot as usize;
            Use { consumer, slot, input: self.input(consumer, slot) }
        });
        inside.chain(self.edges_from(node).map(move |(index, edge)| Use {
            consumer: NodeId(edge.consumer),
            slot: slot(index, edge) as usize,
            input: edge.input(),
        }))
    }

    /// What an input slot that there is holds.
    fn input(&self, node: NodeId, slot: usize) -> Input {
        match self.place(node) {
            Place::Alone(place) => self.edges[self.nodes[place].first_input as usize + slot].input(),
            Place::Stamped(stamp, inside) => self.stamped_input(stamp, inside, slot),
        }
    }

    /// Where a node of a stamp is used in the same stamp.
    fn uses_in_stamp(&self, node: NodeId) -> impl Iterator<Item = (NodeId, u32)> + '_ {
        let uses = match self.place(node) {
            Place::Alone(_) => None,
            Place::Stamped(stamp, inside) => Some(self.uses_inside(stamp, inside)),
        };
        uses.into_iter().flatten()
    }

    /// The nodes that read or wait for this node, once for each input slot.
    pub(super) fn waiting_nodes(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let outside = self.edges_from(node).map(|(_, edge)| NodeId(edge.consumer));
        self.uses_in_stamp(node).map(|(consumer, _)| consumer).chain(outside)
    }

    /// The edges from the node; of one in a stamp, those that lead out of it.
    fn edges_from(&self, node: NodeId) -> impl Iterator<Item = (u32, Edge)> + '_ {
        self.edges_up_to(match self.place(node) {
            Place::Alone(place) => self.nodes[place].last_use,
            Place::Stamped(stamp, _) => self.stamps.last_use(stamp, node),
        })
    }

    /// The edges of a ring, by its last one.
    fn edges_up_to(&self, last: u32) -> impl Iterator<Item = (u32, Edge)> + '_ {
        let mut next = self.edges.get(last as usize).map_or(NONE, |last| last.next);
        std::iter::from_fn(move || {
            let index = next;
            let edge = *self.edges.get(index as usize)?;
            next = if index == last { NONE } else { edge.next };
            Some((index, edge))
        })
    }

    /// The nodes that read any output of this node as data; a node that reads twice is there twice.
    pub fn consumers(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.uses(node).filter(|usage| usage.input.tensor().is_some()).map(|usage| usage.consumer)
    }

    /// The nodes that read this tensor; a node that reads it twice is there twice.
    pub fn tensor_consumers(&self, tensor: TensorRef) -> impl Iterator<Item = NodeId> + '_ {
        self.uses(tensor.node).filter(move |usage| usage.input == Input::Data(tensor)).map(|usage| usage.consumer)
    }

    /// Adds a node behind all others.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGraph`] if the name is taken, [`ErrorKind::TooLarge`] if the graph has outgrown every file.
    pub fn insert(&mut self, new: NewNode<'_>) -> Result<NodeId> {
        let hash = self.hash(new.name);
        match self.find_hashed(hash, new.name) {
            Some(taken) => {
                Err(self.error(ErrorKind::InvalidGraph, "a node was to be inserted twice under the same name", taken))
            }
            None => self.insert_new(hash, new, true),
        }
    }

    /// As [`Graph::insert`], for a name that is known to be free and its hash; `looked_up` says whether that was found
    /// out by looking it up in this graph.
    pub(crate) fn insert_new(&mut self, hash: NameHash, new: NewNode<'_>, looked_up: bool) -> Result<NodeId> {
        self.check_size()?;
        let raw = Span::new(self.attrs.len(), new.attrs.len());
        self.attrs.extend_from_slice(new.attrs);
        debug_assert!(self.find_hashed(hash, new.name).is_none(), "'{}' is taken", new.name);
        let id = self.push_node([new.name, new.op, new.device], raw, 0);
        if looked_up {
            self.index.insert(hash, id.0);
        } else {
            self.index.insert_unseen(hash, id.0);
        }
        for &input in new.inputs {
            self.push_edge(id, input);
        }
        Ok(id)
    }

    fn check_size(&self) -> Result<()> {
        if self.text.len() + self.attrs.len() + self.source.len() + self.stamps.spared > MAX_GROWN_BYTES {
            return Err(Error::new(ErrorKind::TooLarge, "the rewritten graph would not fit any file")
                .hint("a protobuf file ends at 2 GiB - 1; rewrite a part of the layers (--include, --exclude)"));
        }
        Ok(())
    }

    /// Appends a node without inputs, whose name is free: name, op and device. The index is the caller's to keep.
    #[allow(clippy::cast_possible_truncation)] // ids and edges are fewer than the bytes they come from
    fn push_node(&mut self, [name, op, device]: [&str; 3], raw: Span, header_len: u8) -> NodeId {
        let id = NodeId(self.len() as u32);
        self.node_kinds.push(self.kinds.intern(op, device));
        self.nodes.push(Node {
            name: Span::new(self.text.len(), name.len()),
            raw,
            first_input: self.edges.len() as u32,
            input_count: 0,
            last_use: NONE,
            header_len,
            edited: false,
            renamed: false,
        });
        self.text.push_str(name);
        id
    }

    /// Appends an input slot to a node whose slots are the last ones of the arena.
    #[allow(clippy::cast_possible_truncation)] // as in `push_node`
    fn push_edge(&mut self, consumer: NodeId, input: Input) {
        let (from, port) = input.encode();
        let edge = self.edges.len() as u32;
        self.edges.push(Edge { from, port, consumer: consumer.0, next: NONE, previous: NONE });
        if let Some(node) = self.alone_mut(consumer) {
            node.input_count += 1;
        }
        self.link(edge);
    }

    fn alone_mut(&mut self, node: NodeId) -> Option<&mut Node> {
        match self.place(node) {
            Place::Alone(place) => Some(&mut self.nodes[place]),
            Place::Stamped(..) => None,
        }
    }

    /// The last edge from a node; of one in a stamp, of those that lead out of it.
    fn last_use_mut(&mut self, node: NodeId) -> &mut u32 {
        match self.place(node) {
            Place::Alone(place) => &mut self.nodes[place].last_use,
            Place::Stamped(stamp, _) => self.stamps.last_use_mut(stamp, node),
        }
    }

    /// Puts an edge behind the last one from its node.
    fn link(&mut self, edge: u32) {
        let last = self.last_use_mut(NodeId(self.edges[edge as usize].from));
        let before = std::mem::replace(last, edge);
        let (previous, next) = match self.edges.get(before as usize) {
            Some(before_edge) => (before, before_edge.next),
            None => (edge, edge),
        };
        self.edges[previous as usize].next = edge;
        self.edges[next as usize].previous = edge;
        self.edges[edge as usize].previous = previous;
        self.edges[edge as usize].next = next;
    }

    fn unlink(&mut self, edge: u32) {
        let Edge { from, next, previous, .. } = self.edges[edge as usize];
        let last = self.last_use_mut(NodeId(from));
        if *last == edge {
            *last = if previous == edge { NONE } else { previous };
        }
        self.edges[previous as usize].next = next;
        self.edges[next as usize].previous = previous;
    }

    /// Puts `input` into an input slot of the node.
    ///
    /// # Panics
    /// If the node has no such slot, or is of a stamp; slots come from [`Graph::inputs`] or [`Graph::uses`].
    #[allow(clippy::cast_possible_truncation)] // as in `push_node`
    pub fn set_input(&mut self, node: NodeId, slot: usize, input: Input) {
        let Some(&Node { first_input, input_count, .. }) = self.alone(node) else { return stamped() };
        assert!(slot < input_count as usize, "no such input slot");
        let edge = first_input + slot as u32;
        self.unlink(edge);
        (self.edges[edge as usize].from, self.edges[edge as usize].port) = input.encode();
        self.link(edge);
        self.was_edited(node);
    }

    /// Makes the node wait for `others` too, behind the inputs it has. Nodes it waits for already are left out.
    #[allow(clippy::cast_possible_truncation)] // as in `push_node`
    pub fn add_control_inputs(&mut self, node: NodeId, others: &[NodeId]) {
        let mut present: hashbrown::HashSet<NodeId> = self.control_inputs(node).collect();
        let new: Vec<NodeId> = others.iter().copied().filter(|&other| present.insert(other)).collect();
        if new.is_empty() {
            return;
        }
        let inputs: Vec<Input> = self.inputs(node).chain(new.into_iter().map(Input::Control)).collect();
        self.replace_inputs(node, &inputs);
    }

    /// Gives the node other inputs than it had.
    #[allow(clippy::cast_possible_truncation)] // as in `push_node`
    pub fn replace_inputs(&mut self, node: NodeId, inputs: &[Input]) {
        let Some(&Node { first_input, input_count, .. }) = self.alone(node) else { return stamped() };
        for edge in first_input..first_input + input_count {
            self.unlink(edge);
        }
        let first_input = self.edges.len() as u32;
        if let Some(node) = self.alone_mut(node) {
            (node.first_input, node.input_count) = (first_input, 0);
        }
        self.was_edited(node);
        for &input in inputs {
            self.push_edge(node, input);
        }
    }

    fn was_edited(&mut self, node: NodeId) {
        if let Some(node) = self.alone_mut(node) {
            node.edited = true;
        }
    }

    /// Gives an original node an attribute, in place of one of that name; `value` is an encoded AttrValue.
    pub fn set_attr(&mut self, node: NodeId, name: &str, value: Vec<u8>) {
        debug_assert!(self.is_original(node), "inserted nodes have all their attributes from the start");
        self.nodes[node.index()].edited = true;
        let given = self.given_attrs.entry(node).or_default();
        given.retain(|other| &*other.name != name);
        given.push(GivenAttr { name: name.into(), value });
    }

    /// Gives an inserted node other attributes than it had, encoded by [`attr::Attrs`].
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] if the graph has outgrown every file.
    ///
    /// # Panics
    /// If the node came from the file.
    pub fn set_inserted_attrs(&mut self, node: NodeId, attrs: &[u8]) -> Result<()> {
        assert!(!self.is_original(node), "its attributes are in the file");
        if self.attrs.len() + attrs.len() > MAX_GROWN_BYTES {
            return Err(Error::new(ErrorKind::TooLarge, "the graph has outgrown every file"));
        }
        let raw = Span::new(self.attrs.len(), attrs.len());
        match self.alone_mut(node) {
            Some(node) => node.raw = raw,
            None => stamped(),
        }
        self.attrs.extend_from_slice(attrs);
        Ok(())
    }

    /// Gives an original node another name, which is not yet in the graph. Who reads it goes on reading it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGraph`] if the name is taken.
    pub fn rename(&mut self, node: NodeId, name: &str) -> Result<()> {
        debug_assert!(self.is_original(node), "inserted nodes have their names from the start");
        let hash = self.hash(name);
        if let Some(taken) = self.find_hashed(hash, name) {
            return Err(self.error(ErrorKind::InvalidGraph, "a node was to get a name that is taken", taken));
        }
        let span = Span::new(self.text.len(), name.len());
        self.text.push_str(name);
        self.nodes[node.index()].name = span;
        self.nodes[node.index()].edited = true;
        self.nodes[node.index()].renamed = true;
        // Under its old hash the index still leads to the node, which no longer has that name.
        self.index.insert(hash, node.0);
        let readers: Vec<NodeId> = self.waiting_nodes(node).collect();
        for reader in readers {
            self.was_edited(reader);
        }
        Ok(())
    }

    /// Gives an original Const, whose `value` has a type and a shape but nothing in it, the contents that lie in these
    /// ranges, one after the other: numbers, row by row, lowest byte first. They are read when somebody asks for the
    /// attribute, and copied from file to file when the graph is written.
    pub fn set_contents(&mut self, node: NodeId, parts: Vec<Part>) {
        debug_assert!(self.is_original(node), "inserted nodes have all their attributes from the start");
        self.nodes[node.index()].edited = true;
        self.contents.insert(node, parts);
    }

    /// Takes all edits back: the graph is as it was read, contents that lie elsewhere included.
    ///
    /// # Errors
    /// Those of [`read::parse`], which took these very bytes before.
    pub(crate) fn reset(&mut self) -> Result<()> {
        if !self.has_changes() {
            return Ok(());
        }
        let (source, contents) = (self.source.clone(), std::mem::take(&mut self.contents));
        // What was inserted is given back before the graph is read again.
        *self = read::parse(Bytes::new())?;
        *self = read::parse(source)?;
        for (node, parts) in contents {
            self.set_contents(node, parts);
        }
        Ok(())
    }

    /// Makes `consumers` read `to` wherever they read `from`; says how many input slots changed.
    ///
    /// TensorFlow's `graph_editor.reroute_ts([to], [from], can_modify=consumers)`.
    pub fn reroute(&mut self, from: TensorRef, to: TensorRef, consumers: &[NodeId]) -> usize {
        let mut rerouted = 0;
        for &consumer in consumers {
            for slot in 0..self.input_count(consumer) {
                if self.input(consumer, slot) == Input::Data(from) {
                    self.set_input(consumer, slot, Input::Data(to));
                    rerouted += 1;
                }
            }
        }
        rerouted
    }
}

/// The name that resembles `name` most; of those that do alike, the first.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|other| (strsim::jaro(name, other), other));
    scored.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1))).map(|(_, name)| name)
}

/// What [`Graph::per_op`] found out about ops.
#[derive(Debug)]
pub(crate) struct PerOp<T>(Vec<T>);

impl<T> PerOp<T> {
    /// What there is to know of the node's op.
    #[inline]
    pub(crate) fn of(&self, graph: &Graph, node: NodeId) -> &T {
        &self.0[graph.kind_number(node)]
    }
}

impl PerOp<bool> {
    /// Whether it holds for any op of the graph.
    pub(crate) fn any(&self) -> bool {
        self.0.contains(&true)
    }
}

/// Past this, no output could be written; stop before memory runs out.
const MAX_GROWN_BYTES: usize = u32::MAX as usize;

impl Edge {
    #[inline]
    fn input(self) -> Input {
        if self.port == CONTROL {
            Input::Control(NodeId(self.from))
        } else {
            Input::Data(TensorRef { node: NodeId(self.from), port: self.port })
        }
    }
}

impl Input {
    fn encode(self) -> (u32, u32) {
        match self {
            Self::Data(tensor) => (tensor.node.0, tensor.port),
            Self::Control(node) => (node.0, CONTROL),
        }
    }
}

/// Nodes of a stamp are as they are: a pass decides about them before it inserts them.
fn stamped() {
    debug_assert!(false, "a node of a stamp was to be changed");
}

/// A length or place within one buffer, which never reaches 4 GiB.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(nodes: &[(&str, &[Input])]) -> Graph {
        let mut graph = read::parse(Bytes::new()).unwrap();
        for &(name, inputs) in nodes {
            graph.insert(NewNode { name, op: "Op", device: "", inputs, attrs: &[] }).unwrap();
        }
        graph
    }

    fn data(node: u32) -> Input {
        Input::Data(NodeId(node).into())
    }

    #[test]
    fn edges_stay_known_from_both_ends() {
        let mut graph = graph(&[
            ("a", &[]),
            ("b", &[data(0)]),
            ("c", &[data(0), data(1), Input::Control(NodeId(0))]),
            ("d", &[data(0), data(0)]),
        ]);
        assert_eq!(graph.consumers(NodeId(0)).collect::<Vec<_>>(), [1, 2, 3, 3].map(NodeId));
        assert_eq!(graph.uses(NodeId(0)).count(), 5);

        let rerouted = graph.reroute(NodeId(0).into(), NodeId(1).into(), &[NodeId(2), NodeId(3)]);
        assert_eq!(rerouted, 3);
        assert_eq!(graph.consumers(NodeId(0)).collect::<Vec<_>>(), [NodeId(1)]);
        assert_eq!(graph.consumers(NodeId(1)).collect::<Vec<_>>(), [2, 2, 3, 3].map(NodeId));
        assert!(graph.uses(NodeId(0)).any(|usage| usage.input == Input::Control(NodeId(0))), "control edges stay");
        assert!(!graph.nodes[1].edited && graph.nodes[2].edited);

        graph.add_control_inputs(NodeId(3), &[NodeId(2), NodeId(2)]);
        assert_eq!(graph.inputs(NodeId(3)).collect::<Vec<_>>(), [data(1), data(1), Input::Control(NodeId(2))]);
        assert_eq!(graph.uses(NodeId(2)).count(), 1);
        assert_eq!(graph.uses(NodeId(1)).map(|usage| usage.slot).collect::<Vec<_>>(), [1, 0, 0, 1]);
    }

    #[test]
    fn a_name_is_given_once() {
        let mut graph = graph(&[("a", &[])]);
        let again = graph.insert(NewNode { name: "a", op: "Op", device: "", inputs: &[], attrs: &[] });
        assert_eq!(again.unwrap_err().kind(), ErrorKind::InvalidGraph);
        assert_eq!(graph.find("a"), Some(NodeId(0)));
        assert_eq!(graph.find("b"), None);
    }
}
