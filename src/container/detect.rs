//! Tells from the content which message a file holds, whatever it is called.
//!
//! Binary messages do not say what they are, but the three differ in their first fields: a GraphDef's first field is a
//! NodeDef (two names without control characters), a SavedModel's a version number, a MetaGraphDef's neither.

use super::{Encoding, MessageKind, foreign, text};
use crate::error::{Error, ErrorKind, Result};
use crate::wire::{self, Field, Fields, WireType};

/// The message and its encoding.
///
/// # Errors
/// [`ErrorKind::Malformed`] when it is no protobuf at all, [`ErrorKind::Container`] when it is something else.
pub(super) fn detect(bytes: &[u8]) -> Result<(MessageKind, Encoding)> {
    if let Some(kind) = text::detect(bytes) {
        return Ok((kind, Encoding::Text));
    }
    if let Some(error) = foreign::recognise(bytes) {
        return Err(error);
    }
    let mut shape = Shape::default();
    for field in Fields::new(bytes) {
        shape.see(field?, bytes);
        if let Some(kind) = shape.verdict() {
            return Ok((kind, Encoding::Binary));
        }
    }
    shape.last_verdict().map(|kind| (kind, Encoding::Binary)).ok_or_else(|| {
        Error::new(ErrorKind::Container, "neither a GraphDef nor a MetaGraphDef nor a SavedModel")
            .hint("if you know better, say so with --input-format")
    })
}

/// What the fields seen so far speak for.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // one observation each
struct Shape {
    node: bool,
    schema_version: bool,
    graph_inside: bool,
    meta_graph_inside: bool,
    only_in_meta_graph: bool,
    only_in_graph: bool,
}

impl Shape {
    fn see(&mut self, field: Field, bytes: &[u8]) {
        let value = &bytes[field.value()];
        match (field.number, field.wire_type) {
            (1, WireType::Varint) => self.schema_version = true,
            (1, WireType::Length) => self.node |= looks_like_node(value),
            (2, WireType::Length) => {
                self.graph_inside |= has_node(value);
                // A graph is not walked for what it might be instead.
                self.meta_graph_inside |= !self.graph_inside && messages(value, 2).any(|graph| has_node(&value[graph]));
            }
            (3, WireType::Varint) => self.only_in_graph = true,
            (4, WireType::Length) if wire::last_varint(value, 1).is_some() => self.only_in_graph = true,
            (3..=7, WireType::Length) => self.only_in_meta_graph = true,
            _ => {}
        }
    }

    /// What is certain already, so that a big file need not be walked.
    fn verdict(&self) -> Option<MessageKind> {
        if self.node {
            Some(MessageKind::GraphDef)
        } else if self.schema_version {
            Some(MessageKind::SavedModel)
        } else if self.graph_inside {
            Some(MessageKind::MetaGraphDef)
        } else {
            None
        }
    }

    fn last_verdict(&self) -> Option<MessageKind> {
        if self.meta_graph_inside {
            Some(MessageKind::SavedModel)
        } else if self.only_in_meta_graph {
            Some(MessageKind::MetaGraphDef)
        } else if self.only_in_graph {
            Some(MessageKind::GraphDef)
        } else {
            None
        }
    }
}

fn messages(message: &[u8], number: u32) -> impl Iterator<Item = std::ops::Range<usize>> {
    Fields::new(message).map_while(Result::ok).filter(move |field| field.is_message(number)).map(|field| field.value())
}

fn has_node(graph: &[u8]) -> bool {
    messages(graph, 1).next().is_some_and(|node| looks_like_node(&graph[node]))
}

/// A NodeDef starts with two names; a MetaInfoDef's second field is a list of ops, full of control characters.
fn looks_like_node(message: &[u8]) -> bool {
    let is_name = |number| {
        wire::last_bytes(message, number).is_some_and(|name| {
            let name = &message[name];
            !name.is_empty() && std::str::from_utf8(name).is_ok_and(|name| !name.chars().any(char::is_control))
        })
    };
    is_name(1) && is_name(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{put_bytes, put_uint};

    fn message(number: u32, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, number, value);
        out
    }

    fn graph() -> Vec<u8> {
        message(1, &[message(1, b"node"), message(2, b"Const")].concat())
    }

    #[test]
    fn binary_messages_are_told_apart() {
        let info = message(1, &[message(1, b"v"), message(2, &message(1, &message(1, b"Add")))].concat());
        let meta = [info.clone(), message(2, &graph())].concat();
        let mut saved = Vec::new();
        put_uint(&mut saved, 1, 1);
        put_bytes(&mut saved, 2, &meta);
        let binary = |bytes: &[u8]| detect(bytes).unwrap();
        assert_eq!(binary(&graph()), (MessageKind::GraphDef, Encoding::Binary));
        assert_eq!(binary(&meta), (MessageKind::MetaGraphDef, Encoding::Binary));
        assert_eq!(binary(&message(2, &graph())), (MessageKind::MetaGraphDef, Encoding::Binary));
        assert_eq!(binary(&saved), (MessageKind::SavedModel, Encoding::Binary));
        assert_eq!(binary(&message(2, &meta)), (MessageKind::SavedModel, Encoding::Binary));
        let versions = message(4, &[0x08, 24]);
        assert_eq!(binary(&versions), (MessageKind::GraphDef, Encoding::Binary));
    }

    #[test]
    fn strangers_are_named() {
        assert!(detect(b"\x1c\0\0\0TFL3....").unwrap_err().to_string().contains("TFLite"));
        assert_eq!(detect(b"\xff\xff\xff").unwrap_err().kind(), ErrorKind::Malformed);
        assert_eq!(detect(&message(9, b"x")).unwrap_err().kind(), ErrorKind::Container);
        assert_eq!(detect(b"node { name: 'a' op: 'b' }").unwrap(), (MessageKind::GraphDef, Encoding::Text));
    }
}
