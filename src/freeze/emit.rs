//! Writes the list of nodes as a graph: a GraphDef without the contents of large tensors, which stay in their files.

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};

use super::constant::FEW_BYTES;
use super::flat::{Attributes, CONTROL, Flat, FlatNode, Ref};
use super::library::{self, Library};
use crate::container::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::attr::{Attrs, map_entry};
use crate::graph::{Graph, NodeId, read};
use crate::source::Part;
use crate::wire::{self, Fields, put_bytes};

/// Field numbers of GraphDef and NodeDef.
mod field {
    pub(super) const NODE: u32 = 1;
    pub(super) const LIBRARY: u32 = 2;
    pub(super) const VERSIONS: u32 = 4;
    pub(super) const LIBRARY_FUNCTION: u32 = 1;
    pub(super) const NAME: u32 = 1;
    pub(super) const OP: u32 = 2;
    pub(super) const INPUT: u32 = 3;
    pub(super) const DEVICE: u32 = 4;
    pub(super) const ATTR: u32 = 5;
}

/// Protobuf ends there.
const MAX_BYTES: u64 = i32::MAX as u64;

/// The graph that was frozen, and which functions it still needs.
pub(super) struct Emitted {
    pub graph: Graph,
    /// What the graph was parsed from.
    pub bytes: Bytes,
    pub functions: Vec<String>,
}

/// Writes these nodes, in this order; `contents` are those of constants made of variables.
///
/// # Errors
/// [`ErrorKind::TooLarge`] if no protobuf implementation would read the result.
pub(super) fn emit(
    flat: &Flat<'_>,
    order: &[u32],
    mut contents: HashMap<u32, Vec<Part>>,
    model: &Model,
    library: &Library<'_>,
) -> Result<Emitted> {
    let names: HashSet<&str> = order.iter().map(|&node| flat.nodes[node as usize].name.as_str()).collect();
    let mut encoded = Vec::new();
    for &id in order {
        let node = &flat.nodes[id as usize];
        if let Some(def) = verbatim(node, &names) {
            put_bytes(&mut encoded, field::NODE, def);
            continue;
        }
        let (body, part) = body(flat, node, &names, model);
        if let Some(part) = part {
            contents.insert(id, vec![part]);
        }
        put_bytes(&mut encoded, field::NODE, &body);
        check_size(encoded.len() as u64)?;
    }
    let functions = needed_functions(flat, order, library);
    if !functions.is_empty() {
        let mut kept = Vec::new();
        for &place in &functions {
            put_bytes(&mut kept, field::LIBRARY_FUNCTION, library.functions[place].def);
        }
        put_bytes(&mut encoded, field::LIBRARY, &kept);
    }
    if let Some(versions) = model.graph.versions() {
        put_bytes(&mut encoded, field::VERSIONS, versions);
    }
    let elsewhere: u64 = contents.values().flatten().map(|part| part.bytes.len() as u64 + 32).sum();
    check_size(encoded.len() as u64 + elsewhere)?;
    let bytes = Bytes::from(encoded);
    let mut graph = read::parse(bytes.clone())?;
    for (place, id) in order.iter().enumerate() {
        if let Some(parts) = contents.remove(id) {
            graph.set_contents(NodeId(u32::try_from(place).unwrap_or(u32::MAX)), parts);
        }
    }
    let functions = functions.into_iter().map(|place| library.functions[place].name.to_owned()).collect();
    Ok(Emitted { graph, bytes, functions })
}

/// Refuses a graph of more bytes than protobuf takes.
pub(super) fn check_size(bytes: u64) -> Result<()> {
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::TooLarge,
        format!("the frozen graph would have {bytes} bytes, and protobuf ends at 2 GiB - 1"),
    )
    .hint("freeze a part of the model (--outputs), or keep its variables in the checkpoint"))
}

/// The NodeDef of the file, if the node can stay as it came.
fn verbatim<'a>(node: &FlatNode<'a>, names: &HashSet<&str>) -> Option<&'a [u8]> {
    let Attributes::File(def) = node.attributes else { return None };
    let stays = !node.changed && !has_large_value(node, def) && groups_are_there(def, names);
    stays.then_some(def)
}

fn has_large_value(node: &FlatNode<'_>, def: &[u8]) -> bool {
    node.op == "Const" && library::attr(def, "value").is_some_and(|value| value.len() >= FEW_BYTES)
}

