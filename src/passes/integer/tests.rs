//! Small networks: what is folded, which tensors get a range, how weights are quantized.

use hashbrown::HashMap;

use super::Range;
use super::early_bias::add_biases_early;
use super::fold::{fold, write_as_biases};
use super::fused::unify;
use super::loops::bring_in_constants;
use super::place::place;
use super::points::points;
use super::sums::write_as_adds;
use super::weights::{WeightRules, quantize};
use crate::graph::samples::{changes, graph_of};
use crate::graph::{Graph, TensorRef};
use crate::interpreter::{Limits, Plan, Session, Tensor};
use crate::options::{Target, Weights};

fn tensors(graph: &Graph, names: &[&str]) -> Vec<TensorRef> {
    names.iter().map(|name| graph.find_tensor(name).unwrap()).collect()
}

fn fold_to(graph: &mut Graph, output: &str) -> Vec<super::FoldedChain> {
    let outputs = tensors(graph, &[output]);
    fold(graph, &outputs, &Limits::default()).unwrap()
}

/// What the graph computes of x.
pub(super) fn run(graph: &Graph, output: &str, x: &Tensor) -> Vec<f32> {
    let [feed, fetch] = [tensors(graph, &["x"])[0], tensors(graph, &[output])[0]];
    let plan = Plan::new(graph, &[feed], &[fetch], &Limits::default()).unwrap();
    let results = Session::new(&plan).run(std::slice::from_ref(x), &mut |_, _| Ok(())).unwrap();
    results[0].values::<f32>().unwrap().to_vec()
}

pub(super) fn image(channels: usize) -> Tensor {
    let values = (0..16 * channels).map(|index| f32::from(u8::try_from(index).unwrap()) / 7.0 - 3.0);
    Tensor::new(&[1, 4, 4, channels], values.collect()).unwrap()
}

/// Folding changes nothing of what is computed.
fn check_same(lines: &str, output: &str, channels: usize) -> (Graph, Vec<super::FoldedChain>) {
    let before = graph_of(lines);
    let mut after = before.clone();
    let chains = fold_to(&mut after, output);
    let x = image(channels);
    let (wanted, got) = (run(&before, output, &x), run(&after, output, &x));
    let largest = wanted.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    for (wanted, got) in wanted.iter().zip(&got) {
        assert!((wanted - got).abs() <= 2e-6 * largest, "{wanted} became {got}");
    }
    assert_eq!(wanted.len(), got.len());
    (after, chains)
}

const NORM: &str = "
    x = Placeholder [?,4,4,2]
    half = Const 0.5
    three = Const 3.0
    gamma = Const [2]
    beta = Mul(gamma, half)
    mean = Mul(gamma, three)
    variance = Mul(gamma, three)
    bias = Mul(gamma, half)
";

#[test]
fn a_batch_norm_goes_into_the_weights_of_its_layer() {
    let lines = format!(
        "{NORM}
         w = Const [3,3,2,2]
         conv = Conv2D(x, w)
         biased = BiasAdd(conv, bias)
         norm = FusedBatchNormV3(biased, gamma, beta, mean, variance) is_training=false epsilon=0.001
         relu = Relu(norm)"
    );
    let (graph, chains) = check_same(&lines, "relu", 2);
    assert_eq!(
        (chains[0].node.as_str(), &chains[0].folded[..]),
        ("conv", &["biased".to_owned(), "norm".to_owned()][..])
    );
    assert_eq!(
        changes(&graph_of(&lines), &graph),
        "conv = Conv2D(x, conv/folded)\nnorm/unfolded = FusedBatchNormV3(biased, gamma, beta, mean, variance)\n\
         norm = BiasAdd(conv, conv/bias)\n"
    );
}

