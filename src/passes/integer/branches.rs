//! Branches that are always taken: what decides is constant once shapes are known, as in Keras' CenterCrop.
//!
//! # What it does
//! Who reads a Switch whose predicate is constant reads what the Switch reads, and who reads its Merge reads what the one
//! branch makes, whose nodes wait for nothing then. What the other branch computes is read by nobody any more.
//!
//! # What it leaves alone
//! Switches of loops, and whatever a fed predicate decides.
//!
//! # Example
//! `Switch(x, true) → Relu → Merge(…, relu)` becomes `Relu(x)`.

use hashbrown::{HashMap, HashSet};

use super::constants::{Constants, evaluate};
use super::new_nodes::{constant, make_room, take_place};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::interpreter::Limits;
use crate::proto::tensorflow::DataType;

/// Takes them out of the graph; says how many Switches and Merges that were.
///
/// # Errors
/// Those of evaluating the predicates and of inserting nodes.
pub(crate) fn take_out(graph: &mut Graph, outputs: &[TensorRef], limits: &Limits) -> Result<usize> {
    let order = graph.run_order();
    let decided = decided(graph, &order, limits)?;
    if decided.is_empty() {
        return Ok(0);
    }
    let taken = Taken::of(graph, &order, &decided);
    let passed: HashSet<NodeId> =
        order.iter().copied().filter(|node| is_pivot(graph, *node, &decided)).chain(decided.keys().copied()).collect();
    for &node in order.iter().filter(|node| !taken.dead.contains(*node)) {
        let waits = |input: &Input| matches!(input, Input::Control(other) if passed.contains(other));
        if graph.inputs(node).any(|input| waits(&input)) {
            let left: Vec<Input> = graph.inputs(node).filter(|input| !waits(input)).collect();
            graph.replace_inputs(node, &left);
        }
    }
    for &(old, new) in &taken.replaced {
        if outputs.contains(&old) {
            keep_as_identity(graph, old, new)?;
        } else {
            take_place(graph, old, new);
        }
    }
    for (merge, index) in taken.indices {
        if graph.tensor_consumers(merge).next().is_some() {
            let index = constant(graph, &format!("{}/index", graph.name(merge.node)), &Value::Int32(index))?;
            take_place(graph, merge, index);
        }
    }
    Ok(taken.replaced.len())
}

/// The Switches whose predicate is the same in every run, and what it is.
fn decided(graph: &Graph, order: &[NodeId], limits: &Limits) -> Result<HashMap<NodeId, bool>> {
    let constants = Constants::of(graph, order);
    let predicate = |node: NodeId| {
        let predicate = graph.data_input(node, 1).filter(|_| graph.op(node) == "Switch")?;
        let is_constant = constants.contain(predicate.node) && graph.control_inputs(node).next().is_none();
        (is_constant && graph.tensor_type(predicate) == Some(DataType::DtBool)).then_some((node, predicate))
    };
    let switches: Vec<(NodeId, TensorRef)> = order.iter().filter_map(|&node| predicate(node)).collect();
    let values = evaluate(graph, switches.iter().map(|&(_, predicate)| predicate), limits)?;
    let value = |predicate| values.get(&predicate)?.values::<bool>()?.first().copied();
    Ok(switches.into_iter().filter_map(|(node, predicate)| Some((node, value(predicate)?))).collect())
}

/// Whether the node only says that a branch is taken, for others to wait for.
fn is_pivot(graph: &Graph, node: NodeId, decided: &HashMap<NodeId, bool>) -> bool {
    graph.op(node) == "Identity" && graph.data_input(node, 0).is_some_and(|input| decided.contains_key(&input.node))
}

/// What is left of the branches.
#[derive(Debug, Default)]
struct Taken {
    /// Nodes that never run.
    dead: HashSet<NodeId>,
    /// What is read instead of a Switch or a Merge.
    replaced: Vec<(TensorRef, TensorRef)>,
    /// Which of its inputs a Merge tells to have taken.
    indices: Vec<(TensorRef, i32)>,
}

