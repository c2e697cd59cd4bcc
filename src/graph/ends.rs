//! Where results leave a graph, without what only trains, saves or watches.

use super::op_class::{feeds, is_variable, takes_batch_norm};
use super::training::{
    Gradients, is_gradient, name_stands_aside, op_stands_aside, op_watches, reads_loss_gradient,
    some_name_may_stand_aside,
};
use super::{Graph, NodeId, PerOp, Word};

/// What a node is to somebody who looks for results.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It computes something that another such node reads.
    Inner,
    /// Nobody reads it.
    End,
    /// Summaries or gradients read it, nobody else.
    Watched,
    /// It saves, initialises, updates, watches or trains, or serves only nodes that do.
    Aside,
}

/// The nodes where results leave the graph, the likeliest first.
#[must_use]
pub(crate) fn ranked_ends(graph: &Graph) -> Vec<NodeId> {
    ends(graph).0
}

/// The ends that nobody reads.
#[must_use]
pub(crate) fn unread_ends(graph: &Graph) -> Vec<NodeId> {
    let (mut ends, unread) = ends(graph);
    ends.truncate(unread);
    ends
}

/// The ends, and how many of them, the first, nobody reads.
fn ends(graph: &Graph) -> (Vec<NodeId>, usize) {
    let order = graph.near_order();
    let mut roles = vec![Role::Aside; graph.len()];
    let facts = Facts::of(graph);
    for &node in order.iter().rev() {
        roles[node.index()] = role(graph, node, &facts, &roles);
    }
    let abandoned = abandoned(graph, &order);
    let is_end = |node: NodeId| matches!(roles[node.index()], Role::End | Role::Watched) && !abandoned[node.index()];
    let mut ends: Vec<NodeId> = graph.ids().filter(|&node| is_end(node)).collect();
    // What reads a variable once it is trained, as the optimizers of Keras do.
    let gradients = Gradients::find(graph);
    if ends.iter().any(|&node| !gradients.contain(node)) {
        ends.retain(|&node| !gradients.contain(node));
    }
    let is_watched = |node: NodeId| roles[node.index()] == Role::Watched;
    if ends.len() > 1 {
        let depth = depths(graph, &order);
        ends.sort_unstable_by_key(|&node| (is_watched(node), std::cmp::Reverse(depth[node.index()]), node));
        if ends.iter().any(|node| depth[node.index()] > 0) {
            ends.retain(|node| depth[node.index()] > 0);
        }
    }
    let unread = ends.partition_point(|&node| !is_watched(node));
    for end in &mut ends[..unread] {
        *end = before_quantizer(graph, *end);
    }
    (ends, unread)
}

/// What a rewriter's quantizer that nobody reads was put behind: it was the output, and still bears the name.
fn before_quantizer(graph: &Graph, end: NodeId) -> NodeId {
    let mut node = end;
    while is_made_by_rewriter(graph.name(node)) || node != end && graph.op(node) == "Switch" {
        match graph.data_input(node, 0) {
            Some(input) => node = input.node,
            None => break,
        }
    }
    node
}

/// Whether a name is one that rewriters give to quantizers, or to what ends the delay of one: `act_quant`, `add_quant_1`.
fn is_made_by_rewriter(name: &str) -> bool {
    let Some(scope) = name.strip_suffix("/FakeQuantWithMinMaxVars").or_else(|| name.strip_suffix("/Merge")) else {
        return false;
    };
    scope.trim_end_matches(|end: char| end.is_ascii_digit() || end == '_').ends_with("_quant")
}

/// Of what only asserts something.
const ASSERTING: [Word; 2] = [Word::AssertGuard, Word::AssertBroadcastable];

/// What the roles of nodes depend on, beside their edges.
struct Facts {
    op_stands_aside: PerOp<bool>,
    some_name_stands_aside: bool,
    some_name_asserts: bool,
    watches: PerOp<bool>,
    holds: PerOp<Holds>,
}

/// Whether a node of some op only holds what others read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Yes,
    /// If it hands on a variable.
    IfVariable,
    No,
}

