//! Nodes that are inserted many times and differ only in the scope they are below and in the tensor they read.
//!
//! A [`Template`] says once what they are; a stamp in the graph is the scope, the tensor, and the number of the first node.
//! To everybody who asks they are nodes like others: what is seldom asked for, names and attributes as texts of their
//! own, is spelled out when somebody does.

use std::sync::{Arc, OnceLock};

use super::pattern::{Blanks, Content, GRAPH_DEF, Layout, Lengths, NODE_DEF, Pattern};
use super::read::field;
use super::{Edge, Graph, HashIndex, Input, NONE, NameHash, Node, NodeId, Span, TensorRef, length};
use crate::error::Result;
use crate::wire::put_bytes;

/// Nodes without the names of their scope and of the one tensor that they read.
#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<TemplateNode>,
    /// Where the tensor is read: node and input slot, in order.
    reads: Vec<(u32, u32)>,
    /// All nodes, as a GraphDef has them.
    encoded: Pattern,
}

#[derive(Debug)]
struct TemplateNode {
    name: Pattern,
    kind: u32,
    inputs: Vec<TemplateInput>,
    /// Where it is used inside of the template: node and input slot, in order.
    uses: Vec<(u32, u32)>,
    attrs: Pattern,
}

#[derive(Debug, Clone, Copy)]
enum TemplateInput {
    /// The tensor from outside, by how many reads of it there are before.
    Outside(u32),
    /// From another node of the template.
    Inside(Input),
}

/// All stamps of a graph, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Stamps {
    templates: Vec<Arc<Template>>,
    /// By stamp, the number of its first node.
    first: Vec<u32>,
    /// For every [`PAGE`] nodes from the first stamp's on, the last stamp that begins no later than they do.
    pages: Vec<u32>,
    list: Vec<Stamp>,
    /// Stamps by their scopes.
    by_scope: HashIndex,
    /// Nodes of stamps that are used outside of them: a list for each stamp.
    outside: Vec<UsedOutside>,
    /// How many nodes all stamps have.
    pub count: usize,
    /// How many bytes their names and attributes would take.
    pub spared: usize,
    /// How many of them those of a stamp, by its template and the lengths of its names, which recur.
    spared_by: hashbrown::HashMap<(usize, Lengths), usize>,
}

#[derive(Debug, Clone)]
struct Stamp {
    template: u32,
    scope: Span,
    input: NodeId,
    first_read: u32,
    /// How many nodes this stamp and those before it have.
    through: u32,
    used_outside: u32,
    spelled: OnceLock<Box<Spelled>>,
}

#[derive(Debug, Clone, Copy)]
struct UsedOutside {
    node: NodeId,
    /// The last edge by which it is.
    last_use: u32,
    next: u32,
}

/// Names and attributes of the nodes of a stamp.
#[derive(Debug, Clone, Default)]
struct Spelled {
    text: String,
    names: Vec<Span>,
    bytes: Vec<u8>,
    attrs: Vec<Span>,
}

/// A stamp has about as many nodes.
const PAGE: u32 = 32;

/// Where a node is kept.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// In the list of nodes.
    Alone(usize),
    /// In a stamp, by its number and the node's in it.
    Stamped(usize, usize),
}

impl Template {
    /// The template of all nodes of `sample` behind the first, which stands for the node that they read; `None` if it is
    /// read otherwise than as a tensor, or named where a template has no place for it.
    pub(crate) fn learn(graph: &mut Graph, sample: &Graph, blanks: &Blanks<'_>) -> Option<Self> {
        let (mut nodes, mut reads) = (Vec::<TemplateNode>::new(), Vec::new());
        let mut encoded = Vec::new();
        for node in sample.ids().skip(1) {
            let place = length(nodes.len());
            let mut inputs = Vec::new();
            for (slot, input) in (0..).zip(sample.inputs(node)) {
                let inside = |node: NodeId| NodeId(node.0 - 1);
                inputs.push(match input {
                    Input::Data(TensorRef { node: NodeId(0), port: 0 }) => {
                        reads.push((place, slot));
                        TemplateInput::Outside(length(reads.len() - 1))
                    }
                    other if other.node() == NodeId(0) => return None,
                    Input::Data(TensorRef { node, port }) => {
                        TemplateInput::Inside(Input::Data(TensorRef { node: inside(node), port }))
                    }
                    Input::Control(node) => TemplateInput::Inside(Input::Control(inside(node))),
                });
                if let Some(TemplateInput::Inside(input)) = inputs.last() {
                    nodes.get_mut(input.node().index())?.uses.push((place, slot));
                }
            }
            nodes.push(TemplateNode {
                name: Pattern::of(sample.name(node).as_bytes(), Content::Text, blanks)?,
                kind: graph.kinds.intern(sample.op(node), sample.device(node)),
                inputs,
                uses: Vec::new(),
                attrs: Pattern::of(sample.attr_fields(node), NODE_DEF, blanks)?,
            });
            put_bytes(&mut encoded, field::GRAPH_NODE, &sample.node_def(node));
        }
        Some(Self { nodes, reads, encoded: Pattern::of(&encoded, GRAPH_DEF, blanks)? })
    }
}

