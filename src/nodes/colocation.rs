//! Colocation: `ops.colocate_with`, by which new nodes run where others do.

use std::collections::BTreeSet;

use super::Builder;
use crate::error::Result;
use crate::graph::attr::{Attrs, map_entry};
use crate::graph::{Graph, NodeId};
use crate::wire::{self, Fields};

/// What colocation with some nodes puts into new nodes.
#[derive(Debug, Default)]
pub(super) struct Colocation {
    /// The encoded `_class` attribute that lists the groups, sorted; empty while there are none.
    class: Vec<u8>,
    /// The device of the first node that asks for one.
    device: String,
}

impl Colocation {
    pub(super) fn is_empty(&self) -> bool {
        self.class.is_empty()
    }

    pub(super) fn class(&self) -> &[u8] {
        &self.class
    }

    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// This colocation and one with another node; nothing, if that changes nothing.
    fn and(&self, graph: &Graph, node: NodeId) -> Option<Self> {
        let adds_device = self.device.is_empty() && !graph.device(node).is_empty();
        let attrs = graph.attr_fields(node);
        // Mostly the node was made under this very colocation, or there is none yet and the node's own is taken over.
        let class = if !self.is_empty() && attrs.starts_with(&self.class) {
            if !adds_device {
                return None;
            }
            self.class.clone()
        } else {
            match own_class(attrs) {
                Some(own) if self.is_empty() => own.to_vec(),
                _ => self.class_with(graph, node),
            }
        };
        let device = if self.device.is_empty() { graph.device(node) } else { &self.device };
        Some(Self { class, device: device.to_owned() })
    }

    /// The groups in force and those of the node, as an attribute.
    fn class_with(&self, graph: &Graph, node: NodeId) -> Vec<u8> {
        let theirs = graph.colocation_groups(node);
        let mut groups: BTreeSet<&[u8]> = theirs.iter().map(AsRef::as_ref).collect();
        groups.extend(class_groups(&self.class));
        let mut class = Attrs::default();
        class.strs("_class", &groups.into_iter().collect::<Vec<_>>());
        class.as_bytes().to_vec()
    }
}

/// The first attribute of an inserted node, if it is a `_class` as colocation makes it.
fn own_class(attr_fields: &[u8]) -> Option<&[u8]> {
    let first = Fields::new(attr_fields).next()?.ok()?;
    let field = &attr_fields[first.span()];
    let mut last = None;
    for group in class_groups(field) {
        if !group.starts_with(b"loc:@") || last.is_some_and(|last| group < last) {
            return None;
        }
        last = Some(group);
    }
    last.map(|_| field)
}

/// The strings in an encoded `_class` attribute; none in another one.
fn class_groups(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let entry = Fields::new(field).next().and_then(Result::ok).and_then(|part| map_entry(&field[part.value()]));
    let value = entry.filter(|&(key, _)| key == "_class").map_or(&[][..], |(_, value)| value);
    let list = wire::last_bytes(value, 1).map_or(&[][..], |list| &value[list]);
    wire::messages(list, 2)
}

impl Builder<'_> {
    /// Runs `body` with all new nodes colocated with `node`, beside what is in force.
    pub(super) fn colocate_with<T>(&mut self, node: NodeId, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        match self.colocation.and(self.graph, node) {
            Some(colocation) => self.colocated(colocation, body),
            None => body(self),
        }
    }

    /// Runs `body` with new nodes colocated with `node` alone, whatever is in force.
    pub(super) fn colocate_only_with<T>(
        &mut self,
        node: NodeId,
        body: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let alone = Colocation::default().and(self.graph, node).unwrap_or_default();
        self.colocated(alone, body)
    }

    /// Runs `body` with new nodes colocated with nothing.
    pub(super) fn colocate_with_nothing<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.colocated(Colocation::default(), body)
    }

    fn colocated<T>(&mut self, colocation: Colocation, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer = std::mem::replace(&mut self.colocation, colocation);
        let result = body(self);
        self.colocation = outer;
        result
    }
}
