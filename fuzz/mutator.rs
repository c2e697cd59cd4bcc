//! Changes to a message that leave it one: fields doubled, taken out, exchanged, with other values. What holds them keeps
//! the right length, so that a reader gets further than to the first field that is wrong.
//!
//! Fuzz targets that read messages use it beside libFuzzer's own changes, and the smoke tests without.

use arbitrary::Unstructured;
use tfquant::internals::{Fields, put_bytes, put_uint};

/// Messages that are deeper inside of one another stay bytes.
const MOST_LEVELS: usize = 10;

#[derive(Clone)]
struct Field {
    number: u32,
    value: Value,
}

#[derive(Clone)]
enum Value {
    /// A number, with its tag.
    Number(Vec<u8>),
    Bytes(Vec<u8>),
    /// Bytes that can be read as a message.
    Message(Vec<Field>),
}

/// The message with a change or a few that the choices say; as it is, if it is none.
pub fn mutate(message: &[u8], choices: &mut Unstructured) -> Vec<u8> {
    let Some(mut fields) = read(message, 0) else { return message.to_vec() };
    for _ in 0..choices.int_in_range(1..=4).unwrap_or(1) {
        let other = some_field(&fields, choices).map(|field| field.value.clone());
        change(&mut fields, other, choices);
    }
    let mut out = Vec::with_capacity(message.len());
    write(&fields, &mut out);
    out
}

fn read(message: &[u8], level: usize) -> Option<Vec<Field>> {
    let field = |field: tfquant::internals::Field| {
        let value = if field.is_message(field.number) {
            let bytes = &message[field.value()];
            let inner = if level < MOST_LEVELS && !bytes.is_empty() { read(bytes, level + 1) } else { None };
            inner.map_or_else(|| Value::Bytes(bytes.to_vec()), Value::Message)
        } else {
            Value::Number(message[field.span()].to_vec())
        };
        Field { number: field.number, value }
    };
    Fields::new(message).map(|read| read.ok().map(field)).collect()
}

fn write(fields: &[Field], out: &mut Vec<u8>) {
    for field in fields {
        match &field.value {
            Value::Number(bytes) => out.extend_from_slice(bytes),
            Value::Bytes(bytes) => put_bytes(out, field.number, bytes),
            Value::Message(fields) => {
                let mut inner = Vec::new();
                write(fields, &mut inner);
                put_bytes(out, field.number, &inner);
            }
        }
    }
}

/// One of so many.
fn choice(choices: &mut Unstructured, count: usize) -> usize {
    choices.int_in_range(0..=count.max(1) - 1).unwrap_or(0)
}

/// A field at any depth.
fn some_field<'f>(fields: &'f [Field], choices: &mut Unstructured) -> Option<&'f Field> {
    let field = fields.get(choice(choices, fields.len()))?;
    match &field.value {
        Value::Message(inner) if choice(choices, 5) > 0 => some_field(inner, choices),
        _ => Some(field),
    }
}

/// Changes one field at any depth. `other` is the value of another one.
fn change(fields: &mut Vec<Field>, other: Option<Value>, choices: &mut Unstructured) {
    if fields.is_empty() {
        return;
    }
    let at = choice(choices, fields.len());
    if let Value::Message(inner) = &mut fields[at].value
        && choice(choices, 5) > 0
    {
        return change(inner, other, choices);
    }
    match choice(choices, 6) {
        0 => {
            fields.remove(at);
        }
        1 => {
            let again = fields[at].clone();
            fields.insert(choice(choices, fields.len() + 1), again);
        }
        2 => {
            let with = choice(choices, fields.len());
            fields.swap(at, with);
        }
        3 => {
            // What a node is called becomes what another reads, a type becomes another.
            if let Some(other @ (Value::Bytes(_) | Value::Message(_))) = other {
                fields[at].value = other;
            }
        }
        _ => {
            let number = fields[at].number;
            match &mut fields[at].value {
                Value::Number(bytes) => *bytes = some_number(number, choices),
                Value::Bytes(bytes) => change_bytes(bytes, choices),
                Value::Message(inner) => inner.reverse(),
            }
        }
    }
}

/// Numbers on the edges of what fits, and small ones, which are types, sizes and axes.
fn some_number(number: u32, choices: &mut Unstructured) -> Vec<u8> {
    let edges = [0, 1, 2, u64::MAX, 1 << 31, (1 << 31) - 1, 1 << 62, 1 << 40, 0xffff_ffff, 127, 128, u64::MAX << 31];
    let value = match choice(choices, 2) {
        0 => edges[choice(choices, edges.len())],
        _ => choice(choices, 30) as u64,
    };
    let mut field = Vec::new();
    put_uint(&mut field, number, value);
    field
}

fn change_bytes(bytes: &mut Vec<u8>, choices: &mut Unstructured) {
    match choice(choices, 7) {
        0 => bytes.clear(),
        1 => bytes.insert(0, b'^'),
        2 => bytes.extend_from_slice(b":1"),
        3 => bytes.truncate(choice(choices, bytes.len() + 1)),
        4 => bytes.extend_from_slice(b"_1"),
        5 => bytes.extend_from_within(..),
        _ => {
            let at = choice(choices, bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << choice(choices, 8);
            }
        }
    }
}