#[test]
fn depthwise_and_scalar_chains_fold() {
    let lines = format!(
        "{NORM}
         w = Const [3,3,2,1]
         conv = DepthwiseConv2dNative(x, w)
         scaled = Mul(gamma, conv)
         less = Sub(three, scaled)
         more = RealDiv(less, half)"
    );
    assert!(check_same(&lines, "more", 2).1[0].into_weights);
}

#[test]
fn what_stands_behind_no_layer_becomes_mul_and_add() {
    let lines = format!(
        "{NORM}
         norm = FusedBatchNormV3(x, gamma, beta, mean, variance) is_training=false epsilon=0.001
         relu = Relu(norm)"
    );
    let (graph, chains) = check_same(&lines, "relu", 2);
    assert!(!chains[0].into_weights);
    assert_eq!(graph.op(graph.find("norm").unwrap()), "AddV2");
}

#[test]
fn shared_and_training_batch_norms_are_left() {
    let twice = format!(
        "{NORM}
         w = Const [3,3,2,2]
         conv = Conv2D(x, w)
         scaled = Mul(conv, half)
         both = Add(scaled, conv)"
    );
    assert!(fold_to(&mut graph_of(&twice), "both").is_empty());
    let training = format!(
        "{NORM}
         w = Const [3,3,2,2]
         conv = Conv2D(x, w)
         norm = FusedBatchNormV3(conv, gamma, beta, mean, variance)"
    );
    assert!(fold_to(&mut graph_of(&training), "norm").is_empty());
}

#[test]
fn a_chain_ends_where_channels_lie_elsewhere() {
    let lines = "
        x = Placeholder [?,4,4,4]
        w = Const [3,3,4,4]
        numbers = Const [1,2,3,4]i
        different = Cast(numbers) SrcT=DT_INT32 DstT=DT_FLOAT
        ones = Const [4]
        conv = Conv2D(x, w)
        scaled = Mul(conv, different)
        rows = BiasAdd(scaled, different) data_format=\"NCHW\"
        norm = FusedBatchNormV3(rows, different, ones, different, different) is_training=false data_format=\"NCHW\"";
    let (_, chains) = check_same(lines, "norm", 4);
    let folded: Vec<&[String]> = chains.iter().map(|chain| &chain.folded[..]).collect();
    assert_eq!(folded, [["scaled"], ["norm"]]);
    let volume = "
        x = Placeholder [?,2,4,4,4]
        gamma = Const [2]
        norm = FusedBatchNormV3(x, gamma, gamma, gamma, gamma) is_training=false data_format=\"NCDHW\"";
    assert!(fold_to(&mut graph_of(volume), "norm").is_empty());
}

/// The tensors that get a range, those that share one with an earlier one marked.
pub(super) fn ranged(lines: &str, output: &str) -> Vec<String> {
    let graph = graph_of(lines);
    let (inputs, outputs) = (tensors(&graph, &["x"]), tensors(&graph, &[output]));
    let points = points(&graph, &inputs, &inputs, &outputs).unwrap();
    let told = points.tensors.iter().enumerate().map(|(place, &(tensor, group))| {
        format!("{}{}", graph.name(tensor.node), if place == group { "" } else { "*" })
    });
    told.collect()
}

#[test]
fn ranges_go_behind_bias_and_activation_and_not_behind_what_passes_on() {
    let lines = format!(
        "{NORM}
         w = Const [3,3,2,2]
         conv = Conv2D(x, w)
         biased = BiasAdd(conv, bias)
         relu = Relu6(biased)
         pool = MaxPool(relu)
         second = Conv2D(pool, w)
         sum = AddV2(second, pool)
         done = Softmax(sum)"
    );
    assert_eq!(ranged(&lines, "done"), ["x", "relu", "second", "sum"]);
}

#[test]
fn a_layer_read_twice_has_a_range_of_its_own_and_a_concat_one_for_all() {
    let lines = format!(
        "{NORM}
         w = Const [3,3,2,2]
         axis = Const [3]i
         conv = Conv2D(x, w)
         relu = Relu(conv)
         joined = ConcatV2(conv, relu, axis)"
    );
    assert_eq!(ranged(&lines, "joined"), ["x", "conv", "relu*"]);
}

