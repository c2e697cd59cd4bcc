//! What kinds of nodes a graph has: pairs of an op and a device, of which there are few however many nodes there are.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::length;

/// An op on a device.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub op: Box<str>,
    /// Mostly empty.
    pub device: Box<str>,
    pub closes_loop: bool,
}

impl Kind {
    fn new(op: &str, device: &str) -> Self {
        let closes_loop = matches!(op, "NextIteration" | "RefNextIteration");
        Self { op: op.into(), device: device.into(), closes_loop }
    }

    fn is(&self, op: &str, device: &str) -> bool {
        // An empty text lies nowhere in memory: a comparison that goes there takes as long as all else about a node.
        let both_empty = self.device.is_empty() && device.is_empty();
        *self.op == *op && (both_empty || *self.device == *device)
    }
}

/// The kinds there are, each kept once, by number.
#[derive(Debug, Clone)]
pub(super) struct Kinds {
    list: Vec<Kind>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// By [`sign`], the kind that was asked for last.
    recent: [u32; SIGNS],
}

/// So many signs there are.
const SIGNS: usize = 64;

/// By what a kind is told at first glance: of the few that most nodes of a graph are of, each has another.
fn sign(op: &str, device: &str) -> usize {
    let [first, last] = [op.as_bytes().first(), op.as_bytes().last()].map(|end| end.map_or(0, |&end| usize::from(end)));
    (op.len() + 3 * first + 11 * last + 5 * device.len()) % SIGNS
}

impl Default for Kinds {
    fn default() -> Self {
        let (list, index, hasher) = Default::default();
        Self { list, index, hasher, recent: [0; SIGNS] }
    }
}

impl Kinds {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    #[inline]
    pub(super) fn get(&self, number: usize) -> &Kind {
        &self.list[number]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Kind> {
        self.list.iter()
    }

    /// The number of a kind, which is kept from now on.
    pub(super) fn intern(&mut self, op: &str, device: &str) -> u32 {
        let sign = sign(op, device);
        let recent = self.recent[sign];
        if self.list.get(recent as usize).is_some_and(|kind| kind.is(op, device)) {
            return recent;
        }
        let number = self.look_up(op, device);
        self.recent[sign] = number;
        number
    }

    fn look_up(&mut self, op: &str, device: &str) -> u32 {
        let Self { list, index, hasher, .. } = self;
        let hash = |op: &str, device: &str| hasher.hash_one((op, device));
        let known = index.find(hash(op, device), |&number| list[number as usize].is(op, device));
        known.copied().unwrap_or_else(|| {
            let number = length(list.len());
            list.push(Kind::new(op, device));
            index.insert_unique(hash(op, device), number, |&number| {
                let kind = &list[number as usize];
                hash(&kind.op, &kind.device)
            });
            number
        })
    }

    /// How many nodes there are of each op, of so many of each kind.
    pub(super) fn by_op(&self, counts: Vec<usize>) -> BTreeMap<&str, usize> {
        let mut ops = BTreeMap::new();
        for (kind, count) in self.list.iter().zip(counts).filter(|&(_, count)| count > 0) {
            *ops.entry(&*kind.op).or_default() += count;
        }
        ops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_number() {
        let mut kinds = Kinds::default();
        let ops: Vec<String> = (0..200).map(|number| format!("Op{number}")).collect();
        let mut intern = |device| -> Vec<u32> { ops.iter().map(|op| kinds.intern(op, device)).collect() };
        let (first, other, again) = (intern(""), intern("/cpu:0"), intern(""));
        assert_eq!(first, (0..200).collect::<Vec<_>>());
        assert_eq!(other, (200..400).collect::<Vec<_>>());
        assert_eq!(again, first);
        assert_eq!((&*kinds.get(399).op, &*kinds.get(399).device), ("Op199", "/cpu:0"));
        assert_eq!(kinds.by_op(vec![1; 400])["Op7"], 2);
    }
}
