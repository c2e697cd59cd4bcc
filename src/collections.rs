//! The collections of a MetaGraphDef: which variables, update ops and contexts the graph has, by key.
//!
//! A pass reads what is there and adds to it; [`crate::container`] keeps the bytes of every collection that got nothing
//! new. A bare GraphDef has no collections: what is added then is known to the report alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hashbrown::HashSet;
use memchr::memmem;
use prost::Message;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::pattern::{Blanks, Filled, Layout, Lengths, NAMES, Pattern, VARIABLE_DEFS};
use crate::graph::write::Splice;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::VariableDef;
use crate::source::Part;
use crate::wire::{self, Fields, put_bytes};

/// All variables: `tf.GraphKeys.GLOBAL_VARIABLES`.
pub(crate) const GLOBAL_VARIABLES: &str = "variables";
/// The variables of the model's layers: `tf.GraphKeys.MODEL_VARIABLES`.
pub(crate) const MODEL_VARIABLES: &str = "model_variables";
/// Where quantization ranges go unless told otherwise: `tf.GraphKeys.MOVING_AVERAGE_VARIABLES`.
pub(crate) const MOVING_AVERAGE_VARIABLES: &str = "moving_average_variables";
/// The global step: `tf.GraphKeys.GLOBAL_STEP`.
pub(crate) const GLOBAL_STEP: &str = "global_step";
/// The branches of conditionals: `tf.GraphKeys.COND_CONTEXT`.
pub(crate) const COND_CONTEXT: &str = "cond_context";
/// The updates of quantization ranges, under the rewriter's own key.
pub(crate) const UPDATE_QUANT_OPS: &str = "update_quant_ops";

/// Keys whose variables are stored as VariableDefs; under any other key TensorFlow stores the tensor's name.
const VARIABLE_KEYS: [&str; 5] =
    [GLOBAL_VARIABLES, "trainable_variables", MOVING_AVERAGE_VARIABLES, "local_variables", MODEL_VARIABLES];

/// Field numbers of CollectionDef and its lists.
mod field {
    pub(super) const NODE_LIST: u32 = 1;
    pub(super) const BYTES_LIST: u32 = 2;
    pub(super) const LIST_VALUE: u32 = 1;
}

/// How the values of a collection are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Names of nodes and tensors.
    Nodes,
    /// Encoded messages.
    Messages,
}

#[derive(Debug, Clone)]
struct Addition {
    kind: Kind,
    /// The values, each as the field of a list.
    list: Arc<Filled>,
}

impl Addition {
    fn new(kind: Kind) -> Self {
        Self { kind, list: Arc::default() }
    }

    /// The values as the fields of a list.
    fn encoded(&self) -> Vec<u8> {
        let mut encoded = Vec::with_capacity(self.list.len());
        (0..self.list.pieces()).for_each(|piece| self.list.put_piece(piece, &mut encoded));
        encoded
    }
}

/// What the same passes add to collections, but for the names in it.
#[derive(Debug)]
pub(crate) struct CollectionTemplate {
    lists: Vec<(String, Kind, Pattern)>,
    /// The lists for scopes of this length: most scopes are as long as the one before.
    layouts: (usize, Vec<Arc<Layout>>),
}

/// The collections of a graph, as they were and with what was added.
#[derive(Debug, Clone, Default)]
pub struct Collections {
    /// The encoded CollectionDefs of the file, by key.
    original: BTreeMap<String, Bytes>,
    added: BTreeMap<String, Addition>,
    /// The names of the nodes of the file's global variables, once somebody has asked.
    global_variables: OnceLock<HashSet<Bytes>>,
    /// Whether there is a MetaGraphDef to keep them in. Without one, only names that the passes ask for are noted.
    kept: bool,
}

impl Collections {
    /// The collections of a file: keys and encoded CollectionDefs.
    #[must_use]
    pub fn new(original: BTreeMap<String, Bytes>) -> Self {
        Self { original, kept: true, ..Self::default() }
    }

