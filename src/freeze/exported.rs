//! Functions of a SavedModel that no signature calls: modules that are published to build on (TensorFlow Hub) and models that
//! were saved with `tf.saved_model.save` alone have only those.
//!
//! A call is added to the graph, as TensorFlow writes one for a signature, and is frozen like one. The object graph beside the
//! graph says which functions there are and which variables they take; [`super::restore`], which key of the checkpoint is
//! which variable's.

use std::collections::VecDeque;

use hashbrown::HashMap;
use prost::Message as _;

use super::FreezeOptions;
use super::library::{Function, Library};
use super::restore::Keys;
use super::signature::{Chosen, Wanted, signatures};
use crate::checkpoint::OBJECT_SUFFIX;
use crate::container::Model;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::attr::Attrs;
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::proto::tensorflow::op_def::ArgDef;
use crate::proto::tensorflow::saved_object::Kind;
use crate::proto::tensorflow::structured_value::Kind as Structure;
use crate::proto::tensorflow::{
    AttrValue, FunctionDef, NameAttrList, SavedConcreteFunction, SavedObject, SavedObjectGraph, StructuredValue,
    TensorShapeProto, attr_value,
};
use crate::wire;

/// What the root of a module calls its network; the first that it has is taken.
const ENTRIES: [&str; 4] = ["_default_save_signature", "serve", "__call__", "call"];

/// A model whose graph calls a function, a MetaGraphDef.
#[derive(Debug)]
pub(super) struct Exported {
    pub model: Model,
    /// Between the ends of the call.
    pub chosen: Chosen,
}

/// Calls a function where no signature says what to freeze: the one that the options name like a signature, or the one that is
/// the network beyond doubt, if they name no outputs either. Nothing, if there is a signature, or if the model is none of
/// functions or has none of the name.
///
/// # Errors
/// [`ErrorKind::Options`] if there are several, or none that could be called; [`ErrorKind::Refused`] if it takes more than
/// variables and constants.
pub(super) fn call(model: &Model, options: &FreezeOptions) -> Result<Option<Exported>> {
    let signatures = signatures(model);
    match &options.signature {
        Some(name) if !signatures.contains_key(name) => call_function(model, Some(name)),
        None if signatures.is_empty() && options.outputs.is_empty() => call_function(model, None),
        _ => Ok(None),
    }
}

fn call_function(model: &Model, name: Option<&str>) -> Result<Option<Exported>> {
    const OBJECT_GRAPH_DEF: u32 = 7;
    let Some(meta_graph) = model.meta_graph() else { return Ok(None) };
    let Some(encoded) = wire::last_bytes(&meta_graph, OBJECT_GRAPH_DEF) else { return Ok(None) };
    let Ok(objects) = SavedObjectGraph::decode(&meta_graph[encoded]) else { return Ok(None) };
    let library = Library::read(&model.graph, Some(&meta_graph))?;
    let module = Module { objects: &objects, library: &library, graph: &model.graph };
    let Some(entry) = module.entry(name)? else {
        let nothing =
            Error::new(ErrorKind::Options, "the model has no signature, and no function that could be called")
                .hint("save it with signatures=…, or name tensors with --outputs");
        return if name.is_none() && objects.nodes.len() > 1 { Err(nothing) } else { Ok(None) };
    };
    let captures = module.captures(&entry)?;
    let mut calling = model.clone();
    let (inputs, outputs) = entry.add_call(&mut calling.graph, captures)?;
    let chosen = Chosen::of(entry.function.name, inputs, outputs);
    Ok(Some(Exported { model: calling.reread()?, chosen }))
}

struct Module<'a> {
    objects: &'a SavedObjectGraph,
    library: &'a Library<'a>,
    graph: &'a Graph,
}

/// A function that can be called.
struct Entry<'a> {
    function: &'a Function<'a>,
    saved: &'a SavedConcreteFunction,
}

