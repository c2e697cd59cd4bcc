//! Batch norms that are constant, folded by arithmetic (`--fold-constants`), and what they leave behind dropped, so that
//! the graph is smaller than it was.

use crate::container::{MessageKind, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::freeze::{FreezeOptions, Frozen, freeze};
use crate::graph::{Graph, TensorRef};
use crate::interpreter::Limits;
use crate::options::Target;
use crate::passes::integer::FoldedChain;
use crate::passes::integer::fold::{fold, write_as_biases};
use crate::passes::integer::{
    before_reshape, branches, computed_shapes, early_bias, fused, identities, loops, lower, sums, turns, unread,
};

/// Folds them in a GraphDef whose outputs are given; says what was folded.
///
/// # Errors
/// [`ErrorKind::Container`] for another message; those of evaluating constants.
pub(crate) fn fold_constants(model: &mut Model, outputs: &[TensorRef], limits: &Limits) -> Result<Vec<FoldedChain>> {
    let names = names_of_graph_def(model, outputs)?;
    let chains = fold(&mut model.graph, outputs, limits)?;
    if !chains.is_empty() {
        *model = without_leftovers(model, &names)?;
    }
    Ok(chains)
}

/// The same, and ops written as ones that the target's converter has integer kernels for.
///
/// # Errors
/// Those of [`fold_constants`].
pub(crate) fn prepare(
    model: &mut Model,
    outputs: &[TensorRef],
    target: Target,
    limits: &Limits,
) -> Result<Vec<FoldedChain>> {
    let names = names_of_graph_def(model, outputs)?;
    take_branches_out(model, &names, limits)?;
    let outputs = tensors(&model.graph, &names);
    if target.is_litert()
        && identities::take_out(&mut model.graph, &outputs)?
            + turns::move_transposes(&mut model.graph, &outputs, limits)?
            > 0
    {
        *model = without_leftovers(model, &names)?;
    }
    let graph = &mut model.graph;
    let rewritten = sums::write_as_adds(graph)?
        + fused::unify(graph, limits)?
        + computed_shapes::write_as_constants(graph, limits)?;
    if rewritten > 0 {
        *model = without_leftovers(model, &names)?;
    }
    if target.is_litert() && lower::lower(&mut model.graph)? > 0 {
        *model = without_leftovers(model, &names)?;
    }
    let outputs = tensors(&model.graph, &names);
    if target.is_litert() && unread::write_as_slices(&mut model.graph, &outputs)? > 0 {
        *model = without_leftovers(model, &names)?;
    }
    let chains = fold_constants(model, &tensors(&model.graph, &names), limits)?;
    let outputs = tensors(&model.graph, &names);
    if write_as_biases(&mut model.graph, &outputs, limits)? > 0 {
        *model = without_leftovers(model, &names)?;
    }
    if loops::bring_in_constants(&mut model.graph, limits)? > 0 {
        *model = without_leftovers(model, &names)?;
    }
    let outputs = tensors(&model.graph, &names);
    if early_bias::add_biases_early(&mut model.graph, &outputs)? > 0 {
        *model = without_leftovers(model, &names)?;
    }
    let outputs = tensors(&model.graph, &names);
    if target.is_litert() && before_reshape::compute_before(&mut model.graph, &outputs)? > 0 {
        *model = without_leftovers(model, &names)?;
    }
    Ok(chains)
}

/// Decides what known shapes decide.
fn take_branches_out(model: &mut Model, names: &[String], limits: &Limits) -> Result<()> {
    if !model.graph.ids().any(|node| model.graph.op(node) == "Switch") {
        return Ok(());
    }
    let mut decided = model.graph.clone();
    computed_shapes::write_as_constants(&mut decided, limits)?;
    let outputs = tensors(&decided, names);
    if branches::take_out(&mut decided, &outputs, limits)? > 0 {
        model.graph = decided;
        *model = without_leftovers(model, names)?;
    }
    Ok(())
}

/// The outputs' names in a GraphDef.
///
/// # Errors
/// [`ErrorKind::Container`] for another message.
pub(super) fn names_of_graph_def(model: &Model, outputs: &[TensorRef]) -> Result<Vec<String>> {
    if model.kind != MessageKind::GraphDef {
        let what = format!("constants are folded in a GraphDef, and this is a {}", model.kind.name());
        return Err(Error::new(ErrorKind::Container, what).hint("make one first: tfquant freeze MODEL -o frozen.pb"));
    }
    Ok(outputs.iter().map(|&output| model.graph.tensor_name(output)).collect())
}

fn tensors(graph: &Graph, names: &[String]) -> Vec<TensorRef> {
    names.iter().filter_map(|name| graph.find_tensor(name)).collect()
}

/// The model as it would be written, without what its outputs do not need any more.
///
/// # Errors
/// Those of encoding and of freezing.
pub(crate) fn without_leftovers(model: &Model, outputs: &[String]) -> Result<Model> {
    Ok(frozen_again(model, outputs, false)?.0)
}

/// The same, without what computes nothing if that is asked for; says which dropouts that were.
///
/// # Errors
/// Those of encoding and of freezing.
pub(super) fn frozen_again(model: &Model, outputs: &[String], simplify: bool) -> Result<(Model, Vec<String>)> {
    let options = FreezeOptions { outputs: outputs.to_vec(), simplify, ..FreezeOptions::default() };
    let Frozen { model: mut left, report } = freeze(&model.reread()?, &options)?;
    left.path.clone_from(&model.path);
    left.encoding = model.encoding;
    left.ends = model.ends.moved(&model.graph, &left.graph);
    // What was replaced has its name no more.
    left.ends.outputs = tensors(&left.graph, outputs);
    Ok((left, report.dropouts))
}
