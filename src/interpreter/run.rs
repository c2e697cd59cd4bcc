//! Runs a plan.

use std::sync::Arc;

use super::kernel::{Inputs, Value, invalid};
use super::memory::Memory;
use super::plan::{Action, Body, Loop, Plan, Slot, Source, Step};
use super::tensor::{Data, Tensor};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::TensorRef;

/// What is told of each tensor as it is computed.
pub type Observer<'a> = dyn FnMut(TensorRef, &Tensor) -> Result<()> + 'a;

/// One thread's use of a plan.
pub struct Session<'p> {
    plan: &'p Plan,
    memory: Memory,
    steps_left: u64,
}

/// Functions that call functions deeper than this are taken for endless recursion.
const MAX_CALLS: usize = 64;

/// The values of a body while it runs.
struct Values {
    slots: Vec<Value>,
    /// Whether each watched node ran.
    ran: Vec<bool>,
}

impl<'p> Session<'p> {
    /// Starts without any tensor.
    #[must_use]
    pub fn new(plan: &'p Plan) -> Self {
        Self { plan, memory: Memory::new(Arc::clone(&plan.budget)), steps_left: 0 }
    }

    /// Computes the tensors that the plan was made for, from those it is fed with, in their order.
    ///
    /// `observe` is shown every tensor as it is computed, except those that the plan holds as constants and those inside
    /// of functions; an error of it ends the run.
    ///
    /// # Errors
    /// With the node in which it happened: shapes or types that do not go together, an index out of bounds, a limit
    /// passed, a result in a branch that was not taken.
    pub fn run(&mut self, feeds: &[Tensor], observe: &mut Observer<'_>) -> Result<Vec<Tensor>> {
        self.steps_left = self.plan.limits.steps;
        let body = &self.plan.main;
        if feeds.len() != body.arguments.len() {
            let what = format!("{} tensors are fed to {} inputs", feeds.len(), body.arguments.len());
            return Err(Error::new(ErrorKind::Options, what));
        }
        let arguments = feeds.iter().map(|tensor| tensor.clone().into()).collect();
        let results = self.body(body, arguments, 0, observe)?;
        let tensor = |value| match value {
            Value::Tensor(tensor) => Ok(tensor),
            Value::List(_) => Err(invalid("a result is a list of tensors")),
            Value::Dead => Err(invalid("a result is in a branch that was not taken")),
        };
        results.into_iter().map(tensor).collect()
    }

    fn body(
        &mut self,
        body: &'p Body,
        arguments: Vec<Value>,
        calls: usize,
        observe: &mut Observer<'_>,
    ) -> Result<Vec<Value>> {
        let mut values = Values { slots: vec![Value::Dead; body.slots], ran: vec![false; body.watched] };
        if arguments.len() != body.arguments.len() {
            return Err(invalid(format!("{} arguments for {}", arguments.len(), body.arguments.len())));
        }
        for (value, slot) in arguments.into_iter().zip(&body.arguments) {
            if let Some(slot) = *slot {
                values.slots[slot] = value;
            }
        }
        self.steps(&body.steps, &mut values, calls, observe)?;
        Ok(body.results.iter().map(|source| values.get(source)).collect())
    }

    fn steps(
        &mut self,
        steps: &'p [Step],
        values: &mut Values,
        calls: usize,
        observe: &mut Observer<'_>,
    ) -> Result<()> {
        for step in steps {
            self.step(step, values, calls, observe).map_err(|error| error.or_in_node(&step.name, &step.op))?;
        }
        Ok(())
    }

    fn step(&mut self, step: &'p Step, values: &mut Values, calls: usize, observe: &mut Observer<'_>) -> Result<()> {
        self.steps_left = self.steps_left.checked_sub(1).ok_or_else(|| self.out_of_steps())?;
        if let Action::Loop(inner) = &step.action {
            self.repeat(inner, values, calls, observe)?;
        } else {
            let made = self.outputs(step, values, calls, observe)?;
            if let Some(watch) = step.watch {
                values.ran[watch] = made.is_some();
            }
            self.store(step, made, values, observe)?;
        }
        for &slot in &step.frees {
            self.release(values.empty(slot));
        }
        Ok(())
    }

    /// What the step makes; `None` if it does not run.
    fn outputs(
        &mut self,
        step: &'p Step,
        values: &mut Values,
        calls: usize,
        observe: &mut Observer<'_>,
    ) -> Result<Option<Vec<Value>>> {
        let is_held = step.controls.iter().any(|&watch| !values.ran[watch]);
        let mut inputs: Vec<Value> = step.inputs.iter().map(|source| values.take(source)).collect();
        if let Action::Merge { order } = &step.action {
            let live = order.iter().copied().find(|&index| !matches!(inputs[index], Value::Dead));
            return Ok(live.map(|index| vec![inputs.swap_remove(index), Tensor::scalar(index as i32).into()]));
        }
        if is_held || inputs.iter().any(|input| matches!(input, Value::Dead)) {
            inputs.into_iter().for_each(|input| self.release(input));
            return Ok(None);
        }
        let mut inputs = Inputs(inputs);
        let outputs = match &step.action {
            Action::Kernel(kernel) => {
                let outputs = kernel(&mut inputs, &mut self.memory)?;
                inputs.0.into_iter().for_each(|input| self.release(input));
                outputs
            }
            Action::Emit(tensor) => vec![tensor.clone().into()],
            Action::Pass => inputs.0,
            Action::Switch { count } => {
                let chosen = inputs.take(1)?;
                let chosen = match chosen.values::<bool>() {
                    Some(_) => usize::from(is_true(&chosen)),
                    None => usize::try_from(index_of(&chosen)?).unwrap_or(usize::MAX).min(count - 1),
                };
                inputs.0.truncate(1);
                let mut outputs = vec![Value::Dead; *count];
                outputs[chosen] = inputs.0.pop().unwrap_or(Value::Dead);
                outputs
            }
            Action::Call(function) => self.call(*function, inputs.0, calls, observe)?,
            Action::While { condition, body } => {
                let mut state = inputs.0;
                while self.goes_on(*condition, &state, calls, observe)? {
                    state = self.call(*body, state, calls, observe)?;
                }
                state
            }
            Action::Branch { functions, is_case } => {
                let chosen = inputs.take(0)?;
                let chosen = if *is_case {
                    let index = index_of(&chosen)?;
                    usize::try_from(index).ok().filter(|&index| index < functions.len()).unwrap_or(functions.len() - 1)
                } else {
                    usize::from(!is_true(&chosen))
                };
                inputs.0.remove(0);
                self.call(functions[chosen], inputs.0, calls, observe)?
            }
            Action::Nothing | Action::Merge { .. } | Action::Loop(_) => Vec::new(),
        };
        Ok(Some(outputs))
    }

