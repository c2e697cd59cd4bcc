//! Puts the bodies of functions in place of their calls: PartitionedCall, StatefulPartitionedCall, ops that are
//! functions themselves, and, by way of [`super::control_flow`], If, Case and While.
//!
//! Calls are worked off from a list, not by recursion, and each node is made once, so the work is that of the result.
//! How large that will be is known before: [`check_size`] follows who calls whom, and refuses recursion.
//!
//! In functions, control edges order side effects: asserts, prints, summaries, reads of variables before writes. A frozen
//! network has nothing left to order, so the nodes of a body lose them, and the asserts nobody else asks for with them.
//! A body with Switch and Merge keeps them, since there they also say what runs at all. What stops gradients, and the
//! Identity nodes through which a body returns its results, are passed by.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::flat::{Attributes, CONTROL, Flat, FlatNode, MAX_NODES, Ref, check_made_bytes, is_resource, too_many};
use super::library::{self, BodyNode, Function, Library, Spelled};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::attr::Attrs;
use crate::graph::name::{leaf, parent};
use crate::wire;

/// What a node calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call<'a> {
    Function(Callee<'a>),
    If { then: Callee<'a>, otherwise: Callee<'a> },
    Case(Vec<Callee<'a>>),
    While { cond: Callee<'a>, body: Callee<'a> },
}

/// A function with the attributes that it is called with: a NodeDef or a NameAttrList.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Callee<'a> {
    pub function: usize,
    attrs: CallAttrs<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallAttrs<'a> {
    Node(&'a [u8]),
    List(&'a [u8]),
}

impl<'a> CallAttrs<'a> {
    fn get(self, name: &str) -> Option<&'a [u8]> {
        match self {
            Self::Node(def) => library::attr(def, name),
            Self::List(list) => {
                const ATTR: u32 = 2;
                let entries = wire::messages(list, ATTR).filter_map(crate::graph::attr::map_entry);
                entries.filter(|(key, _)| *key == name).last().map(|(_, value)| value)
            }
        }
    }
}

/// What the node with that NodeDef calls, if it is a call that can be put in place.
///
/// # Errors
/// [`ErrorKind::InvalidGraph`] if the function is not in the library.
pub(super) fn call<'a>(library: &Library<'a>, name: &str, op: &str, def: &'a [u8]) -> Result<Option<Call<'a>>> {
    if let Some(function) = library.find(op) {
        return Ok(Some(Call::Function(Callee { function, attrs: CallAttrs::Node(def) })));
    }
    let broken =
        |what: String| Error::new(ErrorKind::InvalidGraph, what).in_node(name, op).hint("export the model again");
    let callee = |(callee, list): (&str, &'a [u8])| {
        let function = library.find(callee);
        let function = function.ok_or_else(|| broken(format!("the graph's library has no function '{callee}'")))?;
        Ok(Callee { function, attrs: CallAttrs::List(list) })
    };
    let named = |attr_name: &str| {
        let function = library::attr(def, attr_name).and_then(library::function_attr);
        callee(function.ok_or_else(|| broken(format!("the attribute '{attr_name}' names no function")))?)
    };
    Ok(Some(match op {
        "PartitionedCall" | "StatefulPartitionedCall" => Call::Function(named("f")?),
        "If" | "StatelessIf" => Call::If { then: named("then_branch")?, otherwise: named("else_branch")? },
        "While" | "StatelessWhile" => Call::While { cond: named("cond")?, body: named("body")? },
        "Case" | "StatelessCase" => {
            let branches = library::attr(def, "branches").map(library::function_list).unwrap_or_default();
            Call::Case(branches.into_iter().map(callee).collect::<Result<_>>()?)
        }
        _ => return Ok(None),
    }))
}

impl<'a> Call<'a> {
    fn callees(&self) -> Vec<Callee<'a>> {
        match self {
            Self::Function(callee) => vec![*callee],
            Self::If { then, otherwise } => vec![*then, *otherwise],
            Self::Case(branches) => branches.clone(),
            Self::While { cond, body } => vec![*cond, *body],
        }
    }
}

