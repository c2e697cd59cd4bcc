//! Cases of rewriting as text: a graph in, what was decided and the graph out. For the passes' tests.

use std::fmt::Write;

use crate::container::{Encoding, MessageKind, Model, OpenOptions};
use crate::error::Result;
use crate::graph::samples::{changes, file_of};
use crate::options::{Common, NamesOnly, RewriteOptions, Rules, TopologyOnly};
use crate::passes::decisions::Layer;
use crate::report::Report;
use crate::rewrite::rewrite;

/// A model of these lines, in the form of [`crate::graph::samples`].
pub(crate) fn model_of(lines: &str) -> Model {
    let format = Some((MessageKind::GraphDef, Encoding::Binary));
    Model::open(file_of(lines), &OpenOptions { format, ..OpenOptions::default() }).unwrap()
}

/// Quantizes by topology in eval mode, where a range is two variables and no more.
pub(crate) fn eval_by_topology() -> RewriteOptions {
    RewriteOptions {
        common: Common { is_training: false, ..Common::default() },
        rules: Rules::Topology(TopologyOnly::default()),
        ..RewriteOptions::default()
    }
}

/// The same without extensions.
pub(crate) fn reference_only() -> RewriteOptions {
    let only = TopologyOnly { reference_only: true, ..TopologyOnly::default() };
    RewriteOptions { rules: Rules::Topology(only), ..eval_by_topology() }
}

/// The options, told to leave alone what the rules refuse.
pub(crate) fn skipping(mut options: RewriteOptions) -> RewriteOptions {
    options.common.skip_unmatched = true;
    options
}

/// Folds alone, by the rules of names.
pub(crate) fn fold_by_names() -> RewriteOptions {
    RewriteOptions { quantize: None, rules: Rules::Names(NamesOnly::default()), ..RewriteOptions::default() }
}

/// The report of a rewrite, and the model after it.
pub(crate) fn rewritten(lines: &str, options: &RewriteOptions) -> Result<(Report, Model)> {
    let mut model = model_of(lines);
    let report = rewrite(&mut model, options)?.report;
    Ok((report, model))
}

/// What a rewrite decided, a line each, and below that what it changed.
pub(crate) fn told(lines: &str, options: &RewriteOptions) -> String {
    let (report, model) = rewritten(lines, options).unwrap_or_else(|error| panic!("refused: {error}"));
    let mut text = String::new();
    for norm in &report.batch_norms {
        let by = norm.extension.map(|extension| format!(" by {}", extension.code())).unwrap_or_default();
        let _ = writeln!(text, "batch_norm {}: {}{by}", norm.node, norm.outcome.code());
    }
    let mut push = |kind: &str, layer: &Layer| {
        let by = layer.extension.map(|extension| format!(" by {}", extension.code())).unwrap_or_default();
        let _ = writeln!(text, "{kind} {}: {}{by}", layer.node, layer.outcome.code());
    };
    report.layers.iter().for_each(|layer| push("layer", layer));
    report.adds.iter().for_each(|layer| push("add", layer));
    text + &changes(&model_of(lines).graph, &model.graph)
}

/// Checks what [`told`] says of a rewrite.
#[track_caller]
pub(crate) fn check(lines: &str, options: &RewriteOptions, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let told = told(lines, options);
    assert_eq!(told.lines().collect::<Vec<_>>(), expected, "\n{told}");
}
