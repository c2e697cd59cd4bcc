//! AddN written as Adds, which have integer kernels.
//!
//! # What it does
//! `AddN(a, b, c)` becomes `AddV2(AddV2(a, b), c)`; the last one has the name.
//!
//! # When it applies
//! To sums of 32-bit floats in a frozen graph. The nodes that are not needed any more stay, for who drops them.
//!
//! # What it leaves alone
//! Sums of other types, and those that wait for something.

use super::new_nodes::{add_node, make_room, take_place};
use crate::error::Result;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// Writes them so; says how many there were.
///
/// # Errors
/// Those of inserting nodes.
pub(crate) fn write_as_adds(graph: &mut Graph) -> Result<usize> {
    let is_sum = |&node: &NodeId| {
        graph.op(node) == "AddN"
            && graph.tensor_type(node.into()) == Some(DataType::DtFloat)
            && graph.control_inputs(node).next().is_none()
            && graph.data_inputs(node).count() > 1
    };
    let sums: Vec<NodeId> = graph.ids().filter(is_sum).collect();
    for &sum in &sums {
        let inputs: Vec<TensorRef> = graph.data_inputs(sum).collect();
        let (device, name) = (graph.device(sum).to_owned(), make_room(graph, sum)?);
        let [first, middle @ .., last] = &inputs[..] else { continue };
        let mut all = *first;
        for (index, &next) in middle.iter().enumerate() {
            // A number of its own, lest each name be looked for behind all those before it.
            let partial = if index == 0 { format!("{name}/partial") } else { format!("{name}/partial_{index}") };
            all = add_node(graph, &partial, "AddV2", &device, [all, next], None)?.into();
        }
        let new = add_node(graph, &name, "AddV2", &device, [all, *last], None)?;
        take_place(graph, sum.into(), new.into());
    }
    Ok(sums.len())
}