/// Checks that these calls unfold to a graph of a sane size.
///
/// # Errors
/// [`ErrorKind::Refused`] if a function calls itself, [`ErrorKind::TooLarge`] if there would be too many nodes.
pub(super) fn check_size(library: &Library<'_>, calls: &[Call<'_>]) -> Result<()> {
    let mut sizes: Vec<Size> = vec![Size::Unknown; library.functions.len()];
    let roots: Vec<usize> = calls.iter().flat_map(Call::callees).map(|callee| callee.function).collect();
    for &root in &roots {
        let mut open = Vec::new();
        enter(library, root, &mut sizes, &mut open)?;
        while let Some(body) = open.last_mut() {
            let Some(callee) = body.callees.next() else {
                let (function, size) = (body.function, body.size);
                sizes[function] = Size::Known(size);
                open.pop();
                if let Some(caller) = open.last_mut() {
                    caller.size = caller.size.saturating_add(size);
                }
                continue;
            };
            match sizes[callee] {
                Size::Known(more) => body.size = body.size.saturating_add(more),
                Size::Unknown => enter(library, callee, &mut sizes, &mut open)?,
                Size::Open => {
                    let what = format!("the function '{}' calls itself", library.functions[callee].name);
                    return Err(
                        Error::new(ErrorKind::Refused, what).hint("a recursive function cannot be put into one graph")
                    );
                }
            }
        }
    }
    let total = roots.iter().fold(0usize, |total, &root| match sizes[root] {
        Size::Known(size) => total.saturating_add(size),
        _ => total,
    });
    if total > MAX_NODES { Err(too_many()) } else { Ok(()) }
}

#[derive(Debug, Clone, Copy)]
enum Size {
    Unknown,
    Open,
    Known(usize),
}

/// A function whose size is being found out.
struct OpenBody {
    function: usize,
    /// The functions that it calls and that were not looked at yet.
    callees: std::vec::IntoIter<usize>,
    size: usize,
}

fn enter(library: &Library<'_>, function: usize, sizes: &mut [Size], open: &mut Vec<OpenBody>) -> Result<()> {
    if !matches!(sizes[function], Size::Unknown) {
        return Ok(());
    }
    sizes[function] = Size::Open;
    let nodes = &library.functions[function].nodes;
    let mut callees = Vec::new();
    for node in nodes {
        if let Some(call) = call(library, node.name, node.op, node.def)? {
            callees.extend(call.callees().into_iter().map(|callee| callee.function));
        }
    }
    // Inputs take their place as well: as much as a node for every few.
    let size = nodes.iter().map(|node| 1 + node.inputs.len() / 8).sum();
    open.push(OpenBody { function, callees: callees.into_iter(), size });
    Ok(())
}

/// A call that waits for its turn.
struct Pending<'a> {
    node: u32,
    call: Call<'a>,
    /// The scope of the body that the call is in, with its slash.
    scope: String,
    /// Whether there is Switch and Merge around it, so that what runs has to be said.
    in_old_control_flow: bool,
}

/// Puts bodies in place of calls.
pub(super) struct Inliner<'a, 'l> {
    pub flat: Flat<'a>,
    library: &'l Library<'a>,
    pending: Vec<Pending<'a>>,
    /// Names, and attributes that had to be copied.
    made_bytes: usize,
}

/// Scopes do not grow longer than this; below, a body starts again with its function's name.
const MAX_SCOPE_BYTES: usize = 128;

impl<'a, 'l> Inliner<'a, 'l> {
    pub(super) fn new(flat: Flat<'a>, library: &'l Library<'a>) -> Self {
        Self { flat, library, pending: Vec::new(), made_bytes: 0 }
    }

    /// Notes that the node is a call.
    pub(super) fn add(&mut self, node: u32, call: Call<'a>, scope: String, in_old_control_flow: bool) {
        self.pending.push(Pending { node, call, scope, in_old_control_flow });
    }

