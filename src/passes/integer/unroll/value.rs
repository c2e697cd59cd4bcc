//! What a tensor of a loop is in one step, as far as that is known without running it.

use std::rc::Rc;

use super::{Step, Stop};
use crate::graph::TensorRef;
use crate::proto::tensorflow::DataType;

/// Lists are no longer than that.
pub(super) const MOST_ELEMENTS: usize = 4096;

/// An integer, or a truth as zero or one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Number {
    pub value: i64,
    pub data_type: DataType,
}

impl Number {
    /// What an op makes of numbers; `None` for other ops.
    pub(super) fn computed(op: &str, operands: &[Self]) -> Option<Self> {
        let truth = |is: bool| Some(Self { value: i64::from(is), data_type: DataType::DtBool });
        let &[a, ref rest @ ..] = operands else { return None };
        let Some(&b) = rest.first() else {
            return if op == "LogicalNot" { truth(a.value == 0) } else { None };
        };
        let (x, y) = (a.value, b.value);
        let value = match op {
            "Add" | "AddV2" => x.checked_add(y)?,
            "Sub" => x.checked_sub(y)?,
            "Mul" => x.checked_mul(y)?,
            "Minimum" => x.min(y),
            "Maximum" => x.max(y),
            "FloorMod" => x.checked_rem_euclid(y).filter(|_| y > 0)?,
            "Less" => return truth(x < y),
            "LessEqual" => return truth(x <= y),
            "Greater" => return truth(x > y),
            "GreaterEqual" => return truth(x >= y),
            "Equal" => return truth(x == y),
            "NotEqual" => return truth(x != y),
            "LogicalAnd" => return truth(x != 0 && y != 0),
            "LogicalOr" => return truth(x != 0 || y != 0),
            _ => return None,
        };
        Some(Self { value, data_type: a.data_type })
    }

    /// The number as a place in a list.
    pub(super) fn place(self) -> Step<usize> {
        usize::try_from(self.value).ok().filter(|&place| place < MOST_ELEMENTS).ok_or(Stop::Unknown)
    }
}

/// The elements of a list, as far as they are set.
#[derive(Debug, Clone, Default)]
pub(super) struct List(Rc<Vec<Option<TensorRef>>>);

impl List {
    pub(super) fn of(elements: impl IntoIterator<Item = TensorRef>) -> Self {
        Self(Rc::new(elements.into_iter().map(Some).collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn element(&self, place: usize) -> Step<TensorRef> {
        self.0.get(place).copied().flatten().ok_or(Stop::Unknown)
    }

    /// The list with another element at that place.
    pub(super) fn with(&self, place: usize, element: TensorRef) -> Self {
        let mut elements = Vec::clone(&self.0);
        elements.resize(elements.len().max(place + 1), None);
        elements[place] = Some(element);
        Self(Rc::new(elements))
    }

    /// All elements, if there are some, and none is lacking.
    pub(super) fn all(&self) -> Step<Vec<TensorRef>> {
        let all: Option<Vec<TensorRef>> = self.0.iter().copied().collect();
        all.filter(|all| !all.is_empty()).ok_or(Stop::Unknown)
    }
}

/// What a tensor is.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Tensor(TensorRef),
    Number(Number),
    List(List),
    /// That of a TensorArray, whose elements go with its flow.
    Handle,
}

impl Value {
    pub(super) fn number(&self) -> Step<Number> {
        if let Self::Number(number) = self { Ok(*number) } else { Err(Stop::Unknown) }
    }

    pub(super) fn list(&self) -> Step<&List> {
        if let Self::List(list) = self { Ok(list) } else { Err(Stop::Unknown) }
    }
}
