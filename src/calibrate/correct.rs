//! Bias correction (Nagel et al., 2019; the empirical one): what quantizing adds to a channel on average is taken off its
//! bias.
//!
//! Layers are corrected in the order in which they run, each with the corrected ones before it. So that each is computed
//! once for each sample, what corrected layers make is held, for as long as a later one is computed from it: the run goes
//! on from there. Layers that do not depend on each other are corrected together.

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use super::blocks::in_blocks;
use super::feed::Feeds;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, NodeId, TensorRef};
use crate::interpreter::{Limits, Plan, Session, Tensor};
use crate::passes::integer::bias::{Bias, biases, set_bias};
use crate::passes::integer::constants::evaluate;

/// What became of a layer's bias.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CorrectedBias {
    /// The layer.
    pub layer: String,
    /// Its op.
    pub op: String,
    /// The largest number that was taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest: Option<f64>,
    /// Why nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// More samples than this do not tell more.
const MOST_SAMPLES: usize = 128;

/// What is run.
pub(super) struct Setup<'a> {
    pub feeds: &'a Feeds<'a>,
    pub inputs: &'a [TensorRef],
    pub outputs: &'a [TensorRef],
    pub threads: usize,
    pub limits: &'a Limits,
}

/// Corrects the biases of a quantized graph by the float graph that it was made of, whose nodes it has.
///
/// # Errors
/// Those of the runs; [`ErrorKind::TooLarge`] if what is held between layers passes the memory limit.
pub(super) fn correct_biases(float: &Graph, graph: &mut Graph, setup: &Setup<'_>) -> Result<Vec<CorrectedBias>> {
    let found = biases(float, setup.outputs);
    let layers: Vec<Bias> = found.iter().filter_map(|(_, bias)| bias.ok()).collect();
    let count = setup.feeds.runs.min(MOST_SAMPLES);
    let targets: Vec<(TensorRef, bool)> =
        layers.iter().map(|bias| (TensorRef::from(bias.node), bias.channels_first)).collect();
    let wanted = means(float, setup, &targets, count)?;
    let old = evaluate(float, layers.iter().map(|bias| bias.tensor), setup.limits)?;

    let mut taken_off: HashMap<NodeId, f64> = HashMap::new();
    let mut held: Vec<HashMap<TensorRef, Tensor>> = vec![HashMap::new(); count];
    for level in levels(graph, setup.inputs, &targets) {
        let of_level: Vec<(TensorRef, bool)> = level.layers.iter().map(|&layer| targets[layer]).collect();
        let got = advance(graph, setup, &level, &of_level, &mut held)?;
        for ((&layer, got), &(tensor, channels_first)) in level.layers.iter().zip(&got).zip(&of_level) {
            let bias = &layers[layer];
            let old = old.get(&bias.tensor).and_then(Tensor::values::<f32>).unwrap_or_default();
            let channels = wanted[layer].len();
            if got.len() != channels || channels == 0 || (old.len() != channels && old.len() != 1) {
                continue;
            }
            let off: Vec<f32> = got.iter().zip(&wanted[layer]).map(|(got, wanted)| (got - wanted) as f32).collect();
            let new: Vec<f32> = off.iter().enumerate().map(|(at, off)| old[at.min(old.len() - 1)] - off).collect();
            set_bias(graph, bias, &new)?;
            let largest = off.iter().fold(0f32, |largest, off| largest.max(off.abs()));
            taken_off.insert(bias.layer, largest.into());
            for held in &mut held {
                if let Some(tensor) = held.get_mut(&tensor) {
                    *tensor = less(tensor, &off, channels_first)?;
                }
            }
        }
    }
    let told = found.into_iter().map(|(layer, bias)| {
        let largest = taken_off.get(&layer).copied();
        let skipped = match bias {
            Err(reason) => Some(reason.to_owned()),
            Ok(_) => largest.is_none().then(|| "its bias is not one number a channel".to_owned()),
        };
        CorrectedBias { layer: float.name(layer).to_owned(), op: float.op(layer).to_owned(), largest, skipped }
    });
    Ok(told.collect())
}

/// Layers that are corrected together.
#[derive(Default)]
struct Level {
    /// Their places in the list of layers.
    layers: Vec<usize>,
    /// What they are computed from: inputs of the network, and what layers of earlier levels make.
    from: Vec<TensorRef>,
    /// What no later level is computed from.
    done: Vec<TensorRef>,
    /// What is made here and a later level is computed from.
    kept: HashSet<TensorRef>,
}

