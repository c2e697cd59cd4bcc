//! What is known of a tensor's shape without running the graph: its rank, and its dimensions as far as they are known.
//!
//! The folding passes reshape and multiply weights and must know beforehand that the shapes fit; the quantizing passes
//! reduce over all axes of a tensor and need to know how many there are. A shape that the exporter recorded
//! (`_output_shapes`) is taken; otherwise it follows from the op by the rule of TensorFlow's shape function. What no rule
//! covers is unknown, never guessed.
//!
//! A rule is written once and read twice, for the rank and for the dimensions: [`table`] says which op has which rule,
//! the modules beside it hold the rules, one family of ops a module, and [`Inference`] is what a rule sees. A rule asks
//! for what it needs; what is not known yet is found out first, and the rule asked again. [`elements`] follows the
//! vectors from which Reshape and its like take their shapes.

#![allow(clippy::unnecessary_wraps)] // every rule has the type of a rule

mod blocks;
mod dims;
mod elements;
mod elementwise;
mod layout;
mod normalization;
mod parts;
mod recorded;
mod reduction;
mod source;
mod table;
mod window;

use std::ops::Range;

use hashbrown::HashMap;

use super::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::attr_value::Value;
pub use dims::{Dims, shape_text};
pub(crate) use dims::{broadcast, compatible, wrapped};

/// More axes than TensorFlow's tensors have.
const MAX_AXES: usize = 254;

/// What was found out about shapes, to be shared by the calls of one pass.
#[derive(Debug, Default)]
pub struct ShapeCache(HashMap<Question, Option<Dims>>);

/// What is asked about a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Question {
    about: Aspect,
    tensor: TensorRef,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Aspect {
    /// How many axes it has: the answer has as many dimensions, whatever they are.
    Rank,
    /// Its dimensions.
    Dims,
    /// The elements of a vector of dimensions.
    Elements,
    /// The dimensions of the variable that a resource stands for.
    Variable,
}

impl Graph {
    /// The tensor's number of axes, where it is known without running the graph.
    #[must_use]
    pub fn rank(&self, tensor: TensorRef) -> Option<usize> {
        self.rank_with(tensor, &mut ShapeCache::default())
    }

    /// As [`Graph::rank`], sharing what was found out with earlier and later calls.
    pub fn rank_with(&self, tensor: TensorRef, cache: &mut ShapeCache) -> Option<usize> {
        self.answer(Question { about: Aspect::Rank, tensor }, cache).map(|dims| dims.len())
    }

    /// The tensor's dimensions; `None` when not even their number is known.
    #[must_use]
    pub fn static_shape(&self, tensor: TensorRef) -> Option<Dims> {
        self.static_shape_with(tensor, &mut ShapeCache::default())
    }

    /// As [`Graph::static_shape`], sharing what was found out with earlier and later calls.
    pub fn static_shape_with(&self, tensor: TensorRef, cache: &mut ShapeCache) -> Option<Dims> {
        self.answer(Question { about: Aspect::Dims, tensor }, cache)
    }

    /// The tensor's dimensions if all of them are known.
    pub fn complete_shape_with(&self, tensor: TensorRef, cache: &mut ShapeCache) -> Option<Vec<i64>> {
        self.static_shape_with(tensor, cache)?.into_iter().collect()
    }

    /// Answers a question after those that it leads to, however deep they lie.
    fn answer(&self, asked: Question, cache: &mut ShapeCache) -> Option<Dims> {
        if let Some(known) = cache.0.get(&asked) {
            return known.clone();
        }
        if asked.about == Aspect::Rank
            && let Some(recorded) = self.recorded_shape(asked)
        {
            return Some(recorded);
        }
        let mut open = vec![(asked, false)];
        let mut missing = Vec::new();
        while let Some((question, asked_before)) = open.pop() {
            if !asked_before && cache.0.contains_key(&question) {
                continue;
            }
            let mut inference = Inference { graph: self, cache, question, missing };
            let answer = inference.answer().filter(|dims| dims.len() <= MAX_AXES);
            missing = inference.missing;
            if missing.is_empty() {
                cache.settle(question, answer);
            } else {
                // While others are asked, a tensor counts as not better known: that ends cycles.
                cache.0.entry(question).or_insert_with(|| self.recorded_shape(question));
                open.push((question, true));
                open.extend(missing.drain(..).map(|question| (question, false)));
            }
        }
        cache.0.get(&asked).cloned().flatten()
    }

    /// The shape that the exporter recorded.
    fn recorded_shape(&self, Question { about, tensor }: Question) -> Option<Dims> {
        if !matches!(about, Aspect::Rank | Aspect::Dims) {
            return None;
        }
        if let Ok(shape) = recorded::shape(self.attr_bytes(tensor.node, "_output_shapes")?, tensor.port as usize) {
            return shape.filter(|dims| dims.len() <= MAX_AXES);
        }
        match self.attr(tensor.node, "_output_shapes")? {
            Value::List(list) => {
                dims::from_proto(list.shape.get(tensor.port as usize)?).filter(|dims| dims.len() <= MAX_AXES)
            }
            _ => None,
        }
    }
}

