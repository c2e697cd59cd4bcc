//! How two functions of one name differ: as messages, whichever way their bytes are put.

use std::collections::BTreeMap;

use prost::Message;

use super::attr_text::same_attr;
use super::change::Change;
use crate::proto::tensorflow::{FunctionDef, NodeDef};

/// The differences of two encoded FunctionDefs: nodes by name, then what they share; none where they mean the same.
pub(super) fn function_changes(old: &[u8], new: &[u8]) -> Vec<Change> {
    let decoded = FunctionDef::decode(old).ok().zip(FunctionDef::decode(new).ok());
    let Some((mut old, mut new)) = decoded else {
        return vec![Change::new("encoding", None, None)];
    };
    let (old_nodes, new_nodes) =
        (by_name(std::mem::take(&mut old.node_def)), by_name(std::mem::take(&mut new.node_def)));
    let mut changes = Vec::new();
    for (name, node) in &old_nodes {
        match new_nodes.get(name) {
            None => changes.push(Change::new(&format!("node {name}"), Some(node.op.clone()), None)),
            Some(other) if !same_node(node, other) => {
                changes.push(Change::new(&format!("node {name}"), Some(text(node)), Some(text(other))));
            }
            Some(_) => {}
        }
    }
    let added = new_nodes.iter().filter(|(name, _)| !old_nodes.contains_key(*name));
    changes.extend(added.map(|(name, node)| Change::new(&format!("node {name}"), None, Some(node.op.clone()))));
    if old != new {
        changes.push(Change::new("signature, attributes or results", None, None));
    }
    changes
}

fn by_name(nodes: Vec<NodeDef>) -> BTreeMap<String, NodeDef> {
    nodes.into_iter().map(|node| (node.name.clone(), node)).collect()
}

fn same_node(a: &NodeDef, b: &NodeDef) -> bool {
    let same_attrs = a.attr.len() == b.attr.len()
        && a.attr.iter().all(|(key, value)| {
            let other = b.attr.get(key);
            other.is_some_and(|other| same_attr(&value.encode_to_vec(), &other.encode_to_vec()))
        });
    (&a.op, &a.input, &a.device) == (&b.op, &b.input, &b.device) && same_attrs
}

fn text(node: &NodeDef) -> String {
    format!("{}({}), {} attributes", node.op, node.input.join(", "), node.attr.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tensorflow::{AttrValue, OpDef, attr_value::Value};

    fn function(value: f32) -> FunctionDef {
        let attr = |value| AttrValue { value: Some(value) };
        let node = NodeDef {
            name: "n".to_owned(),
            op: "Op".to_owned(),
            attr: [("a".to_owned(), attr(Value::F(value))), ("b".to_owned(), attr(Value::I(1)))].into(),
            ..NodeDef::default()
        };
        let signature = Some(OpDef { name: "f".to_owned(), ..OpDef::default() });
        FunctionDef { signature, node_def: vec![node], ..FunctionDef::default() }
    }

    #[test]
    fn the_order_of_fields_is_no_difference() {
        let function_bytes = function(1.0).encode_to_vec();
        let fields: Vec<Vec<u8>> = crate::wire::Fields::new(&function_bytes)
            .map(|field| function_bytes[field.unwrap().span()].to_vec())
            .collect();
        let turned = fields.iter().rev().flatten().copied().collect::<Vec<u8>>();
        assert_ne!(turned, function_bytes);
        assert_eq!(function_changes(&function_bytes, &turned), []);
    }

    #[test]
    fn a_changed_node_is_named() {
        let changes = function_changes(&function(1.0).encode_to_vec(), &function(2.0).encode_to_vec());
        assert_eq!(changes.iter().map(|change| change.what.as_str()).collect::<Vec<_>>(), ["node n"]);
        let mut more = function(1.0);
        more.control_ret.insert("x".to_owned(), "n".to_owned());
        assert_eq!(function_changes(&function(1.0).encode_to_vec(), &more.encode_to_vec()).len(), 1);
    }
}
