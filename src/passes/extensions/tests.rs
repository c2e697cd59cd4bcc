//! What the rules past the reference do to small graphs, and that they stay out of the reference's way.

use crate::cases::{check, eval_by_topology, reference_only, rewritten, skipping};
use crate::options::Selection;
use crate::options::{RewriteOptions, Rules, TopologyOnly};

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
         net/relu/unquantized = Relu(net/bias)
         net/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/w/read)
         net/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/relu/unquantized)
         net/relu = Identity(net/act_quant/FakeQuantWithMinMaxVars)",
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
         net/relu/unquantized = Relu(net/bias)
         net/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/w/read)
         net/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/relu/unquantized)
         net/relu = Identity(net/act_quant/FakeQuantWithMinMaxVars)",
    );
    let normalised = FROZEN.replace("net/w/read = Identity", "net/w/read = L2Normalize");
    check(&normalised, &eval_by_topology(), "layer net/conv: weights_unknown");
}

#[test]
fn parts_of_a_partitioned_variable_are_quantized_together() {
    let parts = "x = Placeholder [2,6]
                 axis = Const [0]i
                 bias = Const [4]
                 p = Const [2,4]
                 w/part_0 = Identity(p)
                 w/part_1 = Identity(p)
                 w/part_2 = Identity(p)
                 w = ConcatV2(w/part_0, w/part_1, w/part_2, axis)
                 net/mm = MatMul(x, w)
                 net/add = BiasAdd(net/mm, bias)
                 net/relu = Relu(net/add)
                 out = Softmax(net/relu)";
    let quantized = "layer net/mm: quantized by wrapped_weights
                     net/mm = MatMul(x, net/weights_quant/FakeQuantWithMinMaxVars)
                     out = Softmax(net/act_quant/FakeQuantWithMinMaxVars)
                     net/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(w)
                     net/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/relu)";
    check(parts, &eval_by_topology(), quantized);
    check(&parts.replace("Const [2,4]", "VariableV2 [2,4]"), &eval_by_topology(), quantized);
    let computed = parts.replace("w/part_1 = Identity(p)", "w/part_1 = Relu(p)");
    check(&computed, &eval_by_topology(), "layer net/mm: weights_unknown");
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
         b/relu/unquantized = Relu(b/conv)
         a/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(w)
         a/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(a/relu)
         b/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(b/relu/unquantized)
         b/relu = Identity(b/act_quant/FakeQuantWithMinMaxVars)",
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

#[test]
fn a_dropout_is_not_taken_for_the_weights() {
    let lines = "
        x = Placeholder [?,8]
        half = Const 0.5
        scale = Const 2.0
        size = Const [2,8]i
        noise = RandomUniform(size)
        kept = GreaterEqual(noise, half)
        mask = Cast(kept)
        drop/mul = Mul(x, scale)
        drop/mul_1 = Mul(drop/mul, mask)
        kernel = Const [8,4]
        net/dense = MatMul(drop/mul_1, kernel)
        b = Const [4]
        net/bias = BiasAdd(net/dense, b)
        net/relu = Relu(net/bias)
    ";
    let quantized = "
        net/dense = MatMul(drop/mul_1, net/weights_quant/FakeQuantWithMinMaxVars)
        net/relu/unquantized = Relu(net/bias)
        net/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(kernel)
        net/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/relu/unquantized)
        net/relu = Identity(net/act_quant/FakeQuantWithMinMaxVars)";
    check(lines, &eval_by_topology(), &["layer net/dense: quantized by const_weights", quantized].concat());
    // A weight that is read transposed, from the other side; and no weights at all.
    let turned = lines.replace("MatMul(drop/mul_1, kernel)", "MatMul(kernel, drop/mul_1)");
    let (report, _) = rewritten(&turned, &eval_by_topology()).unwrap();
    assert_eq!(report.layers[0].fake_quants[0].tensor, "kernel:0");
    let scaled = lines.replace("MatMul(drop/mul_1, kernel)", "MatMul(drop/mul_1, x)");
    check(&scaled, &eval_by_topology(), "layer net/dense: weights_unknown");
    let (report, _) = rewritten(&lines.replace("[?,8]", "[2,8]"), &reference_only()).unwrap();
    assert_eq!(report.layers[0].fake_quants[0].tensor, "drop/mul_1:0", "TensorFlow takes the dropout");
}