    /// Puts all bodies in place, those that come with them included.
    pub(super) fn run(mut self) -> Result<Flat<'a>> {
        // The last call of a body comes last on the list: take them from the end, in the order of the file.
        self.pending.reverse();
        while let Some(pending) = self.pending.pop() {
            self.flat.inlined_calls += 1;
            let Pending { node, call, scope, in_old_control_flow } = pending;
            let from = self.pending.len();
            let forwards = match call {
                Call::Function(callee) => {
                    let args: Vec<Ref> = self.flat.nodes[node as usize].data_inputs().collect();
                    let region = self.region_of_call(node, callee, in_old_control_flow)?;
                    let scope = self.scope_of_call(node, &scope, callee);
                    self.open(callee, &args, &scope, "", region)?
                }
                Call::If { then, otherwise } => self.lower_if(node, then, otherwise)?,
                Call::Case(branches) => self.lower_case(node, &branches)?,
                Call::While { cond, body } => self.lower_while(node, cond, body)?,
            };
            self.pending[from..].reverse();
            self.flat.nodes[node as usize].forwards = Some(forwards);
        }
        Ok(self.flat)
    }

    /// In which branch or loop a body runs: that of its call. Between Switch and Merge of TensorFlow 1 nothing says which
    /// that is but the call's own inputs: its body runs when the first of them is there.
    fn region_of_call(&mut self, node: u32, callee: Callee<'a>, in_old_control_flow: bool) -> Result<u32> {
        let call = &self.flat.nodes[node as usize];
        if !in_old_control_flow || call.inputs.is_empty() {
            return Ok(call.region);
        }
        let (name, region, controls) = (format!("{}/start", call.name), call.region, call.inputs.clone());
        let types = self.library.functions[callee.function].signature.input_arg.iter().map(|arg| match arg.r#type {
            0 => callee.attrs.get(&arg.type_attr).and_then(|value| wire::last_varint(value, 6)).unwrap_or(0),
            number => u64::from(number.unsigned_abs()),
        });
        let types = types.map(|number| i32::try_from(number).unwrap_or(0));
        let first = call.data_inputs().zip(types).find(|&(_, data_type)| data_type != 0 && !is_resource(data_type));
        let pivot = if let Some((input, data_type)) = first {
            self.flat.make(&name, "Identity", vec![input], &Flat::typed(data_type), region)?
        } else {
            let controls = controls.into_iter().map(|input| Ref::control(input.node)).collect();
            self.flat.make(&name, "NoOp", controls, &Attrs::default(), region)?
        };
        Ok(self.flat.region(pivot))
    }

    /// In which scope a body goes: that of the call if its name says nothing, as far as no name is taken there; else one
    /// of the call's own.
    fn scope_of_call(&self, node: u32, scope: &str, callee: Callee<'a>) -> String {
        let name = &self.flat.nodes[node as usize].name;
        let says_nothing = |leaf: &str| {
            let plain = leaf.trim_end_matches(|character: char| character.is_ascii_digit());
            ["PartitionedCall", "StatefulPartitionedCall"]
                .iter()
                .any(|op| leaf == *op || plain.strip_suffix('_') == Some(op))
        };
        if says_nothing(leaf(name)) {
            let outer = parent(name).map_or_else(|| scope.to_owned(), |parent| format!("{parent}/"));
            let mut names = self.library.functions[callee.function].nodes.iter();
            if !names.any(|node| self.flat.is_taken(&format!("{outer}{}", node.name))) {
                return outer;
            }
        }
        format!("{name}/")
    }

    /// Puts a body in place; returns what it returns. `strip` is what the names of its nodes may begin with in vain.
    pub(super) fn open(
        &mut self,
        callee: Callee<'a>,
        args: &[Ref],
        scope: &str,
        strip: &str,
        region: u32,
    ) -> Result<Vec<Ref>> {
        let library = self.library;
        let function = &library.functions[callee.function];
        let scope = self.bounded(scope, function.name);
        let locals = locals(function, callee, args)?;
        let first = u32::try_from(self.flat.nodes.len()).unwrap_or(u32::MAX);
        let keeps_control = function.nodes.iter().any(|node| is_old_control_flow(node.op));
        let is_generic = !function.signature.attr.is_empty();
        for node in &function.nodes {
            let inputs = self.inputs(function, node, &locals, first, keeps_control)?;
            let name = format!("{scope}{}", node.name.strip_prefix(strip).unwrap_or(node.name));
            self.made_bytes += name.len() + if is_generic { node.def.len() } else { 0 };
            check_made_bytes(self.made_bytes)?;
            let attributes =
                if is_generic { Attributes::Made(substituted(node.def, callee)) } else { Attributes::File(node.def) };
            let forwards = stops_gradients(node.op).then(|| inputs.iter().take(1).copied().collect());
            let name = self.flat.claim(name);
            let id = self.flat.push(FlatNode {
                name,
                op: Cow::Borrowed(node.op),
                device: node.device,
                inputs,
                attributes,
                region,
                inlined: true,
                changed: true,
                forwards,
            })?;
            if let Some(call) = call(library, node.name, node.op, node.def)? {
                self.add(id, call, scope.clone(), keeps_control);
            }
        }
        let mut returned = Vec::new();
        for output in &function.signature.output_arg {
            let spelled = function.returns.get(output.name.as_str()).copied();
            let spelled = spelled.ok_or_else(|| broken(function, &format!("it does not return '{}'", output.name)))?;
            returned.extend(resolve(library, function, spelled, &locals, first)?);
        }
        for result in &returned {
            self.pass_by(*result, first);
        }
        Ok(returned)
    }

    /// A body returns its results through Identity nodes, which say nothing once it is in place.
    fn pass_by(&mut self, result: Ref, first: u32) {
        let node = &mut self.flat.nodes[result.index()];
        let is_of_body = result.node >= first && node.op == "Identity" && node.forwards.is_none();
        if let [input] = node.inputs[..]
            && is_of_body
            && !input.is_control()
        {
            node.forwards = Some(vec![input]);
        }
    }

    fn bounded(&mut self, scope: &str, function: &str) -> String {
        if scope.len() <= MAX_SCOPE_BYTES {
            return scope.to_owned();
        }
        // No node's name begins as TensorFlow 2's functions do: `__inference_…`.
        let short: String = function.trim_start_matches('_').chars().take(MAX_SCOPE_BYTES / 2).collect();
        format!("{}/", self.flat.claim(short))
    }

    fn inputs(
        &self,
        function: &Function<'a>,
        node: &BodyNode<'a>,
        locals: &Locals<'a>,
        first: u32,
        keeps_control: bool,
    ) -> Result<Vec<Ref>> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for spelled in &node.inputs {
            if !spelled.starts_with('^') || keeps_control {
                inputs.extend(resolve(self.library, function, spelled, locals, first)?);
            }
        }
        Ok(inputs)
    }
}

