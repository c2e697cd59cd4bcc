//! What the converter makes one op of: biases, scales and activations behind layers, scales in front of them, dilated
//! convolutions.

use super::converter::Converter;
use super::patterns;
use super::program::{LayerFacts, OpId, Origin, Program, ValueId};
use super::turn;
use crate::passes::integer::network::Layer;

/// Fuses all there is.
pub(super) fn fuse(program: &mut Program<'_>, converter: Converter) {
    turn::turn(program, converter);
    for op in 0..program.ops.len() {
        dilated(program, op);
    }
    for op in 0..program.ops.len() {
        if program.ops[op].alive {
            let _ = bias(program, op) || scale(program, op) || activation(program, op);
        }
    }
    for op in 0..program.ops.len() {
        if program.ops[op].alive {
            patterns::find(program, op);
        }
    }
    for op in 0..program.ops.len() {
        while program.ops[op].alive && scalar_before(program, op) {}
    }
}

/// A convolution between SpaceToBatchND and BatchToSpaceND.
fn dilated(program: &mut Program<'_>, op: OpId) {
    if !matches!(program.ops[op].layer.as_ref().map(|facts| facts.layer), Some(Layer::Convolution | Layer::Depthwise)) {
        return;
    }
    // It is known for one only where all dimensions are, the batch's too.
    let Some(read) = program.read(op) else { return };
    let shape = program.shape(program.values[read].tensor);
    if shape.is_none_or(|dims| dims.iter().any(Option::is_none)) {
        return;
    }
    let reshape = |program: &Program<'_>, at: Option<OpId>| at.filter(|&at| program.ops[at].kind == "Reshape");
    let Some(mut before) = alone_before(program, read) else { return };
    let mut last = op;
    if let Some(outer) = reshape(program, Some(before)) {
        let Some(further) = program.read(outer).and_then(|value| alone_before(program, value)) else { return };
        let Some(inner) = program.ops[op].outputs.first().and_then(|&output| program.only_reader(output)) else {
            return;
        };
        let Some(inner) = reshape(program, Some(inner)) else { return };
        (before, last) = (further, inner);
    }
    let Some(after) = program.ops[last].outputs.first().and_then(|&output| program.only_reader(output)) else { return };
    if program.ops[before].kind != "SpaceToBatchND" || program.ops[after].kind != "BatchToSpaceND" {
        return;
    }
    let Some(input) = program.read(before) else { return };
    let first = if last == op { op } else { program.producer(read).unwrap_or(op) };
    program.reread(first, 0, input);
    program.ops[before].alive = false;
    program.take_over(last, after);
}

/// The op that makes a value for one reader alone.
fn alone_before(program: &Program<'_>, value: ValueId) -> Option<OpId> {
    program.only_reader(value)?;
    program.producer(value)
}

/// What is before a value that is read once, looking through one op that only reshapes.
fn before(program: &Program<'_>, value: ValueId) -> Option<(OpId, Option<OpId>)> {
    let producer = alone_before(program, value)?;
    if program.ops[producer].kind != "Reshape" {
        return Some((producer, None));
    }
    alone_before(program, program.read(producer)?).map(|further| (further, Some(producer)))
}

/// Makes the op a part of the one before it.
fn take_in(program: &mut Program<'_>, first: OpId, between: Option<OpId>, taken: OpId) {
    program.take_over(between.unwrap_or(first), taken);
}

/// The operands of arithmetic with a constant: the other one, and the constant.
fn with_constant(program: &Program<'_>, op: OpId) -> Option<(ValueId, ValueId)> {
    let [left, right] = program.ops[op].inputs[..] else { return None };
    if program.is_constant(right) && !program.is_constant(left) {
        Some((left, right))
    } else {
        (program.is_constant(left) && !program.is_constant(right) && program.ops[op].kind != "Sub")
            .then_some((right, left))
    }
}

/// Whether the constant is a number, or one for each channel.
fn is_vector(program: &Program<'_>, constant: ValueId) -> bool {
    if let Some(&is_vector) = program.turned.get(&constant) {
        return is_vector;
    }
    let tensor = program.plain(constant).map_or(program.values[constant].tensor, |plain| program.values[plain].tensor);
    program
        .shape(tensor)
        .is_none_or(|dims| dims.split_last().is_none_or(|(_, outer)| outer.iter().all(|&dim| dim == Some(1))))
}

/// Whether the constant is one number.
fn is_scalar(program: &Program<'_>, constant: ValueId) -> bool {
    let dims = program.shape(program.values[constant].tensor);
    dims.is_some_and(|dims| dims.iter().all(|&dim| dim == Some(1)))
}

