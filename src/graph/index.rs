//! Finding things by name: hashes, and tables from hashes to places.
//!
//! A table holds no names, only where they are; they stay in one text each. A name is hashed once ([`NameHash`]) however
//! many tables it is looked up in.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::Span;

/// The hash of a name, from [`super::Graph::hash`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NameHash(u32);

/// Hashes names, with a seed of its own so that nobody can prepare names that all collide.
#[derive(Debug, Clone, Default)]
pub(super) struct NameHasher(DefaultHashBuilder);

impl NameHasher {
    #[allow(clippy::cast_possible_truncation)] // half of the hash is enough for as many nodes as there can be
    pub(super) fn hash(&self, name: &str) -> NameHash {
        NameHash(self.0.hash_one(name) as u32)
    }
}

/// Places by the hashes of their names. With millions of names, what costs is memory that is far away: here, a name that
/// is not found and then inserted touches one cache line.
#[derive(Debug, Clone, Default)]
pub(crate) struct HashIndex {
    /// The hash, and the place plus one; zero while free. A hash belongs into the slot that lies as far among the slots
    /// as it does among all hashes, or the next free one.
    slots: Vec<u64>,
    used: usize,
    /// What has no slot yet.
    waiting: Vec<(NameHash, u32)>,
}

/// So many wait before slots are found for all of them.
const MAX_WAITING: usize = 64;

impl HashIndex {
    /// An index with room for so many places.
    pub(crate) fn with_capacity(places: usize) -> Self {
        Self { slots: vec![0; places * 3 / 2 + 1], ..Self::default() }
    }

    /// The place with that hash for which `is` holds.
    pub(crate) fn find(&self, hash: NameHash, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        if let Some(&(_, place)) = self.waiting.iter().find(|&&(other, place)| other == hash && is(place)) {
            return Some(place);
        }
        let mut at = self.first_slot(hash);
        while let Some((other, place)) = self.slots.get(at).copied().and_then(unpack) {
            if other == hash && is(place) {
                return Some(place);
            }
            at = self.next_slot(at);
        }
        None
    }

    /// Brings to the processor what looking these hashes up will need: for many at once, the waits overlap.
    pub(crate) fn bring_near(&self, hashes: impl Iterator<Item = NameHash>) {
        if !self.slots.is_empty() {
            std::hint::black_box(hashes.fold(0, |all, hash| all ^ self.slots[self.first_slot(hash)]));
        }
    }

    /// As [`Self::insert`], for a hash that was not looked up just now: its slot is far away. Going for many slots at
    /// once, the waits overlap.
    pub(crate) fn insert_unseen(&mut self, hash: NameHash, place: u32) {
        if self.waiting.len() == MAX_WAITING {
            let mut waiting = std::mem::take(&mut self.waiting);
            waiting.drain(..).for_each(|(hash, place)| self.insert(hash, place));
            self.waiting = waiting;
        }
        self.waiting.push((hash, place));
    }

    /// Adds a place, which is below `u32::MAX`.
    pub(crate) fn insert(&mut self, hash: NameHash, place: u32) {
        self.used += 1;
        // A search ends at a free slot.
        if self.used * 3 > self.slots.len() * 2 {
            self.grow();
        }
        self.put(hash, place);
    }

    /// As [`Self::find`]; a place that is not found is `place` from now on.
    pub(crate) fn find_or_insert(
        &mut self,
        hash: NameHash,
        place: u32,
        mut is: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        debug_assert!(self.waiting.is_empty(), "what waits would not be found");
        self.used += 1;
        if self.used * 3 > self.slots.len() * 2 {
            self.grow();
        }
        let mut at = self.first_slot(hash);
        while let Some((other, found)) = unpack(self.slots[at]) {
            if other == hash && is(found) {
                self.used -= 1;
                return Some(found);
            }
            at = self.next_slot(at);
        }
        self.slots[at] = pack(hash, place);
        None
    }

    fn put(&mut self, hash: NameHash, place: u32) {
        let mut at = self.first_slot(hash);
        while self.slots[at] != 0 {
            at = self.next_slot(at);
        }
        self.slots[at] = pack(hash, place);
    }

    /// Doubles the slots. All that is moved keeps its order.
    fn grow(&mut self) {
        let doubled = vec![0; (self.slots.len() * 2).max(16)];
        for (hash, place) in std::mem::replace(&mut self.slots, doubled).into_iter().filter_map(unpack) {
            self.put(hash, place);
        }
    }

    fn next_slot(&self, slot: usize) -> usize {
        if slot + 1 < self.slots.len() { slot + 1 } else { 0 }
    }

    #[allow(clippy::cast_possible_truncation)] // fewer than there are slots
    fn first_slot(&self, hash: NameHash) -> usize {
        ((u64::from(hash.0) * self.slots.len() as u64) >> 32) as usize
    }
}

fn pack(hash: NameHash, place: u32) -> u64 {
    u64::from(hash.0) << 32 | (u64::from(place) + 1)
}

#[allow(clippy::cast_possible_truncation)] // two halves
fn unpack(slot: u64) -> Option<(NameHash, u32)> {
    let place = (slot as u32).checked_sub(1)?;
    Some((NameHash((slot >> 32) as u32), place))
}

/// A set of names, kept in one text.
#[derive(Debug, Default)]
pub(crate) struct NameSet {
    text: String,
    names: Vec<Span>,
    index: HashIndex,
}

impl NameSet {
    /// Whether the name is in the set.
    pub(crate) fn contains(&self, hash: NameHash, name: &str) -> bool {
        self.index.find(hash, |place| &self.text[self.names[place as usize].range()] == name).is_some()
    }

    /// Adds a name.
    pub(crate) fn insert(&mut self, hash: NameHash, name: &str) {
        if !self.contains(hash, name) {
            self.index.insert(hash, super::length(self.names.len()));
            self.names.push(Span::new(self.text.len(), name.len()));
            self.text.push_str(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_keeps_each_name_once() {
        let hasher = NameHasher::default();
        let mut set = NameSet::default();
        let names: Vec<String> = (0..1000).map(|number| format!("scope/{number}")).collect();
        for name in names.iter().chain(&names) {
            set.insert(hasher.hash(name), name);
        }
        let contains = |name: &str| set.contains(hasher.hash(name), name);
        assert_eq!(["scope/0", "scope/999", "scope", ""].map(contains), [true, true, false, false]);
        assert_eq!(set.text, names.concat());
    }

    #[test]
    fn equal_hashes_and_the_last_slot_are_no_obstacle() {
        let mut index = HashIndex::default();
        for place in 0..100 {
            let hash = NameHash(if place % 2 == 0 { u32::MAX } else { 0 });
            if place % 3 == 0 { index.insert_unseen(hash, place) } else { index.insert(hash, place) }
        }
        for place in 0..100 {
            let hash = NameHash(if place % 2 == 0 { u32::MAX } else { 0 });
            assert_eq!(index.find(hash, |other| other == place), Some(place));
        }
        assert_eq!(index.find(NameHash(0), |_| false), None);
        assert_eq!(HashIndex::default().find(NameHash(7), |_| true), None);
        for capacity in 0..5 {
            let mut index = HashIndex::with_capacity(capacity);
            for place in 0..20 {
                index.insert(NameHash(place << 28), place);
                assert_eq!(index.find(NameHash(1), |_| true), None, "a search for what is not there ends");
            }
        }
    }
}