impl<'a> Module<'a> {
    fn entry(&self, name: Option<&str>) -> Result<Option<Entry<'a>>> {
        let mut found = match name {
            Some(name) => self.named(name),
            None => ENTRIES
                .iter()
                .map(|name| self.named(name))
                .find(|found| !found.is_empty())
                .unwrap_or_else(|| self.all()),
        };
        if found.iter().any(|entry| !entry.trains()) {
            found.retain(|entry| !entry.trains());
        }
        if found.len() > 1 {
            let names: Vec<&str> = found.iter().take(8).map(|entry| entry.function.name).collect();
            return Err(Error::new(ErrorKind::Options, "the model has no signature, and several functions")
                .hint(format!("choose with --signature: {}", names.join(", "))));
        }
        Ok(found.pop())
    }

    /// The functions that the root of the module, or TensorFlow, calls so: one for each shape and type that it was called with.
    fn named(&self, name: &str) -> Vec<Entry<'a>> {
        let objects = self.objects;
        let children = objects.nodes.first().into_iter().flat_map(|root| &root.children);
        let of_root = children.filter(|child| child.local_name == name).filter_map(|child| self.object(child.node_id));
        let names = of_root.flat_map(|object| match &object.kind {
            Some(Kind::Function(function)) => function.concrete_functions.as_slice(),
            Some(Kind::BareConcreteFunction(function)) => std::slice::from_ref(&function.concrete_function_name),
            _ => &[],
        });
        let exact = objects.concrete_functions.keys().filter(|concrete| *concrete == name);
        names.chain(exact).filter_map(|concrete| self.function(concrete)).collect()
    }

    /// All functions: a converter of other models may have left its one without a name in the module.
    fn all(&self) -> Vec<Entry<'a>> {
        self.objects.concrete_functions.keys().filter_map(|concrete| self.function(concrete)).collect()
    }

    /// The function, if it computes anything of what it is given.
    fn function(&self, name: &str) -> Option<Entry<'a>> {
        let objects = self.objects;
        let function = &self.library.functions[self.library.find(name)?];
        let saved = objects.concrete_functions.get(name)?;
        let is_fed = function.signature.input_arg.len() > saved.bound_inputs.len();
        (is_fed && !function.signature.output_arg.is_empty()).then_some(Entry { function, saved })
    }

    /// The tensors that the function takes beside its arguments.
    fn captures(&self, entry: &Entry<'_>) -> Result<Vec<TensorRef>> {
        let paths = Paths::of(self.objects);
        let restored = Keys::in_graph(self.graph, self.library)?.variables();
        let mut by_name: HashMap<String, Option<NodeId>> = HashMap::new();
        for node in self.graph.ids().filter(|&node| self.graph.op(node) == "VarHandleOp") {
            let name = self.graph.attr_str(node, "shared_name").unwrap_or_default();
            by_name.entry(name).and_modify(|known| *known = None).or_insert(Some(node));
        }
        let capture = |&object: &i32| -> Result<TensorRef> {
            let found = match self.object(object).and_then(|object| object.kind.as_ref()) {
                Some(Kind::Variable(variable)) => {
                    let key = paths.path(object).map(|path| format!("{path}{OBJECT_SUFFIX}"));
                    let restored = key.and_then(|key| restored.get(&key).copied());
                    restored.or_else(|| by_name.get(&variable.name).copied().flatten())
                }
                Some(Kind::Constant(constant)) => self.graph.find(&constant.operation),
                _ => None,
            };
            found.map(TensorRef::from).ok_or_else(|| {
                let what = format!("the function '{}' takes more than variables and constants", entry.function.name);
                Error::new(ErrorKind::Refused, what).hint("save the model with signatures=…, or without its tables")
            })
        };
        entry.saved.bound_inputs.iter().map(capture).collect()
    }

    fn object(&self, id: i32) -> Option<&'a SavedObject> {
        let objects = self.objects;
        usize::try_from(id).ok().and_then(|id| objects.nodes.get(id))
    }
}

/// Where each object is below the root: by its id, that of the object above it, and what that calls it.
struct Paths<'a>(HashMap<i32, (i32, &'a str)>);

/// No module is as deep.
const DEEPEST: usize = 1000;

impl<'a> Paths<'a> {
    fn of(objects: &'a SavedObjectGraph) -> Self {
        let mut above = HashMap::new();
        let mut open = VecDeque::from([0]);
        while let Some(id) = open.pop_front() {
            let object = usize::try_from(id).ok().and_then(|id| objects.nodes.get(id));
            for child in object.into_iter().flat_map(|object| &object.children) {
                if child.node_id != 0 && !above.contains_key(&child.node_id) {
                    above.insert(child.node_id, (id, child.local_name.as_str()));
                    open.push_back(child.node_id);
                }
            }
        }
        Self(above)
    }

