//! Which names are taken, and how a taken one is changed: `Graph.unique_name`.

use std::fmt::Write;

use crate::graph::{Graph, HashIndex, NameHash, NodeId, Span};

/// The names in use that the graph's own index does not tell: scopes, and how often a name was asked for. Where case
/// does not count, all nodes are here too, by their names in lower case.
#[derive(Debug, Default)]
pub(crate) struct NamesInUse {
    ignore_case: bool,
    /// Whether the graph's nodes were noted, if they have to be.
    nodes_are_known: bool,
    known: KnownNames,
    /// The name in question, in lower case.
    key: String,
}

impl NamesInUse {
    /// The names of a graph's nodes.
    #[must_use]
    pub(crate) fn new(ignore_case: bool) -> Self {
        Self { ignore_case, ..Self::default() }
    }

    /// Takes note of all nodes where that is needed, the first time that somebody asks: so many at once that the waits for
    /// where they belong overlap.
    fn note_all(&mut self, graph: &Graph) {
        const AT_ONCE: usize = 64;
        if std::mem::replace(&mut self.nodes_are_known, true) || !self.ignore_case {
            return;
        }
        self.known.index = HashIndex::with_capacity(graph.len());
        self.known.names.reserve_exact(graph.len());
        let mut hashes = Vec::with_capacity(AT_ONCE);
        for first in (0..graph.len()).step_by(AT_ONCE) {
            let nodes = graph.ids_from(first).take(AT_ONCE);
            hashes.clear();
            hashes.extend(nodes.map(|node| (node, graph.hash(lower(graph.name(node), &mut self.key)))));
            self.known.index.bring_near(hashes.iter().map(|&(_, hash)| hash));
            for &(node, hash) in &hashes {
                let key = lower(graph.name(node), &mut self.key);
                if self.known.find(graph, hash, key).is_none() {
                    self.known.add(hash, Spelled::Node(node), 1);
                }
            }
        }
    }

    /// Changes `name` to `name_1`, `name_2`, … whichever is free first, unless it is free itself; it is taken from now
    /// on. A name asked for a node need not be remembered: once inserted, the node is known ([`Self::note_inserted`]).
    /// Returns the hash of what the name counts as.
    pub(crate) fn make_unique(&mut self, graph: &Graph, name: &mut String, for_node: bool) -> NameHash {
        let asked_len = name.len();
        let (asked_hash, uses) = self.look_up(graph, name);
        if uses == 0 {
            if !for_node {
                self.remember(graph, asked_hash, name, 1);
            }
            return asked_hash;
        }
        let mut suffix = uses;
        let hash = loop {
            name.truncate(asked_len);
            let _ = write!(name, "_{suffix}");
            match self.look_up(graph, name) {
                (hash, 0) => break hash,
                _ => suffix += 1,
            }
        };
        if !for_node {
            self.remember(graph, hash, name, 1);
        }
        self.remember(graph, asked_hash, &name[..asked_len], uses + 1);
        hash
    }

    /// Takes a name for a scope, if it is free as it is; says whether it was.
    pub(crate) fn take_if_free(&mut self, graph: &Graph, name: &str) -> bool {
        let (hash, uses) = self.look_up(graph, name);
        if uses == 0 {
            self.remember(graph, hash, name, 1);
        }
        uses == 0
    }

    /// To be told of each node that is inserted; `unique` is what [`Self::make_unique`] returned for its name just now,
    /// if it did.
    pub(crate) fn note_inserted(&mut self, graph: &Graph, unique: Option<NameHash>, node: NodeId) {
        if !self.ignore_case {
            return;
        }
        self.note_all(graph);
        if let Some(hash) = unique {
            self.known.add(hash, Spelled::Node(node), 1);
            return;
        }
        let key = lower(graph.name(node), &mut self.key);
        let hash = graph.hash(key);
        if self.known.find(graph, hash, key).is_none() {
            self.known.add(hash, Spelled::Node(node), 1);
        }
    }

    /// The hash of what the name counts as, and how often it was asked for.
    fn look_up(&mut self, graph: &Graph, name: &str) -> (NameHash, u32) {
        self.note_all(graph);
        let key = if self.ignore_case { lower(name, &mut self.key) } else { name };
        let hash = graph.hash(key);
        let uses = match self.known.find(graph, hash, key) {
            Some(known) => known.uses,
            None => u32::from(!self.ignore_case && graph.find_hashed(hash, name).is_some()),
        };
        (hash, uses)
    }

