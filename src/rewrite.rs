//! The `rewrite` verb as a function: passes over a [`Model`], the nodes that gather what they made, and the report.

use std::collections::BTreeMap;

use crate::build::Builder;
use crate::container::{Encoding, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId, verify};
use crate::passes::fold_batch_norms;
use crate::passes::quantize::{self, names};
use crate::report::{self, FileSummary, Report, SCHEMA_VERSION, Summary, Warning};

/// What to do to a model.
#[derive(Debug, Clone, Default)]
pub struct RewriteOptions {
    /// How to quantize.
    pub quantize: quantize::Options,
    /// Whether to leave batch norms as they are, instead of folding them first.
    pub keep_batch_norms: bool,
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
    let warnings = warnings_before(model);
    let mut builder = Builder::new(&mut model.graph, &mut model.collections);
    for name in [&options.init_op, &options.update_op].into_iter().flatten() {
        check_free(builder.graph, name)?;
    }
    let batch_norms = if options.keep_batch_norms {
        Vec::new()
    } else {
        let fold = fold_batch_norms::Options {
            selection: options.quantize.selection.clone(),
            skip_unmatched: options.quantize.skip_unmatched,
        };
        fold_batch_norms::names::fold_batch_norms(&mut builder, &fold)?
    };
    let quantized = names::quantize(&mut builder, &options.quantize)?;
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

    let graph = &model.graph;
    let names = |nodes: &[NodeId]| nodes.iter().map(|&node| graph.name(node).to_owned()).collect::<Vec<_>>();
    let mut report = Report {
        schema_version: SCHEMA_VERSION,
        tool: concat!("tfquant ", env!("CARGO_PKG_VERSION")).to_owned(),
        command: "rewrite".to_owned(),
        options: describe(&options.quantize),
        summary: Summary::of(&quantized.layers, &quantized.adds),
        ops_added: report::ops_added(graph),
        inputs_rewired: quantized.inputs_rewired,
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
    };
    report.warnings.extend(warnings_after(model, &report));
    Ok(report)
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

fn warnings_after(model: &Model, report: &Report) -> Vec<Warning> {
    let graph = &model.graph;
    let mut warnings = Vec::new();
    let saver = graph.ids().find(|&node| matches!(graph.op(node), "SaveV2" | "Save" | "SaveSlices"));
    if let Some(node) = saver.filter(|_| !report.variables.is_empty()) {
        let message = format!(
            "the graph carries a Saver ('{}') that does not know the {} new variables: make a new Saver after loading the graph",
            graph.name(node),
            report.variables.len()
        );
        warnings.push(Warning { code: "saver_misses_variables", message });
    }
    if report.summary.quantized == 0 {
        let message = "no layer was quantized".to_owned();
        warnings.push(Warning { code: "nothing_quantized", message });
    }
    warnings
}
