//! Fills in the ranges of fake quantizers that were inserted with constants for variables (`--ranges const`).
//!
//! # What it does
//! Computes weights that depend on constants alone, in one go, and gives their fake quantizers the ranges that the weights
//! have; gives those of activations the ranges that the user gave. Float inputs of the graph get a fake quantizer of their
//! own where that is asked for, which all their readers read.
//!
//! # What it leaves alone
//! Nothing: a range that is not to be had is an error, which lists all of them.

use hashbrown::{HashMap, HashSet};

use super::decisions::{BatchNorm, Role};
use super::insertion::OpenRange;
use super::integer::constants::{Constants, evaluate_as_stored};
use super::integer::insert::{quantize, quantizer_name};
use super::integer::network::Layer;
use super::integer::place::BITS;
use super::integer::{Range, weights};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::attr::{Attrs, Tensor};
use crate::graph::{Graph, NodeId, TensorRef, nearest};
use crate::interpreter::Limits;
use crate::nodes::fake_quant::ConstantRange;
use crate::options::ConstantRanges;
use crate::proto::tensorflow::DataType;

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
    let values = evaluate_as_stored(graph, of_weights.iter().map(|open| open.input), &Limits::default())?;
    for open in of_weights {
        let Some(value) = values.get(&open.input) else { continue };
        let layer = match open.constant {
            ConstantRange::Depthwise(_) => Layer::Depthwise,
            ConstantRange::PerChannel | ConstantRange::Whole => Layer::Convolution,
        };
        let per_channel = open.constant != ConstantRange::Whole;
        let ranges = weights::ranges(value, layer, chosen.weights, per_channel);
        set(graph, open, &ranges)?;
    }
    let inputs = if chosen.quantize_inputs { float_inputs(graph) } else { Vec::new() };
    let folded: HashMap<&str, &str> =
        batch_norms.iter().filter_map(|norm| Some((norm.folded.as_deref()?, norm.node.as_str()))).collect();
    let wanted: Vec<Wanted> = of_activations
        .iter()
        .map(|open| {
            // What took the place of a batch norm's output holds the same values.
            let norm = folded.get(graph.name(open.input.node)).copied();
            let own = [graph.name(open.fake_quant).to_owned(), graph.tensor_name(open.input)];
            let of_norm = norm.into_iter().flat_map(|norm| [":0", "/add_1:0"].map(|output| format!("{norm}{output}")));
            Wanted {
                tensor: open.input,
                names: own.into_iter().chain(of_norm).collect(),
                bits: graph.attr_int(open.fake_quant, "num_bits").unwrap_or(BITS.into()),
                is_input: false,
            }
        })
        .chain(inputs.iter().map(|&input| Wanted::to_be_inserted(graph, input, true)))
        .collect();
    let mut given = given(graph, &wanted, chosen)?.into_iter();
    for (open, range) in of_activations.into_iter().zip(&mut given) {
        set(graph, open, &[range])?;
    }
    for (input, range) in inputs.into_iter().zip(given) {
        quantize(graph, input, range, BITS, false, None)?;
    }
    check_names(graph, chosen)
}

/// A tensor that a range is wanted for.
pub(crate) struct Wanted {
    pub tensor: TensorRef,
    /// What a range for it may be given to: its fake quantizer, or what that will be called, and the tensor.
    pub names: Vec<String>,
    pub bits: i64,
    pub is_input: bool,
}

impl Wanted {
    pub(crate) fn to_be_inserted(graph: &Graph, tensor: TensorRef, is_input: bool) -> Self {
        Self {
            tensor,
            names: vec![quantizer_name(graph, tensor), graph.tensor_name(tensor)],
            bits: BITS.into(),
            is_input,
        }
    }
}

/// The ranges that were given for them.
///
/// # Errors
/// [`ErrorKind::Options`] that lists the tensors without one.
pub(crate) fn given(graph: &Graph, wanted: &[Wanted], chosen: &ConstantRanges) -> Result<Vec<Range>> {
    let mut missing = Vec::new();
    let mut ranges = Vec::new();
    for Wanted { tensor, names, bits, is_input } in wanted {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let default = if *is_input { chosen.input_range } else { chosen.default };
        match given_for(chosen, &names, *bits)?.or(default) {
            Some([min, max]) => ranges.push(Range { min, max }),
            None => missing.push(graph.tensor_name(*tensor)),
        }
    }
    if missing.is_empty() {
        return Ok(ranges);
    }
    // One that is missing may have been given under a mistyped name.
    check_names_and(graph, wanted.iter().flat_map(|wanted| &wanted.names), chosen)?;
    Err(without_range(&missing))
}

/// The range that was given for one of these names.
///
/// # Errors
/// [`ErrorKind::Options`] if it was made for other bits.
fn given_for(chosen: &ConstantRanges, names: &[&str], bits: i64) -> Result<Option<[f32; 2]>> {
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
///
/// # Errors
/// [`ErrorKind::Options`] with the first that there is not.
pub(crate) fn check_names(graph: &Graph, chosen: &ConstantRanges) -> Result<()> {
    check_names_and(graph, [], chosen)
}

/// The same in a graph that will have nodes of these names too.
fn check_names_and<'n>(
    graph: &Graph,
    coming: impl IntoIterator<Item = &'n String>,
    chosen: &ConstantRanges,
) -> Result<()> {
    let coming: HashSet<&String> = coming.into_iter().collect();
    let is_known =
        |name: &String| coming.contains(name) || graph.find(name).is_some() || graph.find_tensor(name).is_some();
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
pub(crate) fn float_inputs(graph: &Graph) -> Vec<TensorRef> {
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
