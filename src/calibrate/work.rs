//! A folded float model quantized: repaired where that is asked for, run on samples, given its fake quantizers, corrected
//! and measured.

use hashbrown::HashMap;

use super::correct::{Setup, correct_biases};
use super::feed::Feeds;
use super::measured::{MeasuredTensor, Point, measured};
use super::options::{CalibrateOptions, Measure, Repairs};
use super::report::CalibrationReport;
use super::{Extremes, Histogram, Method, Options, Runs, Statistics, collect};
use crate::container::Model;
use crate::error::Result;
use crate::freeze::report::{Endpoint, FreezeReport};
use crate::graph::{Graph, TensorRef};
use crate::interpreter::{Limits, Plan};
use crate::passes::integer::bias::give_biases;
use crate::passes::integer::constants::evaluate;
use crate::passes::integer::equalize::equalize;
use crate::passes::integer::place::place;
use crate::passes::integer::points::{Points, points};
use crate::passes::integer::weights::{self, WeightRules};
use crate::passes::integer::{ActivationRange, QuantizedWeights, Range};
use crate::proto::tensorflow::DataType;
use crate::rewrite::{left_in_float, without_leftovers};

/// What quantizing a folded model takes.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub samples: &'a Feeds<'a>,
    pub frozen: &'a FreezeReport,
    pub options: &'a CalibrateOptions,
    /// How ranges are made.
    pub method: Method,
    /// What is measured.
    pub measure: Measure,
    pub done: &'a (dyn Fn(usize, usize) -> bool + Sync),
}

/// What was seen of a float model while it ran on the samples.
pub(super) struct Seen {
    inputs: Vec<TensorRef>,
    outputs: Vec<TensorRef>,
    points: Points,
    statistics: HashMap<TensorRef, Statistics>,
    /// The same without the samples that methods are tried on, if some were left apart for that.
    without: Option<HashMap<TensorRef, Statistics>>,
    /// Which tensor is clipped by which behind it.
    clips: HashMap<TensorRef, TensorRef>,
}

