//! What folding past TensorFlow's rules does to small graphs, and what the reference's rules say of them.

use crate::cases::{check, eval_by_topology, reference_only, rewritten, skipping};
use crate::options::{RewriteOptions, Rules, TopologyOnly};
use crate::passes::decisions::{Extension, FoldOutcome, Outcome};

const LAYER: &str = "
    x = Placeholder [2,8,8,3]
    w = Const [1,1,3,4]
    v = Const [4]
    net/conv = Conv2D(x, w)
";

const FUSED: &str = "net/bn = FusedBatchNormV3(net/conv, v, v, v, v) is_training=false
                     net/relu = Relu(net/bn)";

/// Folds alone, in eval mode.
fn fold(reference_only: bool) -> RewriteOptions {
    let rules = Rules::Topology(TopologyOnly { reference_only, ..TopologyOnly::default() });
    RewriteOptions { quantize: None, rules, ..eval_by_topology() }
}

fn strict() -> RewriteOptions {
    RewriteOptions { strict_fold: true, ..fold(false) }
}

fn training() -> RewriteOptions {
    let mut options = fold(false);
    options.common.is_training = true;
    options
}

fn graph(parts: &[&str]) -> String {
    parts.join("\n")
}

/// The outcome of the only batch norm, the rule that folded it, and what there is to say of it.
#[track_caller]
fn decided(lines: &str, options: &RewriteOptions) -> (&'static str, Option<&'static str>, String) {
    let (report, _) = rewritten(lines, options).unwrap();
    let [norm] = &report.batch_norms[..] else { panic!("{:?}", report.batch_norms) };
    let detail = norm.detail.clone().unwrap_or_default();
    (norm.outcome.code(), norm.extension.map(Extension::code), detail)
}

#[test]
fn a_batch_norm_of_single_ops_folds_whatever_it_is_called() {
    let lines = graph(&[
        LAYER,
        "epsilon = Const 0.001
         n/a = AddV2(v, epsilon)
         n/b = Rsqrt(n/a)
         n/c = Mul(n/b, v)
         n/d = Mul(net/conv, n/c)
         n/e = Mul(v, n/c)
         n/f = Sub(v, n/e)
         n/g = AddV2(n/d, n/f)
         net/relu = Relu(n/g)",
    ]);
    check(
        &lines,
        &strict(),
        "batch_norm n/g: folded by fold_affine
         net/relu = Relu(net/add_fold)
         net/mul_fold = Mul(w, n/c)
         net/conv_Fold = Conv2D(x, net/mul_fold)
         net/add_fold = Add(net/conv_Fold, n/f)",
    );
    check(&lines, &fold(true), "");
}

#[test]
fn scales_and_shifts_in_any_order_become_one_of_each() {
    let lines = graph(&[
        LAYER,
        "net/bias = BiasAdd(net/conv, v)
         net/centred = Sub(net/bias, v)
         net/divided = RealDiv(net/centred, v)
         net/scaled = Mul(v, net/divided)
         net/shifted = AddV2(v, net/scaled)
         net/relu = Relu(net/shifted)",
    ]);
    check(
        &lines,
        &strict(),
        "batch_norm net/shifted: folded by fold_affine
         net/relu = Relu(net/add_fold)
         net/BatchNorm_Fold/shift = Sub(v, v)
         net/BatchNorm_Fold/shift_1 = RealDiv(net/BatchNorm_Fold/shift, v)
         net/BatchNorm_Fold/scale = Reciprocal(v)
         net/BatchNorm_Fold/shift_2 = Mul(net/BatchNorm_Fold/shift_1, v)
         net/BatchNorm_Fold/scale_1 = Mul(net/BatchNorm_Fold/scale, v)
         net/BatchNorm_Fold/shift_3 = AddV2(net/BatchNorm_Fold/shift_2, v)
         net/mul_fold = Mul(w, net/BatchNorm_Fold/scale_1)
         net/conv_Fold = Conv2D(x, net/mul_fold)
         net/add_fold = Add(net/conv_Fold, net/BatchNorm_Fold/shift_3)",
    );
}

