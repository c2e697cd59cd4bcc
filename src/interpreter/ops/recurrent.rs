//! Recurrent cells that are one op: LSTMBlockCell, BlockLSTM in both versions, GRUBlockCell.

use super::matmul::product;
use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::kernel::{Attributes, Inputs, Kernel, Op, Outputs, invalid};
use crate::interpreter::math::{sigmoid, tanh};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{DType, Storage, Tensor, element_count, shape_text};

/// The attributes of an LSTM.
#[derive(Clone, Copy)]
struct Lstm {
    forget_bias: f32,
    /// None below zero, or at it.
    cell_clip: f32,
    peephole: bool,
    /// Where in the products the cell's input and the forget gate are: their order has changed.
    cell_at: usize,
    forget_at: usize,
}

impl Lstm {
    fn of(node: &Attributes<'_>, is_v2: bool) -> Result<Self> {
        only_floats(node)?;
        Ok(Self {
            forget_bias: if is_v2 { 0.0 } else { node.float("forget_bias", 1.0) },
            cell_clip: node.float("cell_clip", if is_v2 { 0.0 } else { 3.0 }),
            peephole: node.bool("use_peephole", false),
            cell_at: if is_v2 { 2 } else { 1 },
            forget_at: if is_v2 { 1 } else { 2 },
        })
    }
}

fn only_floats(node: &Attributes<'_>) -> Result<()> {
    if node.dtype("T", DType::F32)? == DType::F32 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Refused, "a recurrent cell of other than 32-bit floats is not computed"))
}

/// Two matrices side by side.
fn beside(x: &[f32], h: &[f32], batch: usize, memory: &mut Memory) -> Result<Tensor> {
    let (wide, units) = (x.len() / batch.max(1), h.len() / batch.max(1));
    let count = element_count(&[batch, wide + units])?;
    let mut out = memory.unset::<f32>(count)?;
    if batch > 0 && count > 0 {
        for (row, out) in out.chunks_exact_mut(wide + units).enumerate() {
            out[..wide].copy_from_slice(&x[row * wide..][..wide]);
            out[wide..].copy_from_slice(&h[row * units..][..units]);
        }
    }
    Tensor::from_storage(vec![batch, wide + units], out)
}

/// What one step of an LSTM makes: input gate, cell state, forget gate, output gate, cell input, cell output, output.
type Step<'a> = [&'a mut [f32]; 7];

/// The weights of an LSTM, checked against its number of units.
struct Weights<'a> {
    matrix: &'a Tensor,
    peepholes: [&'a [f32]; 3],
    bias: &'a [f32],
}

impl<'a> Weights<'a> {
    /// Those that begin at that input.
    fn of(inputs: &'a Inputs, first: usize, inner: usize, units: usize, peephole: bool) -> Result<Self> {
        let matrix = inputs.tensor(first)?;
        let peepholes = [1, 2, 3].map(|gate| inputs.values::<f32>(first + gate));
        let [wci, wcf, wco] = peepholes;
        let peepholes = [wci?, wcf?, wco?];
        let bias = inputs.values::<f32>(first + 4)?;
        let wide = units.saturating_mul(4);
        let is_short = peephole && peepholes.iter().any(|values| values.len() != units);
        if matrix.dims() != [inner, wide] || bias.len() != wide || is_short {
            let shape = shape_text(matrix.dims());
            return Err(invalid(format!("weights of the shape {shape} instead of [{inner},{wide}], or their biases")));
        }
        Ok(Self { matrix, peepholes, bias })
    }
}

fn step(
    lstm: Lstm,
    weights: &Weights<'_>,
    (x, cell, hidden): (&[f32], &[f32], &[f32]),
    [batch, units]: [usize; 2],
    out: Step<'_>,
    memory: &mut Memory,
) -> Result<()> {
    let both = beside(x, hidden, batch, memory)?;
    let gates = product(&both, weights.matrix, [false, false], memory)?;
    let gates = gates.values::<f32>().unwrap_or_default();
    let [input, state, forget, output, cell_input, cell_output, hidden] = out;
    let peep = |gate: usize, unit: usize, state: f32| {
        if lstm.peephole { weights.peepholes[gate][unit] * state } else { 0.0 }
    };
    for at in 0..batch * units {
        let (row, unit) = (at / units, at % units);
        let gate = |which: usize| gates[row * 4 * units + which * units + unit] + weights.bias[which * units + unit];
        input[at] = sigmoid(gate(0) + peep(0, unit, cell[at]));
        cell_input[at] = tanh(gate(lstm.cell_at));
        forget[at] = sigmoid(gate(lstm.forget_at) + lstm.forget_bias + peep(1, unit, cell[at]));
        let next = cell_input[at] * input[at] + cell[at] * forget[at];
        state[at] = if lstm.cell_clip > 0.0 { next.clamp(-lstm.cell_clip, lstm.cell_clip) } else { next };
        output[at] = sigmoid(gate(3) + peep(2, unit, state[at]));
        cell_output[at] = tanh(state[at]);
        hidden[at] = output[at] * cell_output[at];
    }
    Ok(())
}

fn slots(count: usize, memory: &mut Memory) -> Result<[Storage<f32>; 7]> {
    let mut slot = || memory.zeros::<f32>(count);
    Ok([slot()?, slot()?, slot()?, slot()?, slot()?, slot()?, slot()?])
}

fn made(slots: [Storage<f32>; 7], dims: &[usize]) -> Result<Outputs> {
    slots.into_iter().map(|slot| Ok(Tensor::from_storage(dims.to_vec(), slot)?.into())).collect()
}

