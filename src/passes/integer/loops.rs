//! While-loops of single nodes (Enter, Merge, Switch, NextIteration, Exit), as converters to integers want them.
//!
//! # What it does
//! Weights and biases that a loop carries round unchanged, is given once, or computes of such become constants in its body,
//! where layers read them as they do outside. [`Bodies`] says where in a loop a new constant belongs, and [`Carried`] where
//! what a loop carries comes from.
//!
//! # What it leaves alone
//! Numbers that are no floats: steps and limits decide how often a loop runs.
//!
//! # Example
//! `enter = Enter(w); merge = Merge(enter, next); switch = Switch(merge, cond); next = NextIteration(switch:1);
//! product = MatMul(x, switch:1)` becomes `product = MatMul(x, w/inside)`, where `w/inside = Const(^pivot)`.

use hashbrown::HashMap;

use super::constants::{Constants, evaluate};
use super::new_nodes::{constant_at, dims_of};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::loops::is_switch_of_loop;
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::interpreter::{FrameId, Frames, Limits};
use crate::proto::tensorflow::DataType;

/// Which loop each node is in, and the node of each loop's body that constants of it wait for.
#[derive(Debug)]
pub(crate) struct Bodies {
    frames: Frames,
    pivots: HashMap<FrameId, NodeId>,
    /// Which nodes decide whether a loop goes on: they run before its body does.
    deciding: Vec<bool>,
}

impl Bodies {
    /// Finds them; loops that TensorFlow would not run are an error.
    pub(crate) fn of(graph: &Graph) -> Result<Self> {
        let frames = Frames::of(graph)?;
        // A float that is carried gets a range in front of its Identity, for which that cannot wait.
        let is_float = |node: NodeId| graph.tensor_type(node.into()) == Some(DataType::DtFloat);
        let mut pivots: HashMap<FrameId, NodeId> = HashMap::new();
        for node in graph.ids().filter(|&node| graph.op(node) == "Identity") {
            let Some(read) = graph.data_input(node, 0).filter(|read| read.port == 1) else { continue };
            if is_switch_of_loop(graph, read.node) {
                let pivot = pivots.entry(frames.inside(node)).or_insert(node);
                if is_float(*pivot) && !is_float(node) {
                    *pivot = node;
                }
            }
        }
        let conditions = graph.ids().filter(|&node| graph.op(node) == "LoopCond");
        let deciding = graph.reached(conditions, |node| {
            let ends = matches!(graph.op(node), "Merge" | "Enter");
            graph.inputs(node).filter(move |_| !ends).map(Input::node)
        });
        Ok(Self { frames, pivots, deciding })
    }

    /// Whether what the node makes is in a loop.
    pub(crate) fn contain(&self, graph: &Graph, node: NodeId) -> bool {
        self.frames.leads_to(graph, node) != FrameId::ROOT
    }

    /// What a constant beside what that node makes waits for: nothing outside of loops and in their conditions.
    pub(crate) fn pivot(&self, graph: &Graph, node: NodeId) -> Option<NodeId> {
        if self.deciding.get(node.index()) == Some(&true) {
            return None;
        }
        self.pivots.get(&self.frames.leads_to(graph, node)).copied()
    }
}

/// A variable of a loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variable {
    /// What decides whether it goes round again.
    pub switch: NodeId,
    /// What comes in.
    pub first: TensorRef,
    /// What comes round.
    pub next: TensorRef,
}

impl Variable {
    /// What the body reads.
    pub(crate) fn in_body(&self) -> TensorRef {
        TensorRef { node: self.switch, port: 1 }
    }

    /// The variable of a Switch of a loop.
    fn of(graph: &Graph, switch: NodeId) -> Option<Self> {
        if !is_switch_of_loop(graph, switch) {
            return None;
        }
        let merge = graph.data_input(switch, 0).filter(|merge| graph.op(merge.node) == "Merge")?.node;
        let (a, b) = (graph.data_input(merge, 0)?.node, graph.data_input(merge, 1)?.node);
        let (enter, next) = if graph.op(a) == "Enter" { (a, b) } else { (b, a) };
        if graph.op(enter) != "Enter" || graph.op(next) != "NextIteration" {
            return None;
        }
        Some(Self { switch, first: graph.data_input(enter, 0)?, next: graph.data_input(next, 0)? })
    }

    /// Whether it is the same all along.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.next == self.in_body()
    }

    /// The nodes of the body that read it, other than to hand it on.
    pub(crate) fn readers(&self, graph: &Graph) -> Vec<NodeId> {
        graph.tensor_consumers(self.in_body()).filter(|&reader| graph.op(reader) != "NextIteration").collect()
    }
}

/// The variables of all loops.
pub(crate) fn variables(graph: &Graph) -> Vec<Variable> {
    graph.ids().filter_map(|node| Variable::of(graph, node)).collect()
}