#[test]
fn what_is_no_number_per_channel_is_no_batch_norm() {
    for rest in [
        "half = Const 0.5
         a = Mul(net/conv, half)
         b = AddV2(a, half)",
        "image = Const [8,8,4]
         a = Mul(net/conv, image)
         b = AddV2(a, v)",
        "a = AddV2(net/conv, v)
         b = AddV2(a, v)",
        "a = Mul(net/conv, v)
         b = Relu(a)",
        "axes = Const [3]i
         mean = Mean(net/conv, axes) keep_dims=true
         deviation = Rsqrt(mean)
         scale = Mul(deviation, v)
         a = Mul(net/conv, scale)
         b = AddV2(a, v)",
    ] {
        check(&graph(&[LAYER, rest, "out = Relu(b)"]), &strict(), "");
    }
}

#[test]
fn statistics_of_the_batch_stay_and_keep_the_layer_from_being_quantized() {
    let lines = graph(&[
        LAYER,
        "net/bias = BiasAdd(net/conv, v)
         axes = Const [0,1,2]i
         mean = Mean(net/bias, axes)
         difference = SquaredDifference(net/bias, mean)
         variance = Mean(difference, axes)
         norm/Rsqrt = Rsqrt(variance)
         norm/mul = Mul(net/bias, norm/Rsqrt)
         norm/mul_1 = Mul(mean, norm/Rsqrt)
         norm/sub = Sub(v, norm/mul_1)
         norm/add_1 = AddV2(norm/mul, norm/sub)
         net/relu = Relu(norm/add_1)",
    ]);
    assert_eq!(decided(&lines, &fold(false)).0, "training_mode");
    assert!(rewritten(&lines, &strict()).is_err());
    let (report, _) = rewritten(&lines, &eval_by_topology()).unwrap();
    assert_eq!(report.layers[0].outcome, Outcome::BatchNormFollows);
    assert!(report.layers[0].fake_quants.is_empty());
}

#[test]
fn a_plain_add_of_a_number_per_channel_is_a_bias() {
    let norm = "net/bn = FusedBatchNormV3(net/add, v, v, v, v) is_training=false
                net/relu = Relu(net/bn)";
    for add in ["net/add = AddV2(v, net/conv)", "net/add = Add(net/conv, v)"] {
        assert_eq!(decided(&graph(&[LAYER, add, norm]), &strict()).1, Some("fold_bias"));
    }
    for add in ["net/add = AddV2(net/conv, net/conv)", "half = Const 0.5\nnet/add = AddV2(net/conv, half)"] {
        assert_eq!(decided(&graph(&[LAYER, add, norm]), &fold(false)).0, "no_layer");
    }
}

#[test]
fn a_folded_layer_keeps_its_geometry_but_for_the_reference() {
    let geometry = "net/conv = Conv2D(x, w) padding=\"SAME\" dilations=[1,2,2,1]";
    let lines = graph(&[LAYER, FUSED]).replace("net/conv = Conv2D(x, w)", geometry);
    for (reference_only, by, dilations) in [(false, Some("fold_layout"), [1, 2, 2, 1]), (true, None, [1; 4])] {
        let (report, model) = rewritten(&lines, &fold(reference_only)).unwrap();
        assert_eq!(report.batch_norms[0].extension.map(Extension::code), by);
        let copy = model.graph.find("net/conv_Fold").unwrap();
        assert_eq!(model.graph.attr_ints(copy, "dilations").unwrap(), dilations);
        let warned: Vec<&str> = report.warnings.iter().map(|warning| warning.code).collect();
        assert_eq!(warned.contains(&"fold_changes_result"), reference_only, "{warned:?}");
    }
    let explicit = "net/conv = Conv2D(x, w) padding=\"EXPLICIT\" explicit_paddings=[0,0,1,2,2,1,0,0]";
    let lines = graph(&[LAYER, FUSED]).replace("net/conv = Conv2D(x, w)", explicit);
    let (_, model) = rewritten(&lines, &strict()).unwrap();
    let copy = model.graph.find("net/conv_Fold").unwrap();
    assert_eq!(model.graph.attr_ints(copy, "explicit_paddings").unwrap(), [0, 0, 1, 2, 2, 1, 0, 0]);
    assert_eq!(decided(&lines, &skipping(fold(true))).0, "unknown_form");
}

