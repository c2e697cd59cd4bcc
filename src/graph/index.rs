//! Finding names: the index of a graph's nodes, and tables of names that are no nodes.
//!
//! Tables hold hashes and places; the names stay in one text each. A name is hashed once ([`NameHash`]) however many
//! tables it is looked up in.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{NodeId, Span};

/// The hash of a name, from [`super::Graph::hash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameHash(u32);

impl NameHash {
    /// As hash tables take it: the place from the low bits, what tells neighbours apart from the high ones.
    pub fn spread(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

/// A node and the hash of its name, so that a table grows without reading names.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: NameHash,
    node: NodeId,
}

/// Nodes by their names, or by what counts as their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeIndex(HashTable<Entry>);

impl NodeIndex {
    /// Makes room for so many nodes more.
    pub fn reserve(&mut self, nodes: usize) {
        self.0.reserve(nodes, |entry| entry.hash.spread());
    }

    /// The node with that hash for which `is` holds.
    pub fn find(&self, hash: NameHash, mut is: impl FnMut(NodeId) -> bool) -> Option<NodeId> {
        let found = self.0.find(hash.spread(), |entry| entry.hash == hash && is(entry.node));
        found.map(|entry| entry.node)
    }

    /// Adds a node.
    pub fn insert(&mut self, hash: NameHash, node: NodeId) {
        self.0.insert_unique(hash.spread(), Entry { hash, node }, |entry| entry.hash.spread());
    }
}

/// Hashes names, with a seed of its own so that nobody can prepare names that all collide.
#[derive(Debug, Clone, Default)]
pub(super) struct NameHasher(DefaultHashBuilder);

impl NameHasher {
    #[allow(clippy::cast_possible_truncation)] // half of the hash is enough for as many nodes as there can be
    pub fn hash(&self, name: &str) -> NameHash {
        NameHash(self.0.hash_one(name) as u32)
    }
}

/// Names with a number each.
#[derive(Debug, Default)]
pub(crate) struct NameNumbers {
    text: String,
    table: HashTable<Numbered>,
}

#[derive(Debug, Clone, Copy)]
struct Numbered {
    hash: NameHash,
    number: u32,
    name: Span,
}

impl NameNumbers {
    /// The number of that name.
    pub fn get(&self, hash: NameHash, name: &str) -> Option<u32> {
        let is_it = |entry: &Numbered| entry.hash == hash && &self.text[entry.name.range()] == name;
        self.table.find(hash.spread(), is_it).map(|entry| entry.number)
    }

    /// Gives the name that number.
    pub fn set(&mut self, hash: NameHash, name: &str, number: u32) {
        let text = &mut self.text;
        let is_it = |entry: &Numbered| entry.hash == hash && &text[entry.name.range()] == name;
        if let Some(entry) = self.table.find_mut(hash.spread(), is_it) {
            entry.number = number;
            return;
        }
        let entry = Numbered { hash, number, name: Span::new(text.len(), name.len()) };
        text.push_str(name);
        self.table.insert_unique(hash.spread(), entry, |entry| entry.hash.spread());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_last_number() {
        let hasher = NameHasher::default();
        let mut numbers = NameNumbers::default();
        let names: Vec<String> = (0..1000).map(|number| format!("scope/{number}")).collect();
        for round in [0, 7] {
            for (number, name) in (round..).zip(&names) {
                numbers.set(hasher.hash(name), name, number);
            }
        }
        let get = |name: &str| numbers.get(hasher.hash(name), name);
        assert_eq!([get("scope/0"), get("scope/999"), get("scope"), get("")], [Some(7), Some(1006), None, None]);
        assert_eq!(numbers.text.len(), names.concat().len(), "each name is kept once");
    }
}
