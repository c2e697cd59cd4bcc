//! `control_flow_ops.cond` whose branches yield a tensor that exists already, or a constant.
//!
//! Each branch is one Switch of its tensor by the predicate, or a constant that waits for the branch's pivot; a Merge
//! yields the one that is alive. Both branch contexts enter the `cond_context` collection, from which TensorFlow rebuilds
//! them.

use std::collections::{BTreeMap, BTreeSet};

use super::Builder;
use crate::collections::COND_CONTEXT;
use crate::error::Result;
use crate::graph::attr::Tensor;
use crate::graph::{NodeId, TensorRef};
use crate::proto::tensorflow::{CondContextDef, DataType, ValuesDef};

/// What a branch yields.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Branch<'a> {
    /// A tensor from outside.
    Existing(TensorRef),
    /// A scalar float.
    Scalar(f32),
    /// A float of that shape everywhere: name, value, shape.
    Filled(&'a str, f32, &'a [i64]),
}

/// Where the conditional stands that a branch belongs to.
#[derive(Clone, Copy)]
struct Fork {
    predicate: TensorRef,
    pivot: TensorRef,
    /// 1 where the predicate is true, 0 where it is false; also the Switch's output that is alive then.
    number: u32,
}

impl Builder<'_> {
    /// `cond(predicate, lambda: if_true, lambda: if_false, name=name)` for two tensors; returns the Merge's output.
    ///
    /// # Errors
    /// Those of inserting nodes.
    pub(crate) fn cond(
        &mut self,
        name: &str,
        predicate: TensorRef,
        if_true: Branch<'_>,
        if_false: Branch<'_>,
    ) -> Result<TensorRef> {
        self.name_scope(name, |b| {
            let switch =
                b.op("Switch", "Switch", &[predicate, predicate], |attrs| attrs.data_type("T", DataType::DtBool))?;
            let pivot_true = b.identity("switch_t", TensorRef { node: switch, port: 1 }, DataType::DtBool)?;
            let pivot_false = b.identity("switch_f", switch.into(), DataType::DtBool)?;
            let predicate = b.identity("pred_id", predicate, DataType::DtBool)?;
            let on_true = b.cond_branch(Fork { predicate, pivot: pivot_true, number: 1 }, if_true)?;
            let on_false = b.cond_branch(Fork { predicate, pivot: pivot_false, number: 0 }, if_false)?;
            let data_type = b.common_type(on_false, on_true)?;
            let merge =
                b.op("Merge", "Merge", &[on_false, on_true], |attrs| attrs.int("N", 2).data_type("T", data_type))?;
            Ok(merge.into())
        })
    }

    fn cond_branch(&mut self, fork: Fork, branch: Branch<'_>) -> Result<TensorRef> {
        let context_name = self.unique_name("cond_text");
        let mut values = BTreeSet::from([self.graph.tensor_name(fork.predicate), self.graph.tensor_name(fork.pivot)]);
        let mut external_values = BTreeMap::new();
        if self.dialect.lists_predicate_as_external() {
            let predicate = self.graph.tensor_name(fork.predicate);
            external_values.insert(predicate.clone(), predicate);
        }
        let made_from = self.graph.len();
        let result = match branch {
            Branch::Existing(value) => {
                let result = self.switched(fork, value)?;
                let name = self.graph.tensor_name(value);
                values.extend([0, 1].map(|port| self.graph.tensor_name(TensorRef { node: result.node, port })));
                values.insert(name.clone());
                external_values.insert(name, self.graph.tensor_name(result));
                result
            }
            Branch::Scalar(value) => self.within_branch(fork, |b| b.constant("Const", Tensor::Float(value)))?,
            Branch::Filled(name, value, shape) => self.within_branch(fork, |b| b.filled(name, value, shape))?,
        };
        values.extend(self.graph.ids_from(made_from).map(|node| self.graph.tensor_name(node.into())));
        let context = CondContextDef {
            context_name,
            pred_name: self.graph.tensor_name(fork.predicate),
            pivot_name: self.graph.tensor_name(fork.pivot),
            branch: fork.number.cast_signed(),
            values_def: Some(ValuesDef { values: values.into_iter().collect(), external_values }),
            ..CondContextDef::default()
        };
        self.collections.add_message(COND_CONTEXT, &context);
        Ok(result)
    }

    /// The tensor as it enters the branch.
    fn switched(&mut self, fork: Fork, value: TensorRef) -> Result<TensorRef> {
        let data_type = self.number_type(value);
        let switch = self.colocate_only_with(value.node, |b| {
            b.op("Switch", "Switch", &[value, fork.predicate], |attrs| attrs.data_type("T", data_type))
        })?;
        Ok(TensorRef { node: switch, port: fork.number })
    }

    fn within_branch<T>(&mut self, fork: Fork, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let outer: Option<NodeId> = self.pivot.replace(fork.pivot.node);
        let result = body(self);
        self.pivot = outer;
        result
    }
}
