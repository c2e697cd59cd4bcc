//! Which names are taken, and how a taken one is changed: `Graph.unique_name` of TensorFlow 1.5.

use hashbrown::HashMap;

use crate::graph::Graph;

/// Names that were asked for, beside those of the graph's nodes: scopes, and how often each was asked for.
#[derive(Debug, Default)]
pub struct NamesInUse {
    asked: HashMap<String, u32>,
}

impl NamesInUse {
    /// `name`, or `name_1`, `name_2`, … whichever is free first; taken from now on. What is asked for a node that is
    /// about to be inserted need not be remembered: the graph will.
    pub fn unique(&mut self, graph: &Graph, name: String, for_node: bool) -> String {
        let uses = self.uses(graph, &name);
        if uses == 0 {
            if !for_node {
                self.asked.insert(name.clone(), 1);
            }
            return name;
        }
        let mut suffix = uses;
        let unique = loop {
            let candidate = format!("{name}_{suffix}");
            suffix += 1;
            if self.uses(graph, &candidate) == 0 {
                break candidate;
            }
        };
        self.asked.insert(name, uses + 1);
        self.asked.insert(unique.clone(), 1);
        unique
    }

    fn uses(&self, graph: &Graph, name: &str) -> u32 {
        self.asked.get(name).copied().unwrap_or_else(|| u32::from(graph.find(name).is_some()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::graph::{NewNode, read};

    #[test]
    fn the_suffix_counts_how_often_the_name_was_asked_for() {
        let mut graph = read::parse(Bytes::new()).unwrap();
        for name in ["a", "a_2"] {
            graph.insert(NewNode { name, op: "NoOp", device: "", inputs: &[], attrs: &[] }).unwrap();
        }
        let mut names = NamesInUse::default();
        let mut next = |name: &str| names.unique(&graph, name.to_owned(), false);
        assert_eq!([next("a"), next("a"), next("b"), next("b")], ["a_1", "a_3", "b", "b_1"]);
        assert_eq!(next("b_1"), "b_1_1");
    }
}
