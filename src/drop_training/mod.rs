//! `--drop-training`: leaves out of a graph what its outputs do not need, which is what trains, saves and watches.
//!
//! What stays is what the outputs read or wait for, and what gives the variables and tables among that their first values,
//! the iterators their data set, and fills the queues.
//! In a training rewrite the losses and the updates of moving averages stay as well, in a collection or not: the next
//! optimizer needs them. The
//! model is put together anew from ranges of the file, so that no other byte changes; collections, contexts and the Saver
//! lose what speaks of nodes that are gone. The passes then see a graph that never was trained.

mod collections;

use std::collections::BTreeMap;
use std::fmt;

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use crate::container::{MessageKind, Model};
use crate::error::{Error, ErrorKind, Printable, Result};
use crate::graph::ends::ranked_ends;
use crate::graph::op_class::is_variable;
use crate::graph::training::{Gradients, is_saving};
use crate::graph::write::Splice;
use crate::graph::{Graph, NodeId};
use crate::wire::{Fields, last_bytes};

/// What was left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Dropped {
    /// How many nodes.
    pub nodes: usize,
    /// The outputs by which it was decided what stays.
    pub outputs: Vec<String>,
    /// How many values each collection lost.
    pub collections: BTreeMap<String, usize>,
    /// Whether the Saver is gone: `import_meta_graph` makes a new one from the variables that are left.
    pub saver: bool,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nodes that {} outputs do not need", self.nodes, self.outputs.len())?;
        for (key, lost) in &self.collections {
            write!(f, ", {lost} values of the collection {}", Printable(key))?;
        }
        if self.saver { f.write_str(", the Saver") } else { Ok(()) }
    }
}

/// Collections whose ops a SavedModel's loader runs.
const LOADER_KEYS: [&str; 2] = ["saved_model_main_op", "legacy_init_op"];
/// Collections that whoever trains on needs.
const TRAINING_KEYS: [&str; 4] = ["update_ops", "losses", "regularization_losses", "global_step"];
/// The Saver's place in a MetaGraphDef.
const SAVER_DEF: u32 = 3;

/// Leaves out what only trains, saves or watches; says what that was.
///
/// # Errors
/// [`ErrorKind::Refused`] for a graph without outputs. Those of [`Model::open`] if the result were no model.
pub(crate) fn drop_training(model: &Model, is_training: bool) -> Result<(Model, Dropped)> {
    let graph = &model.graph;
    let meta_graph = model.meta_graph();
    let known = if model.ends.outputs.is_empty() { model.signatures().outputs() } else { model.ends.outputs.clone() };
    let mut outputs: Vec<NodeId> = known.into_iter().map(|tensor| tensor.node).collect();
    if outputs.is_empty() {
        outputs = ranked_ends(graph);
    }
    if outputs.is_empty() {
        return Err(Error::new(ErrorKind::Refused, "no output is found, so nothing would be left without training")
            .hint("leave out --drop-training"));
    }
    let mut keep = Keep::new(model);
    keep.add_all(outputs.iter().copied().chain(model.signatures().inputs.into_iter().map(|(_, input)| input.node)));
    let mut keys = Vec::new();
    let saver = meta_graph.as_deref().map(saver_names).unwrap_or_default();
    if model.kind == MessageKind::SavedModel {
        // Its loader restores the variables by the Saver.
        keys.extend(LOADER_KEYS);
        keep.add_names(saver.iter().map(String::as_str));
    }
    if is_training {
        keys.extend(TRAINING_KEYS);
    }
    for key in keys {
        let names = model.collections.all_names(key);
        keep.add_names(names.iter().map(String::as_str));
    }
    if is_training {
        keep.add_updates();
    }
    let is_dropped = |name: &str| graph.find(node_name(name)).is_some_and(|node| !keep.contains(node));
    let without_saver = saver.iter().any(|name| is_dropped(name));
    let mut dropped = Dropped {
        nodes: graph.ids().filter(|&node| !keep.contains(node)).count(),
        outputs: outputs.iter().map(|&node| graph.name(node).to_owned()).collect(),
        saver: without_saver,
        ..Dropped::default()
    };
    let mut changed = Vec::new();
    for (key, definition) in model.collections.definitions() {
        let (definition, lost) = collections::without(key, definition, &is_dropped);
        if lost > 0 {
            dropped.collections.insert(key.to_owned(), lost);
            changed.push((key, Splice::from(definition)));
        }
    }
    let kept = model.only(|node| keep.contains(node), &changed, without_saver.then_some(SAVER_DEF))?;
    Ok((kept, dropped))
}