impl ShapeCache {
    /// Keeps an answer. A rank that was given stays, also where a cycle was entered from another side.
    fn settle(&mut self, question: Question, mut answer: Option<Dims>) {
        let other = match question.about {
            Aspect::Rank => Aspect::Dims,
            Aspect::Dims => Aspect::Rank,
            Aspect::Elements | Aspect::Variable => {
                self.0.insert(question, answer);
                return;
            }
        };
        if let Some(Some(given)) = self.0.get(&Question { about: other, ..question })
            && answer.as_ref().is_none_or(|answer| answer.len() != given.len())
        {
            answer = Some(vec![None; given.len()]);
        }
        self.0.insert(question, answer);
    }
}

/// What a rule sees of the graph: the node whose output is asked about, its attributes, and what is known of its inputs.
struct Inference<'a> {
    graph: &'a Graph,
    cache: &'a ShapeCache,
    question: Question,
    /// What has to be known first.
    missing: Vec<Question>,
}

impl Inference<'_> {
    fn answer(&mut self) -> Option<Dims> {
        match self.question.about {
            Aspect::Rank => self.graph.recorded_shape(self.question).or_else(|| self.infer()),
            Aspect::Dims => {
                let recorded = self.graph.recorded_shape(self.question);
                if recorded.as_deref().is_some_and(dims::is_complete) {
                    return recorded;
                }
                dims::merged(recorded, self.infer())
            }
            Aspect::Elements => self.vector(),
            Aspect::Variable => self.variable(),
        }
    }

    fn infer(&mut self) -> Option<Dims> {
        table::rule(self.op())?(self)
    }

    fn node(&self) -> NodeId {
        self.question.tensor.node
    }

    /// Which output is asked about.
    fn port(&self) -> usize {
        self.question.tensor.port as usize
    }

    fn op(&self) -> &str {
        self.graph.op(self.node())
    }

    /// What is known of an input, as much as was asked about the output: a rule by which the rank follows from this
    /// input's.
    fn input(&mut self, index: usize) -> Option<Dims> {
        self.ask(self.question.about, index)
    }

    /// As [`Self::input`], of several inputs; those past the last are left out.
    fn inputs(&mut self, indices: Range<usize>) -> Vec<Option<Dims>> {
        let (graph, node) = (self.graph, self.node());
        let tensors = graph.data_inputs(node).skip(indices.start).take(indices.len());
        tensors.map(|tensor| self.look_up(Question { about: self.question.about, tensor })).collect()
    }

    /// What is known of an input on which the rank does not depend.
    fn detail(&mut self, index: usize) -> Option<Dims> {
        if self.question.about == Aspect::Rank { None } else { self.ask(Aspect::Dims, index) }
    }

    /// The dimensions of an input on which even the rank depends.
    fn dims(&mut self, index: usize) -> Option<Dims> {
        self.ask(Aspect::Dims, index)
    }

    /// The elements of an input that is a vector of dimensions, as far as they are known.
    fn elements(&mut self, index: usize) -> Option<Dims> {
        self.ask(Aspect::Elements, index)
    }

    /// The integers of an input that is constant.
    fn constant(&self, index: usize) -> Option<Vec<i64>> {
        self.graph.const_ints(self.graph.data_input(self.node(), index)?)
    }

    /// The integer of an input that is constant, such as an axis.
    fn constant_scalar(&self, index: usize) -> Option<i64> {
        match self.constant(index)?.as_slice() {
            &[number] => Some(number),
            _ => None,
        }
    }

    fn int(&self, attr: &str) -> Option<i64> {
        self.graph.attr_int(self.node(), attr)
    }

    fn ints(&self, attr: &str) -> Option<Vec<i64>> {
        self.graph.attr_ints(self.node(), attr)
    }

    fn text(&self, attr: &str) -> Option<String> {
        self.graph.attr_str(self.node(), attr)
    }

    fn bool(&self, attr: &str) -> Option<bool> {
        self.graph.attr_bool(self.node(), attr)
    }

    fn ask(&mut self, about: Aspect, index: usize) -> Option<Dims> {
        let tensor = self.graph.data_input(self.node(), index)?;
        self.look_up(Question { about, tensor })
    }

    fn look_up(&mut self, question: Question) -> Option<Dims> {
        let known = self.cache.0.get(&question);
        if known.is_none() {
            self.missing.push(question);
        }
        known.cloned().flatten()
    }
}

#[cfg(test)]
mod tests;
