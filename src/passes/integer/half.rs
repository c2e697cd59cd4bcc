//! Half-precision floats made 32-bit ones, as networks of Keras' `mixed_float16` have them.
//!
//! # What it does
//! Every tensor of float16 or bfloat16 is one of float32, constants and inputs too, and casts between them are gone. Converters
//! to integers read float32 alone, and 8 bits are made of more than 16.
//!
//! # When it applies
//! To frozen graphs with a type attribute of half precision.
//!
//! # What it leaves alone
//! Every other type.
//!
//! # Example
//! `w = Const half; conv = Conv2D(Cast(x, half), w) half; out = Cast(conv, float)` becomes
//! `w = Const float; conv = Conv2D(x, w) float; out = Identity(conv)`.

use prost::Message as _;

use super::constants::evaluate;
use super::new_nodes::{constant_at, dims_of, make_room, pivot_of, take_place};
use super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::interpreter::Limits;
use crate::proto::tensorflow::attr_value::Value as Attr;
use crate::proto::tensorflow::{AttrValue, DataType};

/// Whether the type of that number has half the bits of a float.
pub(crate) fn is_half(number: i32) -> bool {
    matches!(DataType::try_from(number), Ok(DataType::DtHalf | DataType::DtBfloat16))
}

/// Widens them; says how many nodes it was done to. What is not needed any more stays, for who drops it.
///
/// # Errors
/// Those of evaluating constants and of inserting nodes.
pub(crate) fn widen(graph: &mut Graph, outputs: &[TensorRef], limits: &Limits) -> Result<usize> {
    let mut constants = Vec::new();
    let mut others = Vec::new();
    for node in graph.ids() {
        match half_attrs(graph, node) {
            attrs if attrs.is_empty() => {}
            _ if graph.op(node) == "Const" => constants.push(node),
            attrs => others.push((node, attrs)),
        }
    }
    let count = constants.len() + others.len();
    widen_constants(graph, &constants, limits)?;
    for (node, attrs) in others {
        for (name, value) in attrs {
            graph.set_attr(node, &name, AttrValue { value: Some(value) }.encode_to_vec());
        }
        drop_cast(graph, node, outputs)?;
    }
    Ok(count)
}

/// The attributes that say half precision, as they are when widened.
fn half_attrs(graph: &Graph, node: NodeId) -> Vec<(String, Attr)> {
    const LONGEST_LIST: usize = 1 << 12;
    let widened = |number| if is_half(number) { DataType::DtFloat as i32 } else { number };
    let mut found = Vec::new();
    for (name, encoded) in graph.attr_entries(node) {
        if graph.attr_type(node, name).is_some_and(is_half) {
            found.push((name.to_owned(), Attr::Type(DataType::DtFloat as i32)));
        } else if encoded.len() <= LONGEST_LIST
            && name != "value"
            && let Some(Attr::List(mut list)) = graph.attr(node, name)
            && list.r#type.iter().any(|&number| is_half(number))
        {
            list.r#type = list.r#type.into_iter().map(widened).collect();
            found.push((name.to_owned(), Attr::List(list)));
        }
    }
    found
}

/// Puts constants of 32-bit floats in the place of these.
fn widen_constants(graph: &mut Graph, constants: &[NodeId], limits: &Limits) -> Result<()> {
    let mut values = evaluate(graph, constants.iter().map(|&node| node.into()), limits)?;
    for &node in constants {
        let Some(value) = values.remove(&TensorRef::from(node)) else { continue };
        let Some(floats) = value.values::<f32>() else { continue };
        let pivot = pivot_of(graph, node);
        let name = make_room(graph, node)?;
        let wide = constant_at(graph, &name, &Value::Shaped(floats, &dims_of(&value)), pivot)?;
        take_place(graph, node.into(), wide);
    }
    Ok(())
}

/// Lets readers of a Cast from float to float read what it reads; an output keeps its name.
fn drop_cast(graph: &mut Graph, node: NodeId, outputs: &[TensorRef]) -> Result<()> {
    let is_float = |name| graph.attr_type(node, name) == Some(DataType::DtFloat as i32);
    let Some(whole) = graph.data_input(node, 0).filter(|_| graph.op(node) == "Cast") else { return Ok(()) };
    if !is_float("SrcT") || !is_float("DstT") || graph.control_inputs(node).next().is_some() {
        return Ok(());
    }
    if outputs.contains(&node.into()) {
        let mut parts = Parts::in_place_of(graph, node, None)?;
        let named = parts.unary(END, "Identity", whole)?;
        parts.end_with(named);
    } else {
        take_place(graph, node.into(), whole);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image, run};
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn a_mixed_network_becomes_one_of_floats() {
        let mut graph = graph_of(
            "x = Placeholder [1,4,4,2]
             half = Cast(x) SrcT=DT_FLOAT DstT=DT_HALF
             w = Const [1,1,2,3]
             w16 = Cast(w) SrcT=DT_FLOAT DstT=DT_HALF
             conv = Conv2D(half, w16) T=DT_HALF
             relu = Relu(conv) T=DT_HALF
             out = Cast(relu) SrcT=DT_HALF DstT=DT_FLOAT",
        );
        let before = run(&graph, "out", &image(2));
        let outputs = [graph.find_tensor("out").unwrap()];
        assert_eq!(widen(&mut graph, &outputs, &Limits::default()).unwrap(), 5);
        let inputs = |name: &str| -> Vec<&str> {
            graph.data_inputs(graph.find(name).unwrap()).map(|input| graph.name(input.node)).collect()
        };
        assert_eq!(inputs("conv"), ["x", "w"]);
        assert_eq!(graph.op(graph.find("out").unwrap()), "Identity");
        assert_eq!(graph.tensor_type(graph.find_tensor("relu").unwrap()), Some(DataType::DtFloat));
        for (wanted, got) in before.iter().zip(run(&graph, "out", &image(2))) {
            assert!((wanted - got).abs() < 1e-2 * wanted.abs().max(1.0), "{wanted} became {got}");
        }
        let outputs = [graph.find_tensor("out").unwrap()];
        assert_eq!(widen(&mut graph, &outputs, &Limits::default()).unwrap(), 0);
    }
}