/// The names that a MetaGraphDef's Saver speaks of.
fn saver_names(meta_graph: &[u8]) -> Vec<String> {
    let Some(saver) = last_bytes(meta_graph, SAVER_DEF) else { return Vec::new() };
    let saver = &meta_graph[saver];
    let names = (1..=3).filter_map(|number| last_bytes(saver, number));
    names.filter_map(|name| std::str::from_utf8(&saver[name]).ok()).map(str::to_owned).collect()
}

/// `a/b` of `a/b:0` and `^a/b`.
fn node_name(name: &str) -> &str {
    let name = name.strip_prefix('^').unwrap_or(name);
    name.rsplit_once(':').map_or(name, |(node, _)| node)
}

/// The nodes that stay, and what each of them draws in.
struct Keep<'m> {
    graph: &'m Graph,
    kept: Vec<bool>,
    /// Nodes that what is fed decides about, and gradients: they give nothing its first value.
    not_initial: Vec<bool>,
    /// The names in each variable's entry in the collections, by the variable's name.
    companions: HashMap<String, HashSet<String>>,
    /// The predicates and pivots of the branches and loops that a node is in: without them, they are no contexts.
    pivots: HashMap<NodeId, Vec<NodeId>>,
}

impl<'m> Keep<'m> {
    fn new(model: &'m Model) -> Self {
        let graph = &model.graph;
        let mut companions: HashMap<String, HashSet<String>> = HashMap::new();
        for (key, definition) in model.collections.definitions() {
            for value in collections::variables(key, definition) {
                let names: Vec<String> = Fields::new(value)
                    .map_while(Result::ok)
                    .filter_map(|field| std::str::from_utf8(&value[field.value()]).ok())
                    .map(|name| node_name(name).to_owned())
                    .collect();
                let Some(variable) = names.first() else { continue };
                companions.entry(variable.clone()).or_default().extend(names);
            }
        }
        let mut pivots: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        for region in model.collections.definitions().flat_map(|(key, list)| collections::regions(key, list)) {
            let find = |name: &&str| graph.find(node_name(name));
            let vital: Vec<NodeId> = region.vital.iter().filter_map(find).collect();
            for inside in region.inside.iter().filter_map(find) {
                pivots.entry(inside).or_default().extend(&vital);
            }
        }
        Self { graph, kept: vec![false; graph.len()], not_initial: not_initial(graph), companions, pivots }
    }

    fn contains(&self, node: NodeId) -> bool {
        self.kept[node.index()]
    }