impl Work<'_> {
    /// Quantizes the model, with these repairs; what is done and measured goes into the report. The histograms of what fake
    /// quantizers read, by their names, come back, if they were to be made. What was `seen` of the model need not be seen
    /// again, if there are no repairs.
    pub(super) fn quantize(
        &self,
        model: &mut Model,
        repairs: Repairs,
        seen: Option<Seen>,
        report: &mut CalibrationReport,
    ) -> Result<Vec<(String, Histogram)>> {
        let Self { samples, frozen, options, method, measure, done } = *self;
        let mut clips = HashMap::new();
        if repairs.equalize {
            clips = equalized(model, frozen, &options.limits, report)?;
        }
        if repairs.correct_bias {
            let outputs = tensors(&model.graph, &frozen.outputs);
            give_biases(&mut model.graph, &outputs)?;
        }
        let is_measured = measure > Measure::Nothing;
        let float = (is_measured || repairs.correct_bias).then(|| model.graph.clone());
        let mut seen = match seen.filter(|_| repairs == Repairs::default()) {
            Some(seen) => seen,
            None => self.see(&model.graph, clips, method.needs_histogram(), 0)?,
        };
        report.warnings.extend(left_in_float(&model.graph, &seen.points));
        let (ranges, placed) = self.give_ranges(&mut model.graph, &seen, &seen.statistics, method)?;
        report.ranges = ranges;
        let how = WeightRules { target: Some(options.target), how: options.weights, bits: options.weight_bits };
        let weights = weights::quantize(&mut model.graph, how, &|_| true, &options.limits)?;
        (report.quantized_weights, report.weights_left_to_converter) = (weights.quantized, weights.left);

        let (threads, limits) = (options.threads, &options.limits);
        let setup = Setup { feeds: samples, inputs: &seen.inputs, outputs: &seen.outputs, threads, limits };
        if let Some(float) = float.as_ref().filter(|_| repairs.correct_bias) {
            report.corrected_biases = correct_biases(float, &mut model.graph, &setup)?;
        }
        if let Some(float) = float.filter(|_| is_measured) {
            let ends = tensors(&model.graph, &frozen.outputs);
            let graphs = [&float, &model.graph];
            report.measured =
                measured(graphs, &placed, [&seen.outputs, &ends], &setup, &|ran| done(ran, samples.runs))?;
        }
        let of_activations = placed
            .into_iter()
            .filter_map(|point| Some((point.node, seen.statistics.remove(&point.tensor)?.histogram?)));
        let mut histograms: Vec<(String, Histogram)> = of_activations.collect();
        if measure == Measure::Histograms {
            histograms.extend(of_weights(&model.graph, report, &options.limits)?);
        }
        if report.corrected_biases.iter().any(|bias| bias.largest.is_some()) {
            let names: Vec<String> = frozen.outputs.iter().map(|output| output.tensor.clone()).collect();
            *model = without_leftovers(model, &names)?;
        }
        Ok(histograms)
    }

    /// Runs a float model on the samples; so many of them are looked at `apart`.
    pub(super) fn see(
        &self,
        graph: &Graph,
        clips: HashMap<TensorRef, TensorRef>,
        histograms: bool,
        apart: usize,
    ) -> Result<Seen> {
        let (inputs, outputs) = (tensors(graph, &self.frozen.inputs), tensors(graph, &self.frozen.outputs));
        let is_float = |input: &TensorRef| graph.tensor_type(*input) == Some(DataType::DtFloat);
        let float_inputs: Vec<TensorRef> = inputs.iter().copied().filter(is_float).collect();
        let points = points(graph, &float_inputs, &inputs, &outputs)?;
        // The range of what is clipped behind, one number a channel, is that of what comes out of it.
        let behind = |tensor: TensorRef| clips.get(&tensor).copied().unwrap_or(tensor);
        let watched: Vec<TensorRef> = points.tensors.iter().map(|&(tensor, _)| behind(tensor)).collect();
        let plan = Plan::new(graph, &inputs, &outputs, &self.options.limits)?;
        let how =
            Options { threads: self.options.threads, histograms: histograms || self.measure == Measure::Histograms };
        let [most, others] = self.samples.parted(apart);
        let run = |samples: &[usize], before: usize| {
            let runs = Runs { inputs: &inputs, samples, sample: &|index| self.samples.run(index) };
            collect(graph, &plan, &watched, &runs, how, &|ran| (self.done)(before + ran, self.samples.runs))
        };
        let by_tensor = |seen: Vec<Statistics>| {
            let mut statistics: HashMap<TensorRef, Statistics> = watched.iter().copied().zip(seen).collect();
            for (&tensor, behind) in &clips {
                if let Some(of_tensor) = statistics.remove(behind) {
                    statistics.insert(tensor, of_tensor);
                }
            }
            statistics
        };
        let mut seen = run(&most, 0)?;
        let mut without = None;
        if !others.is_empty() {
            without = Some(by_tensor(seen.clone()));
            seen.iter_mut().zip(&run(&others, most.len())?).for_each(|(seen, further)| seen.extend(further));
        }
        let statistics = by_tensor(seen);
        Ok(Seen { inputs, outputs, points, statistics, without, clips })
    }

    /// Gives the activations of a float model fake quantizers, by these statistics; says which, and where they are.
    fn give_ranges(
        &self,
        graph: &mut Graph,
        seen: &Seen,
        statistics: &HashMap<TensorRef, Statistics>,
        method: Method,
    ) -> Result<(Vec<ActivationRange>, Vec<Point>)> {
        let Seen { outputs, points, clips, .. } = seen;
        let range_of = |tensor| statistics.get(&tensor).and_then(|statistics| method.range(statistics));
        let all = points.tensors.iter().chain(&points.constants);
        let by_name: HashMap<String, TensorRef> = all.map(|&(tensor, _)| (graph.tensor_name(tensor), tensor)).collect();
        let ranges = place(graph, points, outputs, &range_of, &self.options.limits)?;
        let point = |range: &ActivationRange| {
            let &tensor = by_name.get(&range.tensor)?;
            let (node, behind) = (range.node.clone(), clips.get(&tensor).copied());
            Some(Point { tensor, node, range: Range { min: range.min, max: range.max }, behind })
        };
        let placed = ranges.iter().filter_map(point).collect();
        Ok((ranges, placed))
    }

    /// How near the outputs of a float model, and the tensors `near`, are to their own when its activations have ranges by
    /// that method; the weights are the float ones, and ranges are not made of samples that were left apart.
    pub(super) fn try_method(
        &self,
        model: &Model,
        seen: &Seen,
        method: Method,
        near: &[TensorRef],
        samples: &Feeds<'_>,
    ) -> Result<Vec<MeasuredTensor>> {
        let mut graph = model.graph.clone();
        let statistics = seen.without.as_ref().unwrap_or(&seen.statistics);
        let (_, mut placed) = self.give_ranges(&mut graph, seen, statistics, method)?;
        placed.retain(|point| near.contains(&point.tensor));
        let ends = tensors(&graph, &self.frozen.outputs);
        let (threads, limits) = (self.options.threads, &self.options.limits);
        let setup = Setup { feeds: samples, inputs: &seen.inputs, outputs: &seen.outputs, threads, limits };
        measured([&model.graph, &graph], &placed, [&seen.outputs, &ends], &setup, &|ran| (self.done)(ran, samples.runs))
    }
}