    /// As a checkpoint spells it (`python/checkpoint/graph_view.py`).
    fn path(&self, mut object: i32) -> Option<String> {
        let mut names = Vec::new();
        while object != 0 && names.len() < DEEPEST {
            let &(above, name) = self.0.get(&object)?;
            names.push(name.replace('.', "..").replace('/', ".S"));
            object = above;
        }
        names.reverse();
        (object == 0).then(|| names.join("/"))
    }
}

impl Entry<'_> {
    /// Whether it was made for training, as far as its arguments say.
    fn trains(&self) -> bool {
        self.saved.canonicalized_input_signature.as_ref().is_some_and(holds_true)
    }

    /// Adds Placeholders for its arguments and a call.
    fn add_call(&self, graph: &mut Graph, captures: Vec<TensorRef>) -> Result<(Vec<Wanted>, Vec<Wanted>)> {
        let signature = &self.function.signature;
        let shapes = self.input_shapes();
        let mut inputs = Vec::new();
        let mut read = Vec::new();
        let fed = signature.input_arg.len() - captures.len();
        for (place, arg) in signature.input_arg[..fed].iter().enumerate() {
            let name = graph.free_name(&format!("serving_default_{}", arg.name));
            let shape = shapes.get(place).filter(|shape| !shape.unknown_rank).cloned();
            let mut attrs = Attrs::default();
            attrs.type_number("dtype", arg.r#type);
            if let Some(shape) = &shape {
                attrs.shape("shape", &shape.dim.iter().map(|dim| dim.size).collect::<Vec<_>>());
            }
            let new = NewNode { name: &name, op: "Placeholder", device: "", inputs: &[], attrs: attrs.as_bytes() };
            read.push(Input::Data(graph.insert(new)?.into()));
            let tensor = format!("{name}:0");
            inputs.push(Wanted { key: arg.name.clone(), tensor, data_type: Some(arg.r#type), shape });
        }
        read.extend(captures.into_iter().map(Input::Data));
        let name = graph.free_name("StatefulPartitionedCall");
        let types = |args: &[ArgDef]| {
            let list =
                attr_value::ListValue { r#type: args.iter().map(|arg| arg.r#type).collect(), ..Default::default() };
            encoded(attr_value::Value::List(list))
        };
        let function = NameAttrList { name: self.function.name.to_owned(), ..NameAttrList::default() };
        let mut attrs = Attrs::default();
        attrs.raw("Tin", &types(&signature.input_arg)).raw("Tout", &types(&signature.output_arg));
        attrs.raw("f", &encoded(attr_value::Value::Func(function)));
        let op = "StatefulPartitionedCall";
        graph.insert(NewNode { name: &name, op, device: "", inputs: &read, attrs: attrs.as_bytes() })?;
        let output = |(port, arg): (usize, &ArgDef)| Wanted {
            key: arg.name.clone(),
            tensor: format!("{name}:{port}"),
            data_type: Some(arg.r#type),
            shape: None,
        };
        Ok((inputs, signature.output_arg.iter().enumerate().map(output).collect()))
    }

    /// The shapes of its arguments, as far as the function says them.
    fn input_shapes(&self) -> Vec<TensorShapeProto> {
        let function = FunctionDef::decode(self.function.def).unwrap_or_default();
        match function.attr.get("_input_shapes").and_then(|attr| attr.value.clone()) {
            Some(attr_value::Value::List(list)) => list.shape,
            _ => Vec::new(),
        }
    }
}

fn encoded(value: attr_value::Value) -> Vec<u8> {
    AttrValue { value: Some(value) }.encode_to_vec()
}

/// Whether an argument is `True`; structures are no deeper than prost decodes them.
fn holds_true(value: &StructuredValue) -> bool {
    match &value.kind {
        Some(Structure::BoolValue(value)) => *value,
        Some(Structure::ListValue(list)) => list.values.iter().any(holds_true),
        Some(Structure::TupleValue(tuple)) => tuple.values.iter().any(holds_true),
        Some(Structure::DictValue(dict)) => dict.fields.values().any(holds_true),
        _ => false,
    }
}
