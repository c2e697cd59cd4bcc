//! The quantization step: `common.CreateOrGetQuantizationStep`, TensorFlow 1.15's counter for delays.
//!
//! A variable `fake_quantization_step` that each run of the graph increments.

use super::variable::InitialValue;
use super::{Builder, GlobalStep};
use crate::collections::GLOBAL_VARIABLES;
use crate::error::Result;
use crate::graph::TensorRef;
use crate::graph::attr::Tensor;
use crate::proto::tensorflow::DataType;
use crate::proto::tensorflow::VariableAggregation;

const STEP: &str = "fake_quantization_step";

impl Builder<'_> {
    /// The number of steps that the quantized graph has run: `fake_quantization_step/Identity`, made if it is not there.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Refused`] when the step was made under another name, as its own was taken.
    pub(crate) fn get_or_create_quantization_step(&mut self) -> Result<GlobalStep> {
        if let Some(node) = self.graph.find(&format!("{STEP}/Identity")) {
            let data_type = self.number_type(node.into());
            return Ok(GlobalStep { tensor: node.into(), data_type, is_resource: false, created: None });
        }
        let initial = InitialValue::Scalar("zeros", Tensor::Int64(0));
        let variable = self.root_scope(|b| b.variable_with(STEP, &initial, VariableAggregation::OnlyFirstReplica))?;
        self.collect(&variable, [GLOBAL_VARIABLES]);
        let scope = self.graph.name(variable.node).to_owned();
        let tensor = self.existing_scope(Some(&scope), |b| {
            let step = b.assign_add(&variable, Tensor::Int64(1))?;
            b.op_scope("Identity", |b| {
                let steps = b.value_after(&variable, Some(step))?;
                b.op_here("Identity", &[steps], |attrs| attrs.data_type("T", variable.data_type)).map(TensorRef::from)
            })
        })?;
        Ok(GlobalStep { tensor, data_type: DataType::DtInt64, is_resource: false, created: Some(variable.node) })
    }
}