/// The histograms of quantized weights.
fn of_weights(graph: &Graph, report: &CalibrationReport, limits: &Limits) -> Result<Vec<(String, Histogram)>> {
    let read = |quantized: &QuantizedWeights| graph.data_input(graph.find(&quantized.node)?, 0);
    let tensors: Vec<Option<TensorRef>> = report.quantized_weights.iter().map(read).collect();
    let values = evaluate(graph, tensors.iter().copied().flatten(), limits)?;
    let histogram = |(quantized, tensor): (&QuantizedWeights, Option<TensorRef>)| {
        let values = values.get(&tensor?)?.values::<f32>()?;
        let Extremes { min, max } = Extremes::of(values).filter(|extremes| !extremes.is_none())?;
        let mut histogram = Histogram::default();
        histogram.add(values, [min, max]);
        Some((quantized.node.clone(), histogram))
    };
    Ok(report.quantized_weights.iter().zip(tensors).filter_map(histogram).collect())
}

/// Equalizes the model's layers; says which tensor is clipped by which behind it.
fn equalized(
    model: &mut Model,
    frozen: &FreezeReport,
    limits: &Limits,
    report: &mut CalibrationReport,
) -> Result<HashMap<TensorRef, TensorRef>> {
    let outputs = tensors(&model.graph, &frozen.outputs);
    report.equalized = equalize(&mut model.graph, &outputs, limits)?;
    if report.equalized.iter().all(|pair| pair.next.is_none()) {
        return Ok(HashMap::new());
    }
    let names: Vec<String> = outputs.iter().map(|&output| model.graph.tensor_name(output)).collect();
    *model = without_leftovers(model, &names)?;
    let clips = report.equalized.iter().filter_map(|pair| pair.clip.as_ref());
    let find = |name: &String| model.graph.find(name).map(TensorRef::from);
    Ok(clips.filter_map(|[tensor, behind]| find(tensor).zip(find(behind))).collect())
}

pub(super) fn tensors(graph: &Graph, ends: &[Endpoint]) -> Vec<TensorRef> {
    ends.iter().filter_map(|end| graph.find_tensor(&end.tensor)).collect()
}
