//! The `rewrite` verb as a function: passes over a [`Model`], the nodes that gather what they made, and the report.

use std::collections::BTreeMap;

use crate::build::Builder;
use crate::container::{Encoding, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId, verify};
use crate::passes::fold_batch_norms::{self, BatchNorm, Outcome};
use crate::passes::quantize;
use crate::passes::quantize::names::{self, Quantized};
use crate::report::{self, FileSummary, Report, SCHEMA_VERSION, Summary, Warning};

/// What to do to a model.
#[derive(Debug, Clone, Default)]
pub struct RewriteOptions {
    /// How to fold batch norms, if at all. Folding comes first.
    pub fold: Option<fold_batch_norms::Options>,
    /// Whether a batch norm that stays unfolded is an error.
    pub strict_fold: bool,
    /// How to quantize, if at all.
    pub quantize: Option<quantize::Options>,
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
    let mut builder = Builder::new(&mut model.graph, &mut model.collections);
    for name in [&options.init_op, &options.update_op].into_iter().flatten() {
        check_free(builder.graph, name)?;
    }
    let batch_norms = match &options.fold {
        Some(fold) => fold_batch_norms::names::fold_batch_norms(&mut builder, fold)?,
        None => Vec::new(),
    };
    if options.strict_fold {
        check_all_folded(builder.graph, &batch_norms)?;
    }
    let quantized = match &options.quantize {
        Some(quantize) => names::quantize(&mut builder, quantize)?,
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
    verify::check_acyclic(&model.graph).map_err(|error| {
        error.hint("a layer depends on a node that would have to wait for that layer's own range updates; --exclude it")
    })?;

    warnings.extend(warnings_after(model, options, &variables, &quantized));
    let graph = &model.graph;
    let names = |nodes: &[NodeId]| nodes.iter().map(|&node| graph.name(node).to_owned()).collect::<Vec<_>>();
    let folded = batch_norms.iter().filter(|batch_norm| batch_norm.outcome == Outcome::Folded).count();
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        tool: concat!("tfquant ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: if options.quantize.is_some() { "rewrite" } else { "fold" }.to_owned(),
        options: options.quantize.as_ref().map(describe).unwrap_or_default(),
        summary: Summary::of(&quantized.layers, &quantized.adds),
        ops_added: report::ops_added(graph),
        inputs_rewired: quantized.inputs_rewired + folded,
        created_global_step: quantized.created_global_step,
        variables: names(&variables),
        initializers: names(&initializers),
        update_ops: names(&quantized.updates),
        batch_norms,
        layers: quantized.layers,
        adds: quantized.adds,
        output: summarize(model),
        input,
        warnings,
        ..Report::default()
    })
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

fn describe(options: &quantize::Options) -> BTreeMap<String, serde_json::Value> {
    BTreeMap::from([
        ("match".to_owned(), "names".into()),
        ("weight_bits".to_owned(), options.weight_bits.into()),
        ("weight_narrow_range".to_owned(), options.weight_narrow_range.into()),
        ("activation_bits".to_owned(), options.activation_bits.into()),
        ("ema_decay".to_owned(), options.ema_decay.into()),
        ("quant_delay".to_owned(), options.quant_delay.into()),
        ("vars_collection".to_owned(), options.vars_collection.clone().into()),
        ("mode".to_owned(), if options.is_training { "training" } else { "eval" }.into()),
        ("quantize_folded_weights_use_ema".to_owned(), options.quantize_folded_weights_use_ema.into()),
        ("skip_unmatched".to_owned(), options.skip_unmatched.into()),
    ])
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
    model: &Model,
    options: &RewriteOptions,
    variables: &[NodeId],
    quantized: &Quantized,
) -> Vec<Warning> {
    let graph = &model.graph;
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
