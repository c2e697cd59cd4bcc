//! Transposes between layers, moved out of the way.
//!
//! # What it does
//! Networks that come from frameworks where channels are first have a Transpose on both sides of every layer, and what
//! belongs to the layer, its bias and its activation, stands behind the second. A Transpose goes behind what works on each
//! element; where two then follow one another that undo each other, both go. What is left are layers with their biases and
//! activations, and far fewer Transposes; the converter does a part of this by itself, but not across fake quantizers.
//!
//! # When it applies
//! To floats that change from run to run: activations, arithmetic with constants or with what is turned in the same way, Pad,
//! ConcatV2, and reductions that do away with dimensions.
//!
//! # What it leaves alone
//! What is in loops or waits for others, and Transposes whose readers would need more of them than there are now.
//!
//! # Example
//! `first = Transpose(conv, [0,3,1,2]); sum = AddV2(first, b); relu = Relu(sum); second = Transpose(relu, [0,2,3,1])` with a
//! `b` of `[1,8,1,1]` becomes `sum/early = AddV2(conv, b/turned); relu/early = Relu(sum/early)`, which is read instead of
//! `second`, where `b/turned` is `[8]`. Who reads `relu` reads a Transpose of that name.

use hashbrown::{HashMap, HashSet};

use super::constants::{Constants, evaluate};
use super::loops::Bodies;
use super::new_nodes::{constant, make_room, take_place};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::shape::wrapped;
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef, only};
use crate::interpreter::{Limits, Tensor};
use crate::proto::tensorflow::DataType;

/// Larger constants are not turned.
const MOST_NUMBERS: usize = 1 << 16;

/// So far it is looked whether a Transpose meets one that undoes it.
const MOST_STEPS: usize = 16;

/// What joins more is left.
const MOST_JOINED: usize = 64;

/// Which dimension of what is turned each dimension of the result is.
type Order = Vec<usize>;

/// Moves them; says how many nodes were moved before a Transpose, or lost one.
///
/// # Errors
/// Those of inserting nodes and of evaluating constants; a graph that TensorFlow would not run.
pub(crate) fn move_transposes(graph: &mut Graph, outputs: &[TensorRef], limits: &Limits) -> Result<usize> {
    if !graph.ids().any(|node| graph.op(node) == "Transpose") {
        return Ok(0);
    }
    let nodes = graph.run_order();
    let constants = Constants::of(graph, &nodes);
    let bodies = Bodies::of(graph)?;
    let nodes: Vec<NodeId> = nodes
        .into_iter()
        .filter(|&node| !constants.contain(node) && !bodies.contain(graph, node))
        .filter(|&node| graph.control_inputs(node).next().is_none())
        .collect();
    let operands: Vec<TensorRef> = nodes
        .iter()
        .filter(|&&node| is_arithmetic(graph.op(node)))
        .flat_map(|&node| graph.data_inputs(node).filter(|input| constants.contain(input.node)))
        .filter(|&operand| is_small_float(graph, operand))
        .collect();
    let numbers = evaluate(graph, operands, limits)?;
    let outputs: HashSet<TensorRef> = outputs.iter().copied().collect();
    let mut count = 0;
    let mut pays: HashMap<TensorRef, bool> = HashMap::new();
    for node in nodes {
        let turning = Turning { graph, constants: &constants, numbers: &numbers, outputs: &outputs };
        if let Some(before) = turning.undone(node) {
            take_place(graph, node.into(), before);
            count += 1;
        } else if let Some((before, order)) = turning.joined(node) {
            let name = format!("{}/perm", graph.name(node));
            let order = constant(graph, &name, &Value::Int32s(&as_integers(&order)))?;
            graph.replace_inputs(node, &[Input::Data(before), Input::Data(order)]);
            count += 1;
        } else if let Some(moved) = turning.moved(node) {
            let worthwhile =
                moved.turned.iter().all(|&turned| *pays.entry(turned).or_insert_with(|| turning.needs_no_more(turned)));
            if worthwhile {
                moved.write(graph, node)?;
                count += 1;
            }
        }
    }
    Ok(count)
}

