//! Small networks whose layers are equalized: what they compute stays, and the sizes of channels meet.

use super::equalize::{EqualizedPair, equalize};
use crate::cases::model_of;
use crate::graph::samples::{changes, graph_of};
use crate::graph::{Graph, TensorRef};
use crate::interpreter::{Limits, Plan, Session, Tensor};
use crate::rewrite::fold_constants;

fn tensors(graph: &Graph, names: &[&str]) -> Vec<TensorRef> {
    names.iter().map(|name| graph.find_tensor(name).unwrap()).collect()
}

fn run(graph: &Graph, names: &[&str], x: &Tensor) -> Vec<Tensor> {
    let [feed, fetches] = [tensors(graph, &["x"]), tensors(graph, names)];
    let plan = Plan::new(graph, &feed, &fetches, &Limits::default()).unwrap();
    Session::new(&plan).run(std::slice::from_ref(x), &mut |_, _| Ok(())).unwrap()
}

fn equalized(lines: &str) -> (Graph, Vec<EqualizedPair>) {
    let mut graph = graph_of(lines);
    let outputs = tensors(&graph, &["out"]);
    let told = equalize(&mut graph, &outputs, &Limits::default()).unwrap();
    (graph, told)
}

fn input(dims: &[usize]) -> Tensor {
    let count = dims.iter().product::<usize>();
    let values = (0..count).map(|index| f32::from(u16::try_from(index * 37 % 101).unwrap()) / 9.0 - 4.0);
    Tensor::new(dims, values.collect()).unwrap()
}

/// Weights that differ a hundredfold from channel to channel: from one made to the next upwards, from one read downwards.
const WEIGHTS: &str = "
    x = Placeholder [?,6,6,3]
    ramp3 = Pack(small, one, large) axis=0 N=3
    small = Const 0.04
    one = Const 1.0
    large = Const -4.0
    slope3 = Pack(large, one, small) axis=0 N=3
    column3 = Reshape(slope3, column)
    column = Const [3,1]i
    w = Mul(ones33, ramp3)
    v = Mul(ones33, column3)
    d = Mul(ones31, column3)
    m = Mul(ones35, column3)
    ones33 = Const [3,3,3,3]
    ones31 = Const [3,3,3,1]
    ones35 = Const [3,5]
    b = Mul(ramp3, large)
";

fn check_same(lines: &str, output: &str) -> (Graph, Vec<EqualizedPair>) {
    let before = graph_of(&format!("{WEIGHTS}{lines}"));
    let mut after = before.clone();
    let outputs = tensors(&after, &[output]);
    let told = equalize(&mut after, &outputs, &Limits::default()).unwrap();
    let x = input(&[2, 6, 6, 3]);
    let (wanted, got) = (run(&before, &[output], &x), run(&after, &[output], &x));
    let (wanted, got) = (wanted[0].values::<f32>().unwrap(), got[0].values::<f32>().unwrap());
    let largest = wanted.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0 && wanted.len() == got.len());
    for (wanted, got) in wanted.iter().zip(got) {
        assert!((wanted - got).abs() <= 1e-5 * largest, "{wanted} became {got}");
    }
    (after, told)
}

fn reasons(told: &[EqualizedPair]) -> Vec<String> {
    told.iter().map(|pair| pair.skipped.clone().or(pair.next.clone()).unwrap()).collect()
}

/// The largest weights of each channel that a convolution makes.
fn sizes_made(graph: &Graph, layer: &str) -> Vec<f32> {
    let weights = graph.data_input(graph.find(layer).unwrap(), 1).unwrap();
    let value = &super::constants::evaluate(graph, [weights], &Limits::default()).unwrap()[&weights];
    let channels = *value.dims().last().unwrap();
    let mut sizes = vec![0f32; channels];
    for (index, value) in value.values::<f32>().unwrap().iter().enumerate() {
        sizes[index % channels] = sizes[index % channels].max(value.abs());
    }
    sizes
}

#[test]
fn a_chain_of_layers_computes_the_same_with_channels_of_one_size() {
    let (graph, told) = check_same(
        "first = Conv2D(x, w)
         biased = BiasAdd(first, b)
         relu = Relu(biased)
         pool = MaxPool(relu) ksize=[1,2,2,1]
         deep = DepthwiseConv2dNative(pool, d)
         deep/relu = LeakyRelu(deep) alpha=0.3
         last = Conv2D(deep/relu, v)
         out = Relu(last)",
        "out",
    );
    assert_eq!(reasons(&told), ["deep", "last", "'out' is an output of the network"]);
    let widest = told[0].scales.unwrap();
    assert!(widest[1] / widest[0] > 5.0, "{widest:?}");
    let sizes = sizes_made(&graph, "first/equalized");
    let spread = sizes.iter().fold(0f32, |a, &b| a.max(b)) / sizes.iter().fold(f32::MAX, |a, &b| a.min(b));
    assert!(spread < 10.0, "100 before: {sizes:?}");
    for name in ["first", "biased", "relu", "pool", "deep", "deep/relu"] {
        assert!(graph.find(name).is_none() && graph.find(&format!("{name}/equalized")).is_some(), "{name}");
    }
    assert!(graph.find("last").is_some());
}