impl Stamps {
    /// The stamp that a node is in, and which of its nodes it is; or where in the list of nodes it is.
    #[inline]
    pub(super) fn place(&self, node: NodeId) -> Place {
        match self.first.first() {
            Some(&first) if first <= node.0 => self.place_behind_first(node),
            _ => Place::Alone(node.index()),
        }
    }

    fn place_behind_first(&self, node: NodeId) -> Place {
        let stamp = self.last_before(node);
        let inside = (node.0 - self.first[stamp]) as usize;
        if inside < self.template(stamp).nodes.len() {
            Place::Stamped(stamp, inside)
        } else {
            Place::Alone(node.index() - self.list[stamp].through as usize)
        }
    }

    /// The last stamp that begins with the node or before it; there is one.
    fn last_before(&self, node: NodeId) -> usize {
        let page = (node.0 - self.first[0]) / PAGE;
        let mut stamp = self.pages.get(page as usize).map_or(self.first.len() - 1, |&stamp| stamp as usize);
        while self.first.get(stamp + 1).is_some_and(|&first| first <= node.0) {
            stamp += 1;
        }
        stamp
    }

    /// Takes note of where a stamp of so many nodes begins.
    fn begin(&mut self, first: u32, nodes: usize) {
        let stamp = length(self.first.len());
        self.first.push(first);
        let end = first + length(nodes) - self.first[0];
        while length(self.pages.len()) * PAGE < end {
            let page = self.first[0] + length(self.pages.len()) * PAGE;
            self.pages.push(if page < first { stamp - 1 } else { stamp });
        }
    }

    fn template(&self, stamp: usize) -> &Template {
        &self.templates[self.list[stamp].template as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn node(&self, stamp: usize, node: usize) -> &TemplateNode {
        &self.template(stamp).nodes[node]
    }

    /// Op and device of a node, by their number.
    pub(super) fn kind(&self, stamp: usize, node: usize) -> u32 {
        self.node(stamp, node).kind
    }

    pub(super) fn input_count(&self, stamp: usize, node: usize) -> usize {
        self.node(stamp, node).inputs.len()
    }

    pub(super) fn read_count(&self, stamp: usize) -> usize {
        self.template(stamp).reads.len()
    }

    /// The slot in which the stamp's node reads from outside by that edge.
    pub(super) fn slot_of(&self, stamp: usize, edge: u32) -> u32 {
        let reads = &self.template(stamp).reads;
        reads.get((edge - self.list[stamp].first_read) as usize).map_or(0, |&(_, slot)| slot)
    }

    /// Adds how many nodes there are of each op and device.
    pub(super) fn count_kinds(&self, counts: &mut [usize]) {
        let mut stamps = vec![0; self.templates.len()];
        self.list.iter().for_each(|stamp| stamps[stamp.template as usize] += 1);
        for (template, stamps) in self.templates.iter().zip(stamps) {
            template.nodes.iter().for_each(|node| counts[node.kind as usize] += stamps);
        }
    }

    /// The last edge by which the node is used outside of its stamp.
    pub(super) fn last_use(&self, stamp: usize, node: NodeId) -> u32 {
        self.outside_of(stamp).find(|used| used.node == node).map_or(NONE, |used| used.last_use)
    }

    pub(super) fn last_use_mut(&mut self, stamp: usize, node: NodeId) -> &mut u32 {
        let mut place = self.list[stamp].used_outside;
        while let Some(used) = self.outside.get(place as usize).filter(|used| used.node != node) {
            place = used.next;
        }
        if place == NONE {
            place = length(self.outside.len());
            let next = std::mem::replace(&mut self.list[stamp].used_outside, place);
            self.outside.push(UsedOutside { node, last_use: NONE, next });
        }
        &mut self.outside[place as usize].last_use
    }

    fn outside_of(&self, stamp: usize) -> impl Iterator<Item = UsedOutside> + '_ {
        let mut next = self.list[stamp].used_outside;
        std::iter::from_fn(move || {
            let used = *self.outside.get(next as usize)?;
            next = used.next;
            Some(used)
        })
    }

    fn spared_by(&mut self, template: usize, lengths: Lengths) -> usize {
        if self.spared_by.len() > MAX_LAYOUTS {
            self.spared_by.clear();
        }
        *self.spared_by.entry((template, lengths)).or_insert_with(|| {
            let nodes = self.templates[template].nodes.iter();
            nodes.map(|node| node.name.len(lengths) + node.attrs.len(lengths)).sum()
        })
    }

    /// For each node of the stamp that is used outside of it, the last edge.
    pub(super) fn last_uses(&self, stamp: usize) -> impl Iterator<Item = u32> + '_ {
        self.outside_of(stamp).map(|used| used.last_use)
    }
}

