//! The steps of a loop, one after the other: what each node of the body is in them.

use hashbrown::{HashMap, HashSet};

use super::super::constants::Constants;
use super::super::new_nodes::constant;
use super::outside;
use super::value::{List, Number, Value};
use super::{Loop, NODES_A_STEP, Step, Stop};
use crate::graph::attr::{Attrs, Tensor};
use crate::graph::op_class::draws_numbers;
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::interpreter::Limits;
use crate::proto::tensorflow::DataType;

/// What stands for a node.
#[derive(Debug, Clone)]
enum Made {
    /// All its outputs are that.
    Value(Value),
    /// Its outputs are those of a copy.
    Copy(NodeId),
}

/// The graph in which a loop is written out.
pub(super) struct Steps<'g> {
    pub graph: &'g mut Graph,
    /// As it was.
    old: &'g Graph,
    /// What the loop is called.
    name: &'g str,
    /// What stands for nodes that are the same in all steps, and for those of the step at hand.
    made: HashMap<NodeId, Made>,
    /// Nodes that are the same in all steps.
    fixed: HashSet<NodeId>,
    numbers: HashMap<Number, TensorRef>,
    inserted: usize,
    at_most: usize,
    /// The one at hand; in the end, how many there are.
    pub step: usize,
}

/// Writes the steps of a loop out; returns them, and what its variables come to be.
pub(super) fn write<'g>(
    graph: &'g mut Graph,
    old: &'g Graph,
    whole: &'g Loop,
    most_steps: usize,
    limits: &Limits,
) -> Step<(Steps<'g>, Vec<Value>)> {
    let constants = Constants::of(old, &old.run_order());
    let mut made = HashMap::new();
    for &enter in &whole.given {
        let given = old.data_input(enter, 0).ok_or(Stop::Unknown)?;
        made.insert(enter, Made::Value(outside::value(graph, &constants, given, limits)?));
    }
    let first = whole.variables.iter().map(|variable| outside::value(graph, &constants, variable.first, limits));
    let mut carried: Vec<Value> = first.collect::<Step<_>>()?;
    let fixed = whole.given.iter().copied().collect();
    let mut steps = Steps {
        graph,
        old,
        name: &whole.name,
        made,
        fixed,
        numbers: HashMap::new(),
        inserted: 0,
        at_most: most_steps,
        step: 0,
    };
    while steps.goes_on(whole, &carried)? {
        if steps.step == most_steps {
            return Err(Stop::TooLong(whole.name.clone()));
        }
        for &node in &whole.body {
            steps.run(node)?;
        }
        carried = whole.variables.iter().map(|variable| steps.value(variable.next)).collect::<Step<_>>()?;
        steps.step += 1;
    }
    Ok((steps, carried))
}

