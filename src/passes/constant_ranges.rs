//! Fills in the ranges of fake quantizers that were inserted with constants for variables (`--ranges const`).
//!
//! # What it does
//! Computes weights that depend on constants alone, in one go, and gives their fake quantizers the ranges that the weights
//! have; gives those of activations the ranges that the user gave. Float inputs of the graph get a fake quantizer of their
//! own where that is asked for, which all their readers read.
//!
//! # What it leaves alone
//! Nothing: a range that is not to be had is an error, which lists all of them.

use hashbrown::HashMap;

use super::decisions::{BatchNorm, Role};
use super::insertion::OpenRange;
use super::integer::constants::{Constants, evaluate};
use super::integer::insert::quantize;
use super::integer::{Range, weights};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::attr::{Attrs, Tensor};
use crate::graph::{Graph, NodeId, TensorRef, nearest};
use crate::interpreter::Limits;
use crate::nodes::fake_quant::ConstantRange;
use crate::options::ConstantRanges;
use crate::proto::tensorflow::DataType;

/// What inputs are quantized with.
const INPUT_BITS: u8 = 8;

/// A message names no more tensors than this.
const MAX_NAMES: usize = 40;

/// Fills them all in.
///
/// # Errors
/// [`ErrorKind::Refused`] if weights are not constant; [`ErrorKind::Options`] that lists the activations without a range.
pub(crate) fn fill(
    graph: &mut Graph,
    open: &[OpenRange],
    chosen: &ConstantRanges,
    batch_norms: &[BatchNorm],
) -> Result<()> {
    let constants = Constants::of(graph, &graph.run_order());
    let (of_weights, of_activations): (Vec<&OpenRange>, Vec<&OpenRange>) =
        open.iter().partition(|open| open.role == Role::Weights);
    if let Some(variable) = of_weights.iter().find(|open| !constants.contain(open.input.node)) {
        return Err(graph
            .error(ErrorKind::Refused, "weights that are not constant have no constant range", variable.input.node)
            .hint("make the variables constants first: tfquant freeze"));
    }
    let values = evaluate(graph, of_weights.iter().map(|open| open.input), &Limits::default())?;
    for open in of_weights {
        let Some(value) = values.get(&open.input) else { continue };
        let layer = open.layer.unwrap_or(super::integer::network::Layer::Convolution);
        let per_channel = open.constant != ConstantRange::Whole;
        let ranges = weights::ranges(value, layer, chosen.weights, per_channel);
        set(graph, open, &ranges)?;
    }
    let mut missing = Vec::new();
    let folded: HashMap<&str, &str> =
        batch_norms.iter().filter_map(|norm| Some((norm.folded.as_deref()?, norm.node.as_str()))).collect();
    for open in of_activations {
        let (node, tensor) = (graph.name(open.fake_quant), graph.tensor_name(open.input));
        let bits = graph.attr_int(open.fake_quant, "num_bits").unwrap_or(INPUT_BITS.into());
        // What took the place of a batch norm's output holds the same values.
        let norm = folded.get(graph.name(open.input.node)).copied().unwrap_or_default();
        let [fused, of_single_ops] = [":0", "/add_1:0"].map(|output| format!("{norm}{output}"));
        match given(chosen, &[node, &tensor, &fused, &of_single_ops], bits)?.or(chosen.default) {
            Some([min, max]) => set(graph, open, &[Range { min, max }])?,
            None => missing.push(tensor),
        }
    }
    if chosen.quantize_inputs {
        for input in inputs(graph) {
            let tensor = graph.tensor_name(input);
            match given(chosen, &[&tensor], INPUT_BITS.into())?.or(chosen.input_range) {
                Some([min, max]) => drop(quantize(graph, input, Range { min, max }, INPUT_BITS, false)?),
                None => missing.push(tensor),
            }
        }
    }
    check_names(graph, chosen)?;
    if missing.is_empty() { Ok(()) } else { Err(without_range(&missing)) }
}

/// The range that was given for one of these names.
///
/// # Errors
/// [`ErrorKind::Options`] if it was made for other bits.
fn given(chosen: &ConstantRanges, names: &[&str], bits: i64) -> Result<Option<[f32; 2]>> {
    let Some(given) = chosen.given.find(names) else { return Ok(None) };
    match given.bits {
        Some(other) if other != bits => {
            let name = given.names.last().map_or("", String::as_str);
            let what = format!("{}: a range of {other} bits for '{name}', which gets {bits}", given.place);
            Err(Error::new(ErrorKind::Options, what)
                .hint("ask for as many with --activation-bits, or find the range for these bits"))
        }
        _ => Ok(Some(given.ends)),
    }
}

/// Checks that there is something of the name in the graph, for each range that says so.
fn check_names(graph: &Graph, chosen: &ConstantRanges) -> Result<()> {
    let is_known = |name: &String| graph.find(name).is_some() || graph.find_tensor(name).is_some();
    let mut unknown = chosen.given.iter().filter(|given| given.must_fit && !given.names.iter().any(is_known));
    let Some(given) = unknown.next() else { return Ok(()) };
    let name = given.names.last().map_or("", String::as_str);
    let error = Error::new(ErrorKind::Options, format!("{}: the graph has no '{name}'", given.place));
    Err(match nearest(name, graph.ids().map(|node| graph.name(node))) {
        Some(near) => error.hint(format!("the nearest name is '{near}'")),
        None => error,
    })
}

fn without_range(missing: &[String]) -> Error {
    let mut names: Vec<&str> = missing.iter().take(MAX_NAMES).map(String::as_str).collect();
    let more = format!("{} more", missing.len().saturating_sub(MAX_NAMES));
    if missing.len() > MAX_NAMES {
        names.push(&more);
    }
    let what = format!("{} tensors have no range: {}", missing.len(), names.join(", "));
    Error::new(ErrorKind::Options, what).hint(
        "find ranges out with 'tfquant calibrate', give them with --ranges-file (and --input-range), or go on with \
         --default-range MIN,MAX",
    )
}

/// The float placeholders that anyone reads.
fn inputs(graph: &Graph) -> Vec<TensorRef> {
    let is_input = |node: &NodeId| {
        graph.op(*node) == "Placeholder"
            && graph.attr_type(*node, "dtype") == Some(DataType::DtFloat as i32)
            && graph.consumers(*node).next().is_some()
    };
    graph.ids().filter(is_input).map(TensorRef::from).collect()
}

fn set(graph: &mut Graph, open: &OpenRange, ranges: &[Range]) -> Result<()> {
    let ends: [fn(&Range) -> f32; 2] = [|range| range.min, |range| range.max];
    for (constant, end) in open.ends.into_iter().zip(ends) {
        let numbers: Vec<f32> = ranges.iter().map(end).collect();
        let value = match (open.constant, &numbers[..]) {
            (ConstantRange::Whole, &[number, ..]) => Tensor::Float(number),
            _ => Tensor::Floats(&numbers),
        };
        let mut attrs = Attrs::default();
        attrs.data_type("dtype", DataType::DtFloat).tensor("value", &value);
        graph.set_inserted_attrs(constant, attrs.as_bytes())?;
    }
    Ok(())
}
