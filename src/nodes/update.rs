//! Reading and changing variables: what `state_ops` and `ResourceVariable` of TensorFlow 1.15 put into the graph.
//!
//! An op that changes a variable in place hands on the variable. One that changes a resource variable has no output:
//! TensorFlow reads the variable anew, after that op, whenever the result is asked for, and once in any case.

use super::{Builder, Variable};
use crate::error::Result;
use crate::graph::attr::Tensor;
use crate::graph::{NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

impl Builder<'_> {
    /// An op that changes a variable in place (`Assign`, `AssignSub`, `AssignAdd`), colocated with the variable; it bears
    /// the name of the current scope.
    pub(crate) fn assign(
        &mut self,
        op: &str,
        variable: NodeId,
        value: TensorRef,
        data_type: DataType,
    ) -> Result<NodeId> {
        let is_assign = op == "Assign";
        self.colocate_with(variable, |b| {
            b.op_here(op, &[variable.into(), value], |attrs| {
                attrs.data_type("T", data_type).bool("use_locking", is_assign);
                if is_assign { attrs.bool("validate_shape", true) } else { attrs }
            })
        })
    }

    /// `state_ops.assign(variable, value, name=name)`.
    pub(super) fn assign_last(&mut self, name: &str, variable: &Variable, value: TensorRef) -> Result<NodeId> {
        let update = self.op_scope(name, |b| b.assign_here(variable, value))?;
        self.read_once(variable, update)?;
        Ok(update)
    }

    /// `state_ops.assign(variable, value, name=<the current scope>)`.
    pub(super) fn assign_and_read_here(&mut self, variable: &Variable, value: TensorRef) -> Result<NodeId> {
        let update = self.assign_here(variable, value)?;
        self.read_once(variable, update)?;
        Ok(update)
    }

    /// `state_ops.assign_sub(variable, delta)`.
    pub(super) fn assign_sub(&mut self, variable: &Variable, delta: TensorRef) -> Result<NodeId> {
        if variable.is_resource {
            return self.change_resource("AssignSubVariableOp", variable, delta);
        }
        self.op_scope("AssignSub", |b| b.assign("AssignSub", variable.node, delta, variable.data_type))
    }

    /// `state_ops.assign_add(variable, <number>)`.
    pub(super) fn assign_add(&mut self, variable: &Variable, number: Tensor<'_>) -> Result<NodeId> {
        if variable.is_resource {
            let number = self.constant("Const", number)?;
            return self.change_resource("AssignAddVariableOp", variable, number);
        }
        self.op_scope("AssignAdd", |b| {
            let number = b.constant("value", number)?;
            b.assign("AssignAdd", variable.node, number, variable.data_type)
        })
    }

    /// What converting the variable, or the result of its update, to a tensor yields.
    pub(super) fn value_after(&mut self, variable: &Variable, update: Option<NodeId>) -> Result<TensorRef> {
        match update {
            _ if variable.is_resource => {
                let updates = update.as_slice();
                self.control_dependencies(updates, |b| b.read_variable(variable.node.into(), variable.data_type))
            }
            Some(update) => Ok(update.into()),
            None => Ok(variable.read),
        }
    }

    /// What converting a resource variable to a tensor adds.
    pub(super) fn read_variable(&mut self, handle: TensorRef, data_type: DataType) -> Result<TensorRef> {
        let node =
            self.op("ReadVariableOp", "ReadVariableOp", &[handle], |attrs| attrs.data_type("dtype", data_type))?;
        Ok(node.into())
    }

    /// An AssignVariableOp that bears the name of the current scope.
    pub(super) fn assign_variable_here(
        &mut self,
        handle: NodeId,
        value: TensorRef,
        data_type: DataType,
    ) -> Result<NodeId> {
        self.op_here("AssignVariableOp", &[handle.into(), value], |attrs| attrs.data_type("dtype", data_type))
    }

    fn assign_here(&mut self, variable: &Variable, value: TensorRef) -> Result<NodeId> {
        if variable.is_resource {
            self.assign_variable_here(variable.node, value, variable.data_type)
        } else {
            self.assign("Assign", variable.node, value, variable.data_type)
        }
    }

    fn change_resource(&mut self, op: &str, variable: &Variable, delta: TensorRef) -> Result<NodeId> {
        let inputs = [variable.node.into(), delta];
        let update = self.op(op, op, &inputs, |attrs| attrs.data_type("dtype", variable.data_type))?;
        self.read_once(variable, update)?;
        Ok(update)
    }

    /// The read that an update of a resource variable comes with (`_UnreadVariable`), whoever reads it.
    fn read_once(&mut self, variable: &Variable, update: NodeId) -> Result<()> {
        if variable.is_resource {
            self.value_after(variable, Some(update))?;
        }
        Ok(())
    }
}
