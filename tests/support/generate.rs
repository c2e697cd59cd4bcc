//! Makes graphs of any size, as TF-Slim exports them: chains of convolutions, and a frozen graph of big constants.
//!
//! The benches measure with them, and `examples/generate.rs` writes them to disk for the figures in the README.

#![allow(dead_code)] // every test uses its part

#[allow(clippy::duplicate_mod)] // each of those who make graphs can be had without the others
#[path = "builder.rs"]
mod builder;

use std::io::{self, Write};

use prost::Message;
use tfquant::internals::tensorflow::attr_value::Value;
use tfquant::internals::tensorflow::collection_def::{BytesList, Kind, NodeList};
use tfquant::internals::tensorflow::{
    CollectionDef, DataType, GraphDef, MetaGraphDef, NodeDef, TensorProto, VariableDef, VersionDef,
};
use tfquant::internals::{put_bytes, put_header};

use builder::{Builder, floats, ints, node, shape, shapes};

/// What follows each convolution of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A bias and a Relu: 18 nodes a layer.
    Bias,
    /// A fused batch norm in its inference form and a Relu: 31 nodes a layer.
    BatchNorm,
}

/// Channels of every activation.
const DEPTH: i64 = 8;

/// A chain of `layers` convolutions as a MetaGraphDef with its variables in their collections.
pub fn chain(layers: usize, layer: Layer) -> MetaGraphDef {
    let mut slim = Slim::default();
    slim.variable("global_step", DataType::DtInt64, &[]);
    let global_step = slim.variables.clone();
    let mut previous = "input".to_owned();
    slim.push(node("input", "Placeholder", &[]).shape("shape", &ACTIVATION).typed("dtype").shaped(&ACTIVATION));
    for index in 0..layers {
        previous = slim.layer(&format!("net/block_{}/conv_{index}", index / 100), &previous, layer);
    }
    slim.push(node("update_barrier", "NoOp", &[]));
    slim.push(node("output", "Identity", &[&previous, "^update_barrier"]).typed("T").shaped(&ACTIVATION));
    let model = slim.variables[global_step.len()..].to_vec();
    let collection = |variables: &[VariableDef]| {
        let value = variables.iter().map(|variable| variable.encode_to_vec().into()).collect();
        CollectionDef { kind: Some(Kind::BytesList(BytesList { value })) }
    };
    let step = NodeList { value: vec!["global_step:0".to_owned()] };
    MetaGraphDef {
        collection_def: [
            ("global_step".to_owned(), CollectionDef { kind: Some(Kind::NodeList(step)) }),
            ("model_variables".to_owned(), collection(&model)),
            ("trainable_variables".to_owned(), collection(&model)),
            ("variables".to_owned(), collection(&slim.variables)),
        ]
        .into(),
        graph_def: Some(GraphDef { node: slim.nodes, versions: Some(versions()), ..GraphDef::default() }),
        ..MetaGraphDef::default()
    }
}

/// A frozen GraphDef of about that size: `layers` convolutions with Relu, whose weights are Consts.
pub fn frozen(bytes: u64, layers: usize, out: &mut impl Write) -> io::Result<()> {
    let depth = depth_for(bytes / layers.max(1) as u64);
    let shape = [1, 14, 14, depth];
    let mut previous = "input".to_owned();
    write_node(out, &node("input", "Placeholder", &[]).shape("shape", &shape).typed("dtype"), &[])?;
    let mut values = Values::new();
    for index in 0..layers {
        let name = |leaf: &str| format!("conv_{index}/{leaf}");
        let weights = node(&name("weights"), "Const", &[]).typed("dtype");
        write_node(out, &weights, &const_value(&[3, 3, depth, depth], &mut values))?;
        write_node(out, &node(&name("weights/read"), "Identity", &[&name("weights")]).typed("T"), &[])?;
        write_node(out, &convolution(&name("Conv2D"), &previous, &name("weights/read")), &[])?;
        write_node(out, &node(&name("Relu"), "Relu", &[&name("Conv2D")]).typed("T"), &[])?;
        previous = name("Relu");
    }
    write_node(out, &node("output", "Identity", &[&previous]).typed("T"), &[])?;
    let mut end = Vec::new();
    put_bytes(&mut end, 4, &versions().encode_to_vec());
    out.write_all(&end)
}

/// A GraphDef of so many nodes of which there is nothing but a name and an op.
pub fn tiny(nodes: usize, out: &mut impl Write) -> io::Result<()> {
    (0..nodes).try_for_each(|index| write_node(out, &node(&format!("n{index}"), "Relu", &[]), &[]))
}

