//! Who reads whom, as it was when a pass began.
//!
//! TensorFlow's rewriter takes this picture once and does not update it while it inserts nodes, so that inserted nodes
//! are never taken for consumers, and an input that was rewired twice is noticed (`input_to_ops.py`). What all passes skip is
//! not in it (`common.py`).

use crate::graph::{Graph, NodeId};

/// Nodes of gradients, optimizers and summaries, by the start of their names: no pass looks at them.
const SKIPPED_PREFIXES: [&str; 6] =
    ["gradients/", "RMSProp/", "Adagrad/", "Const_", "HistogramSummary", "ScalarSummary"];

/// Whether a node of that name is passed over by all passes.
#[must_use]
pub(crate) fn is_skipped(name: &str) -> bool {
    let first = name.as_bytes().first();
    // Of millions of names, hardly one begins like these.
    matches!(first, Some(b'g' | b'R' | b'A' | b'C' | b'H' | b'S'))
        && SKIPPED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The consumers of every node at one moment, without those that all passes skip.
#[derive(Debug)]
pub(crate) struct Consumers {
    /// Where each node's consumers begin in `consumers`; one more at the end.
    starts: Vec<u32>,
    consumers: Vec<NodeId>,
}

impl Consumers {
    /// The picture now: readers one after the other, each put where those of what it reads belong.
    #[must_use]
    pub(crate) fn new(graph: &Graph) -> Self {
        let mut starts = vec![0; graph.len() + 1];
        let mut last_reader = vec![None; graph.len()];
        graph.each_read(is_skipped, |reader, producer| {
            if last_reader[producer.index()].replace(reader) != Some(reader) {
                starts[producer.index() + 1] += 1;
            }
        });
        let mut count = 0;
        for start in &mut starts {
            count += *start;
            *start = count;
        }
        let mut next = starts.clone();
        let mut consumers = vec![NodeId(0); count as usize];
        graph.each_read(is_skipped, |reader, producer| {
            let next = &mut next[producer.index()];
            if *next == starts[producer.index()] || consumers[*next as usize - 1] != reader {
                consumers[*next as usize] = reader;
                *next += 1;
            }
        });
        Self { starts, consumers }
    }

    /// The nodes that read any output of `producer`, each once, in graph order.
    #[must_use]
    pub(crate) fn consumers(&self, producer: NodeId) -> &[NodeId] {
        match self.starts.get(producer.index()..=producer.index() + 1) {
            Some(&[start, end]) => &self.consumers[start as usize..end as usize],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::graph::{Input, NewNode, read};

    #[test]
    fn later_edits_do_not_show() {
        let mut graph = read::parse(Bytes::new()).unwrap();
        let mut add = |name: &str, inputs: &[NodeId]| {
            let inputs: Vec<Input> = inputs.iter().map(|&node| Input::Data(node.into())).collect();
            graph.insert(NewNode { name, op: "Op", device: "", inputs: &inputs, attrs: &[] }).unwrap()
        };
        let a = add("a", &[]);
        let b = add("b", &[a, a]);
        let c = add("c", &[a]);
        add("gradients/d", &[a]);
        let before = Consumers::new(&graph);
        graph.set_input(c, 0, Input::Data(b.into()));
        assert_eq!(before.consumers(a), [b, c]);
        assert_eq!(Consumers::new(&graph).consumers(a), [b]);
    }
}
