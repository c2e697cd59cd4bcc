//! What is to be run: the nodes that the asked-for tensors need, in order, each with its kernel and with what becomes free
//! behind it.
//!
//! Compiling goes from the graph to blocks of steps. What depends on constants alone is computed here, once. What cannot
//! be run is found here too, before any work: see [`super::missing`].

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::budget::Budget;
use super::frames::{FrameId, Frames};
use super::function::{ARGUMENT, Function};
use super::kernel::{Attributes, Inputs, Kernel, Value, invalid};
use super::memory::Memory;
use super::tensor::{DType, Tensor};
use super::{literal, missing, ops};
use crate::error::{Error, ErrorKind, Result};
use crate::freeze::library::Library;
use crate::graph::{Graph, Input, NodeId, TensorRef, verify};
use crate::proto::tensorflow::attr_value::Value as Attr;

/// What a run may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that all sessions of a plan may hold together, constants included, the graph's file excluded.
    pub memory: usize,
    /// How many nodes one run may compute, each as often as a loop repeats it.
    pub steps: u64,
}

impl Default for Limits {
    /// Half of the machine's memory, and more steps than a network takes.
    fn default() -> Self {
        let memory = machine_memory().unwrap_or(16 << 30) / 2;
        Self { memory: usize::try_from(memory).unwrap_or(usize::MAX / 2), steps: 50_000_000 }
    }
}

/// How much memory there is, in bytes, where the system tells it in a file (Linux).
fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// A graph ready to run. Threads share it; each has a [`super::Session`] of its own.
pub struct Plan {
    pub(super) main: Body,
    pub(super) functions: Vec<Body>,
    pub(super) budget: Arc<Budget>,
    pub(super) limits: Limits,
}

/// A place for a value while a body runs.
pub(super) type Slot = usize;

/// The steps of the graph or of a function.
pub(super) struct Body {
    pub steps: Vec<Step>,
    pub slots: usize,
    /// How many nodes are watched for whether they ran.
    pub watched: usize,
    /// Where each argument goes, if anyone reads it.
    pub arguments: Vec<Option<Slot>>,
    pub results: Vec<Source>,
}

/// Where a step finds an input.
#[derive(Clone)]
pub(super) enum Source {
    /// In a slot, which `take` says may be emptied: no one reads it again.
    Slot { slot: Slot, take: bool },
    /// In the plan.
    Constant(Value),
}

/// One node.
pub(super) struct Step {
    pub node: NodeId,
    pub name: Box<str>,
    pub op: Box<str>,
    pub action: Action,
    pub inputs: Vec<Source>,
    /// The watched nodes that must have run for this one to run.
    pub controls: Vec<usize>,
    /// Where to note whether it ran.
    pub watch: Option<usize>,
    /// A slot for each output that anyone reads.
    pub outputs: Vec<Option<Slot>>,
    /// Slots that no one reads from here on.
    pub frees: Vec<Slot>,
    /// The half-precision type that its first output has, and that all others have.
    pub halves: [Option<DType>; 2],
    /// Whether its results are shown to the observer.
    pub observed: bool,
}

/// What a step does.
pub(super) enum Action {
    /// An op of the table.
    Kernel(Kernel),
    /// A constant that may stay dead.
    Emit(Tensor),
    /// Hands its input on.
    Pass,
    /// Does nothing.
    Nothing,
    /// Hands its first input on to the output that the second chooses.
    Switch {
        count: usize,
    },
    /// The first live input; `order` says which is looked at first.
    Merge {
        order: Vec<usize>,
    },
    Loop(Box<Loop>),
    /// A function of the plan.
    Call(usize),
    While {
        condition: usize,
        body: usize,
    },
    /// The function for each value of the first input, the last one for all others.
    Branch {
        functions: Vec<usize>,
        is_case: bool,
    },
}

/// A while-loop of single nodes.
pub(super) struct Loop {
    /// What is brought in once.
    pub enters: Vec<Step>,
    /// What is repeated.
    pub steps: Vec<Step>,
    /// Whether to go on.
    pub condition: Slot,
    /// Slots that are the loop's own.
    pub own: Vec<Slot>,
    /// Slots of its results.
    pub exits: Vec<Slot>,
    /// Slots from outside that it reads.
    pub reads: Vec<Slot>,
}

