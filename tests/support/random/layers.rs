//! Layers with weights of every form, what may follow them, and what stands between layers.

use arbitrary::Unstructured;
use tfquant::internals::tensorflow::attr_value::{ListValue, Value};
use tfquant::internals::tensorflow::{DataType, TensorProto};

use super::builder::{Builder, node, shape};
use super::network::{Network, Tensor};
use super::{choice, whether};

/// A layer: weights, perhaps a bias or a batch norm, perhaps an activation.
pub fn layer(network: &mut Network, choices: &mut Unstructured) {
    let scope = Network::scope(choices);
    let input = network.latest();
    let mut output = if input.dims.len() == 4 {
        match choice(choices, 6) {
            0..=2 => convolution(network, scope, &input, choices),
            3 | 4 => depthwise(network, scope, &input, choices),
            _ => transposed(network, scope, &input, choices),
        }
    } else {
        product(network, scope, &input, choices)
    };
    output.name = match choice(choices, 6) {
        0 | 1 => bias(network, scope, &output, choices),
        2 => fused_batch_norm(network, scope, &output, choices),
        3 => batch_norm(network, scope, &output, choices),
        _ => output.name,
    };
    output.name = activation(network, scope, &output.name, choices);
    network.go_on_from(output.name, &output.dims);
}

/// Weights, as one of the nodes that layers read them from.
fn weights(network: &mut Network, scope: &str, dims: &[i64], choices: &mut Unstructured) -> String {
    match choice(choices, 6) {
        0..=2 => network.variable(&format!("{scope}/weights"), dims),
        3 => network.resource(&format!("{scope}/kernel"), dims),
        4 => network.constant(&format!("{scope}/weights"), dims),
        _ => {
            let constant = network.constant(&format!("{scope}/weights"), dims);
            network.push(node(&format!("{constant}/read"), "Identity", &[&constant]).typed("T"))
        }
    }
}

/// What every op with a window has.
fn windowed(builder: Builder, dilation: i64) -> Builder {
    builder
        .typed("T")
        .ints("strides", &[1, 1, 1, 1])
        .ints("dilations", &[1, dilation, dilation, 1])
        .text("padding", "SAME")
        .text("data_format", "NHWC")
}

fn convolution(network: &mut Network, scope: &str, input: &Tensor, choices: &mut Unstructured) -> Tensor {
    let size = [1, 3][choice(choices, 2)];
    let depth = choices.int_in_range(1..=4).unwrap_or(1);
    let weights = weights(network, scope, &[size, size, input.channels(), depth], choices);
    let dilation = 1 + i64::from(choice(choices, 6) == 5);
    let name = network.push(windowed(node(&format!("{scope}/Conv2D"), "Conv2D", &[&input.name, &weights]), dilation));
    Tensor { name, dims: [&input.dims[..3], &[depth]].concat() }
}

fn depthwise(network: &mut Network, scope: &str, input: &Tensor, choices: &mut Unstructured) -> Tensor {
    // Channels stay few, however many of these follow one another.
    let multiplier = if input.channels() < 4 { choices.int_in_range(1..=2).unwrap_or(1) } else { 1 };
    let weights = weights(network, scope, &[3, 3, input.channels(), multiplier], choices);
    let op = "DepthwiseConv2dNative";
    let name = network.push(windowed(node(&format!("{scope}/depthwise"), op, &[&input.name, &weights]), 1));
    Tensor { name, dims: [&input.dims[..3], &[input.channels() * multiplier]].concat() }
}

fn transposed(network: &mut Network, scope: &str, input: &Tensor, choices: &mut Unstructured) -> Tensor {
    let depth = choices.int_in_range(1..=3).unwrap_or(1);
    let dims = [&input.dims[..3], &[depth]].concat();
    let sizes: Vec<i32> = dims.iter().filter_map(|&dim| i32::try_from(dim).ok()).collect();
    let sizes = network.integers(&format!("{scope}/input_sizes"), &sizes);
    let weights = weights(network, scope, &[2, 2, depth, input.channels()], choices);
    let op = "Conv2DBackpropInput";
    let layer = node(&format!("{scope}/conv2d_transpose"), op, &[&sizes, &weights, &input.name]);
    Tensor { name: network.push(windowed(layer, 1)), dims }
}

fn product(network: &mut Network, scope: &str, input: &Tensor, choices: &mut Unstructured) -> Tensor {
    let depth = choices.int_in_range(1..=5).unwrap_or(1);
    let is_transposed = choice(choices, 4) == 3;
    let dims = if is_transposed { [depth, input.channels()] } else { [input.channels(), depth] };
    let weights = weights(network, scope, &dims, choices);
    let layer = node(&format!("{scope}/MatMul"), "MatMul", &[&input.name, &weights]).typed("T");
    let name = network.push(layer.bool("transpose_a", false).bool("transpose_b", is_transposed));
    Tensor { name, dims: vec![input.dims[0], depth] }
}

