//! The method that suits a network: each of several is tried on the samples, and its outputs compared with the float ones.

use serde::Serialize;

use super::options::{Measure, Repairs};
use super::report::{CalibrationReport, MeasuredTensor};
use super::work::Work;
use super::{Fidelity, Method};
use crate::container::Model;
use crate::error::Result;
use crate::graph::{Graph, TensorRef};

/// What a method made of the model's outputs.
#[derive(Debug, Clone, Serialize)]
pub struct TriedMethod {
    /// The method, in words.
    pub method: String,
    /// The SQNR of the output that is furthest from the float one, in decibels; of a Softmax, that of what it reads.
    pub sqnr: f64,
}

/// Tries the methods on a folded model, without repairs. The best comes first; of equals that which was named first.
pub(super) fn tried(work: &Work<'_>, model: &Model, methods: &[Method]) -> Result<Vec<(Method, TriedMethod)>> {
    let sqnr = |method: Method| -> Result<f64> {
        let trial = Work { method, measure: Measure::Fidelity, ..*work };
        let mut report = CalibrationReport::default();
        trial.quantize(&mut model.clone(), Repairs::default(), &mut report)?;
        let outputs = report.measured.iter().filter(|measured| measured.is_output);
        Ok(outputs.map(|output| telling(&model.graph, output, &report.measured).sqnr).fold(f64::INFINITY, f64::min))
    };
    let tried =
        methods.iter().map(|&method| Ok((method, TriedMethod { method: method.in_words(), sqnr: sqnr(method)? })));
    let mut tried = tried.collect::<Result<Vec<_>>>()?;
    tried.sort_by(|(_, a), (_, b)| b.sqnr.total_cmp(&a.sqnr));
    Ok(tried)
}

/// Steps back from an output to what tells how good it is, at most.
const MAX_STEPS: usize = 16;

/// What tells how good an output is. Behind a Softmax few samples count, those it is not sure of: what it reads is better.
fn telling(graph: &Graph, output: &MeasuredTensor, measured: &[MeasuredTensor]) -> Fidelity {
    let handed_on = |tensor: &TensorRef| {
        let passes_on = matches!(graph.op(tensor.node), "Softmax" | "Identity" | "Reshape" | "Squeeze");
        graph.data_input(tensor.node, 0).filter(|_| passes_on)
    };
    let behind = std::iter::successors(graph.find_tensor(&output.tensor), handed_on);
    let name = behind.take(MAX_STEPS).last().map(|tensor| graph.tensor_name(tensor));
    let of_name = measured.iter().find(|measured| Some(&measured.tensor) == name.as_ref());
    of_name.unwrap_or(output).fidelity
}