impl Plan {
    /// Prepares a graph to compute `fetches` when it is given `feeds`.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] that names all nodes that cannot be run, with the nearest tensors at which the graph could
    /// be cut; [`ErrorKind::InvalidGraph`] for one that TensorFlow would not run either; [`ErrorKind::TooLarge`] when
    /// the constants do not fit into the memory limit.
    pub fn new(graph: &Graph, feeds: &[TensorRef], fetches: &[TensorRef], limits: &Limits) -> Result<Self> {
        verify::check_acyclic(graph)?;
        let budget = Budget::new(limits.memory);
        let mut wanted = Wanted::of(graph)?;
        let mut memory = Memory::new(Arc::clone(&budget));
        // First whether all of it can be run, then the work of preparing it.
        let mut problems = Vec::new();
        let scope = Scope::of(graph, feeds, fetches)?;
        Compiler::new(graph, &scope, true, &mut wanted, &mut memory).check(&mut problems)?;
        let mut functions = Vec::new();
        // Looking at one may bring up more.
        while let Some(&next) = wanted.functions.get(functions.len()) {
            let function = &wanted.library.functions[next];
            let name = function.name;
            let in_function = |error: Error| error.or_in_node(name, "function");
            let function = Function::read(&wanted.library, function).map_err(in_function)?;
            verify::check_acyclic(&function.graph)?;
            let scope = Scope::of(&function.graph, &function.arguments, &function.results)?;
            let mut of_function = Vec::new();
            Compiler::new(&function.graph, &scope, false, &mut wanted, &mut memory)
                .check(&mut of_function)
                .map_err(in_function)?;
            problems.extend(of_function.into_iter().map(|problem| problem.within(name)));
            functions.push((name, function, scope));
        }
        if !problems.is_empty() {
            return Err(missing::error(graph, feeds, fetches, &problems));
        }
        let main = Compiler::new(graph, &scope, true, &mut wanted, &mut memory).body(fetches)?;
        let bodies = functions.iter().map(|(name, function, scope)| {
            Compiler::new(&function.graph, scope, false, &mut wanted, &mut memory)
                .body(&function.results)
                .map_err(|error| error.or_in_node(name, "function"))
        });
        let functions = bodies.collect::<Result<_>>()?;
        Ok(Self { main, functions, budget, limits: *limits })
    }

    /// The most memory that was held at once, in bytes: constants of the plan's own and all its sessions' tensors.
    #[must_use]
    pub fn peak_memory(&self) -> usize {
        self.budget.peak()
    }
}

/// What a Const holds, whatever it waits for.
///
/// # Errors
/// [`ErrorKind::Refused`] for a type that is not computed with, [`ErrorKind::TooLarge`], [`ErrorKind::InvalidGraph`].
pub(crate) fn constant(graph: &Graph, node: NodeId, limits: &Limits) -> Result<Tensor> {
    let mut memory = Memory::new(Budget::new(limits.memory));
    let tensor = read_constant(graph, node, &mut memory)?;
    memory.aligned(&tensor).map_err(|error| error.in_node(graph.name(node), graph.op(node)))
}

/// The same of several as they lie in the file, where they may not be aligned: [`Tensor::show_floats`] takes them all the same.
/// What is not in the file as it is, all together, may use that much memory.
///
/// # Errors
/// As of [`constant`].
pub(crate) fn stored_constants(
    graph: &Graph,
    nodes: impl Iterator<Item = NodeId>,
    limits: &Limits,
) -> Result<Vec<Tensor>> {
    let mut memory = Memory::new(Budget::new(limits.memory));
    nodes.map(|node| read_constant(graph, node, &mut memory)).collect()
}

fn read_constant(graph: &Graph, node: NodeId, memory: &mut Memory) -> Result<Tensor> {
    let proto = graph.attr_tensor(node, "value").ok_or_else(|| invalid("a constant without a value"));
    let tensor = proto.and_then(|proto| literal::read(&proto, memory));
    tensor.map_err(|error| error.in_node(graph.name(node), graph.op(node)))
}

