//! Which Adds and Muls read quantized tensors: `_CheckIfQuantizableOp` of TensorFlow 1.15.
//!
//! Such an op is quantized as well, unless a Relu alone follows it. Whether it is depends on the ops before it, so what
//! was found out is kept until a quantizer is inserted near by.

use hashbrown::{HashMap, HashSet};
use memchr::memmem;

use crate::graph::{Graph, NodeId, TensorRef, only};
use crate::passes::decisions::{Rule, Step};

/// The answers so far.
pub(super) struct Arithmetic<'a> {
    /// Nodes whose outputs layers' quantizers took care of.
    quantized_ops: &'a HashSet<NodeId>,
    answers: HashMap<NodeId, bool>,
    /// For ops that only hand a tensor on: where it comes from.
    origins: HashMap<NodeId, NodeId>,
}

fn is_arithmetic(graph: &Graph, node: NodeId) -> bool {
    matches!(graph.op(node), "Add" | "AddV2" | "Mul")
}

/// Whether the op keeps the range of what it reads.
fn passes_through(graph: &Graph, node: NodeId) -> bool {
    matches!(graph.op(node), "Reshape" | "Identity" | "BatchToSpaceND" | "SpaceToBatchND" | "MaxPool" | "Max")
}

/// A fake quantizer, or the Merge behind one that is delayed.
fn is_quantized(graph: &Graph, node: NodeId) -> bool {
    graph.op(node) == "FakeQuantWithMinMaxVars" || is_behind_delay(graph.name_or_scope(node))
}

fn is_behind_delay(name: &str) -> bool {
    memmem::find(name.as_bytes(), b"delayed_quant/Merge").is_some_and(|place| place > 0)
}

/// Whether the node is inside a quantizer that was inserted: no Add or Mul of it reads anything quantized.
fn is_inside_quantizer(graph: &Graph, node: NodeId) -> bool {
    graph.is_stamped(node) && !is_behind_delay(graph.name_or_scope(node))
}

impl<'a> Arithmetic<'a> {
    pub(super) fn new(quantized_ops: &'a HashSet<NodeId>) -> Self {
        Self { quantized_ops, answers: HashMap::new(), origins: HashMap::new() }
    }

    /// Whether the node is an Add or Mul whose output should be quantized.
    pub(super) fn is_quantizable(&mut self, graph: &Graph, node: NodeId) -> bool {
        if !is_arithmetic(graph, node) || is_inside_quantizer(graph, node) {
            return false;
        }
        let mut stack = vec![node];
        // The nodes on the stack, as far as it has more than one.
        let mut open: HashSet<NodeId> = HashSet::new();
        while let Some(&top) = stack.last() {
            if self.answers.contains_key(&top) {
                stack.pop();
                continue;
            }
            match self.answer(graph, top, &open) {
                Ok(answer) => {
                    self.answers.insert(top, answer);
                    stack.pop();
                }
                Err(unanswered) => {
                    open.extend([top, unanswered]);
                    stack.push(unanswered);
                }
            }
        }
        self.answers.get(&node).copied().unwrap_or(false)
    }

    /// The answer for one node, or the node that must be answered for first.
    fn answer(&mut self, graph: &Graph, node: NodeId, open: &HashSet<NodeId>) -> Result<bool, NodeId> {
        if self.quantized_ops.contains(&node) || is_followed_by_relu_alone(graph, node) {
            return Ok(false);
        }
        for input in graph.data_inputs(node) {
            let origin = self.origin(graph, input.node);
            if is_quantized(graph, origin) {
                return Ok(true);
            }
            if !is_arithmetic(graph, origin) {
                continue;
            }
            for other in graph.data_inputs(origin).map(|input| input.node).filter(|&other| is_arithmetic(graph, other))
            {
                match self.answers.get(&other) {
                    Some(true) => return Ok(true),
                    Some(false) => {}
                    None if open.contains(&other) => {}
                    None => return Err(other),
                }
            }
        }
        Ok(false)
    }

    /// Whether the tensor is quantized, also before ops that only hand it on.
    pub(super) fn reads_quantized(&mut self, graph: &Graph, tensor: TensorRef) -> bool {
        let origin = self.origin(graph, tensor.node);
        is_quantized(graph, origin)
    }

    /// The first input that is quantized, for the report.
    pub(super) fn quantized_input_step(&mut self, graph: &Graph, node: NodeId) -> Option<Step> {
        let input = graph.data_inputs(node).find(|&input| self.reads_quantized(graph, input))?;
        Some(Step::new(graph, Rule::QuantizedInput, Some(input.node)))
    }

    /// Walks back over the ops that only hand a tensor on.
    fn origin(&mut self, graph: &Graph, node: NodeId) -> NodeId {
        let mut passed = Vec::new();
        let mut current = node;
        let mut seen = HashSet::new();
        while passes_through(graph, current) && seen.insert(current) {
            if let Some(&known) = self.origins.get(&current) {
                current = known;
                break;
            }
            passed.push(current);
            match graph.data_input(current, 0) {
                Some(input) => current = input.node,
                None => break,
            }
        }
        self.origins.extend(passed.into_iter().map(|node| (node, current)));
        current
    }

    /// Forgets the answers that may have changed as `readers` read a quantized tensor now: theirs, and those of ops that
    /// look at the inputs of such a reader; and so on from every answer that is forgotten.
    pub(super) fn were_rewired(&mut self, graph: &Graph, readers: &[NodeId]) {
        let mut waiting: Vec<(NodeId, u8)> = readers.iter().map(|&reader| (reader, 2)).collect();
        let mut seen: HashSet<(NodeId, u8)> = HashSet::new();
        while let Some((reader, reach)) = waiting.pop() {
            let reach = if passes_through(graph, reader) {
                self.origins.remove(&reader);
                reach
            } else if !is_arithmetic(graph, reader) {
                continue;
            } else if self.answers.remove(&reader).is_some() {
                2
            } else {
                reach - 1
            };
            if reach > 0 && seen.insert((reader, reach)) {
                waiting.extend(graph.consumers(reader).map(|next| (next, reach)));
            }
        }
    }
}

fn is_followed_by_relu_alone(graph: &Graph, node: NodeId) -> bool {
    only(graph.tensor_consumers(node.into())).is_some_and(|consumer| matches!(graph.op(consumer), "Relu" | "Relu6"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::{Sample, graph_of};

    #[test]
    fn an_add_behind_a_pooling_of_a_quantized_tensor_is_quantizable() {
        let graph = graph_of(
            "q = FakeQuantWithMinMaxVars
             c = Const
             pool = MaxPool(q)
             add = AddV2(c, pool)
             mean = Mean(add)
             far = Mul(mean, c)
             next = Mul(add, c)
             sum = Add(next, c)
             before_relu = Add(q, c)
             relu = Relu(before_relu)",
        );
        let quantized_ops = HashSet::new();
        let mut arithmetic = Arithmetic::new(&quantized_ops);
        let mut answer = |name: &str| arithmetic.is_quantizable(&graph, graph.find(name).unwrap());
        assert_eq!(["add", "far", "sum", "before_relu", "pool"].map(&mut answer), [true, false, true, false, false]);
    }

    #[test]
    fn a_long_chain_is_answered_without_recursion() {
        let mut graph = Sample::new();
        let mut last = graph.add("Const", &[], |attrs| attrs);
        for _ in 1..20_000 {
            last = graph.add("Add", &[last, last], |attrs| attrs);
        }
        let quantized_ops = HashSet::new();
        assert!(!Arithmetic::new(&quantized_ops).is_quantizable(&graph.0, last.node));
    }
}
