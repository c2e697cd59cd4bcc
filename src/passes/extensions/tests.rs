//! What the rules past the reference do to small graphs, and that they stay out of the reference's way.

use crate::cases::{check, eval_by_topology, reference_only, rewritten, skipping};
use crate::options::{RewriteOptions, Rules, TopologyOnly};
use crate::passes::selection::Selection;

const FROZEN: &str = "
    x = Placeholder [?,8,8,3]
    net/w = Const [3,3,3,4]
    net/w/read = Identity(net/w)
    net/conv = Conv2D(x, net/w/read)
    net/b = Const [4]
    net/bias = BiasAdd(net/conv, net/b)
    net/relu = Relu(net/bias)
";

fn frozen(rest: &str) -> String {
    [FROZEN, rest].concat()
}

/// The frozen layer without its Relu, with something else in its place.
fn ending_in(rest: &str) -> String {
    [FROZEN.lines().filter(|line| !line.contains("net/relu")).collect::<Vec<_>>().join("\n").as_str(), "\n", rest]
        .concat()
}

fn excluding(pattern: &str) -> RewriteOptions {
    let mut options = eval_by_topology();
    options.common.selection = Selection::new(&[], &[pattern.to_owned()]).unwrap();
    options
}

#[test]
fn const_weights() {
    check(
        FROZEN,
        &eval_by_topology(),
        "layer net/conv: quantized by const_weights
         net/conv = Conv2D(x, net/weights_quant/FakeQuantWithMinMaxVars)
         net/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/w/read)
         net/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/relu)",
    );
    check(FROZEN, &reference_only(), "layer net/conv: weights_unknown");
}

#[test]
fn wrapped_weights() {
    check(
        &FROZEN.replace("net/w/read = Identity", "net/w/read = Cast"),
        &eval_by_topology(),
        "layer net/conv: quantized by wrapped_weights
         net/conv = Conv2D(x, net/weights_quant/FakeQuantWithMinMaxVars)
         net/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/w/read)
         net/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/relu)",
    );
    let normalised = FROZEN.replace("net/w/read = Identity", "net/w/read = L2Normalize");
    check(&normalised, &eval_by_topology(), "layer net/conv: weights_unknown");
}

#[test]
fn bare_layers() {
    check(
        &ending_in("concat = ConcatV2(net/bias, x, x)")
            .replace("net/bias = BiasAdd(net/conv, net/b)", "net/bias = Abs(net/conv)"),
        &eval_by_topology(),
        "layer net/conv: quantized by const_weights
         net/conv = Conv2D(x, net/weights_quant/FakeQuantWithMinMaxVars)
         net/bias = Abs(net/act_quant/FakeQuantWithMinMaxVars)
         net/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/w/read)
         net/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/conv)",
    );
    let variable = "
        x = Placeholder [?,8,8,3]
        v = VariableV2 [3,3,3,4]
        w = Identity(v)
        conv = Conv2D(x, w)
    ";
    check(
        &[variable, "concat = ConcatV2(conv, x, x)"].concat(),
        &eval_by_topology(),
        "layer conv: quantized by bare_layer
         conv = Conv2D(x, weights_quant/FakeQuantWithMinMaxVars)
         concat = ConcatV2(act_quant/FakeQuantWithMinMaxVars, x, x)
         weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(w)
         act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(conv)",
    );
    let mut unfolded = eval_by_topology();
    unfolded.fold = false;
    let normalised = [variable, "norm = FusedBatchNormV3(conv, x, x, x, x)"].concat();
    check(&normalised, &unfolded, "layer conv: batch_norm_follows");
}

#[test]
fn layer_ops() {
    let lines = "
        x = Placeholder [2,8,8,3]
        w = Const [3,3,4,3]
        size = Const [2,16,16,4]i
        up = Conv2DBackpropInput(size, w, x)
        b = Const [4]
        bias = BiasAdd(up, b)
        relu = Relu(bias)
        m = Const [4,4]
        product = BatchMatMulV2(relu, m)
        attention = BatchMatMulV2(product, product)
        out = Softmax(attention)
    ";
    check(
        lines,
        &eval_by_topology(),
        "layer up: quantized by layer_op
         layer product: quantized by layer_op
         layer attention: weights_unknown
         up = Conv2DBackpropInput(size, weights_quant/FakeQuantWithMinMaxVars, x)
         product = BatchMatMulV2(act_quant/FakeQuantWithMinMaxVars, weights_quant_1/FakeQuantWithMinMaxVars)
         attention = BatchMatMulV2(act_quant_1/FakeQuantWithMinMaxVars, act_quant_1/FakeQuantWithMinMaxVars)
         weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(w)
         act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(relu)
         weights_quant_1/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(m)
         act_quant_1/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(product)",
    );
    check(lines, &reference_only(), "");
}