impl Facts {
    fn of(graph: &Graph) -> Self {
        Self {
            op_stands_aside: graph.per_op(op_stands_aside),
            some_name_stands_aside: some_name_may_stand_aside(graph),
            some_name_asserts: ASSERTING.into_iter().any(|word| graph.some_name_may_hold(word)),
            watches: graph.per_op(op_watches),
            holds: graph.per_op(holds),
        }
    }

    fn stands_aside(&self, graph: &Graph, node: NodeId) -> bool {
        let by_name = || {
            let asserts = |name: &str| ASSERTING.iter().any(|word| name.contains(word.text()));
            self.some_name_stands_aside && name_stands_aside(graph.name(node))
                || self.some_name_asserts && asserts(graph.name(node))
        };
        *self.op_stands_aside.of(graph, node) || by_name()
    }
}

fn role(graph: &Graph, node: NodeId, facts: &Facts, roles: &[Role]) -> Role {
    let holds = match facts.holds.of(graph, node) {
        Holds::Yes => true,
        Holds::IfVariable => hands_on_variable(graph, node),
        Holds::No => false,
    };
    if holds || facts.stands_aside(graph, node) {
        return Role::Aside;
    }
    let watches =
        |node| *facts.watches.of(graph, node) || is_gradient(graph.name(node)) || reads_loss_gradient(graph, node);
    let mut read = false;
    let mut updated = false;
    for consumer in graph.consumers(node) {
        read = true;
        match roles[consumer.index()] {
            Role::Aside if watches(consumer) => {}
            Role::Aside => updated = true,
            _ => return Role::Inner,
        }
    }
    match (read, updated) {
        (false, _) => Role::End,
        (true, false) => Role::Watched,
        (true, true) => Role::Aside,
    }
}

/// The longest way from an input to each node, in steps; 0 for nodes that no input reaches.
fn depths(graph: &Graph, order: &[NodeId]) -> Vec<u32> {
    let mut depth = vec![0u32; graph.len()];
    let feeds = graph.per_op(|op| feeds(op) || op == "PlaceholderWithDefault");
    for &node in order {
        let above = graph.data_inputs(node).map(|input| depth[input.node.index()]).max().unwrap_or(0);
        depth[node.index()] = if *feeds.of(graph, node) {
            1
        } else if above > 0 {
            above + 1
        } else {
            0
        };
    }
    depth
}

/// Which nodes only follow a layer that was left behind when its batch norm was folded: its twin `…_Fold` took over.
fn abandoned(graph: &Graph, order: &[NodeId]) -> Vec<bool> {
    let mut abandoned = vec![false; graph.len()];
    let is_layer = graph.per_op(takes_batch_norm);
    let took_over = |name: &str| name.ends_with("_Fold") || name.ends_with("_fold");
    let has_twin = |name: &str| !took_over(name) && graph.find(&[name, "_Fold"].concat()).is_some();
    let left_behind: Vec<NodeId> =
        graph.ids().filter(|&node| *is_layer.of(graph, node) && has_twin(graph.name(node))).collect();
    if left_behind.is_empty() {
        return abandoned;
    }
    for node in left_behind {
        abandoned[node.index()] = true;
    }
    for &node in order.iter().filter(|&&node| !*is_layer.of(graph, node)) {
        abandoned[node.index()] =
            graph.data_inputs(node).any(|input| abandoned[input.node.index()]) && !took_over(graph.name(node));
    }
    abandoned
}

fn holds(op: &str) -> Holds {
    match op {
        "Const"
        | "Placeholder"
        | "PlaceholderV2"
        | "PlaceholderWithDefault"
        | "VariableV2"
        | "Variable"
        | "VarHandleOp"
        | "ReadVariableOp" => Holds::Yes,
        "Identity" => Holds::IfVariable,
        _ => Holds::No,
    }
}

/// Whether a variable is read through the node, or it is the pivot of a conditional.
fn hands_on_variable(graph: &Graph, identity: NodeId) -> bool {
    let input = graph.data_input(identity, 0).map(|input| graph.op(input.node));
    input.is_some_and(|op| is_variable(op) || op == "Switch")
}