#[test]
fn a_layer_with_its_channels_second_is_shifted_along_them() {
    let lines = graph(&[LAYER, FUSED])
        .replace("[2,8,8,3]", "[2,3,8,8]")
        .replace("Conv2D(x, w)", "Conv2D(x, w) data_format=\"NCHW\"")
        .replace("is_training=false", "is_training=false data_format=\"NCHW\"");
    let (_, model) = rewritten(&lines, &strict()).unwrap();
    let bias = model.graph.find("net/bias_reshape").unwrap();
    let shape = model.graph.data_input(bias, 1).unwrap();
    assert_eq!(model.graph.const_ints(shape).unwrap(), [1, -1, 1, 1]);
    let mixed = lines.replace("is_training=false data_format=\"NCHW\"", "is_training=false");
    let (outcome, _, detail) = decided(&mixed, &skipping(fold(false)));
    assert_eq!(outcome, "data_format");
    assert!(detail.contains("NCHW"), "{detail}");
}

#[test]
fn transposed_weights_are_scaled_along_their_first_axis() {
    let lines = "
        x = Placeholder [2,4]
        w = Const [4,4]
        v = Const [4]
        dims = Const [-1,1,1,4]i
        dims_1 = Const [-1,4]i
        net/fc = MatMul(x, w) transpose_b=true
        net/image = Reshape(net/fc, dims)
        net/bn = FusedBatchNormV3(net/image, v, v, v, v) is_training=false
        net/flat = Reshape(net/bn, dims_1)
        net/relu = Relu(net/flat)
    ";
    let (report, model) = rewritten(lines, &strict()).unwrap();
    assert_eq!(report.batch_norms[0].extension.map(Extension::code), Some("fold_layout"));
    let scale = model.graph.find("net/BatchNorm_Fold/scale_reshape").unwrap();
    let shape = model.graph.data_input(scale, 1).unwrap();
    assert_eq!(model.graph.const_ints(shape).unwrap(), [-1, 1]);
}

#[test]
fn a_dilated_layer_goes_back_from_batches_to_space() {
    let lines = graph(&[
        LAYER,
        "two = Const [2,2]i
         none = Const [0,0,0,0]i
         net/back = BatchToSpaceND(net/conv, two, none)
         net/bn = FusedBatchNormV3(net/back, v, v, v, v) is_training=false
         net/relu = Relu(net/bn)",
    ]);
    let (report, model) = rewritten(&lines, &strict()).unwrap();
    assert_eq!(report.batch_norms[0].extension.map(Extension::code), Some("fold_layout"));
    let sum = model.graph.find("net/add_fold").unwrap();
    let back = model.graph.data_input(sum, 0).unwrap().node;
    assert_eq!((model.graph.op(back), model.graph.name(back)), ("BatchToSpaceND", "net/back_Fold"));
}

const SWITCHED: &str = "
    is_training = Placeholder [] dtype=DT_BOOL
    c/x = Switch(net/conv, is_training)
    c/v = Switch(v, is_training)
    c/empty = Const [0]
    c/train = FusedBatchNormV3(c/x:1, c/v:1, c/v:1, c/empty, c/empty) is_training=true
    c/infer = FusedBatchNormV3(c/x, c/v, c/v, c/v, c/v) is_training=false
    c/merge = Merge(c/infer, c/train)
    net/relu = Relu(c/merge)
";