/// The levels in order: a layer's is one more than the highest of those that it depends on.
fn levels(graph: &Graph, inputs: &[TensorRef], targets: &[(TensorRef, bool)]) -> Vec<Level> {
    let places: HashMap<NodeId, usize> =
        targets.iter().enumerate().map(|(place, (tensor, _))| (tensor.node, place)).collect();
    // How many layers there are on the longest way to each node.
    let mut depth = vec![0usize; graph.len()];
    let mut levels: Vec<Level> = Vec::new();
    for node in graph.run_order() {
        let before = graph.data_inputs(node).map(|input| depth[input.node.index()]).max().unwrap_or(0);
        let Some(&place) = places.get(&node) else {
            depth[node.index()] = before;
            continue;
        };
        depth[node.index()] = before + 1;
        levels.resize_with(levels.len().max(before + 1), Level::default);
        levels[before].layers.push(place);
    }
    levels.retain(|level| !level.layers.is_empty());
    let fed: HashSet<TensorRef> = inputs.iter().copied().collect();
    let mut last_use: HashMap<TensorRef, usize> = HashMap::new();
    for (index, level) in levels.iter_mut().enumerate() {
        let own: HashSet<NodeId> = level.layers.iter().map(|&layer| targets[layer].0.node).collect();
        let is_end = |tensor: &TensorRef| fed.contains(tensor) || places.contains_key(&tensor.node);
        let mut waiting: Vec<NodeId> = own.iter().copied().collect();
        let mut seen = own;
        while let Some(node) = waiting.pop() {
            for input in graph.data_inputs(node) {
                if is_end(&input) {
                    last_use.insert(input, index);
                    level.from.push(input);
                } else if seen.insert(input.node) {
                    waiting.push(input.node);
                }
            }
        }
        level.from.sort_unstable();
        level.from.dedup();
    }
    for level in &mut levels {
        level.kept =
            level.layers.iter().map(|&layer| targets[layer].0).filter(|it| last_use.contains_key(it)).collect();
    }
    for (tensor, index) in last_use {
        levels[index].done.push(tensor);
    }
    levels
}

/// Computes the layers of a level on all samples from what is held, holds what they make, and tells its means by channel.
fn advance(
    graph: &Graph,
    setup: &Setup<'_>,
    level: &Level,
    targets: &[(TensorRef, bool)],
    held: &mut Vec<HashMap<TensorRef, Tensor>>,
) -> Result<Vec<Vec<f64>>> {
    let fetches: Vec<TensorRef> = targets.iter().map(|&(tensor, _)| tensor).collect();
    let plan = Plan::new(graph, &level.from, &fetches, setup.limits)?;
    let reads_inputs = level.from.iter().any(|tensor| setup.inputs.contains(tensor));
    let before = &*held;
    let add = |session: &mut Session<'_>, (sums, made): &mut (Vec<Sums>, Vec<(usize, Vec<Tensor>)>), index: usize| {
        let fed = if reads_inputs { setup.feeds.run(index)? } else { Vec::new() };
        let find = |tensor: &TensorRef| {
            let input = setup.inputs.iter().position(|input| input == tensor);
            input.map(|input| fed[input].clone()).or_else(|| before[index].get(tensor).cloned())
        };
        let from: Option<Vec<Tensor>> = level.from.iter().map(find).collect();
        let from = from.ok_or_else(|| Error::new(ErrorKind::InvalidGraph, "a layer is read before it is computed"))?;
        let results = session.run(&from, &mut |_, _| Ok(()))?;
        sums.resize_with(targets.len(), Sums::default);
        for ((sums, result), &(_, channels_first)) in sums.iter_mut().zip(&results).zip(targets) {
            sums.add(result, channels_first);
        }
        made.push((index, results));
        Ok(())
    };
    let blocks = in_blocks(before.len(), setup.threads, &|| Session::new(&plan), &Default::default, &add, &|_| true)?;
    let mut total: Vec<Sums> = targets.iter().map(|_| Sums::default()).collect();
    let mut made = Vec::new();
    for (sums, of_block) in blocks {
        total.iter_mut().zip(&sums).for_each(|(total, sums)| total.merge(sums));
        made.extend(of_block);
    }
    let mut bytes = 0usize;
    for (index, results) in made {
        let held = &mut held[index];
        level.done.iter().for_each(|tensor| drop(held.remove(tensor)));
        held.extend(fetches.iter().copied().zip(results).filter(|(tensor, _)| level.kept.contains(tensor)));
        bytes += held.values().map(|tensor| tensor.len() * 4).sum::<usize>();
    }
    if bytes > setup.limits.memory {
        let what = format!("{} MB between layers pass the memory limit", bytes >> 20);
        return Err(Error::new(ErrorKind::TooLarge, what).hint("raise --memory-limit, or lower --limit"));
    }
    Ok(total.iter().map(Sums::means).collect())
}

