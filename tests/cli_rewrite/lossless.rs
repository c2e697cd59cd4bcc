//! Nothing is lost: what no pass changed is there byte for byte, unknown fields at every level included.

use std::collections::BTreeMap;

use tfquant::internals::{Fields, last_varint, put_bytes, put_uint};

use crate::Folder;
use crate::models::{graph_def, graph_of, meta_graph, saved_model};

const UNKNOWN: u32 = 12_345;

/// The bodies of the length-delimited fields of that number.
fn messages(message: &[u8], number: u32) -> Vec<&[u8]> {
    let fields = Fields::new(message).map(Result::unwrap).filter(|field| field.is_message(number));
    fields.map(|field| &message[field.value()]).collect()
}

/// The nodes of a GraphDef by name, encoded.
fn nodes(graph: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    messages(graph, 1).into_iter().map(|node| (messages(node, 1)[0].to_vec(), node.to_vec())).collect()
}

/// All fields of a message but those of that number.
fn without(message: &[u8], number: u32) -> Vec<u8> {
    let fields = Fields::new(message).map(Result::unwrap).filter(|field| field.number != number);
    fields.flat_map(|field| &message[field.span()]).copied().collect()
}

/// The message with every field of that number given an unknown field, and one of its own.
fn marked(message: &[u8], number: u32, mark: &dyn Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    for field in Fields::new(message).map(Result::unwrap) {
        if field.is_message(number) {
            put_bytes(&mut out, number, &mark(&message[field.value()]));
        } else {
            out.extend_from_slice(&message[field.span()]);
        }
    }
    put_uint(&mut out, UNKNOWN, 7);
    out
}

fn with_mark(message: &[u8]) -> Vec<u8> {
    let mut out = message.to_vec();
    put_uint(&mut out, UNKNOWN, 7);
    out
}

/// A SavedModel in which every message has an unknown field: SavedModel, MetaGraphDef, CollectionDef, GraphDef,
/// NodeDef, AttrValue.
fn marked_saved_model() -> Vec<u8> {
    let node = |node: &[u8]| marked(node, 5, &|entry| marked(entry, 2, &with_mark));
    let graph = |graph: &[u8]| marked(graph, 1, &node);
    let collection = |entry: &[u8]| marked(entry, 2, &with_mark);
    let meta = meta_graph("conv_relu");
    let saved = saved_model(&[(&["serve"], &meta), (&["other"], &meta)]);
    marked(&saved, 2, &|meta| without(&marked(&marked(meta, 2, &graph), 4, &collection), 0))
}

#[test]
fn unknown_fields_and_untouched_bytes_survive_at_every_level() {
    let folder = Folder::new();
    let before = marked_saved_model();
    folder.write("in.pb", &before);
    folder.rewrite(&["in.pb", "-o", "out.pb", "--quant-delay", "10"]);
    let after = folder.read("out.pb");

    assert_eq!(without(&after, 2), without(&before, 2), "the SavedModel around the graphs");
    let (metas_before, metas_after) = (messages(&before, 2), messages(&after, 2));
    assert_eq!(metas_after[1], metas_before[1], "the graph that was not chosen");
    let (before, after) = (metas_before[0], metas_after[0]);
    let around = |meta: &[u8]| without(&without(meta, 2), 4);
    assert_eq!(around(after), around(before), "the MetaGraphDef around graph and collections");
    assert_eq!(last_varint(after, UNKNOWN), Some(7));

    let collections = |meta| -> BTreeMap<Vec<u8>, Vec<u8>> {
        messages(meta, 4).into_iter().map(|entry| (messages(entry, 1)[0].to_vec(), entry.to_vec())).collect()
    };
    let (collections_before, collections_after) = (collections(before), collections(after));
    for (key, entry) in &collections_before {
        let kept = &collections_after[key];
        if matches!(&key[..], b"variables" | b"model_variables" | b"cond_context" | b"moving_average_variables") {
            assert_eq!(last_varint(messages(kept, 2)[0], UNKNOWN), Some(7), "a collection that grew");
        } else {
            assert_eq!(kept, entry, "a collection that nothing entered");
        }
    }
    assert_eq!(collections_before.keys().filter(|key| collections_after.contains_key(*key)).count(), 4);

    let (graph_before, graph_after) = (messages(before, 2)[0], messages(after, 2)[0]);
    assert_eq!(without(graph_after, 1), without(graph_before, 1), "the GraphDef around the nodes");
    let (nodes_before, nodes_after) = (nodes(graph_before), nodes(graph_after));
    let mut changed = Vec::new();
    for (name, node) in &nodes_before {
        let kept = &nodes_after[name];
        if kept != node {
            changed.push(String::from_utf8(name.clone()).unwrap());
            assert_eq!(without(kept, 3), without(node, 3), "of a rewired node only the inputs change");
        }
    }
    assert_eq!(changed, ["control_dependency", "test/Conv2D", "update_barrier"]);
    let in_order = |graph: &[u8]| -> Vec<Vec<u8>> {
        messages(graph, 1).into_iter().map(|node| messages(node, 1)[0].to_vec()).collect()
    };
    assert_eq!(in_order(graph_after)[..nodes_before.len()], in_order(graph_before), "new nodes come last");
}

#[test]
fn a_rewrite_that_changes_nothing_gives_the_same_bytes() {
    let mut graph = graph_of(&[("x", "Placeholder", &[]), ("y", "Relu", &["x:0", "^x"])]);
    put_uint(&mut graph, UNKNOWN, 7);
    // Not as a serializer would write it: the same field twice, lengths in more bytes than needed.
    graph.extend_from_slice(&[0x22, 0x82, 0x00, 0x08, 0x18, 0x22, 0x02, 0x08, 0x19]);
    let mut meta = Vec::new();
    put_uint(&mut meta, UNKNOWN, 7);
    put_bytes(&mut meta, 2, &graph);
    put_bytes(&mut meta, 4, &[]);
    let folder = Folder::new();
    for (name, bytes) in [("graph", graph.clone()), ("meta", meta.clone()), ("saved", saved_model(&[(&[], &meta)]))] {
        folder.write(name, &bytes);
        folder.rewrite(&[name, "-o", "out"]);
        assert_eq!(folder.read("out"), bytes, "{name}");
    }
}

#[test]
fn functions_are_carried_along_and_counted() {
    let folder = Folder::new();
    let before = meta_graph("function_library");
    folder.write("in.meta", &before);
    folder.rewrite(&["in.meta", "-o", "out.meta", "--report", "r.json"]);
    let report: serde_json::Value = serde_json::from_slice(&folder.read("r.json")).unwrap();
    assert!(report["input"]["functions"].as_u64() > Some(0));
    let library = |meta: &[u8]| messages(&graph_def(meta), 2).concat();
    assert_eq!(library(&folder.read("out.meta")), library(&before));
}
