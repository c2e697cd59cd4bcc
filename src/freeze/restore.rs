//! Under which key a checkpoint holds each variable.
//!
//! What the model itself does to restore its variables is believed first: the assignments of a Saver's RestoreV2, in
//! the graph as TensorFlow 1 has them or in the restore function of a TF2 SavedModel. Then names: the variable's own, its
//! `shared_name`, and what the checkpoint's object graph says of a variable of that name.

use bytes::Bytes;
use hashbrown::HashMap;
use prost::Message;

use super::inline::{Call, call};
use super::library::{self, Library, Spelled};
use crate::checkpoint::{Checkpoint, OBJECT_GRAPH, OBJECT_SUFFIX, Slice, parse_slice};
use crate::error::Result;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::{AttrValue, TrackableObjectGraph, attr_value::Value};

/// A place in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub name: String,
    /// Of a partitioned variable, its part.
    pub slice: Option<Slice>,
}

/// What is known of where variables are kept.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// By the variable's node in the graph: the keys it is restored from, by one Saver or several.
    restored: HashMap<NodeId, Vec<Key>>,
    /// By the variable's full name: the key of its object; none if several have that name.
    objects: HashMap<String, Option<String>>,
}

impl Keys {
    /// Finds out how the graph restores its variables, and what the checkpoint knows of their names.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::InvalidGraph`] for a restoring node that makes no sense; those of the checkpoint.
    pub(super) fn find(graph: &Graph, library: &Library<'_>, checkpoint: &mut Checkpoint) -> Result<Self> {
        let mut keys = Self::in_graph(graph, library)?;
        if checkpoint.entry(OBJECT_GRAPH).is_some() {
            keys.read_objects(&checkpoint.string(OBJECT_GRAPH)?);
        }
        Ok(keys)
    }

    /// What the graph itself says.
    ///
    /// # Errors
    /// Those of [`Keys::find`] that are not the checkpoint's.
    pub(super) fn in_graph(graph: &Graph, library: &Library<'_>) -> Result<Self> {
        let mut keys = Self::default();
        keys.read_graph(graph)?;
        keys.read_functions(graph, library)?;
        Ok(keys)
    }

    /// By key, the variable that is restored from it.
    pub(super) fn variables(self) -> HashMap<String, NodeId> {
        let names = |(node, keys): (NodeId, Vec<Key>)| keys.into_iter().map(move |key| (key.name, node));
        self.restored.into_iter().flat_map(names).collect()
    }

    /// `Assign(variable, RestoreV2:i)`, with Identity between or not.
    fn read_graph(&mut self, graph: &Graph) -> Result<()> {
        for node in graph.ids().filter(|&node| is_assign(graph.op(node))) {
            let mut inputs = graph.data_inputs(node);
            let (Some(variable), Some(mut value)) = (inputs.next(), inputs.next()) else { continue };
            let mut steps = 0;
            while graph.op(value.node) == "Identity" && steps < 8 {
                let Some(input) = graph.data_input(value.node, 0) else { break };
                value = input;
                steps += 1;
            }
            if graph.op(value.node) != "RestoreV2" {
                continue;
            }
            let texts = |input| graph.data_input(value.node, input).map(|input| constant_strings(graph, input));
            let (names, slices) = (texts(1).unwrap_or_default(), texts(2).unwrap_or_default());
            self.add(variable.node, &names, &slices, value.port)?;
        }
        Ok(())
    }