#[test]
fn products_of_parameters_are_folded_weights() {
    let lines = "
        x = Placeholder [?,8,8,3]
        w = Const [3,3,3,4]
        gamma = Const [4]
        variance = Const [4]
        norm = Rsqrt(variance)
        scale = Mul(gamma, norm)
        net/mul_fold = Mul(w, scale)
        net/conv = Conv2D(x, net/mul_fold)
        net/relu = Relu(net/conv)
    ";
    let (report, _) = rewritten(lines, &eval_by_topology()).unwrap();
    assert_eq!(report.layers[0].fake_quants[0].tensor, "net/mul_fold:0");
    assert_eq!(report.layers[0].extension, None);
}

#[test]
fn weights_of_a_loop_are_quantized_before_they_enter_it() {
    let lines = "
        x = Placeholder [?,4]
        kernel = Const [4,4]
        kernel/read = Identity(kernel)
        while/enter = Enter(x)
        while/kernel = Enter(kernel/read) is_constant=true
        while/dense = MatMul(while/enter, while/kernel)
        while/relu = Relu(while/dense)
        exit = Exit(while/relu)
    ";
    check(
        lines,
        &eval_by_topology(),
        "layer while/dense: partly_quantized by wrapped_weights
         while/kernel = Enter(while/weights_quant/FakeQuantWithMinMaxVars)
         while/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(kernel/read)",
    );
    let (report, _) = rewritten(lines, &eval_by_topology()).unwrap();
    assert_eq!(
        report.layers[0].detail.as_deref(),
        Some("no activation quantizer: inside a while-loop, where no range can follow the tensor")
    );
    assert_eq!((report.summary.quantized, report.summary.partly), (0, 1));
}

#[test]
fn weights_of_a_branch_are_quantized_before_the_switch() {
    check(
        "x = Placeholder [?,8,8,3]
         w = Const [3,3,3,4]
         is_any = Placeholder []
         cond/x = Switch(x, is_any)
         cond/w = Switch(w, is_any)
         cond/conv = Conv2D(cond/x:1, cond/w:1)
         cond/relu = Relu(cond/conv)",
        &eval_by_topology(),
        "layer cond/conv: quantized by wrapped_weights
         cond/w = Switch(cond/weights_quant/FakeQuantWithMinMaxVars, is_any)
         cond/relu/unquantized = Relu(cond/conv)
         cond/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(w)
         cond/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(cond/relu/unquantized)
         cond/relu = Identity(cond/act_quant/FakeQuantWithMinMaxVars)",
    );
}

#[test]
fn a_layer_left_out_keeps_the_weights_that_it_shares_through_a_switch() {
    let lines = "
        x = Placeholder [?,8,8,3]
        w = Const [3,3,3,3]
        is_any = Placeholder []
        a/w = Switch(w, is_any)
        b/w = Switch(w, is_any)
        a/conv = Conv2D(x, a/w:1)
        a/relu = Relu(a/conv)
        b/conv = Conv2D(a/relu, b/w:1)
        b/relu = Relu(b/conv)
    ";
    let (report, model) = rewritten(lines, &excluding("^b/conv$")).unwrap();
    assert_eq!(report.layers[0].fake_quants[0].consumers, ["a/w"]);
    let shared = model.graph.find("b/w").unwrap();
    assert_eq!(model.graph.name(model.graph.data_input(shared, 0).unwrap().node), "w");
    let (report, _) = rewritten(lines, &eval_by_topology()).unwrap();
    assert_eq!(report.layers.iter().map(|layer| layer.outcome.code()).collect::<Vec<_>>(), ["quantized"; 2]);
}

#[test]
fn a_conv1d_is_a_convolution_between_expanded_and_squeezed_axes() {
    check(
        "x = Placeholder [?,1,8,3]
         kernel = Const [3,3,4]
         axis = Const [0]i
         net/w = ExpandDims(kernel, axis)
         net/conv = Conv2D(x, net/w)
         net/squeeze = Squeeze(net/conv) squeeze_dims=[1]
         b = Const [4]
         net/bias = BiasAdd(net/squeeze, b)
         net/relu = Relu(net/bias)",
        &eval_by_topology(),
        "layer net/conv: quantized by wrapped_weights
         net/conv = Conv2D(x, net/weights_quant/FakeQuantWithMinMaxVars)
         net/relu/unquantized = Relu(net/bias)
         net/weights_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/w)
         net/act_quant/FakeQuantWithMinMaxVars = FakeQuantWithMinMaxVars(net/relu/unquantized)
         net/relu = Identity(net/act_quant/FakeQuantWithMinMaxVars)",
    );
}

