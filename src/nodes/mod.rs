//! Makes nodes the way TensorFlow's Python op builders do: same names, ops, inputs and attributes.
//!
//! [`Builder`] keeps the state those builders find in the default graph: the name scope, the names in use, what is being
//! colocated with, and the control dependencies in force. The modules below are the builders themselves; the passes and
//! [`fake_quant`] call them in the order in which the Python code does, as the order decides about suffixes.

mod colocation;
mod cond;
mod device;
mod dialect;
pub(crate) mod fake_quant;
mod global_step;
mod layer;
mod math;
mod moving_average;
mod names;
mod ops;
mod quantization_step;
mod scope;
mod stamping;
mod update;
mod variable;

pub(crate) use cond::Branch;
pub(crate) use dialect::Dialect;
pub(crate) use global_step::GlobalStep;
pub(crate) use names::NamesInUse;
pub(crate) use variable::Variable;

use std::collections::BTreeMap;

use crate::collections::Collections;
use crate::error::{ErrorKind, Result};
use crate::graph::attr::Attrs;
use crate::graph::loops::Loops;
use crate::graph::{Graph, Input, NameHash, NameSet, NewNode, NodeId, TensorRef};
use colocation::Colocation;
use stamping::Stamping;

/// Inserts nodes into a graph, with TensorFlow's naming.
pub(crate) struct Builder<'g> {
    /// The graph that is being extended.
    pub graph: &'g mut Graph,
    /// The collections that new variables, contexts and update ops enter.
    pub collections: &'g mut Collections,
    /// Variables made so far, in order.
    pub variables: Vec<Variable>,
    /// Which TensorFlow's builders are followed.
    pub dialect: Dialect,
    /// Whether new variables are resource variables, as inside `variable_scope(…, use_resource=True)`.
    pub resource_variables: bool,
    /// The nodes there were at first, in the order TensorFlow makes them in.
    originals: Vec<NodeId>,
    names: NamesInUse,
    stamping: Stamping,
    /// The names of the variables made so far, as they were asked for.
    variable_names: NameSet,
    /// How often each variable scope was opened since its parent was closed.
    variable_scopes: BTreeMap<String, u32>,
    /// The current name scope, ending in a slash unless empty.
    scope: String,
    /// The name of the node that is being made.
    name: String,
    colocation: Colocation,
    control: Option<ControlRegion>,
    /// The device that nodes request which are colocated with nothing.
    device: String,
    /// The nodes inside while-loops that no new node may read.
    loops: Loops,
    /// Inside a branch of a conditional: the node that lets its constants run.
    pivot: Option<NodeId>,
    attrs: Attrs,
    inputs: Vec<Input>,
}

/// `control_dependencies`: new nodes wait for `nodes`, unless they read a node that does so already.
#[derive(Debug, Clone)]
struct ControlRegion {
    nodes: Vec<NodeId>,
    entered_at: usize,
}

impl<'g> Builder<'g> {
    /// A builder at the root scope of `graph`, following that TensorFlow.
    pub(crate) fn new(graph: &'g mut Graph, collections: &'g mut Collections, dialect: Dialect) -> Self {
        let originals = graph.import_order();
        Self::with_originals(graph, collections, dialect, originals)
    }

    /// As [`Builder::new`], for a graph whose [`Graph::import_order`] is known.
    pub(crate) fn with_originals(
        graph: &'g mut Graph,
        collections: &'g mut Collections,
        dialect: Dialect,
        originals: Vec<NodeId>,
    ) -> Self {
        let names = NamesInUse::new(dialect.names_ignore_case());
        let stamping = Stamping::new(graph);
        Self {
            graph,
            collections,
            variables: Vec::new(),
            dialect,
            resource_variables: false,
            originals,
            names,
            stamping,
            variable_names: NameSet::default(),
            variable_scopes: BTreeMap::new(),
            scope: String::new(),
            name: String::new(),
            colocation: Colocation::default(),
            device: String::new(),
            loops: Loops::default(),
            control: None,
            pivot: None,
            attrs: Attrs::default(),
            inputs: Vec::new(),
        }
    }

    /// From now on, new nodes may not read what is inside a while-loop, as TensorFlow's `CheckInputFromValidContext` has it.
    pub(crate) fn stay_out_of_loops(&mut self) {
        self.loops = Loops::new(self.graph, &self.originals);
    }

    /// Refuses a new node that would read what is inside a while-loop.
    fn check_loops(&self, name: &str, inputs: &[TensorRef]) -> Result<()> {
        match inputs.iter().find(|input| self.loops.contain(input.node)) {
            None => Ok(()),
            Some(input) => {
                let what = format!("the node is inside a while-loop, and the new node '{name}' outside would read it");
                Err(self.graph.error(ErrorKind::Refused, what, input.node).hint(
                    "TensorFlow refuses it too: leave out --reference-only, and layers inside loops stay as they are",
                ))
            }
        }
    }

    /// `Graph.get_operations`: the nodes there were at first, as TensorFlow would have imported them, then the new ones.
    #[must_use]
    pub(crate) fn operations(&self) -> Vec<NodeId> {
        let mut operations = self.originals.clone();
        operations.extend(self.graph.ids_from(self.originals.len()));
        operations
    }

