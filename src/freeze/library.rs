//! The functions of a graph's library, taken apart: arguments, nodes, and which tensors they return.
//!
//! A node in a function names its inputs as `node:output:index`, by the names that ops give their outputs; [`Outputs`]
//! knows which number that is. [`super::inline`] puts the bodies in place of their calls.

use std::str;

use hashbrown::HashMap;
use prost::Message;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::graph::attr::map_entry;
use crate::proto::tensorflow::{OpDef, op_def::ArgDef};
use crate::wire::{self, Fields, WireError};

/// A node of a function.
#[derive(Debug, Clone)]
pub(crate) struct BodyNode<'a> {
    pub name: &'a str,
    pub op: &'a str,
    pub device: &'a str,
    /// As they are spelled.
    pub inputs: Vec<&'a str>,
    /// The encoded NodeDef.
    pub def: &'a [u8],
}

/// A function.
#[derive(Debug, Clone)]
pub(crate) struct Function<'a> {
    pub name: &'a str,
    pub signature: OpDef,
    pub nodes: Vec<BodyNode<'a>>,
    /// By the name of the result: the tensor that it is, as nodes spell their inputs.
    pub returns: HashMap<&'a str, &'a str>,
    /// The encoded FunctionDef.
    pub def: &'a [u8],
}

/// All functions of a graph, and what is known of ops.
#[derive(Debug, Default)]
pub(crate) struct Library<'a> {
    pub functions: Vec<Function<'a>>,
    by_name: HashMap<&'a str, usize>,
    outputs: Outputs,
}

/// Field numbers of FunctionDef and NodeDef.
mod field {
    pub(super) const SIGNATURE: u32 = 1;
    pub(super) const NODE_DEF: u32 = 3;
    pub(super) const RET: u32 = 4;
    pub(super) const NODE_NAME: u32 = 1;
    pub(super) const NODE_OP: u32 = 2;
    pub(super) const NODE_INPUT: u32 = 3;
    pub(super) const NODE_DEVICE: u32 = 4;
    pub(super) const NODE_ATTR: u32 = 5;
}

impl<'a> Library<'a> {
    /// Takes the graph's functions apart; `meta_graph` is the MetaGraphDef around it, whose list of ops is believed.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] if one is no FunctionDef, [`ErrorKind::InvalidGraph`] if two have the same name.
    pub(crate) fn read(graph: &'a Graph, meta_graph: Option<&[u8]>) -> Result<Self> {
        let mut library = Self { outputs: Outputs::new(meta_graph), ..Self::default() };
        for (_, def) in graph.functions() {
            let function = function(def)?;
            if library.by_name.insert(function.name, library.functions.len()).is_some() {
                return Err(Error::new(
                    ErrorKind::InvalidGraph,
                    format!("two functions are called '{}'", function.name),
                )
                .hint("export the model again"));
            }
            library.functions.push(function);
        }
        Ok(library)
    }

    /// The place of the function of that name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The number of a node's output that is named by an output of its op and an index in that.
    pub(crate) fn port(&self, op: &str, def: &[u8], output: &str, index: u32) -> Option<u32> {
        if let Some(function) = self.find(op) {
            let outputs = &self.functions[function].signature.output_arg;
            return number(outputs.iter().map(Layout::from), def, output, index);
        }
        match self.outputs.0.get(op) {
            Some(layout) if layout.len() > 1 => number(layout.iter().cloned(), def, output, index),
            _ => Some(index),
        }
    }
}

fn number(layout: impl Iterator<Item = Layout>, def: &[u8], output: &str, index: u32) -> Option<u32> {
    let mut first = 0u32;
    for part in layout {
        if part.name == output {
            return first.checked_add(index);
        }
        first = first.checked_add(part.count(def)?)?;
    }
    None
}

