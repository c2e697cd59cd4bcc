//! Small inputs of every kind, made of a graph that TF-Slim exported.

#![allow(dead_code)] // every test uses its part

use std::path::Path;

use bytes::Bytes;
use prost::Message;
use tfquant::MessageKind;
use tfquant::internals::tensorflow::{GraphDef, MetaGraphDef, SavedModel};
use tfquant::internals::text;
use tfquant::internals::{Fields, put_bytes, put_uint};

use crate::cases;

/// The graph of a case in `testdata/names`, as the MetaGraphDef that TensorFlow exported.
pub fn meta_graph(case: &str) -> Bytes {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/names/{case}.tar.zst"));
    cases::read(&archive).before
}

/// The GraphDef inside a MetaGraphDef.
pub fn graph_def(meta_graph: &[u8]) -> Vec<u8> {
    let graph = Fields::new(meta_graph).map(Result::unwrap).find(|field| field.is_message(2)).unwrap();
    meta_graph[graph.value()].to_vec()
}

/// A SavedModel of MetaGraphDefs and their tags.
pub fn saved_model(meta_graphs: &[(&[&str], &[u8])]) -> Vec<u8> {
    let mut saved = Vec::new();
    put_uint(&mut saved, 1, 1);
    for (tags, meta_graph) in meta_graphs {
        let mut info = Vec::new();
        for tag in *tags {
            put_bytes(&mut info, 4, tag.as_bytes());
        }
        let mut tagged = Vec::new();
        put_bytes(&mut tagged, 1, &info);
        let fields = Fields::new(meta_graph).map(Result::unwrap).filter(|field| !field.is_message(1));
        fields.for_each(|field| tagged.extend_from_slice(&meta_graph[field.span()]));
        put_bytes(&mut saved, 2, &tagged);
    }
    saved
}

/// The message in text form.
pub fn to_text(kind: MessageKind, binary: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    text::print(binary, kind, &mut out).unwrap();
    out
}

/// A GraphDef of nodes, each a name, an op and inputs.
pub fn graph_of(nodes: &[(&str, &str, &[&str])]) -> Vec<u8> {
    let mut graph = Vec::new();
    for (name, op, inputs) in nodes {
        let mut node = Vec::new();
        put_bytes(&mut node, 1, name.as_bytes());
        put_bytes(&mut node, 2, op.as_bytes());
        for input in *inputs {
            put_bytes(&mut node, 3, input.as_bytes());
        }
        put_bytes(&mut graph, 1, &node);
    }
    graph
}

/// The graph inside a message of that kind; of a SavedModel, the one at `index`.
pub fn decode_graph(kind: MessageKind, binary: &[u8], index: usize) -> GraphDef {
    let meta_graph = match kind {
        MessageKind::GraphDef => return GraphDef::decode(binary).unwrap(),
        MessageKind::MetaGraphDef => MetaGraphDef::decode(binary).unwrap(),
        MessageKind::SavedModel => SavedModel::decode(binary).unwrap().meta_graphs.swap_remove(index),
    };
    meta_graph.graph_def.unwrap()
}
