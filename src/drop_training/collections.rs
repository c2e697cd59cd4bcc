//! Collections without the values that speak of dropped nodes, byte for byte otherwise.
//!
//! A value is a name, or a message whose own strings are names: a VariableDef, a QueueRunnerDef, a SaverDef. The contexts
//! of conditionals and loops hold lists of names, nested ones too; they lose single names, and go when the predicate or
//! pivot that makes them is gone.

use hashbrown::HashSet;

use crate::wire::{Fields, messages, put_bytes};

/// Field numbers of CollectionDef and its lists.
const NODE_LIST: u32 = 1;
const BYTES_LIST: u32 = 2;
const LIST_VALUE: u32 = 1;

/// Those of ValuesDef and ControlFlowContextDef.
const VALUE: u32 = 1;
const EXTERNAL: u32 = 2;
const NESTED_COND: u32 = 1;
const NESTED_WHILE: u32 = 2;

/// Contexts nested deeper than this are kept as they are; no program nests so many.
const MAX_DEPTH: usize = 64;

type IsDropped<'a> = &'a dyn Fn(&str) -> bool;

/// The encoded CollectionDef without what is dropped, and how many values it lost.
pub(super) fn without(key: &str, definition: &[u8], is_dropped: IsDropped<'_>) -> (Vec<u8>, usize) {
    let context = Context::of(key);
    let mut lost_values = 0;
    let mut out = Vec::new();
    for part in Fields::new(definition).map_while(Result::ok) {
        if !part.is_message(NODE_LIST) && !part.is_message(BYTES_LIST) {
            out.extend_from_slice(&definition[part.span()]);
            continue;
        }
        let list = &definition[part.value()];
        let mut kept = Vec::new();
        for value in Fields::new(list).map_while(Result::ok) {
            let bytes = &list[value.value()];
            let replaced = match context {
                _ if !value.is_message(LIST_VALUE) => None,
                _ if part.number == NODE_LIST => is_name_dropped(bytes, is_dropped).then_some(None),
                Some(context) => context.without(bytes, is_dropped, 0),
                None => has_dropped_name(bytes, |_| true, is_dropped).then_some(None),
            };
            match replaced {
                None => kept.extend_from_slice(&list[value.span()]),
                Some(message) => {
                    lost_values += 1;
                    if let Some(message) = message {
                        put_bytes(&mut kept, LIST_VALUE, &message);
                    }
                }
            }
        }
        put_bytes(&mut out, part.number, &kept);
    }
    (out, lost_values)
}

/// The encoded VariableDefs of a collection; of a collection of anything else, messages that are none.
pub(super) fn variables<'a>(key: &str, definition: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let is_context = Context::of(key).is_some();
    members(definition).filter(move |_| !is_context)
}

/// The encoded messages of a collection.
fn members(definition: &[u8]) -> impl Iterator<Item = &[u8]> {
    messages(definition, BYTES_LIST).flat_map(|list| messages(list, LIST_VALUE))
}

/// A conditional's branch or a loop, as a context tells of it.
pub(super) struct Region<'a> {
    /// The tensors inside.
    pub inside: Vec<&'a str>,
    /// The names without which there is no context.
    pub vital: Vec<&'a str>,
}

/// The contexts of a collection, those inside of others too; none of a collection of anything else.
pub(super) fn regions<'a>(key: &str, definition: &'a [u8]) -> Vec<Region<'a>> {
    let Some(context) = Context::of(key) else { return Vec::new() };
    let mut regions = Vec::new();
    let mut open: Vec<(Context, &[u8])> = members(definition).map(|message| (context, message)).collect();
    while let Some((context, message)) = open.pop() {
        regions.push(context.region(message));
        for nested in messages(message, context.nested()) {
            open.extend(messages(nested, NESTED_COND).map(|message| (Context::Cond, message)));
            open.extend(messages(nested, NESTED_WHILE).map(|message| (Context::While, message)));
        }
    }
    regions
}

fn texts(message: &[u8], number: u32) -> impl Iterator<Item = &str> {
    messages(message, number).filter_map(|bytes| std::str::from_utf8(bytes).ok())
}

