//! What the rules past the reference do to small graphs, and that they stay out of the reference's way.

use crate::nodes::{Builder, Dialect};
use crate::collections::Collections;
use crate::graph::attr::{Attrs, Tensor};
use crate::graph::samples::Sample;
use crate::graph::{Graph, Input, NewNode};
use crate::passes::quantize::names::Quantized;
use crate::passes::quantize::topology::{Options, quantize};
use crate::passes::quantize::{Extension, Outcome, Selection};
use crate::proto::tensorflow::DataType;

/// A graph of nodes given as name, op and inputs; constants are vectors of one number.
fn graph(nodes: &[(&str, &str, &[&str])]) -> Graph {
    let mut sample = Sample::new();
    let graph = &mut sample.0;
    for &(name, op, inputs) in nodes {
        let mut attrs = Attrs::default();
        attrs.data_type("T", DataType::DtFloat).data_type("dtype", DataType::DtFloat).shape("shape", &[3, 3, 3, 3]);
        attrs.tensor("value", &Tensor::Floats(&[1.0]));
        let inputs: Vec<Input> = inputs.iter().map(|input| Input::Data(graph.find(input).unwrap().into())).collect();
        graph.insert(NewNode { name, op, device: "", inputs: &inputs, attrs: attrs.as_bytes() }).unwrap();
    }
    sample.read_again()
}

fn quantized(graph: &mut Graph, options: &Options) -> Quantized {
    let mut collections = Collections::default();
    quantize(&mut Builder::with_dialect(graph, &mut collections, Dialect::V1_15), options).unwrap()
}

/// Each layer's op with its outcome and rule.
fn outcomes(nodes: &[(&str, &str, &[&str])], options: &Options) -> Vec<(String, Outcome, Option<Extension>)> {
    let report = quantized(&mut graph(nodes), options);
    report.layers.iter().map(|layer| (layer.node.clone(), layer.outcome, layer.extension)).collect()
}

fn one(name: &str, outcome: Outcome, extension: Option<Extension>) -> Vec<(String, Outcome, Option<Extension>)> {
    vec![(name.to_owned(), outcome, extension)]
}

fn reads(graph: &Graph, node: &str) -> Vec<String> {
    let node = graph.find(node).unwrap();
    graph.data_inputs(node).map(|input| graph.name(input.node).to_owned()).collect()
}

fn reference_only() -> Options {
    Options { reference_only: true, ..Options::default() }
}

const FROZEN: [(&str, &str, &[&str]); 6] = [
    ("x", "Placeholder", &[]),
    ("net/w", "Const", &[]),
    ("net/w/read", "Identity", &["net/w"]),
    ("net/conv", "Conv2D", &["x", "net/w/read"]),
    ("net/bias", "BiasAdd", &["net/conv", "net/w"]),
    ("net/relu", "Relu", &["net/bias"]),
];

#[test]
fn constant_weights_are_quantized_like_variables() {
    let mut frozen = graph(&FROZEN);
    let report = quantized(&mut frozen, &Options::default());
    assert_eq!(report.layers[0].extension, Some(Extension::ConstWeights));
    let names: Vec<&str> = report.layers[0].fake_quants.iter().map(|fake_quant| fake_quant.node.as_str()).collect();
    let fake_quant = "FakeQuantWithMinMaxVars";
    assert_eq!(names, [format!("net/weights_quant/{fake_quant}"), format!("net/act_quant/{fake_quant}")]);
    assert_eq!(reads(&frozen, "net/conv"), ["x", names[0]]);
    assert_eq!(reads(&frozen, "net/bias"), ["net/conv", "net/w"], "the bias stays as it is");
}

#[test]
fn without_extensions_only_the_reason_is_told() {
    let mut frozen = graph(&FROZEN);
    let report = quantized(&mut frozen, &reference_only());
    assert_eq!((report.layers[0].outcome, report.layers[0].extension), (Outcome::WeightsUnknown, None));
    assert_eq!(frozen.len(), FROZEN.len(), "nothing was inserted");
}

#[test]
fn weights_are_found_behind_conversions_and_quantized_after_them() {
    let mut nodes = FROZEN.to_vec();
    nodes[2] = ("net/w/read", "Cast", &["net/w"]);
    assert_eq!(
        outcomes(&nodes, &Options::default()),
        one("net/conv", Outcome::Quantized, Some(Extension::WrappedWeights))
    );
    nodes[2] = ("net/w/read", "L2Normalize", &["net/w"]);
    assert_eq!(outcomes(&nodes, &Options::default()), one("net/conv", Outcome::WeightsUnknown, None));
}