impl Graph {
    /// Keeps a template for [`Graph::stamp`].
    pub(crate) fn keep_template(&mut self, template: Template) -> usize {
        self.stamps.templates.push(Arc::new(template));
        self.stamps.templates.len() - 1
    }

    /// Adds the nodes of a template below `scope`, whose names are known to be free, reading the first output of `input`;
    /// returns the first of them.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::TooLarge`] if the graph has outgrown every file.
    pub(crate) fn stamp(&mut self, template: usize, scope: &str, input: NodeId) -> Result<NodeId> {
        self.check_size()?;
        let first = NodeId(length(self.len()));
        let kept = Arc::clone(&self.stamps.templates[template]);
        let nodes = kept.nodes.len();
        let lengths = Lengths { scope: scope.len(), input: self.name_len(input) };
        self.stamps.count += nodes;
        self.stamps.spared += self.stamps.spared_by(template, lengths);
        self.stamps.by_scope.insert(self.hash(scope), length(self.stamps.list.len()));
        self.stamps.begin(first.0, nodes);
        self.stamps.list.push(Stamp {
            template: length(template),
            scope: Span::new(self.text.len(), scope.len()),
            input,
            first_read: length(self.edges.len()),
            through: length(self.stamps.count),
            used_outside: NONE,
            spelled: OnceLock::new(),
        });
        self.text.push_str(scope);
        for (node, _) in &kept.reads {
            let edge = length(self.edges.len());
            let consumer = first.0 + node;
            self.edges.push(Edge { from: input.0, port: 0, consumer, next: NONE, previous: NONE });
            self.link(edge);
        }
        Ok(first)
    }

    /// Whether the node is one of a stamp.
    pub(crate) fn is_stamped(&self, node: NodeId) -> bool {
        matches!(self.place(node), Place::Stamped(..))
    }

