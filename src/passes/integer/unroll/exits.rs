//! What reads a loop's variables when it is over.

use super::super::constants::{Constants, evaluate};
use super::super::loops::Variable;
use super::super::new_nodes::{make_room, take_place};
use super::outside::length_of_order;
use super::steps::Steps;
use super::value::{List, Number, Value};
use super::{Step, Stop};
use crate::graph::attr::Attrs;
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::interpreter::Limits;
use crate::proto::tensorflow::DataType;

/// Lets what read a variable read what it came to be.
pub(super) fn leave(
    steps: &mut Steps<'_>,
    old: &Graph,
    variable: &Variable,
    value: &Value,
    limits: &Limits,
) -> Step<()> {
    let out = TensorRef { node: variable.switch, port: 0 };
    for exit in old.tensor_consumers(out).filter(|&node| old.op(node) == "Exit") {
        match value {
            Value::List(list) => of_list(steps, old, exit, list, limits)?,
            Value::Handle => return Err(Stop::Unknown),
            Value::Tensor(_) | Value::Number(_) => {
                let tensor = steps.tensor(value)?;
                replace(steps, exit, tensor)?;
            }
        }
    }
    Ok(())
}

/// Puts an Identity of a tensor in the place of a node.
fn replace(steps: &mut Steps<'_>, node: NodeId, tensor: TensorRef) -> Step<()> {
    let data_type = steps.graph.tensor_type(tensor).ok_or(Stop::Unknown)?;
    let name = make_room(steps.graph, node)?;
    let mut attrs = Attrs::default();
    attrs.data_type("T", data_type);
    let new = steps.insert(&name, "Identity", "", &[Input::Data(tensor)], &attrs)?;
    take_place(steps.graph, node.into(), new.into());
    Ok(())
}

/// Those who read a list; how long it is has to be known before what it is asked for.
fn of_list(steps: &mut Steps<'_>, old: &Graph, exit: NodeId, list: &List, limits: &Limits) -> Step<()> {
    let is_length = |&node: &NodeId| matches!(old.op(node), "TensorArraySizeV3" | "TensorListLength");
    let (lengths, others): (Vec<NodeId>, Vec<NodeId>) = old.consumers(exit).partition(is_length);
    for node in lengths {
        let value = i64::try_from(list.len()).unwrap_or_default();
        let length = steps.tensor(&Value::Number(Number { value, data_type: DataType::DtInt32 }))?;
        replace(steps, node, length)?;
    }
    for node in others {
        if old.op(node) == "TensorArrayReadV3" {
            let element = list.element(place_read(steps, node, limits)?)?;
            replace(steps, node, element)?;
            continue;
        }
        let is_whole = match old.op(node) {
            "TensorListStack" => true,
            "TensorArrayGatherV3" => {
                let indices = steps.graph.data_input(node, 1).ok_or(Stop::Unknown)?;
                let constants = Constants::of(steps.graph, &steps.graph.run_order());
                length_of_order(steps.graph, &constants, indices, limits)? == Some(list.len())
            }
            _ => false,
        };
        if !is_whole {
            return Err(Stop::Unknown);
        }
        let name = make_room(steps.graph, node)?;
        let all = steps.packed(&name, list)?;
        take_place(steps.graph, node.into(), all.into());
    }
    Ok(())
}

/// Which element a node reads of a list, once the loop is over.
fn place_read(steps: &Steps<'_>, node: NodeId, limits: &Limits) -> Step<usize> {
    let index = steps.graph.data_input(node, 1).ok_or(Stop::Unknown)?;
    let constants = Constants::of(steps.graph, &steps.graph.run_order());
    if !constants.contain(index.node) {
        return Err(Stop::Unknown);
    }
    let values = evaluate(steps.graph, [index], limits)?;
    let place = values.get(&index).and_then(|value| value.values::<i32>()?.first().copied());
    place.and_then(|place| usize::try_from(place).ok()).ok_or(Stop::Unknown)
}
