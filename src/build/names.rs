//! Which names are taken, and how a taken one is changed: `Graph.unique_name`.

use std::borrow::Cow;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::graph::{Graph, NodeId};

/// Names that were asked for, beside those of the graph's nodes: scopes, and how often each was asked for.
#[derive(Debug, Default)]
pub struct NamesInUse {
    asked: HashMap<String, u32>,
    /// The nodes there were at first, by their names in lower case; absent where case counts.
    lower_case: Option<HashTable<NodeId>>,
    hasher: DefaultHashBuilder,
}

impl NamesInUse {
    /// The names of the graph's nodes.
    #[must_use]
    pub fn new(graph: &Graph, ignore_case: bool) -> Self {
        let mut names = Self::default();
        if ignore_case {
            let hasher = &names.hasher;
            let hash = |node: &NodeId| hasher.hash_one(lower(graph.name(*node)).as_ref());
            let mut table = HashTable::with_capacity(graph.len());
            for node in graph.ids() {
                table.insert_unique(hash(&node), node, hash);
            }
            names.lower_case = Some(table);
        }
        names
    }

    /// `name`, or `name_1`, `name_2`, … whichever is free first; taken from now on. What is asked for a node that is
    /// about to be inserted need not be remembered where case counts: the graph will.
    pub fn unique(&mut self, graph: &Graph, name: String, for_node: bool) -> String {
        let key = self.key(&name);
        let uses = self.uses(graph, &key);
        if uses == 0 {
            if !for_node || self.lower_case.is_some() {
                self.asked.insert(key.into_owned(), 1);
            }
            return name;
        }
        let key = key.into_owned();
        let mut suffix = uses;
        loop {
            let unique = format!("{key}_{suffix}");
            if self.uses(graph, &unique) == 0 {
                self.asked.insert(key, uses + 1);
                self.asked.insert(unique, 1);
                return format!("{name}_{suffix}");
            }
            suffix += 1;
        }
    }

    /// What the name counts as.
    fn key<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if self.lower_case.is_some() { lower(name) } else { Cow::Borrowed(name) }
    }

    fn uses(&self, graph: &Graph, key: &str) -> u32 {
        let is_node = || match &self.lower_case {
            Some(table) => table.find(self.hasher.hash_one(key), |&node| lower(graph.name(node)) == key).is_some(),
            None => graph.find(key).is_some(),
        };
        self.asked.get(key).copied().unwrap_or_else(|| u32::from(is_node()))
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.is_ascii() && !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.to_lowercase())
    }
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

    #[test]
    fn the_suffix_counts_how_often_the_name_was_asked_for() {
        let graph = graph(&["a", "a_2"]);
        let mut names = NamesInUse::new(&graph, false);
        let mut next = |name: &str| names.unique(&graph, name.to_owned(), false);
        assert_eq!([next("a"), next("a"), next("b"), next("b")], ["a_1", "a_3", "b", "b_1"]);
        assert_eq!(next("b_1"), "b_1_1");
        assert_eq!(next("A"), "A");
    }

    #[test]
    fn case_may_not_count() {
        let graph = graph(&["net/Conv", "net/CONV_1"]);
        let mut names = NamesInUse::new(&graph, true);
        let mut next = |name: &str| names.unique(&graph, name.to_owned(), false);
        assert_eq!(
            [next("net/conv"), next("Net/Conv"), next("b"), next("B")],
            ["net/conv_2", "Net/Conv_3", "b", "B_1"]
        );
    }
}