fn function(def: &[u8]) -> Result<Function<'_>> {
    let malformed = |what| WireError { what, offset: 0 };
    let signature = wire::last_bytes(def, field::SIGNATURE).map(|range| &def[range]).unwrap_or_default();
    let name = wire::last_bytes(signature, 1).and_then(|range| str::from_utf8(&signature[range]).ok());
    let name = name.ok_or_else(|| malformed("a function without a name"))?;
    let signature = OpDef::decode(signature).map_err(|_| malformed("a function whose signature is no OpDef"))?;
    let mut function = Function { name, signature, nodes: Vec::new(), returns: HashMap::new(), def };
    for part in Fields::new(def) {
        let part = part?;
        let value = &def[part.value()];
        if part.is_message(field::NODE_DEF) {
            function.nodes.push(body_node(value)?);
        } else if part.is_message(field::RET) {
            let (result, tensor) = map_entry(value).ok_or_else(|| malformed("a function's result without a name"))?;
            let tensor = str::from_utf8(tensor).map_err(|_| malformed("a function's result is no text"))?;
            function.returns.insert(result, tensor);
        }
    }
    Ok(function)
}

fn body_node(def: &[u8]) -> Result<BodyNode<'_>> {
    let mut node = BodyNode { name: "", op: "", device: "", inputs: Vec::new(), def };
    for part in Fields::new(def) {
        let part = part?;
        if !matches!(part.number, field::NODE_NAME | field::NODE_OP | field::NODE_INPUT | field::NODE_DEVICE) {
            continue;
        }
        let text = str::from_utf8(&def[part.value()]).ok().filter(|_| part.is_message(part.number));
        let text = text.ok_or(WireError { what: "text that is not UTF-8 in a function", offset: part.start })?;
        match part.number {
            field::NODE_NAME => node.name = text,
            field::NODE_OP => node.op = text,
            field::NODE_DEVICE => node.device = text,
            _ => node.inputs.push(text),
        }
    }
    Ok(node)
}

/// The attributes of an encoded NodeDef: names and encoded AttrValues.
pub(super) fn attrs(def: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    wire::messages(def, field::NODE_ATTR).filter_map(map_entry)
}

/// The encoded AttrValue of that name in an encoded NodeDef.
pub(super) fn attr<'a>(def: &'a [u8], name: &str) -> Option<&'a [u8]> {
    attrs(def).filter(|(key, _)| *key == name).last().map(|(_, value)| value)
}

/// A function that an attribute names: the name, and the attributes it is called with.
pub(super) fn function_attr(value: &[u8]) -> Option<(&str, &[u8])> {
    const FUNC: u32 = 10;
    name_attr_list(&value[wire::last_bytes(value, FUNC)?])
}

fn name_attr_list(list: &[u8]) -> Option<(&str, &[u8])> {
    Some((str::from_utf8(&list[wire::last_bytes(list, 1)?]).ok()?, list))
}

/// The functions that a list attribute names.
pub(super) fn function_list(value: &[u8]) -> Vec<(&str, &[u8])> {
    const LIST: u32 = 1;
    const LIST_FUNC: u32 = 9;
    let list = wire::last_bytes(value, LIST).map(|range| &value[range]).unwrap_or_default();
    wire::messages(list, LIST_FUNC).filter_map(name_attr_list).collect()
}

/// Every function that an attribute names, alone or in a list.
pub(super) fn functions_in(value: &[u8]) -> impl Iterator<Item = &str> {
    function_attr(value).into_iter().chain(function_list(value)).map(|(name, _)| name)
}

/// The types that a list attribute holds, by their numbers.
pub(super) fn type_list(value: &[u8]) -> Vec<i32> {
    use crate::proto::tensorflow::{AttrValue, attr_value::Value};
    match AttrValue::decode(value).ok().and_then(|attr| attr.value) {
        Some(Value::List(list)) => list.r#type,
        _ => Vec::new(),
    }
}

/// A tensor as nodes of functions spell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelled<'a> {
    /// An argument of the function, or the first output of a node.
    Plain(&'a str),
    /// An argument that is a list, or the output of a node: name, output, index.
    Part(&'a str, &'a str, u32),
    Control(&'a str),
}

impl<'a> Spelled<'a> {
    /// Reads an input or result of a function's node.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if let Some(name) = text.strip_prefix('^') {
            return Some(Self::Control(name));
        }
        let mut parts = text.splitn(3, ':');
        let name = parts.next().filter(|name| !name.is_empty())?;
        match (parts.next(), parts.next()) {
            (None, _) => Some(Self::Plain(name)),
            (Some(output), None) => match output.parse() {
                Ok(index) => Some(Self::Part(name, "", index)),
                Err(_) => Some(Self::Part(name, output, 0)),
            },
            (Some(output), Some(index)) => Some(Self::Part(name, output, index.parse().ok()?)),
        }
    }
}