/// The functions of a graph, in the order in which they come to be wanted.
struct Wanted<'g> {
    library: Library<'g>,
    /// Places in the library.
    functions: Vec<usize>,
    /// The place in the plan, by the place in the library.
    places: HashMap<usize, usize>,
}

impl<'g> Wanted<'g> {
    fn of(graph: &'g Graph) -> Result<Self> {
        Ok(Self { library: Library::read(graph, None)?, functions: Vec::new(), places: HashMap::new() })
    }

    /// The place of a function in the plan; `None` if there is no such function.
    fn place(&mut self, name: &str) -> Option<usize> {
        let function = self.library.find(name)?;
        Some(*self.places.entry(function).or_insert_with(|| {
            self.functions.push(function);
            self.functions.len() - 1
        }))
    }
}

/// A vertex of a block: a node, or a loop with all that is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Unit {
    Node(NodeId),
    Loop(FrameId),
}

/// What of a graph is to be run, and where in it.
struct Scope {
    /// The arguments, by tensor.
    fed: HashMap<TensorRef, usize>,
    frames: Frames,
    /// Whether each node is needed.
    needed: Vec<bool>,
}

impl Scope {
    fn of(graph: &Graph, feeds: &[TensorRef], fetches: &[TensorRef]) -> Result<Self> {
        let fed = feeds.iter().enumerate().map(|(index, &tensor)| (tensor, index)).collect();
        let mut scope = Self { fed, frames: Frames::of(graph)?, needed: Vec::new() };
        let unfed = fetches.iter().filter(|fetch| !scope.fed.contains_key(*fetch));
        scope.needed = graph.reached(unfed.map(|fetch| fetch.node), |node| scope.reads(graph, node));
        Ok(scope)
    }

    /// The nodes that this one needs: those it reads, and those that decide whether it runs.
    fn reads(&self, graph: &Graph, node: NodeId) -> Vec<NodeId> {
        let ignores_data = ignores_inputs(graph.op(node));
        let inputs = graph.inputs(node).filter(|&input| match input {
            Input::Data(tensor) => !ignores_data && !self.fed.contains_key(&tensor),
            Input::Control(node) => self.frames.may_be_dead(node),
        });
        inputs.map(Input::node).collect()
    }
}

struct Compiler<'a, 'g> {
    graph: &'a Graph,
    scope: &'a Scope,
    is_main: bool,
    wanted: &'a mut Wanted<'g>,
    memory: &'a mut Memory,
    /// The nodes in each frame, in the graph's order.
    members: HashMap<FrameId, Vec<NodeId>>,
    constants: HashMap<TensorRef, Value>,
    slots: HashMap<TensorRef, Slot>,
    watches: HashMap<NodeId, usize>,
}

impl<'a, 'g> Compiler<'a, 'g> {
    fn new(
        graph: &'a Graph,
        scope: &'a Scope,
        is_main: bool,
        wanted: &'a mut Wanted<'g>,
        memory: &'a mut Memory,
    ) -> Self {
        Self {
            graph,
            scope,
            is_main,
            wanted,
            memory,
            members: HashMap::new(),
            constants: HashMap::new(),
            slots: HashMap::new(),
            watches: HashMap::new(),
        }
    }

