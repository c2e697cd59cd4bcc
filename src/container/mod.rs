//! Files that hold a graph: a GraphDef, a MetaGraphDef, or a SavedModel, in binary or in text.
//!
//! [`Model::open`] tells which it is and finds the graph and the collections inside; everything else stays a range of
//! the input's bytes. [`Model::encode`] says what the file has become. [`text`] turns the text form into the binary
//! one and back, so that all the rest knows binary only.

mod detect;
pub(crate) mod endpoints;
mod ends;
mod foreign;
mod meta_graph;
mod saved_model;
mod signatures;
pub mod text;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::collections::Collections;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::write::{Sink, Splice, SpliceInput};
use crate::graph::{Graph, NodeId, read, verify};
use crate::source::{self, Part, Source};
pub(crate) use ends::Ends;
use meta_graph::MetaGraph;
pub(crate) use signatures::{DEFAULT_SIGNATURE, Signatures};
pub use text::MessageKind;

/// How a message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Protobuf's wire format.
    Binary,
    /// Protobuf's text format.
    Text,
}

/// What to take for granted when a file is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// The message and its encoding, instead of telling them from the content.
    pub format: Option<(MessageKind, Encoding)>,
    /// The tags of the MetaGraphDef to take from a SavedModel; the first one, if empty.
    pub tag_set: Vec<String>,
    /// The tensors that are fed, by name, where the graph's own inputs are not meant.
    pub inputs: Vec<String>,
    /// The tensors that are read in the end, by name, where neither signatures nor readers tell.
    pub outputs: Vec<String>,
}

/// A file's message with the graph in it.
#[derive(Debug, Clone)]
pub struct Model {
    /// What the user called the file; empty if it came from none.
    pub path: String,
    /// The graph.
    pub graph: Graph,
    /// The collections of the MetaGraphDef around it; a GraphDef has none.
    pub collections: Collections,
    /// The message that the file holds.
    pub kind: MessageKind,
    /// How the file stores it.
    pub encoding: Encoding,
    /// The tag sets of the other graphs in a SavedModel, which are carried along.
    pub other_tag_sets: Vec<String>,
    /// Where the user says that it begins and ends.
    pub ends: Ends,
    bytes: Bytes,
    /// The file that holds `bytes`.
    file: Option<Arc<File>>,
    enclosing: Enclosing,
}

/// What is around the graph.
#[derive(Debug, Clone)]
enum Enclosing {
    Nothing,
    MetaGraph(MetaGraph),
    SavedModel(saved_model::Entry, MetaGraph),
    /// A new SavedModel: the fields of its MetaGraphDef before the graph, and those behind it.
    NewSavedModel(Vec<u8>, Vec<u8>),
}

/// The largest message that protobuf implementations read.
const MAX_OUTPUT_BYTES: u64 = i32::MAX as u64;

impl Model {
    /// Opens a message.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] with the offset, or line and column, at which it stops being one;
    /// [`ErrorKind::Container`] if it is none of the three or lacks the graph asked for; [`ErrorKind::InvalidGraph`] if
    /// the graph could not run.
    pub fn open(bytes: Bytes, options: &OpenOptions) -> Result<Self> {
        let (kind, encoding) = match options.format {
            Some(format) => format,
            None => detect::detect(&bytes)?,
        };
        let bytes = match encoding {
            Encoding::Binary => bytes,
            Encoding::Text => parse_text(&bytes, kind)?,
        };
        let mut other_tag_sets = Vec::new();
        let (graph_range, enclosing) = match kind {
            MessageKind::GraphDef => (0..bytes.len(), Enclosing::Nothing),
            MessageKind::MetaGraphDef => {
                let meta = MetaGraph::find(&bytes, 0..bytes.len())?;
                (meta.graph.clone(), Enclosing::MetaGraph(meta))
            }
            MessageKind::SavedModel => {
                let (entry, others) = saved_model::choose(&bytes, &options.tag_set)?;
                other_tag_sets = others;
                let meta = MetaGraph::find(&bytes, entry.meta_graph.clone())?;
                (meta.graph.clone(), Enclosing::SavedModel(entry, meta))
            }
        };
        let collections = match &enclosing {
            Enclosing::MetaGraph(meta) | Enclosing::SavedModel(_, meta) => meta.collections(&bytes),
            Enclosing::Nothing | Enclosing::NewSavedModel(..) => Collections::default(),
        };
        let graph = read::parse(bytes.slice(graph_range))?;
        verify::check_acyclic(&graph)?;
        let ends = Ends::find(&graph, &options.inputs, &options.outputs)?;
        let path = String::new();
        Ok(Self { path, graph, collections, kind, encoding, other_tag_sets, ends, bytes, file: None, enclosing })
    }

