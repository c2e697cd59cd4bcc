//! Variables become constants, and what read them reads those: the nodes that `convert_variables_to_constants` makes.
//!
//! A variable is known by its handle (VarHandleOp) or is its own value (VariableV2). What passes a handle on, such as
//! Switch or Enter, passes on the value; what reads through it, such as ReadVariableOp, becomes the op that reads a value.

use std::borrow::Cow;

use super::flat::{Attributes, Flat, FlatNode, Ref, is_resource};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::attr::{Attrs, Tensor};
use crate::proto::tensorflow::DataType;

/// A variable that the frozen graph needs: its node, and the type and name of its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub node: u32,
    pub data_type: i32,
}

/// Whether the op is a variable.
pub(super) fn is_variable(op: &str) -> bool {
    matches!(op, "VarHandleOp" | "VariableV2" | "Variable")
}

/// Turns readers of variables into readers of values; returns the variables, whose nodes are left as they are.
///
/// # Errors
/// [`ErrorKind::Refused`] for a node that writes a variable, or does with its handle what no constant allows, and for
/// another resource, such as a hash table.
pub(super) fn convert(flat: &mut Flat<'_>, needed: &[u32]) -> Result<Vec<Variable>> {
    let mut readers: Vec<Vec<u32>> = vec![Vec::new(); flat.nodes.len()];
    for &node in needed {
        for input in flat.nodes[node as usize].data_inputs() {
            readers[input.index()].push(node);
        }
    }
    let mut variables = Vec::new();
    for &node in needed {
        let flat_node = &flat.nodes[node as usize];
        check_no_other_resource(flat_node)?;
        if is_variable(&flat_node.op) {
            let data_type = flat_node.attr_type("dtype").unwrap_or(0);
            variables.push(Variable { node, data_type });
        }
    }
    let mut done = vec![false; flat.nodes.len()];
    for variable in &variables {
        let name = flat.nodes[variable.node as usize].name.clone();
        let is_handle = flat.nodes[variable.node as usize].op == "VarHandleOp";
        let mut carriers = vec![variable.node];
        while let Some(carrier) = carriers.pop() {
            for reader in std::mem::take(&mut readers[carrier as usize]) {
                if std::mem::replace(&mut done[reader as usize], true) {
                    continue;
                }
                if read(flat, reader, carrier, variable.data_type, &name, is_handle)? {
                    carriers.push(reader);
                }
            }
        }
    }
    Ok(variables)
}

/// Converts one node that reads a handle or a variable; says whether it passes it on.
fn read(
    flat: &mut Flat<'_>,
    reader: u32,
    carrier: u32,
    data_type: i32,
    variable: &str,
    is_handle: bool,
) -> Result<bool> {
    let op = flat.nodes[reader as usize].op.clone();
    if let Some(plain) = op.strip_prefix("Ref").and_then(passes_on) {
        let attrs = flat.nodes[reader as usize].attrs_with(&[]);
        flat.nodes[reader as usize].become_op(plain, attrs);
        return Ok(true);
    }
    if writes(&op) {
        let what = format!("the variable '{variable}' is written while the network runs,");
        return Err(flat.nodes[reader as usize]
            .error(ErrorKind::Refused, what)
            .hint("export the graph for inference, or name outputs before that node with --outputs"));
    }
    let node = &mut flat.nodes[reader as usize];
    if op == "IsVariableInitialized" || op == "VarIsInitializedOp" {
        let mut attrs = Attrs::default();
        attrs.data_type("dtype", DataType::DtBool).tensor("value", &Tensor::Bool(true));
        node.become_op("Const", attrs.as_bytes().to_vec());
        node.inputs.retain(|input| input.is_control());
        return Ok(false);
    }
    if passes_on(&op).is_some() {
        let is_passed_on = node.inputs.iter().position(|input| input.node == carrier) == Some(0) || op == "Merge";
        if !is_passed_on {
            return if is_handle { Err(takes_handle(node, variable)) } else { Ok(false) };
        }
        let attrs = node.attrs_with(&[("T", Some(data_type)), ("_output_shapes", None)]);
        node.attributes = Attributes::Made(attrs);
        node.changed = true;
        return Ok(true);
    }
    if !is_handle {
        // What reads a variable's value reads that of a constant as well.
        return Ok(false);
    }
    let index_type = node.attr_type("Tindices").unwrap_or(DataType::DtInt32 as i32);
    // As in TensorFlow, what had to happen before the variable was read need not any more.
    node.inputs.retain(|input| !input.is_control());
    let groups = node.attr("_class").filter(|_| !node.inlined).map(<[u8]>::to_vec);
    let mut attrs = Attrs::default();
    match &*op {
        "ReadVariableOp" => {
            attrs.type_number("T", data_type);
            with_groups(&mut attrs, groups);
            node.become_op("Identity", attrs.as_bytes().to_vec());
        }
        "VariableShape" => {
            let out_type = node.attr_type("out_type").unwrap_or(DataType::DtInt32 as i32);
            attrs.type_number("T", data_type).type_number("out_type", out_type);
            node.become_op("Shape", attrs.as_bytes().to_vec());
        }
        "ResourceGather" => {
            attrs
                .type_number("Taxis", index_type)
                .type_number("Tindices", index_type)
                .type_number("Tparams", data_type);
            with_groups(&mut attrs, groups);
            let batch_dims = node.attr_int("batch_dims").unwrap_or(0);
            if batch_dims != 0 {
                attrs.int("batch_dims", batch_dims);
            }
            node.become_op("GatherV2", attrs.as_bytes().to_vec());
            gather_axis(flat, reader, index_type, batch_dims)?;
        }
        "ResourceGatherNd" => {
            attrs.type_number("Tindices", index_type).type_number("Tparams", data_type);
            with_groups(&mut attrs, groups);
            node.become_op("GatherNd", attrs.as_bytes().to_vec());
        }
        _ => return Err(takes_handle(node, variable)),
    }
    Ok(false)
}