    /// The needed nodes in the graph's order.
    fn needed(&self) -> impl Iterator<Item = NodeId> + use<'a> {
        let needed = &self.scope.needed;
        self.graph.ids().filter(|node| needed[node.index()])
    }

    /// Finds the nodes that cannot be run, without any work of theirs.
    fn check(mut self, problems: &mut Vec<missing::Problem>) -> Result<()> {
        for node in self.needed() {
            let op = self.graph.op(node);
            let checked = match op {
                "Const" => Attributes { graph: self.graph, node }.dtype("dtype", DType::F32).map(drop),
                _ => self.action(node).map(drop),
            };
            match checked {
                Err(error) if matches!(error.kind(), ErrorKind::Refused | ErrorKind::Container) => {
                    problems.push(missing::Problem::new(self.graph, node, &error));
                }
                other => other.map_err(|error| error.in_node(self.graph.name(node), op))?,
            }
        }
        Ok(())
    }

    fn body(mut self, fetches: &[TensorRef]) -> Result<Body> {
        for node in self.needed() {
            self.members.entry(self.scope.frames.inside(node)).or_default().push(node);
        }
        let roots: Vec<Unit> = fetches
            .iter()
            .filter(|fetch| !self.scope.fed.contains_key(*fetch))
            .filter_map(|fetch| self.unit(fetch.node, FrameId::ROOT))
            .collect();
        let mut steps = self.block(FrameId::ROOT, &roots)?;
        let results: Vec<Source> = fetches.iter().map(|&fetch| self.source(fetch, false)).collect::<Result<_>>()?;
        let kept: HashSet<Slot> = results.iter().filter_map(Source::slot).collect();
        self.give_outputs(&mut steps);
        let mut arguments = vec![None; self.scope.fed.len()];
        for (tensor, &index) in &self.scope.fed {
            arguments[index] = self.slots.get(tensor).copied();
        }
        let given: Vec<Slot> = arguments.iter().copied().flatten().collect();
        settle(&mut steps, &given, &kept);
        Ok(Body { steps, slots: self.slots.len(), watched: self.watches.len(), arguments, results })
    }

    /// The unit of `frame`'s block that holds the node; `None` if the node is outside of the frame.
    fn unit(&self, node: NodeId, frame: FrameId) -> Option<Unit> {
        let mut inner = None;
        for around in self.scope.frames.chain(self.scope.frames.inside(node)) {
            if around == frame {
                return Some(inner.map_or(Unit::Node(node), Unit::Loop));
            }
            inner = Some(around);
        }
        None
    }

    /// What a unit waits for in its own block.
    fn waits_for(&self, unit: Unit, frame: FrameId, within: &HashMap<FrameId, Vec<NodeId>>) -> Vec<Unit> {
        let nodes = match unit {
            Unit::Node(ref node) => std::slice::from_ref(node),
            Unit::Loop(inner) => within.get(&inner).map(Vec::as_slice).unwrap_or_default(),
        };
        let inputs = nodes.iter().flat_map(|&node| self.scope.reads(self.graph, node));
        let inputs = inputs.filter(|&input| unit != Unit::Node(input) && !self.goes_back(unit, input));
        let mut units: Vec<Unit> =
            inputs.filter_map(|input| self.unit(input, frame)).filter(|&other| other != unit).collect();
        units.dedup();
        units
    }

    /// Whether an input of a node comes from the end of the loop that the node starts.
    fn goes_back(&self, unit: Unit, input: NodeId) -> bool {
        matches!(unit, Unit::Node(_)) && self.graph.closes_loop(input)
    }

    /// The steps of a frame, in an order in which they can run: what the roots need first, depth first, so that few
    /// tensors are alive at once.
    fn block(&mut self, frame: FrameId, roots: &[Unit]) -> Result<Vec<Step>> {
        let mut units: Vec<Unit> = roots.to_vec();
        units.extend(self.members.get(&frame).into_iter().flatten().map(|&node| Unit::Node(node)));
        // All nodes in and under each loop that is directly in this frame.
        let mut within: HashMap<FrameId, Vec<NodeId>> = HashMap::new();
        for &inner in self.scope.frames.directly_in(frame) {
            let nodes: Vec<NodeId> = self
                .scope
                .frames
                .all_in(inner)
                .iter()
                .filter_map(|each| self.members.get(each))
                .flatten()
                .copied()
                .collect();
            if !nodes.is_empty() {
                units.push(Unit::Loop(inner));
                within.insert(inner, nodes);
            }
        }
        let mut steps = Vec::new();
        for unit in self.ordered(frame, &units, &within)? {
            match unit {
                Unit::Loop(inner) => {
                    let step = self.loop_step(inner)?;
                    steps.push(step);
                }
                Unit::Node(node) => {
                    if let Some(step) = self.step(node)? {
                        steps.push(step);
                    }
                }
            }
        }
        Ok(steps)
    }

    fn ordered(&self, frame: FrameId, units: &[Unit], within: &HashMap<FrameId, Vec<NodeId>>) -> Result<Vec<Unit>> {
        #[derive(PartialEq)]
        enum State {
            Open,
            Done,
        }
        let mut states: HashMap<Unit, State> = HashMap::new();
        let mut order = Vec::new();
        for &root in units {
            if states.contains_key(&root) {
                continue;
            }
            states.insert(root, State::Open);
            let mut stack = vec![(root, self.waits_for(root, frame, within), 0)];
            while let Some((unit, waits, next)) = stack.last_mut() {
                if let Some(&other) = waits.get(*next) {
                    *next += 1;
                    match states.get(&other) {
                        None => {
                            states.insert(other, State::Open);
                            let waits = self.waits_for(other, frame, within);
                            stack.push((other, waits, 0));
                        }
                        Some(State::Open) => return Err(invalid("a while-loop waits for its own result")),
                        Some(State::Done) => {}
                    }
                } else {
                    states.insert(*unit, State::Done);
                    order.push(*unit);
                    stack.pop();
                }
            }
        }
        Ok(order)
    }

    fn loop_step(&mut self, frame: FrameId) -> Result<Step> {
        let steps = self.block(frame, &[])?;
        let is = |step: &Step, ops: [&str; 2]| ops.contains(&&*step.op);
        let (enters, steps): (Vec<Step>, Vec<Step>) =
            steps.into_iter().partition(|step| is(step, ["Enter", "RefEnter"]));
        // What comes round replaces what is there when all of this turn have read it.
        let (round, mut steps): (Vec<Step>, Vec<Step>) =
            steps.into_iter().partition(|step| is(step, ["NextIteration", "RefNextIteration"]));
        steps.extend(round);
        let members = self.members.get(&frame).map(Vec::as_slice).unwrap_or_default();
        let Some(&first) = members.first() else { return Err(invalid("an empty while-loop")) };
        let condition = members.iter().copied().find(|&node| self.graph.op(node) == "LoopCond");
        let Some(node) = condition else {
            return Err(self.graph.error(ErrorKind::InvalidGraph, "a while-loop without a LoopCond", first));
        };
        let condition = self.slot(node.into());
        Ok(Step {
            action: Action::Loop(Box::new(Loop {
                enters,
                steps,
                condition,
                own: Vec::new(),
                exits: Vec::new(),
                reads: Vec::new(),
            })),
            ..self.bare_step(node)
        })
    }

    fn bare_step(&self, node: NodeId) -> Step {
        Step {
            node,
            name: self.graph.name(node).into(),
            op: self.graph.op(node).into(),
            action: Action::Nothing,
            inputs: Vec::new(),
            controls: Vec::new(),
            watch: None,
            outputs: Vec::new(),
            frees: Vec::new(),
            halves: [None; 2],
            observed: false,
        }
    }

    fn slot(&mut self, tensor: TensorRef) -> Slot {
        let next = self.slots.len();
        *self.slots.entry(tensor).or_insert(next)
    }

    /// Where a tensor is found. Constants are aligned, unless who reads them takes them as they are stored.
    fn source(&mut self, tensor: TensorRef, as_stored: bool) -> Result<Source> {
        match self.constants.get_mut(&tensor).filter(|_| !self.scope.fed.contains_key(&tensor)) {
            Some(constant) => {
                if !as_stored && let Value::Tensor(value) = constant {
                    let aligned = self.memory.aligned(value);
                    let in_node =
                        |error: Error| error.or_in_node(self.graph.name(tensor.node), self.graph.op(tensor.node));
                    *value = aligned.map_err(in_node)?;
                }
                Ok(Source::Constant(constant.clone()))
            }
            None => Ok(Source::Slot { slot: self.slot(tensor), take: false }),
        }
    }

    /// Compiles a node; none if it is a constant now.
    fn step(&mut self, node: NodeId) -> Result<Option<Step>> {
        let op = self.graph.op(node);
        let action = self.action(node).map_err(|error| error.in_node(self.graph.name(node), op))?;
        let may_be_dead = self.scope.frames.may_be_dead(node);
        let action = match action {
            Action::Emit(value) if !may_be_dead => {
                self.constants.insert(node.into(), value.into());
                return Ok(None);
            }
            Action::Emit(value) => Action::Emit(self.memory.aligned(&value)?),
            other => other,
        };
        let data: Vec<TensorRef> = if ignores_inputs(op) { Vec::new() } else { self.graph.data_inputs(node).collect() };
        let folds = matches!(action, Action::Pass) && !may_be_dead;
        let as_stored = |index: usize| folds || index == 1 && ops::reads_stored(op);
        let inputs = data.into_iter().enumerate().map(|(index, tensor)| self.source(tensor, as_stored(index)));
        let inputs: Vec<Source> = inputs.collect::<Result<_>>()?;
        let controls: Vec<NodeId> =
            self.graph.control_inputs(node).filter(|&other| self.scope.frames.may_be_dead(other)).collect();
        let next_watches = controls.iter().map(|&other| self.watch(other)).collect();
        let step = Step {
            action,
            inputs,
            controls: next_watches,
            halves: self.halves(node),
            observed: self.is_main,
            ..self.bare_step(node)
        };
        if !may_be_dead && self.fold(&step)? {
            return Ok(None);
        }
        Ok(Some(step))
    }

    fn watch(&mut self, node: NodeId) -> usize {
        let next = self.watches.len();
        *self.watches.entry(node).or_insert(next)
    }

    /// The half-precision type of the node's first output, and of the others.
    fn halves(&self, node: NodeId) -> [Option<DType>; 2] {
        [0, 1].map(|port| {
            let dtype = self.graph.tensor_type(TensorRef { node, port });
            dtype.and_then(|dtype| DType::from_number(dtype.into())).filter(|dtype| dtype.is_half())
        })
    }

    /// Computes a step whose inputs are all constants; false if they are not.
    fn fold(&mut self, step: &Step) -> Result<bool> {
        let values: Option<Vec<Value>> = step
            .inputs
            .iter()
            .map(|input| match input {
                Source::Constant(value) => Some(value.clone()),
                Source::Slot { .. } => None,
            })
            .collect();
        let Some(values) = values else { return Ok(false) };
        let outputs = match &step.action {
            Action::Pass => values,
            Action::Kernel(kernel) => {
                let made = kernel(&mut Inputs(values), self.memory);
                made.map_err(|error| error.in_node(&step.name, &step.op))?
            }
            _ => return Ok(false),
        };
        for (port, value) in outputs.into_iter().enumerate() {
            let value = step.round(port, value, self.memory)?;
            let port = u32::try_from(port).unwrap_or(u32::MAX);
            self.constants.insert(TensorRef { node: step.node, port }, value);
        }
        Ok(true)
    }

    /// What the node does; [`ErrorKind::Refused`] if nothing here does it.
    fn action(&mut self, node: NodeId) -> Result<Action> {
        let attributes = Attributes { graph: self.graph, node };
        Ok(match self.graph.op(node) {
            "Const" => {
                let tensor =
                    self.graph.attr_tensor(node, "value").ok_or_else(|| invalid("a constant without a value"))?;
                Action::Emit(literal::read(&tensor, self.memory)?)
            }
            "Identity" | "Snapshot" | "RefIdentity" | "Enter" | "RefEnter" | "Exit" | "RefExit" | "NextIteration"
            | "RefNextIteration" | "LoopCond" => Action::Pass,
            "NoOp" | "Assert" | "ControlTrigger" | "TensorArrayCloseV3" => Action::Nothing,
            "Switch" | "RefSwitch" => Action::Switch { count: 2 },
            "_SwitchN" => match attributes.int("num_outs", 0) {
                count @ 1..=MAX_BRANCHES => Action::Switch { count: count as usize },
                count => return Err(invalid(format!("a switch with {count} outputs"))),
            },
            "Merge" | "RefMerge" => {
                let inputs: Vec<NodeId> = self.graph.data_inputs(node).map(|tensor| tensor.node).collect();
                let mut order: Vec<usize> = (0..inputs.len()).collect();
                // What comes round goes before what came in.
                order.sort_by_key(|&index| !self.graph.closes_loop(inputs[index]));
                Action::Merge { order }
            }
            "Placeholder" | "PlaceholderV2" | ARGUMENT => {
                let what = "it is an input that was not fed";
                return Err(Error::new(ErrorKind::Container, what));
            }
            "PartitionedCall" | "StatefulPartitionedCall" => Action::Call(self.function(node, "f")?),
            "While" | "StatelessWhile" => {
                Action::While { condition: self.function(node, "cond")?, body: self.function(node, "body")? }
            }
            "If" | "StatelessIf" => {
                let functions = vec![self.function(node, "then_branch")?, self.function(node, "else_branch")?];
                Action::Branch { functions, is_case: false }
            }
            "Case" | "StatelessCase" => {
                let Some(Attr::List(list)) = self.graph.attr(node, "branches") else {
                    return Err(invalid("a Case without branches"));
                };
                let places = list.func.iter().map(|function| self.wanted.place(&function.name));
                let functions: Option<Vec<usize>> = places.collect();
                let functions = functions.filter(|functions| !functions.is_empty());
                let functions = functions.ok_or_else(|| invalid("a branch that is no function of the library"))?;
                Action::Branch { functions, is_case: true }
            }
            op => match ops::find(op) {
                Some(op) => Action::Kernel((op.prepare)(&attributes)?),
                None => match self.wanted.place(op) {
                    Some(function) => Action::Call(function),
                    None => return Err(Error::new(ErrorKind::Refused, describe(op))),
                },
            },
        })
    }

    /// The function that an attribute names.
    fn function(&mut self, node: NodeId, attribute: &str) -> Result<usize> {
        let Some(Attr::Func(function)) = self.graph.attr(node, attribute) else {
            return Err(invalid(format!("it names no function in {attribute}")));
        };
        let place = self.wanted.place(&function.name);
        place.ok_or_else(|| invalid(format!("the library has no function '{}'", function.name)))
    }

    /// Tells each step which slots its outputs go to, now that all who read them are known.
    fn give_outputs(&self, steps: &mut [Step]) {
        let mut of_node: HashMap<NodeId, Vec<Option<Slot>>> = HashMap::new();
        for (tensor, &slot) in self.slots.iter().filter(|(tensor, _)| !self.scope.fed.contains_key(*tensor)) {
            let port = tensor.port as usize;
            // More outputs than any op has: it will be an error when the step has run.
            if port > MAX_PORT {
                continue;
            }
            let slots = of_node.entry(tensor.node).or_default();
            if slots.len() <= port {
                slots.resize(port + 1, None);
            }
            slots[port] = Some(slot);
        }
        let mut open: Vec<&mut Step> = steps.iter_mut().collect();
        while let Some(step) = open.pop() {
            if let Action::Loop(inner) = &mut step.action {
                open.extend(inner.enters.iter_mut().chain(&mut inner.steps));
            } else {
                step.outputs = of_node.remove(&step.node).unwrap_or_default();
                step.watch = self.watches.get(&step.node).copied();
            }
        }
    }
}