const ACTIVATION: [i64; 4] = [1, 16, 16, DEPTH];

fn versions() -> VersionDef {
    VersionDef { producer: 24, ..VersionDef::default() }
}

/// The depth at which one layer's weights, `3 x 3 x depth x depth` floats, have about that many bytes.
fn depth_for(bytes: u64) -> i64 {
    let depth = (bytes / 36).isqrt().max(1);
    i64::try_from(depth).unwrap_or(i64::MAX)
}

/// The nodes of a TF-Slim model while they are made.
#[derive(Default)]
struct Slim {
    nodes: Vec<NodeDef>,
    variables: Vec<VariableDef>,
}

impl Slim {
    fn push(&mut self, node: Builder) {
        self.nodes.push(node.0);
    }

    /// A convolution and what follows it; returns the name of the layer's output.
    fn layer(&mut self, scope: &str, input: &str, layer: Layer) -> String {
        let name = |leaf: &str| format!("{scope}/{leaf}");
        self.random_variable(&name("weights"), &[3, 3, DEPTH, DEPTH]);
        let last = match layer {
            Layer::Bias => {
                self.variable(&name("biases"), DataType::DtFloat, &[DEPTH]);
                self.convolution(scope, input);
                let inputs = [name("Conv2D"), name("biases/read")];
                let bias_add = node(&name("BiasAdd"), "BiasAdd", &[&inputs[0], &inputs[1]]);
                self.push(bias_add.typed("T").text("data_format", "NHWC").shaped(&ACTIVATION));
                name("BiasAdd")
            }
            Layer::BatchNorm => {
                self.convolution(scope, input);
                self.batch_norm(scope);
                name("BatchNorm/FusedBatchNorm")
            }
        };
        self.push(node(&name("Relu"), "Relu", &[&last]).typed("T").shaped(&ACTIVATION));
        name("Relu")
    }

    fn convolution(&mut self, scope: &str, input: &str) {
        let rate = node(&format!("{scope}/dilation_rate"), "Const", &[]);
        self.push(rate.attr("dtype", Value::Type(DataType::DtInt32 as i32)).attr("value", ints(&[1, 1])).shaped(&[2]));
        let weights = format!("{scope}/weights/read");
        self.push(convolution(&format!("{scope}/Conv2D"), input, &weights).shaped(&ACTIVATION));
    }

