//! What is folded, left and refused, on networks of one layer.

use crate::cases::{check, fold_by_names, rewritten, skipping};
use crate::options::{NamesOnly, RewriteOptions, Rules, Selection};
use crate::passes::decisions::{BatchNorm, FoldOutcome};

const PARAMETERS: &str = "
    image = Placeholder [?,8,8,3]
    conv/weights = VariableV2 [1,1,3,3]
    conv/weights/read = Identity(conv/weights)
    gamma = VariableV2 [3]
    beta = VariableV2 [3]
    mean = VariableV2 [3]
    variance = VariableV2 [3]
";
const LAYER: &str = "conv/Conv2D = Conv2D(image, conv/weights/read) from_the_future=true _class=\"dropped\"\n";
const BATCH_NORM: &str =
    "conv/bn = FusedBatchNormV3(conv/Conv2D, gamma, beta, mean, variance) epsilon=0.25 is_training=false\n";
const RELU: &str = "conv/Relu = Relu(conv/bn)\n";
/// `tf.nn.batch_normalization` without gamma.
const SINGLE_OPS: &str = "
    conv/BatchNorm/batchnorm/Rsqrt = Rsqrt(variance)
    conv/BatchNorm/batchnorm/mul = Mul(conv/Conv2D, conv/BatchNorm/batchnorm/Rsqrt)
    conv/BatchNorm/batchnorm/mul_1 = Mul(mean, conv/BatchNorm/batchnorm/Rsqrt)
    conv/BatchNorm/batchnorm/sub = Sub(beta, conv/BatchNorm/batchnorm/mul_1)
    conv/BatchNorm/batchnorm/add_1 = AddV2(conv/BatchNorm/batchnorm/mul, conv/BatchNorm/batchnorm/sub)
";

fn network(parts: &[&str]) -> String {
    [&[PARAMETERS], parts].concat().concat()
}

/// What came of the only batch norm.
fn folded(parts: &[&str], options: &RewriteOptions) -> BatchNorm {
    let (report, _) = rewritten(&network(parts), options).unwrap();
    assert_eq!(report.batch_norms.len(), 1);
    report.batch_norms.into_iter().next().unwrap()
}

fn outcome(parts: &[&str]) -> FoldOutcome {
    folded(parts, &fold_by_names()).outcome
}

#[test]
fn a_fused_batch_norm_moves_into_the_weights() {
    check(
        &network(&[LAYER, BATCH_NORM, RELU]),
        &fold_by_names(),
        "batch_norm conv/bn: folded
         conv/Relu = Relu(conv/add_fold)
         conv/add = Add(variance, conv/add/y)
         conv/Rsqrt = Rsqrt(conv/add)
         conv/mul = Mul(gamma, conv/Rsqrt)
         conv/mul_1 = Mul(mean, conv/mul)
         conv/bias = Sub(beta, conv/mul_1)
         conv/mul_fold = Mul(conv/weights/read, conv/mul)
         conv/Conv2D_Fold = Conv2D(image, conv/mul_fold)
         conv/add_fold = Add(conv/Conv2D_Fold, conv/bias)",
    );
    let (report, model) = rewritten(&network(&[LAYER, BATCH_NORM, RELU]), &fold_by_names()).unwrap();
    let found = &report.batch_norms[0];
    assert_eq!((found.layer.as_deref(), found.folded.as_deref()), (Some("conv/Conv2D"), Some("conv/add_fold")));
    let graph = &model.graph;
    let epsilon = graph.attr_tensor(graph.find("conv/add/y").unwrap(), "value").unwrap();
    assert_eq!(epsilon.float_val, [0.25]);
    let copy = graph.find("conv/Conv2D_Fold").unwrap();
    assert_eq!(graph.attr_bool(copy, "from_the_future"), Some(true));
    assert_eq!(graph.attr_bytes(copy, "_class"), None);
    assert_eq!(graph.attr_str(copy, "data_format").as_deref(), Some("NHWC"), "a stripped default is filled in");
}

#[test]
fn a_training_batch_norm_is_folded_by_the_batch_s_statistics() {
    let training = BATCH_NORM.replace("is_training=false", "is_training=true");
    check(
        &network(&[LAYER, &training, RELU]),
        &fold_by_names(),
        "batch_norm conv/bn: folded
         conv/Relu = Relu(conv/add_fold)
         conv/add = Add(conv/bn:2, conv/add/y)
         conv/Rsqrt = Rsqrt(conv/add)
         conv/mul = Mul(gamma, conv/Rsqrt)
         conv/mul_1 = Mul(conv/bn:1, conv/mul)
         conv/bias = Sub(beta, conv/mul_1)
         conv/mul_fold = Mul(conv/weights/read, conv/mul)
         conv/Conv2D_Fold = Conv2D(image, conv/mul_fold)
         conv/add_fold = Add(conv/Conv2D_Fold, conv/bias)",
    );
}