const MAX_PORT: usize = 1 << 20;

const MAX_BRANCHES: i64 = 1 << 16;

/// Ops that run without what they read: nothing depends on their result.
fn ignores_inputs(op: &str) -> bool {
    matches!(op, "NoOp" | "Assert" | "ControlTrigger" | "TensorArrayCloseV3")
}

/// Why an op is not run, in words.
fn describe(op: &str) -> String {
    match op {
        "Variable" | "VariableV2" | "VarHandleOp" | "ReadVariableOp" | "AutoReloadVariable" => {
            "it is a variable; freeze the graph first".to_owned()
        }
        _ => "the op is not one that the interpreter runs".to_owned(),
    }
}

impl Source {
    pub(super) fn slot(&self) -> Option<Slot> {
        match self {
            Self::Slot { slot, .. } => Some(*slot),
            Self::Constant(_) => None,
        }
    }
}

impl Step {
    /// Rounds an output to the half-precision type that it has.
    pub(super) fn round(&self, port: usize, value: Value, memory: &mut Memory) -> Result<Value> {
        let Some(dtype) = self.halves[port.min(1)] else { return Ok(value) };
        let Value::Tensor(mut tensor) = value else { return Ok(value) };
        if let Some(values) = tensor.values_mut::<f32>() {
            values.iter_mut().for_each(|value| *value = literal::round_to(dtype, *value));
        } else if tensor.dtype() != dtype
            && let Some(values) = tensor.values::<f32>()
        {
            // Shared ones of the same type are rounded already.
            let rounded = values.iter().map(|&value| literal::round_to(dtype, value));
            tensor = Tensor::from_storage(tensor.dims().to_vec(), memory.collect(values.len(), rounded)?)?;
        }
        Ok(tensor.retyped(dtype).into())
    }

