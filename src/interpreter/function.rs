//! A function of the graph's library as a graph of its own.
//!
//! Inside a function, an input is spelled `node:output:index` with the output's name in the op's definition; in a graph it
//! is `node:port`. Ops with one named output, which most are, need no table: the index is the port.

use bytes::Bytes;
use hashbrown::HashMap;
use prost::Message;

use super::kernel::invalid;
use crate::error::Result;
use crate::graph::{Graph, TensorRef, read};
use crate::proto::tensorflow::{FunctionDef, GraphDef, NodeDef};

/// The op that stands for an argument in a function's graph.
pub(super) const ARGUMENT: &str = "_Arg";

/// A function's graph, and which of its tensors go in and out.
pub(super) struct Function {
    pub graph: Graph,
    pub arguments: Vec<TensorRef>,
    pub results: Vec<TensorRef>,
}

/// The names of the outputs of the ops that have more than one name for them, each one tensor.
fn outputs(op: &str) -> &'static [&'static str] {
    match op {
        "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3" => {
            &["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2", "reserve_space_3"]
        }
        "Switch" => &["output_false", "output_true"],
        "Merge" => &["output", "value_index"],
        "TensorArrayV3" => &["handle", "flow_out"],
        "TensorArrayConcatV3" => &["value", "lengths"],
        "TensorListConcatV2" => &["tensor", "lengths"],
        "TensorListPopBack" => &["output_handle", "tensor"],
        "TopKV2" => &["values", "indices"],
        "MaxPoolWithArgmax" => &["output", "argmax"],
        "Unique" => &["y", "idx"],
        _ => &[],
    }
}

impl Function {
    /// Reads an encoded FunctionDef.
    pub(super) fn read(encoded: &[u8]) -> Result<Self> {
        let function = FunctionDef::decode(Bytes::copy_from_slice(encoded))
            .map_err(|error| invalid(format!("a function of the library cannot be read: {error}")))?;
        let signature = function.signature.unwrap_or_default();
        let ops: HashMap<&str, &str> =
            function.node_def.iter().map(|node| (node.name.as_str(), node.op.as_str())).collect();
        let respelled = |spelled: &str| -> Result<String> {
            let mut parts = spelled.split(':');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(node), Some(output), index) if !spelled.starts_with('^') => {
                    let index: usize = index.unwrap_or("0").parse().map_err(|_| invalid(unreadable(spelled)))?;
                    let op = ops.get(node).copied().unwrap_or_default();
                    let first = outputs(op).iter().position(|&name| name == output).unwrap_or(0);
                    Ok(format!("{node}:{}", first.saturating_add(index)))
                }
                _ => Ok(spelled.to_owned()),
            }
        };
        let arguments = signature.input_arg.iter().map(|argument| NodeDef {
            name: argument.name.clone(),
            op: ARGUMENT.to_owned(),
            ..NodeDef::default()
        });
        let mut graph = GraphDef { node: arguments.collect(), ..GraphDef::default() };
        for node in &function.node_def {
            let input = node.input.iter().map(|input| respelled(input)).collect::<Result<_>>()?;
            graph.node.push(NodeDef { input, ..node.clone() });
        }
        let graph = read::parse(graph.encode_to_vec().into())?;
        let tensor = |spelled: &str| graph.find_tensor(spelled);
        let arguments = signature.input_arg.iter().map(|argument| tensor(&argument.name));
        let arguments: Option<Vec<TensorRef>> = arguments.collect();
        let mut results = Vec::new();
        for result in &signature.output_arg {
            let spelled = function.ret.get(&result.name).map(String::as_str).unwrap_or_default();
            results.push(tensor(&respelled(spelled)?).ok_or_else(|| invalid(unreadable(spelled)))?);
        }
        let arguments = arguments.ok_or_else(|| invalid("an argument of a function has no name"))?;
        Ok(Self { graph, arguments, results })
    }
}

fn unreadable(spelled: &str) -> String {
    format!("'{spelled}' names no tensor of the function")
}