    fn remember(&mut self, graph: &Graph, hash: NameHash, name: &str, uses: u32) {
        let key = if self.ignore_case { lower(name, &mut self.key) } else { name };
        match self.known.find_mut(graph, hash, key) {
            Some(known) => known.uses = uses,
            None => self.known.add_text(hash, key, uses),
        }
    }
}

/// Names, and how often each was asked for.
#[derive(Debug, Default)]
struct KnownNames {
    index: HashIndex,
    names: Vec<KnownName>,
    /// The names that are no nodes', one after the other.
    text: String,
}

#[derive(Debug)]
struct KnownName {
    spelled: Spelled,
    uses: u32,
}

/// Where a name is spelled out.
#[derive(Debug)]
enum Spelled {
    /// By a node whose name is this one in lower case.
    Node(NodeId),
    /// In [`KnownNames::text`].
    Text(Span),
}

impl KnownNames {
    fn find(&self, graph: &Graph, hash: NameHash, key: &str) -> Option<&KnownName> {
        self.place(graph, hash, key).map(|place| &self.names[place])
    }

    fn find_mut(&mut self, graph: &Graph, hash: NameHash, key: &str) -> Option<&mut KnownName> {
        self.place(graph, hash, key).map(|place| &mut self.names[place])
    }

    fn place(&self, graph: &Graph, hash: NameHash, key: &str) -> Option<usize> {
        let is_it = |place: u32| match self.names[place as usize].spelled {
            Spelled::Node(node) => is_lower_of(key, graph.name(node)),
            Spelled::Text(span) => &self.text[span.range()] == key,
        };
        self.index.find(hash, is_it).map(|place| place as usize)
    }

    fn add_text(&mut self, hash: NameHash, key: &str, uses: u32) {
        let span = Span::new(self.text.len(), key.len());
        self.text.push_str(key);
        self.add(hash, Spelled::Text(span), uses);
    }

    #[allow(clippy::cast_possible_truncation)] // fewer names than bytes in them
    fn add(&mut self, hash: NameHash, spelled: Spelled, uses: u32) {
        self.index.insert(hash, self.names.len() as u32);
        self.names.push(KnownName { spelled, uses });
    }
}

/// The name in lower case, as Python's `str.lower` has it.
fn lower<'k>(name: &str, key: &'k mut String) -> &'k str {
    key.clear();
    if name.is_ascii() {
        key.push_str(name);
        key.make_ascii_lowercase();
    } else {
        key.push_str(&name.to_lowercase());
    }
    key
}

fn is_lower_of(key: &str, name: &str) -> bool {
    if name.is_ascii() { name.eq_ignore_ascii_case(key) } else { name.to_lowercase() == key }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::graph::{NewNode, read};

    fn graph(nodes: &[&str]) -> Graph {
        let mut graph = read::parse(Bytes::new()).unwrap();
        for name in nodes {
            graph.insert(NewNode { name, op: "NoOp", device: "", inputs: &[], attrs: &[] }).unwrap();
        }
        graph
    }

    fn next(graph: &Graph, names: &mut NamesInUse, name: &str) -> String {
        let mut unique = name.to_owned();
        names.make_unique(graph, &mut unique, false);
        unique
    }

    #[test]
    fn the_suffix_counts_how_often_the_name_was_asked_for() {
        let graph = graph(&["a", "a_2"]);
        let mut names = NamesInUse::new(false);
        let mut next = |name: &str| next(&graph, &mut names, name);
        assert_eq!([next("a"), next("a"), next("b"), next("b")], ["a_1", "a_3", "b", "b_1"]);
        assert_eq!(next("b_1"), "b_1_1");
        assert_eq!(next("A"), "A");
    }

    #[test]
    fn case_may_not_count() {
        let graph = graph(&["net/Conv", "net/CONV_1"]);
        let mut names = NamesInUse::new(true);
        let mut next = |name: &str| next(&graph, &mut names, name);
        assert_eq!(
            [next("net/conv"), next("Net/Conv"), next("b"), next("B")],
            ["net/conv_2", "Net/Conv_3", "b", "B_1"]
        );
    }
}