#[test]
fn frozen_in_training_mode_it_is_left_by_auto_and_warned_of_by_names() {
    let training = BATCH_NORM.replace("is_training=false", "is_training=true");
    let trainable = network(&[LAYER, &training, RELU]);
    let frozen = trainable.replace("VariableV2", "Const");
    let told = |lines: &str, rules: Rules| {
        let options = RewriteOptions { rules, allow_nothing: true, ..fold_by_names() };
        let (report, _) = rewritten(lines, &options).unwrap();
        let warnings: Vec<String> = report.warnings.into_iter().map(|warning| warning.message).collect();
        (report.rules, report.batch_norms[0].outcome, warnings)
    };
    let (names, auto) = (Rules::Names(NamesOnly::default()), Rules::Auto(NamesOnly::default()));

    let (rules, outcome, _) = told(&frozen, auto.clone());
    assert_eq!((rules.chosen, outcome), ("topology", FoldOutcome::FrozenTraining));
    assert_eq!(rules.reason, "by names, folding 'conv/bn' would change what the network computes");
    let (_, outcome, warnings) = told(&frozen, names);
    assert_eq!(outcome, FoldOutcome::Folded);
    assert!(warnings.iter().any(|warning| warning.contains("unbiased variance") && warning.contains("--match auto")));

    let (rules, outcome, warnings) = told(&trainable, auto.clone());
    assert_eq!((rules.chosen, outcome, warnings), ("names", FoldOutcome::Folded, Vec::new()));
    let weights_train = frozen.replace("conv/weights = Const", "conv/weights = VariableV2");
    assert_eq!(told(&weights_train, auto).0.chosen, "names");
}

#[test]
fn a_depthwise_layer_s_scale_is_laid_out_like_its_filter() {
    let layer = "
        filter = VariableV2 [1,1,3,1]
        conv/Conv2D = DepthwiseConv2dNative(image, filter)
    ";
    let (report, model) = rewritten(&network(&[layer, BATCH_NORM, RELU]), &fold_by_names()).unwrap();
    assert_eq!(report.batch_norms[0].outcome, FoldOutcome::Folded);
    let graph = &model.graph;
    let ints = |name: &str| graph.const_ints(graph.find(name).unwrap().into());
    assert_eq!(ints("conv/scale_reshape/shape"), Some(vec![3, 1]));
    assert_eq!(ints("conv/Conv2D_Fold/Shape"), Some(vec![1, 1, 3, 1]));
    let product: Vec<&str> =
        graph.data_inputs(graph.find("conv/mul_fold").unwrap()).map(|tensor| graph.name(tensor.node)).collect();
    assert_eq!(product, ["filter", "conv/scale_reshape"]);
}

#[test]
fn single_ops_without_gamma_are_folded_into_what_the_activation_reads() {
    let readers = "conv/Relu = Relu(conv/BatchNorm/batchnorm/add_1)
                   other = Relu(conv/BatchNorm/batchnorm/add_1)";
    check(
        &network(&[LAYER, SINGLE_OPS, readers]),
        &fold_by_names(),
        "batch_norm conv/BatchNorm/batchnorm: folded
         conv/Relu = Relu(conv/add_fold)
         conv/mul_fold = Mul(conv/weights/read, conv/BatchNorm/batchnorm/Rsqrt)
         conv/Conv2D_Fold = Conv2D(image, conv/mul_fold)
         conv/add_fold = AddV2(conv/Conv2D_Fold, conv/BatchNorm/batchnorm/sub)",
    );
}

#[test]
fn single_ops_need_an_activation_or_an_add() {
    let error = rewritten(&network(&[LAYER, SINGLE_OPS]), &fold_by_names()).unwrap_err();
    assert_eq!(error.node_name(), Some("conv/BatchNorm/batchnorm/add_1"));
    check(
        &network(&[LAYER, SINGLE_OPS]),
        &skipping(fold_by_names()),
        "batch_norm conv/BatchNorm/batchnorm: no_activation",
    );
}

