//! While-loops as the converter takes them: what a loop carries is in floats where it enters, goes round and leaves; what
//! it is given once, and lists of what is known before it, it reads as they are.

use super::lower::Lowering;
use super::program::Origin;
use crate::graph::loops::is_switch_of_loop;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::passes::integer::lists::open_element_shape;
use crate::proto::tensorflow::DataType;

/// Steps back from a list's handle to what made it, at most.
const MAX_STEPS: usize = 64;

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

impl Lowering<'_> {
    /// Lowers a node of a loop, or of the lists that loops read and write; false for any other.
    pub(super) fn of_loop(&mut self, node: NodeId) -> bool {
        let graph = self.program.graph;
        if matches!(graph.op(node), "TensorListReserve" | "TensorListStack")
            && open_element_shape(graph, node).is_some()
        {
            self.program.open_lists.push(node);
        }
        match graph.op(node) {
            "LoopCond" | "TensorListReserve" | "TensorListElementShape" | "TensorListLength" => {}
            "Enter" | "TensorListFromTensor" => self.same(node),
            "Merge" if graph.data_inputs(node).any(|input| graph.closes_loop(input.node)) => self.carried(node.into()),
            _ if is_switch_of_loop(graph, node) => {
                for port in [0, 1] {
                    self.carried(TensorRef { node, port });
                }
            }
            "NextIteration" => self.kept(node, 0),
            "Exit" | "TensorListStack" | "TensorListGather" => self.carried(node.into()),
            "TensorListGetItem" => match graph.data_input(node, 0).map(|handle| list(graph, handle)) {
                Some(List::Of(tensor)) if self.makes_float(node) => {
                    let read = self.value(tensor).into_iter().collect();
                    self.whole(node, "Gather", read);
                }
                _ => self.carried(node.into()),
            },
            "TensorListSetItem" => {
                self.kept(node, 2);
                let handle = graph.data_input(node, 0);
                // A list of one is that one; of more, what is in front and behind is cut out.
                if self.makes_float(node)
                    && !matches!(handle.map(|handle| list(graph, handle)), Some(List::Written(Some(1))))
                {
                    let read = graph.data_input(node, 2).and_then(|item| self.value(item)).into_iter().collect();
                    self.push_alone(node, read);
                }
            }
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

    /// The node's first output is what it reads.
    fn same(&mut self, node: NodeId) {
        let read = self.program.graph.data_input(node, 0);
        if let Some(value) = read.and_then(|read| self.value(read)) {
            self.known.insert(node.into(), value);
        }
    }

    /// A tensor that a loop carries in floats.
    fn carried(&mut self, tensor: TensorRef) {
        if self.makes_float(tensor.node) {
            let op = self.program.push(tensor.node, "While", Vec::new());
            self.program.ops[op].alive = false;
            let value = self.program.value(Origin::Result(op), tensor);
            self.known.insert(tensor, value);
        }
    }

    /// What the node reads in that slot goes on in the loop.
    fn kept(&mut self, node: NodeId, slot: usize) {
        let read = self.program.graph.data_input(node, slot);
        if let Some(value) = read.and_then(|read| self.value(read)) {
            self.program.values[value].is_output = true;
        }
    }

    /// An op that makes nothing that is looked at.
    fn push_alone(&mut self, node: NodeId, read: Vec<usize>) {
        self.program.push(node, "Slice of a list", read);
    }
}
