//! Finds Transposes, and what can come before them.

use hashbrown::{HashMap, HashSet};

use super::super::constants::Constants;
use super::Order;
use super::moved::{Moved, Operand};
use crate::graph::shape::wrapped;
use crate::graph::{Graph, NodeId, TensorRef, only};
use crate::interpreter::Tensor;
use crate::proto::tensorflow::DataType;

/// So far it is looked whether a Transpose meets one that undoes it.
const MOST_STEPS: usize = 16;

/// Transposes of more dimensions are left: looking at one takes the square of these.
const MOST_DIMENSIONS: usize = 10;

/// What joins more is left.
const MOST_JOINED: usize = 64;

/// Of one element of each operand.
pub(super) fn is_arithmetic(op: &str) -> bool {
    matches!(op, "Add" | "AddV2" | "Sub" | "Mul" | "RealDiv" | "Maximum" | "Minimum")
}

/// Of each element alone.
fn is_activation(op: &str) -> bool {
    matches!(
        op,
        "Identity"
            | "Relu"
            | "Relu6"
            | "LeakyRelu"
            | "Elu"
            | "Selu"
            | "Sigmoid"
            | "Tanh"
            | "Softplus"
            | "Softsign"
            | "Exp"
            | "Abs"
            | "Neg"
            | "Square"
    )
}

fn is_reduction(op: &str) -> bool {
    matches!(op, "Mean" | "Sum" | "Max" | "Min")
}

/// A graph whose Transposes are looked at.
pub(super) struct Turning<'a> {
    pub graph: &'a Graph,
    pub constants: &'a Constants,
    /// What the operands of arithmetic are that do not change.
    pub numbers: &'a HashMap<TensorRef, Tensor>,
    pub outputs: &'a HashSet<TensorRef>,
}