fn is_name_dropped(bytes: &[u8], is_dropped: IsDropped<'_>) -> bool {
    std::str::from_utf8(bytes).is_ok_and(is_dropped)
}

fn has_dropped_name(message: &[u8], is_asked: impl Fn(u32) -> bool, is_dropped: IsDropped<'_>) -> bool {
    let mut fields = Fields::new(message).map_while(Result::ok);
    fields.any(|field| {
        is_asked(field.number) && field.is_message(field.number) && is_name_dropped(&message[field.value()], is_dropped)
    })
}

/// CondContextDef and WhileContextDef, which say the same in different fields.
#[derive(Clone, Copy)]
enum Context {
    Cond,
    While,
}

impl Context {
    fn of(key: &str) -> Option<Self> {
        match key {
            "cond_context" => Some(Self::Cond),
            "while_context" => Some(Self::While),
            _ => None,
        }
    }

    /// The names without which there is no context.
    fn is_vital(self, number: u32) -> bool {
        match self {
            Self::Cond => matches!(number, 2 | 3),
            Self::While => matches!(number, 5..=7),
        }
    }

    fn region(self, message: &[u8]) -> Region<'_> {
        let values = || messages(message, self.values());
        let external: HashSet<&str> =
            values().flat_map(|values| messages(values, EXTERNAL)).flat_map(|entry| texts(entry, 1)).collect();
        let inside = values().flat_map(|values| texts(values, VALUE)).filter(|name| !external.contains(name));
        let vital = (1..=7).filter(|&number| self.is_vital(number)).flat_map(|number| texts(message, number));
        Region { inside: inside.collect(), vital: vital.collect() }
    }

    fn is_list(self, number: u32) -> bool {
        matches!((self, number), (Self::While, 8 | 10))
    }

    fn values(self) -> u32 {
        match self {
            Self::Cond => 5,
            Self::While => 9,
        }
    }

    fn nested(self) -> u32 {
        match self {
            Self::Cond => 6,
            Self::While => 12,
        }
    }

    /// The context without dropped names; nothing where it goes, and `None` where it stays as it is.
    #[allow(clippy::option_option)] // kept, changed or gone
    fn without(self, message: &[u8], is_dropped: IsDropped<'_>, depth: usize) -> Option<Option<Vec<u8>>> {
        if depth > MAX_DEPTH {
            return None;
        }
        if has_dropped_name(message, |number| self.is_vital(number), is_dropped) {
            return Some(None);
        }
        let mut out = Vec::new();
        for part in Fields::new(message).map_while(Result::ok) {
            let value = &message[part.value()];
            if part.is_message(self.values()) {
                put_bytes(&mut out, part.number, &values_without(value, is_dropped));
            } else if part.is_message(self.nested()) {
                if let Some(nested) = nested_without(value, is_dropped, depth) {
                    put_bytes(&mut out, part.number, &nested);
                }
            } else if !self.is_list(part.number) || !is_name_dropped(value, is_dropped) {
                out.extend_from_slice(&message[part.span()]);
            }
        }
        (out != message).then_some(Some(out))
    }
}

/// A ValuesDef: names, and a map of names.
fn values_without(message: &[u8], is_dropped: IsDropped<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for part in Fields::new(message).map_while(Result::ok) {
        let value = &message[part.value()];
        let gone = match part.number {
            VALUE => is_name_dropped(value, is_dropped),
            EXTERNAL => has_dropped_name(value, |_| true, is_dropped),
            _ => false,
        };
        if !gone {
            out.extend_from_slice(&message[part.span()]);
        }
    }
    out
}

/// A ControlFlowContextDef: one of the two.
fn nested_without(message: &[u8], is_dropped: IsDropped<'_>, depth: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for part in Fields::new(message).map_while(Result::ok) {
        let context = match part.number {
            NESTED_COND => Context::Cond,
            NESTED_WHILE => Context::While,
            _ => {
                out.extend_from_slice(&message[part.span()]);
                continue;
            }
        };
        match context.without(&message[part.value()], is_dropped, depth + 1) {
            None => out.extend_from_slice(&message[part.span()]),
            Some(Some(changed)) => put_bytes(&mut out, part.number, &changed),
            Some(None) => return None,
        }
    }
    Some(out)
}