#[test]
fn what_orders_accesses_to_a_tensor_array_gets_no_range() {
    let lines = "
        x = Placeholder [?,4]
        size = Const [1]i
        array = TensorArrayV3(size)
        scatter = TensorArrayScatterV3(array, size, x, array:1)
        read = TensorArrayGatherV3(array, size, scatter)
        done = Relu(read)
    ";
    let ranged = ranged(lines, "done");
    assert!(ranged.contains(&"x".to_owned()) && !ranged.contains(&"scatter".to_owned()), "{ranged:?}");
}

#[test]
fn a_hard_swish_has_no_range_inside_and_biases_in_a_row_are_one() {
    let hard_sigmoid = "
        x = Placeholder [?,4,4,2]
        w = Const [3,3,2,2]
        bias = Const [2]
        three = Const 3.0
        sixth = Const 0.16666667
        about = Const 0.16667
        conv = Conv2D(x, w)
        biased = BiasAdd(conv, bias)
        shifted = AddV2(biased, three)
        gate = Relu6(shifted)";
    let swish = |lines: &str| ranged(&format!("{hard_sigmoid}\n{lines}"), "swish");
    let first = "scaled = Mul(gate, sixth)\nswish = Mul(biased, scaled)";
    let last = "scaled = Mul(gate, biased)\nswish = Mul(sixth, scaled)";
    assert_eq!([first, last].map(swish), [["x", "biased", "swish"]; 2]);
    let slim = "scaled = Mul(gate, about)\nswish = Mul(biased, scaled)";
    assert_eq!(swish(slim), ["x", "biased", "gate", "scaled", "swish"]);
    assert_eq!(swish("swish = Mul(gate, sixth)"), ["x", "gate", "swish"]);
}

#[test]
fn a_bias_that_is_one_number_is_told_apart() {
    let lines = "
        x = Placeholder [?,4,4,2]
        w = Const [3,3,2,2]
        zero = Const 0.0
        three = Const 3.0
        conv = Conv2D(x, w)
        biased = Add(conv, zero)
        shifted = AddV2(biased, three)
        other = Conv2D(shifted, w)
        nothing = Add(other, zero)";
    let before = graph_of(lines);
    let mut graph = before.clone();
    let outputs = tensors(&graph, &["nothing"]);
    assert_eq!(write_as_biases(&mut graph, &outputs, &Limits::default()).unwrap(), 1);
    assert_eq!(
        changes(&before, &graph),
        "conv = Conv2D(x, conv/folded)\n\
         shifted/unfolded = AddV2(biased, three)\n\
         shifted = BiasAdd(conv, conv/bias)\n"
    );
    let bias = run(&graph, "conv/bias", &image(2));
    assert_eq!(bias, [3.0, 3.0f32.next_up()]);

    let behind_a_squeeze = |axes: &str, shape: &str| {
        let lines = format!(
            "x = Placeholder [?,1,4,2]
             w = Const [1,3,2,2]
             ones = Const {shape}
             conv = Conv2D(x, w)
             squeezed = Squeeze(conv) squeeze_dims={axes}
             shifted = AddV2(squeezed, ones)"
        );
        let mut graph = graph_of(&lines);
        let outputs = tensors(&graph, &["shifted"]);
        write_as_biases(&mut graph, &outputs, &Limits::default()).unwrap()
    };
    assert_eq!(behind_a_squeeze("[1]", "[2]"), 1);
    assert_eq!(behind_a_squeeze("[-3]", "[1,1,2]"), 1);
    assert_eq!(behind_a_squeeze("[1]", "[1,1,1,2]"), 0, "it would have an axis more");
    assert_eq!(behind_a_squeeze("[]", "[1,1,2]"), 0, "how many axes are left is not said");
    assert_eq!(behind_a_squeeze("[3]", "[2]"), 0, "the channels are gone");
}

