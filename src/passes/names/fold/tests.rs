//! What is folded, left and refused, on networks of one layer.

use bytes::Bytes;

use super::{BatchNorm, Options, Outcome, names};
use crate::nodes::Builder;
use crate::collections::Collections;
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor};
use crate::graph::{Graph, Input, NewNode, read};
use crate::passes::selection::Selection;
use crate::proto::tensorflow::DataType;

struct Network(Graph);

impl Network {
    fn new() -> Self {
        let mut network = Self(read::parse(Bytes::new()).unwrap());
        network.add("Placeholder", "image", &[], |attrs| attrs.shape("shape", &[-1, 8, 8, 3]));
        network.parameter("conv/weights", &[1, 1, 3, 3]);
        for name in ["gamma", "beta", "mean", "variance"] {
            network.parameter(&format!("conv/BatchNorm/{name}"), &[3]);
        }
        network
    }

    fn add(&mut self, op: &str, name: &str, inputs: &[&str], attrs: impl FnOnce(&mut Attrs) -> &mut Attrs) {
        let mut encoded = Attrs::default();
        attrs(&mut encoded);
        let inputs: Vec<Input> = inputs.iter().map(|name| Input::Data(self.0.find(name).unwrap().into())).collect();
        self.0.insert(NewNode { name, op, device: "", inputs: &inputs, attrs: encoded.as_bytes() }).unwrap();
    }

    fn parameter(&mut self, name: &str, dims: &[i64]) {
        self.add("VariableV2", name, &[], |attrs| attrs.shape("shape", dims));
        self.add("Identity", &format!("{name}/read"), &[name], |attrs| attrs);
    }

    fn layer(mut self, op: &str, attrs: impl FnOnce(&mut Attrs) -> &mut Attrs) -> Self {
        self.add(op, &format!("conv/{op}"), &["image", "conv/weights/read"], |encoded| {
            attrs(encoded.data_type("T", DataType::DtFloat)).str("padding", "SAME").ints("strides", &[1, 1, 1, 1])
        });
        self
    }

    fn batch_norm(mut self, input: &str, is_training: bool) -> Self {
        let parameters = ["gamma", "beta", "mean", "variance"].map(|name| format!("conv/BatchNorm/{name}/read"));
        let [gamma, beta, mean, variance] = parameters.each_ref().map(String::as_str);
        self.add("FusedBatchNormV3", "conv/bn", &[input, gamma, beta, mean, variance], |attrs| {
            attrs.float("epsilon", 0.25).bool("is_training", is_training)
        });
        self
    }

    /// `tf.nn.batch_normalization` without gamma.
    fn single_ops(mut self, input: &str) -> Self {
        let name = |name: &str| format!("conv/BatchNorm/batchnorm/{name}");
        self.add("Rsqrt", &name("Rsqrt"), &["conv/BatchNorm/variance/read"], |attrs| attrs);
        for (op, new, x, y) in [
            ("Mul", "mul", input, name("Rsqrt")),
            ("Mul", "mul_1", "conv/BatchNorm/mean/read", name("Rsqrt")),
            ("Sub", "sub", "conv/BatchNorm/beta/read", name("mul_1")),
            ("AddV2", "add_1", &name("mul"), name("sub")),
        ] {
            self.add(op, &name(new), &[x, &y], |attrs| attrs.data_type("T", DataType::DtFloat));
        }
        self
    }

    fn reader(mut self, name: &str, input: &str) -> Self {
        self.add("Relu", name, &[input], |attrs| attrs);
        self
    }

    fn fold(&mut self, options: &Options) -> Result<Vec<BatchNorm>> {
        let mut collections = Collections::default();
        names::fold_batch_norms(&mut Builder::new(&mut self.0, &mut collections), options)
    }

    /// Folds, and says what came of the first batch norm.
    fn outcome(&mut self) -> Outcome {
        self.fold(&Options::default()).unwrap()[0].outcome
    }

    fn inputs(&self, name: &str) -> Vec<String> {
        let node = self.0.find(name).unwrap_or_else(|| panic!("no node {name}"));
        self.0.data_inputs(node).map(|tensor| self.0.tensor_name(tensor)).collect()
    }
}

