//! The `rewrite` verb as a function: passes over a [`Model`], the nodes that gather what they made, and the report.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;

use serde_json::json;

use crate::build::{Builder, Dialect};
use crate::container::{Encoding, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId, verify};
use crate::passes::fold_batch_norms::{self, BatchNorm, Outcome};
use crate::passes::quantize::names::{self, Quantized};
use crate::passes::quantize::{self, topology};
use crate::report::{FileSummary, Report, SCHEMA_VERSION, Summary, Warning};

/// By which generation of TensorFlow's rules to fold batch norms.
#[derive(Debug, Clone)]
pub enum Fold {
    /// Those of 1.5, to go with [`Quantize::Names`].
    Names(fold_batch_norms::Options),
    /// Those of 1.15, to go with [`Quantize::Topology`].
    Topology(fold_batch_norms::topology::Options),
}

/// By which generation of TensorFlow's rules to quantize.
#[derive(Debug, Clone)]
pub enum Quantize {
    /// Layers are recognised by the names of their nodes, as in 2017.
    Names(quantize::Options),
    /// Layers are recognised by structure, as in 1.15.
    Topology(quantize::topology::Options),
}

/// What to do to a model.
#[derive(Debug, Clone, Default)]
pub struct RewriteOptions {
    /// How to fold batch norms, if at all. Folding comes first.
    pub fold: Option<Fold>,
    /// Whether a batch norm that stays unfolded is an error.
    pub strict_fold: bool,
    /// How to quantize, if at all.
    pub quantize: Option<Quantize>,
    /// Whether to go on where TensorFlow 1.15 refuses a graph because an optimizer was added to it already.
    pub allow_training_ops: bool,
    /// The name of a NoOp to add that runs all new initialisers.
    pub init_op: Option<String>,
    /// The name of a NoOp to add that runs all range updates.
    pub update_op: Option<String>,
}

/// Rewrites the model's graph for simulated quantization and says what was done. Nothing is written.
///
/// # Errors
/// Those of the passes; [`ErrorKind::Options`] if the name of a gathering op is taken. The model is then of no use.
pub fn rewrite(model: &mut Model, options: &RewriteOptions) -> Result<Report> {
    let input = summarize(model);
    let mut warnings = warnings_before(model);
    if matches!(options.quantize, Some(Quantize::Topology(_))) && !options.allow_training_ops {
        topology::check_for_training_ops(&model.graph)?;
    }
    let mut builder = Builder::with_dialect(&mut model.graph, &mut model.collections, options.dialect());
    for name in [&options.init_op, &options.update_op].into_iter().flatten() {
        check_free(builder.graph, name)?;
    }
    let batch_norms = match &options.fold {
        Some(Fold::Names(fold)) => fold_batch_norms::names::fold_batch_norms(&mut builder, fold)?,
        Some(Fold::Topology(fold)) => fold_batch_norms::topology::fold_batch_norms(&mut builder, fold)?,
        None => Vec::new(),
    };
    if options.strict_fold {
        check_all_folded(builder.graph, &batch_norms)?;
    }
    let quantized = match &options.quantize {
        Some(Quantize::Names(quantize)) => names::quantize(&mut builder, quantize)?,
        Some(Quantize::Topology(quantize)) => topology::quantize(&mut builder, quantize)?,
        None => Quantized::default(),
    };
    let initializers: Vec<NodeId> = builder.variables.iter().map(|variable| variable.initializer).collect();
    let variables: Vec<NodeId> = builder.variables.iter().map(|variable| variable.node).collect();
    if let Some(name) = &options.init_op {
        builder.no_op(name, &initializers)?;
    }
    if let Some(name) = &options.update_op {
        builder.no_op(name, &quantized.updates)?;
    }
    // The report does not wait for the check, which looks at every edge.
    let graph = &model.graph;
    let (checked, mut report) = thread::scope(|scope| {
        let check = thread::Builder::new().spawn_scoped(scope, || verify::check_acyclic(graph));
        let report = report_of(graph, options, &variables, &initializers, batch_norms, quantized);
        let checked = match check {
            Ok(running) => running.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => verify::check_acyclic(graph),
        };
        (checked, report)
    });
    checked.map_err(|error| {
        error.hint("a layer depends on a node that would have to wait for that layer's own range updates; --exclude it")
    })?;
    report.output = summarize(model);
    report.input = input;
    warnings.append(&mut report.warnings);
    report.warnings = warnings;
    Ok(report)
}