#[test]
fn sums_and_parametric_relus_become_what_has_a_kernel() {
    let lines = "
        x = Placeholder [?,4,4,2]
        alpha = Const [2]
        sum = AddN(x, x, x) N=3
        above = Relu(sum)
        negated = Neg(sum)
        below = Relu(negated)
        scaled = Mul(alpha, below)
        prelu = Sub(above, scaled)";
    let before = graph_of(lines);
    let mut graph = before.clone();
    assert_eq!(write_as_adds(&mut graph).unwrap(), 1);
    assert_eq!(unify(&mut graph, &Limits::default()).unwrap(), 1);
    let x = image(2);
    assert_eq!(run(&before, "prelu", &x), run(&graph, "prelu", &x));
    assert_eq!(
        changes(&before, &graph),
        "sum/unfolded = AddN(x, x, x)\n\
         prelu/unfolded = Sub(above, scaled)\n\
         sum/partial = AddV2(x, x)\n\
         sum = AddV2(sum/partial, x)\n\
         prelu/below = Mul(below, prelu/factor)\n\
         prelu = AddV2(above, prelu/below)\n"
    );
    let again = unify(&mut graph, &Limits::default()).unwrap();
    assert_eq!(again, 0, "a Relu of that form stays");
    let plain = "
        x = Placeholder [?,4,4,2]
        alpha = Const [1,1,2]
        above = Relu(x)
        negated = Neg(x)
        below = Relu(negated)
        scaled = Mul(alpha, below)
        prelu = AddV2(above, scaled)
        done = MaxPool(prelu)";
    assert_eq!(ranged(plain, "done"), ["x", "prelu"]);
}

#[test]
fn what_only_a_loop_s_back_edge_reaches_is_seen() {
    let lines = "
        x = Placeholder [1,4]
        w = Const [4,4]
        zeros = Const [1,4]
        start = Enter(zeros)
        inside = Enter(x)
        state = Merge(start, next)
        product = MatMul(state, w)
        sum = AddV2(product, inside)
        next = NextIteration(sum)
        left = Exit(state)
        after = MatMul(left, w)";
    let graph = graph_of(lines);
    let (inputs, outputs) = (tensors(&graph, &["x"]), tensors(&graph, &["after"]));
    let points = points(&graph, &inputs, &inputs, &outputs).unwrap();
    assert_eq!(points.in_loops, 2, "there is no node in the body that a constant could wait for");
    assert_eq!(ranged(lines, "after"), ["x", "left", "after"]);
}

/// A recurrent network as freezing makes it of a while-loop: weights and bias are carried round unchanged.
const RECURRENT: &str = "
    x = Placeholder [1,4]
    w = Const [4,4]
    u = Const [4,4]
    b = Const [4]
    zeros = Const [1,4]
    enter_state = Enter(zeros) frame_name=\"loop\"
    enter_w = Enter(w) frame_name=\"loop\"
    enter_b = Enter(b) frame_name=\"loop\"
    enter_x = Enter(x) frame_name=\"loop\" is_constant=true
    state = Merge(enter_state, next_state)
    merge_w = Merge(enter_w, next_w)
    merge_b = Merge(enter_b, next_b)
    small = Const 4.0
    limit = Enter(small) frame_name=\"loop\" is_constant=true
    sizes = Max(state, axes)
    zero = Const [0,1]i
    axes = Enter(zero) frame_name=\"loop\" is_constant=true
    less = Less(sizes, limit)
    more = LoopCond(less)
    switch = Switch(state, more)
    switch_w = Switch(merge_w, more)
    switch_b = Switch(merge_b, more)
    pivot = Identity(switch:1)
    next_w = NextIteration(switch_w:1)
    next_b = NextIteration(switch_b:1)
    product = MatMul(enter_x, switch_w:1)
    recurrent = MatMul(switch:1, switch_w:1)
    sum = AddV2(product, recurrent)
    biased = BiasAdd(sum, switch_b:1)
    act = Relu(biased)
    next_state = NextIteration(act)
    left = Exit(switch)
    after = MatMul(left, u)";

