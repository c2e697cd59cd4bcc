//! TensorArrays and TensorLists: the tensors that a loop over time reads and writes one by one.
//!
//! A TensorArray's state travels with its flow, as a TensorList's does with its handle; so neither needs a table of
//! resources, and whoever holds the only copy writes in place.

use std::sync::Arc;

use super::join::{concatenated, divided, stacked};
use super::shape::filled;
use crate::error::Result;
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, List, Op, Value, invalid, size};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{DType, Tensor, element_count};

fn resized(list: Arc<List>, count: usize, memory: &mut Memory) -> Result<Arc<List>> {
    element_count(&[count])?;
    let charge = Some(Arc::new(memory.charge(count.saturating_mul(size_of::<Option<Tensor>>()))?));
    let mut list = owned(list);
    list.items.resize(count, None);
    Ok(Arc::new(List { charge, ..list }))
}

/// The list itself, if no one else holds it, or else a copy; the tensors stay shared.
fn owned(list: Arc<List>) -> List {
    Arc::try_unwrap(list).unwrap_or_else(|shared| List {
        dtype: shared.dtype,
        shape: shared.shape.clone(),
        items: shared.items.clone(),
        charge: shared.charge.clone(),
    })
}

fn empty(dtype: DType, shape: Option<Vec<i64>>) -> Arc<List> {
    Arc::new(List { dtype, shape, items: Vec::new(), charge: None })
}

/// The list with that element replaced.
fn with_item(list: Arc<List>, index: i64, item: Tensor, grows: bool, memory: &mut Memory) -> Result<Arc<List>> {
    let index = size(index, "the index")?;
    let mut list = list;
    if index >= list.items.len() {
        if !grows {
            return Err(invalid(format!("the index {index} is out of {}", list.items.len())));
        }
        list = resized(list, index.saturating_add(1), memory)?;
    }
    let mut list = owned(list);
    list.items[index] = Some(item);
    Ok(Arc::new(list))
}

/// An element that was never written is zero, if its shape is known.
fn item(list: &List, index: i64, shape: Option<&[i64]>, memory: &mut Memory) -> Result<Tensor> {
    let found = usize::try_from(index).ok().and_then(|index| list.items.get(index));
    match found {
        Some(Some(item)) => Ok(item.clone()),
        Some(None) => {
            let written = list.items.iter().flatten().next().map(|item| item.dims().to_vec());
            let known = |shape: &[i64]| shape.iter().map(|&dim| usize::try_from(dim).ok()).collect::<Option<Vec<_>>>();
            let dims = shape.and_then(known).or_else(|| list.shape.as_deref().and_then(known)).or(written);
            let dims = dims.ok_or_else(|| invalid(format!("element {index} was never written")))?;
            zeros(dims, list.dtype, memory)
        }
        None => Err(invalid(format!("the index {index} is out of {}", list.items.len()))),
    }
}

fn zeros(dims: Vec<usize>, dtype: DType, memory: &mut Memory) -> Result<Tensor> {
    let zero = match dtype {
        DType::F32 | DType::F16 | DType::Bf16 => Tensor::scalar(0f32),
        DType::F64 => Tensor::scalar(0f64),
        DType::I32 => Tensor::scalar(0i32),
        DType::I64 => Tensor::scalar(0i64),
        DType::U8 => Tensor::scalar(0u8),
        DType::I8 => Tensor::scalar(0i8),
        DType::Bool => Tensor::scalar(false),
    };
    Ok(filled(dims, &zero, memory)?.retyped(dtype))
}

/// Those elements along a new first axis.
fn stack(list: &List, indices: &[i64], shape: Option<&[i64]>, memory: &mut Memory) -> Result<Tensor> {
    let items: Vec<Tensor> = indices.iter().map(|&index| item(list, index, shape, memory)).collect::<Result<_>>()?;
    if items.is_empty() {
        let known = shape.or(list.shape.as_deref()).unwrap_or_default();
        let dims = std::iter::once(0).chain(known.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)));
        return zeros(dims.collect(), list.dtype, memory);
    }
    stacked(&items.iter().collect::<Vec<_>>(), 0, memory)
}

/// The rows of a tensor as tensors of their own.
fn rows(tensor: &Tensor, memory: &mut Memory) -> Result<Vec<Tensor>> {
    let Some((&count, rest)) = tensor.dims().split_first() else { return Err(invalid("the rows of a scalar")) };
    // Each row is a tensor: as many as there are must be worth their places.
    memory.charge(count.saturating_mul(size_of::<Tensor>()))?;
    let parts = divided(tensor, 0, &vec![1; count], memory)?;
    parts.into_iter().map(|part| part.reshaped(rest.to_vec())).collect()
}

fn scattered(list: Arc<List>, indices: &[i64], tensor: &Tensor, grows: bool, memory: &mut Memory) -> Result<Arc<List>> {
    let rows = rows(tensor, memory)?;
    if rows.len() != indices.len() {
        return Err(invalid(format!("{} elements for {} indices", rows.len(), indices.len())));
    }
    let mut list = list;
    for (row, &index) in rows.into_iter().zip(indices) {
        list = with_item(list, index, row, grows, memory)?;
    }
    Ok(list)
}

