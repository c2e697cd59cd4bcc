//! A page about a calibrated model: each range with the values that fall into it, and layers by how near they are to the
//! float model's.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::data::{Mark, Nodes, PageData, Status, Values, quants};
use crate::calibrate::compare::in_words;
use crate::calibrate::report::{CalibrationReport, MeasuredTensor};
use crate::calibrate::{Fidelity, Histogram};
use crate::graph::Graph;
use crate::graph::op_class::is_fake_quant;

/// What is at least so many decibels near is good, or fair.
const GOOD: f64 = 30.0;
const FAIR: f64 = 20.0;

impl<'a> PageData<'a> {
    /// A page about a calibration: the quantized graph.
    #[must_use]
    pub fn of_calibration(graph: &'a Graph, report: &CalibrationReport, histograms: &[(String, Histogram)]) -> Self {
        let mut nodes = Nodes::of(graph);
        let measured: HashMap<&str, &MeasuredTensor> =
            report.measured.iter().filter_map(|measured| Some((measured.node.as_deref()?, measured))).collect();
        let histograms: HashMap<&str, &Histogram> =
            histograms.iter().map(|(node, histogram)| (node.as_str(), histogram)).collect();
        let mut quants = quants(graph, &BTreeMap::new());
        // The graph may have been read again since they were put in.
        for quantizer in graph.ids().filter(|&node| is_fake_quant(graph.op(node))) {
            let ends = graph.data_inputs(quantizer).skip(1).map(|end| end.node);
            ends.chain([quantizer]).for_each(|node| nodes.list[node.index()].status = Status::Added);
        }
        let places: HashMap<usize, usize> =
            quants.iter().enumerate().map(|(place, (node, _))| (*node, place)).collect();
        let activations = report.ranges.iter().map(|range| (&range.node, [range.min, range.max]));
        let weights = report.quantized_weights.iter().map(|weights| (&weights.node, [weights.min, weights.max]));
        for (node, range) in activations.chain(weights) {
            let place = graph.find(node).and_then(|node| places.get(&node.index()));
            let (Some(&place), Some(histogram)) = (place, histograms.get(node.as_str())) else { continue };
            let clipped = measured.get(node.as_str()).and_then(|measured| measured.fidelity.clipped).unwrap_or(0.0);
            quants[place].1.values = Some(values(histogram, range, clipped));
        }
        Self {
            subtitle: subtitle(report),
            facts: facts(report),
            marks: report.measured.iter().flat_map(|measured| marks(graph, measured)).collect(),
            quants,
            ..Self::of_graph(graph, nodes, &report.input, &report.warnings)
        }
    }
}

/// The marks of a tensor's op and of the layer that is computed with it.
fn marks(graph: &Graph, measured: &MeasuredTensor) -> Vec<(usize, Mark)> {
    let Fidelity { sqnr, clipped, .. } = measured.fidelity;
    let clipped = clipped.unwrap_or(0.0);
    let kind = if sqnr >= GOOD {
        "good"
    } else if sqnr >= FAIR {
        "fair"
    } else {
        "poor"
    };
    let node = measured.tensor.split(':').next().unwrap_or_default();
    let layer = measured.layer.as_deref().filter(|&layer| layer != node);
    let places = [Some((node, layer.is_none() && measured.layer.is_some())), layer.map(|layer| (layer, true))];
    let mark = |(name, is_layer): (&str, bool)| {
        let mark = Mark {
            kind,
            code: format!("{sqnr:.1} dB"),
            why: format!("{} {}", measured.tensor, in_words(&measured.fidelity)),
            detail: (clipped > 0.0).then(|| format!("{} of its values lie outside of the range", percent(clipped))),
            steps: Vec::new(),
            layer: is_layer,
            sqnr: Some(sqnr),
        };
        Some((graph.find(name)?.index(), mark))
    };
    places.into_iter().flatten().filter_map(mark).collect()
}

fn percent(part: f64) -> String {
    format!("{:.3} %", 100.0 * part)
}

/// The histogram, from the lowest value to the highest, in few enough bins to be drawn.
fn values(histogram: &Histogram, range: [f32; 2], clipped: f64) -> Values {
    const MOST_BINS: usize = 64;
    let counts = histogram.counts();
    let zero = counts.len() / 2;
    let used = |bin: &usize| counts[*bin] > 0 || *bin == zero;
    let first = (0..counts.len()).find(used).unwrap_or(zero);
    let last = (0..counts.len()).rfind(used).unwrap_or(zero);
    let width = (last + 1 - first).div_ceil(MOST_BINS);
    let bins = (last + 1 - first).div_ceil(width);
    let mut drawn = vec![0u64; bins];
    for bin in first..=last {
        drawn[(bin - first) / width] += counts[bin] + if bin == zero { histogram.zeros() } else { 0 };
    }
    Values { span: [histogram.edge(first), histogram.edge(first + bins * width)], counts: drawn, range, clipped }
}

fn subtitle(report: &CalibrationReport) -> String {
    let outputs = report.measured.iter().filter(|measured| measured.is_output);
    let worst = outputs.min_by(|a, b| a.fidelity.sqnr.total_cmp(&b.fidelity.sqnr));
    let how_near = worst.map(|worst| format!(", the output {}", in_words(&worst.fidelity))).unwrap_or_default();
    format!("{} activations and {} weights have ranges{how_near}", report.ranges.len(), report.quantized_weights.len())
}

fn facts(report: &CalibrationReport) -> Vec<(String, String)> {
    let mut facts = vec![
        ("target".to_owned(), report.target.clone()),
        ("ranges".to_owned(), report.method.clone()),
        ("weights".to_owned(), report.weights.replace('_', "-")),
        ("batch norms folded".to_owned(), report.folded.len().to_string()),
    ];
    if let Some(fed) = report.fed.first() {
        facts.push(("samples".to_owned(), fed.count.to_string()));
    }
    if !report.equalized.is_empty() {
        let pairs = report.equalized.iter().filter(|pair| pair.next.is_some()).count();
        facts.push(("pairs of layers equalized".to_owned(), pairs.to_string()));
    }
    if !report.corrected_biases.is_empty() {
        let corrected = report.corrected_biases.iter().filter(|bias| bias.largest.is_some()).count();
        facts.push(("biases corrected".to_owned(), corrected.to_string()));
    }
    for before in &report.without_repairs {
        facts.push((format!("{} without repairs", before.tensor), in_words(&before.fidelity)));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_keeps_every_value_in_few_bins() {
        let mut histogram = Histogram::default();
        let numbers: Vec<f32> = (0..1000u16).map(|index| f32::from(index) / 500.0 - 0.5).collect();
        histogram.add(&numbers, [-0.5, 1.498]);
        let drawn = values(&histogram, [0.0, 1.0], 0.5);
        assert_eq!(drawn.counts.iter().sum::<u64>(), 1000);
        assert!(drawn.counts.len() <= 64 && drawn.counts.len() > 30, "{}", drawn.counts.len());
        assert!(drawn.span[0] <= -0.5 && drawn.span[0] > -0.6 && drawn.span[1] >= 1.498 && drawn.span[1] < 1.6);
        let empty = values(&Histogram::default(), [0.0, 1.0], 0.0);
        assert_eq!(empty.counts, [0]);
    }
}