#[test]
fn a_fused_batch_norm_moves_into_the_weights() {
    let mut network = Network::new()
        .layer("Conv2D", |attrs| attrs.str("_class", "dropped").bool("from_the_future", true))
        .batch_norm("conv/Conv2D", false)
        .reader("conv/Relu", "conv/bn");
    let found = network.fold(&Options::default()).unwrap();
    assert_eq!(
        (found.len(), found[0].outcome, found[0].folded.as_deref()),
        (1, Outcome::Folded, Some("conv/add_fold"))
    );
    assert_eq!(found[0].layer.as_deref(), Some("conv/Conv2D"));
    assert_eq!(network.inputs("conv/Relu"), ["conv/add_fold:0"]);
    assert_eq!(network.inputs("conv/add_fold"), ["conv/Conv2D_Fold:0", "conv/bias:0"]);
    assert_eq!(network.inputs("conv/Conv2D_Fold"), ["image:0", "conv/mul_fold:0"]);
    assert_eq!(network.inputs("conv/mul_fold"), ["conv/weights/read:0", "conv/mul:0"]);
    assert_eq!(network.inputs("conv/add"), ["conv/BatchNorm/variance/read:0", "conv/add/y:0"]);
    let epsilon = network.0.attr_tensor(network.0.find("conv/add/y").unwrap(), "value").unwrap();
    assert_eq!(epsilon.float_val, [0.25]);
    let copy = network.0.find("conv/Conv2D_Fold").unwrap();
    assert_eq!(network.0.attr_bool(copy, "from_the_future"), Some(true));
    assert_eq!(network.0.attr_bytes(copy, "_class"), None);
    assert_eq!(network.0.attr_str(copy, "data_format").as_deref(), Some("NHWC"), "a stripped default is filled in");
}

#[test]
fn a_training_batch_norm_is_folded_by_the_batch_s_statistics() {
    let mut network =
        Network::new().layer("Conv2D", |attrs| attrs).batch_norm("conv/Conv2D", true).reader("conv/Relu", "conv/bn");
    assert_eq!(network.outcome(), Outcome::Folded);
    assert_eq!(network.inputs("conv/add"), ["conv/bn:2", "conv/add/y:0"]);
    assert_eq!(network.inputs("conv/mul_1"), ["conv/bn:1", "conv/mul:0"]);
}

#[test]
fn a_depthwise_layer_s_scale_is_laid_out_like_its_filter() {
    let mut network = Network::new();
    network.parameter("conv/weights_1", &[1, 1, 3, 1]);
    network.add("DepthwiseConv2dNative", "conv/depthwise", &["image", "conv/weights_1/read"], |attrs| attrs);
    let mut network = network.batch_norm("conv/depthwise", false).reader("conv/Relu", "conv/bn");
    assert_eq!(network.outcome(), Outcome::Folded);
    let ints = |name: &str| network.0.const_ints(network.0.find(name).unwrap().into());
    assert_eq!(ints("conv/scale_reshape/shape"), Some(vec![3, 1]));
    assert_eq!(ints("conv/depthwise_Fold/Shape"), Some(vec![1, 1, 3, 1]));
    assert_eq!(network.inputs("conv/mul_fold"), ["conv/weights_1/read:0", "conv/scale_reshape:0"]);
}

#[test]
fn single_ops_without_gamma_are_folded_into_what_the_activation_reads() {
    let mut network = Network::new()
        .layer("Conv2D", |attrs| attrs)
        .single_ops("conv/Conv2D")
        .reader("conv/Relu", "conv/BatchNorm/batchnorm/add_1")
        .reader("other", "conv/BatchNorm/batchnorm/add_1");
    let found = network.fold(&Options::default()).unwrap();
    assert_eq!((found[0].node.as_str(), found[0].outcome), ("conv/BatchNorm/batchnorm", Outcome::Folded));
    assert_eq!(network.inputs("conv/mul_fold"), ["conv/weights/read:0", "conv/BatchNorm/batchnorm/Rsqrt:0"]);
    assert_eq!(network.inputs("conv/add_fold"), ["conv/Conv2D_Fold:0", "conv/BatchNorm/batchnorm/sub:0"]);
    assert_eq!(network.inputs("conv/Relu"), ["conv/add_fold:0"]);
    assert_eq!(network.inputs("other"), ["conv/BatchNorm/batchnorm/add_1:0"]);
}

#[test]
fn single_ops_need_an_activation_or_an_add() {
    let mut network = Network::new().layer("Conv2D", |attrs| attrs).single_ops("conv/Conv2D");
    let before = network.0.len();
    let error = network.fold(&Options::default()).unwrap_err();
    assert_eq!(error.node_name(), Some("conv/BatchNorm/batchnorm/add_1"));
    let found = network.fold(&Options { skip_unmatched: true, ..Options::default() }).unwrap();
    assert_eq!((found[0].outcome, network.0.len()), (Outcome::NoActivation, before));
}

