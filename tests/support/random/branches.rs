//! Control flow as frozen graphs have it: conditionals and loops of single ops.

use arbitrary::Unstructured;
use tfquant::internals::tensorflow::DataType;
use tfquant::internals::tensorflow::attr_value::Value;

use super::builder::node;
use super::layers::layer;
use super::network::Network;
use super::whether;

/// `Switch`, an op in each branch, `Merge`.
pub fn conditional(network: &mut Network) {
    let latest = network.latest();
    let predicate = node("cond/pred", "Placeholder", &[]).dtype("dtype", DataType::DtBool).shape("shape", &[]);
    let predicate = network.push(predicate);
    let switch = network.push(node("cond/Switch", "Switch", &[&latest.name, &predicate]).typed("T"));
    let no = network.push(node("cond/Identity", "Identity", &[&switch]).typed("T"));
    let yes = network.push(node("cond/Relu", "Relu", &[&format!("{switch}:1")]).typed("T"));
    let merge = network.push(node("cond/Merge", "Merge", &[&no, &yes]).typed("T").int("N", 2));
    network.go_on_from(merge, &latest.dims);
}

/// A frame that goes round three times; a layer with a constant from outside, or an op, is what it repeats.
pub fn while_loop(network: &mut Network, choices: &mut Unstructured) {
    let latest = network.latest();
    let zero = network.integer("while/zero", 0);
    let frame = format!("{zero}_context");
    let enter = |network: &mut Network, name: &str, of: &str, data_type: DataType, is_constant: bool| {
        let enter = node(name, "Enter", &[of]).dtype("T", data_type).bool("is_constant", is_constant);
        network.push(enter.text("frame_name", &frame).int("parallel_iterations", 10))
    };
    let counter = enter(network, "while/Enter", &zero, DataType::DtInt32, false);
    let value = enter(network, "while/Enter_1", &latest.name, DataType::DtFloat, false);
    // What closes the loops is known by name when they are opened.
    let merge = |network: &mut Network, name: &str, enter: &str, data_type: DataType| {
        let merge = node(name, "Merge", &[enter, ""]).dtype("T", data_type).int("N", 2);
        let at = network.nodes.len();
        (network.push(merge), at)
    };
    let (counter, counter_at) = merge(network, "while/Merge", &counter, DataType::DtInt32);
    let (value, value_at) = merge(network, "while/Merge_1", &value, DataType::DtFloat);
    let constant = |network: &mut Network, name: &str, number: i32| {
        let constant = network.integer(name, number);
        let at = network.nodes.len() - 1;
        network.nodes[at].input.push(format!("^{counter}"));
        constant
    };
    let limit = constant(network, "while/Less/y", 3);
    let less = network.push(node("while/Less", "Less", &[&counter, &limit]).dtype("T", DataType::DtInt32));
    let condition = network.push(node("while/LoopCond", "LoopCond", &[&less]));
    let switch = |network: &mut Network, name: &str, of: &str, data_type: DataType| {
        network.push(node(name, "Switch", &[of, &condition]).dtype("T", data_type))
    };
    let counter_switch = switch(network, "while/Switch", &counter, DataType::DtInt32);
    let value_switch = switch(network, "while/Switch_1", &value, DataType::DtFloat);
    let inside = |network: &mut Network, name: &str, switch: &str, data_type: DataType| {
        network.push(node(name, "Identity", &[&format!("{switch}:1")]).dtype("T", data_type))
    };
    let counter = inside(network, "while/Identity", &counter_switch, DataType::DtInt32);
    let value = inside(network, "while/Identity_1", &value_switch, DataType::DtFloat);
    let one = constant(network, "while/add/y", 1);
    let next = network.push(node("while/add", "AddV2", &[&counter, &one]).dtype("T", DataType::DtInt32));
    let body = if whether(choices) && latest.dims.len() == 2 {
        let depth = latest.channels();
        let weights = network.constant("while/weights", &[depth, depth]);
        let weights = enter(network, "while/MatMul/Enter", &weights, DataType::DtFloat, true);
        let product = node("while/MatMul", "MatMul", &[&value, &weights]).typed("T");
        network.push(product.bool("transpose_a", false).bool("transpose_b", false))
    } else {
        network.push(node("while/Relu", "Relu", &[&value]).typed("T"))
    };
    for (of, data_type, at, name) in [
        (next, DataType::DtInt32, counter_at, "while/NextIteration"),
        (body, DataType::DtFloat, value_at, "while/NextIteration_1"),
    ] {
        let next = network.push(node(name, "NextIteration", &[&of]).dtype("T", data_type));
        network.nodes[at].input[1] = next;
    }
    let exit = network.push(node("while/Exit", "Exit", &[&value_switch]).attr("T", Value::Type(1)));
    network.go_on_from(exit, &latest.dims);
    layer(network, choices);
}
