//! A loop written out computes the same, step by step, and others stay.

use super::super::tests::{image, run};
use super::known::begin_with_zeros;
use super::{Unrolled, unroll};
use crate::graph::samples::graph_of;
use crate::graph::{Graph, Input};
use crate::interpreter::Limits;

/// A cell that reads a row of the image in each step, and its own result; `out` is made of all results and of the last.
/// `limit` is how many steps there are.
fn recurrent(limit: &str, cell: &str) -> Graph {
    graph_of(&format!(
        "x = Placeholder [1,4,4,2]
         order = Const [1,0,2,3]i
         rows = Transpose(x, order) Tperm=DT_INT32
         element = Const [1,4,2]i
         list = TensorListFromTensor(rows, element) element_dtype=DT_FLOAT
         four = Const [4]i
         count = Squeeze(four) T=DT_INT32
         made = TensorListReserve(element, count) element_dtype=DT_FLOAT
         first = Const [1,4,2]
         nothing = Const [0]i
         zero = Squeeze(nothing) T=DT_INT32
         unit = Const [1]i
         one = Squeeze(unit) T=DT_INT32
         {limit}
         enter_i = Enter(zero) T=DT_INT32 frame_name=\"steps\"
         enter_h = Enter(first) frame_name=\"steps\"
         enter_list = Enter(list) T=DT_VARIANT frame_name=\"steps\" is_constant=true
         enter_made = Enter(made) T=DT_VARIANT frame_name=\"steps\"
         enter_one = Enter(one) T=DT_INT32 frame_name=\"steps\" is_constant=true
         enter_limit = Enter(limit) T=DT_INT32 frame_name=\"steps\" is_constant=true
         enter_element = Enter(element) T=DT_INT32 frame_name=\"steps\" is_constant=true
         i = Merge(enter_i, next_i) T=DT_INT32
         h = Merge(enter_h, next_h)
         results = Merge(enter_made, next_results) T=DT_VARIANT
         less = Less(i, enter_limit) T=DT_INT32
         goes_on = LoopCond(less)
         switch_i = Switch(i, goes_on) T=DT_INT32
         switch_h = Switch(h, goes_on)
         switch_results = Switch(results, goes_on) T=DT_VARIANT
         row = TensorListGetItem(enter_list, switch_i:1, enter_element) element_dtype=DT_FLOAT
         {cell}
         put = TensorListSetItem(switch_results:1, switch_i:1, cell) element_dtype=DT_FLOAT
         more = AddV2(switch_i:1, enter_one) T=DT_INT32
         next_i = NextIteration(more) T=DT_INT32
         next_h = NextIteration(cell)
         next_results = NextIteration(put) T=DT_VARIANT
         last = Exit(switch_h)
         exit_results = Exit(switch_results) T=DT_VARIANT
         all = TensorListStack(exit_results, element) element_dtype=DT_FLOAT num_elements=-1
         out = Mul(all, last)"
    ))
}

const FOUR: &str = "limit = Squeeze(four) T=DT_INT32";
const CELL: &str = "sum = Sub(switch_h:1, row)\ncell = Tanh(sum)";

fn unrolled(graph: &mut Graph) -> Vec<Unrolled> {
    unroll(graph, None, &Limits::default()).unwrap().unrolled
}

#[test]
fn steps_compute_what_the_loop_did() {
    let before = recurrent(FOUR, CELL);
    let mut after = before.clone();
    assert_eq!(unrolled(&mut after), [Unrolled { name: "steps".to_owned(), steps: 4 }]);
    let x = image(2);
    assert_eq!(run(&before, "out", &x), run(&after, "out", &x));
    let inputs = |name: &str| -> Vec<String> {
        after.data_inputs(after.find(name).unwrap()).map(|input| after.tensor_name(input)).collect()
    };
    assert_eq!(inputs("sum/step_0"), ["first:0", "rows/unpacked:0"]);
    assert_eq!(inputs("sum/step_3"), ["cell/step_2:0", "rows/unpacked:3"]);
    assert_eq!(inputs("all"), ["cell/step_0:0", "cell/step_1:0", "cell/step_2:0", "cell/step_3:0"]);
    let of_loop = |op: &str| matches!(op, "Exit" | "Switch" | "TensorListStack");
    let needed = after.reached([after.find("out").unwrap()], |node| after.inputs(node).map(Input::node));
    assert!(after.ids().filter(|node| needed[node.index()]).all(|node| !of_loop(after.op(node))));
}

