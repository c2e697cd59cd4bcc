//! Fake quantizers as stamps: all of one kind are the same nodes, but for the scope they are below and the tensor they read.
//!
//! The first of a kind is made in a graph of its own, by the same builders, with blanks for both names; what came of it
//! is a template. It is used where the builders would come to the same: nothing is in force that enters new nodes, and no
//! name below the scope is taken.

use std::ops::Range;

use super::fake_quant::{FakeQuant, Quantized, RangeUpdate};
use super::{Builder, Dialect, Variable};
use crate::collections::CollectionTemplate;
use crate::error::Result;
use crate::graph::pattern::Blanks;
use crate::graph::stamp::{Template, is_stampable};
use crate::graph::{Graph, NewNode, NodeId, TensorRef};

/// The templates there are, and what is known of names.
#[derive(Debug, Default)]
pub(super) struct Stamping {
    templates: Vec<Kept>,
    /// The last parts of scopes, and whether the graph had a name with one as a scope.
    taken: Vec<(String, bool)>,
    /// Where the graph keeps the names it had at first.
    names: Range<usize>,
    is_stopped: bool,
}

#[derive(Debug)]
struct Kept {
    kind: Kind,
    /// None, if nodes of this kind make no template.
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    template: usize,
    quantized: Quantized,
    variables: Vec<Variable>,
    collections: CollectionTemplate,
}

/// All that a fake quantizer's nodes depend on, but for the two names.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::struct_excessive_bools)] // those of a fake quantizer
struct Kind {
    rank: Option<usize>,
    initial_range: [u32; 2],
    update: RangeUpdate,
    is_training: bool,
    bits: u8,
    narrow_range: bool,
    symmetric: bool,
    vars_collection: String,
    resource_variables: bool,
    order: Order,
}

/// Where the scope comes among the names of a range's ends: colocation lists names in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    BeforeMax,
    BeforeMin,
    Behind,
}

/// More kinds than that are not told apart: a graph that has so many gains nothing by it.
const MAX_KINDS: usize = 64;

impl Stamping {
    /// Before anything is inserted into the graph.
    pub(super) fn new(graph: &Graph) -> Self {
        Self { names: 0..graph.names_text().len(), ..Self::default() }
    }
}

impl Order {
    fn of(scope: &str) -> Self {
        let comes_before = |end: &str| scope.bytes().chain(*b"/").lt(end.bytes());
        match (comes_before("max"), comes_before("min")) {
            (true, _) => Self::BeforeMax,
            (_, true) => Self::BeforeMin,
            _ => Self::Behind,
        }
    }

    /// A scope of that order which nobody would think of.
    fn blank(self) -> &'static str {
        match self {
            Self::BeforeMax => "\u{1}scope\u{1}_quant",
            Self::BeforeMin => "mb\u{1}scope\u{1}_quant",
            Self::Behind => "z\u{1}scope\u{1}_quant",
        }
    }
}

const INPUT_BLANK: &str = "\u{1}input\u{1}";