    fn store(
        &mut self,
        step: &Step,
        made: Option<Vec<Value>>,
        values: &mut Values,
        observe: &mut Observer<'_>,
    ) -> Result<()> {
        let Some(made) = made else {
            step.outputs.iter().flatten().for_each(|&slot| values.slots[slot] = Value::Dead);
            return Ok(());
        };
        if made.len() < step.outputs.len() {
            return Err(invalid(format!("output {} of {} is read", step.outputs.len() - 1, made.len())));
        }
        for (port, value) in made.into_iter().enumerate() {
            let value = step.round(port, value, &mut self.memory)?;
            if step.observed
                && let Value::Tensor(tensor) = &value
            {
                observe(TensorRef { node: step.node, port: u32::try_from(port).unwrap_or(u32::MAX) }, tensor)?;
            }
            match step.outputs.get(port) {
                Some(&Some(slot)) => {
                    let old = std::mem::replace(&mut values.slots[slot], value);
                    self.release(old);
                }
                _ => self.release(value),
            }
        }
        Ok(())
    }

    fn release(&mut self, value: Value) {
        if let Value::Tensor(tensor) = value {
            self.memory.recycle(tensor);
        }
    }

    fn call(
        &mut self,
        function: usize,
        arguments: Vec<Value>,
        calls: usize,
        observe: &mut Observer<'_>,
    ) -> Result<Vec<Value>> {
        if calls >= MAX_CALLS {
            return Err(Error::new(ErrorKind::TooLarge, format!("functions call each other {MAX_CALLS} deep"))
                .hint("a recursion that does not end for this input"));
        }
        self.steps_left = self.steps_left.saturating_sub(1);
        let plan = self.plan;
        self.body(&plan.functions[function], arguments, calls + 1, observe)
    }

    fn out_of_steps(&self) -> Error {
        Error::new(ErrorKind::TooLarge, format!("the run passes the limit of {} steps", self.plan.limits.steps))
            .hint("a while-loop may not end for this input; raise --max-steps if it does")
    }

    fn goes_on(&mut self, condition: usize, state: &[Value], calls: usize, observe: &mut Observer<'_>) -> Result<bool> {
        if self.steps_left == 0 {
            return Err(self.out_of_steps());
        }
        let results = self.call(condition, state.to_vec(), calls, observe)?;
        match results.first() {
            Some(Value::Tensor(tensor)) => Ok(is_true(tensor)),
            _ => Err(invalid("the condition of a while-loop is no tensor")),
        }
    }

    fn repeat(&mut self, inner: &'p Loop, values: &mut Values, calls: usize, observe: &mut Observer<'_>) -> Result<()> {
        inner.own.iter().chain(&inner.exits).for_each(|&slot| values.slots[slot] = Value::Dead);
        self.steps(&inner.enters, values, calls, observe)?;
        loop {
            self.steps(&inner.steps, values, calls, observe)?;
            let goes_on = matches!(&values.slots[inner.condition], Value::Tensor(condition) if is_true(condition));
            if !goes_on {
                break;
            }
        }
        inner.own.iter().for_each(|&slot| self.release(values.empty(slot)));
        Ok(())
    }
}

impl Values {
    fn empty(&mut self, slot: Slot) -> Value {
        std::mem::replace(&mut self.slots[slot], Value::Dead)
    }

    fn take(&mut self, source: &Source) -> Value {
        match source {
            Source::Slot { slot, take: true } => self.empty(*slot),
            other => self.get(other),
        }
    }

    fn get(&self, source: &Source) -> Value {
        match source {
            Source::Slot { slot, .. } => self.slots[*slot].clone(),
            Source::Constant(value) => value.clone(),
        }
    }
}

/// What an If takes for true: a scalar that is not zero, or any elements at all.
fn is_true(tensor: &Tensor) -> bool {
    if tensor.rank() > 0 {
        return !tensor.is_empty();
    }
    match tensor.data() {
        Data::Bool(values) => values.values() == [true],
        Data::F32(values) => values.values() != [0.0],
        Data::F64(values) => values.values() != [0.0],
        Data::I32(values) => values.values() != [0],
        Data::I64(values) => values.values() != [0],
        Data::U8(values) => values.values() != [0],
        Data::I8(values) => values.values() != [0],
    }
}

fn index_of(tensor: &Tensor) -> Result<i64> {
    match tensor.to_ints().as_deref() {
        Some(&[index]) => Ok(index),
        _ => Err(invalid("a branch is chosen by what is no integer")),
    }
}