fn with_groups(attrs: &mut Attrs, groups: Option<Vec<u8>>) {
    if let Some(groups) = groups {
        attrs.raw("_class", &groups);
    }
}

/// The constant that says along which dimension GatherV2 gathers, behind the indices.
fn gather_axis(flat: &mut Flat<'_>, gather: u32, index_type: i32, axis: i64) -> Result<()> {
    let mut attrs = Attrs::default();
    if index_type == DataType::DtInt64 as i32 {
        attrs.data_type("dtype", DataType::DtInt64).tensor("value", &Tensor::Int64(axis));
    } else {
        let axis = i32::try_from(axis).unwrap_or(i32::MAX);
        attrs.data_type("dtype", DataType::DtInt32).tensor("value", &Tensor::Int32(axis));
    }
    let (name, region) = (format!("{}/axis", flat.nodes[gather as usize].name), flat.nodes[gather as usize].region);
    let pivot = flat.pivots[region as usize].map(Ref::control).into_iter().collect();
    let axis = Ref::output(flat.make(&name, "Const", pivot, &attrs, region)?, 0);
    let inputs = &mut flat.nodes[gather as usize].inputs;
    let data = inputs.iter().take_while(|input| !input.is_control()).count();
    inputs.insert(data, axis);
    Ok(())
}

/// The op that passes on what it is given, whether handle or value, if it is one.
fn passes_on(op: &str) -> Option<&'static str> {
    ["Identity", "Switch", "Merge", "Enter", "Exit", "NextIteration"].into_iter().find(|known| *known == op)
}

/// Whether the op changes a variable.
fn writes(op: &str) -> bool {
    ["Assign", "ResourceApply", "ResourceSparseApply", "ResourceScatter", "ResourceStridedSliceAssign", "Scatter"]
        .iter()
        .any(|prefix| op.starts_with(prefix) && op != "ScatterNd")
        || op == "CountUpTo"
        || op == "ResourceCountUpTo"
        || (op.starts_with("Apply") || op.starts_with("SparseApply"))
}

fn takes_handle(node: &FlatNode<'_>, variable: &str) -> Error {
    let what = format!("the handle of the variable '{variable}' is used, which no constant has,");
    node.error(ErrorKind::Refused, what)
        .hint("name outputs before that node with --outputs, or export the model without it")
}

/// Refuses what holds state that is no variable.
fn check_no_other_resource(node: &FlatNode<'_>) -> Result<()> {
    const TABLES: [&str; 3] = ["HashTable", "MutableHashTable", "MutableDenseHashTable"];
    let op = node.op.strip_prefix("Anonymous").unwrap_or(&node.op);
    let is_table = TABLES.iter().any(|table| op.starts_with(table));
    let is_queue = op.ends_with("Queue") || op.ends_with("QueueV2");
    let is_source = op.contains("Iterator") || op.contains("DatasetV2") && op.starts_with("Map");
    let is_handle = ["Placeholder", "PlaceholderV2", "Const"].contains(&&*node.op)
        && node.attr_type("dtype").is_some_and(is_resource);
    let what = match () {
        () if is_table => "a hash table cannot become a constant",
        () if is_queue => "a queue cannot become a constant",
        () if is_source => "an iterator over a dataset cannot become a constant",
        () if is_handle => "a resource that the graph is given cannot become a constant",
        () => return Ok(()),
    };
    let known_by = node.attr_text("shared_name").filter(|name| !name.is_empty() && *name != node.name);
    let what = known_by.map_or_else(|| what.to_owned(), |name| format!("{what} ('{name}')"));
    Err(node
        .error(ErrorKind::Refused, what)
        .hint("name outputs before it with --outputs, or inputs behind it with --inputs"))
}

/// Makes the variable's node a constant with these attributes. In a branch or a loop it goes on waiting for its turn.
pub(super) fn become_constant(node: &mut FlatNode<'_>, attrs: Vec<u8>) {
    node.op = Cow::Borrowed("Const");
    node.attributes = Attributes::Made(attrs);
    node.changed = true;
    node.device = "";
    if node.region == 0 {
        node.inputs.clear();
    }
}
