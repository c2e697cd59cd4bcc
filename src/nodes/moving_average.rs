//! `moving_averages.assign_moving_average` with zero debiasing.
//!
//! `variable = biased / (1 - decay ** steps)`, where `biased` is the plain moving average, which starts at zero, and
//! `steps` (`local_step`) counts the updates; both are variables of their own. TensorFlow 1.5 subtracts the difference,
//! 1.15 assigns the quotient.

use super::variable::InitialValue;
use super::{Builder, Dialect, Variable};
use crate::collections::GLOBAL_VARIABLES;
use crate::error::Result;
use crate::graph::attr::Tensor;
use crate::graph::{NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

const FLOAT: DataType = DataType::DtFloat;

impl Builder<'_> {
    /// Adds the update of `variable`, a scalar float made inside the variable scope `variable_scope`, towards `value`.
    /// The returned node, called `name`, yields the new average.
    ///
    /// # Errors
    /// Those of inserting nodes.
    pub(crate) fn assign_moving_average(
        &mut self,
        name: &str,
        variable_scope: &str,
        variable: &Variable,
        value: TensorRef,
        decay: f64,
    ) -> Result<NodeId> {
        if self.dialect == Dialect::V1_15 {
            return self.assign_debiased_average(name, variable_scope, variable, value, decay);
        }
        self.op_scope(name, |b| {
            b.colocate_with(variable.node, |b| {
                #[allow(clippy::cast_possible_truncation)] // the graph holds it as a float
                let decay = b.constant("decay", Tensor::Float((1.0 - decay) as f32))?;
                let delta = b.zero_debias(variable_scope, variable, value, decay)?;
                b.assign("AssignSub", variable.node, delta, FLOAT)
            })
        })
    }

    /// What to subtract from `variable`; updates the shadow variables on the way. `decay` is one minus the decay.
    fn zero_debias(
        &mut self,
        variable_scope: &str,
        variable: &Variable,
        value: TensorRef,
        decay: TensorRef,
    ) -> Result<TensorRef> {
        let unbiased = self.graph.name(variable.node).to_owned();
        let scope = format!("{variable_scope}/{unbiased}");
        self.name_scope(&unbiased, |b| {
            let zero = b.constant("zeros", Tensor::Float(0.0))?;
            let biased = b.shadow_variable(&scope, "biased", &InitialValue::Existing(zero))?;
            let zeros = InitialValue::Scalar("zeros", Tensor::Float(0.0));
            let local_step = b.shadow_variable(&scope, "local_step", &zeros)?;

            let difference = b.binary_of("Sub", "sub", biased.read, value, FLOAT)?;
            let step = b.binary_of("Mul", "mul", difference, decay, FLOAT)?;
            let update_biased = b.op_scope(&scope, |b| b.assign("AssignSub", biased.node, step, FLOAT))?;
            let update_local_step = b.op_scope("AssignAdd", |b| {
                let one = b.constant("value", Tensor::Float(1.0))?;
                b.assign("AssignAdd", local_step.node, one, FLOAT)
            })?;
            b.control_dependencies(&[update_biased, update_local_step], |b| {
                let biased = b.read_value(&biased)?;
                let decay = b.binary_with_x("Sub", "sub", Tensor::Float(1.0), decay)?;
                let local_step = b.read_value(&local_step)?;
                let power = b.binary_of("Pow", "Pow", decay, local_step, FLOAT)?;
                let scale = b.binary_with_x("Sub", "sub", Tensor::Float(1.0), power)?;
                let unbiased = b.binary_of("RealDiv", "truediv", biased, scale, FLOAT)?;
                b.binary_of("Sub", "sub", variable.read, unbiased, FLOAT)
            })
        })
    }

    /// As TensorFlow 1.15 builds it: assigned, not subtracted, and colocated no further than its variables.
    fn assign_debiased_average(
        &mut self,
        name: &str,
        variable_scope: &str,
        variable: &Variable,
        value: TensorRef,
        decay: f64,
    ) -> Result<NodeId> {
        self.name_scope(name, |b| {
            #[allow(clippy::cast_possible_truncation)] // the graph holds it as a float
            let decay = b.constant("decay", Tensor::Float((1.0 - decay) as f32))?;
            let unbiased = b.graph.name(variable.node).to_owned();
            let scope = format!("{variable_scope}/{unbiased}");
            b.unique_name(&unbiased);
            let zeros = InitialValue::Scalar("zeros", Tensor::Float(0.0));
            let [biased, local_step] = b.in_variable_scope(&scope, |b| {
                b.colocate_with(variable.node, |b| {
                    let biased = b.shadow_variable(&scope, "biased", &zeros)?;
                    Ok([biased, b.shadow_variable(&scope, "local_step", &zeros)?])
                })
            })?;
            let old = b.value_after(&biased, None)?;
            let difference = b.binary_of("Sub", "sub", old, value, FLOAT)?;
            let step = b.binary_of("Mul", "mul", difference, decay, FLOAT)?;
            let biased_update = b.assign_sub(&biased, step)?;
            let step_update = b.assign_add(&local_step, Tensor::Float(1.0))?;
            let decay = b.binary_with_x("Sub", "sub", Tensor::Float(1.0), decay)?;
            let power = b.op_scope("Pow", |b| {
                let steps = b.value_after(&local_step, Some(step_update))?;
                b.op_here("Pow", &[decay, steps], |attrs| attrs.data_type("T", FLOAT)).map(TensorRef::from)
            })?;
            let scale = b.binary_with_x("Sub", "sub", Tensor::Float(1.0), power)?;
            let biased = b.value_after(&biased, Some(biased_update))?;
            let average = b.binary_of("RealDiv", "truediv", biased, scale, FLOAT)?;
            b.assign_and_read_here(variable, average)
        })
    }

    fn shadow_variable(&mut self, scope: &str, name: &str, initial: &InitialValue<'_>) -> Result<Variable> {
        let mut full = format!("{scope}/{name}");
        let mut suffix = 1;
        while self.is_global_variable(&full) {
            full = format!("{scope}/{name}_{suffix}");
            suffix += 1;
        }
        let variable = self.variable(&full, initial)?;
        self.collect(&variable, [GLOBAL_VARIABLES]);
        Ok(variable)
    }

    /// `Variable.read_value`.
    fn read_value(&mut self, variable: &Variable) -> Result<TensorRef> {
        self.identity("read", variable.node.into(), FLOAT)
    }
}
