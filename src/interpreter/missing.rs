//! What to say of a graph that cannot be run: every node that is in the way, and where to cut the graph.

use std::fmt::Write;

use hashbrown::HashSet;

use crate::error::{Error, ErrorKind};
use crate::graph::{Graph, NodeId, TensorRef};

/// A node that cannot be run.
#[derive(Debug)]
pub(super) struct Problem {
    /// The node, if it is in the graph itself.
    node: Option<NodeId>,
    name: String,
    op: String,
    why: String,
}

impl Problem {
    pub(super) fn new(graph: &Graph, node: NodeId, error: &Error) -> Self {
        let (name, op) = (graph.name(node).to_owned(), graph.op(node).to_owned());
        Self { node: Some(node), name, op, why: error.what().to_owned() }
    }

    /// The same problem, of a node inside of a function.
    pub(super) fn within(self, function: &str) -> Self {
        Self { node: None, name: format!("{function}/{}", self.name), ..self }
    }
}

/// More nodes than this are counted, not listed.
const LISTED: usize = 20;

/// The error that names them all.
pub(super) fn error(graph: &Graph, feeds: &[TensorRef], fetches: &[TensorRef], problems: &[Problem]) -> Error {
    let mut what = match problems {
        [_] => "the graph cannot be run".to_owned(),
        _ => format!("the graph cannot be run; {} nodes are in the way", problems.len()),
    };
    let [first, others @ ..] = problems else { return Error::new(ErrorKind::Refused, what) };
    let _ = write!(what, ": {}", first.why);
    if !others.is_empty() {
        let listed =
            others.iter().take(LISTED).map(|problem| format!("'{}' ({}): {}", problem.name, problem.op, problem.why));
        let listed: Vec<String> = listed.collect();
        let _ = write!(what, "; also {}", listed.join(", "));
        if others.len() > LISTED {
            let _ = write!(what, " and {} more", others.len() - LISTED);
        }
        what.push_str("; the first is");
    }
    let error = Error::new(ErrorKind::Refused, what).in_node(&first.name, &first.op);
    let nodes: Option<Vec<NodeId>> = problems.iter().map(|problem| problem.node).collect();
    match nodes.and_then(|nodes| nearest_cut(graph, feeds, fetches, &nodes)) {
        Some(hint) => error.hint(hint),
        None => error.hint(
            "these ops are inside of functions; freeze the graph so that they are inlined, or compute less of it",
        ),
    }
}

/// The option that leaves the nodes out and the most of the graph in.
fn nearest_cut(graph: &Graph, feeds: &[TensorRef], fetches: &[TensorRef], problems: &[NodeId]) -> Option<String> {
    let fed: HashSet<TensorRef> = feeds.iter().copied().collect();
    let problems: HashSet<NodeId> = problems.iter().copied().collect();
    let needed = graph.reached(fetches.iter().map(|fetch| fetch.node), |node| {
        graph.data_inputs(node).filter(|input| !fed.contains(input)).map(|input| input.node)
    });
    let is_needed = |node: &NodeId| needed[node.index()];
    let after = graph.reached(problems.iter().copied(), |node| graph.consumers(node).filter(is_needed));
    let before = graph.reached(problems.iter().copied(), |node| graph.data_inputs(node).map(|input| input.node));
    let (is_after, is_before) = (|node: &NodeId| after[node.index()], |node: &NodeId| before[node.index()]);
    let mut outputs: Vec<TensorRef> = graph
        .ids()
        .filter(is_after)
        .flat_map(|node| graph.data_inputs(node))
        .filter(|input| !is_after(&input.node) && !matches!(graph.op(input.node), "Const" | "Placeholder"))
        .collect();
    outputs.sort_unstable();
    outputs.dedup();
    let mut inputs: Vec<TensorRef> = graph
        .ids()
        .filter(|node| is_needed(node) && !is_before(node))
        .flat_map(|node| graph.data_inputs(node))
        .filter(|input| problems.contains(&input.node))
        .collect();
    inputs.sort_unstable();
    inputs.dedup();
    let names =
        |tensors: &[TensorRef]| tensors.iter().map(|&tensor| graph.tensor_name(tensor)).collect::<Vec<_>>().join(",");
    let (lost_after, lost_before) =
        (graph.ids().filter(is_after).count(), graph.ids().filter(|node| is_before(node) && is_needed(node)).count());
    let fits = |tensors: &[TensorRef]| !tensors.is_empty() && tensors.len() <= LISTED;
    if fits(&inputs) && (lost_before < lost_after || !fits(&outputs)) {
        Some(format!("feed what is behind them: --inputs {}", names(&inputs)))
    } else if fits(&outputs) {
        Some(format!("compute only what is before them: --outputs {}", names(&outputs)))
    } else {
        None
    }
}
