//! Colocation: `ops.colocate_with`, by which new nodes run where others do.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Builder;
use crate::error::Result;
use crate::graph::attr::Attrs;
use crate::graph::{Graph, NodeId};

/// What colocation with some nodes puts into new nodes.
#[derive(Debug, Default)]
pub(super) struct Colocation {
    groups: BTreeSet<Bytes>,
    /// The encoded `_class` attribute that lists the groups; empty while there are none.
    class: Vec<u8>,
    /// The device of the first node that asks for one.
    device: String,
}

impl Colocation {
    pub fn is_empty(&self) -> bool {
        self.class.is_empty()
    }

    pub fn class(&self) -> &[u8] {
        &self.class
    }

    pub fn device(&self) -> &str {
        &self.device
    }

    /// This colocation and one with another node; nothing, if that changes nothing.
    fn and(&self, graph: &Graph, node: NodeId) -> Option<Self> {
        let adds_device = self.device.is_empty() && !graph.device(node).is_empty();
        // Mostly the node was made under this very colocation.
        if !adds_device && !self.is_empty() && graph.attr_fields(node).starts_with(&self.class) {
            return None;
        }
        let mut groups = self.groups.clone();
        groups.extend(graph.colocation_groups(node));
        let mut class = Attrs::default();
        class.strs("_class", &groups.iter().collect::<Vec<_>>());
        let device = if self.device.is_empty() { graph.device(node) } else { &self.device };
        Some(Self { class: class.as_bytes().to_vec(), device: device.to_owned(), groups })
    }
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

    fn colocated<T>(&mut self, colocation: Colocation, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer = std::mem::replace(&mut self.colocation, colocation);
        let result = body(self);
        self.colocation = outer;
        result
    }
}
