//! Where a model begins and ends: the tensors that it is fed and that it hands out.

use super::Model;
use crate::error::Result;
use crate::graph::ends::unread_ends;
use crate::graph::{Graph, Input, NodeId, TensorRef};

/// The ends that the user named; none where the graph and its signatures shall tell.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    /// What is fed. What comes before is nobody's business.
    pub inputs: Vec<TensorRef>,
    /// What is read in the end.
    pub outputs: Vec<TensorRef>,
}

impl Ends {
    /// Finds the tensors of these names, each `node` or `node:port`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Options`], with the nearest name, for one that the graph does not have.
    pub(super) fn find(graph: &Graph, inputs: &[String], outputs: &[String]) -> Result<Self> {
        let find = |names: &[String]| names.iter().map(|name| graph.tensor_named(name)).collect::<Result<_>>();
        Ok(Self { inputs: find(inputs)?, outputs: find(outputs)? })
    }

    /// The same ends in another graph, as far as it has them.
    pub(crate) fn moved(&self, from: &Graph, to: &Graph) -> Self {
        let moved = |tensors: &[TensorRef]| {
            let node = |tensor: &TensorRef| Some(TensorRef { node: to.find(from.name(tensor.node))?, ..*tensor });
            tensors.iter().filter_map(node).collect()
        };
        Self { inputs: moved(&self.inputs), outputs: moved(&self.outputs) }
    }
}

impl Model {
    /// The tensors that are read in the end: those that the user named, else those of the signatures, else those that
    /// nobody reads.
    #[must_use]
    pub fn outputs(&self) -> Vec<TensorRef> {
        if !self.ends.outputs.is_empty() {
            return self.ends.outputs.clone();
        }
        let of_signatures = self.signatures().outputs();
        if !of_signatures.is_empty() {
            return of_signatures;
        }
        unread_ends(&self.graph).into_iter().map(TensorRef::from).collect()
    }

    /// The nodes that only prepare the inputs which the user named, these included; none if no inputs were named.
    #[must_use]
    pub fn before_inputs(&self) -> Vec<NodeId> {
        let (graph, inputs) = (&self.graph, &self.ends.inputs);
        if inputs.is_empty() {
            return Vec::new();
        }
        let inputs = inputs.iter().map(|input| input.node);
        let before = graph.reached(inputs, |node| graph.data_inputs(node).map(|input| input.node));
        graph.ids().filter(|node| before[node.index()]).collect()
    }

    /// By node, whether it lies between the inputs and the outputs that the user named; `None` if none were named.
    #[must_use]
    pub fn between_ends(&self) -> Option<Vec<bool>> {
        let Ends { inputs, outputs } = &self.ends;
        if inputs.is_empty() && outputs.is_empty() {
            return None;
        }
        let graph = &self.graph;
        let mut between = if outputs.is_empty() {
            vec![true; graph.len()]
        } else {
            graph.reached(outputs.iter().map(|output| output.node), |node| graph.inputs(node).map(Input::node))
        };
        for node in self.before_inputs() {
            between[node.index()] = false;
        }
        Some(between)
    }
}