#[test]
fn a_conditional_between_batch_norms_folds_in_eval_mode() {
    let lines = graph(&[LAYER, SWITCHED]);
    check(
        &lines,
        &strict(),
        "batch_norm c/infer: folded by fold_switch
         net/relu = Relu(net/add_fold)
         net/BatchNorm_Fold/add = AddV2(v, net/BatchNorm_Fold/add/y)
         net/BatchNorm_Fold/Rsqrt = Rsqrt(net/BatchNorm_Fold/add)
         net/BatchNorm_Fold/mul = Mul(v, net/BatchNorm_Fold/Rsqrt)
         net/BatchNorm_Fold/mul_1 = Mul(v, net/BatchNorm_Fold/mul)
         net/BatchNorm_Fold/bias = Sub(v, net/BatchNorm_Fold/mul_1)
         net/mul_fold = Mul(w, net/BatchNorm_Fold/mul)
         net/conv_Fold = Conv2D(x, net/mul_fold)
         net/add_fold = Add(net/conv_Fold, net/BatchNorm_Fold/bias)",
    );
    let (outcome, _, detail) = decided(&lines, &training());
    assert_eq!(outcome, "training_mode");
    assert!(detail.contains("--mode eval"), "{detail}");
}

#[test]
fn a_conditional_between_moments_and_averages_folds_in_eval_mode() {
    let lines = graph(&[
        LAYER,
        "is_training = Placeholder [] dtype=DT_BOOL
         axes = Const [0,1,2]i
         mean = Mean(net/conv, axes)
         difference = SquaredDifference(net/conv, mean)
         variance = Mean(difference, axes)
         c/of_mean = Switch(mean, is_training)
         c/of_variance = Switch(variance, is_training)
         c/v = Switch(v, is_training)
         c/mean = Merge(c/v, c/of_mean:1)
         c/variance = Merge(c/v, c/of_variance:1)
         norm/Rsqrt = Rsqrt(c/variance)
         norm/mul = Mul(net/conv, norm/Rsqrt)
         norm/mul_1 = Mul(c/mean, norm/Rsqrt)
         norm/sub = Sub(v, norm/mul_1)
         norm/add_1 = AddV2(norm/mul, norm/sub)
         net/relu = Relu(norm/add_1)",
    ]);
    check(
        &lines,
        &strict(),
        "batch_norm norm: folded by fold_affine
         norm/Rsqrt = Rsqrt(v)
         norm/mul_1 = Mul(v, norm/Rsqrt)
         net/relu = Relu(net/add_fold)
         net/mul_fold = Mul(w, norm/Rsqrt)
         net/conv_Fold = Conv2D(x, net/mul_fold)
         net/add_fold = Add(net/conv_Fold, norm/sub)",
    );
    assert_eq!(decided(&lines, &training()).0, "training_mode");
}

#[test]
fn a_batch_norm_that_nobody_reads_says_so() {
    let lines = graph(&[LAYER, FUSED.lines().next().unwrap()]);
    assert_eq!(decided(&lines, &fold(false)).0, "not_read");
    assert!(rewritten(&lines, &strict()).is_err());
}

#[test]
fn a_layer_that_batch_norms_do_not_fold_into_is_named() {
    let product = "kernel = Const [2,8,3,4]
                   net/product = BatchMatMulV2(x, kernel)
                   net/bias = BiasAdd(net/product, v)";
    let lines = graph(&[LAYER, product, &FUSED.replace("(net/conv", "(net/bias")]);
    let (outcome, _, detail) = decided(&lines, &fold(false));
    assert_eq!(outcome, "no_layer");
    let named = "it normalises 'net/product' (BatchMatMulV2): only batch norms of Conv2D, ";
    assert!(detail.starts_with(named), "{detail}");
    let (report, _) = rewritten(&lines, &eval_by_topology()).unwrap();
    let [_, layer] = &report.layers[..] else { panic!("{:?}", report.layers) };
    assert_eq!((layer.outcome, layer.fake_quants.len()), (Outcome::BatchNormFollows, 0));

    let single = "net/product = BatchMatMulV2(x, kernel)
                  net/mul = Mul(net/product, scale)
                  net/add = AddV2(net/mul, v)
                  scale = Rsqrt(v)
                  net/relu = Relu(net/add)";
    let lines = graph(&[LAYER, single, "kernel = Const [2,8,3,4]"]);
    let (outcome, _, detail) = decided(&lines, &fold(false));
    assert_eq!(outcome, "no_layer");
    assert!(detail.starts_with("it normalises 'net/product' (BatchMatMulV2)"), "{detail}");
}

