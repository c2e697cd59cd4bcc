//! A MetaGraphDef: the graph, its collections, and everything else, which is carried along.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::collections::{Collections, map_entry};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::graph::write::Splice;
use crate::wire::{Fields, put_bytes};

/// Field numbers of MetaGraphDef.
mod field {
    pub(super) const GRAPH_DEF: u32 = 2;
    pub(super) const COLLECTION_DEF: u32 = 4;
}

/// Where the parts of a MetaGraphDef lie in the file.
#[derive(Debug, Clone)]
pub(super) struct MetaGraph {
    /// The message.
    span: Range<usize>,
    /// The GraphDef inside it.
    pub graph: Range<usize>,
    /// The field that holds the GraphDef: tag, length, message.
    graph_entry: Range<usize>,
    /// The collections: key, the field that holds the map entry, the encoded CollectionDef.
    collection_entries: Vec<(String, Range<usize>, Range<usize>)>,
}

impl MetaGraph {
    /// Finds the parts of the MetaGraphDef at `span`.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if it is none; [`ErrorKind::Container`] if it holds no graph, or two.
    pub(super) fn find(bytes: &[u8], span: Range<usize>) -> Result<Self> {
        let base = span.start;
        let at = |range: Range<usize>| base + range.start..base + range.end;
        let mut graphs = Vec::new();
        let mut collection_entries = Vec::new();
        for part in Fields::new(&bytes[span.clone()]) {
            let part = part.map_err(|error| error.shifted(base))?;
            if part.is_message(field::GRAPH_DEF) {
                graphs.push((at(part.value()), at(part.span())));
            } else if part.is_message(field::COLLECTION_DEF) {
                let value = at(part.value());
                if let Some((key, definition)) = map_entry(&bytes[value.clone()]) {
                    let definition = value.start + definition.start..value.start + definition.end;
                    collection_entries.push((key.to_owned(), at(part.span()), definition));
                }
            }
        }
        let count = graphs.len();
        match <[_; 1]>::try_from(graphs) {
            Ok([(graph, graph_entry)]) => Ok(Self { span, graph, graph_entry, collection_entries }),
            Err(_) => {
                Err(Error::new(ErrorKind::Container, format!("the MetaGraphDef holds {count} graphs instead of one"))
                    .hint("export the meta graph again, with its graph"))
            }
        }
    }

    /// The whole message.
    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The collections, by key; of a key that comes twice, the last.
    pub(super) fn collections(&self, bytes: &Bytes) -> Collections {
        let entries = self.collection_entries.iter();
        let definitions: BTreeMap<String, Bytes> =
            entries.map(|(key, _, definition)| (key.clone(), bytes.slice(definition.clone()))).collect();
        Collections::new(definitions)
    }

    /// The message with the graph as it is now and the changed collections.
    pub(super) fn to_splice(&self, graph: &Graph, collections: &[(&str, Splice)]) -> Splice {
        let mut graph_field = Splice::default();
        if graph.has_changes() {
            graph_field.message(field::GRAPH_DEF, graph.to_splice().shifted(self.graph.start));
        } else {
            graph_field.source(self.graph_entry.clone());
        }
        self.edited(graph_field, collections, Vec::new())
    }

    /// The message with another graph, other collections, and without some fields.
    pub(super) fn with(
        &self,
        bytes: &[u8],
        graph: Splice,
        collections: &[(&str, Splice)],
        without: Option<u32>,
    ) -> Splice {
        let mut graph_field = Splice::default();
        graph_field.message(field::GRAPH_DEF, graph.shifted(self.graph.start));
        let base = self.span.start;
        let fields = Fields::new(&bytes[self.span.clone()]).map_while(Result::ok);
        let gone = fields.filter(|part| Some(part.number) == without);
        let gone = gone.map(|part| (base + part.start..base + part.end, Splice::default()));
        self.edited(graph_field, collections, gone.collect())
    }

    /// The message with these edits, a graph's field and changed collections.
    fn edited(
        &self,
        graph_field: Splice,
        collections: &[(&str, Splice)],
        mut edits: Vec<(Range<usize>, Splice)>,
    ) -> Splice {
        edits.push((self.graph_entry.clone(), graph_field));
        let mut new_collections = Splice::default();
        for (key, definition) in collections {
            let field = collection_entry(key, definition);
            match self.collection_entries.iter().rev().find(|(known, ..)| known == key) {
                Some((_, entry, _)) => edits.push((entry.clone(), field)),
                None => new_collections.splice(field),
            }
        }
        edits.sort_by_key(|(range, _)| range.start);
        let mut splice = Splice::default();
        let mut copied = self.span.start;
        for (range, replacement) in edits {
            splice.source(copied..range.start);
            splice.splice(replacement);
            copied = range.end;
        }
        splice.source(copied..self.span.end);
        splice.splice(new_collections);
        splice
    }
}

fn collection_entry(key: &str, definition: &Splice) -> Splice {
    let mut spelled = Vec::new();
    put_bytes(&mut spelled, 1, key.as_bytes());
    let mut entry = Splice::from(spelled);
    entry.message(2, definition.clone());
    let mut field = Splice::default();
    field.message(field::COLLECTION_DEF, entry);
    field
}