/// What was done, but for the files and what there was to warn of before.
fn report_of(
    graph: &Graph,
    options: &RewriteOptions,
    variables: &[NodeId],
    initializers: &[NodeId],
    batch_norms: Vec<BatchNorm>,
    quantized: Quantized,
) -> Report {
    let names = |nodes: &[NodeId]| nodes.iter().map(|&node| graph.name(node)).collect();
    let folded = batch_norms.iter().filter(|batch_norm| batch_norm.outcome == Outcome::Folded).count();
    Report {
        schema_version: SCHEMA_VERSION,
        tool: concat!("tfquant ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: if options.quantize.is_some() { "rewrite" } else { "fold" }.to_owned(),
        options: options.quantize.as_ref().map(describe).unwrap_or_default(),
        summary: Summary::of(&quantized.layers, &quantized.adds),
        ops_added: graph.ops_inserted().into_iter().map(|(op, count)| (op.to_owned(), count)).collect(),
        inputs_rewired: quantized.inputs_rewired + folded,
        variables: names(variables),
        initializers: names(initializers),
        update_ops: names(&quantized.updates),
        warnings: warnings_after(graph, options, variables, &quantized),
        created_global_step: quantized.created_global_step,
        batch_norms,
        layers: quantized.layers,
        adds: quantized.adds,
        ..Report::default()
    }
}

fn check_all_folded(graph: &Graph, batch_norms: &[BatchNorm]) -> Result<()> {
    let left = |batch_norm: &&BatchNorm| !matches!(batch_norm.outcome, Outcome::Folded | Outcome::NotSelected);
    let Some(batch_norm) = batch_norms.iter().find(left) else { return Ok(()) };
    let what = format!(
        "{} batch norms stay unfolded, the first ({})",
        batch_norms.iter().filter(left).count(),
        batch_norm.outcome.code()
    );
    let error = match graph.find(&batch_norm.node) {
        Some(node) => graph.error(ErrorKind::Refused, what, node),
        None => Error::new(ErrorKind::Refused, what).in_node(&batch_norm.node, &batch_norm.op),
    };
    Err(error.hint("leave out --strict-fold to see the reason for each in the report, or --exclude their layers"))
}

fn check_free(graph: &Graph, name: &str) -> Result<()> {
    match graph.find(name) {
        None => Ok(()),
        Some(taken) => Err(graph
            .error(ErrorKind::Options, "the name for a new op is taken", taken)
            .hint("choose another name with --init-op or --update-op")),
    }
}

/// Checks the names of gathering ops, which TensorFlow must accept.
///
/// # Errors
/// [`ErrorKind::Options`] for a name that no node may have.
pub fn check_op_name(name: &str) -> Result<()> {
    let starts = name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '.');
    let rest = name.chars().all(|character| character.is_ascii_alphanumeric() || "_./\\-".contains(character));
    if starts && rest {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Options, format!("'{name}' is no name for a node"))
        .hint("use letters, digits and _ . - / and begin with a letter or digit"))
}

/// What there is to say of the model's message now.
#[must_use]
pub fn summarize(model: &Model) -> FileSummary {
    FileSummary {
        path: String::new(),
        container: model.kind.name().to_owned(),
        encoding: if model.encoding == Encoding::Text { "text" } else { "binary" }.to_owned(),
        bytes: model.bytes().len() as u64,
        nodes: model.graph.len(),
        functions: model.graph.function_count(),
    }
}

impl RewriteOptions {
    /// Makes the passes leave alone what they would refuse.
    pub fn skip_unmatched(&mut self) {
        match &mut self.quantize {
            Some(Quantize::Names(quantize)) => quantize.skip_unmatched = true,
            Some(Quantize::Topology(quantize)) => quantize.skip_unmatched = true,
            None => {}
        }
        match &mut self.fold {
            Some(Fold::Names(fold)) => fold.skip_unmatched = true,
            Some(Fold::Topology(fold)) => fold.skip_unmatched = true,
            None => {}
        }
    }

