//! Which names are taken, and how a taken one is changed: `Graph.unique_name`.

use std::fmt::Write;

use crate::graph::{Graph, NameHash, NameNumbers, NodeId, NodeIndex};

/// Names that were asked for, beside those of the graph's nodes: scopes, and how often each was asked for.
#[derive(Debug, Default)]
pub struct NamesInUse {
    asked: NameNumbers,
    /// All nodes by their names in lower case; absent where case counts and the graph's own index does.
    lower_case: Option<NodeIndex>,
    /// The name in question, in lower case.
    key: String,
}

impl NamesInUse {
    /// The names of the graph's nodes.
    #[must_use]
    pub fn new(graph: &Graph, ignore_case: bool) -> Self {
        let mut names = Self::default();
        if ignore_case {
            names.lower_case.insert(NodeIndex::default()).reserve(graph.len());
            graph.ids().for_each(|node| names.note_inserted(graph, node));
        }
        names
    }

    /// Changes `name` to `name_1`, `name_2`, … whichever is free first, unless it is free itself; it is taken from now
    /// on. A name asked for a node need not be remembered: once inserted, the node is known ([`Self::note_inserted`]).
    /// Returns the hash of what the name counts as.
    pub(crate) fn make_unique(&mut self, graph: &Graph, name: &mut String, for_node: bool) -> NameHash {
        let asked_len = name.len();
        let (asked_hash, uses) = self.look_up(graph, name);
        if uses == 0 {
            if !for_node {
                self.remember(asked_hash, name, 1);
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
            self.remember(hash, name, 1);
        }
        self.remember(asked_hash, &name[..asked_len], uses + 1);
        hash
    }

    /// To be told of each node that is inserted.
    pub fn note_inserted(&mut self, graph: &Graph, node: NodeId) {
        if let Some(index) = &mut self.lower_case {
            let hash = graph.hash(lower(graph.name(node), &mut self.key));
            index.insert(hash, node);
        }
    }

    /// The hash of what the name counts as, and how often it was asked for.
    fn look_up(&mut self, graph: &Graph, name: &str) -> (NameHash, u32) {
        let Some(nodes) = &self.lower_case else {
            let hash = graph.hash(name);
            let asked = self.asked.get(hash, name);
            return (hash, asked.unwrap_or_else(|| u32::from(graph.find_hashed(hash, name).is_some())));
        };
        let key = lower(name, &mut self.key);
        let hash = graph.hash(key);
        let is_node = || nodes.find(hash, |node| is_lower_of(key, graph.name(node))).is_some();
        (hash, self.asked.get(hash, key).unwrap_or_else(|| u32::from(is_node())))
    }

    fn remember(&mut self, hash: NameHash, name: &str, uses: u32) {
        let key = if self.lower_case.is_some() { lower(name, &mut self.key) } else { name };
        self.asked.set(hash, key, uses);
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
        let mut names = NamesInUse::new(&graph, false);
        let mut next = |name: &str| next(&graph, &mut names, name);
        assert_eq!([next("a"), next("a"), next("b"), next("b")], ["a_1", "a_3", "b", "b_1"]);
        assert_eq!(next("b_1"), "b_1_1");
        assert_eq!(next("A"), "A");
    }

    #[test]
    fn case_may_not_count() {
        let graph = graph(&["net/Conv", "net/CONV_1"]);
        let mut names = NamesInUse::new(&graph, true);
        let mut next = |name: &str| next(&graph, &mut names, name);
        assert_eq!(
            [next("net/conv"), next("Net/Conv"), next("b"), next("B")],
            ["net/conv_2", "Net/Conv_3", "b", "B_1"]
        );
    }
}