    fn add_names<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let graph = self.graph;
        self.add_all(names.filter_map(|name| graph.find(node_name(name))));
    }

    /// Keeps the nodes and all that they draw in.
    fn add_all(&mut self, nodes: impl Iterator<Item = NodeId>) {
        let graph = self.graph;
        let mut waiting: Vec<NodeId> = nodes.collect();
        while let Some(node) = waiting.pop() {
            if std::mem::replace(&mut self.kept[node.index()], true) {
                continue;
            }
            waiting.extend(graph.inputs(node).map(crate::graph::Input::node));
            waiting.extend(self.pivots.get(&node).into_iter().flatten());
            waiting.extend(graph.consumers(node).filter(|&reader| self.is_initializer_of(reader, node)));
            if is_variable(graph.op(node))
                && let Some(names) = self.companions.get(graph.name(node))
            {
                waiting.extend(names.iter().filter_map(|name| graph.find(name)));
            }
        }
    }

    /// Keeps the moving averages of what the kept part of the network computes: Keras has them in no collection.
    fn add_updates(&mut self) {
        let graph = self.graph;
        let gradients = Gradients::find(graph);
        let is_computed = |&node: &NodeId| {
            self.contains(node) && self.not_initial[node.index()] && graph.data_inputs(node).next().is_some()
        };
        let computed = graph.reached(graph.ids().filter(is_computed), |node| graph.consumers(node));
        let is_update = |node: NodeId| {
            matches!(graph.op(node), "AssignSub" | "AssignSubVariableOp")
                && graph.data_input(node, 1).is_some_and(|value| computed[value.node.index()])
                && !gradients.contain(node)
        };
        let updates: Vec<NodeId> = graph.ids().filter(|&node| is_update(node)).collect();
        self.add_all(updates.into_iter());
    }

    /// Whether the node gives the variable, table or iterator its first value, or fills the queue.
    fn is_initializer_of(&self, node: NodeId, target: NodeId) -> bool {
        let graph = self.graph;
        let op = graph.op(node);
        let reads = |slot: usize| graph.data_input(node, slot).is_some_and(|input| input.node == target);
        if op == "MakeIterator" {
            return reads(1);
        }
        if op.starts_with("QueueEnqueue") || op.starts_with("QueueClose") {
            return reads(0);
        }
        let assigns = matches!(op, "Assign" | "AssignVariableOp") || op.starts_with("InitializeTable");
        assigns && reads(0) && !self.not_initial[node.index()] && !is_saving(graph, node)
    }
}