#[test]
fn a_frozen_training_graph_says_so_and_how_to_export_again() {
    let lines = graph(&[LAYER, FUSED]).replace("is_training=false", "is_training=true");
    let error = rewritten(&lines, &training()).unwrap_err();
    assert!(error.to_string().contains("frozen from the training graph"), "{error}");
    let (outcome, _, detail) = decided(&lines, &skipping(training()));
    assert_eq!(outcome, "frozen_training");
    assert!(detail.contains("each batch") && detail.contains("export again"), "{detail}");
    for lines in [lines.replace("v = Const", "v = VariableV2"), lines.replace("w = Const", "w = VariableV2")] {
        assert_eq!(decided(&lines, &skipping(training())).0, "no_moving_averages", "something can be trained");
    }
}

#[test]
fn the_decay_of_moving_averages_stands_on_either_side() {
    let averages = "
        x = Placeholder [2,8,8,3]
        w = VariableV2 [1,1,3,4]
        v = VariableV2 [4]
        mean = VariableV2 [4]
        empty = Const [0]
        decay = Const []
        net/conv = Conv2D(x, w)
        net/bn = FusedBatchNormV3(net/conv, v, v, empty, empty) is_training=true
        net/relu = Relu(net/bn)
        avg/sub = Sub(mean, net/bn:1)
        avg/mul = Mul(avg/sub, decay)
        avg_1/sub = Sub(v, net/bn:2)
        avg_1/mul = Mul(decay, avg_1/sub)
    ";
    assert_eq!(decided(averages, &skipping(training())).0, "folded");
    let mut reference = fold(true);
    reference.common.is_training = true;
    assert_eq!(decided(averages, &skipping(reference)).0, "no_moving_averages");
}

const CONV1D: &str = "
    x = Placeholder [?,1,8,3]
    kernel = Const [3,3,4]
    axis = Const [0]i
    v = Const [4]
    net/w = ExpandDims(kernel, axis)
    net/conv = Conv2D(x, net/w)
    net/squeeze = Squeeze(net/conv) squeeze_dims=[1]
    net/bias = BiasAdd(net/squeeze, v)
    bn/mul = Mul(net/bias, v)
    bn/add = AddV2(bn/mul, v)
    relu = Relu(bn/add)
";

#[test]
fn a_batch_norm_behind_a_conv1d_folds() {
    let (report, model) = rewritten(CONV1D, &eval_by_topology()).unwrap();
    let [norm] = &report.batch_norms[..] else { panic!("{:?}", report.batch_norms) };
    assert_eq!(norm.outcome.code(), "folded");
    let graph = &model.graph;
    let input = |node: &str, index| graph.name(graph.data_input(graph.find(node).unwrap(), index).unwrap().node);
    assert_eq!(input("net/squeeze_Fold", 0), "net/conv_Fold");
    assert_eq!(input("net/add_fold", 0), "net/squeeze_Fold");
    let squeeze = graph.find("net/squeeze_Fold").unwrap();
    assert_eq!(graph.attr_ints(squeeze, "squeeze_dims"), Some(vec![1]));
    let codes: Vec<_> = report.layers.iter().map(|layer| (layer.node.as_str(), layer.outcome.code())).collect();
    assert!(codes.contains(&("net/conv_Fold", "quantized")), "{codes:?}");
    let channels_gone = CONV1D.replace("squeeze_dims=[1]", "squeeze_dims=[3]");
    let (report, _) = rewritten(&channels_gone, &skipping(fold(false))).unwrap();
    assert!(report.batch_norms.iter().all(|norm| norm.outcome.code() != "folded"));
}