#[test]
fn a_layer_that_nothing_ends_is_quantized_itself_unless_a_batch_norm_reads_it() {
    let variable: [(&str, &str, &[&str]); 4] = [
        ("x", "Placeholder", &[]),
        ("v", "VariableV2", &[]),
        ("w", "Identity", &["v"]),
        ("conv", "Conv2D", &["x", "w"]),
    ];
    let with = |last: (&'static str, &'static str, &'static [&'static str])| {
        let nodes: Vec<_> = variable.iter().copied().chain([last]).collect();
        outcomes(&nodes, &Options::default())
    };
    let bare = one("conv", Outcome::Quantized, Some(Extension::BareLayer));
    assert_eq!(with(("concat", "ConcatV2", &["conv", "x", "x"])), bare);
    let batch_norm = ("norm", "FusedBatchNormV3", &["conv", "x", "x", "x", "x"][..]);
    assert_eq!(with(batch_norm), one("conv", Outcome::BatchNormFollows, None));
    assert_eq!(with(("relu", "Relu", &["conv"])), one("conv", Outcome::Quantized, None), "the reference's own");
}

#[test]
fn transposed_convolutions_and_products_with_a_constant_side_are_layers() {
    let nodes: [(&str, &str, &[&str]); 7] = [
        ("x", "Placeholder", &[]),
        ("w", "Const", &[]),
        ("up", "Conv2DBackpropInput", &["w", "w", "x"]),
        ("bias", "BiasAdd", &["up", "w"]),
        ("relu", "Relu", &["bias"]),
        ("product", "BatchMatMulV2", &["w", "relu"]),
        ("attention", "BatchMatMulV2", &["relu", "relu"]),
    ];
    let expected = [
        ("up", Outcome::Quantized, Some(Extension::LayerOp)),
        ("product", Outcome::Quantized, Some(Extension::LayerOp)),
        ("attention", Outcome::WeightsUnknown, None),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(name, outcome, rule)| (name.to_owned(), outcome, rule)).collect();
    assert_eq!(outcomes(&nodes, &Options::default()), expected);
    assert_eq!(outcomes(&nodes, &reference_only()), [], "TensorFlow knows no such layers");
}

#[test]
fn an_activation_of_another_kind_is_quantized_behind_its_layer() {
    let mut nodes = FROZEN.to_vec();
    nodes[5] = ("net/leaky", "LeakyRelu", &["net/bias"]);
    nodes.push(("net/next", "Mean", &["net/leaky"]));
    let mut graph = graph(&nodes);
    let report = quantized(&mut graph, &Options::default());
    assert_eq!(report.adds[0].extension, Some(Extension::Activation));
    assert_eq!(reads(&graph, "net/leaky"), ["net/act_quant/FakeQuantWithMinMaxVars"]);
    assert_eq!(reads(&graph, "net/next"), ["net/leaky/activation_LeakyRelu_quant/FakeQuantWithMinMaxVars"]);
}

const SHARED: [(&str, &str, &[&str]); 8] = [
    ("x", "Placeholder", &[]),
    ("w", "Const", &[]),
    ("a/read", "Identity", &["w"]),
    ("b/read", "Identity", &["w"]),
    ("a/conv", "Conv2D", &["x", "a/read"]),
    ("a/relu", "Relu", &["a/conv"]),
    ("b/conv", "Conv2D", &["a/relu", "b/read"]),
    ("b/relu", "Relu", &["b/conv"]),
];

#[test]
fn shared_weights_get_one_range() {
    let mut shared = graph(&SHARED);
    let report = quantized(&mut shared, &Options::default());
    let weights = "a/weights_quant/FakeQuantWithMinMaxVars";
    assert_eq!((reads(&shared, "a/read"), reads(&shared, "b/read")), (vec![weights.into()], vec![weights.into()]));
    assert_eq!(report.layers.iter().map(|layer| layer.outcome).collect::<Vec<_>>(), [Outcome::Quantized; 2]);
    assert!(shared.find("b/weights_quant/min").is_none());
}

#[test]
fn a_layer_left_out_keeps_the_weights_that_it_shares() {
    let selection = Selection::new(&[], &["^b/conv$".to_owned()]).unwrap();
    let mut shared = graph(&SHARED);
    let report = quantized(&mut shared, &Options { selection, ..Options::default() });
    let outcome = |name: &str| report.layers.iter().find(|layer| layer.node == name).unwrap().outcome;
    assert_eq!((outcome("a/conv"), outcome("b/conv")), (Outcome::Quantized, Outcome::NotSelected));
    assert_eq!(reads(&shared, "b/conv"), ["a/act_quant/FakeQuantWithMinMaxVars", "b/read"]);
    assert_eq!(reads(&shared, "b/read"), ["w"]);
}

#[test]
fn a_layer_inside_a_loop_is_left_alone_where_the_reference_mixes_frames() {
    let nodes: [(&str, &str, &[&str]); 8] = [
        ("x", "Placeholder", &[]),
        ("handle", "VarHandleOp", &[]),
        ("while/enter", "Enter", &["x"]),
        ("while/handle", "Enter", &["handle"]),
        ("while/read", "ReadVariableOp", &["while/handle"]),
        ("while/conv", "Conv2D", &["while/enter", "while/read"]),
        ("while/relu", "Relu", &["while/conv"]),
        ("exit", "Exit", &["while/relu"]),
    ];
    assert_eq!(outcomes(&nodes, &Options::default()), one("while/conv", Outcome::InsideLoop, None));
    assert_eq!(outcomes(&nodes, &reference_only()), one("while/conv", Outcome::Quantized, None));
}