fn lstm_block_cell(node: &Attributes<'_>) -> Result<Kernel> {
    let lstm = Lstm::of(node, false)?;
    Ok(Box::new(move |inputs, memory| {
        let ([batch, wide], [state_batch, units]) = (inputs.dims::<2>(0)?, inputs.dims::<2>(1)?);
        if state_batch != batch || inputs.dims::<2>(2)? != [batch, units] {
            return Err(invalid("states of another batch than the input's"));
        }
        let weights = Weights::of(inputs, 3, wide.saturating_add(units), units, lstm.peephole)?;
        let mut out = slots(element_count(&[batch, units])?, memory)?;
        let (x, cell, hidden) = (inputs.values(0)?, inputs.values(1)?, inputs.values(2)?);
        let views = out.each_mut().map(|slot| &mut **slot);
        step(lstm, &weights, (x, cell, hidden), [batch, units], views, memory)?;
        made(out, &[batch, units])
    }))
}

/// All steps of a sequence; those past its greatest length are zeros.
fn block_lstm(node: &Attributes<'_>, is_v2: bool) -> Result<Kernel> {
    let lstm = Lstm::of(node, is_v2)?;
    Ok(Box::new(move |inputs, memory| {
        let ([time, batch, wide], [state_batch, units]) = (inputs.dims::<3>(1)?, inputs.dims::<2>(2)?);
        if state_batch != batch || inputs.dims::<2>(3)? != [batch, units] {
            return Err(invalid("states of another batch than the input's"));
        }
        let length = inputs.int(0)?;
        let length = usize::try_from(length).ok().filter(|&length| length <= time);
        let length = length.ok_or_else(|| invalid(format!("a sequence that is not of 0 to {time} steps")))?;
        let weights = Weights::of(inputs, 4, wide.saturating_add(units), units, lstm.peephole)?;
        let dims = [time, batch, units];
        let mut out = slots(element_count(&dims)?, memory)?;
        let (x, first_cell, first_hidden) = (inputs.values::<f32>(1)?, inputs.values(2)?, inputs.values(3)?);
        let (of_x, of_state) = (batch * wide, batch * units);
        for at in 0..length {
            let before = at.checked_sub(1).map(|before| before * of_state..at * of_state);
            let cell: Vec<f32> = before.clone().map_or(first_cell, |range| &out[1][range]).to_vec();
            let hidden: Vec<f32> = before.map_or(first_hidden, |range| &out[6][range]).to_vec();
            let views = out.each_mut().map(|slot| &mut slot[at * of_state..(at + 1) * of_state]);
            let x = &x[at * of_x..(at + 1) * of_x];
            step(lstm, &weights, (x, &cell, &hidden), [batch, units], views, memory)?;
        }
        made(out, &dims)
    }))
}

/// Reset gate, update gate, candidate, output.
fn gru_block_cell(node: &Attributes<'_>) -> Result<Kernel> {
    only_floats(node)?;
    Ok(Box::new(move |inputs, memory| {
        let ([batch, wide], [state_batch, units]) = (inputs.dims::<2>(0)?, inputs.dims::<2>(1)?);
        let inner = wide.saturating_add(units);
        let (x, hidden) = (inputs.values::<f32>(0)?, inputs.values::<f32>(1)?);
        let (gate_bias, bias) = (inputs.values::<f32>(4)?, inputs.values::<f32>(5)?);
        let (of_gates, of_candidate) = (inputs.tensor(2)?, inputs.tensor(3)?);
        let fits = of_gates.dims() == [inner, units.saturating_mul(2)] && of_candidate.dims() == [inner, units];
        if state_batch != batch || !fits || gate_bias.len() != 2 * units || bias.len() != units {
            return Err(invalid("the weights, the biases and the state do not go together"));
        }
        let gates = product(&beside(x, hidden, batch, memory)?, of_gates, [false, false], memory)?;
        let gates = gates.values::<f32>().unwrap_or_default();
        let count = element_count(&[batch, units])?;
        let gate = |which: usize, at: usize| {
            let (row, unit) = (at / units, which * units + at % units);
            sigmoid(gates[row * 2 * units + unit] + gate_bias[unit])
        };
        let reset = memory.collect(count, (0..count).map(|at| gate(0, at)))?;
        let update = memory.collect(count, (0..count).map(|at| gate(1, at)))?;
        let kept = memory.collect(count, (0..count).map(|at| hidden[at] * reset[at]))?;
        let raw = product(&beside(x, &kept, batch, memory)?, of_candidate, [false, false], memory)?;
        let raw = raw.values::<f32>().unwrap_or_default();
        let candidate = memory.collect(count, (0..count).map(|at| tanh(raw[at] + bias[at % units])))?;
        let next = |at: usize| update[at] * hidden[at] + (1.0 - update[at]) * candidate[at];
        let next = memory.collect(count, (0..count).map(next))?;
        let made = [reset, update, candidate, next].into_iter();
        made.map(|values| Ok(Tensor::from_storage(vec![batch, units], values)?.into())).collect()
    }))
}

pub(super) const OPS: &[Op] = &[
    Op { name: "LSTMBlockCell", prepare: lstm_block_cell },
    Op { name: "BlockLSTM", prepare: |node| block_lstm(node, false) },
    Op { name: "BlockLSTMV2", prepare: |node| block_lstm(node, true) },
    Op { name: "GRUBlockCell", prepare: gru_block_cell },
];