fn bias(network: &mut Network, scope: &str, to: &Tensor, choices: &mut Unstructured) -> String {
    let biases = network.variable(&format!("{scope}/biases"), &[to.channels()]);
    match choice(choices, 3) {
        0 | 1 => {
            let add = node(&format!("{scope}/BiasAdd"), "BiasAdd", &[&to.name, &biases]).typed("T");
            network.push(add.text("data_format", "NHWC"))
        }
        _ => network.push(node(&format!("{scope}/add"), "Add", &[&to.name, &biases]).typed("T")),
    }
}

fn fused_batch_norm(network: &mut Network, scope: &str, of: &Tensor, choices: &mut Unstructured) -> String {
    if of.dims.len() != 4 {
        return batch_norm(network, scope, of, choices);
    }
    let is_training = whether(choices);
    let mut inputs = vec![of.name.clone()];
    for part in ["gamma", "beta", "moving_mean", "moving_variance"] {
        inputs.push(network.variable(&format!("{scope}/BatchNorm/{part}"), &[of.channels()]));
    }
    if is_training {
        let empty = ["mean", "variance"].map(|part| network.constant(&format!("{scope}/BatchNorm/{part}/Const"), &[0]));
        inputs.truncate(3);
        inputs.extend(empty);
    }
    let op = ["FusedBatchNorm", "FusedBatchNormV3"][choice(choices, 2)];
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let norm = node(&format!("{scope}/BatchNorm/{op}"), op, &inputs).typed("T").bool("is_training", is_training);
    let norm = norm.text("data_format", "NHWC").attr("epsilon", Value::F(0.001));
    network.push(if op.ends_with("V3") { norm.typed("U") } else { norm })
}

/// A batch norm in single ops, as in eval mode.
fn batch_norm(network: &mut Network, scope: &str, of: &Tensor, choices: &mut Unstructured) -> String {
    let scope = format!("{scope}/BatchNorm");
    let dims = [of.channels()];
    let part = |network: &mut Network, part: &str| network.variable(&format!("{scope}/{part}"), &dims);
    let (mean, variance, beta) =
        (part(network, "moving_mean"), part(network, "moving_variance"), part(network, "beta"));
    let binary = |network: &mut Network, leaf: &str, op: &str, a: &str, b: &str| {
        network.push(node(&format!("{scope}/batchnorm/{leaf}"), op, &[a, b]).typed("T"))
    };
    let epsilon = network.positive_constant(&format!("{scope}/batchnorm/add/y"), &[]);
    let sum = binary(network, "add", "Add", &variance, &epsilon);
    let mut scale = network.push(node(&format!("{scope}/batchnorm/Rsqrt"), "Rsqrt", &[&sum]).typed("T"));
    if whether(choices) {
        let gamma = part(network, "gamma");
        scale = binary(network, "mul", "Mul", &scale, &gamma);
    }
    let scaled = binary(network, "mul_1", "Mul", &of.name, &scale);
    let scaled_mean = binary(network, "mul_2", "Mul", &mean, &scale);
    let offset = binary(network, "sub", "Sub", &beta, &scaled_mean);
    binary(network, "add_1", "Add", &scaled, &offset)
}

fn activation(network: &mut Network, scope: &str, input: &str, choices: &mut Unstructured) -> String {
    let op = ["Relu", "Relu6", "Identity", "Tanh", "Elu", ""][choice(choices, 6)];
    if op.is_empty() {
        return input.to_owned();
    }
    network.push(node(&format!("{scope}/{op}"), op, &[input]).typed("T"))
}

/// Adds the latest tensor to an earlier one, then perhaps an activation.
pub fn bypass(network: &mut Network, choices: &mut Unstructured) {
    let (scope, latest) = (Network::scope(choices), network.latest());
    let other = network.like(&latest, choices);
    let op = ["Add", "AddV2"][choice(choices, 2)];
    let sum = network.push(node(&format!("{scope}/{op}"), op, &[&latest.name, &other.name]).typed("T"));
    let output = activation(network, scope, &sum, choices);
    network.go_on_from(output, &latest.dims);
}

/// Arithmetic of two tensors, behind a control input.
pub fn two_tensors(network: &mut Network, choices: &mut Unstructured) {
    let (scope, latest) = (Network::scope(choices), network.latest());
    let other = network.like(&latest, choices);
    let op = ["Mul", "Maximum", "Sub", "AddN"][choice(choices, 4)];
    // A node of a frame or a branch waits for nothing outside; the first one is outside of all.
    let control = format!("^{}", network.nodes[0].name);
    let two = node(&format!("{scope}/{op}"), op, &[&latest.name, &other.name, &control]).typed("T");
    let name = network.push(if op == "AddN" { two.int("N", 2) } else { two });
    network.go_on_from(name, &latest.dims);
}

/// Joins the latest tensor with itself, while there are few channels.
pub fn concat(network: &mut Network) {
    let latest = network.latest();
    if latest.channels() > 8 {
        return;
    }
    let axis = network.integer("concat/axis", -1);
    let joined = node("concat", "ConcatV2", &[&latest.name, &latest.name, &axis]).typed("T").int("N", 2);
    let name = network.push(joined.dtype("Tidx", DataType::DtInt32));
    let mut dims = latest.dims;
    if let Some(channels) = dims.last_mut() {
        *channels *= 2;
    }
    network.go_on_from(name, &dims);
}

