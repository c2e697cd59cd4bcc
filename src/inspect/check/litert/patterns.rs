//! Arithmetic that the converter knows as one op.

use super::program::{OpId, Origin, Program, ValueId};
use crate::passes::integer::fused::is_along_last_axis;
use crate::passes::integer::kernels::MOST_DIMENSIONS;

/// What 2.21 alone knows: a GELU of erfc.
pub(super) const GELU_BY_ERFC: &str = "GeluByErfc";

/// Makes the op the end of a pattern, if it is that.
pub(super) fn find(program: &mut Program<'_>, end: OpId) {
    if program.ops[end].activation {
        return;
    }
    let found = match program.ops[end].kind {
        "Mul" => hard_swish(program, end)
            .map(|x| ("HardSwish", x))
            .or_else(|| gelu(program, end).map(|x| ("Gelu", x)))
            .or_else(|| gelu_by_erfc(program, end).map(|x| (GELU_BY_ERFC, x)))
            .or_else(|| l2_normalization(program, end).map(|x| ("L2Normalization", x))),
        "RealDiv" => l2_normalization(program, end).map(|x| ("L2Normalization", x)),
        "Square" => {
            let difference = program.ops[end].inputs.first().and_then(|&read| inside(program, read, "Sub", false));
            let rank = program.shape(program.ops[end].node.into()).map_or(0, |dims| dims.len());
            let is_one = |&difference: &OpId| !program.ops[difference].activation && rank <= MOST_DIMENSIONS;
            if let Some(difference) = difference.filter(is_one) {
                let inputs = program.ops[difference].inputs.clone();
                become_one(program, end, "SquaredDifference", inputs);
            }
            return;
        }
        "Add" => {
            if let Some((x, factor)) = prelu(program, end) {
                become_one(program, end, "Prelu", vec![x, factor]);
            }
            return;
        }
        _ => None,
    };
    if let Some((kind, x)) = found {
        become_one(program, end, kind, vec![x]);
    }
}

/// The op reads other tensors now; what nothing reads any more is no op.
fn become_one(program: &mut Program<'_>, end: OpId, kind: &'static str, inputs: Vec<ValueId>) {
    let mut left: Vec<ValueId> = std::mem::take(&mut program.ops[end].inputs);
    for (slot, &input) in inputs.iter().enumerate() {
        program.values[input].readers.push((end, slot));
    }
    program.ops[end].kind = kind;
    program.ops[end].inputs = inputs;
    while let Some(mut value) = left.pop() {
        // A fake quantizer inside goes along.
        while let Origin::Ranged { of, .. } = program.values[value].origin {
            if !program.is_unread(value) {
                break;
            }
            program.values[of].ranged.retain(|&ranged| ranged != value);
            value = of;
        }
        let Some(op) = program.producer(value).filter(|&op| program.ops[op].alive) else { continue };
        program.drop_if_unread(op);
        if !program.ops[op].alive {
            left.extend(program.ops[op].inputs.iter().copied());
        }
    }
}

/// What an op of that kind reads, which makes the value for one reader, as it is or behind a fake quantizer.
fn inside(program: &Program<'_>, value: ValueId, kind: &str, ranged: bool) -> Option<OpId> {
    let made = match program.values[value].origin {
        Origin::Ranged { of, .. } if ranged => {
            program.only_reader(value)?;
            program.only_range(of)?;
            of
        }
        _ if !ranged => {
            program.only_reader(value)?;
            value
        }
        _ => return None,
    };
    program.producer(made).filter(|&op| program.ops[op].kind == kind && program.ops[op].alive)
}

/// What stands beside that number.
fn beside(program: &Program<'_>, op: OpId, is_number: impl Fn(f32) -> bool) -> Option<ValueId> {
    let [left, right] = program.ops[op].inputs[..] else { return None };
    let is = |value: ValueId| {
        program.plain(value) == Some(value)
            && program.graph.const_float(program.values[value].tensor).is_some_and(&is_number)
    };
    if is(right) { Some(left) } else { is(left).then_some(right) }
}

/// What a product with a sixth multiplies.
#[allow(clippy::float_cmp)] // the number stands in the graph as it is
fn sixth_of(program: &Program<'_>, op: OpId) -> Option<ValueId> {
    let divides = matches!(program.graph.op(program.ops[op].node), "RealDiv" | "Div");
    let is_sixth = |number: f32| if divides { number == 6.0 } else { (number - 1.0 / 6.0).abs() < 1e-7 };
    beside(program, op, is_sixth)
}

/// `x · relu6(x + 3) · (1/6)`, multiplied in either order.
#[allow(clippy::float_cmp)] // the number stands in the graph as it is
fn hard_swish(program: &Program<'_>, end: OpId) -> Option<ValueId> {
    let gate_of = |gate: OpId| {
        let is_relu6 = program.ops[gate].activation;
        beside(program, gate, |number| number == 3.0).filter(|_| is_relu6)
    };
    let product_of = |product: OpId, ranged: bool| {
        let [left, right] = program.ops[product].inputs[..] else { return None };
        [(left, right), (right, left)].into_iter().find_map(|(x, gate)| {
            let gate = inside(program, gate, "Add", ranged)?;
            (gate_of(gate)? == x).then_some(x)
        })
    };
    if let Some(product) = sixth_of(program, end) {
        return [false, true].into_iter().find_map(|ranged| {
            let product = inside(program, product, "Mul", ranged)?;
            (!program.ops[product].activation).then(|| product_of(product, ranged))?
        });
    }
    let [left, right] = program.ops[end].inputs[..] else { return None };
    [(left, right), (right, left)].into_iter().find_map(|(x, part)| {
        let part = inside(program, part, "Mul", false)?;
        let gate = inside(program, sixth_of(program, part)?, "Add", false)?;
        (gate_of(gate)? == x).then_some(x)
    })
}