impl Steps<'_> {
    /// Begins a step with what is carried into it; whether there is one.
    fn goes_on(&mut self, whole: &Loop, carried: &[Value]) -> Step<bool> {
        let fixed = &self.fixed;
        self.made.retain(|node, _| fixed.contains(node));
        for (variable, value) in whole.variables.iter().zip(carried) {
            let merge = self.old.data_input(variable.switch, 0).ok_or(Stop::Unknown)?.node;
            for node in [merge, variable.switch] {
                self.made.insert(node, Made::Value(value.clone()));
            }
        }
        for &node in &whole.deciding {
            self.run(node)?;
        }
        Ok(self.value(whole.condition)?.number()?.value != 0)
    }

    /// What a tensor of the body is in this step.
    fn value(&self, tensor: TensorRef) -> Step<Value> {
        match self.made.get(&tensor.node) {
            Some(Made::Value(value)) => Ok(value.clone()),
            Some(&Made::Copy(node)) => Ok(Value::Tensor(TensorRef { node, ..tensor })),
            None => Err(Stop::Unknown),
        }
    }

    /// Finds out what a node is in this step, or makes a copy for it.
    fn run(&mut self, node: NodeId) -> Step<()> {
        if self.made.contains_key(&node) {
            return Ok(());
        }
        let old = self.old;
        let inputs: Vec<Value> = old.data_inputs(node).map(|input| self.value(input)).collect::<Step<_>>()?;
        let made = match (old.op(node), &inputs[..]) {
            ("Identity", [value]) => Made::Value(value.clone()),
            ("Const", _) => Made::Value(self.constant(node)),
            ("TensorListGetItem", [list, place, ..]) | ("TensorArrayReadV3", [_, place, list]) => {
                Made::Value(Value::Tensor(list.list()?.element(place.number()?.place()?)?))
            }
            ("TensorListSetItem", [list, place, element, ..]) | ("TensorArrayWriteV3", [_, place, element, list]) => {
                let element = self.tensor(element)?;
                Made::Value(Value::List(list.list()?.with(place.number()?.place()?, element)))
            }
            (op, _) => match computed(op, &inputs) {
                Some(number) => Made::Value(Value::Number(number)),
                None => Made::Copy(self.copy(node, &inputs)?),
            },
        };
        self.made.insert(node, made);
        if old.inputs(node).all(|input| self.fixed.contains(&input.node())) || old.op(node) == "Const" {
            self.fixed.insert(node);
        }
        Ok(())
    }

    /// A constant of the body, which waits for nothing any more.
    fn constant(&mut self, node: NodeId) -> Value {
        self.graph.replace_inputs(node, &[]);
        let data_type = self.graph.tensor_type(node.into());
        let scalar = self.graph.static_shape(node.into()).is_some_and(|dims| dims.is_empty());
        match (data_type, self.graph.const_ints(node.into()).as_deref()) {
            (Some(data_type), Some(&[value])) if scalar => Value::Number(Number { value, data_type }),
            _ => Value::Tensor(node.into()),
        }
    }

    /// A tensor that is the value.
    pub(super) fn tensor(&mut self, value: &Value) -> Step<TensorRef> {
        let number = match value {
            Value::Tensor(tensor) => return Ok(*tensor),
            Value::Number(number) => *number,
            Value::List(_) | Value::Handle => return Err(Stop::Unknown),
        };
        if let Some(&tensor) = self.numbers.get(&number) {
            return Ok(tensor);
        }
        let of_32 = || i32::try_from(number.value).map_err(|_| Stop::Unknown);
        let value = match number.data_type {
            DataType::DtInt32 => Tensor::Int32(of_32()?),
            DataType::DtBool => Tensor::Bool(number.value != 0),
            _ => Tensor::Int64(number.value),
        };
        let tensor = constant(self.graph, &format!("{}/{}", self.name, number.value), &value)?;
        self.numbers.insert(number, tensor);
        Ok(tensor)
    }

    fn copy(&mut self, node: NodeId, inputs: &[Value]) -> Step<NodeId> {
        let (old, op) = (self.old, self.old.op(node));
        // What a node of the body waits for is there when the loop is.
        let waits = old.control_inputs(node).any(|other| !matches!(old.op(other), "Identity" | "Switch" | "Merge"));
        if waits || draws_numbers(op) || op.starts_with("TensorList") || op.starts_with("TensorArray") {
            return Err(Stop::Unknown);
        }
        let inputs: Vec<Input> = inputs.iter().map(|input| self.tensor(input).map(Input::Data)).collect::<Step<_>>()?;
        let attrs = Attrs::copied(old, node, |_| true);
        let name = format!("{}/step_{}", old.name(node), self.step);
        self.insert(&name, op, old.device(node), &inputs, &attrs)
    }

    pub(super) fn insert(
        &mut self,
        name: &str,
        op: &str,
        device: &str,
        inputs: &[Input],
        attrs: &Attrs,
    ) -> Step<NodeId> {
        self.inserted += 1;
        if self.inserted > self.at_most.saturating_mul(NODES_A_STEP) {
            return Err(Stop::TooLong(self.name.to_owned()));
        }
        let name = self.graph.free_name(name);
        Ok(self.graph.insert(NewNode { name: &name, op, device, inputs, attrs: attrs.as_bytes() })?)
    }

    /// All elements of a list, in one tensor.
    pub(super) fn packed(&mut self, name: &str, list: &List) -> Step<NodeId> {
        let elements = list.all()?;
        let data_type = elements.first().and_then(|&element| self.graph.tensor_type(element)).ok_or(Stop::Unknown)?;
        let mut attrs = Attrs::default();
        attrs.int("N", i64::try_from(elements.len()).unwrap_or_default()).data_type("T", data_type).int("axis", 0);
        let inputs: Vec<Input> = elements.into_iter().map(Input::Data).collect();
        self.insert(name, "Pack", "", &inputs, &attrs)
    }
}

fn computed(op: &str, inputs: &[Value]) -> Option<Number> {
    let numbers: Option<Vec<Number>> = inputs.iter().map(|input| input.number().ok()).collect();
    Number::computed(op, &numbers?)
}
