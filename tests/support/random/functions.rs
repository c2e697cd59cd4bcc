//! Bodies in functions: what is called, and what a functional conditional chooses from.

use arbitrary::Unstructured;
use tfquant::internals::tensorflow::attr_value::{ListValue, Value};
use tfquant::internals::tensorflow::op_def::ArgDef;
use tfquant::internals::tensorflow::{DataType, FunctionDef, NameAttrList, NodeDef, OpDef};

use super::builder::{Builder, node, shape};
use super::choice;
use super::network::{Network, Tensor};

/// A call of a function with a layer in it, whose weights are an argument.
pub fn call(network: &mut Network, choices: &mut Unstructured) {
    let latest = network.latest();
    let (layer, weights) = if latest.dims.len() == 4 {
        let layer = node("layer", "Conv2D", &["x", "w"]).typed("T").ints("strides", &[1; 4]).ints("dilations", &[1; 4]);
        (layer.text("padding", "SAME").text("data_format", "NHWC"), vec![1, 1, latest.channels(), 2])
    } else {
        let layer = node("layer", "MatMul", &["x", "w"]).typed("T");
        (layer.bool("transpose_a", false).bool("transpose_b", false), vec![latest.channels(), 2])
    };
    let output = if latest.dims.len() == 4 { "layer:output:0" } else { "layer:product:0" };
    let body = [layer, node("Relu", "Relu", &[output]).typed("T")];
    let name = function(network, &["x", "w"], body, "Relu:activations:0");
    let weights = network.constant("call/weights", &weights);
    let op = ["PartitionedCall", "StatefulPartitionedCall"][choice(choices, 2)];
    let dims = [&latest.dims[..latest.dims.len() - 1], &[2]].concat();
    let call = node(op, op, &[&latest.name, &weights]).attr("Tin", floats(2)).attr("Tout", floats(1));
    let call = call.attr("f", function_attr(&name)).text("config", "").text("config_proto", "");
    let called = network.push(call.text("executor_type", ""));
    network.go_on_from(called, &dims);
}

/// An `If` of two functions of one op each.
pub fn functional_if(network: &mut Network) {
    let Tensor { name, dims } = network.latest();
    let predicate = node("if/pred", "Placeholder", &[]).dtype("dtype", DataType::DtBool).shape("shape", &[]);
    let predicate = network.push(predicate);
    let branches = ["Relu", "Relu6"].map(|op| {
        let output = "op:activations:0";
        function(network, &["x"], [node("op", op, &["x"]).typed("T")], output)
    });
    let choice = node("If", "StatelessIf", &[&predicate, &name]).attr("Tin", floats(1)).attr("Tout", floats(1));
    let choice = choice.dtype("Tcond", DataType::DtBool).attr("then_branch", function_attr(&branches[0]));
    let shapes = ListValue { shape: vec![shape(&dims)], ..ListValue::default() };
    let choice = choice.attr("else_branch", function_attr(&branches[1])).attr("output_shapes", Value::List(shapes));
    let chosen = network.push(choice);
    network.go_on_from(chosen, &dims);
}

/// Adds a function of float arguments with one result; returns its name.
fn function<const N: usize>(network: &mut Network, arguments: &[&str], body: [Builder; N], result: &str) -> String {
    let name = format!("__inference_body_{}", network.functions.len());
    let argument = |name: &str| ArgDef { name: name.to_owned(), r#type: DataType::DtFloat as i32, ..ArgDef::default() };
    network.functions.push(FunctionDef {
        signature: Some(OpDef {
            name: name.clone(),
            input_arg: arguments.iter().map(|name| argument(name)).collect(),
            output_arg: vec![argument("y")],
            ..OpDef::default()
        }),
        node_def: body.map(|Builder(node)| node).into_iter().collect::<Vec<NodeDef>>(),
        ret: [("y".to_owned(), result.to_owned())].into(),
        ..FunctionDef::default()
    });
    name
}

fn function_attr(name: &str) -> Value {
    Value::Func(NameAttrList { name: name.to_owned(), ..NameAttrList::default() })
}

fn floats(count: usize) -> Value {
    Value::List(ListValue { r#type: vec![DataType::DtFloat as i32; count], ..ListValue::default() })
}