/// All elements along their first axis, and how long each was.
fn concatenation(list: &List, memory: &mut Memory) -> Result<Vec<Value>> {
    let count = list.items.len() as i64;
    let items: Vec<Tensor> = (0..count).map(|index| item(list, index, None, memory)).collect::<Result<_>>()?;
    if items.iter().any(|item| item.rank() == 0) {
        return Err(invalid("scalars are put together along an axis"));
    }
    let lengths = items.iter().map(|item| item.dims()[0] as i64).collect();
    let whole = concatenated(&items.iter().collect::<Vec<_>>(), 0, memory)?;
    Ok(vec![whole.into(), Tensor::vector::<i64>(lengths).into()])
}

/// A shape given as a tensor: -1 for an unknown rank or size.
fn shape_input(inputs: &Inputs, index: usize) -> Result<Option<Vec<i64>>> {
    let is_vector = inputs.tensor(index)?.rank() == 1;
    Ok(Some(inputs.ints(index)?).filter(|_| is_vector))
}

fn array(node: &Attributes<'_>) -> Result<Kernel> {
    let dtype = node.dtype("dtype", DType::F32)?;
    let shape = node.graph.attr_shape(node.node, "element_shape").filter(|shape| !shape.unknown_rank);
    let shape = shape.map(|shape| shape.dim.iter().map(|dim| dim.size).collect::<Vec<_>>());
    Ok(Box::new(move |inputs, memory| {
        let list = resized(empty(dtype, shape.clone()), size(inputs.int(0)?, "the size")?, memory)?;
        // The handle says nothing: the flow carries the elements.
        Ok(vec![Tensor::scalar(0i32).into(), Value::List(list)])
    }))
}

fn array_read(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| Ok(vec![item(inputs.list(2)?, inputs.int(1)?, None, memory)?.into()])))
}

fn array_write(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let (index, value, list) = (inputs.int(1)?, inputs.take(2)?, inputs.take_list(3)?);
        Ok(vec![Value::List(with_item(list, index, value, true, memory)?)])
    }))
}

fn array_gather(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| Ok(vec![stack(inputs.list(2)?, &inputs.ints(1)?, None, memory)?.into()])))
}

fn array_scatter(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let (indices, value, list) = (inputs.ints(1)?, inputs.take(2)?, inputs.take_list(3)?);
        Ok(vec![Value::List(scattered(list, &indices, &value, true, memory)?)])
    }))
}

fn array_split(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let (value, lengths) = (inputs.take(1)?, inputs.sizes(2, "a length")?);
        let sum = lengths.iter().fold(0usize, |sum, &length| sum.saturating_add(length));
        if value.rank() == 0 || sum != value.dims()[0] {
            return Err(invalid("the lengths of the parts do not make the whole"));
        }
        let mut list = resized(inputs.take_list(3)?, lengths.len(), memory)?;
        for (index, part) in divided(&value, 0, &lengths, memory)?.into_iter().enumerate() {
            list = with_item(list, index as i64, part, false, memory)?;
        }
        Ok(vec![Value::List(list)])
    }))
}

fn reserve(node: &Attributes<'_>) -> Result<Kernel> {
    let dtype = node.dtype("element_dtype", DType::F32)?;
    Ok(Box::new(move |inputs, memory| {
        let list = empty(dtype, shape_input(inputs, 0)?);
        Ok(vec![Value::List(resized(list, size(inputs.int(1)?, "the size")?, memory)?)])
    }))
}

fn empty_list(node: &Attributes<'_>) -> Result<Kernel> {
    let dtype = node.dtype("element_dtype", DType::F32)?;
    Ok(Box::new(move |inputs, _| Ok(vec![Value::List(empty(dtype, shape_input(inputs, 0)?))])))
}

fn from_tensor(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let tensor = inputs.tensor(0)?;
        let items = rows(tensor, memory)?;
        let list = resized(empty(tensor.dtype(), shape_input(inputs, 1)?), items.len(), memory)?;
        let items = items.into_iter().map(Some).collect();
        Ok(vec![Value::List(Arc::new(List { items, ..owned(list) }))])
    }))
}

fn stack_list(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let (list, shape) = (inputs.list(0)?, shape_input(inputs, 1)?);
        let indices: Vec<i64> = (0..list.items.len() as i64).collect();
        Ok(vec![stack(list, &indices, shape.as_deref(), memory)?.into()])
    }))
}

fn gather_list(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let (list, indices, shape) = (inputs.list(0)?, inputs.ints(1)?, shape_input(inputs, 2)?);
        Ok(vec![stack(list, &indices, shape.as_deref(), memory)?.into()])
    }))
}

fn get_item(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let shape = shape_input(inputs, 2)?;
        Ok(vec![item(inputs.list(0)?, inputs.int(1)?, shape.as_deref(), memory)?.into()])
    }))
}

