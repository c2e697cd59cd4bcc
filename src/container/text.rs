//! Protobuf's text format (`.pbtxt`) for the three messages that hold a graph.
//!
//! [`parse`] turns text into the binary message that the rest of the container code reads, [`print`] turns a binary
//! message into text, [`detect`] tells from content whether a file is text and of which message. Both directions work
//! on wire bytes and [`crate::proto::descriptors`] alone: no message is ever held decoded, so big tensors are not copied
//! about, map order is never a hash map's, and nothing depends on prost, which drops unknown fields.
//!
//! **Binary from text** is canonical: fields by number, map entries by key, repeated scalars packed, defaults left out.
//! It is what protobuf's deterministic serialization writes.
//!
//! **Text from binary** is what Python's `text_format.MessageToString` writes, with two differences. `google.protobuf.Any`
//! is printed as its two fields and never expanded, so its bytes survive. And a field this version does not know, which
//! protobuf's own printers leave out (or number, in a form their parsers refuse), becomes a comment at the end of its
//! message:
//!
//! ```text
//! # tfquant unknown field 17: "raw bytes"
//! ```
//!
//! Other parsers skip the comment and read the rest; [`parse`] reads it back, so nothing is lost. What does not survive
//! is a NaN's payload, the order of fields on the wire, and bytes that protobuf itself drops when it merges a message.
//!
//! A field number may stand for a name (`8: "x"`), as protobuf's debug strings have it for unknown fields.

mod lex;
mod parse;
mod print;
#[cfg(test)]
mod tests;

use std::io;

use prost_reflect::{Kind, MessageDescriptor};

use crate::proto;
use crate::wire::{self, WireError};

/// Messages nested deeper than this are refused, as protobuf's own parsers do.
pub const MAX_DEPTH: usize = 100;

/// What the comment that keeps an unknown field starts with; the field's number follows.
const UNKNOWN_FIELD: &str = "# tfquant unknown field ";

/// The messages that hold a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// `tensorflow.GraphDef`: a graph alone.
    GraphDef,
    /// `tensorflow.MetaGraphDef`: a graph with its collections, Saver and signatures.
    MetaGraphDef,
    /// `tensorflow.SavedModel`: one or more meta graphs, told apart by tags.
    SavedModel,
}

impl MessageKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::GraphDef, Self::MetaGraphDef, Self::SavedModel];

    /// The message's name in the `tensorflow` package.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GraphDef => "GraphDef",
            Self::MetaGraphDef => "MetaGraphDef",
            Self::SavedModel => "SavedModel",
        }
    }

    fn descriptor(self) -> MessageDescriptor {
        proto::descriptor(&format!("tensorflow.{}", self.name()))
    }
}

/// Why a message could not be read from text or written as text.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The text is not a message of the kind.
    #[error("line {line}, column {column}: {what}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong there.
        what: String,
    },
    /// The bytes are not a protobuf message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The text could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads a message in text format and returns it in canonical binary form.
///
/// ```
/// # use tfquant::internals::text::{MessageKind, parse};
/// let graph = parse(r#"node { name: "x" op: "NoOp" }"#, MessageKind::GraphDef).unwrap();
/// assert_eq!(graph, b"\x0a\x09\x0a\x01x\x12\x04NoOp");
/// ```
///
/// # Errors
/// [`TextError::Syntax`] when the text is not such a message.
pub fn parse(text: &str, kind: MessageKind) -> Result<Vec<u8>, TextError> {
    parse_message(text, &kind.descriptor())
}

/// The same for any message whose descriptor there is.
pub(crate) fn parse_message(text: &str, descriptor: &MessageDescriptor) -> Result<Vec<u8>, TextError> {
    parse::message(text, descriptor).map_err(|error| {
        let (line, column) = lex::line_and_column(text, error.offset);
        TextError::Syntax { line, column, what: error.what }
    })
}

/// Writes a binary message in text format. Equal bytes give equal text.
///
/// # Errors
/// [`TextError::Wire`] when `binary` is not a protobuf message, [`TextError::Io`] when `out` does not take the text.
pub fn print(binary: &[u8], kind: MessageKind, out: &mut impl io::Write) -> Result<(), TextError> {
    print_message(binary, &kind.descriptor(), out)
}

/// The same for any message whose descriptor there is.
pub(crate) fn print_message(
    binary: &[u8],
    descriptor: &MessageDescriptor,
    out: &mut impl io::Write,
) -> Result<(), TextError> {
    print::message(binary, descriptor, out)
}

/// Which message the bytes hold in text format, told by the name of the first field; `None` when they are not text, or
/// text of something else, or hold no field at all.
///
/// Only the bytes up to that field are read.
#[must_use]
pub fn detect(bytes: &[u8]) -> Option<MessageKind> {
    let name = first_field_name(bytes)?;
    MessageKind::ALL.into_iter().find(|kind| kind.descriptor().get_field_by_name(name).is_some())
}

/// The name of the first field, if the bytes are a message in text format, whichever.
pub(crate) fn first_field_name(bytes: &[u8]) -> Option<&str> {
    lex::first_field_name(bytes)
}

/// The key of a map entry, in the order in which maps are written.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum MapKey<'a> {
    Number(i128),
    Text(&'a [u8]),
}

impl<'a> MapKey<'a> {
    /// The key of an encoded entry; an entry without one has the default.
    fn of(entry: &'a [u8], kind: &Kind) -> Self {
        let varint = || wire::last_varint(entry, 1).unwrap_or(0);
        match kind {
            Kind::String => {
                Self::Text(wire::last_bytes(entry, 1).and_then(|range| entry.get(range)).unwrap_or_default())
            }
            Kind::Uint32 | Kind::Uint64 | Kind::Bool => Self::Number(i128::from(varint())),
            Kind::Sint32 | Kind::Sint64 => Self::Number(i128::from(zigzag_decode(varint()))),
            _ => Self::Number(i128::from(varint().cast_signed())),
        }
    }
}

fn zigzag_decode(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn zigzag_encode(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}