    /// Runs `body` inside the name scope `name`, made unique, below the current scope.
    ///
    /// # Errors
    /// Those of `body`.
    pub(crate) fn name_scope<T>(&mut self, name: &str, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let full = self.unique_name(name);
        self.inside(full, body)
    }

    /// As [`Builder::name_scope`], for a scope that `body` gives to a node as its name ([`Builder::op_here`]).
    pub(crate) fn op_scope<T>(&mut self, name: &str, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let mut full = self.full_name(name);
        self.names.make_unique(self.graph, &mut full, true);
        self.inside(full, body)
    }

    /// Runs `body` inside the scope of that full name, which may exist already; without a name, at the root.
    pub(crate) fn existing_scope<T>(
        &mut self,
        scope: Option<&str>,
        body: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        match scope {
            Some(scope) => self.inside(scope.to_owned(), body),
            None => self.root_scope(body),
        }
    }

    /// Runs `body` at the root scope.
    fn root_scope<T>(&mut self, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer = std::mem::take(&mut self.scope);
        let result = body(self);
        self.scope = outer;
        result
    }

    fn inside<T>(&mut self, mut scope: String, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        scope.push('/');
        let outer = std::mem::replace(&mut self.scope, scope);
        let result = body(self);
        self.scope = outer;
        result
    }

    /// `Graph.unique_name`: the name below the current scope, with a suffix if it is taken; taken from now on.
    fn unique_name(&mut self, name: &str) -> String {
        let mut full = self.full_name(name);
        self.names.make_unique(self.graph, &mut full, false);
        full
    }

    /// The name below the current scope, with room for a suffix.
    fn full_name(&self, name: &str) -> String {
        let mut full = String::with_capacity(self.scope.len() + name.len() + 8);
        full.push_str(&self.scope);
        full.push_str(name);
        full
    }

    /// The current scope as a name: what an op is called that was given its scope as its name.
    fn scope_name(&self) -> &str {
        self.scope.strip_suffix('/').unwrap_or_default()
    }

    /// Runs `body` with new nodes waiting for `nodes`, or for none.
    fn control_dependencies<T>(&mut self, nodes: &[NodeId], body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let region = (!nodes.is_empty()).then(|| ControlRegion { nodes: nodes.to_vec(), entered_at: self.graph.len() });
        let outer = std::mem::replace(&mut self.control, region);
        let result = body(self);
        self.control = outer;
        result
    }

    /// Adds a node named `name`, made unique, below the current scope.
    pub(crate) fn op(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[TensorRef],
        attrs: impl FnOnce(&mut Attrs) -> &mut Attrs,
    ) -> Result<NodeId> {
        let mut full = std::mem::take(&mut self.name);
        full.clear();
        full.push_str(&self.scope);
        full.push_str(name);
        let hash = self.names.make_unique(self.graph, &mut full, true);
        let inserted = self.op_named(op, &full, Some(hash), inputs, attrs);
        self.name = full;
        inserted
    }

    /// Adds a node that bears the name of the current scope, as ops do that opened the scope for their arguments.
    pub(crate) fn op_here(
        &mut self,
        op: &str,
        inputs: &[TensorRef],
        attrs: impl FnOnce(&mut Attrs) -> &mut Attrs,
    ) -> Result<NodeId> {
        let scope = std::mem::take(&mut self.scope);
        let name = scope.strip_suffix('/').unwrap_or_default();
        let inserted = self.op_named(op, name, None, inputs, attrs);
        self.scope = scope;
        inserted
    }

    /// Adds a node whose name is free; `unique` is the hash that came out when the name was made unique, if just now.
    fn op_named(
        &mut self,
        op: &str,
        name: &str,
        unique: Option<NameHash>,
        inputs: &[TensorRef],
        attrs: impl FnOnce(&mut Attrs) -> &mut Attrs,
    ) -> Result<NodeId> {
        self.check_loops(name, inputs)?;
        let mut all = std::mem::take(&mut self.inputs);
        all.clear();
        all.extend(inputs.iter().copied().map(Input::Data));
        if let Some(region) = &self.control {
            let waits_already = inputs.iter().any(|input| input.node.index() >= region.entered_at);
            if !waits_already {
                let others = region.nodes.iter().filter(|&&node| !inputs.iter().any(|input| input.node == node));
                all.extend(others.map(|&node| Input::Control(node)));
            }
        }
        if inputs.is_empty() {
            all.extend(self.pivot.map(Input::Control));
        }
        let mut encoder = std::mem::take(&mut self.attrs);
        encoder.clear().encoded(self.colocation.class());
        attrs(&mut encoder);
        let device = if self.colocation.is_empty() { &self.device } else { self.colocation.device() };
        let new = NewNode { name, op, device, inputs: &all, attrs: encoder.as_bytes() };
        let looked_up = !self.dialect.names_ignore_case();
        let hash = unique.filter(|_| looked_up).unwrap_or_else(|| self.graph.hash(name));
        let inserted = self.graph.insert_new(hash, new, looked_up);
        self.attrs = encoder;
        self.inputs = all;
        if let Ok(node) = inserted {
            self.names.note_inserted(self.graph, unique, node);
        }
        inserted
    }
}
