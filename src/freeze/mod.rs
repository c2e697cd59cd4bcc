//! `tfquant freeze`: one graph without variables and without calls, out of a model whose body is in functions or whose
//! weights are in a checkpoint.
//!
//! [`signature`] chooses what to freeze, [`exported`] calls a function where there is none, [`inline`] and [`control_flow`]
//! put the bodies of functions in place, [`prune`] drops what no output needs, [`restore`] finds the variables in the
//! checkpoint, [`variables`] makes them constants, and [`emit`] writes the graph, which is one like any other: passes run over
//! it in the same process. Its large tensors stay in the files they came from until it is written.
//!
//! A graph without calls, as TensorFlow 1 has it, comes out node for node as `convert_variables_to_constants` makes it.

mod constant;
mod control_flow;
mod dropout;
mod emit;
mod exported;
mod flat;
mod inline;
pub mod layers;
pub(crate) mod library;
pub mod on_the_way;
mod prune;
pub mod report;
mod restore;
pub mod saved_model;
mod signature;
mod variables;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use hashbrown::{HashMap, HashSet};

use crate::checkpoint::{Checkpoint, element_bytes};
use crate::container::endpoints;
use crate::container::{Model, Signatures};
use crate::document::{FileSummary, SCHEMA_VERSION, TOOL, Warning};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::tensor::{Shape, data_type_name};
use crate::graph::{Graph, Input, NodeId, TensorRef, nearest, verify};
use crate::proto::tensorflow::TensorShapeProto;
use crate::source::{Location, Part};
use exported::Exported;
use flat::{Attributes, Flat, FlatNode, Ref};
use inline::{Call, Inliner};
use library::Library;
use report::{Endpoint, FreezeReport, FrozenVariable};
use restore::{Key, Keys};
use signature::{Chosen, Wanted};
use variables::Variable;

/// What to freeze, and from where.
#[derive(Debug, Clone, Default)]
pub struct FreezeOptions {
    /// The signature; the default one or the only one, if none is named.
    pub signature: Option<String>,
    /// Where the graph is fed, in place of the signature's inputs: it is cut there.
    pub inputs: Vec<String>,
    /// Where the graph is read, in place of the signature's outputs.
    pub outputs: Vec<String>,
    /// The checkpoint that holds the variables; [`checkpoint_beside`] finds that of a SavedModel.
    pub checkpoint: Option<PathBuf>,
    /// Whether a PlaceholderWithDefault becomes its default.
    pub use_defaults: bool,
    /// Whether what computes nothing is taken out: dropouts that were left in the model, and control edges where there is no
    /// control flow to order.
    pub simplify: bool,
}

/// A frozen model.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// A GraphDef.
    pub model: Model,
    /// What was done.
    pub report: FreezeReport,
}

/// Whether the model calls functions that hold layers, so that passes see all of it only once it is frozen.
#[must_use]
pub fn body_is_in_functions(model: &Model) -> bool {
    let graph = &model.graph;
    let calls = |node: NodeId| {
        matches!(
            graph.op(node),
            "PartitionedCall" | "StatefulPartitionedCall" | "If" | "StatelessIf" | "While" | "StatelessWhile"
        )
    };
    graph.function_count() > 0 && graph.ids().any(calls) && !layers::in_functions(model).is_empty()
}

/// The prefix of the checkpoint in a SavedModel's folder, if there is one.
#[must_use]
pub fn checkpoint_beside(location: &Location) -> Option<PathBuf> {
    let message = location.file()?;
    let folder = message.parent().filter(|_| message.file_stem().is_some_and(|stem| stem == "saved_model"));
    let prefix = folder?.join("variables").join("variables");
    prefix.with_extension("index").is_file().then_some(prefix)
}