/// What is fed, restored or differentiated, and all that reads it.
fn not_initial(graph: &Graph) -> Vec<bool> {
    let gradients = Gradients::find(graph);
    let is_fed = |node: NodeId| {
        let op = graph.op(node);
        op.starts_with("Placeholder")
            || op.starts_with("Restore")
            || op.starts_with("Iterator")
            || op.contains("Dequeue")
    };
    let sources = graph.ids().filter(|&node| is_fed(node) || gradients.contain(node));
    graph.reached(sources, |node| graph.consumers(node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::model_of;

    /// A layer with its variable, how that begins, a Saver, and a step of an optimizer.
    const TRAINED: &str = "
        x = Placeholder [?,4]
        labels = Placeholder [?]
        zeros = Const [4,4]
        v = VariableV2 [4,4]
        v/Assign = Assign(v, zeros)
        w = Identity(v)
        dense = MatMul(x, w)
        probabilities = Softmax(dense)
        loss = SparseSoftmaxCrossEntropyWithLogits(dense, labels)
        gradients/mul = Mul(loss:1, x)
        gradients/dense = MatMul(x, gradients/mul)
        rate = Const 0.1
        slot = VariableV2 [4,4]
        slot/Assign = Assign(slot, zeros)
        step = ApplyMomentum(v, slot, rate, gradients/dense, rate)
        file = Const
        save/RestoreV2 = RestoreV2(file, file, file)
        save/Assign = Assign(v, save/RestoreV2)
        save/SaveV2 = SaveV2(file, file, file, v)
        init = NoOp(^v/Assign, ^slot/Assign)
        summary = HistogramSummary(file, dense)
    ";

    #[test]
    fn what_trains_saves_and_watches_goes_and_first_values_stay() {
        let model = model_of(TRAINED);
        let (kept, dropped) = drop_training(&model, false).unwrap();
        let names: Vec<&str> = kept.graph.ids().map(|node| kept.graph.name(node)).collect();
        let network = ["x", "labels", "zeros", "v", "v/Assign", "w", "dense", "probabilities", "loss"];
        assert_eq!(names, network);
        assert_eq!((dropped.nodes, dropped.saver), (12, false));
        let original = model.graph.find("dense").unwrap();
        assert_eq!(kept.graph.node_def(kept.graph.find("dense").unwrap()), model.graph.node_def(original));
    }

    #[test]
    fn training_keeps_the_moving_averages_that_no_collection_names() {
        let averages = "
            mean = VariableV2 [4]
            scale = VariableV2 [4]
            norm = FusedBatchNormV3(dense, scale, scale, mean, mean)
            difference = Sub(mean, norm:1)
            product = Mul(difference, rate)
            update = AssignSub(mean, product)
            descent = AssignSub(v, gradients/dense)
            loss_for_keras = Identity(gradients/dense)
        ";
        let lines = TRAINED.replace("Softmax(dense)", "Softmax(norm)") + averages;
        let kept = |is_training: bool| {
            let (kept, dropped) = drop_training(&model_of(&lines), is_training).unwrap();
            assert_eq!(dropped.outputs, ["probabilities", "loss"]);
            ["update", "descent", "loss_for_keras"].map(|name| kept.graph.find(name).is_some())
        };
        assert_eq!([kept(true), kept(false)], [[true, false, false], [false; 3]]);
    }

    #[test]
    fn what_feeds_iterators_and_queues_stays() {
        let fed = |source: &str| {
            let lines = TRAINED.replace("x = Placeholder [?,4]", source);
            let (kept, _) = drop_training(&model_of(&lines), true).unwrap();
            kept.graph
                .ids()
                .map(|node| kept.graph.name(node))
                .filter(|name| name.starts_with('f'))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let iterator = "
            fa = TensorDataset
            fi = IteratorV2
            fm = MakeIterator(fa, fi)
            x = IteratorGetNext(fi)";
        assert_eq!(fed(iterator), "fa fi fm");
        let queue = "
            fa = RandomUniform
            fq = FIFOQueueV2
            fe = QueueEnqueueV2(fq, fa)
            fc = QueueCloseV2(fq)
            gone = QueueSizeV2(fq)
            x = QueueDequeueV2(fq)";
        assert_eq!(fed(queue), "fa fq fe fc");
    }

    #[test]
    fn a_graph_without_outputs_is_refused() {
        let model = model_of("v = VariableV2 [4]\nzeros = Const [4]\nv/Assign = Assign(v, zeros)");
        assert_eq!(drop_training(&model, false).unwrap_err().kind(), ErrorKind::Refused);
    }

    #[test]
    fn contexts_and_collections_lose_what_is_gone() {
        use crate::wire::put_bytes;
        let message = |fields: &[(u32, &[u8])]| {
            let mut out = Vec::new();
            for (number, value) in fields {
                put_bytes(&mut out, *number, value);
            }
            out
        };
        let is_dropped = |name: &str| node_name(name).starts_with("gone");
        let names = message(&[(1, &message(&[(1, b"kept:0"), (1, b"gone/a:0"), (1, b"other")]))]);
        let (left, lost) = collections::without("ops", &names, &is_dropped);
        assert_eq!((left, lost), (message(&[(1, &message(&[(1, b"kept:0"), (1, b"other")]))]), 1));

        let values = message(&[(1, b"a"), (1, b"gone/b"), (2, &message(&[(1, b"k:0"), (2, b"gone/c:0")]))]);
        let cond = |pivot: &[u8]| message(&[(1, b"cond"), (2, b"pred:0"), (3, pivot), (5, &values)]);
        let contexts = message(&[(2, &message(&[(1, &cond(b"pivot:0")), (1, &cond(b"gone/pivot:0"))]))]);
        let (left, lost) = collections::without("cond_context", &contexts, &is_dropped);
        let expected = message(&[(1, b"cond"), (2, b"pred:0"), (3, b"pivot:0"), (5, &message(&[(1, b"a")]))]);
        assert_eq!((left, lost), (message(&[(2, &message(&[(1, &expected)]))]), 2));
        assert_eq!(collections::without("ops", &message(&[(7, b"gone")]), &is_dropped).1, 0);
        let told: Vec<_> = collections::regions("cond_context", &contexts)
            .into_iter()
            .map(|region| (region.inside.join(" "), region.vital.join(" ")))
            .collect();
        let of = |pivot: &str| ("a gone/b".to_owned(), format!("pred:0 {pivot}"));
        assert_eq!(told, [of("gone/pivot:0"), of("pivot:0")]);
    }
}
