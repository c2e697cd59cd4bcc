//! The method that suits a network: each of several is tried on some of the samples, half of which ranges are not made of,
//! and the outputs compared with the float ones. Only activations are quantized meanwhile: what weights lose is the same
//! whatever the method, and they need no copy.

use serde::Serialize;

use super::Method;
use super::feed::Feeds;
use super::work::{Seen, Work, tensors};
use crate::container::Model;
use crate::error::Result;
use crate::graph::{Graph, TensorRef};

/// What a method made of the model's outputs.
#[derive(Debug, Clone, Serialize)]
pub struct TriedMethod {
    /// The method, in words.
    pub method: String,
    /// The SQNR of the output that is furthest from the float one, in decibels; of a Softmax or Sigmoid, that of what it
    /// reads. Weights are still the float ones. It is the mean of two: on samples that ranges are made of, and on others.
    pub sqnr: f64,
}

/// On so many samples at most a method is tried that ranges are made of, and on as many that they are not made of.
const MOST_SAMPLES: usize = 16;

/// A part of so many samples is left apart, so that ranges prove themselves on others too.
const PART: usize = 4;

/// How many of so many samples ranges are not made of while methods are tried; of few samples, none.
pub(super) fn left_apart(samples: usize) -> usize {
    (samples / PART).min(MOST_SAMPLES)
}

/// So many decibels a method has to be better than the extremes: it cuts values off, and others than these samples have more.
const MARGIN: f64 = 0.25;

/// Tries the methods on a folded model of which this was seen, its weights as they are. The best comes first.
pub(super) fn tried(
    work: &Work<'_>,
    model: &Model,
    seen: &Seen,
    methods: &[Method],
) -> Result<Vec<(Method, TriedMethod)>> {
    let runs = work.samples.runs;
    let parts = match left_apart(runs) {
        0 => vec![work.samples.spread(runs.min(MOST_SAMPLES), false)],
        apart => [false, true].map(|between| work.samples.spread(apart, between)).into(),
    };
    let outputs = tensors(&model.graph, &work.frozen.outputs);
    let telling: Vec<TensorRef> = outputs.iter().map(|&output| telling(&model.graph, output)).collect();
    let [names, telling_names] = [&outputs, &telling]
        .map(|tensors| tensors.iter().map(|&tensor| model.graph.tensor_name(tensor)).collect::<Vec<_>>());
    let on = |samples: &Feeds<'_>, method: Method| -> Result<f64> {
        let measured = work.try_method(model, seen, method, &telling, samples)?;
        let of = |name: &String| measured.iter().find(|measured| measured.tensor == *name);
        let outputs = names.iter().zip(&telling_names).filter_map(|(name, telling)| of(telling).or_else(|| of(name)));
        Ok(outputs.map(|output| output.fidelity.sqnr).fold(f64::INFINITY, f64::min))
    };
    let sqnr = |method: Method| -> Result<f64> {
        let all = parts.iter().map(|samples| on(samples, method)).collect::<Result<Vec<_>>>()?;
        Ok(all.iter().sum::<f64>() / all.len() as f64)
    };
    let tried =
        methods.iter().map(|&method| Ok((method, TriedMethod { method: method.in_words(), sqnr: sqnr(method)? })));
    let mut tried = tried.collect::<Result<Vec<_>>>()?;
    let rank = |(method, tried): &(Method, TriedMethod)| {
        if *method == Method::MinMax { tried.sqnr + MARGIN } else { tried.sqnr }
    };
    tried.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
    Ok(tried)
}

/// Steps back from an output to what tells how good it is, at most.
const MAX_STEPS: usize = 16;

/// What tells how good an output is. Behind a Softmax or Sigmoid few numbers count, those it is not sure of: what it reads is
/// better.
fn telling(graph: &Graph, output: TensorRef) -> TensorRef {
    let handed_on = |tensor: &TensorRef| {
        let passes_on = matches!(graph.op(tensor.node), "Softmax" | "Sigmoid" | "Identity" | "Reshape" | "Squeeze");
        graph.data_input(tensor.node, 0).filter(|_| passes_on)
    };
    std::iter::successors(Some(output), handed_on).take(MAX_STEPS).last().unwrap_or(output)
}