#[test]
fn activations() {
    check(
        &ending_in(
            "net/leaky = LeakyRelu(net/bias)
             net/next = Mean(net/leaky)",
        ),
        &eval_by_topology(),
        "layer net/conv: quantized by const_weights
         add net/leaky: quantized by activation
         net/conv = Conv2D(x, net/weights_quant/FakeQuantWithMinMaxVars)
         net/leaky = LeakyRelu(net/act_quant/FakeQuantWithMinMaxVars)
         net/next = Mean(net/leaky/activation_LeakyRelu_quant/FakeQuantWithMinMaxVars)
         net/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/w/read)
         net/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/bias)
         net/leaky/activation_LeakyRelu_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/leaky)",
    );
}

/// `x * relu6(x + 3)` and then a sixth of it, behind a bias.
fn hard_swish(sixth: &str) -> String {
    ending_in(&format!(
        "three = Const 3.0
         six = Const 6.0
         part = Const 0.16666667
         net/shifted = AddV2(net/bias, three)
         net/gate = Relu6(net/shifted)
         net/product = Mul(net/bias, net/gate)
         net/swish = {sixth}
         net/next = Mean(net/swish)"
    ))
}

#[test]
fn a_hard_swish_is_quantized_at_its_end_however_it_is_divided() {
    for (sixth, op, extension) in [
        ("RealDiv(net/product, six)", "RealDiv", " by activation"),
        ("Div(net/product, six)", "Div", " by activation"),
        ("Mul(net/product, part)", "Mul", ""),
    ] {
        let operand = if op == "Mul" { "part" } else { "six" };
        check(
            &hard_swish(sixth),
            &eval_by_topology(),
            &format!(
                "layer net/conv: quantized by const_weights
                 add net/product: quantized
                 add net/swish: quantized{extension}
                 net/conv = Conv2D(x, net/weights_quant/FakeQuantWithMinMaxVars)
                 net/shifted = AddV2(net/conv_quant/FakeQuantWithMinMaxVars, three)
                 net/product = Mul(net/conv_quant/FakeQuantWithMinMaxVars, act_quant/FakeQuantWithMinMaxVars)
                 net/swish = {op}(net/product/activation_Mul_quant/FakeQuantWithMinMaxVars, {operand})
                 net/next = Mean(net/swish/activation_{op}_quant/FakeQuantWithMinMaxVars)
                 net/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/w/read)
                 act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/gate)
                 net/conv_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/bias)
                 net/product/activation_Mul_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/product)
                 net/swish/activation_{op}_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/swish)"
            ),
        );
    }
}

#[test]
fn a_hard_swish_is_recognised_behind_delayed_quantizers() {
    let mut options = eval_by_topology();
    options.quantize.get_or_insert_default().quant_delay = Some(10);
    let (report, _) = rewritten(&hard_swish("RealDiv(net/product, six)"), &options).unwrap();
    assert!(report.adds.iter().any(|add| add.node == "net/swish" && !add.fake_quants.is_empty()));
}

const SHARED: &str = "
    x = Placeholder [?,8,8,3]
    w = Const [3,3,3,3]
    a/read = Identity(w)
    b/read = Identity(w)
    a/conv = Conv2D(x, a/read)
    a/relu = Relu(a/conv)
    b/conv = Conv2D(a/relu, b/read)
    b/relu = Relu(b/conv)
";

#[test]
fn shared_weights() {
    check(
        SHARED,
        &eval_by_topology(),
        "layer a/conv: quantized by shared_weights
         layer b/conv: quantized by shared_weights
         a/read = Identity(a/weights_quant/FakeQuantWithMinMaxVars)
         b/read = Identity(a/weights_quant/FakeQuantWithMinMaxVars)
         b/conv = Conv2D(a/act_quant/FakeQuantWithMinMaxVars, b/read)
         a/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(w)
         a/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(a/relu)
         b/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(b/relu)",
    );
}