#[test]
fn a_loop_s_weights_become_constants_in_its_body() {
    let before = graph_of(RECURRENT);
    let mut graph = before.clone();
    assert_eq!(bring_in_constants(&mut graph, &Limits::default()).unwrap(), 2);
    assert_eq!(
        changes(&before, &graph),
        "product = MatMul(enter_x, w/inside)\n\
         recurrent = MatMul(switch:1, w/inside)\n\
         biased = BiasAdd(sum, b/inside)\n"
    );
    let waits_for_pivot = |name: &str| graph.control_inputs(graph.find(name).unwrap()).eq(graph.find("pivot"));
    assert!(waits_for_pivot("w/inside") && waits_for_pivot("b/inside"));
    let x = Tensor::new(&[1, 4], vec![0.5f32, 0.25, -0.5, 1.0]).unwrap();
    assert_eq!(run(&before, "after", &x), run(&graph, "after", &x));
    assert_eq!(bring_in_constants(&mut graph, &Limits::default()).unwrap(), 0, "there is nothing left to bring in");

    // With the bias at the layer itself, the same is computed, and each tensor of the body has a range.
    let outputs = tensors(&graph, &["after"]);
    let after = run(&graph, "after", &x);
    assert_eq!(add_biases_early(&mut graph, &outputs).unwrap(), 1);
    assert_eq!(run(&graph, "after", &x), after);
    let inputs = tensors(&graph, &["x"]);
    let points = points(&graph, &inputs, &inputs, &outputs).unwrap();
    let told: Vec<String> = points
        .tensors
        .iter()
        .map(|&(tensor, group)| format!("{} {}", graph.tensor_name(tensor), graph.name(points.tensors[group].0.node)))
        .collect();
    let in_body = ["product/biased:0", "recurrent:0", "switch:1", "left:0", "act:0"];
    assert!(in_body.iter().all(|name| told.iter().any(|told| told.starts_with(name))), "{told:?}");
    let group = |name: &str| {
        let tensor = graph.find_tensor(name).unwrap();
        points.tensors.iter().find(|(other, _)| *other == tensor).map(|(_, group)| *group)
    };
    assert_eq!((group("switch:1"), group("left")), (group("act"), group("act")), "one range all the way round");
    let pivot = graph.find("pivot");
    let of = |name: &str| points.pivots.get(&graph.find_tensor(name).unwrap()).copied();
    assert_eq!((of("act"), of("switch:1"), of("after")), (pivot, pivot, None));
}

#[test]
fn what_a_loop_computes_of_constants_becomes_one() {
    let lines = RECURRENT.replace(
        "biased = BiasAdd(sum, switch_b:1)",
        "given = Enter(b) frame_name=\"loop\" is_constant=true
         read = Identity(given)
         twice = AddV2(read, read)
         biased = BiasAdd(sum, twice)",
    );
    let before = graph_of(&lines);
    let mut graph = before.clone();
    assert_eq!(bring_in_constants(&mut graph, &Limits::default()).unwrap(), 2);
    assert!(changes(&before, &graph).ends_with("biased = BiasAdd(sum, twice/inside)\n"));
    let x = Tensor::new(&[1, 4], vec![0.5f32, 0.25, -0.5, 1.0]).unwrap();
    assert_eq!(run(&before, "after", &x), run(&graph, "after", &x));
}

