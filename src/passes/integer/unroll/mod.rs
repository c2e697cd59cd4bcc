//! While-loops that go round a known number of times, written out step by step.
//!
//! # What it does
//! Devices of 8 bits alone have no loops, and the converter's carry floats from step to step. Each node of a loop's body is
//! copied once for each step; counters become numbers, and what was put into lists (TensorList, TensorArray) and taken out of
//! them is handed on directly. Copies share the weights. What read a list behind the loop reads a Pack of its elements.
//!
//! # When it applies
//! To a loop (Enter, Merge, Switch, NextIteration, Exit) whose condition compares counters with constants, of no more than 128
//! steps and 20,000 nodes in all, for targets whose converter reads loops so.
//!
//! # What it leaves alone
//! Loops within loops, with branches, with random numbers or with lists of unknown length.
//!
//! # Example
//! `i = Merge(0, i + 1), h = Merge(zeros, Tanh(MatMul(h, w) + TensorListGetItem(x, i))), while i < 2` becomes
//! `step_0 = Tanh(MatMul(zeros, w) + x:0); step_1 = Tanh(MatMul(step_0, w) + x:1)`, where `x = Unpack(steps)`.

mod exits;
pub(crate) mod known;
mod outside;
mod steps;
#[cfg(test)]
mod tests;
mod value;

use super::computed_shapes::write_as_constants;
use super::loops::{Variable, variables};
use crate::error::{Error, Result};
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::interpreter::{FrameId, Frames, Limits};

/// More steps than that stay a loop, unless more are asked for: each is a copy of the body.
const MOST_STEPS: usize = 128;

/// So many nodes are inserted for a step on average at most.
const NODES_A_STEP: usize = 160;

/// So many loops, and so many variables of one, are looked at.
const MOST_LOOPS: usize = 32;
const MOST_VARIABLES: usize = 256;

/// What became of loops.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    pub unrolled: Vec<Unrolled>,
    /// The frames of those with more steps than may be written out.
    pub too_long: Vec<String>,
}

/// A loop that was written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unrolled {
    /// The loop's frame.
    pub name: String,
    pub steps: usize,
}

/// Why a loop stays one.
#[derive(Debug)]
enum Stop {
    /// It is of another kind.
    Unknown,
    /// It has more steps than it may; it is called so.
    TooLong(String),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Step<T> = Result<T, Stop>;

/// Writes loops out, of up to so many steps (128); says which. What is not needed any more stays, for who drops it.
///
/// # Errors
/// Those of evaluating constants and of inserting nodes; a graph that TensorFlow would not run.
pub(crate) fn unroll(graph: &mut Graph, most_steps: Option<usize>, limits: &Limits) -> Result<Loops> {
    let most_steps = most_steps.unwrap_or(MOST_STEPS);
    let mut left: Vec<NodeId> = graph.run_order().into_iter().filter(|&node| graph.op(node) == "LoopCond").collect();
    let mut loops = Loops::default();
    let since = graph.len();
    if left.is_empty() || left.len() > MOST_LOOPS {
        return Ok(loops);
    }
    // One may be of known length only when another, whose result it reads, is written out.
    loop {
        write_as_constants(graph, limits)?;
        let before = loops.unrolled.len();
        loops.too_long.clear();
        for condition in std::mem::take(&mut left) {
            match written_out(graph, condition, most_steps, limits) {
                Ok((new, done)) => {
                    *graph = new;
                    loops.unrolled.push(done);
                }
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Unknown) => left.push(condition),
                Err(Stop::TooLong(name)) => {
                    loops.too_long.push(name);
                    left.push(condition);
                }
            }
        }
        if loops.unrolled.len() == before {
            break;
        }
    }
    if !loops.unrolled.is_empty() {
        known::write(graph, since, limits)?;
    }
    Ok(loops)
}

fn written_out(graph: &Graph, condition: NodeId, most_steps: usize, limits: &Limits) -> Step<(Graph, Unrolled)> {
    let whole = Loop::of(graph, condition)?;
    let mut new = graph.clone();
    let (mut steps, last) = steps::write(&mut new, graph, &whole, most_steps, limits)?;
    for (variable, last) in whole.variables.iter().zip(last) {
        exits::leave(&mut steps, graph, variable, &last, limits)?;
    }
    let steps = steps.step;
    Ok((new, Unrolled { name: whole.name, steps }))
}

/// A loop at the outermost level, with none in it.
#[derive(Debug)]
struct Loop {
    name: String,
    /// Whether it goes on.
    condition: TensorRef,
    variables: Vec<Variable>,
    /// What brings tensors in that are no variables.
    given: Vec<NodeId>,
    /// What the condition is computed by, inputs first.
    deciding: Vec<NodeId>,
    /// What else a step computes, inputs first.
    body: Vec<NodeId>,
}

impl Loop {
    fn of(graph: &Graph, condition: NodeId) -> Step<Self> {
        let variables: Vec<Variable> = variables(graph)
            .into_iter()
            .filter(|variable| graph.data_input(variable.switch, 1).is_some_and(|read| read.node == condition))
            .collect();
        let goes_on = graph.data_input(condition, 0).ok_or(Stop::Unknown)?;
        let merges: Vec<NodeId> =
            variables.iter().filter_map(|variable| Some(graph.data_input(variable.switch, 0)?.node)).collect();
        let is_edge = |node: NodeId| matches!(graph.op(node), "Enter" | "Merge" | "Switch");
        let ends = variables.iter().map(|variable| variable.next.node).chain([goes_on.node]);
        let inputs = |node: NodeId| graph.inputs(node).filter(move |_| !is_edge(node)).map(Input::node);
        let needed = graph.reached(ends, inputs);
        let of_loop: Vec<NodeId> = graph.run_order().into_iter().filter(|node| needed[node.index()]).collect();
        let switches: Vec<NodeId> = variables.iter().map(|variable| variable.switch).collect();
        let is_known = |&node: &NodeId| match graph.op(node) {
            "Merge" => merges.contains(&node),
            "Switch" => switches.contains(&node),
            op => !matches!(op, "Exit" | "NextIteration" | "LoopCond"),
        };
        if variables.is_empty() || variables.len() > MOST_VARIABLES || !of_loop.iter().all(is_known) {
            return Err(Stop::Unknown);
        }
        let computed = of_loop.into_iter().filter(|&node| !matches!(graph.op(node), "Merge" | "Switch"));
        let (given, computed): (Vec<NodeId>, Vec<NodeId>) = computed.partition(|&node| is_edge(node));
        let decides = graph.reached([goes_on.node], inputs);
        let (deciding, body) = computed.into_iter().partition(|node| decides[node.index()]);
        let frames = Frames::of(graph)?;
        let is_outermost = |tensor: TensorRef| frames.leads_to(graph, tensor.node) == FrameId::ROOT;
        let brought_in = given.iter().filter_map(|&enter| graph.data_input(enter, 0));
        let brought_in: Vec<TensorRef> = brought_in.chain(variables.iter().map(|variable| variable.first)).collect();
        if given.len() > MOST_VARIABLES || !brought_in.into_iter().all(is_outermost) {
            return Err(Stop::Unknown);
        }
        let name = graph.attr_str(graph.data_input(merges[0], 0).ok_or(Stop::Unknown)?.node, "frame_name");
        Ok(Self { name: name.unwrap_or_default(), condition: goes_on, variables, given, deciding, body })
    }
}
