//! The graph while it is being frozen: nodes of the file and of functions' bodies side by side, and nodes made on the way.
//!
//! A call stays in the list as a node that forwards: whoever reads one of its outputs reads what the body returns there.
//! [`super::inline`] fills the list, [`super::prune`] and [`super::variables`] work on it, [`super::emit`] writes it.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::library;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::attr::Attrs;
use crate::proto::tensorflow::DataType;
use crate::wire;

/// What an input reads: an output of a node, or, with the port [`CONTROL`], the wish to run after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ref {
    pub node: u32,
    pub port: u32,
}

pub(super) const CONTROL: u32 = u32::MAX;

impl Ref {
    pub(super) fn control(node: u32) -> Self {
        Self { node, port: CONTROL }
    }

    pub(super) fn output(node: u32, port: u32) -> Self {
        Self { node, port }
    }

    pub(super) fn index(self) -> usize {
        self.node as usize
    }

    pub(super) fn is_control(self) -> bool {
        self.port == CONTROL
    }
}

/// Where a node's attributes are.
#[derive(Debug, Clone)]
pub(super) enum Attributes<'a> {
    /// In a NodeDef of the file.
    File(&'a [u8]),
    /// Here, encoded as fields of a NodeDef.
    Made(Vec<u8>),
}

#[derive(Debug, Clone)]
pub(super) struct FlatNode<'a> {
    pub name: String,
    pub op: Cow<'a, str>,
    pub device: &'a str,
    pub inputs: Vec<Ref>,
    pub attributes: Attributes<'a>,
    /// Which branch or loop it runs in; 0 is outside of all.
    pub region: u32,
    /// Whether it comes from a function's body.
    pub inlined: bool,
    /// Whether anything but its name would be written differently from the file.
    pub changed: bool,
    /// For a call that was inlined: what its outputs are.
    pub forwards: Option<Vec<Ref>>,
}

impl FlatNode<'_> {
    /// The encoded AttrValue of that name.
    pub(super) fn attr(&self, name: &str) -> Option<&[u8]> {
        match &self.attributes {
            Attributes::File(def) => library::attr(def, name),
            Attributes::Made(fields) => library::attr(fields, name),
        }
    }

    /// The number of a type attribute.
    pub(super) fn attr_type(&self, name: &str) -> Option<i32> {
        wire::last_varint(self.attr(name)?, 6).and_then(|number| i32::try_from(number).ok())
    }

    pub(super) fn attr_int(&self, name: &str) -> Option<i64> {
        wire::last_varint(self.attr(name)?, 3).map(u64::cast_signed)
    }

    pub(super) fn attr_text(&self, name: &str) -> Option<String> {
        let value = self.attr(name)?;
        Some(String::from_utf8_lossy(&value[wire::last_bytes(value, 2)?]).into_owned())
    }

    /// Its attributes, with others in place of some.
    pub(super) fn attrs_with(&self, others: &[(&str, Option<i32>)]) -> Vec<u8> {
        let fields = match &self.attributes {
            Attributes::File(def) => def,
            Attributes::Made(fields) => &fields[..],
        };
        let mut attrs = Attrs::default();
        for (name, value) in library::attrs(fields) {
            match others.iter().find(|(other, _)| *other == name) {
                Some((_, Some(number))) => attrs.type_number(name, *number),
                Some((_, None)) => &mut attrs,
                None => attrs.raw(name, value),
            };
        }
        attrs.as_bytes().to_vec()
    }

    /// Turns it into another op with these attributes.
    pub(super) fn become_op(&mut self, op: &'static str, attrs: Vec<u8>) {
        self.op = Cow::Borrowed(op);
        self.attributes = Attributes::Made(attrs);
        self.changed = true;
    }

    pub(super) fn error(&self, kind: ErrorKind, what: impl Into<String>) -> Error {
        Error::new(kind, what).in_node(&self.name, &self.op)
    }

    pub(super) fn data_inputs(&self) -> impl Iterator<Item = Ref> + '_ {
        self.inputs.iter().copied().filter(|input| !input.is_control())
    }
}

/// The list of nodes, and which names are taken.
#[derive(Debug, Default)]
pub(super) struct Flat<'a> {
    pub nodes: Vec<FlatNode<'a>>,
    /// For each region, the node that runs when its nodes are to run; none for region 0.
    pub pivots: Vec<Option<u32>>,
    /// The names that are taken, and the number that the next node of that name gets.
    names: HashMap<String, u32>,
    /// How many calls, conditionals and loops were put in place.
    pub inlined_calls: usize,
}

/// More nodes than this are a library that grows exponentially, not a network.
pub(super) const MAX_NODES: usize = 4_000_000;
/// All names and copied attributes together; a body that is called often enough can make them many.
const MAX_MADE_BYTES: usize = 1 << 30;

impl<'a> Flat<'a> {
    pub(super) fn new() -> Self {
        Self { pivots: vec![None], ..Self::default() }
    }

    /// Appends a node, whose name must be claimed.
    pub(super) fn push(&mut self, node: FlatNode<'a>) -> Result<u32> {
        if self.nodes.len() >= MAX_NODES {
            return Err(too_many());
        }
        self.nodes.push(node);
        Ok(u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX))
    }

    /// Appends a node that is in no file.
    pub(super) fn make(
        &mut self,
        name: &str,
        op: &'static str,
        inputs: Vec<Ref>,
        attrs: &Attrs,
        region: u32,
    ) -> Result<u32> {
        let name = self.claim(name.to_owned());
        self.push(FlatNode {
            name,
            op: Cow::Borrowed(op),
            device: "",
            inputs,
            attributes: Attributes::Made(attrs.as_bytes().to_vec()),
            region,
            inlined: true,
            changed: true,
            forwards: None,
        })
    }

    pub(super) fn is_taken(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Takes that name, or the first of `name_1`, `name_2`, … that is free.
    pub(super) fn claim(&mut self, name: String) -> String {
        let Some(next) = self.names.get(&name).copied() else {
            self.names.insert(name.clone(), 1);
            return name;
        };
        let free = (next..u32::MAX).find(|number| !self.is_taken(&format!("{name}_{number}"))).unwrap_or(next);
        let claimed = format!("{name}_{free}");
        self.names.insert(name, free.saturating_add(1));
        self.names.insert(claimed.clone(), 1);
        claimed
    }

    /// A new branch or loop body, whose nodes run when `pivot` has run.
    pub(super) fn region(&mut self, pivot: u32) -> u32 {
        self.pivots.push(Some(pivot));
        u32::try_from(self.pivots.len() - 1).unwrap_or(u32::MAX)
    }

    /// The attributes of an op that only has to know the type of what it passes on.
    pub(super) fn typed(data_type: i32) -> Attrs {
        let mut attrs = Attrs::default();
        attrs.type_number("T", data_type);
        attrs
    }
}

pub(super) fn too_many() -> Error {
    Error::new(ErrorKind::TooLarge, format!("the functions unfold to more than {MAX_NODES} nodes"))
        .hint("functions that call each other many times over cannot be put into one graph")
}

/// Refuses what bodies that are called over and over would make larger than any file.
pub(super) fn check_made_bytes(bytes: usize) -> Result<()> {
    if bytes <= MAX_MADE_BYTES { Ok(()) } else { Err(too_many()) }
}

/// Whether a type is that of handles.
pub(super) fn is_resource(data_type: i32) -> bool {
    data_type == DataType::DtResource as i32
}
