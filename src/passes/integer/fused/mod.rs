//! Chains of ops that TensorFlow's converter makes one op of, if nothing inside has a range; and those in another form
//! written in the one that it knows.
//!
//! Measured with 2.15 and 2.21 (`tests/tensorflow/converter_corpus.py`). [`super::points`] asks for the nodes inside.

mod gelu;
mod hard_swish;
mod l2_norm;
mod numbers;
mod prelu;
#[cfg(test)]
mod tests;

pub(crate) use l2_norm::is_along_last_axis;

use hashbrown::HashSet;

use super::constants::Constants;
use crate::error::Result;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, only};
use crate::interpreter::Limits;

/// The nodes of such chains.
#[derive(Debug, Default)]
pub(crate) struct Fused {
    /// Those in front of the ends.
    inner: HashSet<NodeId>,
    /// Ends whose range the kernel knows.
    fixed: HashSet<NodeId>,
}

impl Fused {
    pub(crate) fn of(graph: &Graph, constants: &Constants) -> Self {
        let (mut inner, mut fixed) = (HashSet::new(), HashSet::new());
        let mut shapes = ShapeCache::default();
        for node in graph.ids() {
            match graph.op(node) {
                "Relu6" => inner.extend(hard_swish::around(graph, node).into_iter().flatten()),
                "Erf" | "Erfc" | "Tanh" => inner.extend(gelu::inside(graph, node)),
                "Square" => {
                    inner.extend(difference(graph, node));
                    if let Some(norm) = l2_norm::around(graph, node, &mut shapes) {
                        inner.extend(norm.inside);
                        fixed.insert(norm.end);
                    }
                }
                "Add" | "AddV2" | "Sub" => inner.extend(prelu::inside(graph, constants, node)),
                _ => {}
            }
        }
        Self { inner, fixed }
    }

    /// Whether the node is within one, in front of its end.
    pub(crate) fn contain(&self, node: NodeId) -> bool {
        self.inner.contains(&node)
    }

    /// Whether the node is the end of one whose range the kernel knows.
    pub(crate) fn is_fixed(&self, node: NodeId) -> bool {
        self.fixed.contains(&node)
    }
}

/// The difference that a Square alone reads: the two are a squared difference.
fn difference(graph: &Graph, square: NodeId) -> Option<NodeId> {
    let read = graph.data_input(square, 0)?.node;
    (graph.op(read) == "Sub" && only(graph.consumers(read)).is_some()).then_some(read)
}

/// Gives all of them the form that the converter knows; says how many had another.
///
/// # Errors
/// Those of evaluating constants and of inserting nodes.
pub(crate) fn unify(graph: &mut Graph, limits: &Limits) -> Result<usize> {
    Ok(prelu::unify(graph, limits)? + gelu::unify(graph)?)
}