    /// The model as it was opened, but for the nodes that do not stay, what collections have become, and a field of the
    /// MetaGraphDef.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidGraph`] if a node that stays reads one that does not.
    pub(crate) fn only(
        &self,
        keep: impl Fn(NodeId) -> bool,
        collections: &[(&str, Splice)],
        without: Option<u32>,
    ) -> Result<Self> {
        let graph = self.graph.only(keep);
        let splice = match &self.enclosing {
            Enclosing::Nothing | Enclosing::NewSavedModel(..) => graph,
            Enclosing::MetaGraph(meta) => meta.with(&self.bytes, graph, collections, without),
            Enclosing::SavedModel(entry, meta) => {
                entry.to_splice(&self.bytes, meta.with(&self.bytes, graph, collections, without))
            }
        };
        let mut bytes = Vec::new();
        let input = SpliceInput { bytes: &self.bytes, file: None };
        splice.write_to(&mut bytes, &input, &self.graph).map_err(write_failed)?;
        let bytes = Bytes::from(bytes);
        let (graph, collections, enclosing) = match &self.enclosing {
            Enclosing::Nothing | Enclosing::NewSavedModel(..) => {
                (0..bytes.len(), Collections::default(), self.enclosing.clone())
            }
            Enclosing::MetaGraph(_) => {
                let meta = MetaGraph::find(&bytes, 0..bytes.len())?;
                (meta.graph.clone(), meta.collections(&bytes), Enclosing::MetaGraph(meta))
            }
            Enclosing::SavedModel(entry, _) => {
                let entry = entry.again(&self.bytes, &bytes);
                let entry = entry.ok_or_else(|| Error::new(ErrorKind::Container, "the SavedModel lost its graph"))?;
                let meta = MetaGraph::find(&bytes, entry.meta_graph.clone())?;
                (meta.graph.clone(), meta.collections(&bytes), Enclosing::SavedModel(entry, meta))
            }
        };
        let graph = read::parse(bytes.slice(graph))?;
        Ok(Self {
            path: self.path.clone(),
            collections,
            other_tag_sets: self.other_tag_sets.clone(),
            bytes,
            file: None,
            enclosing,
            ends: self.ends.moved(&self.graph, &graph),
            graph,
            ..*self
        })
    }

    /// Takes all edits back: the model is as it was opened.
    ///
    /// # Errors
    /// Those of reading the graph.
    pub fn reset(&mut self) -> Result<()> {
        self.collections.reset();
        self.graph.reset()
    }

    /// Whether the graph or a collection differs from what the file holds.
    pub(crate) fn has_changes(&self) -> bool {
        self.graph.has_changes() || self.collections.has_changes()
    }

    /// Says where the model begins and ends, by the names of tensors.
    ///
    /// # Errors
    /// [`ErrorKind::Options`], with the nearest name, for one that the graph does not have.
    pub fn name_ends(&mut self, inputs: &[String], outputs: &[String]) -> Result<()> {
        self.ends = Ends::find(&self.graph, inputs, outputs)?;
        Ok(())
    }

    /// Opens a file or SavedModel folder; `-` is standard input.
    ///
    /// # Errors
    /// As [`source::open`] and [`Model::open`].
    pub fn open_path(path: &Path) -> Result<Self> {
        Self::open_source(&source::open(path)?, &OpenOptions::default())
    }