impl Builder<'_> {
    /// Inserts the fake quantizer by a template; none, if it has to be made node by node.
    pub(super) fn stamp(&mut self, quantizer: &FakeQuant<'_>) -> Result<Option<Quantized>> {
        let scope = quantizer.scope;
        if !self.may_stamp(quantizer) || self.variable_scopes.get(scope).is_some_and(|&count| count > 0) {
            return Ok(None);
        }
        let Some(kept) = self.template_of(quantizer)? else { return Ok(None) };
        if !self.names.take_if_free(self.graph, scope) {
            self.stop_stamping_where_case_does_not_count();
            return Ok(None);
        }
        let Some(made) = &mut self.stamping.templates[kept].made else { return Ok(None) };
        let first = self.graph.stamp(made.template, scope, quantizer.input.node)?;
        if self.dialect == Dialect::V1_15 {
            self.variable_scopes.insert(scope.to_owned(), 1);
        }
        self.variables.extend(made.variables.iter().map(|variable| behind(first, variable)));
        self.collections.add_by(&mut made.collections, scope);
        let at = |node| placed(first, node);
        let Quantized { output, node, range, updates } = made.quantized;
        Ok(Some(Quantized {
            output: TensorRef { node: at(output.node), ..output },
            node: at(node),
            range: range.map(at),
            updates: updates.map(|updates| updates.map(at)),
        }))
    }

    /// A scope that differs from another one in case alone makes names that do, which count as the same: from here on,
    /// nodes are made one by one, and the names of those that were stamped are known.
    fn stop_stamping_where_case_does_not_count(&mut self) {
        if !self.dialect.names_ignore_case() {
            return;
        }
        self.stamping.is_stopped = true;
        for node in self.graph.ids().filter(|&node| self.graph.is_stamped(node)) {
            self.names.note_inserted(self.graph, None, node);
        }
    }

    fn may_stamp(&mut self, quantizer: &FakeQuant<'_>) -> bool {
        let nothing_in_force = self.scope.is_empty()
            && self.colocation.is_empty()
            && self.control.is_none()
            && self.device.is_empty()
            && self.pivot.is_none();
        nothing_in_force
            && !self.stamping.is_stopped
            && quantizer.constant.is_none()
            && quantizer.input.port == 0
            && is_stampable(quantizer.scope)
            && !self.loops.contain(quantizer.input.node)
            && !self.is_scope_taken(quantizer.scope)
    }

    /// Whether some name of the graph may have been below a scope that ends as this one.
    fn is_scope_taken(&mut self, scope: &str) -> bool {
        let last = crate::graph::name::leaf(scope);
        if let Some(&(_, taken)) = self.stamping.taken.iter().find(|(known, _)| known == last) {
            return taken;
        }
        let inside = format!("{last}/");
        let names = &self.graph.names_text()[self.stamping.names.clone()];
        let taken = contains(names, &inside, self.dialect.names_ignore_case())
            || self.collections.some_global_variable_may_hold(&inside);
        self.stamping.taken.push((last.to_owned(), taken));
        taken
    }

    fn template_of(&mut self, quantizer: &FakeQuant<'_>) -> Result<Option<usize>> {
        let kinds = self.stamping.templates.iter();
        let known = kinds.enumerate().find(|(_, kept)| kept.kind.is_of(quantizer, self.resource_variables));
        if let Some((place, _)) = known {
            return Ok(Some(place));
        }
        if self.stamping.templates.len() == MAX_KINDS {
            return Ok(None);
        }
        let made = self.make_template(quantizer)?;
        let kind = Kind::of(quantizer, self.resource_variables);
        self.stamping.templates.push(Kept { kind, made });
        Ok(Some(self.stamping.templates.len() - 1))
    }

    fn make_template(&mut self, quantizer: &FakeQuant<'_>) -> Result<Option<Made>> {
        let mut graph = Graph::default();
        let input =
            graph.insert(NewNode { name: INPUT_BLANK, op: "Placeholder", device: "", inputs: &[], attrs: &[] })?;
        let mut collections = self.collections.without_values();
        let mut builder = Builder::new(&mut graph, &mut collections, self.dialect);
        builder.resource_variables = self.resource_variables;
        let blanks = Blanks { scope: Order::of(quantizer.scope).blank(), input: INPUT_BLANK };
        let quantizer = FakeQuant { scope: blanks.scope, input: input.into(), ..*quantizer };
        let made = quantizer.insert_nodes(&mut builder)?;
        let variables = builder.variables;
        let Some(template) = Template::learn(self.graph, &graph, &blanks) else { return Ok(None) };
        let Some(collections) = collections.to_template(&blanks) else { return Ok(None) };
        Ok(Some(Made { template: self.graph.keep_template(template), quantized: made, variables, collections }))
    }
}

impl Kind {
    fn of(quantizer: &FakeQuant<'_>, resource_variables: bool) -> Self {
        let (min, max) = quantizer.initial_range;
        Self {
            rank: quantizer.rank,
            initial_range: [min.to_bits(), max.to_bits()],
            update: quantizer.update,
            is_training: quantizer.is_training,
            bits: quantizer.bits,
            narrow_range: quantizer.narrow_range,
            symmetric: quantizer.symmetric,
            vars_collection: quantizer.vars_collection.to_owned(),
            resource_variables,
            order: Order::of(quantizer.scope),
        }
    }

    fn is_of(&self, quantizer: &FakeQuant<'_>, resource_variables: bool) -> bool {
        let (min, max) = quantizer.initial_range;
        self.rank == quantizer.rank
            && self.initial_range == [min.to_bits(), max.to_bits()]
            && self.update == quantizer.update
            && self.is_training == quantizer.is_training
            && self.bits == quantizer.bits
            && self.narrow_range == quantizer.narrow_range
            && self.symmetric == quantizer.symmetric
            && self.vars_collection == quantizer.vars_collection
            && self.resource_variables == resource_variables
            && self.order == Order::of(quantizer.scope)
    }
}