    /// The keys of all collections, those added included, in alphabetical order.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.original.keys().chain(self.added.keys()).map(String::as_str).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The collections of the file as they are encoded, in the order of their keys.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.original.iter().map(|(key, definition)| (key.as_str(), definition))
    }

    /// The values of a collection in the file, as they are encoded.
    fn values(&self, key: &str, kind: Kind) -> Vec<Bytes> {
        let Some(bytes) = self.original.get(key) else { return Vec::new() };
        lists(bytes, kind).flat_map(|list| values(bytes, list)).map(|value| bytes.slice(value)).collect()
    }

    /// The variables in a collection of the file.
    #[must_use]
    pub fn variables(&self, key: &str) -> Vec<VariableDef> {
        self.values(key, Kind::Messages).into_iter().filter_map(|value| VariableDef::decode(value).ok()).collect()
    }

    /// The names in a collection of the file; for variables, the names of their tensors.
    #[must_use]
    pub fn tensor_names(&self, key: &str) -> Vec<String> {
        let nodes = self.values(key, Kind::Nodes).into_iter().filter_map(|value| String::from_utf8(value.into()).ok());
        nodes.chain(self.variables(key).into_iter().map(|variable| variable.variable_name)).collect()
    }

    /// Whether both files have the same collection under a key, and nothing was added to either.
    pub(crate) fn has_the_same(&self, other: &Self, key: &str) -> bool {
        let is_added = [self, other].iter().any(|collections| collections.added.contains_key(key));
        !is_added && self.original.get(key) == other.original.get(key)
    }

    /// The names in a collection, those added included; for variables, the names of their tensors.
    #[must_use]
    pub fn all_names(&self, key: &str) -> Vec<String> {
        let mut names = self.tensor_names(key);
        if let Some(added) = self.added.get(key) {
            let name = |value: &[u8]| match added.kind {
                Kind::Nodes => String::from_utf8(value.to_vec()).ok(),
                Kind::Messages => VariableDef::decode(value).ok().map(|variable| variable.variable_name),
            };
            names.extend(wire::messages(&added.encoded(), field::LIST_VALUE).filter_map(name));
        }
        names
    }

    /// Whether the variable, by its node's name, is among the file's global variables.
    #[must_use]
    pub fn has_global_variable(&self, name: &str) -> bool {
        self.global_variables().contains(name.as_bytes())
    }

    fn global_variables(&self) -> &HashSet<Bytes> {
        self.global_variables.get_or_init(|| {
            let Some(bytes) = self.original.get(GLOBAL_VARIABLES) else { return HashSet::new() };
            let variables = lists(bytes, Kind::Messages).flat_map(|list| values(bytes, list));
            variables.filter_map(|variable| variable_name(bytes, variable)).map(|name| bytes.slice(name)).collect()
        })
    }

    /// Adds a variable, stored as TensorFlow stores variables under that key: whole, or by the name of its tensor.
    pub fn add_variable(&mut self, key: &str, variable: impl FnOnce() -> VariableDef) {
        let is_stored_whole = VARIABLE_KEYS.contains(&key);
        if !self.kept && is_stored_whole {
            return;
        }
        let variable = variable();
        if is_stored_whole {
            self.add_message(key, &variable);
        } else {
            self.add(key, Kind::Nodes, variable.variable_name.as_bytes());
        }
    }

    /// Adds an encoded message.
    pub fn add_message(&mut self, key: &str, message: &impl Message) {
        if self.kept {
            self.add(key, Kind::Messages, &message.encode_to_vec());
        }
    }

    /// Adds an op by its name.
    pub fn add_op(&mut self, graph: &Graph, key: &str, node: NodeId) {
        self.add(key, Kind::Nodes, graph.owned_name(node).as_bytes());
    }

    /// Adds a tensor by its name.
    pub fn add_tensor(&mut self, graph: &Graph, key: &str, tensor: TensorRef) {
        self.add(key, Kind::Nodes, graph.tensor_name(tensor).as_bytes());
    }

    fn add(&mut self, key: &str, kind: Kind, value: &[u8]) {
        let mut encoded = Vec::with_capacity(wire::field_len(value.len()));
        put_bytes(&mut encoded, field::LIST_VALUE, value);
        self.list_of(key, kind).put(&encoded);
    }

    /// The list that is added to a collection.
    fn list_of(&mut self, key: &str, kind: Kind) -> &mut Filled {
        let addition = self.added.entry(key.to_owned()).or_insert_with(|| Addition::new(kind));
        Arc::make_mut(&mut addition.list)
    }

    /// Collections of the same sort with nothing in them.
    pub(crate) fn without_values(&self) -> Self {
        Self { kept: self.kept, ..Self::default() }
    }

    /// What was added, with blanks for names; `None` if there are blanks where none are looked for.
    pub(crate) fn to_template(&self, blanks: &Blanks<'_>) -> Option<CollectionTemplate> {
        let lists = self.added.iter().map(|(key, addition)| {
            let content = if addition.kind == Kind::Nodes { NAMES } else { VARIABLE_DEFS };
            Some((key.clone(), addition.kind, Pattern::of(&addition.encoded(), content, blanks)?))
        });
        Some(CollectionTemplate { lists: lists.collect::<Option<_>>()?, layouts: (0, Vec::new()) })
    }

    /// Adds what a template says, for names below that scope.
    pub(crate) fn add_by(&mut self, template: &mut CollectionTemplate, scope: &str) {
        let CollectionTemplate { lists, layouts: (scope_len, layouts) } = template;
        if *scope_len != scope.len() {
            let lengths = Lengths { scope: scope.len(), input: 0 };
            *scope_len = scope.len();
            *layouts = lists.iter().map(|(_, _, pattern)| Arc::new(pattern.layout(lengths))).collect();
        }
        for ((key, kind, _), layout) in lists.iter().zip(layouts) {
            self.list_of(key, *kind).put_layout(layout, scope);
        }
    }

    /// Whether the name of one of the file's global variables may hold that text: one look at all there is of them. No,
    /// only if none does.
    pub(crate) fn some_global_variable_may_hold(&self, text: &str) -> bool {
        self.original.get(GLOBAL_VARIABLES).is_some_and(|bytes| memmem::find(bytes, text.as_bytes()).is_some())
    }

    /// Whether anything was added.
    pub(crate) fn has_changes(&self) -> bool {
        !self.added.is_empty()
    }

    /// Takes all additions back.
    pub(crate) fn reset(&mut self) {
        self.added.clear();
    }

    /// The collections that got something new, encoded as CollectionDefs, in the order of their keys. What they held
    /// stays in front, unknown fields included.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when a collection of the file stores values of another kind under that key.
    pub fn changed(&self) -> Result<Vec<(&str, Splice)>> {
        self.added.iter().map(|(key, addition)| Ok((key.as_str(), self.extended(key, addition)?))).collect()
    }

    fn extended(&self, key: &str, addition: &Addition) -> Result<Splice> {
        let original = self.original.get(key).cloned().unwrap_or_default();
        let other = if addition.kind == Kind::Nodes { Kind::Messages } else { Kind::Nodes };
        if lists(&original, other).any(|list| values(&original, list).next().is_some()) {
            let what = format!("the collection '{key}' holds values of another kind than variables and update ops");
            return Err(Error::new(ErrorKind::Refused, what).hint("choose another collection with --vars-collection"));
        }
        let mut list = Splice::default();
        for range in lists(&original, addition.kind) {
            list.part(Part { bytes: original.slice(range), file: None, offset: 0 });
        }
        list.filled(Arc::clone(&addition.list));
        let mut encoded = Vec::new();
        for part in Fields::new(&original).map_while(Result::ok) {
            if !part.is_message(addition.kind.number()) && !part.is_message(other.number()) {
                encoded.extend_from_slice(&original[part.span()]);
            }
        }
        let mut definition = Splice::from(encoded);
        definition.message(addition.kind.number(), list);
        Ok(definition)
    }
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Self::Nodes => field::NODE_LIST,
            Self::Messages => field::BYTES_LIST,
        }
    }
}