/// Of one element of each operand.
fn is_arithmetic(op: &str) -> bool {
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

fn is_small_float(graph: &Graph, tensor: TensorRef) -> bool {
    let count = |dims: Vec<i64>| dims.iter().try_fold(1usize, |all, &dim| all.checked_mul(usize::try_from(dim).ok()?));
    let dims = graph.static_shape(tensor).and_then(|dims| dims.into_iter().collect::<Option<Vec<i64>>>());
    graph.tensor_type(tensor) == Some(DataType::DtFloat)
        && dims.and_then(count).is_some_and(|count| count <= MOST_NUMBERS)
}

/// A graph whose Transposes are looked at.
struct Turning<'a> {
    graph: &'a Graph,
    constants: &'a Constants,
    /// What the operands of arithmetic are that do not change.
    numbers: &'a HashMap<TensorRef, Tensor>,
    outputs: &'a HashSet<TensorRef>,
}

/// An input of a node that is moved before Transposes.
#[derive(Debug)]
enum Operand {
    /// What was turned, or what need not be.
    Tensor(TensorRef),
    /// Numbers, row by row, in a tensor of that shape.
    Numbers(Vec<f32>, Vec<i64>),
    Integers(Vec<i32>),
    Pairs(Vec<[i32; 2]>),
    Integer(i32),
}

/// How a node is moved.
#[derive(Debug)]
struct Moved {
    /// The tensors that Transposes made, which it read.
    turned: Vec<TensorRef>,
    operands: Vec<Operand>,
    /// How its result is to be turned; `None` where it need not be.
    order: Option<Order>,
}

