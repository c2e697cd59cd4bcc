//! Inputs of floats that are nothing but whole numbers, as Keras exports a network that begins with an Embedding.
//!
//! # What it does
//! The input takes the integers that it is cast to, and the Cast is gone. A model of integers has no float to cast, and its
//! converter refuses an input that is neither quantized nor an integer.
//!
//! # When it applies
//! To a Placeholder of floats that Casts to one type of integers read, and nothing else, if need be behind Identities and in
//! another shape.
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
    let found: Vec<(NodeId, Read)> = inputs.filter_map(|input| Some((input, read(graph, input, outputs)?))).collect();
    for (input, read) in &found {
        let value = AttrValue { value: Some(attr_value::Value::Type(read.integers as i32)) }.encode_to_vec();
        for &node in &read.handed_on_by {
            graph.set_attr(node, "T", value.clone());
        }
        graph.set_attr(*input, "dtype", value);
        for &(cast, of) in &read.casts {
            take_place(graph, cast.into(), of);
        }
    }
    found.into_iter().map(|(input, read)| (input, read.integers)).collect()
}

/// So many nodes between an input and its Casts are looked at.
const MOST_BETWEEN: usize = 64;

/// How an input of floats is read that is nothing but integers.
struct Read {
    integers: DataType,
    /// The nodes between the input and its Casts.
    handed_on_by: Vec<NodeId>,
    /// The Casts, and what each of them reads.
    casts: Vec<(NodeId, TensorRef)>,
}

/// The integers that all readers of an input of floats make of it.
fn read(graph: &Graph, input: NodeId, outputs: &[TensorRef]) -> Option<Read> {
    if graph.tensor_type(input.into()) != Some(DataType::DtFloat) {
        return None;
    }
    let (mut handed_on_by, mut casts) = (Vec::new(), Vec::new());
    let mut open = vec![input];
    while let Some(made_by) = open.pop() {
        if outputs.contains(&made_by.into()) {
            return None;
        }
        for reader in graph.consumers(made_by) {
            let is_data = graph.control_inputs(reader).next().is_none() && !outputs.contains(&reader.into());
            match graph.op(reader) {
                "Cast" if is_data => casts.push((reader, made_by.into())),
                "Identity" | "Reshape" | "Squeeze" | "ExpandDims" if is_data && handed_on_by.len() < MOST_BETWEEN => {
                    handed_on_by.push(reader);
                    open.push(reader);
                }
                _ => return None,
            }
        }
    }
    let mut types: Vec<Option<DataType>> = casts.iter().map(|&(cast, _)| graph.tensor_type(cast.into())).collect();
    types.dedup();
    let integers = only(types.into_iter())?.filter(|to| matches!(to, DataType::DtInt32 | DataType::DtInt64))?;
    Some(Read { integers, handed_on_by, casts })
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

    #[test]
    fn what_hands_the_input_on_does_so_with_integers() {
        let mut graph = graph_of(
            "words = Placeholder [?,4]
             same = Identity(words)
             dims = Const [-1]i
             row = Reshape(same, dims)
             indices = Cast(row) SrcT=DT_FLOAT DstT=DT_INT64
             again = Cast(words) SrcT=DT_FLOAT DstT=DT_INT64
             sum = AddV2(indices, again) T=DT_INT64",
        );
        let [words, row, sum] = ["words", "row", "sum"].map(|name| graph.find(name).unwrap());
        let read_by_an_output = take_integers(&mut graph.clone(), &[row.into()]);
        assert!(read_by_an_output.is_empty());
        assert_eq!(take_integers(&mut graph, &[]), [(words, DataType::DtInt64)]);
        assert_eq!(graph.tensor_type(row.into()), Some(DataType::DtInt64));
        assert_eq!(graph.data_inputs(sum).collect::<Vec<_>>(), [row.into(), words.into()]);
    }
}
