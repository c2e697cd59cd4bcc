//! Where in a graph its nodes run: in which while-loop, and behind how many untaken branches they may stay dead.
//!
//! TensorFlow 1's control flow is a matter of single nodes (Enter, Merge, Switch, NextIteration, Exit). Here every loop
//! is found once, so that it can be run as what it is: a block of nodes that is repeated.

use hashbrown::HashMap;

use crate::error::{ErrorKind, Result};
use crate::graph::{Graph, Input, NodeId};

/// A while-loop, or all that is in none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FrameId(u32);

impl FrameId {
    /// Outside of all loops.
    pub(crate) const ROOT: Self = Self(0);
}

/// Deeper loops than any program nests are refused; blocks are walked by calls.
const MAX_LOOP_DEPTH: usize = 32;

#[derive(Debug)]
struct Frame {
    parent: FrameId,
    depth: usize,
    /// The loops directly in it.
    inner: Vec<FrameId>,
}

/// The loops of a graph and who is in them.
#[derive(Debug)]
pub(crate) struct Frames {
    list: Vec<Frame>,
    /// Where each node runs.
    inside: Vec<FrameId>,
    /// How many branches, each of which may not be taken, each node is behind.
    branches: Vec<u32>,
}

impl Frames {
    /// Finds them. The graph has no cycles but those of its loops.
    pub(crate) fn of(graph: &Graph) -> Result<Self> {
        let mut found = Self {
            list: vec![Frame { parent: FrameId::ROOT, depth: 0, inner: Vec::new() }],
            inside: vec![FrameId::ROOT; graph.len()],
            branches: vec![0; graph.len()],
        };
        if !has_control_flow(graph) {
            return Ok(found);
        }
        let mut named: HashMap<(FrameId, String), FrameId> = HashMap::new();
        for node in graph.run_order() {
            let op = graph.op(node);
            let mut frame = FrameId::ROOT;
            let mut branches = 0;
            for input in graph.inputs(node).map(Input::node).filter(|&input| !graph.closes_loop(input)) {
                frame = found.deeper(frame, found.leads_to(graph, input)).ok_or_else(|| {
                    graph
                        .error(ErrorKind::InvalidGraph, "the inputs come from different while-loops", node)
                        .hint("TensorFlow would not run this graph; export it again")
                })?;
                branches = branches.max(found.branches[input.index()]);
            }
            let closes = graph.inputs(node).any(|input| graph.closes_loop(input.node()));
            found.branches[node.index()] = match op {
                "Switch" | "RefSwitch" | "_SwitchN" => branches + 1,
                "Exit" | "RefExit" => branches.saturating_sub(1),
                "Merge" | "RefMerge" if !closes => branches.saturating_sub(1),
                _ => branches,
            };
            if matches!(op, "Enter" | "RefEnter") {
                let name = graph.attr_str(node, "frame_name").unwrap_or_default();
                let depth = found.list[frame.0 as usize].depth + 1;
                if depth > MAX_LOOP_DEPTH {
                    let what = format!("while-loops nested deeper than {MAX_LOOP_DEPTH}");
                    return Err(graph.error(ErrorKind::Refused, what, node));
                }
                frame = *named.entry((frame, name)).or_insert_with(|| {
                    let id = FrameId(u32::try_from(found.list.len()).unwrap_or(u32::MAX));
                    found.list.push(Frame { parent: frame, depth, inner: Vec::new() });
                    found.list[frame.0 as usize].inner.push(id);
                    id
                });
            }
            found.inside[node.index()] = frame;
        }
        Ok(found)
    }

    /// The frame that the node's outputs are in.
    pub(crate) fn leads_to(&self, graph: &Graph, node: NodeId) -> FrameId {
        let inside = self.inside[node.index()];
        if matches!(graph.op(node), "Exit" | "RefExit") { self.parent(inside) } else { inside }
    }

    /// The inner one of two frames; `None` if neither is inside the other.
    fn deeper(&self, a: FrameId, b: FrameId) -> Option<FrameId> {
        let depth = |frame: FrameId| self.list[frame.0 as usize].depth;
        let (inner, outer) = if depth(a) >= depth(b) { (a, b) } else { (b, a) };
        self.is_within(inner, outer).then_some(inner)
    }

    fn is_within(&self, inner: FrameId, outer: FrameId) -> bool {
        self.chain(inner).any(|frame| frame == outer)
    }

    /// The frame and all around it.
    pub(super) fn chain(&self, frame: FrameId) -> impl Iterator<Item = FrameId> + '_ {
        std::iter::successors(Some(frame), |&frame| (frame != FrameId::ROOT).then(|| self.parent(frame)))
    }

    fn parent(&self, frame: FrameId) -> FrameId {
        self.list[frame.0 as usize].parent
    }

    /// The loops directly in a frame.
    pub(super) fn directly_in(&self, frame: FrameId) -> &[FrameId] {
        &self.list[frame.0 as usize].inner
    }

    /// The frame and all loops in it, however deep.
    pub(super) fn all_in(&self, frame: FrameId) -> Vec<FrameId> {
        let mut all = vec![frame];
        let mut next = 0;
        while let Some(&frame) = all.get(next) {
            all.extend(&self.list[frame.0 as usize].inner);
            next += 1;
        }
        all
    }

    /// Where the node runs.
    pub(crate) fn inside(&self, node: NodeId) -> FrameId {
        self.inside[node.index()]
    }

    /// Whether the node may not run because a branch is not taken.
    pub(super) fn may_be_dead(&self, node: NodeId) -> bool {
        self.branches[node.index()] > 0
    }
}

fn has_control_flow(graph: &Graph) -> bool {
    graph
        .ids()
        .any(|node| matches!(graph.op(node), "Switch" | "RefSwitch" | "_SwitchN" | "Enter" | "RefEnter" | "Merge"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn knows_loops_and_branches() {
        let graph = graph_of(
            "x = Placeholder
enter = Enter(x)
merge = Merge(enter, next)
cond = LoopCond(merge)
switch = Switch(merge, cond)
body = Neg(switch:1)
next = NextIteration(body)
exit = Exit(switch)
after = Neg(exit)",
        );
        let frames = Frames::of(&graph).unwrap();
        let of = |name: &str| {
            let node = graph.find(name).unwrap();
            (frames.inside(node) != FrameId::ROOT, frames.may_be_dead(node))
        };
        assert_eq!(
            ["x", "enter", "merge", "cond"].map(of),
            [(false, false), (true, false), (true, false), (true, false)]
        );
        assert_eq!(
            ["body", "next", "exit", "after"].map(of),
            [(true, true), (true, true), (true, false), (false, false)]
        );
    }
}