impl Taken {
    fn of(graph: &Graph, order: &[NodeId], decided: &HashMap<NodeId, bool>) -> Self {
        let mut taken = Self::default();
        let mut instead: HashMap<TensorRef, TensorRef> = HashMap::new();
        for &node in order {
            let is_dead = |input: &Input| match *input {
                Input::Control(other) => taken.dead.contains(&other),
                Input::Data(tensor) => {
                    let way = decided.get(&tensor.node).map(|&way| u32::from(way));
                    taken.dead.contains(&tensor.node) || way.is_some_and(|way| way != tensor.port)
                }
            };
            let is_merge = graph.op(node) == "Merge";
            let dead = graph.inputs(node).filter(is_dead).count();
            if dead > 0 && (!is_merge || dead == graph.inputs(node).len()) {
                taken.dead.insert(node);
                continue;
            }
            let read = if let Some(&way) = decided.get(&node) {
                graph.data_input(node, 0).map(|data| (TensorRef { node, port: u32::from(way) }, data))
            } else {
                let mut alive = graph.inputs(node).enumerate().filter(|(_, input)| !is_dead(input));
                let only = alive.next().filter(|_| is_merge && dead > 0 && alive.next().is_none());
                only.and_then(|(slot, input)| {
                    taken.indices.push((TensorRef { node, port: 1 }, i32::try_from(slot).ok()?));
                    Some((node.into(), input.tensor()?))
                })
            };
            if let Some((old, new)) = read {
                let new = instead.get(&new).copied().unwrap_or(new);
                instead.insert(old, new);
                taken.replaced.push((old, new));
            }
        }
        taken
    }
}

/// Hands a tensor on by the name of an output that nobody computes any more.
fn keep_as_identity(graph: &mut Graph, old: TensorRef, new: TensorRef) -> Result<()> {
    let Some(data_type) = graph.tensor_type(old).filter(|_| old.port == 0) else { return Ok(()) };
    let device = graph.device(old.node).to_owned();
    let name = make_room(graph, old.node)?;
    let mut attrs = Attrs::default();
    attrs.data_type("T", data_type);
    let inputs = [Input::Data(new)];
    let new = NewNode { name: &name, op: "Identity", device: &device, inputs: &inputs, attrs: attrs.as_bytes() };
    let identity = graph.insert(new)?;
    take_place(graph, old, identity.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image, run};
    use super::*;
    use crate::graph::samples::graph_of;

    const CROP: &str = "
        x = Placeholder [?,4,4,2]
        size = Const [4]i
        eight = Const [8]i
        larger = GreaterEqual(size, eight) T=DT_INT32
        first = Const [0]i
        all = All(larger, first)
        switch = Switch(all, all) T=DT_BOOL
        no = Identity(switch) T=DT_BOOL
        yes = Identity(switch:1) T=DT_BOOL
        taken = Switch(x, all)
        half = Const 0.5
        w = Const [3,3,2,2]
        smaller = Mul(taken, half)
        conv = Conv2D(taken:1, w)
        merged = Merge(smaller, conv)
        out = Relu(merged)";

    fn taken_out(lines: &str, output: &str) -> (usize, Graph) {
        let mut graph = graph_of(lines);
        let before = run(&graph, output, &image(2));
        let outputs = [graph.find_tensor(output).unwrap()];
        let count = take_out(&mut graph, &outputs, &Limits::default()).unwrap();
        assert_eq!(run(&graph, output, &image(2)), before);
        (count, graph)
    }

    #[test]
    fn what_a_constant_decides_is_decided() {
        let (count, graph) = taken_out(CROP, "out");
        assert_eq!(count, 3);
        let reads = |name: &str| graph.tensor_name(graph.data_input(graph.find(name).unwrap(), 0).unwrap());
        assert_eq!([reads("out"), reads("smaller")], ["smaller:0", "x:0"]);
    }

    #[test]
    fn an_output_keeps_its_name_and_constants_of_the_branch_wait_no_more() {
        let waiting = CROP.replace("half = Const 0.5", "half = Const 0.5\nlate = Identity(half, ^no)");
        let (_, graph) = taken_out(&waiting.replace("Mul(taken, half)", "Mul(taken, late)"), "merged");
        assert_eq!(graph.op(graph.find("merged").unwrap()), "Identity");
        assert_eq!(graph.control_inputs(graph.find("late").unwrap()).count(), 0);
    }

    #[test]
    fn what_is_fed_decides_in_each_run() {
        let fed = CROP.replace("all = All(larger, first)", "all = PlaceholderWithDefault(larger) dtype=DT_BOOL");
        assert_eq!(taken_out(&fed, "out").0, 0);
    }
}
