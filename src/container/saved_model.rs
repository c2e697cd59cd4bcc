//! A SavedModel: one MetaGraphDef of several, chosen by its tags; the others are carried along.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::write::Splice;
use crate::wire::{self, Fields, put_uint};

/// Field numbers of SavedModel, MetaGraphDef and MetaInfoDef.
mod field {
    pub(super) const META_GRAPHS: u32 = 2;
    pub(super) const META_INFO_DEF: u32 = 1;
    pub(super) const TAGS: u32 = 4;
}

/// Where the chosen MetaGraphDef lies in the file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The message.
    pub meta_graph: Range<usize>,
    /// The field that holds it: tag, length, message.
    field: Range<usize>,
}

/// Chooses the MetaGraphDef with exactly these tags, or the first one if there are none; says which others there are.
///
/// # Errors
/// [`ErrorKind::Malformed`] if the bytes are no SavedModel, [`ErrorKind::Container`] if no MetaGraphDef has the tags.
pub(super) fn choose(bytes: &[u8], tag_set: &[String]) -> Result<(Entry, Vec<String>)> {
    let mut wanted: Vec<&str> = tag_set.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    let mut chosen = None;
    let mut others = Vec::new();
    for part in Fields::new(bytes) {
        let part = part?;
        if !part.is_message(field::META_GRAPHS) {
            continue;
        }
        let mut tags = tags(&bytes[part.value()]);
        tags.sort_unstable();
        if chosen.is_none() && (wanted.is_empty() || tags == wanted) {
            chosen = Some(Entry { meta_graph: part.value(), field: part.span() });
        } else {
            others.push(tags.join(","));
        }
    }
    match chosen {
        Some(entry) => Ok((entry, others)),
        None if others.is_empty() => Err(Error::new(ErrorKind::Container, "the SavedModel holds no graph")
            .hint("export it again; a SavedModel has at least one MetaGraphDef")),
        None => Err(Error::new(
            ErrorKind::Container,
            format!("no graph of the SavedModel is tagged '{}'", tag_set.join(",")),
        )
        .hint(format!("choose with --tag-set: {}", others.join(" | ")))),
    }
}

fn tags(meta_graph: &[u8]) -> Vec<&str> {
    let Some(info) = wire::last_bytes(meta_graph, field::META_INFO_DEF) else { return Vec::new() };
    let info = &meta_graph[info];
    let tags = Fields::new(info).map_while(Result::ok).filter(|part| part.is_message(field::TAGS));
    tags.filter_map(|part| std::str::from_utf8(&info[part.value()]).ok()).collect()
}

/// A SavedModel with one MetaGraphDef: encoded fields before its graph, the graph, and fields behind it.
pub(super) fn enclose(before: Vec<u8>, graph: Splice, behind: Vec<u8>) -> Splice {
    const SCHEMA_VERSION: u32 = 1;
    const GRAPH_DEF: u32 = 2;
    let mut meta_graph = Splice::from(before);
    meta_graph.message(GRAPH_DEF, graph);
    meta_graph.bytes(behind);
    let mut version = Vec::new();
    put_uint(&mut version, SCHEMA_VERSION, 1);
    let mut splice = Splice::from(version);
    splice.message(field::META_GRAPHS, meta_graph);
    splice
}

impl Entry {
    /// The same MetaGraphDef in other bytes, which hold as many before it.
    pub(super) fn again(&self, before: &[u8], bytes: &[u8]) -> Option<Self> {
        let entries =
            |bytes| Fields::new(bytes).map_while(Result::ok).filter(|part| part.is_message(field::META_GRAPHS));
        let index = entries(before).position(|part| part.span() == self.field)?;
        entries(bytes).nth(index).map(|part| Self { meta_graph: part.value(), field: part.span() })
    }

    /// The SavedModel around the MetaGraphDef as it is now.
    pub(super) fn to_splice(&self, bytes: &[u8], meta_graph: Splice) -> Splice {
        let mut splice = Splice::default();
        splice.source(0..self.field.start);
        splice.message(field::META_GRAPHS, meta_graph);
        splice.source(self.field.end..bytes.len());
        splice
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_bytes;

    fn saved_model(tag_sets: &[&[&str]]) -> Vec<u8> {
        let mut saved = Vec::new();
        for tags in tag_sets {
            let mut info = Vec::new();
            tags.iter().for_each(|tag| put_bytes(&mut info, 4, tag.as_bytes()));
            let mut meta = Vec::new();
            put_bytes(&mut meta, 1, &info);
            put_bytes(&mut saved, 2, &meta);
        }
        saved
    }

    #[test]
    fn the_tags_choose_the_graph() {
        let bytes = saved_model(&[&["train"], &["serve", "gpu"]]);
        let owned = |tags: &[&str]| tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>();
        assert_eq!(choose(&bytes, &[]).unwrap().1, ["gpu,serve"]);
        assert_eq!(choose(&bytes, &owned(&["gpu", "serve"])).unwrap().1, ["train"]);
        let error = choose(&bytes, &owned(&["serve"])).unwrap_err();
        assert_eq!(error.hint_text(), Some("choose with --tag-set: train | gpu,serve"));
        assert!(choose(&[], &[]).is_err());
    }
}