/// Puts constants that loops carry, are given, or compute of such into their bodies; says how many.
///
/// # Errors
/// Those of evaluating constants and of inserting nodes; a graph that TensorFlow would not run.
pub(crate) fn bring_in_constants(graph: &mut Graph, limits: &Limits) -> Result<usize> {
    if !graph.ids().any(|node| graph.op(node) == "Enter") {
        return Ok(0);
    }
    let bodies = Bodies::of(graph)?;
    let outside = read_outside(graph);
    let uses = constants_read(graph, &outside, &bodies);
    let values = evaluate(&outside, uses.iter().map(|read| read.tensor), limits)?;
    let mut inside: HashMap<(TensorRef, NodeId), TensorRef> = HashMap::new();
    for ConstantRead { reader, slot, tensor, pivot } in uses {
        let Some((value, numbers)) = values.get(&tensor).and_then(|value| Some((value, value.values::<f32>()?))) else {
            continue;
        };
        let constant = if let Some(&constant) = inside.get(&(tensor, pivot)) {
            constant
        } else {
            let name = format!("{}/inside", outside.name(tensor.node));
            constant_at(graph, &name, &Value::Shaped(numbers, &dims_of(value)), Some(pivot))?
        };
        inside.insert((tensor, pivot), constant);
        graph.set_input(reader, slot, Input::Data(constant));
    }
    Ok(inside.len())
}

/// The graph with what is the same in every round of a loop read where it comes from. It does not run as a whole, but what
/// loops compute of constants is computed of constants in it.
fn read_outside(graph: &Graph) -> Graph {
    let mut outside = graph.clone();
    for node in graph.ids() {
        if let Some(variable) = Variable::of(&outside, node).filter(Variable::is_unchanged) {
            let readers = variable.readers(&outside);
            outside.reroute(variable.in_body(), variable.first, &readers);
        } else if graph.op(node) == "Enter" && graph.attr_bool(node, "is_constant") == Some(true) {
            let readers: Vec<NodeId> = outside.tensor_consumers(node.into()).collect();
            if let Some(given) = outside.data_input(node, 0) {
                outside.reroute(node.into(), given, &readers);
            }
        } else if graph.op(node) == "Const" && graph.inputs(node).len() > 0 {
            outside.replace_inputs(node, &[]);
        }
    }
    outside
}

/// A constant that a node of a loop's body reads, and does not make a constant of.
struct ConstantRead {
    reader: NodeId,
    slot: usize,
    /// What it is outside.
    tensor: TensorRef,
    /// What a constant beside the reader waits for.
    pivot: NodeId,
}

/// Those that are no constants of the body yet.
fn constants_read(graph: &Graph, outside: &Graph, bodies: &Bodies) -> Vec<ConstantRead> {
    let constants = Constants::of(outside, &outside.run_order());
    let computes = |&node: &NodeId| !hands_on(graph.op(node)) && !constants.contain(node);
    let mut found = Vec::new();
    for reader in graph.ids().filter(computes) {
        let Some(pivot) = bodies.pivot(graph, reader) else { continue };
        for (slot, (tensor, inside)) in outside.data_inputs(reader).zip(graph.data_inputs(reader)).enumerate() {
            let is_float = outside.tensor_type(tensor) == Some(DataType::DtFloat);
            if is_float && constants.contain(tensor.node) && graph.op(inside.node) != "Const" {
                found.push(ConstantRead { reader, slot, tensor, pivot });
            }
        }
    }
    found
}

/// Whether the op only brings a tensor into a loop, round it, or out of it.
fn hands_on(op: &str) -> bool {
    matches!(op, "Enter" | "Merge" | "Switch" | "NextIteration" | "Exit")
}

/// Steps back from a list's handle to where its elements come from, at most.
const MAX_STEPS: usize = 64;

/// Where what loops carry, and what lists hold, comes from.
#[derive(Debug)]
pub(crate) struct Carried<'g> {
    graph: &'g Graph,
    by_switch: HashMap<NodeId, Variable>,
}

impl<'g> Carried<'g> {
    pub(crate) fn of(graph: &'g Graph) -> Self {
        let by_switch = variables(graph).into_iter().map(|variable| (variable.switch, variable)).collect();
        Self { graph, by_switch }
    }

    /// The tensors of which a node hands one on: that of a list, or that which a loop brought in or came round with.
    pub(crate) fn sources(&self, node: NodeId) -> Vec<TensorRef> {
        match self.graph.op(node) {
            "TensorListGetItem" | "TensorListStack" | "TensorListGather" => self.elements(node),
            "Exit" => self.graph.data_input(node, 0).map_or_else(Vec::new, |read| self.sources(read.node)),
            "Switch" => self.by_switch.get(&node).map_or_else(Vec::new, |variable| vec![variable.first, variable.next]),
            _ => Vec::new(),
        }
    }

    /// What was put into the list that a node reads.
    fn elements(&self, node: NodeId) -> Vec<TensorRef> {
        let mut found = Vec::new();
        let mut open: Vec<TensorRef> = self.graph.data_input(node, 0).into_iter().collect();
        let mut seen: Vec<TensorRef> = Vec::new();
        while let Some(handle) = open.pop() {
            if seen.contains(&handle) || seen.len() > MAX_STEPS {
                continue;
            }
            seen.push(handle);
            match self.graph.op(handle.node) {
                "TensorListFromTensor" => found.extend(self.graph.data_input(handle.node, 0)),
                "TensorListSetItem" => {
                    found.extend(self.graph.data_input(handle.node, 2));
                    open.extend(self.graph.data_input(handle.node, 0));
                }
                "TensorListPushBack" => {
                    found.extend(self.graph.data_input(handle.node, 1));
                    open.extend(self.graph.data_input(handle.node, 0));
                }
                "Switch" => {
                    if let Some(variable) = self.by_switch.get(&handle.node) {
                        open.extend([variable.first, variable.next]);
                    }
                }
                "Exit" | "Identity" | "Enter" | "NextIteration" | "TensorListResize" => {
                    open.extend(self.graph.data_input(handle.node, 0));
                }
                _ => {}
            }
        }
        found
    }
}
