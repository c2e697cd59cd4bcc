//! A frozen model made ready for its converter before it is run: floats of 32 bits, one sample a run, no loops.

use super::CalibrateOptions;
use super::feed::{Feeds, Fitted};
use super::work::tensors;
use crate::container::Model;
use crate::document::Warning;
use crate::error::Result;
use crate::freeze::report::{Endpoint, FreezeReport};
use crate::graph::Graph;
use crate::graph::tensor::{Shape, data_type_name};
use crate::interpreter::Limits;
use crate::passes::integer::computed_shapes::write_as_constants;
use crate::passes::integer::half::is_half;
use crate::passes::integer::lists::give_shape;
use crate::proto::tensorflow::DataType;
use crate::rewrite::{self, LoopsDone, integers_taken, widen_halves};

/// Makes floats of 16 bits ones of 32; says so.
///
/// # Errors
/// Those of the pass.
pub(super) fn widen(model: &mut Model, frozen: &mut FreezeReport, limits: &Limits) -> Result<Option<Warning>> {
    let outputs = tensors(&model.graph, &frozen.outputs);
    let widened = widen_halves(model, &outputs, limits)?;
    for end in frozen.inputs.iter_mut().chain(&mut frozen.outputs).filter(|end| is_half(end.data_type)) {
        end.data_type = DataType::DtFloat as i32;
        end.dtype = data_type_name(end.data_type);
    }
    Ok(widened)
}

/// Lets inputs of floats that are only cast to integers take those; says which tensors, and of which nodes that was done.
///
/// # Errors
/// Those of the pass.
pub(super) fn take_integers(model: &mut Model, frozen: &mut FreezeReport) -> Result<(Vec<String>, Option<Warning>)> {
    let outputs = tensors(&model.graph, &frozen.outputs);
    let taken = rewrite::take_integers(model, &outputs)?;
    let mut tensors = Vec::new();
    for input in &mut frozen.inputs {
        if let Some(&(_, integers)) = taken.iter().find(|(name, _)| name == input.node()) {
            input.data_type = integers as i32;
            input.dtype = data_type_name(input.data_type);
            tensors.push(input.tensor.clone());
        }
    }
    Ok((tensors, integers_taken(&taken)))
}

/// Leaves inputs out of which only the known shape is asked for, as steps' discounts in policies: they are not read then.
///
/// # Errors
/// Those of the pass.
pub(super) fn leave_shapes_out(model: &mut Model, frozen: &mut FreezeReport, limits: &Limits) -> Result<()> {
    if frozen.inputs.len() < 2 {
        return Ok(());
    }
    let mut known = model.clone();
    write_as_constants(&mut known.graph, limits)?;
    let outputs: Vec<String> = frozen.outputs.iter().map(|output| output.tensor.clone()).collect();
    let left = rewrite::without_leftovers(&known, &outputs)?;
    let is_read = |input: &Endpoint| left.graph.find(input.node()).is_some();
    if frozen.inputs.iter().all(is_read) || !frozen.inputs.iter().any(is_read) {
        return Ok(());
    }
    let (inputs, unread): (Vec<Endpoint>, Vec<Endpoint>) = frozen.inputs.drain(..).partition(is_read);
    frozen.unread.extend(unread.into_iter().map(|input| input.key));
    frozen.inputs = inputs;
    *model = left;
    Ok(())
}

/// Writes loops out step by step. Where one stays, and inputs are of open length, they get the length of the samples, if
/// that makes it a known one.
///
/// # Errors
/// Those of the samples and of the passes.
pub(super) fn write_loops_out(
    model: &mut Model,
    frozen: &mut FreezeReport,
    samples: &Feeds<'_>,
    options: &CalibrateOptions,
) -> Result<Vec<Warning>> {
    give_ranks(&mut model.graph, &mut frozen.inputs, samples)?;
    let LoopsDone { mut warnings, mut too_long, .. } = written_out(model, frozen, options)?;
    if !model.graph.ids().any(|node| model.graph.op(node) == "LoopCond") {
        return Ok(warnings);
    }
    let (mut long, mut told) = (model.clone(), frozen.clone());
    let mut fixed = Vec::new();
    for (input, of_samples) in told.inputs.iter_mut().zip(&samples.inputs) {
        fixed.extend(fix_length(&mut long.graph, input, of_samples)?);
    }
    if !fixed.is_empty() {
        let done = written_out(&mut long, &mut told, options)?;
        too_long = done.too_long.or(too_long);
        if done.unrolled > 0 {
            (*model, *frozen) = (long, told);
            let message = format!(
                "loops go round as often as samples are long: the converter is told that all are as long as these, with {}",
                fixed.join(", ")
            );
            warnings.push(Warning::new("length_fixed", message));
            warnings.extend(done.warnings);
        }
    }
    warnings.extend(too_long);
    Ok(warnings)
}

/// The same for loops of known length; ends whose batch was fixed say so.
fn written_out(model: &mut Model, frozen: &mut FreezeReport, options: &CalibrateOptions) -> Result<LoopsDone> {
    let outputs = tensors(&model.graph, &frozen.outputs);
    let done = rewrite::write_loops_out(model, &outputs, options.unroll, &options.limits)?;
    for input in &mut frozen.inputs {
        let is_fixed = done.fixed.iter().any(|name| name == input.node());
        if let Shape(Some(dims)) = &mut input.shape
            && let Some(first) = dims.first_mut().filter(|_| is_fixed)
        {
            *first = 1;
        }
    }
    Ok(done)
}

/// Gives inputs of which nothing is known the rank of their samples: the converter takes them for single numbers.
fn give_ranks(graph: &mut Graph, inputs: &mut [Endpoint], samples: &Feeds<'_>) -> Result<()> {
    for (input, of_samples) in inputs.iter_mut().zip(&samples.inputs).filter(|(input, _)| input.shape.0.is_none()) {
        fix_length(graph, input, of_samples)?;
    }
    Ok(())
}

/// Gives the open dimensions of an input, but the batch, the sizes that they have in the samples; says which it has then.
fn fix_length(graph: &mut Graph, input: &mut Endpoint, samples: &Fitted<'_>) -> Result<Option<String>> {
    let Some(node) = graph.find_tensor(&input.tensor).map(|tensor| tensor.node) else { return Ok(None) };
    let sample = samples.samples.sample(0)?;
    let sizes = sample.dims().iter().map(|&size| i64::try_from(size).unwrap_or(-1));
    let dims: Vec<i64> = match &input.shape.0 {
        None => std::iter::once(-1).chain(sizes.skip(1)).collect(),
        Some(dims) if dims.len() == sample.dims().len() && dims.iter().skip(1).any(|&dim| dim < 0) => {
            let known = |(place, (&dim, size)): (usize, (&i64, i64))| if place > 0 && dim < 0 { size } else { dim };
            dims.iter().zip(sizes).enumerate().map(known).collect()
        }
        Some(_) => return Ok(None),
    };
    if !give_shape(graph, node, &dims) {
        return Ok(None);
    }
    input.shape = Shape(Some(dims));
    Ok(Some(format!("'{}' {}", input.key, input.shape)))
}