    /// The slots it reads and the slots it writes.
    fn reads(&self) -> Vec<Slot> {
        match &self.action {
            Action::Loop(inner) => inner.reads.clone(),
            _ => self.inputs.iter().filter_map(Source::slot).collect(),
        }
    }

    fn writes(&self) -> Vec<Slot> {
        match &self.action {
            Action::Loop(inner) => inner.exits.clone(),
            _ => self.outputs.iter().copied().flatten().collect(),
        }
    }
}

/// Finds for each slot of a block who reads it last. `given` are slots that hold something from the start, `kept` those
/// that must hold it at the end.
fn settle(steps: &mut [Step], given: &[Slot], kept: &HashSet<Slot>) {
    for step in steps.iter_mut() {
        if let Action::Loop(inner) = &mut step.action {
            settle_loop(inner);
        }
    }
    let mut own: HashSet<Slot> = given.iter().copied().collect();
    own.extend(steps.iter().flat_map(Step::writes));
    let mut last: HashMap<Slot, usize> = HashMap::new();
    for (index, step) in steps.iter().enumerate() {
        for slot in step.reads().into_iter().filter(|slot| own.contains(slot)) {
            last.insert(slot, index);
        }
        // What no one reads goes at once.
        for slot in step.writes() {
            last.entry(slot).or_insert(index);
        }
    }
    let mut ends: Vec<(Slot, usize)> = last.into_iter().filter(|(slot, _)| !kept.contains(slot)).collect();
    ends.sort_unstable();
    for (slot, index) in ends {
        let step = &mut steps[index];
        let reader = match &step.action {
            Action::Loop(_) => None,
            _ => step.inputs.iter_mut().rev().find(|input| input.slot() == Some(slot)),
        };
        match reader {
            Some(Source::Slot { take, .. }) => *take = true,
            _ => step.frees.push(slot),
        }
    }
}