/// Whether the op passes on its input, and says something of gradients alone.
fn stops_gradients(op: &str) -> bool {
    matches!(op, "StopGradient" | "PreventGradient")
}

/// The ops that TensorFlow 1 builds conditionals and loops of.
pub(super) fn is_old_control_flow(op: &str) -> bool {
    matches!(op, "Switch" | "Merge" | "Enter" | "RefSwitch" | "RefMerge" | "RefEnter")
}

/// What a name in a body means.
enum Local {
    /// An argument: its tensors.
    Argument(Vec<Ref>),
    /// The node of that place in the body.
    Node(u32),
}

type Locals<'a> = HashMap<&'a str, Local>;

fn locals<'a, 'f: 'm, 'm>(
    function: &'f Function<'a>,
    callee: Callee<'_>,
    args: &[Ref],
) -> Result<HashMap<&'m str, Local>>
where
    'a: 'm,
{
    let mut locals = HashMap::with_capacity(function.nodes.len() + args.len());
    for (place, node) in function.nodes.iter().enumerate() {
        locals.insert(node.name, Local::Node(u32::try_from(place).unwrap_or(u32::MAX)));
    }
    let mut rest = args;
    for arg in &function.signature.input_arg {
        let count = if !arg.number_attr.is_empty() {
            callee.attrs.get(&arg.number_attr).and_then(|value| wire::last_varint(value, 3)).unwrap_or(0)
        } else if !arg.type_list_attr.is_empty() {
            callee.attrs.get(&arg.type_list_attr).map_or(0, |value| library::type_list(value).len() as u64)
        } else {
            1
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let Some((own, others)) = rest.split_at_checked(count) else {
            return Err(broken(function, "it is called with too few arguments"));
        };
        rest = others;
        locals.insert(arg.name.as_str(), Local::Argument(own.to_vec()));
    }
    Ok(locals)
}

/// The tensors that a spelled input means.
fn resolve(
    library: &Library<'_>,
    function: &Function<'_>,
    spelled: &str,
    locals: &HashMap<&str, Local>,
    first: u32,
) -> Result<Vec<Ref>> {
    let unknown = || broken(function, &format!("'{spelled}' is nothing in it"));
    let found = |name: &str| locals.get(name).ok_or_else(unknown);
    Ok(match Spelled::parse(spelled).ok_or_else(unknown)? {
        Spelled::Control(name) => match found(name)? {
            // Arguments are there before the body starts.
            Local::Argument(_) => Vec::new(),
            Local::Node(place) => vec![Ref::control(first + place)],
        },
        Spelled::Plain(name) => match found(name)? {
            Local::Argument(tensors) => tensors.clone(),
            Local::Node(place) => vec![Ref::output(first + place, 0)],
        },
        Spelled::Part(name, output, index) => match found(name)? {
            Local::Argument(tensors) => {
                vec![*tensors.get(index as usize).ok_or_else(unknown)?]
            }
            Local::Node(place) => {
                let node = &function.nodes[*place as usize];
                let port = if output.is_empty() { Some(index) } else { library.port(node.op, node.def, output, index) };
                vec![Ref::output(first + place, port.filter(|&port| port < CONTROL).ok_or_else(unknown)?)]
            }
        },
    })
}

fn broken(function: &Function<'_>, what: &str) -> Error {
    Error::new(ErrorKind::InvalidGraph, format!("the function '{}' is broken: {what}", function.name))
        .hint("export the model again")
}

/// The attributes of a node of a generic function, with those that it is called with in place of their names.
fn substituted(def: &[u8], callee: Callee<'_>) -> Vec<u8> {
    const PLACEHOLDER: u32 = 9;
    let mut attrs = Attrs::default();
    for (name, value) in library::attrs(def) {
        let placeholder = wire::last_bytes(value, PLACEHOLDER).and_then(|range| str::from_utf8(&value[range]).ok());
        attrs.raw(name, placeholder.and_then(|name| callee.attrs.get(name)).unwrap_or(value));
    }
    attrs.as_bytes().to_vec()
}
