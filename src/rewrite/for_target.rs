//! A frozen graph rewritten for a converter to integers: what `calibrate` does, with ranges that are given.

use hashbrown::HashMap;

use super::{integers_taken, left_in_float, prepare, simplify, take_integers, widen_halves, write_loops_out};
use crate::container::Model;
use crate::document::{SCHEMA_VERSION, TOOL, Warning};
use crate::error::{ErrorKind, Result};
use crate::graph::op_class::is_variable;
use crate::graph::{Graph, TensorRef, verify};
use crate::interpreter::Limits;
use crate::options::{ConstantRanges, Generation, Quantize, RewriteOptions, Target, TopologyOnly};
use crate::passes::constant_ranges::{Wanted, check_names, float_inputs, given};
use crate::passes::decisions::{InsertedFakeQuant, Layer, Role};
use crate::passes::integer::place::{self, place};
use crate::passes::integer::points::points;
use crate::passes::integer::weights::{self, WeightRules, WeightsDone};
use crate::passes::integer::{ActivationRange, Range};
use crate::report::{ChosenRules, Report, Summary};

/// What is asked for: how to quantize, which ranges there are, and the converter.
type Asked<'o> = (&'o Quantize, &'o ConstantRanges, Target);

/// Whether a converter says where ranges go.
pub(super) fn asked(options: &RewriteOptions) -> Option<Asked<'_>> {
    let quantize = options.quantize.as_ref()?;
    let chosen = quantize.constant_ranges.as_ref()?;
    Some((quantize, chosen, chosen.target?))
}

/// Puts ranges where the converter wants them.
///
/// # Errors
/// [`ErrorKind::Refused`] for a graph with variables; [`ErrorKind::Options`] that lists the tensors without a range, and
/// if the converter cannot do what is asked; those of the passes.
pub(super) fn run(
    model: &mut Model,
    options: &RewriteOptions,
    (quantize, chosen, target): Asked<'_>,
) -> Result<Report> {
    target.check(chosen.weights, quantize.weight_bits)?;
    check_is_frozen(&model.graph)?;
    let limits = limits(model);
    let outputs = model.outputs();
    let mut warnings: Vec<Warning> = simplify(model, &outputs)?.into_iter().collect();
    let outputs = model.outputs();
    warnings.extend(widen_halves(model, &outputs, &limits)?);
    if target.is_litert() {
        let outputs = model.outputs();
        warnings.extend(integers_taken(&take_integers(model, &outputs)?));
        let outputs = model.outputs();
        let done = write_loops_out(model, &outputs, chosen.unroll, &limits)?;
        warnings.extend(done.warnings.into_iter().chain(done.too_long));
    }
    let outputs = model.outputs();
    let folded = prepare(model, &outputs, target, &limits)?;
    let (fed, inputs, outputs) = (placeholders(&model.graph), float_inputs(&model.graph), model.outputs());
    let graph = &mut model.graph;
    let ranged_inputs = if chosen.quantize_inputs { &inputs[..] } else { &[] };
    let mut points = points(graph, ranged_inputs, &fed, &outputs)?;
    let selection = &options.common.selection;
    points.tensors.retain(|(tensor, _)| inputs.contains(tensor) || selection.contains(graph.name(tensor.node)));
    let tensors = || points.tensors.iter().map(|&(tensor, _)| tensor);
    let wanted = tensors().map(|tensor| Wanted::to_be_inserted(graph, tensor, inputs.contains(&tensor)));
    let given = given(graph, &wanted.collect::<Vec<_>>(), chosen)?;
    let given: HashMap<TensorRef, Range> = tensors().zip(given).collect();
    warnings.extend(left_in_float(graph, &points));
    let of = |tensor| given.get(&tensor).copied();
    let activations = place(graph, &points, &outputs, &of, &limits)?;
    let rules = WeightRules { target: Some(target), how: chosen.weights, bits: quantize.weight_bits };
    let weights = weights::quantize(graph, rules, &|name| selection.contains(name), &limits)?;
    check_names(graph, chosen)?;
    verify::check_acyclic(graph)?;
    let (layers, adds) = (layers(graph, &weights, quantize.weight_bits), activations_told(graph, &activations));
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        tool: TOOL.to_owned(),
        command: "rewrite".to_owned(),
        options: options.in_force(Generation::Topology(&TopologyOnly::default())),
        rules: ChosenRules { chosen: "topology", reason: format!("where {} wants ranges", target.name()) },
        folded_constants: folded.len(),
        summary: Summary::of(&layers, &adds),
        ops_added: graph.ops_inserted().into_iter().map(|(op, count)| (op.to_owned(), count)).collect(),
        warnings,
        layers,
        adds,
        ..Report::default()
    })
}

/// What constants may take together: more than a file of that size asks for, unless it means harm.
fn limits(model: &Model) -> Limits {
    const AT_LEAST: usize = 256 << 20;
    const FOR_EACH_BYTE: usize = 64;
    let limits = Limits::default();
    let most = model.bytes().len().saturating_mul(FOR_EACH_BYTE).saturating_add(AT_LEAST);
    Limits { memory: limits.memory.min(most), ..limits }
}

fn placeholders(graph: &Graph) -> Vec<TensorRef> {
    graph.ids().filter(|&node| graph.op(node) == "Placeholder").map(TensorRef::from).collect()
}

fn check_is_frozen(graph: &Graph) -> Result<()> {
    match graph.ids().find(|&node| is_variable(graph.op(node))) {
        Some(variable) => Err(graph
            .error(ErrorKind::Refused, "weights that are not constant have no constant range", variable)
            .hint("make the variables constants first: tfquant freeze")),
        None => Ok(()),
    }
}

/// An entry for each layer whose weights were quantized.
fn layers(graph: &Graph, weights: &WeightsDone, bits: u8) -> Vec<Layer> {
    let left = weights.left.iter().filter_map(|name| graph.find(name)).map(|node| Layer {
        detail: Some("the converter quantizes its weights".to_owned()),
        ..Layer::new(graph, node)
    });
    let quantized = weights.quantized.iter().filter_map(|told| {
        let quant = fake_quant(graph, &told.node, Role::Weights, bits)?;
        Some(Layer { fake_quants: vec![quant], ..Layer::new(graph, graph.find(&told.layer)?) })
    });
    quantized.chain(left).collect()
}

/// An entry for each activation that has a range.
fn activations_told(graph: &Graph, activations: &[ActivationRange]) -> Vec<Layer> {
    let told = activations.iter().filter_map(|range| {
        let quant = fake_quant(graph, &range.node, Role::Activation, place::BITS)?;
        let node = graph.find_tensor(&quant.tensor)?.node;
        Some(Layer { fake_quants: vec![quant], ..Layer::new(graph, node) })
    });
    told.collect()
}

fn fake_quant(graph: &Graph, name: &str, role: Role, bits: u8) -> Option<InsertedFakeQuant> {
    let node = graph.find(name)?;
    let input = |slot| graph.data_input(node, slot);
    let end = |slot| input(slot).map(|end: TensorRef| graph.name(end.node).to_owned());
    Some(InsertedFakeQuant {
        node: name.to_owned(),
        role,
        tensor: graph.tensor_name(input(0)?),
        bits,
        narrow_range: graph.attr_bool(node, "narrow_range").unwrap_or(false),
        range: [end(1)?, end(2)?],
        consumers: graph.consumers(node).map(|reader| graph.name(reader).to_owned()).collect(),
    })
}
