use super::super::tests::{image, run};
use super::look::turned_back;
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
    let single = "one = Const [1,1,1,1]\nmore = AddV2(first, one)\nout = Relu6(more)";
    assert_eq!(left(&format!("{LAYER}\n{single}")), ["Conv2D", "AddV2", "Relu6", "Transpose"]);
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