/// One of the ops that read one tensor, some of which take its places away.
pub fn one_tensor(network: &mut Network, choices: &mut Unstructured) {
    let latest = network.latest();
    let (name, dims) = match choice(choices, 6) {
        0 if latest.dims.len() == 4 => {
            let axes = network.integers("Mean/reduction_indices", &[1, 2]);
            let mean = node("Mean", "Mean", &[&latest.name, &axes]).typed("T").bool("keep_dims", false);
            let dims = vec![latest.dims[0], latest.channels()];
            (network.push(mean.dtype("Tidx", DataType::DtInt32)), dims)
        }
        1 if latest.dims.len() == 4 => {
            let rows = i32::try_from(latest.dims[0]).unwrap_or(1);
            let sizes = network.integers("Flatten/shape", &[rows, -1]);
            let flat = node("Flatten/Reshape", "Reshape", &[&latest.name, &sizes]).typed("T");
            let dims = vec![latest.dims[0], latest.dims[1..].iter().product()];
            (network.push(flat.dtype("Tshape", DataType::DtInt32)), dims)
        }
        2 if latest.dims.len() == 4 => {
            let mut pool = windowed(node("MaxPool", "MaxPool", &[&latest.name]), 1).ints("ksize", &[1, 2, 2, 1]);
            pool.0.attr.remove("dilations");
            (network.push(pool), latest.dims)
        }
        3 => {
            let half = node("Cast", "Cast", &[&latest.name]).typed("SrcT").dtype("DstT", DataType::DtHalf);
            let half = network.push(half.bool("Truncate", false));
            let back = node("Cast", "Cast", &[&half]).dtype("SrcT", DataType::DtHalf).typed("DstT");
            (network.push(back.bool("Truncate", false)), latest.dims)
        }
        4 => {
            // What is left of a dropout.
            let keep = network.positive_constant("dropout/keep_prob", &[]);
            (network.push(node("dropout/mul", "Mul", &[&latest.name, &keep]).typed("T")), latest.dims)
        }
        _ => (network.push(node("Sigmoid", "Sigmoid", &[&latest.name]).typed("T")), latest.dims),
    };
    network.go_on_from(name, &dims);
}

/// Every type that constants have beside floats, and how many bytes its numbers take.
const TYPES: [(DataType, usize); 17] = [
    (DataType::DtBool, 1),
    (DataType::DtUint8, 1),
    (DataType::DtInt8, 1),
    (DataType::DtUint16, 2),
    (DataType::DtInt16, 2),
    (DataType::DtUint32, 4),
    (DataType::DtInt32, 4),
    (DataType::DtUint64, 8),
    (DataType::DtInt64, 8),
    (DataType::DtHalf, 2),
    (DataType::DtBfloat16, 2),
    (DataType::DtDouble, 8),
    (DataType::DtComplex64, 8),
    (DataType::DtComplex128, 16),
    (DataType::DtQint8, 1),
    (DataType::DtQuint8, 1),
    (DataType::DtQint32, 4),
];

/// A constant of any type, which is handed on to nobody.
pub fn constant_of_a_type(network: &mut Network, choices: &mut Unstructured) {
    let (data_type, size) = TYPES[choice(choices, TYPES.len())];
    let value = TensorProto {
        dtype: data_type as i32,
        tensor_shape: Some(shape(&[2])),
        tensor_content: vec![1; 2 * size].into(),
        ..TensorProto::default()
    };
    let constant = node("typed", "Const", &[]).dtype("dtype", data_type).attr("value", Value::Tensor(value));
    let constant = network.push(constant);
    network.push(node("typed/read", "Identity", &[&constant]).dtype("T", data_type));
}

/// A branch of other types that nothing of the network reads.
pub fn integers(network: &mut Network, choices: &mut Unstructured) {
    let latest = network.latest();
    let out_type = [DataType::DtInt32, DataType::DtInt64][choice(choices, 2)];
    let sizes = node("Shape", "Shape", &[&latest.name]).typed("T").dtype("out_type", out_type);
    let sizes = network.push(sizes);
    let wide = node("ToDouble", "Cast", &[&sizes]).dtype("SrcT", out_type).dtype("DstT", DataType::DtDouble);
    let wide = network.push(wide.bool("Truncate", false));
    network.push(node("Less", "Less", &[&wide, &wide]).dtype("T", DataType::DtDouble));
    let text = node("AsString", "AsString", &[&sizes]).dtype("T", out_type).int("precision", -1).int("width", -1);
    let text = text.bool("scientific", false).bool("shortest", false).text("fill", "");
    let text = network.push(text);
    let list = ListValue { r#type: vec![DataType::DtString as i32], ..ListValue::default() };
    network.push(node("Strings", "IdentityN", &[&text]).attr("T", Value::List(list)));
}