    fn blanks_of(&self, stamp: &Stamp) -> Blanks<'_> {
        Blanks { scope: &self.text[stamp.scope.range()], input: self.name(stamp.input) }
    }

    /// The stamped node of that name.
    pub(crate) fn find_stamped(&self, name: &str) -> Option<NodeId> {
        if self.stamps.is_empty() {
            return None;
        }
        let scopes = name.match_indices('/').map(|(end, _)| &name[..end]).filter(|scope| is_stampable(scope));
        scopes.map(|scope| (self.hash(scope), scope)).find_map(|(hash, scope)| self.find_below(hash, scope, name))
    }

    fn find_below(&self, hash: NameHash, scope: &str, name: &str) -> Option<NodeId> {
        let is_it = |stamp: u32| self.scope_of(stamp as usize) == scope;
        let stamp = self.stamps.by_scope.find(hash, is_it)? as usize;
        let blanks = Blanks { scope, input: "" };
        let inside = self.stamps.template(stamp).nodes.iter().position(|node| node.name.reads(name, &blanks))?;
        Some(NodeId(self.stamps.first[stamp] + length(inside)))
    }

    pub(super) fn stamped_input(&self, stamp: usize, node: usize, slot: usize) -> Input {
        let first = self.stamps.first[stamp];
        match self.stamps.node(stamp, node).inputs[slot] {
            TemplateInput::Outside(read) => self.edges[(self.stamps.list[stamp].first_read + read) as usize].input(),
            TemplateInput::Inside(Input::Data(TensorRef { node, port })) => {
                Input::Data(TensorRef { node: NodeId(first + node.0), port })
            }
            TemplateInput::Inside(Input::Control(node)) => Input::Control(NodeId(first + node.0)),
        }
    }

    /// Where a node of a stamp is used inside of it: node and input slot.
    pub(super) fn uses_inside(&self, stamp: usize, node: usize) -> impl Iterator<Item = (NodeId, u32)> + '_ {
        let first = self.stamps.first[stamp];
        self.stamps.node(stamp, node).uses.iter().map(move |&(node, slot)| (NodeId(first + node), slot))
    }

    pub(super) fn stamped_name_len(&self, stamp: usize, node: usize) -> usize {
        let scope = self.stamps.list[stamp].scope.range().len();
        self.stamps.node(stamp, node).name.len(Lengths { scope, input: 0 })
    }

    pub(super) fn put_stamped_name(&self, stamp: usize, node: usize, out: &mut Vec<u8>) {
        let blanks = Blanks { scope: self.scope_of(stamp), input: "" };
        self.stamps.node(stamp, node).name.spell(&blanks, out);
    }

    pub(super) fn stamped_name_reads(&self, stamp: usize, node: usize, name: &str) -> bool {
        let blanks = Blanks { scope: self.scope_of(stamp), input: "" };
        self.stamps.node(stamp, node).name.reads(name, &blanks)
    }

    /// What the names of a stamp's nodes begin with.
    pub(super) fn scope_of(&self, stamp: usize) -> &str {
        &self.text[self.stamps.list[stamp].scope.range()]
    }

    pub(super) fn stamped_name(&self, stamp: usize, node: usize) -> &str {
        let spelled = self.spelled(stamp);
        &spelled.text[spelled.names[node].range()]
    }

    pub(super) fn stamped_attrs(&self, stamp: usize, node: usize) -> &[u8] {
        let spelled = self.spelled(stamp);
        &spelled.bytes[spelled.attrs[node].range()]
    }

    fn spelled(&self, stamp: usize) -> &Spelled {
        self.stamps.list[stamp].spelled.get_or_init(|| {
            let blanks = self.blanks_of(&self.stamps.list[stamp]);
            let lengths = Lengths { scope: blanks.scope.len(), input: blanks.input.len() };
            let mut text = Vec::new();
            let mut spelled = Spelled::default();
            for node in &self.stamps.template(stamp).nodes {
                let start = text.len();
                node.name.spell(&blanks, &mut text);
                spelled.names.push(Span::new(start, text.len() - start));
                let start = spelled.bytes.len();
                node.attrs.layout(lengths).fill(&blanks, &mut spelled.bytes);
                spelled.attrs.push(Span::new(start, spelled.bytes.len() - start));
            }
            spelled.text = String::from_utf8(text).unwrap_or_default();
            Box::new(spelled)
        })
    }

    /// The stamps in order, each with how many nodes that are kept alone come before it.
    pub(super) fn stamps_between(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let before = |stamp: usize| stamp.checked_sub(1).map_or(0, |before| self.stamps.list[before].through);
        (0..self.stamps.len()).map(move |stamp| (stamp, (self.stamps.first[stamp] - before(stamp)) as usize))
    }

    /// Tells of each input of a stamp's nodes that is a tensor: the node, and what it reads.
    pub(super) fn each_read_in_stamp(&self, stamp: usize, mut told: impl FnMut(NodeId, NodeId)) {
        let (first, first_read) = (self.stamps.first[stamp], self.stamps.list[stamp].first_read);
        for (reader, node) in (first..).zip(&self.stamps.template(stamp).nodes) {
            for input in &node.inputs {
                match *input {
                    TemplateInput::Outside(read) => {
                        told(NodeId(reader), NodeId(self.edges[(first_read + read) as usize].from));
                    }
                    TemplateInput::Inside(Input::Data(tensor)) => told(NodeId(reader), NodeId(first + tensor.node.0)),
                    TemplateInput::Inside(Input::Control(_)) => {}
                }
            }
        }
    }

    /// How many nodes the stamp and those before it have.
    pub(super) fn stamped_through(&self, stamp: usize) -> usize {
        self.stamps.list[stamp].through as usize
    }

    /// How a stamp is encoded: its nodes as a GraphDef has them. Of many stamps most have names of the same lengths.
    pub(super) fn layout_of<'l>(&self, stamp: usize, layouts: &'l mut Layouts) -> &'l Layout {
        let Stamp { template, scope, input, .. } = self.stamps.list[stamp];
        let lengths = Lengths { scope: scope.range().len(), input: self.name_len(input) };
        if layouts.known.len() > MAX_LAYOUTS {
            layouts.known.clear();
        }
        layouts
            .known
            .entry((template, lengths))
            .or_insert_with(|| self.stamps.templates[template as usize].encoded.layout(lengths))
    }

    pub(super) fn encode_stamp(&self, stamp: usize, layouts: &mut Layouts, out: &mut Vec<u8>) {
        let blanks = self.blanks_of(&self.stamps.list[stamp]);
        self.layout_of(stamp, layouts).fill(&blanks, out);
    }

    /// What keeps a node that is kept alone.
    pub(super) fn alone(&self, node: NodeId) -> Option<&Node> {
        match self.place(node) {
            Place::Alone(place) => Some(&self.nodes[place]),
            Place::Stamped(..) => None,
        }
    }
}

/// Names for the scopes of stamps end so: nobody else's do, which makes others quick to tell.
pub(crate) fn is_stampable(scope: &str) -> bool {
    scope.ends_with("_quant")
}

/// Layouts that were needed already.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    known: hashbrown::HashMap<(u32, Lengths), Layout>,
}

/// More than that are not kept.
const MAX_LAYOUTS: usize = 256;