#[test]
fn two_sizes_meet_in_the_middle() {
    let lines = "
        x = Placeholder [?,1]
        w = Const [1,1]
        nine = Const 9.0
        u = Const [1,1]
        v = Mul(u, nine)
        first = MatMul(x, w)
        relu = Relu(first)
        out = MatMul(relu, v)
    ";
    let (graph, told) = equalized(lines);
    let [scale, _] = told[0].scales.unwrap();
    assert!((scale - 1.0 / 3.0).abs() < 1e-9, "{scale}");
    for layer in ["first/equalized", "out"] {
        assert!((sizes_made(&graph, layer)[0] - 3.0).abs() < 1e-6);
    }
}

#[test]
fn a_channel_of_next_to_nothing_is_left_as_it_is() {
    let lines = "
        x = Placeholder [?,2]
        nothing = Const 0.000001
        one = Const 1.0
        row = Pack(one, nothing) axis=0 N=2
        ones = Const [2,2]
        w = Mul(ones, row)
        four = Const 4.0
        also = Const [2,2]
        v = Mul(also, four)
        first = MatMul(x, w)
        relu = Relu(first)
        out = MatMul(relu, v)
    ";
    let (_, told) = equalized(lines);
    assert_eq!(told[0].scales, Some([0.5, 1.0]), "one over four; its bias would have grown a thousandfold");
}

#[test]
fn relu6_clips_each_channel_at_its_own_six() {
    let (graph, told) = check_same(
        "first = Conv2D(x, w)
         biased = AddV2(first, b)
         six = Relu6(biased)
         out = Conv2D(six, v)",
        "out",
    );
    assert_eq!(told[0].clip, Some(["six/equalized".to_owned(), "six/clipped".to_owned()]));
    let reads = |name: &str| graph.name(graph.data_input(graph.find(name).unwrap(), 0).unwrap().node).to_owned();
    assert_eq!([reads("out"), reads("six/clipped")], ["six/clipped", "six/equalized"]);
}

#[test]
fn the_mean_of_an_image_goes_on_to_a_classifier() {
    let (_, told) = check_same(
        "first = Conv2D(x, w)
         relu = Relu(first)
         axes = Const [1,2]i
         mean = Mean(relu, axes) keep_dims=false
         out = MatMul(mean, m)",
        "out",
    );
    assert_eq!(told[0].next.as_deref(), Some("out"));
}

#[test]
fn what_does_not_scale_along_is_left_with_the_reason() {
    let before = graph_of(&format!(
        "{WEIGHTS}
         first = Conv2D(x, w)
         sigmoid = Sigmoid(first)
         second = Conv2D(sigmoid, v)
         twice = AddV2(second, x)
         third = Conv2D(twice, w)
         also = Relu(third)
         both = AddV2(also, third)
         flat = Reshape(both, shape)
         shape = Const [1,-1]i
         fourth = MatMul(flat, w4)
         w4 = Const [108,3]
         reshaped = Reshape(fourth, shape)
         out = MatMul(reshaped, m)"
    ));
    let mut after = before.clone();
    let outputs = tensors(&after, &["out"]);
    let told = equalize(&mut after, &outputs, &Limits::default()).unwrap();
    assert_eq!(
        reasons(&told),
        [
            "its weights are read by others too",
            "'twice' (AddV2) adds what is no constant",
            "its weights are read by others too",
            "'reshaped' (Reshape) is no layer, and does not scale along",
            "'out' is an output of the network",
        ]
    );
    assert_eq!(changes(&before, &after), "");
}

#[test]
fn a_folded_batch_norm_is_scaled_like_any_bias() {
    let lines = format!(
        "{WEIGHTS}
         first = Conv2D(x, w)
         norm = FusedBatchNormV3(first, ramp3, b, b, square) is_training=false epsilon=0.001
         square = Mul(b, b)
         relu = Relu6(norm)
         out = Conv2D(relu, v)"
    );
    let mut model = model_of(&lines);
    let x = input(&[1, 6, 6, 3]);
    let wanted = run(&model.graph, &["out"], &x);
    let outputs = tensors(&model.graph, &["out"]);
    fold_constants(&mut model, &outputs, &Limits::default()).unwrap();
    let outputs = tensors(&model.graph, &["out"]);
    let told = equalize(&mut model.graph, &outputs, &Limits::default()).unwrap();
    assert_eq!(told[0].next.as_deref(), Some("out"));
    let got = run(&model.graph, &["out"], &x);
    let pairs = wanted[0].values::<f32>().unwrap().iter().zip(got[0].values::<f32>().unwrap());
    assert!(pairs.into_iter().all(|(wanted, got)| (wanted - got).abs() <= 1e-4 * wanted.abs().max(1.0)));
}