/// The bodies of the lists of that kind in a CollectionDef: one, unless the message was concatenated.
fn lists(definition: &[u8], kind: Kind) -> impl Iterator<Item = Range<usize>> {
    Fields::new(definition)
        .map_while(Result::ok)
        .filter(move |part| part.is_message(kind.number()))
        .map(|part| part.value())
}

fn values(definition: &[u8], list: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let base = list.start;
    let parts = Fields::new(&definition[list]).map_while(Result::ok);
    parts.filter(|part| part.is_message(field::LIST_VALUE)).map(move |part| base + part.value_start..base + part.end)
}

/// Where the name of a VariableDef's node is: `a/b` of `a/b:0`.
fn variable_name(definition: &[u8], variable: Range<usize>) -> Option<Range<usize>> {
    let tensor = wire::last_bytes(&definition[variable.clone()], 1)?;
    let tensor = variable.start + tensor.start..variable.start + tensor.end;
    let name = definition[tensor.clone()].split(|&byte| byte == b':').next()?;
    (!name.is_empty()).then_some(tensor.start..tensor.start + name.len())
}

/// Splits a CollectionDef map entry: its key and where its value lies.
pub(crate) fn map_entry(entry: &[u8]) -> Option<(&str, Range<usize>)> {
    let key = std::str::from_utf8(&entry[wire::last_bytes(entry, 1)?]).ok()?;
    Some((key, wire::last_bytes(entry, 2).unwrap_or(0..0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::write::SpliceInput;

    fn collection(number: u32, values: &[&[u8]]) -> Bytes {
        let mut list = Vec::new();
        for value in values {
            put_bytes(&mut list, 1, value);
        }
        let mut definition = Vec::new();
        put_bytes(&mut definition, number, &list);
        wire::put_uint(&mut definition, 77, 1);
        definition.into()
    }

    #[test]
    fn additions_follow_what_was_there() {
        let mut collections = Collections::new(BTreeMap::from([("ops".to_owned(), collection(1, &[b"a"]))]));
        collections.add("ops", Kind::Nodes, b"b");
        let [(_, changed)] = &collections.changed().unwrap()[..] else { panic!() };
        let mut definition = Vec::new();
        let nothing = SpliceInput { bytes: &[], file: None };
        changed.write_to(&mut definition, &nothing, &Graph::default()).unwrap();
        let again = Collections::new(BTreeMap::from([("ops".to_owned(), Bytes::from(definition.clone()))]));
        assert_eq!(again.tensor_names("ops"), ["a", "b"]);
        assert_eq!(wire::last_varint(&definition, 77), Some(1), "unknown fields stay");
    }

    #[test]
    fn a_collection_of_another_kind_is_refused() {
        let mut collections = Collections::new(BTreeMap::from([("ops".to_owned(), collection(2, &[b"a"]))]));
        collections.add("ops", Kind::Nodes, b"b");
        assert_eq!(collections.changed().unwrap_err().kind(), ErrorKind::Refused);
    }

    #[test]
    fn variables_are_known_by_their_node() {
        let variable = VariableDef { variable_name: "a/b:0".to_owned(), ..VariableDef::default() }.encode_to_vec();
        let collections = Collections::new(BTreeMap::from([("variables".to_owned(), collection(2, &[&variable]))]));
        assert!(collections.has_global_variable("a/b"));
        assert_eq!(collections.tensor_names("variables"), ["a/b:0"]);
    }
}