fn set_item(node: &Attributes<'_>) -> Result<Kernel> {
    let grows = node.bool("resize_if_index_out_of_bounds", false);
    Ok(Box::new(move |inputs, memory| {
        let (list, index, value) = (inputs.take_list(0)?, inputs.int(1)?, inputs.take(2)?);
        Ok(vec![Value::List(with_item(list, index, value, grows, memory)?)])
    }))
}

fn push_back(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let (list, value) = (inputs.take_list(0)?, inputs.take(1)?);
        let index = list.items.len() as i64;
        Ok(vec![Value::List(with_item(list, index, value, true, memory)?)])
    }))
}

fn pop_back(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let shape = shape_input(inputs, 1)?;
        let list = inputs.take_list(0)?;
        let Some(last) = list.items.len().checked_sub(1) else { return Err(invalid("an empty list is read")) };
        let value = item(&list, last as i64, shape.as_deref(), memory)?;
        let mut list = owned(list);
        list.items.pop();
        Ok(vec![Value::List(Arc::new(list)), value.into()])
    }))
}

fn scatter_list(node: &Attributes<'_>) -> Result<Kernel> {
    let dtype = node.dtype("element_dtype", DType::F32)?;
    let is_new = node.graph.op(node.node) == "TensorListScatterV2";
    Ok(Box::new(move |inputs, memory| {
        if is_new {
            let (tensor, indices) = (inputs.take(0)?, inputs.ints(1)?);
            let count = inputs.int(3)?.max(indices.iter().copied().max().unwrap_or(-1).saturating_add(1));
            let list = resized(empty(dtype, shape_input(inputs, 2)?), size(count, "the size")?, memory)?;
            return Ok(vec![Value::List(scattered(list, &indices, &tensor, false, memory)?)]);
        }
        let (list, tensor, indices) = (inputs.take_list(0)?, inputs.take(1)?, inputs.ints(2)?);
        Ok(vec![Value::List(scattered(list, &indices, &tensor, true, memory)?)])
    }))
}

fn resize(_: &Attributes<'_>) -> Result<Kernel> {
    Ok(Box::new(|inputs, memory| {
        let count = size(inputs.int(1)?, "the size")?;
        Ok(vec![Value::List(resized(inputs.take_list(0)?, count, memory)?)])
    }))
}

fn length(at: usize) -> Result<Kernel> {
    Ok(Box::new(move |inputs, _| Ok(vec![Tensor::scalar(inputs.list(at)?.items.len() as i32).into()])))
}

/// The shape of every element as a vector, or -1 where not even its rank is known.
fn element_shape(node: &Attributes<'_>) -> Result<Kernel> {
    let dtype = node.dtype("shape_type", DType::I32)?;
    Ok(Box::new(move |inputs, _| {
        let shape = inputs.list(0)?.shape.clone();
        Ok(vec![
            match (shape, dtype) {
                (Some(shape), DType::I64) => Tensor::vector(shape),
                (Some(shape), _) => Tensor::vector(shape.into_iter().map(|dim| dim as i32).collect()),
                (None, DType::I64) => Tensor::scalar(-1i64),
                (None, _) => Tensor::scalar(-1i32),
            }
            .into(),
        ])
    }))
}

fn concat(at: usize) -> Result<Kernel> {
    Ok(Box::new(move |inputs, memory| concatenation(inputs.list(at)?, memory)))
}

pub(super) const OPS: &[Op] = &[
    Op { name: "TensorArrayV3", prepare: array },
    Op { name: "TensorArrayReadV3", prepare: array_read },
    Op { name: "TensorArrayWriteV3", prepare: array_write },
    Op { name: "TensorArrayGatherV3", prepare: array_gather },
    Op { name: "TensorArrayScatterV3", prepare: array_scatter },
    Op { name: "TensorArraySplitV3", prepare: array_split },
    Op { name: "TensorArrayConcatV3", prepare: |_| concat(1) },
    Op { name: "TensorArraySizeV3", prepare: |_| length(1) },
    Op { name: "TensorListReserve", prepare: reserve },
    Op { name: "EmptyTensorList", prepare: empty_list },
    Op { name: "TensorListFromTensor", prepare: from_tensor },
    Op { name: "TensorListStack", prepare: stack_list },
    Op { name: "TensorListGather", prepare: gather_list },
    Op { name: "TensorListGetItem", prepare: get_item },
    Op { name: "TensorListSetItem", prepare: set_item },
    Op { name: "TensorListPushBack", prepare: push_back },
    Op { name: "TensorListPopBack", prepare: pop_back },
    Op { name: "TensorListScatterV2", prepare: scatter_list },
    Op { name: "TensorListScatterIntoExistingList", prepare: scatter_list },
    Op { name: "TensorListResize", prepare: resize },
    Op { name: "TensorListElementShape", prepare: element_shape },
    Op { name: "TensorListLength", prepare: |_| length(0) },
    Op { name: "TensorListConcatV2", prepare: |_| concat(0) },
];
