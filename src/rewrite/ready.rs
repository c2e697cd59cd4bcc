//! What is done to a frozen model first, so that a converter to integers reads it: `calibrate` and `rewrite --target` begin
//! with it, [`super::fold_constants::prepare`] goes on.

use super::fold_constants::{frozen_again, names_of_graph_def, without_leftovers};
use super::warnings::batch_fixed;
use crate::container::Model;
use crate::document::Warning;
use crate::error::Result;
use crate::freeze::dropouts_dropped;
use crate::graph::op_class::draws_numbers;
use crate::graph::{NodeId, TensorRef};
use crate::interpreter::Limits;
use crate::passes::integer::lists::fix_batch;
use crate::passes::integer::unroll::known::begin_with_zeros;
use crate::passes::integer::unroll::{Loops, Unrolled, unroll};
use crate::passes::integer::{half, indices};
use crate::proto::tensorflow::DataType;

/// Takes out what computes nothing, dropouts and control edges; says which dropouts there were.
///
/// # Errors
/// Those of encoding and of freezing.
pub(crate) fn simplify(model: &mut Model, outputs: &[TensorRef]) -> Result<Option<Warning>> {
    let graph = &model.graph;
    let is_to_go = |node: NodeId| draws_numbers(graph.op(node)) || graph.control_inputs(node).next().is_some();
    if !graph.ids().any(is_to_go) {
        return Ok(None);
    }
    let names = names_of_graph_def(model, outputs)?;
    let (left, dropouts) = frozen_again(model, &names, true)?;
    *model = left;
    Ok(dropouts_dropped(&dropouts))
}

/// Makes floats of 16 bits ones of 32; says so, if there were any.
///
/// # Errors
/// [`crate::ErrorKind::Container`] for another message; those of the pass.
pub(crate) fn widen_halves(model: &mut Model, outputs: &[TensorRef], limits: &Limits) -> Result<Option<Warning>> {
    let names = names_of_graph_def(model, outputs)?;
    let widened = half::widen(&mut model.graph, outputs, limits)?;
    if widened == 0 {
        return Ok(None);
    }
    *model = without_leftovers(model, &names)?;
    Ok(Some(Warning::new("widened", format!("{widened} nodes of 16-bit floats compute with 32 bits now"))))
}

/// Lets inputs of floats that are only cast to integers take those; says which nodes, and of what type.
///
/// # Errors
/// [`crate::ErrorKind::Container`] for another message; those of dropping the casts.
pub(crate) fn take_integers(model: &mut Model, outputs: &[TensorRef]) -> Result<Vec<(String, DataType)>> {
    let names = names_of_graph_def(model, outputs)?;
    let taken = indices::take_integers(&mut model.graph, outputs)?;
    let taken: Vec<(String, DataType)> =
        taken.into_iter().map(|(input, integers)| (model.graph.name(input).to_owned(), integers)).collect();
    if !taken.is_empty() {
        *model = without_leftovers(model, &names)?;
    }
    Ok(taken)
}

/// What was done to loops.
#[derive(Debug)]
pub(crate) struct LoopsDone {
    /// The inputs whose batch was fixed at one.
    pub fixed: Vec<String>,
    /// How many loops were written out.
    pub unrolled: usize,
    /// That loops have too many steps for that, if any has.
    pub too_long: Option<Warning>,
    /// What is told of it.
    pub warnings: Vec<Warning>,
}

/// Writes loops of known length out step by step, with a batch of one where it takes that, and makes first steps simple.
///
/// # Errors
/// [`crate::ErrorKind::Container`] for another message; those of the passes.
pub(crate) fn write_loops_out(
    model: &mut Model,
    outputs: &[TensorRef],
    most_steps: Option<usize>,
    limits: &Limits,
) -> Result<LoopsDone> {
    let names = names_of_graph_def(model, outputs)?;
    let inputs = fix_batch(&mut model.graph, limits)?;
    let mut warnings: Vec<Warning> = batch_fixed(&model.graph, &inputs).into_iter().collect();
    let fixed = inputs.iter().map(|&input| model.graph.name(input).to_owned()).collect();
    let Loops { unrolled, too_long } = unroll(&mut model.graph, most_steps, limits)?;
    let simplified = begin_with_zeros(&mut model.graph, limits)?;
    if !unrolled.is_empty() || simplified > 0 {
        *model = without_leftovers(model, &names)?;
    }
    warnings.extend(unrolled.iter().map(|Unrolled { name, steps }| {
        Warning::new("unrolled", format!("the loop '{name}' is written out in its {steps} steps"))
    }));
    let too_long = too_long.first().map(|first| {
        let message = format!(
            "{} loops have more steps than are written out, '{first}' first: what they carry stays in floats; --unroll STEPS \
             writes longer ones out",
            too_long.len()
        );
        Warning::new("loop_too_long", message)
    });
    Ok(LoopsDone { fixed, unrolled: unrolled.len(), too_long, warnings })
}