/// `0.5 · x · (1 + erf(x / √2))`, or `0.5 · x · (1 + tanh(√(2/π) · (x + 0.0447 · x³)))`.
#[allow(clippy::float_cmp)] // the number stands in the graph as it is
fn gelu(program: &Program<'_>, end: OpId) -> Option<ValueId> {
    let [left, right] = program.ops[end].inputs[..] else { return None };
    [(left, right), (right, left)].into_iter().find_map(|(half, sum)| {
        let x = beside(program, inside(program, half, "Mul", false)?, |number| number == 0.5)?;
        let curve = beside(program, inside(program, sum, "Add", false)?, |number| number == 1.0)?;
        let of = |kind: &str| inside(program, curve, kind, false);
        let scaled = *program.ops[of("Erf").or_else(|| of("Tanh"))?].inputs.first()?;
        let scaled = inside(program, scaled, "Mul", false)?;
        let is_one = if of("Erf").is_some() {
            program.ops[scaled].inputs.contains(&x)
        } else {
            scales_cubic_sum(program, scaled, x).is_some()
        };
        is_one.then_some(x)
    })
}

/// `√(2/π) · (x + 0.0447 · x³)`.
#[allow(clippy::float_cmp)] // the number stands in the graph as it is
fn scales_cubic_sum(program: &Program<'_>, scaled: OpId, x: ValueId) -> Option<()> {
    let sum = inside(program, beside(program, scaled, |number| (number - 0.797_884_6).abs() < 1e-5)?, "Add", false)?;
    let [a, b] = program.ops[sum].inputs[..] else { return None };
    let cubic = if a == x { b } else { (b == x).then_some(a)? };
    let cubic = inside(program, cubic, "Mul", false)?;
    let cube = inside(program, beside(program, cubic, |number| (number - 0.044_715).abs() < 1e-6)?, "Pow", false)?;
    (beside(program, cube, |number| number == 3.0)? == x).then_some(())
}

/// `0.5 · x · erfc(-x / √2)`.
#[allow(clippy::float_cmp)] // the number stands in the graph as it is
fn gelu_by_erfc(program: &Program<'_>, end: OpId) -> Option<ValueId> {
    let [half, erfc] = program.ops[end].inputs[..] else { return None };
    let x = beside(program, inside(program, half, "Mul", false)?, |number| number == 0.5)?;
    let erfc = inside(program, erfc, "Erfc", false)?;
    let scaled = inside(program, *program.ops[erfc].inputs.first()?, "Mul", false)?;
    let negated = beside(program, scaled, |number| (number - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-5)?;
    let negated = inside(program, negated, "Neg", false)?;
    (program.ops[negated].inputs == [x]).then_some(x)
}

/// `x · rsqrt(max(sum(x²), ε))` or `x / sqrt(max(sum(x²), ε))`, also with a sum or without ε, along the last axis.
fn l2_normalization(program: &Program<'_>, end: OpId) -> Option<ValueId> {
    let [left, right] = program.ops[end].inputs[..] else { return None };
    let divides = program.ops[end].kind == "RealDiv";
    let orders = if divides { vec![(left, right)] } else { vec![(left, right), (right, left)] };
    orders.into_iter().find_map(|(x, root)| {
        let root = inside(program, root, if divides { "Sqrt" } else { "Rsqrt" }, false)?;
        let bounded = *program.ops[root].inputs.first()?;
        let bound = inside(program, bounded, "Maximum", false).or_else(|| inside(program, bounded, "Add", false));
        let sum = match bound {
            Some(bound) => beside(program, bound, |number| number.abs() < 1e-3)?,
            None => bounded,
        };
        let sum = inside(program, sum, "Sum", false)?;
        let square = inside(program, *program.ops[sum].inputs.first()?, "Square", false)?;
        (program.ops[square].inputs == [x]
            && is_along_last_axis(program.graph, program.ops[sum].node, &mut program.shapes.borrow_mut()))
        .then_some(x)
    })
}

/// `relu(x) + c · relu(-x)`, the constant with an axis for each of x but the batch's.
fn prelu(program: &Program<'_>, end: OpId) -> Option<(ValueId, ValueId)> {
    let [left, right] = program.ops[end].inputs[..] else { return None };
    [(left, right), (right, left)].into_iter().find_map(|(above, below)| {
        let above = inside(program, above, "Relu", false)?;
        let x = *program.ops[above].inputs.first()?;
        let product = inside(program, below, "Mul", false)?;
        let [a, b] = program.ops[product].inputs[..] else { return None };
        let (factor, side) = if program.is_constant(a) { (a, b) } else { (b, a) };
        let side = inside(program, side, "Relu", false)?;
        let negated = inside(program, *program.ops[side].inputs.first()?, "Neg", false)?;
        let rank = |value: ValueId| program.shape(program.values[value].tensor).map(|dims| dims.len());
        let fits = rank(x)? == rank(program.plain(factor)?)? + 1 && program.ops[negated].inputs == [x];
        fits.then_some((x, factor))
    })
}
