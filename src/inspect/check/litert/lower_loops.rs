//! While-loops as the converter takes them: what a loop changes is in floats where it enters, goes round and leaves; what
//! it only reads, and lists of what is known before it, it reads as they are.

use super::lower::Lowering;
use super::program::{Origin, ValueId};
use crate::graph::loops::is_switch_of_loop;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::passes::integer::lists::open_element_shape;
use crate::proto::tensorflow::DataType;

/// Steps back from a list's handle to what made it, at most.
const MAX_STEPS: usize = 64;

/// The converter's op for a part of a list that a loop carries.
pub(super) const SLICE_OF_LIST: &str = "Slice of a list";

/// What a list's handle leads back to.
enum List {
    /// It was made of a tensor before the loop, and is as it was.
    Of(TensorRef),
    /// Its elements are written one by one: how many there are, if that is known.
    Written(Option<i64>),
}

fn list(graph: &Graph, handle: TensorRef) -> List {
    let (mut at, mut written) = (handle, false);
    for _ in 0..MAX_STEPS {
        let input = |slot: usize| graph.data_input(at.node, slot);
        let next = match graph.op(at.node) {
            "TensorListFromTensor" if !written => return input(0).map_or(List::Written(None), List::Of),
            "TensorListReserve" => {
                let count = input(1).and_then(|count| graph.attr_tensor(count.node, "value"));
                return List::Written(count.and_then(|count| count.int_val.first().copied()).map(i64::from));
            }
            "Merge" => {
                // A list that comes round changed is written to.
                let ends = [input(0), input(1)].into_iter().flatten();
                let round = ends.clone().find(|end| graph.op(end.node) == "NextIteration");
                let before = round.and_then(|round| graph.data_input(round.node, 0));
                written |= before.is_none_or(|before| graph.op(before.node) != "Switch");
                ends.into_iter().find(|end| graph.op(end.node) == "Enter")
            }
            "TensorListSetItem" | "TensorListPushBack" => {
                written = true;
                input(0)
            }
            "Switch" | "Enter" | "Exit" | "Identity" | "NextIteration" => input(0),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    List::Written(None)
}

/// The Merge of the loop's variable that the node is a part of: by which it goes round, or leaves.
fn variable(graph: &Graph, node: NodeId) -> Option<NodeId> {
    let mut at = node;
    for _ in 0..MAX_STEPS {
        match graph.op(at) {
            "Merge" => return Some(at),
            "Switch" | "Identity" | "NextIteration" | "Exit" => at = graph.data_input(at, 0)?.node,
            _ => break,
        }
    }
    None
}

/// Whether the loop changes the variable that the node is a part of, and does not only read it.
fn is_changed(graph: &Graph, node: NodeId) -> bool {
    let Some(merge) = variable(graph, node) else { return true };
    let mut round = graph.data_inputs(merge).filter(|end| graph.closes_loop(end.node));
    round.any(|next| variable(graph, next.node) != Some(merge))
}

/// What says whether the loop goes on that the node closes.
fn condition(graph: &Graph, closing: NodeId) -> Option<NodeId> {
    let merge = graph.consumers(closing).find(|&merge| graph.op(merge) == "Merge")?;
    let switch = graph.consumers(merge).find(|&switch| graph.op(switch) == "Switch")?;
    graph.data_input(switch, 1).map(|condition| condition.node)
}

impl Lowering<'_> {
    /// Lowers a node of a loop, or of the lists that loops read and write; false for any other.
    pub(super) fn of_loop(&mut self, node: NodeId) -> bool {
        let graph = self.program.graph;
        if open_element_shape(graph, node).is_some() {
            self.program.open_lists.push(node);
        }
        match graph.op(node) {
            "LoopCond" | "TensorListReserve" | "TensorListElementShape" | "TensorListLength" => {}
            "Enter" | "TensorListFromTensor" => self.same(node.into()),
            "Merge" if graph.data_inputs(node).any(|input| graph.closes_loop(input.node)) => {
                self.of_variable(node.into());
            }
            _ if is_switch_of_loop(graph, node) => {
                for port in [0, 1] {
                    self.of_variable(TensorRef { node, port });
                }
            }
            "NextIteration" if is_changed(graph, node) => {
                self.kept(node, 0);
                let condition = condition(graph, node).filter(|_| self.makes_float(node));
                self.program.float_loops.extend(condition);
            }
            "NextIteration" => {}
            "Exit" => self.of_variable(node.into()),
            "TensorListStack" | "TensorListGather" => self.carried(node.into()),
            "TensorListGetItem" => match graph.data_input(node, 0).map(|handle| list(graph, handle)) {
                Some(List::Of(tensor)) if self.makes_float(node) => {
                    let read = self.value(tensor).into_iter().collect();
                    self.whole(node, "Gather", read);
                }
                _ => self.carried(node.into()),
            },
            "TensorListSetItem" => self.set_item(node),
            _ => return false,
        }
        true
    }

    /// Whether what the node makes, or the elements of its list, are floats.
    fn makes_float(&self, node: NodeId) -> bool {
        let graph = self.program.graph;
        let dtype = graph.attr_type(node, "element_dtype").or_else(|| graph.attr_type(node, "T"));
        dtype == Some(DataType::DtFloat as i32)
    }

    /// The tensor is what its node reads.
    fn same(&mut self, tensor: TensorRef) {
        let read = self.program.graph.data_input(tensor.node, 0);
        if let Some(value) = read.and_then(|read| self.value(read)) {
            self.known.insert(tensor, value);
        }
    }

    /// A tensor of a loop's variable.
    fn of_variable(&mut self, tensor: TensorRef) {
        if is_changed(self.program.graph, tensor.node) { self.carried(tensor) } else { self.same(tensor) }
    }

    /// A tensor that a loop carries in floats.
    fn carried(&mut self, tensor: TensorRef) {
        if self.makes_float(tensor.node) {
            let value = self.in_floats(tensor);
            self.known.insert(tensor, value);
        }
    }

    fn in_floats(&mut self, tensor: TensorRef) -> ValueId {
        let op = self.program.push(tensor.node, "While", Vec::new());
        self.program.ops[op].alive = false;
        self.program.value(Origin::Result(op), tensor)
    }

    /// What the node reads in that slot goes on in the loop.
    fn kept(&mut self, node: NodeId, slot: usize) {
        let read = self.program.graph.data_input(node, slot);
        if let Some(value) = read.and_then(|read| self.value(read)) {
            self.program.values[value].is_output = true;
        }
    }

    /// An item in its place, between what is cut out of the list in front of it and behind it.
    fn set_item(&mut self, node: NodeId) {
        let graph = self.program.graph;
        let [Some(handle), Some(index), Some(item)] = [0, 1, 2].map(|slot| graph.data_input(node, slot)) else {
            return;
        };
        let is_known = self.constants[index.node.index()];
        let is_all = is_known && matches!(list(graph, handle), List::Written(Some(1)));
        if is_all || !self.makes_float(node) {
            return self.kept(node, 2);
        }
        let before = self.in_floats(handle);
        let [front, behind] = [(); 2].map(|()| self.part(node, SLICE_OF_LIST, vec![before]));
        let item = self.value(item).map(|item| self.part(node, "Reshape", vec![item]));
        let parts = [Some(front), item, Some(behind)].into_iter().flatten().collect();
        let after = self.part(node, "ConcatV2", parts);
        self.program.values[after].is_output = true;
    }
}