    fn dialect(&self) -> Dialect {
        match (&self.quantize, &self.fold) {
            (Some(Quantize::Topology(_)), _) | (None, Some(Fold::Topology(_))) => Dialect::V1_15,
            _ => Dialect::V1_5,
        }
    }
}

fn describe(options: &Quantize) -> BTreeMap<String, serde_json::Value> {
    let mode = |is_training| if is_training { "training" } else { "eval" };
    let described = match options {
        Quantize::Names(options) => json!({
            "match": "names",
            "weight_bits": options.weight_bits,
            "weight_narrow_range": options.weight_narrow_range,
            "activation_bits": options.activation_bits,
            "ema_decay": options.ema_decay,
            "quant_delay": options.quant_delay,
            "vars_collection": options.vars_collection,
            "mode": mode(options.is_training),
            "quantize_folded_weights_use_ema": options.quantize_folded_weights_use_ema,
            "skip_unmatched": options.skip_unmatched,
        }),
        Quantize::Topology(options) => json!({
            "match": "topology",
            "weight_bits": options.weight_bits,
            "activation_bits": options.activation_bits,
            "symmetric": options.symmetric,
            "ema_decay": options.ema_decay,
            "quant_delay": options.quant_delay,
            "vars_collection": options.vars_collection,
            "mode": mode(options.is_training),
            "scope": options.scope,
            "skip_unmatched": options.skip_unmatched,
            "reference_only": options.reference_only,
        }),
    };
    match described {
        serde_json::Value::Object(fields) => fields.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

/// How many layers of the model the rules of TensorFlow 1.15 would quantize; what to tell someone whose graph the rules
/// of 1.5 refused.
#[must_use]
pub fn layers_by_topology(mut model: Model) -> usize {
    let options = RewriteOptions {
        fold: Some(Fold::Topology(fold_batch_norms::topology::Options {
            skip_unmatched: true,
            ..fold_batch_norms::topology::Options::default()
        })),
        quantize: Some(Quantize::Topology(topology::Options { skip_unmatched: true, ..topology::Options::default() })),
        allow_training_ops: true,
        ..RewriteOptions::default()
    };
    rewrite(&mut model, &options).map_or(0, |report| report.summary.quantized)
}

fn warnings_before(model: &Model) -> Vec<Warning> {
    let graph = &model.graph;
    let first = |is: &dyn Fn(NodeId) -> bool| graph.ids().find(|&node| is(node));
    let mut warnings = Vec::new();
    if let Some(node) = first(&|node| graph.name(node).starts_with("gradients/")) {
        let message = format!(
            "the graph holds gradients already ('{}'): rewrite it before the training ops are added, or they bypass the quantizers",
            graph.name(node)
        );
        warnings.push(Warning { code: "gradients_present", message });
    }
    if let Some(node) = first(&|node| graph.op(node).starts_with("FakeQuantWithMinMax")) {
        let message = format!("the graph is quantized already ('{}')", graph.name(node));
        warnings.push(Warning { code: "already_quantized", message });
    }
    if !model.other_tag_sets.is_empty() {
        let message =
            format!("the SavedModel's other graphs are left as they are: {}", model.other_tag_sets.join(" | "));
        warnings.push(Warning { code: "other_graphs", message });
    }
    warnings
}

fn warnings_after(
    graph: &Graph,
    options: &RewriteOptions,
    variables: &[NodeId],
    quantized: &Quantized,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let saver = graph.ids().find(|&node| matches!(graph.op(node), "SaveV2" | "Save" | "SaveSlices"));
    if let Some(node) = saver.filter(|_| !variables.is_empty()) {
        let message = format!(
            "the graph carries a Saver ('{}') that does not know the {} new variables: make a new Saver after loading the graph",
            graph.name(node),
            variables.len()
        );
        warnings.push(Warning { code: "saver_misses_variables", message });
    }
    let any_quantized = quantized.layers.iter().any(|layer| layer.outcome == quantize::Outcome::Quantized);
    if options.quantize.is_some() && !any_quantized {
        let message = "no layer was quantized".to_owned();
        warnings.push(Warning { code: "nothing_quantized", message });
    }
    warnings
}