#[test]
fn a_layer_left_out_keeps_the_weights_that_it_shares() {
    check(
        SHARED,
        &excluding("^b/conv$"),
        "layer a/conv: quantized by const_weights
         layer b/conv: not_selected
         a/conv = Conv2D(x, a/weights_quant/FakeQuantWithMinMaxVars)
         b/conv = Conv2D(a/act_quant/FakeQuantWithMinMaxVars, b/read)
         a/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(a/read)
         a/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(a/relu)",
    );
}

const NORMALISED: &str = "
    x = Placeholder [?,8,8,3]
    w = Const [1,1,3,3]
    scale = Const [3]
    a/conv = Conv2D(x, w)
";

fn fold_alone(reference_only: bool) -> RewriteOptions {
    let rules = Rules::Topology(TopologyOnly { reference_only, ..TopologyOnly::default() });
    RewriteOptions { quantize: None, rules, ..eval_by_topology() }
}

#[test]
fn fold_bias() {
    let lines = [
        NORMALISED,
        "a/bias_add = BiasAdd(a/conv, scale)
         a/bn = FusedBatchNormV3(a/bias_add, scale, scale, scale, scale) is_training=false
         a/relu = Relu(a/bn)",
    ]
    .concat();
    check(
        &lines,
        &fold_alone(false),
        "batch_norm a/bn: folded by fold_bias
         a/relu = Relu(a/add_fold)
         a/BatchNorm_Fold/mean_without_bias = Sub(scale, scale)
         a/BatchNorm_Fold/add = AddV2(scale, a/BatchNorm_Fold/add/y)
         a/BatchNorm_Fold/Rsqrt = Rsqrt(a/BatchNorm_Fold/add)
         a/BatchNorm_Fold/mul = Mul(scale, a/BatchNorm_Fold/Rsqrt)
         a/BatchNorm_Fold/mul_1 = Mul(a/BatchNorm_Fold/mean_without_bias, a/BatchNorm_Fold/mul)
         a/BatchNorm_Fold/bias = Sub(scale, a/BatchNorm_Fold/mul_1)
         a/mul_fold = Mul(w, a/BatchNorm_Fold/mul)
         a/conv_Fold = Conv2D(x, a/mul_fold)
         a/add_fold = Add(a/conv_Fold, a/BatchNorm_Fold/bias)",
    );
    check(&lines, &fold_alone(true), "batch_norm a/bn: no_layer");
}

#[test]
fn fold_chain() {
    let lines = [
        NORMALISED,
        "a/bn = FusedBatchNormV3(a/conv, scale, scale, scale, scale) is_training=false
         b/conv = Conv2D(a/bn, w)
         b/bn = FusedBatchNormV3(b/conv, scale, scale, scale, scale) is_training=false
         b/relu = Relu(b/bn)",
    ]
    .concat();
    for (reference_only, by, input) in [(false, " by fold_chain", "a/add_fold"), (true, "", "a/bn")] {
        let (report, model) = rewritten(&lines, &fold_alone(reference_only)).unwrap();
        let told: Vec<String> = report
            .batch_norms
            .iter()
            .map(|norm| norm.extension.map(|extension| format!(" by {}", extension.code())).unwrap_or_default())
            .collect();
        assert_eq!(told, ["", by]);
        let copy = model.graph.find("b/conv_Fold").unwrap();
        assert_eq!(model.graph.name(model.graph.data_input(copy, 0).unwrap().node), input);
    }
}

#[test]
fn the_reference_s_own_layers_bear_no_extension() {
    let variable = frozen("").replace("net/w = Const", "net/w = VariableV2");
    let (report, _) = rewritten(&variable, &eval_by_topology()).unwrap();
    assert_eq!(report.layers[0].extension, None);
}

#[test]
fn a_layer_inside_a_loop_is_left_alone_where_the_reference_refuses() {
    let lines = "
        x = Placeholder [?,8,8,3]
        handle = VarHandleOp [3,3,3,3]
        while/enter = Enter(x)
        while/handle = Enter(handle)
        while/read = ReadVariableOp(while/handle)
        while/conv = Conv2D(while/enter, while/read)
        while/relu = Relu(while/conv)
        exit = Exit(while/relu)
    ";
    check(lines, &eval_by_topology(), "layer while/conv: inside_loop");
    let refused = rewritten(lines, &skipping(reference_only())).unwrap_err().to_string();
    assert!(refused.contains("'while/read'"), "{refused}");
    assert!(refused.contains("'while/weights_quant/FakeQuantWithMinMaxVars'"), "{refused}");
}