fn bias(program: &mut Program<'_>, op: OpId) -> bool {
    if !matches!(program.ops[op].kind, "Add" | "Sub") {
        return false;
    }
    let Some((value, constant)) = with_constant(program, op).filter(|&(_, constant)| is_vector(program, constant))
    else {
        return false;
    };
    let Some((layer, between)) = before(program, value) else { return false };
    let is_ranged = program.quant(constant).is_some();
    let activation = program.ops[layer].activation;
    let Some(facts) = program.ops[layer].layer.as_mut().filter(|_| !activation) else {
        return false;
    };
    facts.biases.push(constant);
    facts.bias_ranged |= is_ranged;
    take_in(program, layer, between, op);
    true
}

fn scale(program: &mut Program<'_>, op: OpId) -> bool {
    if program.ops[op].kind != "Mul" {
        return false;
    }
    let Some((value, constant)) = with_constant(program, op) else { return false };
    if program.quant(constant).is_some() || !is_vector(program, constant) {
        return false;
    }
    let Some(layer) = alone_before(program, value).filter(|&layer| !program.ops[layer].activation) else {
        return false;
    };
    let Some(facts) = &program.ops[layer].layer else { return false };
    if !program.is_constant(facts.weights) {
        return false;
    }
    let (node, scalar) = (program.ops[op].node, is_scalar(program, constant));
    // Ranges by channel are scaled along, but not by one number.
    let keeps = program.quant(facts.weights).is_none_or(|quant| {
        let op = program.graph.op(program.quants[quant].node);
        op == "FakeQuantWithMinMaxVarsPerChannel" && !scalar && facts.layer != Layer::Transposed
    });
    if let Some(facts) = program.ops[layer].layer.as_mut() {
        facts.biases_differ |= !scalar && !facts.biases.is_empty();
        if !keeps {
            facts.scaled_by = Some(node);
        }
    }
    take_in(program, layer, None, op);
    true
}

fn activation(program: &mut Program<'_>, op: OpId) -> bool {
    if !matches!(program.ops[op].kind, "Relu" | "Relu6") {
        return false;
    }
    let takes = |program: &Program<'_>, at: OpId| {
        // A transposed convolution without a bias stays beside it.
        let is_bare = |facts: &LayerFacts| facts.layer == Layer::Transposed && facts.biases.is_empty();
        let takes = program.ops[at].layer.as_ref().is_some_and(|facts| !is_bare(facts))
            || matches!(program.ops[at].kind, "Add" | "Sub" | "Mul" | "RealDiv" | "MaxPool" | "AvgPool");
        takes && !program.ops[at].activation
    };
    let Some(value) = program.read(op) else { return false };
    if let Some((first, between)) = before(program, value).filter(|&(first, _)| takes(program, first)) {
        program.ops[first].activation = true;
        take_in(program, first, between, op);
        return true;
    }
    // With a range in front and one behind, the one in front goes.
    let Origin::Ranged { of, .. } = program.values[value].origin else { return false };
    let ranged_behind = program.ops[op].outputs.first().is_some_and(|&output| program.only_range(output).is_some());
    let is_alone = program.only_range(of) == Some(value) && program.only_reader(value) == Some(op);
    let is_transposed =
        |first: OpId| program.ops[first].layer.as_ref().is_some_and(|facts| facts.layer == Layer::Transposed);
    let first = program.producer(of).filter(|&first| takes(program, first) && !is_transposed(first));
    let Some(first) = first else { return false };
    if !ranged_behind || !is_alone || program.values[of].is_output {
        return false;
    }
    program.values[of].ranged.clear();
    program.ops[first].activation = true;
    program.take_over(first, op);
    true
}

/// A number that scales or shifts what a layer reads goes into its weights and bias.
fn scalar_before(program: &mut Program<'_>, op: OpId) -> bool {
    let Some(facts) = &program.ops[op].layer else { return false };
    if facts.layer == Layer::Transposed || !program.is_constant(facts.weights) || facts.factor.is_some() {
        return false;
    }
    let producer = program.read(op).and_then(|input| program.producer(input));
    let Some(before) = producer.filter(|&before| !program.ops[before].activation) else { return false };
    let Some((value, constant)) = with_constant(program, before) else { return false };
    if program.quant(constant).is_some() || !is_scalar(program, constant) {
        return false;
    }
    let number = program.graph.const_float(program.values[constant].tensor).map_or(1.0, f64::from);
    let (kind, node) = (program.ops[before].kind, program.ops[before].node);
    let is_padded = program.graph.attr_str(program.ops[op].node, "padding").is_some_and(|padding| padding != "VALID");
    match kind {
        "Mul" => {
            let divides = matches!(program.graph.op(node), "RealDiv" | "Div");
            if let Some(facts) = program.ops[op].layer.as_mut() {
                facts.factor = Some((if divides { number.recip() } else { number }, node));
            }
        }
        "Add" | "Sub" if !is_padded => {}
        _ => return false,
    }
    program.reread(op, 0, value);
    program.drop_if_unread(before);
    true
}