/// Freezes a model: variables become constants, calls the bodies of their functions. Nothing is written.
///
/// # Errors
/// [`ErrorKind::Options`] if there is no such signature or tensor; [`ErrorKind::Refused`] for a variable that the checkpoint
/// lacks or has in another type or shape, for a node that writes a variable, and for another resource; those of the
/// checkpoint; [`ErrorKind::TooLarge`] if the result would not fit a protobuf file.
pub fn freeze(model: &Model, options: &FreezeOptions) -> Result<Frozen> {
    if model.graph.has_changes() {
        return Err(Error::new(ErrorKind::Options, "a graph that was changed cannot be frozen")
            .hint("freeze it first, then rewrite it"));
    }
    let opened = model;
    let (calling, exported) =
        exported::call(opened, options)?.map(|Exported { model, chosen }| (model, chosen)).unzip();
    let model = calling.as_ref().unwrap_or(opened);
    let chosen = signature::choose(opened, exported, options)?;
    let meta_graph = model.meta_graph();
    let library = Library::read(&model.graph, meta_graph.as_deref())?;
    let mut work = Work::start(model, &library, &chosen, options.simplify)?;
    work.finish_edges(options, &chosen)?;
    let mut report = FreezeReport::default();
    if options.simplify {
        report.dropouts = dropout::drop(&mut work.flat);
        report.warnings.extend(dropouts_dropped(&report.dropouts));
    }
    let ends = work.name_outputs(&chosen)?;
    let wanted = work.wanted(&chosen, &ends);
    let needed = prune::needed(&work.flat, &wanted, work.has_calls);
    let variables = variables::convert(&mut work.flat, &needed)?;
    let contents = work.fill(&variables, options.checkpoint.as_deref(), &library, &mut report)?;
    let order = work.order(&wanted, needed);
    let emitted = emit::emit(&work.flat, &order, contents, model, &library)?;
    verify::check_acyclic(&emitted.graph)?;
    let frozen = Model::of_graph(emitted.graph, emitted.bytes);
    report.functions_kept = emitted.functions;
    work.describe(opened, &chosen, &ends, &order, &frozen, &mut report)?;
    Ok(Frozen { model: frozen, report })
}

/// What is said of dropouts that were taken out.
pub(crate) fn dropouts_dropped(names: &[String]) -> Option<Warning> {
    let first = names.first()?;
    let message = format!("{} dropouts were left in the model and are taken out, '{first}' first", names.len());
    Some(Warning::new("dropout_dropped", message))
}

/// The graph on its way.
struct Work<'a> {
    flat: Flat<'a>,
    graph: &'a Graph,
    /// Where the nodes of the graph are in the list.
    places: HashMap<NodeId, u32>,
    /// The nodes of the graph that the list begins with.
    own: Vec<NodeId>,
    /// Whether there was a call to put in place.
    has_calls: bool,
}

