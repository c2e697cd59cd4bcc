//! Finds small trees of ops in a graph: `FusedBatchNorm` of `Conv2D` of anything, and what stands at each place.
//!
//! [`Patterns`] holds op-type patterns that refer to each other; a pattern's [`PatternId`] is also the label by which a
//! [`Match`] tells the node and the tensor that took its place. Used by the folding and quantizing passes, which walk
//! the graph once and ask [`Patterns::match_node`] at each node, so that they may edit the graph between two matches.
//!
//! TensorFlow's `contrib/quantize/python/graph_matcher.py`, of 1.5 and of 1.15. A pattern is a finite tree, so the work
//! at one node is bounded by the pattern, whatever the graph.

use crate::graph::{Graph, Input, NodeId, TensorRef};

/// Every version of batch normalisation as one op.
pub(super) const FUSED_BATCH_NORM: &str = "FusedBatchNorm|FusedBatchNormV2|FusedBatchNormV3";

/// A pattern, and the label of what it captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PatternId(u32);

#[derive(Debug, Clone)]
enum Pattern {
    /// A node of one of these ops; without ops, any node.
    Op { ops: Vec<&'static str>, inputs: Inputs },
    /// The first of these patterns that matches.
    OneOf(Vec<PatternId>),
}

#[derive(Debug, Clone)]
enum Inputs {
    Whatever,
    InOrder(Vec<PatternId>),
}

/// Patterns that refer to each other. One may stand in several places; it then captures the last of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns {
    patterns: Vec<Pattern>,
}

impl Patterns {
    /// No patterns yet.
    #[must_use]
    pub(super) fn new() -> Self {
        Self::default()
    }

    #[allow(clippy::cast_possible_truncation)] // patterns are written down in code
    fn push(&mut self, pattern: Pattern) -> PatternId {
        self.patterns.push(pattern);
        PatternId(self.patterns.len() as u32 - 1)
    }

    /// Any node.
    pub(super) fn any(&mut self) -> PatternId {
        self.push(Pattern::Op { ops: Vec::new(), inputs: Inputs::Whatever })
    }

    /// A node of one of the ops, separated by `|`; `*` is any op. Its data inputs must be as many as `inputs` and match
    /// them in order, but with no `inputs` they may be anything.
    pub(super) fn op(&mut self, ops: &'static str, inputs: &[PatternId]) -> PatternId {
        let inputs = if inputs.is_empty() { Inputs::Whatever } else { Inputs::InOrder(inputs.to_vec()) };
        self.push(Pattern::Op { ops: alternatives(ops), inputs })
    }

    /// The first of these that matches. It captures nothing itself; ask the match which of `patterns` took part.
    pub(super) fn one_of(&mut self, patterns: &[PatternId]) -> PatternId {
        self.push(Pattern::OneOf(patterns.to_vec()))
    }

    /// Matches `node` against `pattern`.
    #[must_use]
    pub(super) fn match_node(&self, graph: &Graph, pattern: PatternId, node: NodeId) -> Option<Match> {
        let mut captures = Vec::new();
        self.matches(graph, pattern, node, None, &mut captures).then_some(Match { root: node, captures })
    }

    /// Whether the node, read through `tensor`, matches; on failure `captures` is as it was.
    fn matches(
        &self,
        graph: &Graph,
        id: PatternId,
        node: NodeId,
        tensor: Option<TensorRef>,
        captures: &mut Vec<Capture>,
    ) -> bool {
        match &self.patterns[id.0 as usize] {
            Pattern::OneOf(patterns) => {
                patterns.iter().any(|&pattern| self.matches(graph, pattern, node, tensor, captures))
            }
            Pattern::Op { ops, inputs } => {
                if !ops.is_empty() && !ops.contains(&graph.op(node)) {
                    return false;
                }
                let before = captures.len();
                captures.push(Capture { pattern: id, node, tensor });
                let matched = match inputs {
                    Inputs::Whatever => true,
                    Inputs::InOrder(patterns) => self.inputs_match(graph, patterns, node, captures),
                };
                if !matched {
                    captures.truncate(before);
                }
                matched
            }
        }
    }