/// One named output of an op: a tensor, or as many as an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    name: String,
    /// The attribute that counts the tensors or lists their types.
    many: Option<String>,
}

impl Layout {
    fn count(&self, def: &[u8]) -> Option<u32> {
        let Some(attr_name) = &self.many else { return Some(1) };
        let value = attr(def, attr_name)?;
        match wire::last_varint(value, 3) {
            Some(number) => u32::try_from(number).ok(),
            None => u32::try_from(type_list(value).len()).ok(),
        }
    }
}

impl From<&ArgDef> for Layout {
    fn from(arg: &ArgDef) -> Self {
        let many = [&arg.number_attr, &arg.type_list_attr].into_iter().find(|attr| !attr.is_empty());
        Self { name: arg.name.clone(), many: many.cloned() }
    }
}

/// Which outputs ops have; of ops that are not known, there is but one.
#[derive(Debug, Default)]
struct Outputs(HashMap<String, Vec<Layout>>);

/// Every op of TensorFlow 2.21 with more than one named output: `op output output*attribute …`.
const KNOWN: &str = include_str!("op_outputs.txt");

impl Outputs {
    /// What is known, and what the file itself describes.
    fn new(meta_graph: Option<&[u8]>) -> Self {
        const META_INFO_DEF: u32 = 1;
        const STRIPPED_OP_LIST: u32 = 2;
        const OP: u32 = 1;
        let mut layouts: HashMap<String, Vec<Layout>> = KNOWN.lines().filter_map(known).collect();
        let meta_graph = meta_graph.unwrap_or_default();
        let info = wire::last_bytes(meta_graph, META_INFO_DEF).map_or(&[][..], |info| &meta_graph[info]);
        let list = wire::last_bytes(info, STRIPPED_OP_LIST).map_or(&[][..], |list| &info[list]);
        for op in wire::messages(list, OP).filter_map(|op| OpDef::decode(op).ok()) {
            layouts.insert(op.name, op.output_arg.iter().map(Layout::from).collect());
        }
        Self(layouts)
    }
}

fn known(line: &str) -> Option<(String, Vec<Layout>)> {
    let (op, outputs) = line.split_once(' ')?;
    let layouts = outputs.split(' ').map(|output| match output.split_once('*') {
        Some((name, many)) => Layout { name: name.to_owned(), many: Some(many.to_owned()) },
        None => Layout { name: output.to_owned(), many: None },
    });
    Some((op.to_owned(), layouts.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::attr::Attrs;

    #[test]
    fn inputs_are_read_as_functions_spell_them() {
        let parse = |text| Spelled::parse(text);
        assert_eq!(parse("x"), Some(Spelled::Plain("x")));
        assert_eq!(parse("a/b:out:2"), Some(Spelled::Part("a/b", "out", 2)));
        assert_eq!(parse("a:out"), Some(Spelled::Part("a", "out", 0)));
        assert_eq!(parse("list:1"), Some(Spelled::Part("list", "", 1)));
        assert_eq!(parse("^a"), Some(Spelled::Control("a")));
        assert_eq!([parse(""), parse("a:b:c")], [None, None]);
    }

    #[test]
    fn outputs_are_numbered_in_the_order_of_the_op() {
        let library = Library { outputs: Outputs::new(None), ..Library::default() };
        assert_eq!(library.port("FusedBatchNormV3", &[], "batch_variance", 0), Some(2));
        assert_eq!(library.port("Split", &[], "output", 3), Some(3));
        assert_eq!(library.port("FusedBatchNormV3", &[], "z", 0), None);
        let mut attrs = Attrs::default();
        attrs.int("top_paths", 2);
        assert_eq!(library.port("CTCBeamSearchDecoder", attrs.as_bytes(), "decoded_shape", 1), Some(5));
    }
}
