//! Small graphs for unit tests.

use bytes::Bytes;

use super::attr::Attrs;
use super::{Graph, Input, NewNode, TensorRef, read};
use crate::wire::put_bytes;

/// A file of nodes, each a name, an op and inputs as they are spelled.
pub(crate) fn graph_of(nodes: &[(&str, &str, &[&str])]) -> Graph {
    let mut file = Vec::new();
    for (name, op, inputs) in nodes {
        let mut body = Vec::new();
        put_bytes(&mut body, 1, name.as_bytes());
        put_bytes(&mut body, 2, op.as_bytes());
        inputs.iter().for_each(|input| put_bytes(&mut body, 3, input.as_bytes()));
        put_bytes(&mut file, 1, &body);
    }
    read::parse(Bytes::from(file)).unwrap()
}

/// A graph of inserted nodes.
pub(crate) struct Sample(pub Graph);

impl Sample {
    pub fn new() -> Self {
        Self(read::parse(Bytes::new()).unwrap())
    }

    /// The same graph as if it had come from a file.
    pub fn read_again(self) -> Graph {
        let mut file = Vec::new();
        for node in self.0.ids() {
            put_bytes(&mut file, 1, &self.0.node_def(node));
        }
        read::parse(Bytes::from(file)).unwrap()
    }

    /// Adds a node, whatever its name; returns its first output.
    pub fn add(&mut self, op: &str, inputs: &[TensorRef], attrs: impl FnOnce(&mut Attrs) -> &mut Attrs) -> TensorRef {
        let mut encoded = Attrs::default();
        attrs(&mut encoded);
        let name = format!("n{}", self.0.len());
        let inputs: Vec<Input> = inputs.iter().copied().map(Input::Data).collect();
        let new = NewNode { name: &name, op, device: "", inputs: &inputs, attrs: encoded.as_bytes() };
        self.0.insert(new).unwrap().into()
    }
}