/// The means by channel of tensors of a graph.
fn means(graph: &Graph, setup: &Setup<'_>, targets: &[(TensorRef, bool)], count: usize) -> Result<Vec<Vec<f64>>> {
    let fetches: Vec<TensorRef> = targets.iter().map(|&(tensor, _)| tensor).collect();
    let places: HashMap<TensorRef, usize> =
        fetches.iter().enumerate().map(|(place, &tensor)| (tensor, place)).collect();
    let plan = Plan::new(graph, setup.inputs, &fetches, setup.limits)?;
    let add = |session: &mut Session<'_>, sums: &mut Vec<Sums>, index: usize| {
        sums.resize_with(targets.len(), Sums::default);
        session.run(&setup.feeds.run(index)?, &mut |at, tensor| {
            if let Some(&place) = places.get(&at) {
                sums[place].add(tensor, targets[place].1);
            }
            Ok(())
        })?;
        Ok(())
    };
    let blocks = in_blocks(count, setup.threads, &|| Session::new(&plan), &Vec::new, &add, &|_| true)?;
    let mut total: Vec<Sums> = targets.iter().map(|_| Sums::default()).collect();
    for sums in &blocks {
        total.iter_mut().zip(sums).for_each(|(total, sums)| total.merge(sums));
    }
    Ok(total.iter().map(Sums::means).collect())
}

/// Sums over each channel of a tensor.
#[derive(Debug, Clone, Default)]
struct Sums {
    sums: Vec<f64>,
    /// How many values each channel had.
    count: usize,
}

impl Sums {
    fn add(&mut self, tensor: &Tensor, channels_first: bool) {
        let Some(values) = tensor.values::<f32>() else { return };
        let (channels, apart) = channels(tensor.dims(), channels_first);
        self.sums.resize(channels, 0.0);
        if channels == 0 || values.is_empty() {
            return;
        }
        for (row, values) in values.chunks_exact(apart).enumerate() {
            self.sums[row % channels] += values.iter().map(|&value| f64::from(value)).sum::<f64>();
        }
        self.count += values.len() / channels;
    }

    fn merge(&mut self, other: &Self) {
        self.sums.resize(other.sums.len().max(self.sums.len()), 0.0);
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, other)| *sum += other);
        self.count += other.count;
    }

    fn means(&self) -> Vec<f64> {
        self.sums.iter().map(|sum| sum / self.count.max(1) as f64).collect()
    }
}

/// How many channels there are, and how many numbers of one stand side by side.
fn channels(dims: &[usize], channels_first: bool) -> (usize, usize) {
    match dims {
        [_, channels, inner @ ..] if channels_first => (*channels, inner.iter().product::<usize>().max(1)),
        _ => (dims.last().copied().unwrap_or_default(), 1),
    }
}

/// The tensor with so much taken off each channel.
fn less(tensor: &Tensor, off: &[f32], channels_first: bool) -> Result<Tensor> {
    let (_, apart) = channels(tensor.dims(), channels_first);
    let values = tensor.values::<f32>().unwrap_or_default().iter().enumerate();
    Tensor::new(tensor.dims(), values.map(|(index, value)| value - off[(index / apart) % off.len()]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn means_are_those_of_channels_wherever_they_are() {
        let mut last = Sums::default();
        last.add(&Tensor::new(&[1, 2, 2], vec![1.0f32, 10.0, 3.0, 30.0]).unwrap(), false);
        last.add(&Tensor::new(&[1, 1, 2], vec![5.0f32, 50.0]).unwrap(), false);
        assert_eq!(last.means(), [3.0, 30.0]);
        let mut first = Sums::default();
        let image = Tensor::new(&[1, 2, 1, 2], vec![1.0f32, 3.0, 10.0, 30.0]).unwrap();
        first.add(&image, true);
        assert_eq!(first.means(), [2.0, 20.0]);
        assert_eq!(less(&image, &[1.0, 10.0], true).unwrap().values::<f32>().unwrap(), [0.0, 2.0, 0.0, 20.0]);
    }

    #[test]
    fn levels_follow_the_longest_way() {
        let graph = graph_of(
            "x = Placeholder [?,2]
             w = Const [2,2]
             c = Const [2]
             a = MatMul(x, w)
             a1 = BiasAdd(a, c)
             b = MatMul(x, w)
             b1 = BiasAdd(b, c)
             sum = AddV2(a1, b1)
             d = MatMul(sum, w)
             d1 = BiasAdd(d, c)
             both = AddV2(d1, x)
             e = MatMul(both, w)
             e1 = BiasAdd(e, c)",
        );
        let tensor = |name: &str| graph.find_tensor(name).unwrap();
        let targets = ["a1", "b1", "d1", "e1"].map(|name| (tensor(name), false));
        let levels = levels(&graph, &[tensor("x")], &targets);
        let layers: Vec<&[usize]> = levels.iter().map(|level| &level.layers[..]).collect();
        assert_eq!(layers, [&[0, 1][..], &[2], &[3]]);
        assert_eq!(levels[1].from, [tensor("a1"), tensor("b1")]);
        assert_eq!(levels[2].from, [tensor("x"), tensor("d1")]);
        assert!(levels[1].done.contains(&tensor("a1")) && levels[2].done.contains(&tensor("x")));
    }
}