impl Turning<'_> {
    /// What a Transpose turned, and how.
    fn of_transpose(&self, node: NodeId) -> Option<(TensorRef, Order)> {
        let graph = self.graph;
        if graph.op(node) != "Transpose" || graph.tensor_type(node.into()) != Some(DataType::DtFloat) {
            return None;
        }
        let read = graph.data_input(node, 0).filter(|read| !self.constants.contain(read.node))?;
        let order = graph.const_ints(graph.data_input(node, 1)?).filter(|order| order.len() <= MOST_DIMENSIONS)?;
        let order: Order = order.iter().map(|&axis| wrapped(axis, order.len())).collect::<Option<_>>()?;
        let is_each = (0..order.len()).all(|axis| order.contains(&axis));
        (is_each && graph.control_inputs(node).next().is_none()).then_some((read, order))
    }

    fn is_output(&self, node: NodeId) -> bool {
        self.outputs.contains(&TensorRef::from(node))
    }

    /// The node that alone reads another, which is no output.
    fn only_reader(&self, node: NodeId) -> Option<NodeId> {
        only(self.graph.consumers(node)).filter(|_| !self.is_output(node))
    }

    fn made_by_transpose(&self, tensor: TensorRef) -> Option<(TensorRef, Order)> {
        self.of_transpose(tensor.node).filter(|_| tensor.port == 0)
    }

    /// What a Transpose leaves as it is, or it and the one before it.
    pub(super) fn undone(&self, node: NodeId) -> Option<TensorRef> {
        let (between, second) = self.of_transpose(node).filter(|_| !self.is_output(node))?;
        if second.is_sorted() {
            return Some(between);
        }
        let (before, first) = self.made_by_transpose(between)?;
        undo(&first, &second).then_some(before)
    }

    /// What two Transposes turn, of which the node is the second and alone reads the first, and how they do together.
    pub(super) fn joined(&self, node: NodeId) -> Option<(TensorRef, Order)> {
        let (between, second) = self.of_transpose(node).filter(|_| self.integers(node, "Tperm").is_some())?;
        let (before, first) = self.made_by_transpose(between)?;
        let is_alone = second.len() == first.len() && self.only_reader(between.node) == Some(node);
        is_alone.then(|| (before, second.iter().map(|&axis| first[axis]).collect()))
    }

    /// How a node is moved before the Transposes that it reads.
    pub(super) fn moved(&self, node: NodeId) -> Option<Moved> {
        let graph = self.graph;
        let op = graph.op(node);
        if graph.tensor_type(node.into()) != Some(DataType::DtFloat) {
            return None;
        }
        let inputs: Vec<TensorRef> = graph.data_inputs(node).collect();
        let of = |slot: usize| self.made_by_transpose(*inputs.get(slot)?);
        match op {
            _ if is_activation(op) => {
                let (read, order) = of(0)?;
                Some(Moved { turned: vec![inputs[0]], operands: vec![Operand::Tensor(read)], order: Some(order) })
            }
            _ if is_arithmetic(op) => self.arithmetic(&inputs),
            "Pad" => {
                let (read, order) = of(0)?;
                let padding = self.integers(node, "Tpaddings").filter(|padding| padding.len() == 2 * order.len())?;
                let mut turned = vec![[0; 2]; order.len()];
                for (&from, sides) in order.iter().zip(padding.as_chunks::<2>().0) {
                    turned[from] = [i32::try_from(sides[0]).ok()?, i32::try_from(sides[1]).ok()?];
                }
                let operands = vec![Operand::Tensor(read), Operand::Pairs(turned)];
                Some(Moved { turned: vec![inputs[0]], operands, order: Some(order) })
            }
            "ConcatV2" => {
                let (axis, joined) = inputs.split_last().filter(|(_, joined)| joined.len() <= MOST_JOINED)?;
                let all: Vec<(TensorRef, Order)> =
                    joined.iter().map(|&input| self.made_by_transpose(input)).collect::<Option<_>>()?;
                let order = all.first()?.1.clone();
                let is_plain = graph.tensor_type(*axis) == Some(DataType::DtInt32);
                let axis = wrapped(*graph.const_ints(*axis).filter(|_| is_plain)?.first()?, order.len())?;
                if all.iter().any(|(_, other)| *other != order) {
                    return None;
                }
                let mut operands: Vec<Operand> = all.into_iter().map(|(read, _)| Operand::Tensor(read)).collect();
                operands.push(Operand::Integer(i32::try_from(order[axis]).ok()?));
                Some(Moved { turned: joined.to_vec(), operands, order: Some(order) })
            }
            _ if is_reduction(op) => {
                let (read, order) = of(0)?;
                let axes = self.integers(node, "Tidx")?;
                let axes: Vec<usize> = axes.iter().map(|&axis| wrapped(axis, order.len())).collect::<Option<_>>()?;
                let keeps = graph.attr_bool(node, "keep_dims").unwrap_or(false);
                let rest: Order =
                    (0..order.len()).filter(|axis| !axes.contains(axis)).map(|axis| order[axis]).collect();
                if !keeps && !rest.is_sorted() {
                    return None;
                }
                let turned: Vec<i32> =
                    axes.iter().map(|&axis| i32::try_from(order[axis]).ok()).collect::<Option<_>>()?;
                let operands = vec![Operand::Tensor(read), Operand::Integers(turned)];
                Some(Moved { turned: vec![inputs[0]], operands, order: keeps.then_some(order) })
            }
            _ => None,
        }
    }

    /// The constant integers that the node reads second, if they are of 32 bits, as this attribute says.
    fn integers(&self, node: NodeId, attr: &str) -> Option<Vec<i64>> {
        let is_plain = self.graph.attr_type(node, attr).is_none_or(|kind| kind == DataType::DtInt32 as i32);
        self.graph.const_ints(self.graph.data_input(node, 1).filter(|_| is_plain)?)
    }

    fn arithmetic(&self, inputs: &[TensorRef]) -> Option<Moved> {
        let &[left, right] = inputs else { return None };
        let both = [left, right].map(|input| self.made_by_transpose(input));
        let (turned, operands, order) = match both {
            [Some((left_read, order)), Some((right_read, other))] => {
                if order != other {
                    return None;
                }
                (vec![left, right], [Operand::Tensor(left_read), Operand::Tensor(right_read)], order)
            }
            [Some((read, order)), None] => {
                (vec![left], [Operand::Tensor(read), self.turned_back(right, &order)?], order)
            }
            [None, Some((read, order))] => {
                (vec![right], [self.turned_back(left, &order)?, Operand::Tensor(read)], order)
            }
            [None, None] => return None,
        };
        Some(Moved { turned, operands: operands.into(), order: Some(order) })
    }

    /// The numbers of a constant as they are before a Transpose.
    fn turned_back(&self, constant: TensorRef, order: &[usize]) -> Option<Operand> {
        let tensor = self.numbers.get(&constant)?;
        let numbers = tensor.values::<f32>()?;
        if tensor.rank() == 0 {
            return Some(Operand::Tensor(constant));
        }
        let missing = order.len().checked_sub(tensor.rank())?;
        let dims: Vec<usize> = std::iter::repeat_n(1, missing).chain(tensor.dims().iter().copied()).collect();
        let (numbers, dims) = turned_back(numbers, &dims, order);
        let ones = dims.iter().take_while(|&&dim| dim == 1).count();
        let dims: Vec<i64> = dims[ones..].iter().map(|&dim| i64::try_from(dim).ok()).collect::<Option<_>>()?;
        Some(Operand::Numbers(numbers, dims))
    }

    /// Whether there are no more Transposes than before when all that reads one is moved before it.
    pub(super) fn needs_no_more(&self, turned: TensorRef) -> bool {
        let Some((_, order)) = self.made_by_transpose(turned) else { return false };
        let (mut gone, mut added) = (usize::from(!self.outputs.contains(&turned)), 0);
        for reader in self.graph.tensor_consumers(turned) {
            match self.fate(reader, &order) {
                Fate::Undone => gone += 1,
                Fate::Shared => {}
                Fate::Turned => added += 1,
            }
        }
        added <= gone
    }

    /// What becomes of a Transpose behind one of its readers.
    fn fate(&self, mut reader: NodeId, order: &[usize]) -> Fate {
        for _ in 0..MOST_STEPS {
            if let Some((_, other)) = self.of_transpose(reader) {
                return if undo(order, &other) { Fate::Undone } else { Fate::Turned };
            }
            let op = self.graph.op(reader);
            let of_others = self.graph.data_inputs(reader).filter(|input| !self.constants.contain(input.node)).count();
            if of_others > 1 && (is_arithmetic(op) || op == "ConcatV2") {
                return if self.moved(reader).is_some() { Fate::Shared } else { Fate::Turned };
            }
            if is_reduction(op) && !self.graph.attr_bool(reader, "keep_dims").unwrap_or(false) {
                return if self.moved(reader).is_some() { Fate::Undone } else { Fate::Turned };
            }
            if !(is_activation(op) || is_arithmetic(op) || op == "Pad") {
                return Fate::Turned;
            }
            match self.only_reader(reader) {
                Some(next) => reader = next,
                None => return Fate::Turned,
            }
        }
        Fate::Turned
    }
}

/// What becomes of a Transpose behind a reader of what it makes.
enum Fate {
    /// It and another undo each other, or nothing is left to turn.
    Undone,
    /// It and another become one.
    Shared,
    /// It stands somewhere behind.
    Turned,
}

/// Whether the second turns back what the first turned.
fn undo(first: &[usize], second: &[usize]) -> bool {
    first.len() == second.len() && second.iter().enumerate().all(|(axis, &from)| first[from] == axis)
}

/// The elements of a tensor as they were before they were turned in that order, and the dimensions.
pub(super) fn turned_back(values: &[f32], dims: &[usize], order: &[usize]) -> (Vec<f32>, Vec<usize>) {
    let mut before = vec![0; dims.len()];
    let mut strides = vec![0; dims.len()];
    let mut stride = 1;
    for axis in (0..dims.len()).rev() {
        before[order[axis]] = dims[axis];
        strides[order[axis]] = stride;
        stride *= dims[axis];
    }
    let place = |index: usize| {
        let mut rest = index;
        before.iter().zip(&strides).rev().fold(0, |place, (&dim, &stride)| {
            let at = rest % dim;
            rest /= dim;
            place + at * stride
        })
    };
    ((0..values.len()).map(|index| values[place(index)]).collect(), before)
}
