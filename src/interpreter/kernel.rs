//! What an op is to the interpreter: a name, and how to make of a node's attributes what runs on its inputs.

use std::sync::Arc;

use super::budget::Charge;
use super::memory::Memory;
use super::tensor::{DType, Element, Tensor, shape_text};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId};

/// What an edge carries while a graph runs.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A tensor.
    Tensor(Tensor),
    /// The tensors of a TensorArray or TensorList.
    List(Arc<List>),
    /// Nothing: the branch was not taken.
    Dead,
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

/// The tensors of a TensorArray or TensorList.
#[derive(Debug)]
pub(crate) struct List {
    /// The element type; float until something says otherwise.
    pub dtype: DType,
    /// The shape of every element as far as it is known, -1 for an unknown size; `None` for an unknown rank.
    pub shape: Option<Vec<i64>>,
    /// The elements, `None` where none was written.
    pub items: Vec<Option<Tensor>>,
    /// For the places of the elements.
    pub charge: Option<Arc<Charge>>,
}

/// The values a node reads.
#[derive(Debug)]
pub(crate) struct Inputs(pub Vec<Value>);

/// What a node makes, by output.
pub(crate) type Outputs = Vec<Value>;

/// A node ready to run: its attributes are read and checked.
pub(crate) type Kernel = Box<dyn Fn(&mut Inputs, &mut Memory) -> Result<Outputs> + Send + Sync>;

/// An op that the interpreter runs.
pub(crate) struct Op {
    /// Its name in TensorFlow's op registry.
    pub name: &'static str,
    /// Reads a node's attributes.
    pub prepare: fn(&Attributes<'_>) -> Result<Kernel>,
}

/// A kernel with one output.
pub(crate) fn kernel(
    run: impl Fn(&mut Inputs, &mut Memory) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Kernel> {
    Ok(Box::new(move |inputs, memory| Ok(vec![run(inputs, memory)?.into()])))
}

/// A failure that lies in the graph.
pub(crate) fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidGraph, what)
}

impl Inputs {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The tensor in that input.
    pub(crate) fn tensor(&self, index: usize) -> Result<&Tensor> {
        match self.0.get(index) {
            Some(Value::Tensor(tensor)) => Ok(tensor),
            Some(_) => Err(invalid(format!("input {index} is not a tensor"))),
            None => Err(invalid(format!("input {index} is missing"))),
        }
    }

    /// The tensor in that input, which is then the caller's alone if no one else reads it.
    pub(crate) fn take(&mut self, index: usize) -> Result<Tensor> {
        self.tensor(index)?;
        match self.0.get_mut(index).map(|value| std::mem::replace(value, Value::Dead)) {
            Some(Value::Tensor(tensor)) => Ok(tensor),
            _ => Err(invalid(format!("input {index} is missing"))),
        }
    }

    /// All inputs from `first` on, which must be tensors.
    pub(crate) fn tensors(&self, first: usize, end: usize) -> Result<Vec<&Tensor>> {
        (first..end).map(|index| self.tensor(index)).collect()
    }

    /// The list in that input.
    pub(crate) fn list(&self, index: usize) -> Result<&Arc<List>> {
        match self.0.get(index) {
            Some(Value::List(list)) => Ok(list),
            _ => Err(invalid(format!("input {index} is not a list of tensors"))),
        }
    }

    /// The list in that input, to be changed in place if no one else reads it.
    pub(crate) fn take_list(&mut self, index: usize) -> Result<Arc<List>> {
        self.list(index)?;
        match self.0.get_mut(index).map(|value| std::mem::replace(value, Value::Dead)) {
            Some(Value::List(list)) => Ok(list),
            _ => Err(invalid(format!("input {index} is missing"))),
        }
    }

    /// The elements of that input, which must be of this type.
    pub(crate) fn values<T: Element>(&self, index: usize) -> Result<&[T]> {
        let tensor = self.tensor(index)?;
        tensor.values().ok_or_else(|| {
            invalid(format!("input {index} is {} instead of {}", tensor.dtype().name(), T::DTYPE.name()))
        })
    }

    /// The integers in that input, such as a shape or axes.
    pub(crate) fn ints(&self, index: usize) -> Result<Vec<i64>> {
        let tensor = self.tensor(index)?;
        tensor
            .to_ints()
            .ok_or_else(|| invalid(format!("input {index} is {} instead of integers", tensor.dtype().name())))
    }

    /// The sizes in that input: of what, for an error about a negative one.
    pub(crate) fn sizes(&self, index: usize, what: &str) -> Result<Vec<usize>> {
        self.ints(index)?.into_iter().map(|value| size(value, what)).collect()
    }

    /// The one integer in that input.
    pub(crate) fn int(&self, index: usize) -> Result<i64> {
        match self.ints(index)?.as_slice() {
            &[value] => Ok(value),
            values => Err(invalid(format!("input {index} holds {} integers instead of one", values.len()))),
        }
    }

    /// The one value in that input.
    pub(crate) fn scalar<T: Element>(&self, index: usize) -> Result<T> {
        match self.values::<T>(index)? {
            &[value] => Ok(value),
            values => Err(invalid(format!("input {index} holds {} values instead of one", values.len()))),
        }
    }

    /// The dimensions of that input, which must be `RANK` ones.
    pub(crate) fn dims<const RANK: usize>(&self, index: usize) -> Result<[usize; RANK]> {
        let tensor = self.tensor(index)?;
        tensor.dims().try_into().map_err(|_| {
            let shape = shape_text(tensor.dims());
            invalid(format!("input {index} has the shape {shape} where {RANK} dimensions are needed"))
        })
    }
}

/// The attributes of a node, with TensorFlow's defaults for those that an exporter left out.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'g> {
    pub graph: &'g Graph,
    pub node: NodeId,
}

impl Attributes<'_> {
    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.graph.attr_int(self.node, name).unwrap_or(default)
    }

    pub(crate) fn bool(&self, name: &str, default: bool) -> bool {
        self.graph.attr_bool(self.node, name).unwrap_or(default)
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.graph.attr_float(self.node, name).unwrap_or(default)
    }

    pub(crate) fn ints(&self, name: &str) -> Vec<i64> {
        self.graph.attr_ints(self.node, name).unwrap_or_default()
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> String {
        self.graph.attr_str(self.node, name).unwrap_or_else(|| default.to_owned())
    }

    /// A type; an error when it is one that is not computed with.
    pub(crate) fn dtype(&self, name: &str, default: DType) -> Result<DType> {
        let Some(number) = self.graph.attr_type(self.node, name) else { return Ok(default) };
        DType::from_number(number).ok_or_else(|| {
            Error::new(
                ErrorKind::Refused,
                format!("the type of its attribute {name} (DataType {number}) is not computed with"),
            )
        })
    }

    /// Whether channels are the second dimension.
    pub(crate) fn channels_first(&self) -> Result<bool> {
        match self.text("data_format", "NHWC").as_str() {
            "NHWC" | "NDHWC" | "NWC" => Ok(false),
            "NCHW" | "NCDHW" | "NCW" => Ok(true),
            other => Err(Error::new(ErrorKind::Refused, format!("the data format {other} is not computed with"))),
        }
    }
}

/// A non-negative size from a graph.
pub(crate) fn size(value: i64, what: &str) -> Result<usize> {
    usize::try_from(value).map_err(|_| invalid(format!("{what} is {value}")))
}

/// An axis of a tensor of that rank; negative ones count from the end.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let from_start = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    let found = from_start.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
    found.ok_or_else(|| invalid(format!("there is no axis {axis} in {rank} dimensions")))
}
