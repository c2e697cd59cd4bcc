//! A function of the graph's library as a graph of its own.
//!
//! Inside a function, an input is spelled `node:output:index` with the output's name in the op's definition; in a graph it
//! is `node:port`.

use hashbrown::HashMap;
use prost::Message;

use super::kernel::invalid;
use crate::error::{Error, Result};
use crate::freeze::library::{self, BodyNode, Library, Spelled};
use crate::graph::{Graph, TensorRef, read};
use crate::proto::tensorflow::{GraphDef, NodeDef};

/// The op that stands for an argument in a function's graph.
pub(super) const ARGUMENT: &str = "_Arg";

/// A function's graph, and which of its tensors go in and out.
pub(super) struct Function {
    pub graph: Graph,
    pub arguments: Vec<TensorRef>,
    pub results: Vec<TensorRef>,
}

impl Function {
    /// Makes a graph of a function that the library has taken apart.
    pub(super) fn read(library: &Library<'_>, function: &library::Function<'_>) -> Result<Self> {
        let body = Body { library, nodes: function.nodes.iter().map(|node| (node.name, node)).collect() };
        let arguments = function.signature.input_arg.iter().map(|argument| NodeDef {
            name: argument.name.clone(),
            op: ARGUMENT.to_owned(),
            ..NodeDef::default()
        });
        let mut graph = GraphDef { node: arguments.collect(), ..GraphDef::default() };
        for node in &function.nodes {
            let in_node = |error: Error| error.in_node(node.name, node.op);
            let decoded =
                NodeDef::decode(node.def).map_err(|error| in_node(invalid(format!("it cannot be read: {error}"))))?;
            let input: Result<_> = node.inputs.iter().map(|input| body.respelled(input)).collect();
            graph.node.push(NodeDef { input: input.map_err(in_node)?, ..decoded });
        }
        let graph = read::parse(graph.encode_to_vec().into())?;
        let arguments = function.signature.input_arg.iter().map(|argument| graph.find_tensor(&argument.name));
        let arguments: Option<Vec<TensorRef>> = arguments.collect();
        let mut results = Vec::new();
        for result in &function.signature.output_arg {
            let spelled = function.returns.get(result.name.as_str()).copied().unwrap_or_default();
            results.push(graph.find_tensor(&body.respelled(spelled)?).ok_or_else(|| unreadable(spelled))?);
        }
        let arguments = arguments.ok_or_else(|| invalid("an argument of a function has no name"))?;
        Ok(Self { graph, arguments, results })
    }
}

/// What the inputs of a function's nodes may name.
struct Body<'l, 'g> {
    library: &'l Library<'g>,
    nodes: HashMap<&'g str, &'l BodyNode<'g>>,
}

impl Body<'_, '_> {
    /// A tensor of the function as a graph spells it.
    fn respelled(&self, spelled: &str) -> Result<String> {
        match Spelled::parse(spelled).ok_or_else(|| unreadable(spelled))? {
            Spelled::Part(name, output, index) if !output.is_empty() => {
                let node = self.nodes.get(name).ok_or_else(|| unreadable(spelled))?;
                let port = self.library.port(node.op, node.def, output, index);
                let port =
                    port.ok_or_else(|| invalid(format!("it reads '{spelled}', an output that no {} has", node.op)))?;
                Ok(format!("{name}:{port}"))
            }
            _ => Ok(spelled.to_owned()),
        }
    }
}

fn unreadable(spelled: &str) -> Error {
    invalid(format!("'{spelled}' names no tensor of the function"))
}