#[test]
fn a_refusal_names_a_node_whichever_is_missing() {
    let rest = "conv/BatchNorm/batchnorm/mul = Mul(conv/Conv2D, variance)\n";
    let error = rewritten(&network(&[LAYER, rest]), &fold_by_names()).unwrap_err();
    assert!(error.to_string().contains("there is no node 'conv/BatchNorm/batchnorm/Rsqrt'"), "{error}");
    assert_eq!(error.node_name(), Some("conv/BatchNorm/batchnorm/mul"));
}

#[test]
fn a_batch_norm_that_two_nodes_read_is_refused() {
    let lines = network(&[LAYER, BATCH_NORM, RELU, "other = Relu(conv/bn)"]);
    assert_eq!(rewritten(&lines, &fold_by_names()).unwrap_err().node_name(), Some("conv/bn"));
    check(&lines, &skipping(fold_by_names()), "batch_norm conv/bn: extra_consumer");
}

#[test]
fn what_folding_would_change_is_left_alone() {
    let with = |more: &str| LAYER.replace('\n', more);
    assert_eq!(outcome(&[&with(" dilations=[1,2,2,1]\n"), BATCH_NORM, RELU]), FoldOutcome::Atrous);
    assert_eq!(outcome(&[&with(" T=DT_HALF\n"), BATCH_NORM, RELU]), FoldOutcome::NotFloat);
    let unknown = format!("mystery = Mystery\n{}", with(" data_format=\"NCHW\"\n").replace("image", "mystery"));
    assert_eq!(outcome(&[&unknown, BATCH_NORM, RELU]), FoldOutcome::DataFormat);
}

#[test]
fn channels_on_another_axis_that_cannot_be_added_are_refused() {
    let layer = "
        nchw = Placeholder [?,3,8,8]
        conv/Conv2D = Conv2D(nchw, conv/weights/read) data_format=\"NCHW\"
    ";
    let error = rewritten(&network(&[layer, BATCH_NORM, RELU]), &fold_by_names()).unwrap_err();
    assert!(error.to_string().contains("'conv/add_fold' would combine the shapes [?,3,8,8] and [3]"), "{error}");
}

#[test]
fn every_batch_norm_that_is_left_has_its_reason() {
    let found = folded(&["conv/Conv2D = Relu(image)\n", BATCH_NORM], &fold_by_names());
    assert_eq!((found.outcome, found.layer.as_deref()), (FoldOutcome::NoLayer, None));
    assert_eq!(found.detail.as_deref(), Some("it reads 'conv/Conv2D' (Relu), which is no layer"));
    let biased = BATCH_NORM.replace("(conv/Conv2D", "(bias");
    let found = folded(&[LAYER, "bias = BiasAdd(conv/Conv2D, beta)\n", &biased, RELU], &fold_by_names());
    let between = "'bias' (BiasAdd) stands between it and the layer 'conv/Conv2D' (Conv2D)";
    assert_eq!((found.outcome, found.detail.as_deref()), (FoldOutcome::NoLayer, Some(between)));

    let mut options = fold_by_names();
    options.common.selection = Selection::new(&[], &["conv/Conv2D".to_owned()]).unwrap();
    assert_eq!(folded(&[LAYER, BATCH_NORM, RELU], &options).outcome, FoldOutcome::NotSelected);
}

#[test]
fn a_fully_connected_layer_is_folded_between_its_reshapes() {
    let layer = "
        fc_weights = VariableV2 [8,3]
        features = Placeholder [?,8]
        dims = Const [-1,1,1,3]i
        dims_1 = Const [-1,3]i
        conv/MatMul = MatMul(features, fc_weights)
        conv/Conv2D = Reshape(conv/MatMul, dims)
    ";
    let reader = "conv/Reshape_1 = Reshape(conv/bn, dims_1)
                  conv/Relu = Relu(conv/Reshape_1)";
    check(
        &network(&[layer, BATCH_NORM, reader]),
        &fold_by_names(),
        "batch_norm conv/bn: folded
         conv/Relu = Relu(conv/add_fold)
         conv/add = Add(variance, conv/add/y)
         conv/Rsqrt = Rsqrt(conv/add)
         conv/mul = Mul(gamma, conv/Rsqrt)
         conv/mul_1 = Mul(mean, conv/mul)
         conv/bias = Sub(beta, conv/mul_1)
         conv/mul_fold = Mul(fc_weights, conv/mul)
         conv/MatMul_Fold = MatMul(features, conv/mul_fold)
         conv/add_fold = Add(conv/MatMul_Fold, conv/bias)",
    );
}