/// Whether all nodes that this one asks to be placed with are still there.
fn groups_are_there(def: &[u8], names: &HashSet<&str>) -> bool {
    library::attr(def, "_class").is_none_or(|groups| groups_of(groups).all(|name| names.contains(name)))
}

fn groups_of(value: &[u8]) -> impl Iterator<Item = &str> {
    let list = wire::last_bytes(value, 1).map_or(&[][..], |list| &value[list]);
    let texts = wire::messages(list, 2).filter_map(|text| str::from_utf8(text).ok());
    texts.filter_map(|text| text.strip_prefix("loc:@"))
}

/// A node as a NodeDef without the contents of a large constant, and those.
fn body(flat: &Flat<'_>, node: &FlatNode<'_>, names: &HashSet<&str>, model: &Model) -> (Vec<u8>, Option<Part>) {
    let mut body = Vec::new();
    put_bytes(&mut body, field::NAME, node.name.as_bytes());
    put_bytes(&mut body, field::OP, node.op.as_bytes());
    for &input in &node.inputs {
        put_bytes(&mut body, field::INPUT, spelled(flat, input).as_bytes());
    }
    if !node.device.is_empty() {
        put_bytes(&mut body, field::DEVICE, node.device.as_bytes());
    }
    let (fields, from_file) = match &node.attributes {
        Attributes::File(def) => (*def, true),
        Attributes::Made(fields) => (&fields[..], false),
    };
    let mut contents = None;
    for part in Fields::new(fields).map_while(Result::ok).filter(|part| part.number >= field::ATTR) {
        let entry = &fields[part.value()];
        let attr = part.is_message(field::ATTR).then(|| map_entry(entry)).flatten();
        let may_be_large = from_file && node.op == "Const";
        match attr {
            // What is no attribute says where a node came from, which holds for it in its own place alone.
            None if node.inlined => continue,
            Some(("_class", _)) if node.inlined || !groups_are_there(fields, names) => continue,
            Some(("value", value)) if may_be_large => {
                if let Some((hollow, content)) = hollow(value) {
                    body.extend_from_slice(Attrs::default().raw("value", &hollow).as_bytes());
                    contents = Some(model.part(content));
                    continue;
                }
            }
            _ => {}
        }
        body.extend_from_slice(&fields[part.span()]);
    }
    (body, contents)
}

/// An AttrValue without the contents of its tensor, and those.
fn hollow(value: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    const TENSOR: u32 = 8;
    const TENSOR_CONTENT: u32 = 4;
    let tensor = &value[wire::last_bytes(value, TENSOR)?];
    let content = &tensor[wire::last_bytes(tensor, TENSOR_CONTENT)?];
    let rest = Fields::new(tensor).map_while(Result::ok).filter(|part| !part.is_message(TENSOR_CONTENT));
    let rest: Vec<u8> = rest.flat_map(|part| &tensor[part.span()]).copied().collect();
    let mut hollow = Vec::new();
    put_bytes(&mut hollow, TENSOR, &rest);
    (content.len() >= FEW_BYTES).then_some((hollow, content))
}

/// An input as a NodeDef spells it.
pub(super) fn spelled(flat: &Flat<'_>, input: Ref) -> String {
    let name = &flat.nodes[input.index()].name;
    match input.port {
        0 => name.clone(),
        CONTROL => format!("^{name}"),
        port => format!("{name}:{port}"),
    }
}

/// The functions that these nodes name, and those that they name, in the library's order.
fn needed_functions(flat: &Flat<'_>, order: &[u32], library: &Library<'_>) -> Vec<usize> {
    if library.functions.is_empty() {
        return Vec::new();
    }
    let mut needed = vec![false; library.functions.len()];
    let mut open = Vec::new();
    let mut see = |fields: &[u8], op: &str, open: &mut Vec<usize>| {
        let attrs = library::attrs(fields).flat_map(|(_, value)| library::functions_in(value));
        for place in attrs.chain([op]).filter_map(|name| library.find(name)) {
            if !std::mem::replace(&mut needed[place], true) {
                open.push(place);
            }
        }
    };
    for &node in order {
        let node = &flat.nodes[node as usize];
        match &node.attributes {
            Attributes::File(def) => see(def, &node.op, &mut open),
            Attributes::Made(fields) => see(fields, &node.op, &mut open),
        }
    }
    while let Some(place) = open.pop() {
        for node in &library.functions[place].nodes {
            see(node.def, node.op, &mut open);
        }
    }
    (0..needed.len()).filter(|&place| needed[place]).collect()
}
