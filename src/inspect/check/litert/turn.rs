//! Transposes that the converter moves behind what works on each element, so that this becomes a part of what is before them.

use super::converter::Converter;
use super::program::{OpId, Program, ValueId};

/// Moves all that are moved.
pub(super) fn turn(program: &mut Program<'_>, converter: Converter) {
    for op in 0..program.ops.len() {
        if !program.ops[op].alive {
            continue;
        }
        match program.ops[op].inputs[..] {
            [_] if matches!(program.ops[op].kind, "Relu" | "Relu6" | "Tanh" | "Sigmoid" | "Exp") => one(program, op),
            [left, right] if is_arithmetic(program.ops[op].kind) => {
                if let (Some(first), Some(second)) = (turned(program, left), turned(program, right)) {
                    if program.ops[op].kind == "Add" || is_newest(program, converter) {
                        both(program, op, [first, second]);
                    }
                } else if turned_and_constant(program, op).is_some() && is_newest(program, converter) {
                    with_constant(program, op);
                }
            }
            _ => {}
        }
    }
}

fn is_arithmetic(kind: &str) -> bool {
    matches!(kind, "Add" | "Sub" | "Mul" | "RealDiv" | "Maximum" | "Minimum")
}

/// Takes note that it matters which version it is.
fn is_newest(program: &mut Program<'_>, converter: Converter) -> bool {
    program.is_of_one_version = true;
    converter == Converter::Newest
}

/// The Transpose that makes a value for one reader alone.
fn turned(program: &Program<'_>, value: ValueId) -> Option<OpId> {
    program.only_reader(value)?;
    program.producer(value).filter(|&op| program.ops[op].kind == "Transpose" && program.ops[op].alive)
}

fn order(program: &Program<'_>, transpose: OpId) -> Option<Vec<i64>> {
    let order = program.graph.data_input(program.ops[transpose].node, 1)?;
    program.graph.const_ints(order)
}

fn one(program: &mut Program<'_>, op: OpId) {
    let transpose = program.read(op).and_then(|value| turned(program, value));
    let Some((transpose, value)) = transpose.and_then(|at| Some((at, program.read(at)?))) else { return };
    swap(program, transpose, op, vec![value]);
}

/// The Transpose that is one operand, the other operand, which is constant, and its slot.
fn turned_and_constant(program: &Program<'_>, op: OpId) -> Option<(OpId, ValueId, usize)> {
    let slot = program.ops[op].inputs.iter().position(|&input| program.is_constant(input))?;
    let (constant, other) = (program.ops[op].inputs[slot], program.ops[op].inputs[1 - slot]);
    let transpose = turned(program, other)?;
    let shape = |value: ValueId| program.shape(program.values[value].tensor);
    let (dims, of_result) = (shape(constant)?, shape(other)?);
    // It must not be what makes the result larger.
    let fits = dims.iter().zip(&of_result).all(|(dim, of_result)| *dim == Some(1) || dim == of_result);
    (program.plain(constant) == Some(constant) && (dims.is_empty() || dims.len() == of_result.len() && fits))
        .then_some((transpose, constant, slot))
}

fn with_constant(program: &mut Program<'_>, op: OpId) {
    let Some((transpose, constant, slot)) = turned_and_constant(program, op) else { return };
    let (Some(order), Some(value)) = (order(program, transpose), program.read(transpose)) else { return };
    if let Some(dims) = program.shape(program.values[constant].tensor) {
        let last = i64::try_from(order.len()).unwrap_or(0) - 1;
        let is_vector = dims.iter().zip(&order).all(|(&dim, &from)| dim == Some(1) || from == last);
        program.turned.insert(constant, is_vector);
    }
    let mut inputs = vec![value, constant];
    if slot == 0 {
        inputs.reverse();
    }
    swap(program, transpose, op, inputs);
}

fn both(program: &mut Program<'_>, op: OpId, transposes: [OpId; 2]) {
    let [first, second] = transposes;
    let orders = transposes.map(|transpose| order(program, transpose));
    if orders[0].is_none() || orders[0] != orders[1] || first == second {
        return;
    }
    let inputs = transposes.map(|transpose| program.read(transpose));
    let [Some(left), Some(right)] = inputs else { return };
    program.ops[first.min(second)].alive = false;
    swap(program, first.max(second), op, vec![left, right]);
}

/// Lets the op come first, and read these; its results are still what the Transpose makes of them.
fn swap(program: &mut Program<'_>, transpose: OpId, op: OpId, inputs: Vec<ValueId>) {
    let Some(&between) = program.ops[transpose].outputs.first() else { return };
    let like = inputs.iter().copied().find(|&input| !program.is_constant(input)).unwrap_or(between);
    program.values[between].tensor = program.values[like].tensor;
    let (node, kind) = (program.ops[op].node, program.ops[op].kind);
    (program.ops[op].node, program.ops[op].kind) = (program.ops[transpose].node, program.ops[transpose].kind);
    (program.ops[transpose].node, program.ops[transpose].kind) = (node, kind);
    read_instead(program, transpose, inputs);
    read_instead(program, op, vec![between]);
}

/// Lets an op read these alone.
fn read_instead(program: &mut Program<'_>, op: OpId, inputs: Vec<ValueId>) {
    for (slot, &input) in inputs.iter().enumerate() {
        if program.ops[op].inputs.get(slot) != Some(&input) {
            program.values[input].readers.push((op, slot));
        }
    }
    program.ops[op].inputs = inputs;
}
