//! Gaussian error linear units, in the forms that TensorFlow's converter makes its integer op of.
//!
//! # What it does
//! A product of `x`, a half and `1 + erf(x / √2)`, or `erfc(-x / √2)`, becomes `(x · 0.5) · (1 + erf(x · 0.7071))`; one with
//! `1 + tanh(0.7979 · (x + 0.0447 · x³))` becomes that, as `tf.nn.gelu` writes it. The end keeps its name.
//!
//! # When it applies
//! However the three are multiplied: as Keras 2 and 3, BERT and GPT-2 write it. 2.15 does not know `erfc`, 2.21 knows it in
//! one order; neither knows the order of BERT.
//!
//! # What it leaves alone
//! Chains of which something else is read inside.

use super::super::parts::{END, Parts};
use super::numbers::{beside, is_about, scaling};
use crate::error::Result;
use crate::graph::op_class::canonical_op;
use crate::graph::{Graph, NodeId, TensorRef, only};
use crate::proto::tensorflow::DataType;

const ROOT_OF_HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// `√(2 / π)`.
const STEEPNESS: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;
/// More factors one behind the other there are not in any form.
const MOST_FACTORS: usize = 4;

/// One of them.
#[derive(Debug)]
struct Gelu {
    end: NodeId,
    x: TensorRef,
    /// Erf, Erfc or Tanh.
    curve: NodeId,
    /// The nodes between `x` and the end.
    inside: Vec<NodeId>,
    /// Whether the converter knows it as it is.
    is_plain: bool,
}

/// The inner nodes of the one that an Erf, Erfc or Tanh is part of.
pub(super) fn inside(graph: &Graph, curve: NodeId) -> Vec<NodeId> {
    find(graph, curve).map(|gelu| gelu.inside).unwrap_or_default()
}

fn find(graph: &Graph, curve: NodeId) -> Option<Gelu> {
    let mut inside = vec![curve];
    let read = graph.data_input(curve, 0)?;
    let x = match graph.op(curve) {
        "Erf" => scaled(graph, read, ROOT_OF_HALF, &mut inside)?,
        "Erfc" => scaled(graph, read, -ROOT_OF_HALF, &mut inside)?,
        "Tanh" => {
            let sum = scaled(graph, read, STEEPNESS, &mut inside)?;
            with_cube(graph, sum, &mut inside)?
        }
        _ => return None,
    };
    let mut factor = curve;
    if graph.op(curve) != "Erfc" {
        factor = only(graph.consumers(curve))?;
        (beside(graph, factor, "Add", 1.0)? == curve.into()).then_some(())?;
        inside.push(factor);
    }
    let (end, is_half_first) = product(graph, factor, x, &mut inside)?;
    inside.sort_unstable();
    inside.dedup();
    let is_read_inside = |&node: &NodeId| graph.consumers(node).all(|reader| reader == end || inside.contains(&reader));
    let is_closed = inside.iter().all(is_read_inside);
    let has_pow = inside.iter().any(|&node| graph.op(node) == "Pow");
    let is_plain = is_half_first
        && match graph.op(curve) {
            "Erf" => inside.len() == 4,
            "Tanh" => has_pow && inside.len() == 7,
            _ => false,
        };
    is_closed.then_some(Gelu { end, x, curve, inside, is_plain })
}

/// What is scaled by that much, in one step or several.
fn scaled(graph: &Graph, mut tensor: TensorRef, wanted: f32, inside: &mut Vec<NodeId>) -> Option<TensorRef> {
    let mut all = 1.0;
    for _ in 0..MOST_FACTORS {
        let (read, by) = scaling(graph, tensor.node)?;
        inside.push(tensor.node);
        all *= by;
        tensor = read;
        if is_about(all, wanted) {
            return Some(tensor);
        }
    }
    None
}