impl Turning<'_> {
    /// What a Transpose turned, and how.
    fn of_transpose(&self, node: NodeId) -> Option<(TensorRef, Order)> {
        let graph = self.graph;
        if graph.op(node) != "Transpose" || graph.tensor_type(node.into()) != Some(DataType::DtFloat) {
            return None;
        }
        let read = graph.data_input(node, 0).filter(|read| !self.constants.contain(read.node))?;
        let order = graph.const_ints(graph.data_input(node, 1)?)?;
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
    fn undone(&self, node: NodeId) -> Option<TensorRef> {
        let (between, second) = self.of_transpose(node).filter(|_| !self.is_output(node))?;
        if second.is_sorted() {
            return Some(between);
        }
        let (before, first) = self.made_by_transpose(between)?;
        undo(&first, &second).then_some(before)
    }

    /// What two Transposes turn, of which the node is the second and alone reads the first, and how they do together.
    fn joined(&self, node: NodeId) -> Option<(TensorRef, Order)> {
        let (between, second) = self.of_transpose(node).filter(|_| self.integers(node, "Tperm").is_some())?;
        let (before, first) = self.made_by_transpose(between)?;
        let is_alone = second.len() == first.len() && self.only_reader(between.node) == Some(node);
        is_alone.then(|| (before, second.iter().map(|&axis| first[axis]).collect()))
    }

    /// How a node is moved before the Transposes that it reads.
    fn moved(&self, node: NodeId) -> Option<Moved> {
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
        if tensor.len() == 1 {
            return Some(Operand::Tensor(constant)).filter(|_| tensor.rank() == 0);
        }
        let missing = order.len().checked_sub(tensor.rank())?;
        let dims: Vec<usize> = std::iter::repeat_n(1, missing).chain(tensor.dims().iter().copied()).collect();
        let (numbers, dims) = turned_back(numbers, &dims, order);
        let ones = dims.iter().take_while(|&&dim| dim == 1).count();
        let dims: Vec<i64> = dims[ones..].iter().map(|&dim| i64::try_from(dim).ok()).collect::<Option<_>>()?;
        Some(Operand::Numbers(numbers, dims))
    }

    /// Whether there are no more Transposes than before when all that reads one is moved before it.
    fn needs_no_more(&self, turned: TensorRef) -> bool {
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

fn as_integers(order: &[usize]) -> Vec<i32> {
    order.iter().map(|&axis| i32::try_from(axis).unwrap_or(i32::MAX)).collect()
}

/// Whether the second turns back what the first turned.
fn undo(first: &[usize], second: &[usize]) -> bool {
    first.len() == second.len() && second.iter().enumerate().all(|(axis, &from)| first[from] == axis)
}

/// The elements of a tensor as they were before they were turned in that order, and the dimensions.
fn turned_back(values: &[f32], dims: &[usize], order: &[usize]) -> (Vec<f32>, Vec<usize>) {
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

impl Moved {
    /// Moves the node; a Transpose of its name stands behind it, if its result is to be turned.
    fn write(self, graph: &mut Graph, node: NodeId) -> Result<()> {
        let op = graph.op(node).to_owned();
        let device = graph.device(node).to_owned();
        let mut attrs = Attrs::default();
        for (name, value) in graph.attr_entries(node).filter(|(name, _)| *name != "_output_shapes") {
            attrs.raw(name, value);
        }
        let mut inputs = Vec::with_capacity(self.operands.len());
        let read: Vec<TensorRef> = graph.data_inputs(node).collect();
        for (operand, old) in self.operands.iter().zip(read) {
            let value = match operand {
                Operand::Tensor(tensor) => {
                    inputs.push(Input::Data(*tensor));
                    continue;
                }
                Operand::Numbers(numbers, dims) => Value::Shaped(numbers, dims),
                Operand::Integers(integers) => Value::Int32s(integers),
                Operand::Pairs(pairs) => Value::Int32Pairs(pairs),
                Operand::Integer(integer) => Value::Int32(*integer),
            };
            let name = format!("{}/turned", graph.name(old.node));
            inputs.push(Input::Data(constant(graph, &name, &value)?));
        }
        let name = make_room(graph, node)?;
        let early = graph.free_name(&if self.order.is_some() { format!("{name}/early") } else { name.clone() });
        let new = NewNode { name: &early, op: &op, device: &device, inputs: &inputs, attrs: attrs.as_bytes() };
        let mut last = graph.insert(new)?;
        if let Some(order) = self.order {
            let order = constant(graph, &format!("{name}/perm"), &Value::Int32s(&as_integers(&order)))?;
            let mut attrs = Attrs::default();
            attrs.data_type("T", DataType::DtFloat).data_type("Tperm", DataType::DtInt32);
            let inputs = [Input::Data(last.into()), Input::Data(order)];
            let attrs = attrs.as_bytes();
            last = graph.insert(NewNode { name: &name, op: "Transpose", device: &device, inputs: &inputs, attrs })?;
        }
        take_place(graph, node.into(), last.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image, run};
    use super::*;
    use crate::graph::samples::graph_of;

    /// What is left up to `out`, in its order, of a graph whose Transposes were moved; it computes what it did.
    fn left(lines: &str) -> Vec<String> {
        let mut graph = graph_of(lines);
        let (before, outputs) = (graph.clone(), [graph.find_tensor("out").unwrap()]);
        move_transposes(&mut graph, &outputs, &Limits::default()).unwrap();
        let x = image(2);
        assert_eq!(run(&before, "out", &x), run(&graph, "out", &x), "{lines}");
        let out = graph.find("out").unwrap();
        let needed = graph.reached([out], |node| graph.data_inputs(node).map(|input| input.node));
        let is_told = |&node: &NodeId| needed[node.index()] && !matches!(graph.op(node), "Const" | "Placeholder");
        graph.run_order().into_iter().filter(is_told).map(|node| graph.op(node).to_owned()).collect()
    }

    const LAYER: &str = "
        x = Placeholder [?,4,4,2]
        w = Const [3,3,2,2]
        to_first = Const [0,3,1,2]i
        to_last = Const [0,2,3,1]i
        conv = Conv2D(x, w)
        first = Transpose(conv, to_first) Tperm=DT_INT32";

    #[test]
    fn what_belongs_to_a_layer_comes_behind_it_and_two_transposes_go() {
        let lines = "
            b = Const [1,2,1,1]
            sum = AddV2(first, b)
            relu = Relu(sum)
            last = Transpose(relu, to_last) Tperm=DT_INT32
            out = Conv2D(last, w)";
        assert_eq!(left(&format!("{LAYER}{lines}")), ["Conv2D", "AddV2", "Relu", "Conv2D"]);
    }

    #[test]
    fn both_ways_of_a_residual_are_freed() {
        let lines = "
            relu = Relu(first)
            last = Transpose(relu, to_last) Tperm=DT_INT32
            second = Conv2D(last, w)
            back = Transpose(second, to_first) Tperm=DT_INT32
            sum = AddV2(relu, back)
            one = Const 1.0
            less = Sub(one, sum)
            axes = Const [2,3]i
            out = Mean(less, axes) Tidx=DT_INT32";
        assert_eq!(left(&format!("{LAYER}{lines}")), ["Conv2D", "Relu", "Conv2D", "AddV2", "Sub", "Mean"]);
    }

    #[test]
    fn an_output_keeps_its_name_and_its_order() {
        let joined = "
            other = Transpose(x, to_first) Tperm=DT_INT32
            axis = Const [1]i
            more = ConcatV2(first, other, axis) N=2 Tidx=DT_INT32
            out = Tanh(more)";
        assert_eq!(left(&format!("{LAYER}{joined}")), ["Conv2D", "ConcatV2", "Tanh", "Transpose"]);
        let one = "rows = Const [1,2,4,1]\nscaled = Mul(rows, first)\nout = Sigmoid(scaled)";
        assert_eq!(left(&format!("{LAYER}\n{one}")), ["Conv2D", "Mul", "Sigmoid", "Transpose"]);
    }

    #[test]
    fn padding_is_turned_back() {
        let lines = "
            flat = Const [0,1,0,2,1,0,2,2]i
            sides = Const [4,2]i
            around = Reshape(flat, sides) T=DT_INT32
            padded = Pad(first, around) Tpaddings=DT_INT32
            out = Transpose(padded, to_last) Tperm=DT_INT32";
        // Paddings that are computed are not looked into.
        assert_eq!(left(&format!("{LAYER}{lines}")), ["Conv2D", "Reshape", "Transpose", "Pad", "Transpose"]);
        let mut graph = graph_of(&format!("{LAYER}{lines}"));
        let around = Value::Int32Pairs(&[[0, 1], [0, 2], [1, 0], [2, 2]]);
        let around = constant(&mut graph, "around/known", &around).unwrap();
        let computed = graph.find_tensor("around").unwrap();
        take_place(&mut graph, computed, around);
        let (before, outputs) = (graph.clone(), [graph.find_tensor("out").unwrap()]);
        assert_eq!(move_transposes(&mut graph, &outputs, &Limits::default()).unwrap(), 2);
        assert_eq!(run(&before, "out", &image(2)), run(&graph, "out", &image(2)));
    }

    #[test]
    fn two_transposes_become_one() {
        let lines = "
            swap = Const [0,1,3,2]i
            second = Transpose(first, swap) Tperm=DT_INT32
            out = Relu(second)";
        assert_eq!(left(&format!("{LAYER}{lines}")), ["Conv2D", "Relu", "Transpose"]);
    }

    #[test]
    fn no_transposes_are_added() {
        let many = "
            a = Relu(first)
            b = Tanh(first)
            c = Sigmoid(first)
            ab = Select(a, b, c)
            out = Identity(ab)";
        let ops = graph_of(&format!("{LAYER}{many}"));
        let mut moved = ops.clone();
        let outputs = [moved.find_tensor("out").unwrap()];
        assert_eq!(move_transposes(&mut moved, &outputs, &Limits::default()).unwrap(), 0);
    }

    #[test]
    fn constants_are_turned_back() {
        let numbers: Vec<f32> = (0..6u8).map(f32::from).collect();
        // Of [2,3] turned to [3,2]: the first dimension of what is turned is the second of the result.
        assert_eq!(turned_back(&numbers, &[3, 2], &[1, 0]), (vec![0.0, 2.0, 4.0, 1.0, 3.0, 5.0], vec![2, 3]));
        assert_eq!(turned_back(&numbers, &[1, 6, 1], &[0, 2, 1]), (numbers.clone(), vec![1, 1, 6]));
    }
}
