//! Inputs of floats that are nothing but whole numbers, as Keras exports a network that begins with an Embedding.
//!
//! # What it does
//! The input takes the integers that it is cast to, and the Cast is gone. A model of integers has no float to cast, and its
//! converter refuses an input that is neither quantized nor an integer.
//!
//! # When it applies
//! To a Placeholder of floats that Casts to one type of integers read, if need be behind Identities and in another shape, and
//! to integers that are made floats only for such Casts. Beside these, their shape may be asked for, and whether they are the
//! whole number that stands for nothing in them.
//!
//! # What it leaves alone
//! Inputs that an output hands on, or that something else reads.
//!
//! # Example
//! `words = Placeholder float; indices = Cast(words) int32; GatherV2(table, indices)` becomes
//! `words = Placeholder int32; GatherV2(table, words)`.

use prost::Message as _;

use super::new_nodes::{constant, take_place};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::{Graph, Input, NodeId, TensorRef, only};
use crate::proto::tensorflow::{AttrValue, DataType, attr_value};

/// Lets such inputs take integers; says which, and of what type. The Casts stay, for who drops them.
///
/// # Errors
/// Those of inserting nodes.
pub(crate) fn take_integers(graph: &mut Graph, outputs: &[TensorRef]) -> Result<Vec<(NodeId, DataType)>> {
    let is_integer = |node: NodeId| {
        let cast = graph.data_input(node, 0).filter(|_| graph.op(node) == "Cast");
        cast.is_some_and(|from| is_index(graph.tensor_type(from)))
    };
    let inputs =
        graph.ids().filter(|&node| graph.is_original(node) && (graph.op(node) == "Placeholder" || is_integer(node)));
    let found: Vec<(NodeId, Read)> = inputs.filter_map(|input| Some((input, read(graph, input, outputs)?))).collect();
    for (input, read) in &found {
        let value = AttrValue { value: Some(attr_value::Value::Type(read.integers as i32)) }.encode_to_vec();
        for &node in &read.handed_on_by {
            graph.set_attr(node, "T", value.clone());
        }
        for &(node, slot, number) in &read.compared {
            let number = match read.integers {
                DataType::DtInt64 => Value::Int64(number.into()),
                _ => Value::Int32(number),
            };
            let constant = constant(graph, &format!("{}/whole", graph.name(node)), &number)?;
            graph.set_input(node, slot, Input::Data(constant));
        }
        let attr = if graph.op(*input) == "Cast" { "DstT" } else { "dtype" };
        graph.set_attr(*input, attr, value);
        for &(cast, of) in &read.casts {
            take_place(graph, cast.into(), of);
        }
    }
    let fed = found.into_iter().filter(|&(input, _)| graph.op(input) == "Placeholder");
    Ok(fed.map(|(input, read)| (input, read.integers)).collect())
}

fn is_index(data_type: Option<DataType>) -> bool {
    matches!(data_type, Some(DataType::DtInt32 | DataType::DtInt64))
}

/// So many nodes between an input and its Casts are looked at.
const MOST_BETWEEN: usize = 64;

/// How an input of floats is read that is nothing but integers.
struct Read {
    integers: DataType,
    /// The nodes between the input and its Casts, and others that take any type.
    handed_on_by: Vec<NodeId>,
    /// What compares it to a whole number, where the number stands, and the number.
    compared: Vec<(NodeId, usize, i32)>,
    /// The Casts, and what each of them reads.
    casts: Vec<(NodeId, TensorRef)>,
}

/// The integers that all readers of an input of floats make of it.
fn read(graph: &Graph, input: NodeId, outputs: &[TensorRef]) -> Option<Read> {
    if graph.tensor_type(input.into()) != Some(DataType::DtFloat) {
        return None;
    }
    let (mut handed_on_by, mut compared, mut casts) = (Vec::new(), Vec::new(), Vec::new());
    let mut open = vec![input];
    while let Some(made_by) = open.pop() {
        if outputs.contains(&made_by.into()) {
            return None;
        }
        for reader in graph.consumers(made_by) {
            let is_data = graph.control_inputs(reader).next().is_none() && !outputs.contains(&reader.into());
            match graph.op(reader) {
                "Cast" if is_data => casts.push((reader, made_by.into())),
                "Shape" if is_data => handed_on_by.push(reader),
                "Equal" | "NotEqual" if is_data => {
                    let slot = usize::from(graph.data_input(reader, 0) == Some(made_by.into()));
                    compared.push((reader, slot, whole_number(graph, graph.data_input(reader, slot)?)?));
                    handed_on_by.push(reader);
                }
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
    Some(Read { integers, handed_on_by, compared, casts })
}

/// The whole number that a constant is, if need be behind a Cast.
#[allow(clippy::cast_possible_truncation)] // whole numbers within bounds
fn whole_number(graph: &Graph, tensor: TensorRef) -> Option<i32> {
    const MOST: f32 = 1e6;
    if graph.op(tensor.node) == "Cast" {
        let number = graph.const_ints(graph.data_input(tensor.node, 0)?)?;
        return if let [number] = number[..] { i32::try_from(number).ok() } else { None };
    }
    let number = graph.const_float(tensor)?;
    (number.fract() == 0.0 && number.abs() <= MOST).then_some(number as i32)
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
        assert_eq!(take_integers(&mut graph, &[]).unwrap(), [(words, DataType::DtInt32)]);
        assert_eq!(graph.data_input(graph.find("found").unwrap(), 1), Some(words.into()));
        assert_eq!(graph.tensor_type(words.into()), Some(DataType::DtInt32));
        assert!(take_integers(&mut graph, &[]).unwrap().is_empty());
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
        let read_by_an_output = take_integers(&mut graph.clone(), &[row.into()]).unwrap();
        assert!(read_by_an_output.is_empty());
        assert_eq!(take_integers(&mut graph, &[]).unwrap(), [(words, DataType::DtInt64)]);
        assert_eq!(graph.tensor_type(row.into()), Some(DataType::DtInt64));
        assert_eq!(graph.data_inputs(sum).collect::<Vec<_>>(), [row.into(), words.into()]);
    }
    #[test]
    fn a_mask_of_words_is_made_of_integers_and_so_is_what_is_cast_to_and_fro() {
        let mut graph = graph_of(
            "words = Placeholder [?,4]
             indices = Cast(words) SrcT=DT_FLOAT DstT=DT_INT32
             nothing = Const 0.0
             mask = NotEqual(words, nothing)
             whole = Const [3]i
             more = Cast(whole) SrcT=DT_INT32 DstT=DT_FLOAT
             back = Cast(more) SrcT=DT_FLOAT DstT=DT_INT64",
        );
        let [words, mask, more, back] = ["words", "mask", "more", "back"].map(|name| graph.find(name).unwrap());
        assert_eq!(take_integers(&mut graph, &[]).unwrap(), [(words, DataType::DtInt32)]);
        assert_eq!(graph.const_ints(graph.data_input(mask, 1).unwrap()), Some(vec![0]));
        assert_eq!(graph.attr_type(mask, "T"), Some(DataType::DtInt32 as i32));
        assert_eq!(graph.tensor_type(more.into()), Some(DataType::DtInt64));
        assert_eq!(graph.consumers(back).count(), 0);

        let half = "words = Placeholder [?,4]\nhalf = Const 0.5\nmask = NotEqual(words, half)
                    indices = Cast(words) SrcT=DT_FLOAT DstT=DT_INT32";
        assert!(take_integers(&mut graph_of(half), &[]).unwrap().is_empty());
    }
}