#[test]
fn gates_share_one_quantizer_of_their_kernel() {
    let lines = "
        x = Placeholder [?,4]
        kernel = Const [4,8]
        axis = Const [1]i
        cell/split = Split(axis, kernel) num_split=2
        cell/a = MatMul(x, cell/split)
        cell/b = MatMul(x, cell/split:1)
        cell/sigmoid = Sigmoid(cell/a)
        cell/tanh = Tanh(cell/b)
    ";
    let (report, model) = rewritten(lines, &eval_by_topology()).unwrap();
    assert_eq!(report.layers.iter().map(|layer| layer.outcome.code()).collect::<Vec<_>>(), ["quantized"; 2]);
    let split = model.graph.find("cell/split").unwrap();
    let kernel = model.graph.data_input(split, 1).unwrap().node;
    assert_eq!(model.graph.name(kernel), "cell/weights_quant/FakeQuantWithMinMaxVars");
}

#[test]
fn a_slice_of_a_kernel_is_quantized_after_it_is_cut() {
    let lines = |begin: &str| {
        format!(
            "x = Placeholder [?,4]
             place = Placeholder [2]
             kernel = Const [4,8]
             from = Const [0,0]i
             part = StridedSlice(kernel, {begin}, from, from)
             net/dense = MatMul(x, part)
             net/relu = Relu(net/dense)"
        )
    };
    let (report, _) = rewritten(&lines("from"), &eval_by_topology()).unwrap();
    assert_eq!(report.layers[0].fake_quants[0].tensor, "part:0");
    check(&lines("place"), &eval_by_topology(), "layer net/dense: weights_unknown");
}

#[test]
fn weights_that_are_quantized_already_are_named() {
    let lines = "
        x = Placeholder [?,4]
        kernel = Const [4,4]
        low = Const -1.0
        high = Const 1.0
        wq = FakeQuantWithMinMaxVars(kernel, low, high)
        net/dense = MatMul(x, wq)
        net/relu = Relu(net/dense)
    ";
    check(lines, &eval_by_topology(), "layer net/dense: weights_quantized");
    let (report, _) = rewritten(lines, &eval_by_topology()).unwrap();
    assert_eq!(report.layers[0].detail.as_deref(), Some("by 'wq'"));
    let delay = "on = Switch(wq, low)
        off = Switch(kernel, low)
        merged = Merge(off, on:1)
        net/dense = MatMul(x, merged)";
    let delayed = lines.replace("net/dense = MatMul(x, wq)", delay);
    check(&delayed, &eval_by_topology(), "layer net/dense: weights_quantized");
}

#[test]
fn a_layer_without_one_of_its_quantizers_is_quantized_in_part() {
    let lines = "
        x = Placeholder [?,8,8,3]
        shape = Placeholder [4]
        v = Const [108]
        net/w = Reshape(v, shape)
        net/conv = Conv2D(x, net/w)
        net/relu = Relu(net/conv)
    ";
    let lines = lines.replace("shape = Placeholder [4]", "shape = Placeholder");
    let (report, _) = rewritten(&lines, &eval_by_topology()).unwrap();
    let layer = &report.layers[0];
    assert_eq!(layer.outcome.code(), "partly_quantized");
    assert!(layer.detail.as_deref().unwrap().starts_with("no weights quantizer: it is not known how many axes"));
    assert_eq!((report.summary.quantized, report.summary.partly, report.summary.fake_quants), (0, 1, 1));
}

#[test]
fn gradients_are_never_quantized() {
    let lines = "
        x = Placeholder [?,4]
        v = VariableV2 [4,4]
        w = Identity(v)
        net/dense = MatMul(x, w)
        net/relu = Relu(net/dense)
        back/relu = ReluGrad(x, net/relu)
        back/dense = MatMul(back/relu, w)
        back/id = Identity(back/dense)
        back/sum = Mul(back/id, net/relu)
        training/Adam/gradients/mul = Mul(net/relu, x)
    ";
    let (report, model) = rewritten(lines, &eval_by_topology()).unwrap();
    assert_eq!(report.layers.iter().map(|layer| layer.node.as_str()).collect::<Vec<_>>(), ["net/dense"]);
    assert!(report.adds.is_empty());
    let reads = |name: &str, index| {
        let node = model.graph.find(name).unwrap();
        model.graph.name(model.graph.data_input(node, index).unwrap().node).to_owned()
    };
    assert_eq!((reads("back/relu", 1), reads("back/dense", 1)), ("net/relu".to_owned(), "w".to_owned()));
}
