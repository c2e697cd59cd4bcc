//! Variables: `variable_scope.get_variable` and what `tf.Variable` puts into the graph.
//!
//! A variable is four nodes: its initial value, a VariableV2, the Assign that initialises it, and the Identity `read`. A
//! resource variable, as `use_resource` makes it, is five: its initial value, a VarHandleOp, `IsInitialized/…`, an
//! AssignVariableOp, and a ReadVariableOp `Read/…`. [`super::update`] is about their later lives.

use super::Builder;
use crate::collections::{GLOBAL_VARIABLES, MODEL_VARIABLES};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::attr::{Attrs, Tensor};
use crate::graph::op_class::is_variable;
use crate::graph::{NodeId, TensorRef};
use crate::proto::tensorflow::{DataType, VariableAggregation, VariableDef};

/// The nodes of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variable {
    /// The VariableV2, or the VarHandleOp.
    pub node: NodeId,
    /// The Assign, or AssignVariableOp, that initialises it.
    pub initializer: NodeId,
    /// The value it is initialised with.
    pub initial_value: TensorRef,
    /// What readers of its value read: the Identity `…/read`, or the ReadVariableOp `…/Read/ReadVariableOp`.
    pub read: TensorRef,
    /// The type of its value.
    pub data_type: DataType,
    /// Whether it is a resource variable.
    pub is_resource: bool,
    /// How replicas' updates are combined; TensorFlow 1.5 knows nothing of it.
    pub aggregation: VariableAggregation,
}

/// Where a variable's initial value comes from.
pub(super) enum InitialValue<'a> {
    /// An initialiser, called within the variable's own scope as `Initializer/<name>`.
    Scalar(&'a str, Tensor<'a>),
    /// A scalar float tensor that is there already.
    Existing(TensorRef),
}

impl Builder<'_> {
    /// A scalar float that holds an end of a range, not trainable: `contrib.framework.model_variable` of TensorFlow 1.5,
    /// `get_variable` of 1.15. It enters the given collection and the global variables, and in 1.5 the model variables.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when this builder made a variable of that name before.
    pub(crate) fn model_variable(&mut self, name: &str, initial: f32, collection: &str) -> Result<Variable> {
        let initial = InitialValue::Scalar("Const", Tensor::Float(initial));
        let variable = self.variable_with(name, &initial, self.dialect.range_aggregation())?;
        let standard: &[&str] = if self.dialect.ranges_are_model_variables() {
            &[GLOBAL_VARIABLES, MODEL_VARIABLES]
        } else {
            &[GLOBAL_VARIABLES]
        };
        let own = Some(collection).filter(|key| !standard.contains(key));
        self.collect(&variable, standard.iter().copied().chain(own));
        Ok(variable)
    }

    /// Adds a variable to collections.
    pub(super) fn collect<'k>(&mut self, variable: &Variable, keys: impl IntoIterator<Item = &'k str>) {
        let graph = &*self.graph;
        for key in keys {
            self.collections.add_variable(key, || VariableDef {
                variable_name: graph.tensor_name(variable.node.into()),
                initial_value_name: graph.tensor_name(variable.initial_value),
                initializer_name: graph.name(variable.initializer).to_owned(),
                snapshot_name: graph.tensor_name(variable.read),
                is_resource: variable.is_resource,
                aggregation: variable.aggregation as i32,
                ..VariableDef::default()
            });
        }
    }

    /// Whether [`Builder::model_variable`] would make a variable of that name.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when this builder made a variable of that name before.
    pub(crate) fn check_variable_is_new(&self, name: &str) -> Result<()> {
        let is_stamped = |node: NodeId| self.graph.is_stamped(node) && is_variable(self.graph.op(node));
        let is_known = self.variable_names.contains(self.graph.hash(name), name);
        if !is_known && !self.graph.find_stamped(name).is_some_and(is_stamped) {
            return Ok(());
        }
        let what = format!("the variable '{name}' exists already: two layers share a scope");
        Err(Error::new(ErrorKind::Refused, what)
            .hint("give each layer a scope of its own, or leave one of them out (--exclude, --skip-unmatched)"))
    }

    /// Whether a global variable has that name, by its node. All variables that are made here are global.
    pub(super) fn is_global_variable(&self, name: &str) -> bool {
        let is_made_here = |node| !self.graph.is_original(node) && is_variable(self.graph.op(node));
        self.graph.find(name).is_some_and(is_made_here) || self.collections.has_global_variable(name)
    }

    /// `get_variable(name)`: refused if this builder made one of that name before, as a variable store does.
    pub(super) fn variable(&mut self, name: &str, initial: &InitialValue<'_>) -> Result<Variable> {
        self.variable_with(name, initial, VariableAggregation::None)
    }

    pub(super) fn variable_with(
        &mut self,
        name: &str,
        initial: &InitialValue<'_>,
        aggregation: VariableAggregation,
    ) -> Result<Variable> {
        self.check_variable_is_new(name)?;
        self.variable_names.insert(self.graph.hash(name), name);
        let mut variable =
            self.control_dependencies(&[], |b| b.root_scope(|b| b.op_scope(name, |b| b.new_variable(initial))))?;
        variable.aggregation = aggregation;
        self.variables.push(variable);
        Ok(variable)
    }

    fn new_variable(&mut self, initial: &InitialValue<'_>) -> Result<Variable> {
        // What is colocated with nothing else is colocated with its variable.
        let own_group = self.colocation.is_empty().then(|| format!("loc:@{}", self.scope_name()));
        let class = |attrs: &mut Attrs| {
            if let Some(group) = &own_group {
                attrs.strs("_class", std::slice::from_ref(group));
            }
        };
        let (initial_value, data_type) = match *initial {
            InitialValue::Existing(tensor) => (tensor, DataType::DtFloat),
            InitialValue::Scalar(name, value) => {
                let scope = self.unique_name("Initializer");
                let tensor = self.inside(scope, |b| {
                    let node = b.op("Const", name, &[], |attrs| {
                        class(attrs);
                        attrs.data_type("dtype", value.data_type()).tensor("value", &value)
                    })?;
                    Ok(TensorRef::from(node))
                })?;
                (tensor, value.data_type())
            }
        };
        let is_resource = self.resource_variables;
        let op = if is_resource { "VarHandleOp" } else { "VariableV2" };
        let shared_name = if is_resource { self.scope_name().to_owned() } else { String::new() };
        let node = self.op_here(op, &[], |attrs| {
            class(attrs);
            attrs
                .str("container", "")
                .data_type("dtype", data_type)
                .shape("shape", &[])
                .str("shared_name", &shared_name)
        })?;
        let (initializer, read) = if is_resource {
            self.name_scope("IsInitialized", |b| {
                b.op("VarIsInitializedOp", "VarIsInitializedOp", &[node.into()], |a| a)
            })?;
            let assign = |b: &mut Self| b.assign_variable_here(node, initial_value, data_type);
            let initializer = self.op_scope("Assign", |b| b.colocate_with_nothing(assign))?;
            (initializer, self.name_scope("Read", |b| b.read_variable(node.into(), data_type))?)
        } else {
            let initializer = self.op_scope("Assign", |b| b.assign("Assign", node, initial_value, data_type))?;
            (initializer, self.colocate_with(node, |b| b.identity("read", node.into(), data_type))?)
        };
        let aggregation = VariableAggregation::None;
        Ok(Variable { node, initializer, initial_value, read, data_type, is_resource, aggregation })
    }
}