#[test]
fn a_batch_norm_that_two_nodes_read_is_refused() {
    let mut network = Network::new()
        .layer("Conv2D", |attrs| attrs)
        .batch_norm("conv/Conv2D", false)
        .reader("conv/Relu", "conv/bn")
        .reader("other", "conv/bn");
    let before = network.0.len();
    assert_eq!(network.fold(&Options::default()).unwrap_err().node_name(), Some("conv/bn"));
    let found = network.fold(&Options { skip_unmatched: true, ..Options::default() }).unwrap();
    assert_eq!((found[0].outcome, network.0.len()), (Outcome::ExtraConsumer, before));
}

#[test]
fn what_folding_would_change_is_left_alone() {
    let fold = |network: Network| network.batch_norm("conv/Conv2D", false).reader("conv/Relu", "conv/bn").outcome();
    let conv = |attrs: fn(&mut Attrs) -> &mut Attrs| Network::new().layer("Conv2D", attrs);
    assert_eq!(fold(conv(|attrs| attrs.ints("dilations", &[1, 2, 2, 1]))), Outcome::Atrous);
    assert_eq!(fold(conv(|attrs| attrs.data_type("T", DataType::DtHalf))), Outcome::NotFloat);
    let mut unknown = conv(|attrs| attrs.str("data_format", "NCHW"));
    let image = unknown.0.find("image").unwrap();
    unknown.add("Mystery", "mystery", &[], |attrs| attrs);
    let (layer, mystery) = (unknown.0.find("conv/Conv2D").unwrap(), unknown.0.find("mystery").unwrap());
    assert_eq!(unknown.0.reroute(image.into(), mystery.into(), &[layer]), 1);
    assert_eq!(fold(unknown), Outcome::DataFormat);
}

#[test]
fn channels_on_another_axis_that_cannot_be_added_are_refused() {
    let mut network = Network::new()
        .layer("Conv2D", |attrs| attrs.str("data_format", "NCHW"))
        .batch_norm("conv/Conv2D", false)
        .reader("conv/Relu", "conv/bn");
    let image = network.0.find("image").unwrap();
    network.add("Placeholder", "nchw", &[], |attrs| attrs.shape("shape", &[-1, 3, 8, 8]));
    let (layer, nchw) = (network.0.find("conv/Conv2D").unwrap(), network.0.find("nchw").unwrap());
    network.0.reroute(image.into(), nchw.into(), &[layer]);
    let error = network.fold(&Options::default()).unwrap_err();
    assert!(error.to_string().contains("'conv/add_fold' would combine the shapes [?,3,8,8] and [3]"), "{error}");
}

#[test]
fn every_batch_norm_that_is_left_has_its_reason() {
    let mut network = Network::new().reader("conv/Relu", "image").batch_norm("conv/Relu", false);
    let found = network.fold(&Options::default()).unwrap();
    assert_eq!((found[0].outcome, found[0].layer.as_deref()), (Outcome::NoLayer, None));
    assert_eq!(found[0].detail.as_deref(), Some("it reads 'conv/Relu' (Relu), which is no layer"));

    let mut network =
        Network::new().layer("Conv2D", |attrs| attrs).batch_norm("conv/Conv2D", false).reader("conv/Relu", "conv/bn");
    let selection = Selection::new(&[], &["conv/Conv2D".to_owned()]).unwrap();
    let found = network.fold(&Options { selection, ..Options::default() }).unwrap();
    assert_eq!(found[0].outcome, Outcome::NotSelected);
}

#[test]
fn a_fully_connected_layer_is_folded_between_its_reshapes() {
    let mut network = Network::new();
    network.parameter("conv/fc_weights", &[8, 3]);
    network.add("Placeholder", "features", &[], |attrs| attrs.shape("shape", &[-1, 8]));
    network.add("Const", "dims", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[-1, 1, 1, 3])));
    network.add("Const", "dims_1", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[-1, 3])));
    network.add("MatMul", "conv/MatMul", &["features", "conv/fc_weights/read"], |attrs| attrs);
    network.add("Reshape", "conv/Reshape", &["conv/MatMul", "dims"], |attrs| attrs);
    let mut network = network.batch_norm("conv/Reshape", false);
    network.add("Reshape", "conv/Reshape_1", &["conv/bn", "dims_1"], |attrs| attrs);
    let mut network = network.reader("conv/Relu", "conv/Reshape_1");
    assert_eq!(network.outcome(), Outcome::Folded);
    assert_eq!(network.inputs("conv/Relu"), ["conv/add_fold:0"]);
    assert_eq!(network.inputs("conv/MatMul_Fold"), ["features:0", "conv/mul_fold:0"]);
    assert_eq!(network.inputs("conv/Reshape_1"), ["conv/bn:0", "dims_1:0"]);
}
