//! Inputs of floats that are nothing but whole numbers, as Keras exports a network that begins with an Embedding.
//!
//! # What it does
//! The input takes the integers that it is cast to, and the Cast is gone. A model of integers has no float to cast, and its
//! converter refuses an input that is neither quantized nor an integer.
//!
//! # When it applies
//! To a Placeholder of floats that Casts to one type of integers read, and nothing else.
//!
//! # What it leaves alone
//! Inputs that an output hands on, or that something else reads.
//!
//! # Example
//! `words = Placeholder float; indices = Cast(words) int32; GatherV2(table, indices)` becomes
//! `words = Placeholder int32; GatherV2(table, words)`.

use prost::Message as _;

use super::new_nodes::take_place;
use crate::graph::{Graph, NodeId, TensorRef, only};
use crate::proto::tensorflow::{AttrValue, DataType, attr_value};

/// Lets such inputs take integers; says which, and of what type. The Casts stay, for who drops them.
pub(crate) fn take_integers(graph: &mut Graph, outputs: &[TensorRef]) -> Vec<(NodeId, DataType)> {
    let inputs = graph.ids().filter(|&node| graph.op(node) == "Placeholder" && graph.is_original(node));
    let found: Vec<(NodeId, DataType)> =
        inputs.filter_map(|input| Some((input, cast_to(graph, input, outputs)?))).collect();
    for &(input, integers) in &found {
        let value = AttrValue { value: Some(attr_value::Value::Type(integers as i32)) };
        graph.set_attr(input, "dtype", value.encode_to_vec());
        let casts: Vec<NodeId> = graph.consumers(input).collect();
        for cast in casts {
            take_place(graph, cast.into(), input.into());
        }
    }
    found
}

/// The integers that all readers of an input of floats make of it.
fn cast_to(graph: &Graph, input: NodeId, outputs: &[TensorRef]) -> Option<DataType> {
    let cast = |node: NodeId| {
        let is_plain =
            graph.op(node) == "Cast" && graph.control_inputs(node).next().is_none() && !outputs.contains(&node.into());
        graph.tensor_type(node.into()).filter(|_| is_plain)
    };
    if graph.tensor_type(input.into()) != Some(DataType::DtFloat) || outputs.contains(&input.into()) {
        return None;
    }
    let mut types: Vec<Option<DataType>> = graph.consumers(input).map(cast).collect();
    types.dedup();
    only(types.into_iter())?.filter(|integers| matches!(integers, DataType::DtInt32 | DataType::DtInt64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn an_input_that_is_only_cast_takes_integers() {
        let mut graph = graph_of(
            "words = Placeholder [?,4]
             others = Placeholder [?,4]
             indices = Cast(words) SrcT=DT_FLOAT DstT=DT_INT32
             cast = Cast(others) SrcT=DT_FLOAT DstT=DT_INT32
             double = Mul(others, others)
             table = Const [9,3]
             axis = Const [0]i
             found = GatherV2(table, indices, axis) Tparams=DT_FLOAT Tindices=DT_INT32",
        );
        let words = graph.find("words").unwrap();
        assert_eq!(take_integers(&mut graph, &[]), [(words, DataType::DtInt32)]);
        assert_eq!(graph.data_input(graph.find("found").unwrap(), 1), Some(words.into()));
        assert_eq!(graph.tensor_type(words.into()), Some(DataType::DtInt32));
        assert!(take_integers(&mut graph, &[]).is_empty());
    }
}
