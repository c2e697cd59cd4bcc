//! What a loop is given: lists whose elements are known, numbers, and tensors.

use super::super::constants::{Constants, evaluate};
use super::super::new_nodes::beside;
use super::value::{List, MOST_ELEMENTS, Number, Value};
use super::{Step, Stop};
use crate::graph::attr::Attrs;
use crate::graph::{Graph, Input, NewNode, TensorRef};
use crate::interpreter::{Limits, Tensor};
use crate::proto::tensorflow::DataType;

/// Identities between a list and the loop, at most.
const MAX_STEPS: usize = 64;

/// What the tensor is; of a list, its elements are made.
pub(super) fn value(graph: &mut Graph, constants: &Constants, tensor: TensorRef, limits: &Limits) -> Step<Value> {
    let handed_on = |tensor: &TensorRef| {
        let is_list = graph.op(tensor.node) == "Identity" && !is_plain(graph, *tensor);
        graph.data_input(tensor.node, 0).filter(|_| is_list)
    };
    let tensor = std::iter::successors(Some(tensor), handed_on).take(MAX_STEPS).last().unwrap_or(tensor);
    let input = |graph: &Graph, slot| graph.data_input(tensor.node, slot).ok_or(Stop::Unknown);
    match (graph.op(tensor.node), tensor.port) {
        ("TensorListReserve" | "EmptyTensorList", _) | ("TensorArrayV3", 1) => Ok(Value::List(List::default())),
        ("TensorArrayV3", _) => Ok(Value::Handle),
        ("TensorListFromTensor", _) => {
            let elements = input(graph, 0)?;
            let length = graph.static_shape(elements).and_then(|dims| usize::try_from((*dims.first()?)?).ok());
            Ok(Value::List(unpacked(graph, elements, length.ok_or(Stop::Unknown)?)?))
        }
        ("TensorArrayScatterV3", _) => {
            let [indices, elements] = [input(graph, 1)?, input(graph, 2)?];
            let length = length_of_order(graph, constants, indices, limits)?.ok_or(Stop::Unknown)?;
            Ok(Value::List(unpacked(graph, elements, length)?))
        }
        _ if !is_plain(graph, tensor) => Err(Stop::Unknown),
        _ => Ok(number(graph, constants, tensor, limits)?.map_or(Value::Tensor(tensor), Value::Number)),
    }
}

/// Whether it is a tensor of numbers, rather than what stands for a list.
fn is_plain(graph: &Graph, tensor: TensorRef) -> bool {
    !matches!(graph.tensor_type(tensor), None | Some(DataType::DtVariant | DataType::DtResource | DataType::DtString))
}

/// The single integer or truth that a tensor always is.
fn number(graph: &Graph, constants: &Constants, tensor: TensorRef, limits: &Limits) -> Step<Option<Number>> {
    let Some(data_type @ (DataType::DtInt32 | DataType::DtInt64 | DataType::DtBool)) = graph.tensor_type(tensor) else {
        return Ok(None);
    };
    let Some(known) = known(graph, constants, tensor, limits)? else { return Ok(None) };
    let value = match data_type {
        DataType::DtInt32 => known.values::<i32>().and_then(<[i32]>::first).map(|&value| i64::from(value)),
        DataType::DtInt64 => known.values::<i64>().and_then(<[i64]>::first).copied(),
        _ => known.values::<bool>().and_then(<[bool]>::first).map(|&value| i64::from(value)),
    };
    Ok(value.filter(|_| known.dims().is_empty()).map(|value| Number { value, data_type }))
}

/// What a tensor always is, if it is constant.
fn known(graph: &Graph, constants: &Constants, tensor: TensorRef, limits: &Limits) -> Step<Option<Tensor>> {
    if !constants.contain(tensor.node) {
        return Ok(None);
    }
    Ok(evaluate(graph, [tensor], limits)?.remove(&tensor))
}

/// How many numbers a tensor always is, if they are 0, 1, 2 and so on.
pub(super) fn length_of_order(
    graph: &Graph,
    constants: &Constants,
    tensor: TensorRef,
    limits: &Limits,
) -> Step<Option<usize>> {
    let known = known(graph, constants, tensor, limits)?;
    let Some(places) = known.as_ref().and_then(Tensor::values::<i32>) else { return Ok(None) };
    let is_in_order = places.iter().enumerate().all(|(place, &number)| usize::try_from(number) == Ok(place));
    Ok(is_in_order.then_some(places.len()))
}

/// The slices of a tensor along its first axis, which is so long.
fn unpacked(graph: &mut Graph, tensor: TensorRef, length: usize) -> Step<List> {
    if !(1..=MOST_ELEMENTS).contains(&length) {
        return Err(Stop::Unknown);
    }
    let data_type = graph.tensor_type(tensor).ok_or(Stop::Unknown)?;
    let mut attrs = Attrs::default();
    attrs.data_type("T", data_type).int("axis", 0).int("num", i64::try_from(length).unwrap_or_default());
    let name = graph.free_name(&beside(graph.name(tensor.node), "unpacked"));
    let inputs = [Input::Data(tensor)];
    let node =
        graph.insert(NewNode { name: &name, op: "Unpack", device: "", inputs: &inputs, attrs: attrs.as_bytes() })?;
    Ok(List::of((0..length).filter_map(|port| Some(TensorRef { node, port: u32::try_from(port).ok()? }))))
}
