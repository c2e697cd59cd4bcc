//! What hands a tensor on as it is, taken out from between layers.
//!
//! # What it does
//! Who reads an Identity, StopGradient, Snapshot, PreventGradient or CheckNumerics reads what it reads. A bias or an activation
//! behind one is then seen to belong to its layer.
//!
//! # What it leaves alone
//! Outputs, which keep their names; what hands constants on; what is in loops, waits for others, or is waited for.
//!
//! # Example
//! `same = Identity(conv); biased = AddV2(same, b)` becomes `biased = AddV2(conv, b)`.

use hashbrown::HashSet;

use super::constants::Constants;
use super::loops::Bodies;
use super::new_nodes::take_place;
use crate::error::Result;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// Takes them out; says how many.
///
/// # Errors
/// For a graph that TensorFlow would not run.
pub(crate) fn take_out(graph: &mut Graph, outputs: &[TensorRef]) -> Result<usize> {
    let order = graph.run_order();
    let constants = Constants::of(graph, &order);
    let bodies = Bodies::of(graph)?;
    let outputs: HashSet<TensorRef> = outputs.iter().copied().collect();
    let hands_on = |graph: &Graph, node: NodeId| {
        let op = graph.op(node);
        matches!(op, "Identity" | "StopGradient" | "Snapshot" | "PreventGradient" | "CheckNumerics")
            && graph.tensor_type(node.into()) == Some(DataType::DtFloat)
            && !outputs.contains(&TensorRef::from(node))
            && !constants.contain(node)
            && !bodies.contain(graph, node)
            && graph.control_inputs(node).next().is_none()
            && graph.uses(node).all(|usage| usage.input.tensor().is_some())
    };
    let mut count = 0;
    for node in order {
        if let Some(read) = graph.data_input(node, 0).filter(|_| hands_on(graph, node))
            && !is_control_flow(graph.op(read.node))
        {
            take_place(graph, node.into(), read);
            count += 1;
        }
    }
    Ok(count)
}

/// Whether it is a part of TensorFlow 1's conditionals and loops, which say by an Identity what waits for a branch.
fn is_control_flow(op: &str) -> bool {
    matches!(op, "Switch" | "RefSwitch" | "Merge" | "RefMerge" | "Enter" | "RefEnter" | "Exit" | "RefExit")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image, run};
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn what_is_read_is_read_directly_but_for_outputs_and_constants() {
        let mut graph = graph_of(
            "x = Placeholder [?,4,4,2]
             w = Const [3,3,2,2]
             read = Identity(w)
             conv = Conv2D(x, read)
             same = Identity(conv)
             again = StopGradient(same)
             b = Const [2]
             biased = AddV2(again, b)
             out = Identity(biased)",
        );
        let before = run(&graph, "out", &image(2));
        let outputs = [graph.find_tensor("out").unwrap()];
        assert_eq!(take_out(&mut graph, &outputs).unwrap(), 2);
        assert_eq!(run(&graph, "out", &image(2)), before);
        let read =
            |name: &str, slot: usize| graph.tensor_name(graph.data_input(graph.find(name).unwrap(), slot).unwrap());
        assert_eq!([read("biased", 0), read("out", 0), read("conv", 1)], ["conv:0", "biased:0", "read:0"]);
    }
}