    /// Opens what a source holds; large parts of its file can then be copied without reading them.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open_source(source: &Source, options: &OpenOptions) -> Result<Self> {
        let path = source.path.display().to_string();
        let opened = Self::open(source.bytes.clone(), options);
        let mut model = opened.map_err(|error| {
            let error = if options.format.is_none() { foreign::recognise_name(&path).unwrap_or(error) } else { error };
            source.name_in(error)
        })?;
        model.path = path;
        model.file = source.file.clone().filter(|_| model.encoding == Encoding::Binary);
        Ok(model)
    }

    /// A GraphDef that was made, not read; `bytes` are what the graph was parsed from.
    pub(crate) fn of_graph(graph: Graph, bytes: Bytes) -> Self {
        Self {
            path: String::new(),
            ends: Ends::default(),
            graph,
            collections: Collections::default(),
            kind: MessageKind::GraphDef,
            encoding: Encoding::Binary,
            other_tag_sets: Vec::new(),
            bytes,
            file: None,
            enclosing: Enclosing::Nothing,
        }
    }

    /// What the model has become, as if it were read from a file; of a SavedModel, the MetaGraphDef.
    ///
    /// # Errors
    /// Those of [`Model::encode`] and of [`Model::open`].
    pub(crate) fn reread(&self) -> Result<Self> {
        let (kind, splice) = match &self.enclosing {
            Enclosing::SavedModel(_, meta) => {
                (MessageKind::MetaGraphDef, meta.to_splice(&self.graph, &self.collections.changed()?))
            }
            _ => (self.kind, self.to_splice()?),
        };
        let mut bytes = Vec::with_capacity(usize::try_from(splice.len()).unwrap_or_default());
        let input = SpliceInput { bytes: &self.bytes, file: None };
        splice.write_to(&mut bytes, &input, &self.graph).map_err(write_failed)?;
        let format = Some((kind, Encoding::Binary));
        Self::open(bytes.into(), &OpenOptions { format, ..OpenOptions::default() })
    }

    /// Puts a GraphDef into a SavedModel of its own: encoded fields of a MetaGraphDef before the graph and behind it.
    pub(crate) fn enclose(&mut self, before: Vec<u8>, behind: Vec<u8>) {
        self.kind = MessageKind::SavedModel;
        self.enclosing = Enclosing::NewSavedModel(before, behind);
    }

    /// Bytes of this model's message as the range of its file that they are.
    pub(crate) fn part(&self, bytes: &[u8]) -> Part {
        let bytes = self.bytes.slice_ref(bytes);
        let offset = bytes.as_ptr() as usize - self.bytes.as_ptr() as usize;
        Part { bytes, file: self.file.clone(), offset: offset as u64 }
    }

    /// The message in its binary form, as it was opened.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The MetaGraphDef around the graph, as it was opened; a GraphDef has none.
    #[must_use]
    pub fn meta_graph(&self) -> Option<Bytes> {
        match &self.enclosing {
            Enclosing::Nothing | Enclosing::NewSavedModel(..) => None,
            Enclosing::MetaGraph(meta) | Enclosing::SavedModel(_, meta) => Some(self.bytes.slice(meta.span())),
        }
    }

    /// The signatures of the MetaGraphDef around the graph; none, if it has none.
    #[must_use]
    pub fn signatures(&self) -> Signatures {
        self.meta_graph().map(|meta_graph| Signatures::read(&self.graph, &meta_graph)).unwrap_or_default()
    }

    /// What the message has become.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if a collection cannot take what was added to it; [`ErrorKind::TooLarge`] if no protobuf
    /// implementation would read the result.
    pub fn encode(&self) -> Result<Encoded<'_>> {
        Ok(Encoded { model: self, splice: self.to_splice()? })
    }

    /// What the message has become, in terms of [`Model::bytes`].
    fn to_splice(&self) -> Result<Splice> {
        let changed_collections = match self.enclosing {
            Enclosing::Nothing | Enclosing::NewSavedModel(..) => Vec::new(),
            _ => self.collections.changed()?,
        };
        let is_new = matches!(self.enclosing, Enclosing::NewSavedModel(..));
        let splice = if !is_new && !self.graph.has_changes() && changed_collections.is_empty() {
            let mut unchanged = Splice::default();
            unchanged.source(0..self.bytes.len());
            unchanged
        } else {
            match &self.enclosing {
                Enclosing::Nothing => self.graph.to_splice(),
                Enclosing::NewSavedModel(before, behind) => {
                    saved_model::enclose(before.clone(), self.graph.to_splice(), behind.clone())
                }
                Enclosing::MetaGraph(meta) => meta.to_splice(&self.graph, &changed_collections),
                Enclosing::SavedModel(entry, meta) => {
                    entry.to_splice(&self.bytes, meta.to_splice(&self.graph, &changed_collections))
                }
            }
        };
        if splice.len() > MAX_OUTPUT_BYTES {
            let what = format!("the rewritten file would have {} bytes, and protobuf ends at 2 GiB - 1", splice.len());
            return Err(Error::new(ErrorKind::TooLarge, what)
                .hint("keep large weights in a checkpoint instead of in the graph"));
        }
        Ok(splice)
    }
}

/// A model's message as it is now, ready to be written.
#[derive(Debug)]
pub struct Encoded<'m> {
    model: &'m Model,
    splice: Splice,
}

impl Encoded<'_> {
    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        self.model
    }

    /// How many bytes the message has in its binary form.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.splice.len()
    }

    /// Whether the message has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.splice.is_empty()
    }

    /// Writes the message.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if `out` fails; [`ErrorKind::Malformed`] for a message that has no text form.
    pub fn write(&self, encoding: Encoding, out: &mut impl Sink) -> Result<()> {
        let Model { graph, bytes, file, kind, .. } = self.model;
        let input = SpliceInput { bytes, file: file.as_deref() };
        match encoding {
            Encoding::Binary => self.splice.write_to(out, &input, graph).map_err(write_failed),
            Encoding::Text => {
                let mut binary = Vec::new();
                self.splice.write_to(&mut binary, &input, graph).map_err(write_failed)?;
                text::print(&binary, *kind, out).map_err(|error| match error {
                    text::TextError::Io(error) => write_failed(error),
                    other => Error::new(ErrorKind::Malformed, format!("cannot be written as text: {other}"))
                        .hint("write it in binary: choose another ending than .pbtxt or --output-format binary"),
                })
            }
        }
    }
}

fn write_failed(error: std::io::Error) -> Error {
    let hint = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => "free some space; nothing was replaced",
        _ => "nothing was replaced; check the disk",
    };
    Error::io("cannot write the output", error).hint(hint)
}

fn parse_text(bytes: &[u8], kind: MessageKind) -> Result<Bytes> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Error::new(ErrorKind::Malformed, format!("text that is not UTF-8 at byte {}", error.valid_up_to()))
            .hint("a binary file is read as one without --input-format")
    })?;
    let binary = text::parse(text, kind).map_err(|error| {
        Error::new(ErrorKind::Malformed, format!("not a valid {} in text form: {error}", kind.name()))
            .hint("check the file at that place, or export it again")
    })?;
    Ok(binary.into())
}