    fn batch_norm(&mut self, scope: &str) {
        let mut inputs = vec![format!("{scope}/Conv2D")];
        for part in ["gamma", "beta", "moving_mean", "moving_variance"] {
            let variable = format!("{scope}/BatchNorm/{part}");
            self.variable(&variable, DataType::DtFloat, &[DEPTH]);
            inputs.push(format!("{variable}/read"));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let norm = node(&format!("{scope}/BatchNorm/FusedBatchNorm"), "FusedBatchNorm", &inputs);
        let outputs = [&ACTIVATION[..], &[DEPTH], &[DEPTH], &[DEPTH], &[DEPTH]];
        let norm = norm.typed("T").text("data_format", "NHWC").attr("epsilon", Value::F(0.001));
        self.push(norm.attr("is_training", Value::B(false)).attr("_output_shapes", shapes(&outputs)));
        let decay = node(&format!("{scope}/BatchNorm/Const"), "Const", &[]);
        self.push(decay.typed("dtype").attr("value", floats(&[], &[0.1])).shaped(&[]));
    }

    /// A variable that starts at zero: four nodes.
    fn variable(&mut self, name: &str, data_type: DataType, dims: &[i64]) {
        let value = TensorProto {
            dtype: data_type as i32,
            tensor_shape: Some(shape(dims)),
            float_val: if data_type == DataType::DtFloat { vec![0.0] } else { Vec::new() },
            int64_val: if data_type == DataType::DtInt64 { vec![0] } else { Vec::new() },
            ..TensorProto::default()
        };
        let initial = format!("{name}/Initializer/zeros");
        let zeros = node(&initial, "Const", &[]).attr("dtype", Value::Type(data_type as i32));
        self.push(zeros.attr("value", Value::Tensor(value)).class(name).shaped(dims));
        self.initialized_variable(name, &initial, data_type, dims);
    }

    /// A variable with the initialiser that TF-Slim gives weights: ten nodes.
    fn random_variable(&mut self, name: &str, dims: &[i64; 4]) {
        let scope = format!("{name}/Initializer/random_uniform");
        let inner = |leaf: &str| format!("{scope}/{leaf}");
        let lengths: Vec<i32> = dims.iter().filter_map(|&dim| i32::try_from(dim).ok()).collect();
        let lengths = node(&inner("shape"), "Const", &[]).attr("value", ints(&lengths));
        self.push(lengths.attr("dtype", Value::Type(DataType::DtInt32 as i32)).class(name).shaped(&[4]));
        for (leaf, end) in [("min", -0.05), ("max", 0.05)] {
            let end = node(&inner(leaf), "Const", &[]).typed("dtype").attr("value", floats(&[], &[end]));
            self.push(end.class(name).shaped(&[]));
        }
        let random = node(&inner("RandomUniform"), "RandomUniform", &[&inner("shape")]).typed("dtype");
        let random = random.attr("T", Value::Type(DataType::DtInt32 as i32)).attr("seed", Value::I(0));
        self.push(random.attr("seed2", Value::I(0)).class(name).shaped(dims));
        self.push(node(&inner("sub"), "Sub", &[&inner("max"), &inner("min")]).typed("T").class(name).shaped(&[]));
        let mul = node(&inner("mul"), "Mul", &[&inner("RandomUniform"), &inner("sub")]);
        self.push(mul.typed("T").class(name).shaped(dims));
        self.push(node(&scope, "Add", &[&inner("mul"), &inner("min")]).typed("T").class(name).shaped(dims));
        self.initialized_variable(name, &scope, DataType::DtFloat, dims);
    }

    fn initialized_variable(&mut self, name: &str, initial: &str, data_type: DataType, dims: &[i64]) {
        let typed = |builder: Builder, key: &str| builder.attr(key, Value::Type(data_type as i32)).class(name);
        let variable = typed(node(name, "VariableV2", &[]), "dtype").shape("shape", dims);
        self.push(variable.text("container", "").text("shared_name", "").shaped(dims));
        let assign = typed(node(&format!("{name}/Assign"), "Assign", &[name, initial]), "T");
        let assign = assign.attr("use_locking", Value::B(true)).attr("validate_shape", Value::B(true));
        self.push(assign.shaped(dims));
        self.push(typed(node(&format!("{name}/read"), "Identity", &[name]), "T").shaped(dims));
        self.variables.push(VariableDef {
            variable_name: format!("{name}:0"),
            initial_value_name: format!("{initial}:0"),
            initializer_name: format!("{name}/Assign"),
            snapshot_name: format!("{name}/read:0"),
            ..VariableDef::default()
        });
    }
}

fn convolution(name: &str, input: &str, weights: &str) -> Builder {
    node(name, "Conv2D", &[input, weights])
        .typed("T")
        .text("data_format", "NHWC")
        .ints("dilations", &[1; 4])
        .text("padding", "SAME")
        .ints("strides", &[1; 4])
        .attr("use_cudnn_on_gpu", Value::B(true))
}

/// An endless sequence of numbers that do not compress.
pub struct Values(u64);

impl Values {
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// So many bytes of any value.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[7]).collect()
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Small floats of either sign.
    fn fill(&mut self, bytes: &mut Vec<u8>, count: usize) {
        for _ in 0..count.div_ceil(2) {
            let bits = self.next() & 0x83ff_ffff_83ff_ffff | 0x3800_0000_3800_0000;
            bytes.extend_from_slice(&bits.to_le_bytes());
        }
        bytes.truncate(bytes.len() - count % 2 * 4);
    }
}

/// The attribute `value` of a Const with that shape, encoded as a field of its NodeDef.
fn const_value(dims: &[i64], values: &mut Values) -> Vec<u8> {
    let count = usize::try_from(dims.iter().product::<i64>()).unwrap_or(0);
    let head =
        TensorProto { dtype: DataType::DtFloat as i32, tensor_shape: Some(shape(dims)), ..TensorProto::default() };
    let mut tensor = head.encode_to_vec();
    put_header(&mut tensor, 4, count * 4);
    values.fill(&mut tensor, count);
    let wrap = |number: u32, inner: Vec<u8>| {
        let mut outer = Vec::with_capacity(inner.len() + 16);
        put_bytes(&mut outer, number, &inner);
        outer
    };
    let mut entry = wrap(1, b"value".to_vec());
    put_bytes(&mut entry, 2, &wrap(8, tensor));
    wrap(5, entry)
}

fn write_node(out: &mut impl Write, node: &Builder, more: &[u8]) -> io::Result<()> {
    let body = node.0.encode_to_vec();
    let mut header = Vec::new();
    put_header(&mut header, 1, body.len() + more.len());
    out.write_all(&header)?;
    out.write_all(&body)?;
    out.write_all(more)
}
