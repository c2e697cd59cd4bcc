//! A float model made one whose ranges are constants: frozen, batch norms folded, run on samples, quantized.

use hashbrown::HashMap;
use serde::Serialize;

use super::best::{left_apart, tried};
use super::feed::{Feed, Feeds};
use super::head::expects_scaled;
use super::look::{Fed, look};
use super::options::{CalibrateOptions, Measure, Repairs};
use super::ready;
use super::report::CalibrationReport;
use super::work::{Work, tensors};
use super::{Histogram, Method};
use crate::container::Model;
use crate::document::{SCHEMA_VERSION, TOOL, Warning};
use crate::error::{ErrorKind, Result};
use crate::freeze::Frozen;
use crate::graph::op_class::is_fake_quant;
use crate::graph::{Graph, verify};
use crate::interpreter::Limits;
use crate::rewrite::prepare;

/// A calibrated model.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// A GraphDef.
    pub model: Model,
    /// What was done.
    pub report: CalibrationReport,
    /// The values that each fake quantizer reads, by its name, if histograms were to be made.
    pub histograms: Vec<(String, Histogram)>,
}

/// Quantizes a frozen model by what its tensors are while it runs on samples. `fed` is told what is fed before the work
/// begins; `done` after each run how many of how many there were, and says whether to go on.
///
/// # Errors
/// [`ErrorKind::Options`] if samples do not fit the inputs or the target cannot do what is asked; [`ErrorKind::Refused`]
/// for a model that is quantized already, or holds an op that is not computed with; those of the run.
pub fn calibrate(
    frozen: Frozen,
    feeds: &[Feed],
    options: &CalibrateOptions,
    fed: &mut dyn FnMut(&[Fed]),
    done: &(dyn Fn(usize, usize) -> bool + Sync),
) -> Result<Calibrated> {
    options.target.check(options.weights, options.weight_bits)?;
    let Frozen { mut model, report: mut frozen } = frozen;
    check_is_float(&model.graph)?;
    let widened = ready::widen(&mut model, &mut frozen, &options.limits)?;
    let (integers, told) =
        if options.target.is_litert() { ready::take_integers(&mut model, &mut frozen)? } else { (Vec::new(), None) };
    ready::leave_shapes_out(&mut model, &mut frozen, &options.limits)?;
    let samples = Feeds::new(&frozen.inputs, &frozen.unread, feeds, options.limit)?.cut(&integers);
    let mut report = CalibrationReport {
        schema_version: SCHEMA_VERSION,
        tool: TOOL.to_owned(),
        command: "calibrate".to_owned(),
        target: word(&options.target),
        weights: word(&options.weights),
        fed: look(&samples, options.limit, options.threads)?,
        ..CalibrationReport::default()
    };
    fed(&report.fed);
    warn_of_data(&model.graph, &samples, &options.limits, &mut report)?;

    report.warnings.extend(widened.into_iter().chain(told));
    if options.target.is_litert() {
        report.warnings.extend(ready::write_loops_out(&mut model, &mut frozen, &samples, options)?);
    }
    let outputs = tensors(&model.graph, &frozen.outputs);
    report.folded = prepare(&mut model, &outputs, options.target, &options.limits)?;
    let method = options.methods.first().copied().unwrap_or(Method::MinMax);
    let mut work = Work { samples: &samples, frozen: &frozen, options, method, measure: options.measure, done };
    let mut seen = None;
    if options.methods.len() > 1 {
        let histograms = options.methods.iter().any(|method| method.needs_histogram());
        let of_float = work.see(&model.graph, HashMap::new(), histograms, left_apart(samples.runs))?;
        let tried = tried(&work, &model, &of_float, &options.methods)?;
        work.method = tried.first().map_or(method, |(best, _)| *best);
        report.tried = tried.into_iter().map(|(_, tried)| tried).collect();
        seen = Some(of_float);
    }
    report.method = work.method.in_words();
    if options.measure > Measure::Nothing && options.repairs != Repairs::default() {
        let mut plain = CalibrationReport::default();
        work.quantize(&mut model.clone(), Repairs::default(), None, &mut plain)?;
        report.without_repairs = plain.measured;
        report.without_repairs.retain(|measured| measured.is_output);
    }
    let histograms = work.quantize(&mut model, options.repairs, seen, &mut report)?;
    verify::check_acyclic(&model.graph)?;
    report.freeze = frozen;
    Ok(Calibrated { model, report, histograms })
}

fn check_is_float(graph: &Graph) -> Result<()> {
    match graph.ids().find(|&node| is_fake_quant(graph.op(node))) {
        Some(node) => Err(graph
            .error(ErrorKind::Refused, "the model is quantized already", node)
            .hint("calibrate the float model that it was made of")),
        None => Ok(()),
    }
}

fn word(choice: &impl Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Says what about the samples is probably not what was meant.
fn warn_of_data(graph: &Graph, samples: &Feeds<'_>, limits: &Limits, report: &mut CalibrationReport) -> Result<()> {
    for unread in &samples.unread {
        let message = format!("the samples for '{unread}' are left out: no output needs that input");
        report.warnings.push(Warning::new("samples_unread", message));
    }
    for (input, fed) in samples.inputs.iter().map(|input| &input.input).zip(&report.fed) {
        if fed.left_over > 0 && fed.count > 1 {
            let Fed { tensor, left_over, count, .. } = fed;
            let message = format!("{left_over} samples of '{tensor}' do not fill a batch: {count} are used");
            report.warnings.push(Warning::new("left_over", message));
        }
        let Some(tensor) = graph.find_tensor(&input.tensor) else { continue };
        if expects_scaled(graph, tensor, fed, limits)? {
            let message = format!(
                "'{}' is fed whole numbers from {} to {}, and nothing in the model scales them: most models are trained on 0 \
                 to 1 (--scale 1/255) or -1 to 1 (--mean 127.5 --std 127.5)",
                fed.tensor, fed.min, fed.max
            );
            report.warnings.push(Warning::new("not_scaled", message));
        }
    }
    Ok(())
}
