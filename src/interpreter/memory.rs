//! Memory that is counted: what all sessions of a plan hold together never passes the limit.
//!
//! A session keeps the buffers that its tensors leave behind and hands them out again, so that a run neither asks the
//! system for pages nor clears them.

use std::sync::Arc;

use super::budget::{Budget, Charge};
use super::tensor::{Buffer, Data, Element, Storage, Tensor, element_count};
use crate::error::Result;

/// Buffers kept for reuse, at most.
const POOLED_BUFFERS: usize = 12;

/// Bytes kept for reuse, at most.
const POOLED_BYTES: usize = 24 << 20;

/// Shorter buffers are not worth keeping.
const WORTH_KEEPING: usize = 1 << 12;

/// One session's access to memory.
#[derive(Debug)]
pub(crate) struct Memory {
    budget: Arc<Budget>,
    pool: Vec<Vec<f32>>,
    pool_charges: Vec<Charge>,
}

impl Memory {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { budget, pool: Vec::new(), pool_charges: Vec::new() }
    }

    /// Counts bytes that the caller allocates.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<Charge> {
        if let Ok(charge) = self.budget.charge(bytes) {
            return Ok(charge);
        }
        self.pool.clear();
        self.pool_charges.clear();
        self.budget.charge(bytes)
    }

    fn charge_for<T>(&mut self, count: usize) -> Result<Option<Charge>> {
        // Scalars and shapes are not worth counting one by one.
        if count.saturating_mul(size_of::<T>()) <= 64 {
            return Ok(None);
        }
        self.charge(count.saturating_mul(size_of::<T>())).map(Some)
    }

    /// Elements that are all the default: zero, false.
    pub(crate) fn zeros<T: Element>(&mut self, count: usize) -> Result<Storage<T>> {
        let charge = self.charge_for::<T>(count)?;
        Ok(Storage::new(vec![T::default(); count], charge))
    }

    /// Elements from an iterator that yields `count` of them.
    pub(crate) fn collect<T: Element>(&mut self, count: usize, values: impl Iterator<Item = T>) -> Result<Storage<T>> {
        let charge = self.charge_for::<T>(count)?;
        let mut collected = Vec::with_capacity(count);
        collected.extend(values.take(count));
        Ok(Storage::new(collected, charge))
    }

    /// Elements whose values are whatever a buffer held before, for who writes them all.
    pub(crate) fn unset<T: Element>(&mut self, count: usize) -> Result<Storage<T>> {
        match self.pooled::<T>(count) {
            Some(storage) => Ok(storage),
            None => self.zeros(count),
        }
    }

    /// As [`Memory::unset`], for a tensor of these dimensions.
    pub(crate) fn unset_for<T: Element>(&mut self, dims: &[usize]) -> Result<Storage<T>> {
        self.unset(element_count(dims)?)
    }

    /// The same tensor with elements that can be had as values.
    pub(crate) fn aligned(&mut self, tensor: &Tensor) -> Result<Tensor> {
        let dims = tensor.dims();
        let realigned = match tensor.data() {
            Data::F32(buffer) => self.realigned(dims, buffer)?,
            Data::F64(buffer) => self.realigned(dims, buffer)?,
            Data::I32(buffer) => self.realigned(dims, buffer)?,
            Data::I64(buffer) => self.realigned(dims, buffer)?,
            Data::U8(_) | Data::I8(_) | Data::Bool(_) => None,
        };
        Ok(realigned.map_or_else(|| tensor.clone(), |realigned| realigned.retyped(tensor.dtype())))
    }

    /// A tensor of these elements in memory of their own, if they are not aligned where they are.
    fn realigned<T: Element>(&mut self, dims: &[usize], buffer: &Buffer<T>) -> Result<Option<Tensor>> {
        match buffer {
            Buffer::File(bytes) if T::cast(bytes).is_none() => {
                let storage = self.collect(bytes.len() / size_of::<T>(), T::decode(bytes))?;
                Tensor::from_storage(dims.to_vec(), storage).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The smallest kept buffer that is long enough and not wastefully long.
    fn pooled<T: Element>(&mut self, count: usize) -> Option<Storage<T>> {
        if T::DTYPE != f32::DTYPE || count < WORTH_KEEPING {
            return None;
        }
        let fits = |buffer: &Vec<f32>| (count..=count.saturating_mul(2)).contains(&buffer.capacity());
        let candidates = self.pool.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        let (index, _) = candidates.min_by_key(|(_, buffer)| buffer.capacity())?;
        let (mut buffer, charge) = (self.pool.swap_remove(index), self.pool_charges.swap_remove(index));
        buffer.resize(count, 0.0);
        let tensor = Tensor::from_storage(vec![count], Storage::new(buffer, Some(charge))).ok()?;
        tensor.into_storage()
    }

    /// Takes a tensor that is needed no more, and its buffer if no one else holds it.
    pub(super) fn recycle(&mut self, tensor: Tensor) {
        if tensor.len() < WORTH_KEEPING {
            return;
        }
        if let Some(storage) = tensor.into_storage::<f32>() {
            self.keep(storage);
        }
    }

    /// Takes a buffer that is needed no more.
    pub(crate) fn keep(&mut self, storage: Storage<f32>) {
        let (buffer, Some(charge)) = storage.into_parts() else { return };
        if buffer.capacity() < WORTH_KEEPING {
            return;
        }
        self.pool.push(buffer);
        self.pool_charges.push(charge);
        let held = |pool: &[Vec<f32>]| pool.iter().map(Vec::capacity).sum::<usize>() * size_of::<f32>();
        while self.pool.len() > POOLED_BUFFERS || self.pool.len() > 1 && held(&self.pool) > POOLED_BYTES {
            self.pool.remove(0);
            self.pool_charges.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn nothing_passes_the_limit_and_what_goes_is_given_back() {
        let budget = Budget::new(100_000);
        let mut memory = Memory::new(Arc::clone(&budget));
        let first = memory.zeros::<f32>(20_000).unwrap();
        assert_eq!(memory.zeros::<f32>(10_000).unwrap_err().kind(), ErrorKind::TooLarge);
        memory.keep(first);
        let again = memory.unset::<f32>(15_000).unwrap();
        assert_eq!(again.len(), 15_000);
        assert_eq!(budget.used(), 80_000, "the kept buffer was handed out");
        memory.keep(again);
        assert!(memory.zeros::<f64>(10_000).is_ok(), "kept buffers make way");
        assert_eq!(budget.used(), 0);
        assert_eq!(budget.peak(), 80_000);
        assert!(memory.zeros::<u8>(usize::MAX).is_err());
    }
}
