//! `control_flow_ops.cond` whose branches are tensors that exist already.
//!
//! Each branch is one Switch of its tensor by the predicate; a Merge yields the one that is alive. Both branch contexts
//! enter the `cond_context` collection, from which TensorFlow rebuilds them.

use std::collections::BTreeMap;

use super::Builder;
use crate::collections::COND_CONTEXT;
use crate::error::Result;
use crate::graph::{NodeId, TensorRef};
use crate::proto::tensorflow::{CondContextDef, DataType, ValuesDef};

struct Branch<'a> {
    context_name: String,
    predicate: TensorRef,
    pivot: TensorRef,
    /// 1 where the predicate is true, 0 where it is false; also the Switch's output that is alive then.
    number: u32,
    value: TensorRef,
    switch: &'a NodeId,
}

impl Builder<'_> {
    /// `cond(predicate, lambda: if_true, lambda: if_false, name=name)` for two float tensors; returns the Merge's output.
    ///
    /// # Errors
    /// Those of inserting nodes.
    pub fn cond(
        &mut self,
        name: &str,
        predicate: TensorRef,
        if_true: TensorRef,
        if_false: TensorRef,
    ) -> Result<TensorRef> {
        self.name_scope(name, |b| {
            let switch =
                b.op("Switch", "Switch", &[predicate, predicate], |attrs| attrs.data_type("T", DataType::DtBool))?;
            let pivot_true = b.identity("switch_t", TensorRef { node: switch, port: 1 }, DataType::DtBool)?;
            let pivot_false = b.identity("switch_f", switch.into(), DataType::DtBool)?;
            let predicate = b.identity("pred_id", predicate, DataType::DtBool)?;
            let on_true = b.cond_branch(predicate, pivot_true, 1, if_true)?;
            let on_false = b.cond_branch(predicate, pivot_false, 0, if_false)?;
            let merge = b.op("Merge", "Merge", &[on_false, on_true], |attrs| {
                attrs.int("N", 2).data_type("T", DataType::DtFloat)
            })?;
            Ok(merge.into())
        })
    }

    fn cond_branch(
        &mut self,
        predicate: TensorRef,
        pivot: TensorRef,
        number: u32,
        value: TensorRef,
    ) -> Result<TensorRef> {
        let context_name = self.unique_name("cond_text");
        let switch = self.colocate_only_with(value.node, |b| {
            b.op("Switch", "Switch", &[value, predicate], |attrs| attrs.data_type("T", DataType::DtFloat))
        })?;
        let context = self.context_def(Branch { context_name, predicate, pivot, number, value, switch: &switch });
        self.collections.add_message(COND_CONTEXT, &context);
        Ok(TensorRef { node: switch, port: number })
    }

    fn context_def(&self, branch: Branch<'_>) -> CondContextDef {
        let name = |tensor: TensorRef| self.graph.tensor_name(tensor);
        let switched = |port| name(TensorRef { node: *branch.switch, port });
        let mut values = vec![name(branch.value), switched(0), switched(1), name(branch.predicate), name(branch.pivot)];
        values.sort_unstable();
        let external_values = BTreeMap::from([(name(branch.value), switched(branch.number))]);
        CondContextDef {
            context_name: branch.context_name,
            pred_name: name(branch.predicate),
            pivot_name: name(branch.pivot),
            branch: branch.number.cast_signed(),
            values_def: Some(ValuesDef { values, external_values }),
            ..CondContextDef::default()
        }
    }
}