#[test]
fn what_decides_whether_a_loop_goes_on_gets_no_range() {
    let graph = graph_of(&RECURRENT.replace(
        "sizes = Max(state, axes)",
        "doubled = AddV2(state, state)
         sizes = Max(doubled, axes)",
    ));
    let (inputs, outputs) = (tensors(&graph, &["x"]), tensors(&graph, &["after"]));
    let points = points(&graph, &inputs, &inputs, &outputs).unwrap();
    assert_eq!(points.in_loops, 1);
    assert!(!points.tensors.iter().any(|(tensor, _)| graph.name(tensor.node) == "doubled"));
}

#[test]
fn an_input_of_words_gets_no_range() {
    let words = "
        x = Placeholder [?,4]
        word = Cast(x) SrcT=DT_FLOAT DstT=DT_INT32
        table = Const [9,4]
        axis = Const [0]i
        embedded = GatherV2(table, word, axis) Tparams=DT_FLOAT
        w = Const [4,4]
        done = MatMul(embedded, w)";
    assert!(!ranged(words, "done").contains(&"x".to_owned()));
    let both = format!("{words}\n half = Relu(x)\n all = AddN(half, done)");
    assert!(ranged(&both, "all").contains(&"x".to_owned()));
}

#[test]
fn a_bias_behind_the_sum_of_two_layers_goes_to_one_of_them() {
    let lines = "
        x = Placeholder [1,4]
        w = Const [4,3]
        b = Const [3]
        one = Const 1.0
        first = MatMul(x, w)
        second = MatMul(x, w)
        sum = AddV2(first, second)
        biased = BiasAdd(sum, b)
        third = MatMul(x, w)
        fourth = MatMul(x, w)
        shared = AddV2(third, fourth)
        other = BiasAdd(shared, b)
        fifth = MatMul(x, w)
        scalar = AddV2(fifth, third)
        shifted = AddV2(scalar, one)
        all = AddV2(biased, other)
        more = AddV2(shared, shifted)
        done = AddV2(all, more)";
    let before = graph_of(lines);
    let mut graph = before.clone();
    let outputs = tensors(&graph, &["done"]);
    assert_eq!(add_biases_early(&mut graph, &outputs).unwrap(), 1);
    let x = Tensor::new(&[1, 4], vec![0.5f32, 0.25, -0.5, 1.0]).unwrap();
    assert_eq!(run(&before, "done", &x), run(&graph, "done", &x));
    assert_eq!(run(&before, "biased", &x), run(&graph, "biased", &x));
    let names: Vec<String> = graph.data_inputs(graph.find("biased").unwrap()).map(|t| graph.tensor_name(t)).collect();
    assert_eq!(names, ["first/biased:0", "second:0"]);
}

#[test]
fn weights_are_quantized_as_their_kernels_want_it() {
    let lines = "
        x = Placeholder [?,4,4,2]
        w = Const [3,3,2,4]
        d = Const [3,3,4,2]
        m = Const [8,3]
        conv = Conv2D(x, w)
        deep = DepthwiseConv2dNative(conv, d)
        product = MatMul(deep, m)
    ";
    let before = graph_of(lines);
    let mut graph = before.clone();
    let rules = |target| WeightRules { target, how: Weights::SymmetricPerChannel, bits: 8 };
    let told = quantize(&mut graph, rules(None), &|_| true, &Limits::default()).unwrap().quantized;
    assert_eq!(told.iter().map(|weights| weights.ranges).collect::<Vec<_>>(), [4, 8, 1]);
    assert!(told.iter().all(|weights| weights.min.to_bits() == (-1.0f32).to_bits()));
    assert_eq!(
        changes(&before, &graph),
        "conv = Conv2D(x, conv/wq)\n\
         deep = DepthwiseConv2dNative(conv, deep/wq/shaped)\n\
         product = MatMul(deep, product/wq)\n\
         conv/wq = FakeQuantWithMinMaxVarsPerChannel(w)\n\
         deep/wq/flat = Reshape(d, deep/wq/flat/shape)\n\
         deep/wq = FakeQuantWithMinMaxVarsPerChannel(deep/wq/flat)\n\
         deep/wq/shaped = Reshape(deep/wq, deep/wq/shaped/shape)\n\
         product/wq = FakeQuantWithMinMaxVars(m)\n"
    );
    let litert = quantize(&mut before.clone(), rules(Some(Target::LitertInt8)), &|_| true, &Limits::default()).unwrap();
    assert_eq!((litert.quantized.len(), &litert.left[..]), (2, &["product".to_owned()][..]));
}

