//! `tfquant check --against TRAIN EVAL`: whether what training leaves is what evaluation looks for.

use std::collections::BTreeMap;

use super::Finding;
use crate::graph::Graph;
use crate::graph::tensor::{self, Shape};
use crate::inspect::fake_quant::fake_quants;

/// The variables that hold ranges of fake quantizers, with their dimensions.
#[must_use]
pub fn range_variables(graph: &Graph) -> BTreeMap<String, Shape> {
    let variables = fake_quants(graph).into_iter().flat_map(|quant| quant.range.variables());
    variables.map(|node| (graph.name(node).to_owned(), tensor::shape(graph, node.into()))).collect()
}

/// Compares the range variables of a training graph with those of an eval graph.
#[must_use]
pub fn compare(train: &Graph, eval: &Graph) -> Vec<Finding> {
    let (trained, read) = (range_variables(train), range_variables(eval));
    let mut findings = Vec::new();
    for (name, shape) in &read {
        match trained.get(name) {
            None => {
                let message = "the eval graph reads this range, and the training graph has no such variable";
                findings.push(Finding::error("range_not_trained", name, message));
            }
            Some(other) if other != shape => {
                let message = format!("the range has the shape {other} in training and {shape} in evaluation");
                findings.push(Finding::error("range_shape_differs", name, message));
            }
            Some(_) => {}
        }
    }
    for name in trained.keys().filter(|name| !read.contains_key(*name)) {
        let message = "the training graph learns this range, and the eval graph has no such variable";
        findings.push(Finding::error("range_not_read", name, message));
    }
    findings
}
