//! A network while it grows: its nodes, whose names are free ones, and the tensors that the next step may read.

use std::collections::BTreeSet;

use arbitrary::Unstructured;
use tfquant::internals::tensorflow::attr_value::Value;
use tfquant::internals::tensorflow::{DataType, FunctionDef, NodeDef, TensorProto, VariableDef};

use super::builder::{Builder, ints, node, shape};
use super::choice;

/// A tensor of floats.
#[derive(Debug, Clone)]
pub struct Tensor {
    pub name: String,
    pub dims: Vec<i64>,
}

impl Tensor {
    /// Its last dimension.
    pub fn channels(&self) -> i64 {
        self.dims.last().copied().unwrap_or(1)
    }
}

/// The nodes so far. There is always a tensor to go on from.
pub struct Network {
    pub nodes: Vec<NodeDef>,
    pub functions: Vec<FunctionDef>,
    pub variables: Vec<VariableDef>,
    pub tensors: Vec<Tensor>,
    names: BTreeSet<String>,
}

/// What scopes are called: those of a network, and those that look like something else to a rewrite.
const SCOPES: [&str; 13] = [
    "conv",
    "net/conv",
    "net/Conv",
    "net/block/a",
    "a",
    "b.c",
    "Conv_1",
    "gradients",
    "save",
    "conv/act_quant",
    "weights_quant",
    "0/1-2",
    "tower_0/Const_1",
];

impl Network {
    /// A placeholder for images of one of the sizes that steps can go on from.
    pub fn new() -> Self {
        let mut network = Network {
            nodes: Vec::new(),
            functions: Vec::new(),
            variables: Vec::new(),
            tensors: Vec::new(),
            names: BTreeSet::new(),
        };
        let dims = [2, 6, 6, 3];
        let input = network.push(node("input", "Placeholder", &[]).typed("dtype").shape("shape", &dims));
        network.tensors.push(Tensor { name: input, dims: dims.to_vec() });
        network
    }

    /// Adds a node under its name, or a free one like it; returns the name.
    pub fn push(&mut self, Builder(mut new): Builder) -> String {
        let wanted = new.name.clone();
        let mut suffix = 0;
        // As TensorFlow: names that differ by case alone are not free.
        while !self.names.insert(new.name.to_lowercase()) {
            suffix += 1;
            new.name = format!("{wanted}_{suffix}");
        }
        let name = new.name.clone();
        self.nodes.push(new);
        name
    }

    /// A scope for a step.
    pub fn scope(choices: &mut Unstructured) -> &'static str {
        SCOPES[choice(choices, SCOPES.len())]
    }

    pub fn latest(&self) -> Tensor {
        self.tensors[self.tensors.len() - 1].clone()
    }

    /// An earlier tensor of the same shape; itself where there is no other.
    pub fn like(&self, tensor: &Tensor, choices: &mut Unstructured) -> Tensor {
        let same: Vec<&Tensor> = self.tensors.iter().filter(|other| other.dims == tensor.dims).collect();
        same.get(choice(choices, same.len().max(1))).copied().unwrap_or(tensor).clone()
    }

    /// Makes a tensor the latest one.
    pub fn go_on_from(&mut self, name: String, dims: &[i64]) {
        self.tensors.push(Tensor { name, dims: dims.to_vec() });
    }

    /// A constant of floats that differ from one another.
    pub fn constant(&mut self, name: &str, dims: &[i64]) -> String {
        let count = u8::try_from(dims.iter().product::<i64>().min(255)).unwrap_or(u8::MAX);
        let float_val = (0..count).map(|index| f32::from(index % 11) / 8.0 - 0.5).collect();
        self.push(node(name, "Const", &[]).typed("dtype").attr("value", filled(dims, float_val)))
    }

    /// A constant of positive floats.
    pub fn positive_constant(&mut self, name: &str, dims: &[i64]) -> String {
        self.push(node(name, "Const", &[]).typed("dtype").attr("value", filled(dims, vec![0.75])))
    }

    /// A constant of 32-bit integers.
    pub fn integers(&mut self, name: &str, values: &[i32]) -> String {
        self.push(node(name, "Const", &[]).dtype("dtype", DataType::DtInt32).attr("value", ints(values)))
    }

    /// A constant of one 32-bit integer.
    pub fn integer(&mut self, name: &str, value: i32) -> String {
        let tensor = TensorProto {
            dtype: DataType::DtInt32 as i32,
            tensor_shape: Some(shape(&[])),
            int_val: vec![value],
            ..TensorProto::default()
        };
        self.push(node(name, "Const", &[]).dtype("dtype", DataType::DtInt32).attr("value", Value::Tensor(tensor)))
    }

    /// A variable that is to be read, and what it reads as.
    pub fn variable(&mut self, name: &str, dims: &[i64]) -> String {
        let initial = self.positive_constant(&format!("{name}/Initializer/zeros"), dims);
        let variable = node(name, "VariableV2", &[]).typed("dtype").shape("shape", dims);
        let variable = self.push(variable.text("container", "").text("shared_name", ""));
        let assign = node(&format!("{variable}/Assign"), "Assign", &[&variable, &initial]).typed("T").class(&variable);
        let assign = self.push(assign.bool("use_locking", true).bool("validate_shape", true));
        let read = node(&format!("{variable}/read"), "Identity", &[&variable]).typed("T").class(&variable);
        let read = self.push(read);
        self.variables.push(VariableDef {
            variable_name: format!("{variable}:0"),
            initial_value_name: format!("{initial}:0"),
            initializer_name: assign,
            snapshot_name: format!("{read}:0"),
            ..VariableDef::default()
        });
        read
    }

    /// A resource variable, and what it reads as.
    pub fn resource(&mut self, name: &str, dims: &[i64]) -> String {
        let handle = node(name, "VarHandleOp", &[]).typed("dtype").shape("shape", dims);
        let handle = self.push(handle.text("container", "").text("shared_name", name));
        let read = format!("{handle}/Read/ReadVariableOp");
        self.push(node(&read, "ReadVariableOp", &[&handle]).typed("dtype"))
    }

    /// Ends it with an output, behind a barrier that trains or not.
    pub fn finish(&mut self, has_barrier: bool) {
        let latest = self.latest();
        let mut inputs = vec![latest.name.as_str()];
        if has_barrier {
            self.push(node("update_barrier", "NoOp", &[]));
            inputs.push("^update_barrier");
        }
        self.push(node("output", "Identity", &inputs).typed("T"));
    }
}

fn filled(dims: &[i64], float_val: Vec<f32>) -> Value {
    Value::Tensor(TensorProto {
        dtype: DataType::DtFloat as i32,
        tensor_shape: Some(shape(dims)),
        float_val,
        ..TensorProto::default()
    })
}