#[test]
fn a_transposed_convolution_is_scaled_on_the_axis_before_the_last() {
    let lines = "
        x = Placeholder [2,3,8,8]
        sizes = Const [2,4,16,16]i
        w = Const [1,1,4,3]
        v = Const [4]
        net/up = Conv2DBackpropInput(sizes, w, x) data_format=\"NCHW\"
        net/bn = FusedBatchNormV3(net/up, v, v, v, v) is_training=false data_format=\"NCHW\"
        net/relu = Relu(net/bn)";
    check(
        lines,
        &fold(false),
        "batch_norm net/bn: folded by layer_op
         net/relu = Relu(net/add_fold)
         net/BatchNorm_Fold/add = AddV2(v, net/BatchNorm_Fold/add/y)
         net/BatchNorm_Fold/Rsqrt = Rsqrt(net/BatchNorm_Fold/add)
         net/BatchNorm_Fold/mul = Mul(v, net/BatchNorm_Fold/Rsqrt)
         net/BatchNorm_Fold/mul_1 = Mul(v, net/BatchNorm_Fold/mul)
         net/BatchNorm_Fold/bias = Sub(v, net/BatchNorm_Fold/mul_1)
         net/BatchNorm_Fold/scale_reshape = Reshape(net/BatchNorm_Fold/mul, net/BatchNorm_Fold/scale_reshape/shape)
         net/mul_fold = Mul(w, net/BatchNorm_Fold/scale_reshape)
         net/up_Fold = Conv2DBackpropInput(sizes, net/mul_fold, x)
         net/bias_reshape = Reshape(net/BatchNorm_Fold/bias, net/bias_reshape/shape)
         net/add_fold = Add(net/up_Fold, net/bias_reshape)",
    );
}

#[test]
fn a_three_dimensional_convolution_has_its_bias_along_the_channels() {
    let lines = "
        x = Placeholder [2,3,8,8,8]
        w = Const [1,1,1,3,4]
        v = Const [4]
        net/conv = Conv3D(x, w) data_format=\"NCDHW\"
        net/bn = FusedBatchNormV3(net/conv, v, v, v, v) is_training=false data_format=\"NCDHW\"
        net/relu = Relu(net/bn)";
    check(
        lines,
        &fold(false),
        "batch_norm net/bn: folded by layer_op
         net/relu = Relu(net/add_fold)
         net/BatchNorm_Fold/add = AddV2(v, net/BatchNorm_Fold/add/y)
         net/BatchNorm_Fold/Rsqrt = Rsqrt(net/BatchNorm_Fold/add)
         net/BatchNorm_Fold/mul = Mul(v, net/BatchNorm_Fold/Rsqrt)
         net/BatchNorm_Fold/mul_1 = Mul(v, net/BatchNorm_Fold/mul)
         net/BatchNorm_Fold/bias = Sub(v, net/BatchNorm_Fold/mul_1)
         net/mul_fold = Mul(w, net/BatchNorm_Fold/mul)
         net/conv_Fold = Conv3D(x, net/mul_fold)
         net/bias_reshape = Reshape(net/BatchNorm_Fold/bias, net/bias_reshape/shape)
         net/add_fold = Add(net/conv_Fold, net/bias_reshape)",
    );
}

#[test]
fn folded_layers_of_other_ops_are_quantized_by_their_folded_weights() {
    let lines = "
        x = Placeholder [2,8,8,3]
        sizes = Const [2,16,16,4]i
        w = Const [1,1,4,3]
        v = Const [4]
        net/up = Conv2DBackpropInput(sizes, w, x)
        net/bn = FusedBatchNormV3(net/up, v, v, v, v) is_training=false
        net/relu = Relu(net/bn)";
    let (report, _) = rewritten(lines, &eval_by_topology()).unwrap();
    let layers: Vec<_> = report.layers.iter().map(|layer| (layer.node.as_str(), layer.outcome)).collect();
    assert_eq!(layers, [("net/up_Fold", Outcome::Quantized), ("net/up", Outcome::FoldedTwin)]);
    assert_eq!(report.layers[0].fake_quants[0].tensor, "net/mul_fold:0");
    let (report, _) = rewritten(lines, &reference_only()).unwrap();
    assert_eq!(report.batch_norms[0].outcome, FoldOutcome::NoLayer);
}