/// As [`settle`], for a loop: what was brought in and what comes round must last.
fn settle_loop(inner: &mut Loop) {
    let entered: Vec<Slot> = inner.enters.iter().flat_map(Step::writes).collect();
    let is = |step: &Step, ops: [&str; 2]| ops.contains(&&*step.op);
    let of =
        |ops: [&str; 2]| inner.steps.iter().filter(|step| is(step, ops)).flat_map(Step::writes).collect::<Vec<_>>();
    let (round, exits) = (of(["NextIteration", "RefNextIteration"]), of(["Exit", "RefExit"]));
    let kept: HashSet<Slot> = round.iter().chain(&exits).chain([&inner.condition]).copied().collect();
    settle(&mut inner.steps, &[], &kept);
    let mut own: HashSet<Slot> = entered.into_iter().chain(inner.steps.iter().flat_map(Step::writes)).collect();
    own.insert(inner.condition);
    let all_reads = inner.enters.iter().chain(&inner.steps).flat_map(Step::reads);
    let mut reads: Vec<Slot> = all_reads.filter(|slot| !own.contains(slot)).collect();
    reads.sort_unstable();
    reads.dedup();
    let exits_set: HashSet<Slot> = exits.iter().copied().collect();
    let mut own: Vec<Slot> = own.into_iter().filter(|slot| !exits_set.contains(slot)).collect();
    own.sort_unstable();
    (inner.reads, inner.own, inner.exits) = (reads, own, exits);
}