impl<'a> Work<'a> {
    /// Takes over the nodes that the outputs need and puts the bodies of their calls in place.
    fn start(model: &'a Model, library: &Library<'a>, chosen: &Chosen, simplify: bool) -> Result<Self> {
        let graph = &model.graph;
        let reachable = reachable(graph, chosen)?;
        let mut calls = Vec::new();
        for &node in &reachable {
            if let Some(call) = inline::call(library, graph.name(node), graph.op(node), graph.body(node))? {
                calls.push((node, call));
            }
        }
        inline::check_size(library, &calls.iter().map(|(_, call)| call.clone()).collect::<Vec<Call<'_>>>())?;
        let has_calls = !calls.is_empty();
        let mut work = Self { flat: Flat::new(), graph, places: HashMap::new(), own: reachable, has_calls };
        // Where calls are put in place, control edges have nothing left to order; see `inline`.
        let is_old = |&node: &NodeId| inline::is_old_control_flow(graph.op(node));
        let keeps_control = !(has_calls || simplify) || work.own.iter().any(is_old);
        work.take_over(keeps_control)?;
        let mut inliner = Inliner::new(std::mem::take(&mut work.flat), library);
        for (node, call) in calls {
            inliner.add(work.places[&node], call, String::new(), keeps_control);
        }
        work.flat = inliner.run()?;
        prune::resolve(&mut work.flat)?;
        Ok(work)
    }

    fn take_over(&mut self, keeps_control: bool) -> Result<()> {
        let graph = self.graph;
        for (place, &node) in self.own.iter().enumerate() {
            self.places.insert(node, u32::try_from(place).unwrap_or(u32::MAX));
        }
        let loses_control = |node| !keeps_control && graph.control_inputs(node).next().is_some();
        for &node in &self.own {
            let inputs = graph.inputs(node).filter(|input| keeps_control || input.tensor().is_some());
            let inputs = inputs.map(|input| match input {
                Input::Data(TensorRef { node, port }) => Ref::output(self.places[&node], port),
                Input::Control(node) => Ref::control(self.places[&node]),
            });
            let inputs: Vec<Ref> = inputs.collect();
            let name = self.flat.claim(graph.name(node).to_owned());
            self.flat.push(FlatNode {
                name,
                op: Cow::Borrowed(graph.op(node)),
                device: graph.device(node),
                changed: graph.is_changed(node) || loses_control(node) || self.has_calls,
                inputs,
                attributes: Attributes::File(graph.body(node)),
                region: 0,
                inlined: false,
                forwards: None,
            })?;
        }
        Ok(())
    }

    /// Cuts the graph at inputs that the user named, and takes out what only trains.
    fn finish_edges(&mut self, options: &FreezeOptions, chosen: &Chosen) -> Result<()> {
        if chosen.cut {
            chosen.inputs.iter().try_for_each(|input| self.cut(input))?;
        }
        if options.use_defaults {
            for node in &mut self.flat.nodes {
                if node.op == "PlaceholderWithDefault" {
                    let attrs = Flat::typed(node.attr_type("dtype").unwrap_or(0)).as_bytes().to_vec();
                    node.become_op("Identity", attrs);
                }
            }
        }
        Ok(())
    }

    /// The tensor of that name: of the model's own graph, or of a body that was put in place.
    fn find(&mut self, wanted: &Wanted) -> Result<Ref> {
        let Some((name, port)) = wanted.parts() else { return Err(self.unknown(wanted)) };
        let own = self.graph.find(name).and_then(|node| self.places.get(&node).copied());
        let place = own.or_else(|| {
            let found = self.flat.nodes.iter().position(|node| node.forwards.is_none() && node.name == name);
            found.and_then(|place| u32::try_from(place).ok())
        });
        match place {
            Some(place) => prune::target(&mut self.flat, Ref::output(place, port)),
            None => Err(self.unknown(wanted)),
        }
    }

    fn unknown(&self, wanted: &Wanted) -> Error {
        let name = wanted.parts().map_or(wanted.tensor.as_str(), |(name, _)| name);
        let error = Error::new(ErrorKind::Options, format!("the model has no tensor '{name}'"));
        let names = self.graph.ids().map(|node| self.graph.name(node));
        let names = names.chain(self.flat.nodes.iter().map(|node| node.name.as_str()));
        match nearest(name, names) {
            Some(near) => error.hint(format!("the nearest name is '{near}'")),
            None => error,
        }
    }

    /// Puts a Placeholder in place of a tensor.
    fn cut(&mut self, input: &Wanted) -> Result<()> {
        let at = self.find(input)?;
        let node = &self.flat.nodes[at.index()];
        if matches!(&*node.op, "Placeholder" | "PlaceholderV2" | "PlaceholderWithDefault") {
            return Ok(());
        }
        let data_type = self.data_type(input, at).ok_or_else(|| {
            self.flat.nodes[at.index()]
                .error(ErrorKind::Refused, "the type of this input is not known")
                .hint("name a tensor behind it with --inputs")
        })?;
        let known = input.parts().and_then(|(name, port)| Some(TensorRef { node: self.graph.find(name)?, port }));
        let mut attrs = crate::graph::attr::Attrs::default();
        attrs.type_number("dtype", data_type);
        // A converter takes what it knows nothing of for a single number.
        if let Some(dims) = known.and_then(|tensor| self.graph.static_shape(tensor)) {
            attrs.shape("shape", &dims.into_iter().map(|dim| dim.unwrap_or(-1)).collect::<Vec<_>>());
        }
        let name = self.flat.nodes[at.index()].name.clone();
        if at.port == 0 {
            // The Placeholder takes over the name; what was called so is of no more use, or is read by others still.
            let other = self.flat.claim(name.clone());
            self.flat.nodes[at.index()].name = other;
            self.flat.nodes[at.index()].changed = true;
        }
        let placeholder = self.flat.make(&format!("{name}/cut"), "Placeholder", Vec::new(), &attrs, 0)?;
        if at.port == 0 {
            self.flat.nodes[placeholder as usize].name = name;
        }
        for node in &mut self.flat.nodes {
            for read in node.inputs.iter_mut().filter(|read| **read == at) {
                *read = Ref::output(placeholder, 0);
                node.changed = true;
            }
        }
        if let Some(place) = input.parts().and_then(|(name, _)| self.graph.find(name)) {
            self.places.insert(place, placeholder);
        }
        Ok(())
    }

    /// The element type of a tensor, by what the signature, the graph, or its node says.
    fn data_type(&self, wanted: &Wanted, at: Ref) -> Option<i32> {
        let in_graph = || {
            let (name, port) = wanted.parts()?;
            let node = self.graph.find(name)?;
            let of_call = || {
                let types = ["Tout", "T", "output_types", "component_types"]
                    .iter()
                    .find_map(|attr| self.graph.attr_bytes(node, attr))?;
                library::type_list(types).get(port as usize).copied()
            };
            self.graph.tensor_type(TensorRef { node, port }).map(|data_type| data_type as i32).or_else(of_call)
        };
        let in_node = || {
            let node = &self.flat.nodes[at.index()];
            ["dtype", "DstT", "out_type", "output_type", "T"].iter().find_map(|attr| node.attr_type(attr))
        };
        wanted.data_type.filter(|&number| number != 0).or_else(in_graph).or_else(in_node)
    }

    /// Makes the variables constants with the values that the checkpoint has; returns the contents of the large ones.
    fn fill(
        &mut self,
        variables: &[Variable],
        checkpoint: Option<&Path>,
        library: &Library<'_>,
        report: &mut FreezeReport,
    ) -> Result<HashMap<u32, Vec<Part>>> {
        let mut contents = HashMap::new();
        let Some(first) = variables.first() else { return Ok(contents) };
        let Some(prefix) = checkpoint else {
            let what = format!("{} variables have no values without a checkpoint, the first", variables.len());
            return Err(self.flat.nodes[first.node as usize]
                .error(ErrorKind::Options, what)
                .hint("name the checkpoint with --checkpoint PREFIX; that of a SavedModel folder is found by itself"));
        };
        let mut checkpoint = Checkpoint::open(prefix)?;
        let keys = Keys::find(self.graph, library, &mut checkpoint)?;
        let mut found = Vec::with_capacity(variables.len());
        let mut bytes = 0u64;
        for variable in variables {
            let key = self.key(variable, &keys, &checkpoint)?;
            bytes = bytes.saturating_add(self.check_entry(variable, &key, &checkpoint)?);
            found.push(key);
        }
        emit::check_size(bytes)?;
        report.variable_bytes = bytes;
        for (variable, key) in variables.iter().zip(found) {
            let tensor = checkpoint.tensor(&key.name, key.slice.as_ref())?;
            let (attrs, parts) = constant::attributes(&tensor)?;
            let node = &mut self.flat.nodes[variable.node as usize];
            variables::become_constant(node, attrs);
            report.variables.push(FrozenVariable { node: node.name.clone(), key: key.name });
            if !parts.is_empty() {
                contents.insert(variable.node, parts);
            }
        }
        checkpoint.verify()?;
        Ok(contents)
    }

    /// Where the checkpoint has a variable.
    fn key(&self, variable: &Variable, keys: &Keys, checkpoint: &Checkpoint) -> Result<Key> {
        let node = &self.flat.nodes[variable.node as usize];
        let own = self.own.get(variable.node as usize).copied();
        let shared = node.attr_text("shared_name").filter(|name| !name.is_empty());
        // In a function, a variable is known by the name that it shares, not by the node's.
        let shared_first = own.is_none();
        let mut names: Vec<&str> = [Some(node.name.as_str()), shared.as_deref()].into_iter().flatten().collect();
        if shared_first {
            names.reverse();
        }
        keys.of(own, &names, checkpoint).ok_or_else(|| {
            let wanted = keys.wanted(own, names.first().copied().unwrap_or_default());
            let what = format!("the checkpoint holds no value for the variable, no '{wanted}',");
            let error = node.error(ErrorKind::Refused, what);
            match checkpoint.nearest_key(wanted) {
                Some(near) => error.hint(format!("the nearest key is '{near}'; is it the checkpoint of this model?")),
                None => error.hint("the checkpoint is empty"),
            }
        })
    }

    /// Checks that a value has the type and the shape of its variable; returns its size.
    fn check_entry(&self, variable: &Variable, key: &Key, checkpoint: &Checkpoint) -> Result<u64> {
        let node = &self.flat.nodes[variable.node as usize];
        let Some(entry) = checkpoint.entry(&key.name) else { return Ok(0) };
        let refuse = |what: String| {
            node.error(ErrorKind::Refused, what)
                .hint(format!("the value is that of the key '{}'; is it the checkpoint of this model?", key.name))
        };
        if entry.data_type != variable.data_type {
            let (own, stored) = (data_type_name(variable.data_type), data_type_name(entry.data_type));
            return Err(refuse(format!("the variable is of type {own}, its value in the checkpoint {stored},")));
        }
        let dims = match &key.slice {
            None => Some(entry.dims.clone()),
            Some(slice) => {
                slice.within(&entry.dims).map(|extents| extents.into_iter().map(|(_, length)| length).collect())
            }
        };
        let wanted = node.attr("shape").and_then(shape_of).unwrap_or(Shape(None));
        let fits = |wanted: &Vec<i64>, dims: &Vec<i64>| {
            wanted.len() == dims.len() && wanted.iter().zip(dims).all(|(wanted, dim)| *wanted < 0 || wanted == dim)
        };
        if let Some(wanted_dims) = &wanted.0
            && !dims.as_ref().is_some_and(|dims| fits(wanted_dims, dims))
        {
            let stored = Shape(dims);
            return Err(refuse(format!("the variable has the shape {wanted}, its value in the checkpoint {stored},")));
        }
        let elements = dims.iter().flatten().fold(1u64, |count, &dim| count.saturating_mul(dim.unsigned_abs()));
        let width = element_bytes(entry.data_type).unwrap_or(0) as u64;
        Ok(if width == 0 { entry.size } else { elements.saturating_mul(width) })
    }

    /// Gives every output a node of the name that the model has it under, where that can be.
    fn name_outputs(&mut self, chosen: &Chosen) -> Result<Vec<Ref>> {
        let mut made: HashMap<String, Ref> = HashMap::new();
        let mut ends = Vec::with_capacity(chosen.outputs.len());
        for output in &chosen.outputs {
            let at = self.find(output)?;
            let (name, port) = output.parts().unwrap_or_default();
            let keeps_name = at.port == port && self.flat.nodes[at.index()].name == name;
            if keeps_name || !self.has_calls {
                ends.push(at);
                continue;
            }
            if let Some(&end) = made.get(&output.tensor) {
                ends.push(end);
                continue;
            }
            let data_type = self.data_type(output, at).ok_or_else(|| {
                self.flat.nodes[at.index()]
                    .error(ErrorKind::Refused, "the type of this output is not known")
                    .hint("freeze by a signature, which says it")
            })?;
            let end = self.end(name, port, output, at, data_type)?;
            made.insert(output.tensor.clone(), end);
            ends.push(end);
        }
        Ok(ends)
    }

    /// An Identity with an output's name: that of the call that is no more, or, for a call's further outputs, what the
    /// signature calls them.
    fn end(&mut self, name: &str, port: u32, output: &Wanted, at: Ref, data_type: i32) -> Result<Ref> {
        let attrs = Flat::typed(data_type);
        let wished = match port {
            0 => name.to_owned(),
            _ if is_node_name(&output.key) && !self.flat.is_taken(&output.key) => output.key.clone(),
            _ => format!("{name}_{port}"),
        };
        let call = self.graph.find(name).and_then(|node| self.places.get(&node).copied());
        let is_free = port == 0 && call.is_some_and(|call| self.flat.nodes[call as usize].forwards.is_some());
        let end = self.flat.make(&wished, "Identity", vec![at], &attrs, 0)?;
        if is_free {
            self.flat.nodes[end as usize].name = wished;
        }
        Ok(Ref::output(end, 0))
    }

    /// The nodes to keep whatever else goes: the outputs, and, where there were calls, the inputs of the signature.
    fn wanted(&self, chosen: &Chosen, ends: &[Ref]) -> Vec<u32> {
        let inputs = chosen.inputs.iter().filter(|_| self.has_calls || chosen.cut).filter_map(|input| {
            let node = self.graph.find(input.parts()?.0)?;
            self.places.get(&node).copied()
        });
        inputs.chain(ends.iter().map(|end| end.node)).collect()
    }

    /// The nodes of the frozen graph, in its order. Without calls, they are those that were needed before variables became
    /// constants, as in TensorFlow, and those made on the way.
    fn order(&self, wanted: &[u32], needed: Vec<u32>) -> Vec<u32> {
        if self.has_calls {
            return prune::needed(&self.flat, wanted, self.has_calls);
        }
        let mut order = needed;
        order.extend(prune::needed(&self.flat, wanted, false));
        order.sort_unstable();
        order.dedup();
        order
    }

    /// Fills in what there is to say.
    fn describe(
        &self,
        model: &Model,
        chosen: &Chosen,
        ends: &[Ref],
        order: &[u32],
        frozen: &Model,
        report: &mut FreezeReport,
    ) -> Result<()> {
        report.schema_version = SCHEMA_VERSION;
        TOOL.clone_into(&mut report.tool);
        "freeze".clone_into(&mut report.command);
        report.signature.clone_from(&chosen.signature);
        report.input = FileSummary::of(model);
        report.output = FileSummary::of(frozen);
        report.output.bytes = frozen.encode()?.len();
        report.calls_inlined = self.flat.inlined_calls;
        report.nodes_dropped =
            self.graph.len() - order.iter().filter(|&&node| (node as usize) < self.own.len()).count();
        for input in self.inputs(chosen, frozen) {
            match input {
                Ok(input) => report.inputs.push(input),
                Err(key) => {
                    let message = format!("the input '{key}' is read by no output and is left out");
                    report.warnings.push(Warning::new("input_unused", message));
                    report.unread.push(key);
                }
            }
        }
        let unread = |name: &&str| frozen.graph.find(name).is_none() && !report.unread.iter().any(|key| key == name);
        let placeholders = self.graph.ids().filter(|&node| self.graph.op(node).starts_with("Placeholder"));
        let unread: Vec<&str> = placeholders.map(|node| self.graph.name(node)).filter(unread).collect();
        report.unread.extend(unread.into_iter().map(str::to_owned));
        for (output, &end) in chosen.outputs.iter().zip(ends) {
            let endpoint = self.endpoint(output, end, frozen);
            if let Some(was) = &endpoint.was {
                let message = format!(
                    "the output '{}' is called {} now: {was} was the output of a call",
                    endpoint.key, endpoint.tensor
                );
                report.warnings.push(Warning::new("output_renamed", message));
            }
            report.outputs.push(endpoint);
        }
        Ok(())
    }

    /// The inputs of the frozen graph; those of the signature that are not in it, by key.
    fn inputs(&self, chosen: &Chosen, frozen: &Model) -> Vec<Result<Endpoint, String>> {
        let of_signature = chosen.inputs.iter().map(|input| {
            let (name, port) = input.parts().unwrap_or_default();
            let own = self.graph.find(name).and_then(|node| self.places.get(&node).copied());
            let name = own.map_or(name, |place| self.flat.nodes[place as usize].name.as_str());
            match frozen.graph.find(name) {
                Some(_) => Ok(endpoint(input, &spelled(name, port), frozen)),
                None => Err(input.key.clone()),
            }
        });
        let mut inputs: Vec<Result<Endpoint, String>> = of_signature.collect();
        let named: HashSet<String> = inputs.iter().flatten().map(|input| input.tensor.clone()).collect();
        for input in endpoints::inputs(&frozen.graph, &Signatures::default()).iter() {
            let is_fed = input.op != "PlaceholderWithDefault" && !named.contains(&input.tensor);
            if is_fed {
                let wanted = Wanted { key: input.node.clone(), tensor: input.tensor.clone(), ..Wanted::default() };
                inputs.push(Ok(endpoint(&wanted, &input.tensor, frozen)));
            }
        }
        inputs
    }

    fn endpoint(&self, wanted: &Wanted, at: Ref, frozen: &Model) -> Endpoint {
        endpoint(wanted, &spelled(&self.flat.nodes[at.index()].name, at.port), frozen)
    }
}

fn endpoint(wanted: &Wanted, tensor: &str, frozen: &Model) -> Endpoint {
    let found = frozen.graph.find_tensor(tensor);
    let recorded = found.map_or(Shape(None), |tensor| crate::graph::tensor::shape(&frozen.graph, tensor));
    let of_type = || found.and_then(|tensor| frozen.graph.tensor_type(tensor)).map_or(0, |data_type| data_type as i32);
    let data_type = wanted.data_type.filter(|&number| number != 0).unwrap_or_else(of_type);
    let was = wanted.parts().map(|(name, port)| spelled(name, port)).filter(|was| was != tensor);
    Endpoint {
        key: wanted.key.clone(),
        tensor: tensor.to_owned(),
        was,
        data_type,
        dtype: data_type_name(data_type),
        shape: wanted.shape.as_ref().map_or(recorded, |shape: &TensorShapeProto| Shape::from(shape)),
    }
}

/// The dimensions in an encoded AttrValue.
fn shape_of(value: &[u8]) -> Option<Shape> {
    use crate::proto::tensorflow::{AttrValue, attr_value::Value};
    match <AttrValue as prost::Message>::decode(value).ok()?.value? {
        Value::Shape(shape) => Some(Shape::from(&shape)),
        _ => None,
    }
}

fn spelled(name: &str, port: u32) -> String {
    format!("{name}:{port}")
}

/// Whether TensorFlow takes that name for a node.
fn is_node_name(name: &str) -> bool {
    crate::options::check_op_name(name).is_ok()
}

/// The nodes of the graph that the outputs need, in the graph's order; with them, the inputs of a model that calls.
fn reachable(graph: &Graph, chosen: &Chosen) -> Result<Vec<NodeId>> {
    let mut open = Vec::new();
    let find = |wanted: &Wanted| wanted.parts().and_then(|(name, _)| graph.find(name));
    open.extend(chosen.outputs.iter().filter_map(find));
    if open.len() < chosen.outputs.len() {
        // The name may be one in a body that the signature calls.
        open.extend(chosen.of_signature.iter().filter_map(find));
    }
    if open.is_empty() {
        let output = chosen.outputs.first().map_or("", |output| output.tensor.as_str());
        let error = Error::new(ErrorKind::Options, format!("the model has no tensor '{output}'"));
        return Err(error.hint("look at its outputs with tfquant summary"));
    }
    open.extend(chosen.inputs.iter().filter_map(find));
    let needed = graph.reached(open, |node| graph.inputs(node).map(Input::node));
    Ok(graph.ids().filter(|node| needed[node.index()]).collect())
}