/// The ranges that are placed when everything lies between -1 and 3, but what is masked by -1e9, and masks from 0 to 1.
fn placed(lines: &str, output: &str) -> (Graph, Vec<String>) {
    let mut graph = graph_of(lines);
    let (inputs, outputs) = (tensors(&graph, &["x", "mask"]), tensors(&graph, &[output]));
    let points = points(&graph, &inputs, &inputs, &outputs).unwrap();
    let names: HashMap<TensorRef, String> =
        points.tensors.iter().map(|&(tensor, _)| (tensor, graph.name(tensor.node).to_owned())).collect();
    let of = |tensor: TensorRef| {
        Some(match names.get(&tensor)?.as_str() {
            "mask" => Range { min: 0.0, max: 1.0 },
            "added" | "masked" => Range { min: -1e9, max: 3.0 },
            _ => Range { min: -1.0, max: 3.0 },
        })
    };
    let placed = place(&mut graph, &points, &outputs, &of, &Limits::default()).unwrap();
    let told = placed.iter().map(|range| format!("{} {} {}", range.tensor, range.min, range.max)).collect();
    (graph, told)
}

#[test]
fn what_masks_scores_is_no_smaller_than_it_has_to_be() {
    let added = "
        x = Placeholder [1,4]
        mask = Placeholder [1,4]
        large = Const -1e9
        added = Mul(mask, large)
        masked = AddV2(x, added)
        out = Softmax(masked)";
    let (graph, ranges) = placed(added, "out");
    assert_eq!(ranges, ["x:0 -1 3", "mask:0 0 1", "added:0 -16 0", "masked:0 -13 3"]);
    let number = graph.data_input(graph.find("added").unwrap(), 1).unwrap();
    assert_eq!(graph.const_float(number), Some(-16.0));
    let for_two = &added.replace(
        "out = Softmax(masked)",
        "first = Softmax(masked)
        others = AddV2(first, x)
        masked_too = AddV2(others, added)
        out = Softmax(masked_too)",
    );
    let (_, ranges) = placed(for_two, "out");
    assert_eq!(ranges[2..4], ["added:0 -16 0", "masked:0 -13 3"]);
    assert_eq!(ranges.last().unwrap(), "masked_too:0 -13 3");
    let (_, ranges) = placed(&for_two.replace("(masked_too)", "(added)"), "out");
    assert_eq!(ranges[2], "added:0 -1000000000 3", "what is read by others stays");
    let chosen = "
        x = Placeholder [1,4]
        mask = Placeholder [1,4]
        zero = Const 0.0
        is_set = Greater(mask, zero)
        large = Const -1e9
        masked = SelectV2(is_set, x, large)
        out = Softmax(masked)";
    let (_, ranges) = placed(chosen, "out");
    assert_eq!(ranges, ["x:0 -13 3", "mask:0 0 1", "masked/masking:0 -13 3"]);
    let summed = "
        x = Placeholder [1,4]
        mask = Placeholder [1,4]
        ones = Const [4]
        deep = Const -1e9
        always = Mul(ones, deep)
        masked = AddV2(always, x)
        out = Softmax(masked)";
    let (graph, ranges) = placed(summed, "out");
    assert_eq!(ranges, ["x:0 -1 3", "mask:0 0 1", "masked:0 -13 3"]);
    let always = graph.data_input(graph.find("masked").unwrap(), 0).unwrap();
    assert_eq!(graph.attr_tensor(always.node, "value").unwrap().tensor_content, (-16f32).to_le_bytes().repeat(4));
}