    /// A call whose function assigns what a RestoreV2 in it restores to the variables that it is given.
    fn read_functions(&mut self, graph: &Graph, library: &Library<'_>) -> Result<()> {
        for node in graph.ids() {
            let Ok(Some(Call::Function(callee))) = call(library, graph.name(node), graph.op(node), graph.body(node))
            else {
                continue;
            };
            let function = &library.functions[callee.function];
            if !function.nodes.iter().any(|node| node.op == "RestoreV2") {
                continue;
            }
            let nodes: HashMap<&str, usize> =
                function.nodes.iter().enumerate().map(|(place, node)| (node.name, place)).collect();
            let args: HashMap<&str, TensorRef> = function
                .signature
                .input_arg
                .iter()
                .zip(graph.data_inputs(node))
                .map(|(arg, input)| (arg.name.as_str(), input))
                .collect();
            let producer = |spelled: &str| match Spelled::parse(spelled)? {
                Spelled::Plain(name) => Some((*nodes.get(name)?, 0)),
                Spelled::Part(name, _, index) => Some((*nodes.get(name)?, index)),
                Spelled::Control(_) => None,
            };
            for assign in function.nodes.iter().filter(|node| is_assign(node.op)) {
                let [variable, value, ..] = assign.inputs[..] else { continue };
                let (Some(variable), Some(mut at)) = (args.get(variable), producer(value)) else { continue };
                for _ in 0..8 {
                    let input = function.nodes[at.0].inputs.first().filter(|_| function.nodes[at.0].op == "Identity");
                    match input.and_then(|input| producer(input)) {
                        Some(next) => at = next,
                        None => break,
                    }
                }
                let (restore, port) = (&function.nodes[at.0], at.1);
                if restore.op != "RestoreV2" {
                    continue;
                }
                let texts = |input: usize| {
                    let constant = restore.inputs.get(input).and_then(|input| producer(input));
                    let value = constant.and_then(|(place, _)| library::attr(function.nodes[place].def, "value"));
                    value.map(strings_of).unwrap_or_default()
                };
                self.add(variable.node, &texts(1), &texts(2), port)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, variable: NodeId, names: &[Bytes], slices: &[Bytes], port: u32) -> Result<()> {
        let text = |list: &[Bytes]| list.get(port as usize).map(|text| String::from_utf8_lossy(text).into_owned());
        if let Some(name) = text(names) {
            let slice = parse_slice(&text(slices).unwrap_or_default())?;
            self.restored.entry(variable).or_default().push(Key { name, slice });
        }
        Ok(())
    }

    fn read_objects(&mut self, encoded: &[u8]) {
        let objects = TrackableObjectGraph::decode(encoded).unwrap_or_default();
        for attribute in objects.nodes.iter().flat_map(|node| &node.attributes) {
            let entry = self.objects.entry(attribute.full_name.clone());
            let key = attribute.checkpoint_key.clone();
            entry.and_modify(|known| *known = known.take().filter(|known| *known == key)).or_insert(Some(key));
        }
    }

    /// The key under which the checkpoint has the variable; `node` is where it is in the graph, if it is not in a
    /// function, and `names` what it is called.
    pub(super) fn of(&self, node: Option<NodeId>, names: &[&str], checkpoint: &Checkpoint) -> Option<Key> {
        let restored = node.and_then(|node| self.restored.get(&node)).map_or(&[][..], Vec::as_slice);
        let by_name = restored.iter().find(|key| names.contains(&key.name.as_str()));
        let restored = by_name.into_iter().chain(restored).find(|key| checkpoint.entry(&key.name).is_some());
        if let Some(key) = restored {
            return Some(key.clone());
        }
        let plain = |name: String| Key { name, slice: None };
        let own = names.iter().map(|&name| name.to_owned());
        let objects = names.iter().filter_map(|&name| self.objects.get(name).cloned().flatten());
        let paths = names.iter().map(|name| format!("{name}{OBJECT_SUFFIX}"));
        own.chain(objects).chain(paths).find(|name| checkpoint.entry(name).is_some()).map(plain)
    }

    /// What to look for when the checkpoint lacks it.
    pub(super) fn wanted<'s>(&'s self, node: Option<NodeId>, name: &'s str) -> &'s str {
        let restored = node.and_then(|node| self.restored.get(&node)?.first());
        restored.map_or(name, |key| key.name.as_str())
    }
}

fn is_assign(op: &str) -> bool {
    matches!(op, "Assign" | "AssignVariableOp")
}

fn constant_strings(graph: &Graph, tensor: TensorRef) -> Vec<Bytes> {
    graph.attr_bytes(tensor.node, "value").map(strings_of).unwrap_or_default()
}

fn strings_of(value: &[u8]) -> Vec<Bytes> {
    match AttrValue::decode(value).ok().and_then(|attr| attr.value) {
        Some(Value::Tensor(tensor)) => tensor.string_val,
        _ => Vec::new(),
    }
}