/// The `x` of `x + 0.0447 · x³`.
fn with_cube(graph: &Graph, sum: TensorRef, inside: &mut Vec<NodeId>) -> Option<TensorRef> {
    let inputs: Vec<TensorRef> = graph.data_inputs(sum.node).collect();
    let &[a, b] = &inputs[..] else { return None };
    (canonical_op(graph.op(sum.node)) == "Add").then_some(())?;
    [(a, b), (b, a)].into_iter().find_map(|(x, cubic)| {
        let mut within = vec![sum.node];
        let (mut rest, mut all) = (cubic, 1.0);
        // `(0.0447 · x) · x · x`, or `0.0447 · x³`.
        let mut times_x = 0;
        for _ in 0..MOST_FACTORS {
            let node = rest.node;
            let factors: Vec<TensorRef> = graph.data_inputs(node).collect();
            let is_product = graph.op(node) == "Mul";
            if let Some((read, by)) = scaling(graph, node) {
                (rest, all) = (read, all * by);
            } else if is_product && factors == [x, x] {
                (rest, times_x) = (x, times_x + 1);
            } else if is_product && factors.contains(&x) {
                rest = if factors[0] == x { factors[1] } else { factors[0] };
                times_x += 1;
            } else if beside(graph, node, "Pow", 3.0) == Some(x) {
                (rest, times_x) = (x, 2);
            } else {
                return None;
            }
            within.push(node);
            if rest == x {
                break;
            }
        }
        let is_cube = rest == x && times_x == 2 && is_about(all, CUBIC);
        is_cube.then(|| {
            inside.append(&mut within);
            x
        })
    })
}

/// The end of the product of `x`, a half and a factor; and whether it is `(x · 0.5) · factor`.
fn product(graph: &Graph, factor: NodeId, x: TensorRef, inside: &mut Vec<NodeId>) -> Option<(NodeId, bool)> {
    let other = |node: NodeId, known: NodeId| {
        let (a, b) = (graph.data_input(node, 0)?, graph.data_input(node, 1)?);
        if a == known.into() { Some((b, false)) } else { (b == known.into()).then_some((a, true)) }
    };
    let is_product = |node: NodeId| graph.op(node) == "Mul";
    let first = only(graph.consumers(factor)).filter(|&node| is_product(node))?;
    let (beside_it, is_first) = other(first, factor)?;
    let halves = |node: NodeId, of: TensorRef| {
        beside(graph, node, "Mul", 0.5).or_else(|| beside(graph, node, "RealDiv", 2.0)) == Some(of)
    };
    if halves(beside_it.node, x) {
        inside.push(beside_it.node);
        return Some((first, is_first && is_product(beside_it.node)));
    }
    let second = only(graph.consumers(first))?;
    inside.push(first);
    let is_end = if beside_it == x {
        halves(second, first.into())
    } else {
        halves(first, factor.into()) && is_product(second) && other(second, first)?.0 == x
    };
    is_end.then_some((second, false))
}

/// Writes all of them so that the converter knows them; says how many had another form.
///
/// # Errors
/// Those of inserting nodes.
pub(super) fn unify(graph: &mut Graph) -> Result<usize> {
    let curves: Vec<NodeId> = graph.ids().filter(|&node| matches!(graph.op(node), "Erf" | "Erfc" | "Tanh")).collect();
    let mut unified = 0;
    for curve in curves {
        let of_another_form = find(graph, curve).filter(|gelu| {
            let is_float = graph.tensor_type(gelu.end.into()) == Some(DataType::DtFloat);
            !gelu.is_plain && is_float && graph.control_inputs(gelu.end).next().is_none()
        });
        if let Some(gelu) = of_another_form {
            write(graph, &gelu)?;
            unified += 1;
        }
    }
    Ok(unified)
}

fn write(graph: &mut Graph, gelu: &Gelu) -> Result<()> {
    let x = gelu.x;
    let is_tanh = graph.op(gelu.curve) == "Tanh";
    let mut parts = Parts::in_place_of(graph, gelu.end, None)?;
    let half = parts.with("half", "Mul", x, 0.5)?;
    let curve = if is_tanh {
        let cube = parts.with("cube", "Pow", x, 3.0)?;
        let cubic = parts.with("cubic", "Mul", cube, CUBIC)?;
        let sum = parts.binary("sum", "AddV2", x, cubic)?;
        let scaled = parts.with("scaled", "Mul", sum, STEEPNESS)?;
        parts.unary("curve", "Tanh", scaled)?
    } else {
        let scaled = parts.with("scaled", "Mul", x, ROOT_OF_HALF)?;
        parts.unary("curve", "Erf", scaled)?
    };
    let factor = parts.with("factor", "AddV2", curve, 1.0)?;
    let last = parts.binary(END, "Mul", half, factor)?;
    parts.end_with(last);
    Ok(())
}