#[test]
fn what_begins_with_zeros_has_a_simple_first_step() {
    let of_zeros = "dims = Const [1,4,2]i\nnull = Const 0.0\nzeros = Fill(dims, null)";
    let cell = "product = Mul(switch_h:1, row)\nsum = AddV2(product, row)\ncell = Tanh(sum)";
    let mut graph = recurrent(&format!("{FOUR}\n{of_zeros}"), cell);
    let (enter, zeros) = (graph.find("enter_h").unwrap(), graph.find_tensor("zeros").unwrap());
    graph.set_input(enter, 0, Input::Data(zeros));
    let before = graph.clone();
    assert_eq!(unrolled(&mut graph).len(), 1);
    let x = image(2);
    assert_eq!(run(&before, "out", &x), run(&graph, "out", &x));
    let first = graph.data_input(graph.find("cell/step_0").unwrap(), 0).unwrap();
    assert_eq!(graph.tensor_name(first), "rows/unpacked:0", "the row itself");
}

#[test]
fn loops_of_unknown_length_stay() {
    for limit in
        ["limit = Placeholder [] dtype=DT_INT32 T=DT_INT32", "many = Const [200]i\nlimit = Squeeze(many) T=DT_INT32"]
    {
        let mut graph = recurrent(limit, CELL);
        assert!(unrolled(&mut graph).is_empty(), "{limit}");
    }
    let mut drawn = recurrent(FOUR, "noise = RandomUniform(enter_element) dtype=DT_FLOAT\ncell = Sub(row, noise)");
    assert!(unrolled(&mut drawn).is_empty());
}

#[test]
fn no_more_steps_are_written_out_than_asked_for() {
    let loops = |most_steps| unroll(&mut recurrent(FOUR, CELL), Some(most_steps), &Limits::default()).unwrap();
    assert_eq!(loops(4).unrolled, [Unrolled { name: "steps".to_owned(), steps: 4 }]);
    assert_eq!((loops(3).unrolled.len(), loops(3).too_long), (0, vec!["steps".to_owned()]));
}

#[test]
fn steps_that_were_written_out_begin_simply_too() {
    let mut graph = graph_of(
        "x = Placeholder [1,4,4,2]
         dims = Const [1,4,4,2]i
         null = Const 0.0
         zeros = Fill(dims, null)
         forget = Sigmoid(x)
         kept = Mul(zeros, forget)
         new = Tanh(x)
         cell = AddV2(kept, new)
         out = Relu(cell)",
    );
    let before = graph.clone();
    assert_eq!(begin_with_zeros(&mut graph, &Limits::default()).unwrap(), 2);
    let x = image(2);
    assert_eq!(run(&before, "out", &x), run(&graph, "out", &x));
    let read = graph.data_input(graph.find("out").unwrap(), 0).unwrap();
    assert_eq!(graph.tensor_name(read), "new:0");
}

#[test]
fn what_is_zero_because_a_bias_is_makes_products_zero() {
    let mut graph = graph_of(
        "x = Placeholder [1,4]
         dims = Const [1,4]i
         null = Const 0.0
         zeros = Fill(dims, null)
         w = Const [4,12]
         product = MatMul(zeros, w)
         ones = Const [12]
         bias = Mul(ones, null)
         biased = BiasAdd(product, bias)
         axis = Const [1]i
         sizes = Const [4,4,-1]i
         parts = SplitV(biased, sizes, axis) num_split=3
         reset = Sigmoid(x)
         kept = Mul(reset, parts:2)
         cell = AddV2(kept, x)
         out = Relu(cell)",
    );
    assert!(begin_with_zeros(&mut graph, &Limits::default()).unwrap() >= 3);
    let read = graph.data_input(graph.find("out").unwrap(), 0).unwrap();
    assert_eq!(graph.tensor_name(read), "x:0");
}
