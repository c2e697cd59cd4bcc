//! The parameters of a batch norm made of single ops, found by name: TensorFlow 1.15's `_FindMatchingTensor`.
//!
//! Scopes repeat (`Net/Net/conv` beside `Net/conv`), so a parameter is not looked up by its full name: of the nodes whose
//! names end as they should, the one that shares most parts of its name with the batch norm's scope is taken, the first
//! of several.

use hashbrown::{HashMap, HashSet};

use crate::graph::{Graph, NodeId};

/// What a parameter's node name ends in.
type Suffixes = [&'static str; 8];

const SUFFIXES: Suffixes = [
    "BatchNorm/moments/Squeeze",
    "BatchNorm/moments/Squeeze_1",
    "BatchNorm/moving_mean/read",
    "BatchNorm/moving_variance/read",
    "BatchNorm/batchnorm_1/add/y",
    "BatchNorm/AssignMovingAvg/decay",
    "BatchNorm/AssignMovingAvg_1/decay",
    "BatchNorm/gamma",
];

/// The same where the variables are resources.
const OF_RESOURCES: Suffixes = [
    "BatchNorm/moments/Squeeze",
    "BatchNorm/moments/Squeeze_1",
    "BatchNorm/moving_mean/Read/ReadVariableOp",
    "BatchNorm/moving_variance/Read/ReadVariableOp",
    "BatchNorm/batchnorm_1/add/y",
    "BatchNorm/AssignMovingAvg/decay",
    "BatchNorm/AssignMovingAvg_1/decay",
    "BatchNorm/gamma/Read/ReadVariableOp",
];

/// TensorFlow asks the variable scope whether variables are resources; a graph tells by their reads.
fn suffixes(graph: &Graph, operations: &[NodeId]) -> Suffixes {
    let has = |suffix: &str| operations.iter().any(|&node| graph.name(node).ends_with(suffix));
    if !has(SUFFIXES[2]) && has(OF_RESOURCES[2]) { OF_RESOURCES } else { SUFFIXES }
}

/// The parameters of one batch norm, as far as they are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameters {
    pub mean: Option<NodeId>,
    pub variance: Option<NodeId>,
    pub moving_mean: Option<NodeId>,
    pub moving_variance: Option<NodeId>,
    pub epsilon: Option<NodeId>,
    pub decays: [Option<NodeId>; 2],
    pub gamma: Option<NodeId>,
}

/// The nodes whose names end like a parameter's.
#[derive(Debug)]
pub(super) struct ParameterIndex<'g> {
    by_suffix: Vec<Candidates<'g>>,
}

/// The nodes with one suffix, in graph order.
#[derive(Debug, Default)]
struct Candidates<'g> {
    nodes: Vec<(NodeId, &'g str)>,
    /// Which of them have a part of that name.
    by_part: HashMap<&'g str, Vec<u32>>,
}

impl<'g> ParameterIndex<'g> {
    pub(super) fn new(graph: &'g Graph, operations: &[NodeId]) -> Self {
        let suffixes = suffixes(graph, operations);
        let mut by_suffix: Vec<Candidates<'g>> = suffixes.iter().map(|_| Candidates::default()).collect();
        for &node in operations {
            let name = graph.name(node);
            for (candidates, suffix) in by_suffix.iter_mut().zip(suffixes) {
                if name.ends_with(suffix) {
                    candidates.push(node, name);
                }
            }
        }
        Self { by_suffix }
    }

    /// The parameters that fit the batch norm of that scope, which ends in a slash unless it is the root.
    pub(super) fn find(&self, scope: &str) -> Parameters {
        let parts: HashSet<&str> = scope.split('/').collect();
        let find = |index: usize| self.by_suffix[index].nearest(scope, &parts);
        Parameters {
            mean: find(0),
            variance: find(1),
            moving_mean: find(2),
            moving_variance: find(3),
            epsilon: find(4),
            decays: [find(5), find(6)],
            gamma: find(7),
        }
    }
}

impl<'g> Candidates<'g> {
    #[allow(clippy::cast_possible_truncation)] // there are fewer than nodes, which are counted in 32 bits
    fn push(&mut self, node: NodeId, name: &'g str) {
        let index = self.nodes.len() as u32;
        self.nodes.push((node, name));
        for part in name.split('/') {
            let with_part = self.by_part.entry(part).or_default();
            if with_part.last() != Some(&index) {
                with_part.push(index);
            }
        }
    }

    fn nearest(&self, scope: &str, parts: &HashSet<&str>) -> Option<NodeId> {
        if scope.is_empty() {
            return self.nodes.first().map(|&(node, _)| node);
        }
        self.first_with_all(parts).or_else(|| self.best(parts))
    }

    /// The first candidate with every part of the scope: none can share more. The rarest part leads to it.
    fn first_with_all(&self, parts: &HashSet<&str>) -> Option<NodeId> {
        let named = || parts.iter().filter(|part| !part.is_empty());
        let lists: Option<Vec<&Vec<u32>>> = named().map(|part| self.by_part.get(part)).collect();
        let rarest = lists?.into_iter().min_by_key(|list| list.len())?;
        rarest.iter().map(|&index| self.nodes[index as usize]).find_map(|(node, name)| {
            let own: HashSet<&str> = name.split('/').collect();
            named().all(|part| own.contains(part)).then_some(node)
        })
    }

    /// The first of the candidates that share most parts.
    fn best(&self, parts: &HashSet<&str>) -> Option<NodeId> {
        let mut shared: HashMap<u32, u32> = HashMap::new();
        for part in parts {
            for &index in self.by_part.get(part).into_iter().flatten() {
                *shared.entry(index).or_default() += 1;
            }
        }
        let best = shared.into_iter().max_by_key(|&(index, count)| (count, std::cmp::Reverse(index)))?;
        Some(self.nodes[best.0 as usize].0)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::graph::{NewNode, read};

    #[test]
    fn the_most_parts_in_common_win_and_the_first_of_several() {
        let mut graph = read::parse(Bytes::new()).unwrap();
        for name in ["Net/a/BatchNorm/gamma", "Net/b/BatchNorm/gamma", "Net/b/c/BatchNorm/gamma"] {
            graph.insert(NewNode { name, op: "VariableV2", device: "", inputs: &[], attrs: &[] }).unwrap();
        }
        let operations: Vec<NodeId> = graph.ids().collect();
        let index = ParameterIndex::new(&graph, &operations);
        let gamma = |scope: &str| index.find(scope).gamma.map(|node| graph.name(node));
        assert_eq!(gamma("Net/Net/b/"), Some("Net/b/BatchNorm/gamma"));
        assert_eq!(gamma("Net/c/b/"), Some("Net/b/c/BatchNorm/gamma"));
        assert_eq!(gamma("Net/other/"), Some("Net/a/BatchNorm/gamma"));
        assert_eq!(gamma("Other/"), None);
        assert_eq!(gamma(""), Some("Net/a/BatchNorm/gamma"));
        assert_eq!(index.find("Net/a/").mean, None);
    }
}