    fn inputs_match(&self, graph: &Graph, patterns: &[PatternId], node: NodeId, captures: &mut Vec<Capture>) -> bool {
        let mut inputs = graph.inputs(node);
        patterns.iter().all(|&pattern| match inputs.next() {
            Some(Input::Data(tensor)) => self.matches(graph, pattern, tensor.node, Some(tensor), captures),
            Some(Input::Control(_)) | None => false,
        }) && !matches!(inputs.next(), Some(Input::Data(_)))
    }
}

fn alternatives(ops: &'static str) -> Vec<&'static str> {
    if ops == "*" { Vec::new() } else { ops.split('|').collect() }
}

#[derive(Debug, Clone, Copy)]
struct Capture {
    pattern: PatternId,
    node: NodeId,
    tensor: Option<TensorRef>,
}

/// A place in the graph where a pattern matched.
#[derive(Debug, Clone)]
pub(super) struct Match {
    root: NodeId,
    captures: Vec<Capture>,
}

impl Match {
    /// The node that the whole pattern was matched against.
    #[must_use]
    pub(super) fn root(&self) -> NodeId {
        self.root
    }

    fn capture(&self, pattern: PatternId) -> Option<&Capture> {
        self.captures.iter().rev().find(|capture| capture.pattern == pattern)
    }

    /// The node that stands where the pattern does; `None` if the pattern took no part in the match.
    #[must_use]
    pub(super) fn node(&self, pattern: PatternId) -> Option<NodeId> {
        self.capture(pattern).map(|capture| capture.node)
    }

    /// The output through which that node was reached; `None` for the root.
    #[must_use]
    pub(super) fn tensor(&self, pattern: PatternId) -> Option<TensorRef> {
        self.capture(pattern)?.tensor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    fn sample() -> Graph {
        graph_of(
            "x = Placeholder
             w = Const
             split = Split(w, x)
             conv = Conv2D(split:1, w)
             add = AddV2(w, conv)
             relu = Relu6(add)",
        )
    }

    /// The places where the pattern matches.
    fn places(graph: &Graph, patterns: &Patterns, pattern: PatternId) -> Vec<Match> {
        graph.ids().filter_map(|node| patterns.match_node(graph, pattern, node)).collect()
    }

    #[test]
    fn captures_nodes_and_the_tensors_they_were_reached_by() {
        let graph = sample();
        let mut patterns = Patterns::new();
        let (input, weights) = (patterns.any(), patterns.op("Const", &[]));
        let conv = patterns.op("MatMul|Conv2D", &[input, weights]);
        let found = places(&graph, &patterns, conv);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].root(), found[0].node(conv), found[0].tensor(conv)), (NodeId(3), Some(NodeId(3)), None));
        assert_eq!(found[0].tensor(input), Some(TensorRef { node: NodeId(2), port: 1 }));
        assert_eq!(found[0].node(weights), Some(NodeId(1)));
    }

    #[test]
    fn the_number_of_inputs_counts_unless_none_are_asked_for() {
        let graph = sample();
        let mut patterns = Patterns::new();
        let any = patterns.any();
        let (too_few, too_many) = (patterns.op("Conv2D", &[any]), patterns.op("Conv2D", &[any, any, any]));
        let (right, free) = (patterns.op("*", &[any, any]), patterns.op("Conv2D", &[]));
        let count = |pattern| places(&graph, &patterns, pattern).len();
        assert_eq!([count(too_few), count(too_many), count(right), count(free)], [0, 0, 3, 1]);
    }

    #[test]
    fn the_first_of_several_patterns_wins_and_the_others_capture_nothing() {
        let graph = sample();
        let mut patterns = Patterns::new();
        let conv = patterns.op("Conv2D", &[]);
        let any = patterns.any();
        let add = patterns.op("Add|AddV2", &[any, conv]);
        let either = patterns.one_of(&[conv, add, any]);
        let relu = patterns.op("Relu|Relu6", &[either]);
        let found = patterns.match_node(&graph, relu, NodeId(5)).unwrap();
        assert_eq!((found.node(add), found.node(conv)), (Some(NodeId(4)), Some(NodeId(3))));
        assert_eq!(found.node(either), None);
    }

    #[test]
    fn a_pattern_in_two_places_captures_the_last() {
        let graph = sample();
        let mut patterns = Patterns::new();
        let any = patterns.any();
        let conv = patterns.op("Conv2D", &[any, any]);
        let found = patterns.match_node(&graph, conv, NodeId(3)).unwrap();
        assert_eq!(found.node(any), Some(NodeId(1)));
    }
}
