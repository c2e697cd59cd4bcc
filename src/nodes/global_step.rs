//! The global step: `training_util.get_or_create_global_step`.

use super::Builder;
use super::variable::InitialValue;
use crate::collections::{GLOBAL_STEP, GLOBAL_VARIABLES};
use crate::error::{ErrorKind, Result};
use crate::graph::attr::Tensor;
use crate::graph::name::{InputName, parse_input};
use crate::graph::{NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// The tensor that counts training steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GlobalStep {
    /// The tensor itself.
    pub tensor: TensorRef,
    /// Its type: a 32- or 64-bit integer.
    pub data_type: DataType,
    /// Whether the tensor is the handle of a resource variable, to be read before use.
    pub is_resource: bool,
    /// The variable that had to be created for it.
    pub created: Option<NodeId>,
}

impl Builder<'_> {
    /// The graph's global step: the only entry of the `global_step` collection, or the tensor `global_step:0`, or else a
    /// new variable of that name, an int64 that starts at zero and that nothing increments yet.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] when what bears that name is no integer scalar.
    pub(crate) fn get_or_create_global_step(&mut self) -> Result<GlobalStep> {
        if let Some(tensor) = self.find_global_step() {
            return self.checked_global_step(tensor);
        }
        let variable = self.variable("global_step", &InitialValue::Scalar("zeros", Tensor::Int64(0)))?;
        self.collect(&variable, [GLOBAL_VARIABLES, GLOBAL_STEP]);
        Ok(GlobalStep {
            tensor: variable.read,
            data_type: DataType::DtInt64,
            is_resource: false,
            created: Some(variable.node),
        })
    }

    fn find_global_step(&self) -> Option<TensorRef> {
        let listed = self.collections.tensor_names(GLOBAL_STEP);
        let name = match listed.as_slice() {
            [] => "global_step:0",
            [name] => name.as_str(),
            _ => return None,
        };
        match parse_input(name)? {
            InputName::Data(node, port) => self.graph.find(node).map(|node| TensorRef { node, port }),
            InputName::Control(_) => None,
        }
    }

    fn checked_global_step(&self, tensor: TensorRef) -> Result<GlobalStep> {
        let is_resource = self.graph.op(tensor.node) == "VarHandleOp";
        let element_type = if is_resource {
            self.graph.attr_type(tensor.node, "dtype").and_then(|number| DataType::try_from(number).ok())
        } else {
            self.graph.tensor_type(tensor)
        };
        let data_type = match element_type {
            Some(DataType::DtInt64 | DataType::DtInt64Ref) => DataType::DtInt64,
            Some(DataType::DtInt32 | DataType::DtInt32Ref) => DataType::DtInt32,
            _ => return Err(self.bad_global_step("is not an integer variable", tensor)),
        };
        if self.graph.rank(tensor).is_some_and(|rank| rank != 0) {
            return Err(self.bad_global_step("is not a scalar", tensor));
        }
        Ok(GlobalStep { tensor, data_type, is_resource, created: None })
    }

    fn bad_global_step(&self, what: &str, tensor: TensorRef) -> crate::error::Error {
        self.graph
            .error(ErrorKind::Refused, format!("the global step {what}"), tensor.node)
            .hint("--quant-delay counts global steps; rename that node or leave the delay out")
    }
}