/// A node of the template's sample, whose first node stands for the one outside, in a stamp that begins with `first`.
fn placed(first: NodeId, node: NodeId) -> NodeId {
    NodeId(first.0 + node.0 - 1)
}

fn behind(first: NodeId, variable: &Variable) -> Variable {
    let at = |tensor: TensorRef| TensorRef { node: placed(first, tensor.node), ..tensor };
    Variable {
        node: placed(first, variable.node),
        initializer: placed(first, variable.initializer),
        initial_value: at(variable.initial_value),
        read: at(variable.read),
        ..*variable
    }
}

/// Whether the text is in `names`. Where case does not count, text past ASCII is thought to hold anything.
fn contains(names: &str, text: &str, ignore_case: bool) -> bool {
    if !ignore_case {
        return names.contains(text);
    }
    if !names.is_ascii() || !text.is_ascii() {
        return true;
    }
    let (names, text) = (names.as_bytes(), text.as_bytes());
    // Of a scope's last part, its end is the rarest.
    names.windows(text.len()).any(|part| part[text.len() - 1] == b'/' && part.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::collections::Collections;
    use crate::graph::samples::graph_of;

    /// Scopes of all orders, one below another, one twice, and two below which names are taken.
    const SCOPES: [&str; 9] = [
        "conv/act_quant",
        "maz_quant",
        "mb_quant",
        "z_quant",
        "conv/act_quant/in_quant",
        "z_quant",
        "taken",
        "T",
        "Maz_quant",
    ];

    fn quantizer<'a>(graph: &Graph, scope: &'a str, is_training: bool) -> FakeQuant<'a> {
        FakeQuant {
            scope,
            input: graph.find("x").unwrap().into(),
            rank: Some(2),
            initial_range: (-6.0, 6.0),
            update: if scope.starts_with('z') {
                RangeUpdate::LastValue
            } else {
                RangeUpdate::MovingAverage { decay: 0.9 }
            },
            is_training,
            bits: 8,
            narrow_range: false,
            symmetric: false,
            vars_collection: "moving_average_variables",
            constant: None,
        }
    }

    /// All nodes as bytes, what was told of each quantizer, and the collections.
    fn made(dialect: Dialect, is_training: bool, by_stamps: bool) -> (Vec<Vec<u8>>, String, String) {
        let mut graph = graph_of("x = Placeholder [2,4]\ntaken/min = Placeholder [1]\ny = Relu(x)");
        let mut collections = Collections::new(BTreeMap::new());
        let mut told = Vec::new();
        let mut builder = Builder::new(&mut graph, &mut collections, dialect);
        for scope in SCOPES {
            let quantizer = quantizer(builder.graph, scope, is_training);
            let result = if by_stamps { quantizer.insert(&mut builder) } else { quantizer.insert_nodes(&mut builder) };
            told.push(format!("{:?}", result.map_err(|error| error.to_string())));
        }
        let collections = collections.definitions().map(|(key, value)| format!("{key}: {value:?}")).collect::<Vec<_>>();
        (graph.ids().map(|node| graph.node_def(node)).collect(), told.join("\n"), collections.join("\n"))
    }

    #[test]
    fn stamps_are_the_nodes_that_builders_make() {
        for dialect in [Dialect::V1_5, Dialect::V1_15] {
            for is_training in [true, false] {
                let (stamped, alone) = (made(dialect, is_training, true), made(dialect, is_training, false));
                assert_eq!(stamped.1, alone.1, "{dialect:?}");
                assert_eq!(stamped.2, alone.2, "{dialect:?}");
                for (stamped, alone) in stamped.0.iter().zip(&alone.0) {
                    assert_eq!(String::from_utf8_lossy(stamped), String::from_utf8_lossy(alone), "{dialect:?}");
                }
            }
        }
    }

    #[test]
    fn a_template_serves_the_scopes_of_its_order() {
        let mut graph = graph_of("x = Placeholder [2,4]");
        let mut collections = Collections::new(BTreeMap::new());
        let mut builder = Builder::new(&mut graph, &mut collections, Dialect::V1_15);
        for scope in ["a_quant", "b_quant", "mb_quant", "z_quant", "zz_quant"] {
            let quantizer = quantizer(builder.graph, scope, true);
            assert!(builder.stamp(&quantizer).unwrap().is_some(), "{scope}");
        }
        // Before "max", between the two, behind "min"; the last has the rule of last values, as the one before.
        assert_eq!(builder.stamping.templates.len(), 3);
    }
}
