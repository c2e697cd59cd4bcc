//! Wire bytes to text, driven by descriptors. The message stays where it is: only positions of its fields are held.

use std::io::{self, Write};
use std::ops::Range;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::{MAX_DEPTH, MapKey, TextError, UNKNOWN_FIELD, zigzag_decode};
use crate::wire::{self, Field, Fields, WireError, WireType};

/// Text is handed on in pieces of about this many bytes.
const BUFFER_SIZE: usize = 64 * 1024;

/// How many bytes of a string are escaped between two looks at the buffer.
const STRING_STEP: usize = 8 * 1024;

pub(super) fn message(binary: &[u8], descriptor: &MessageDescriptor, out: &mut impl Write) -> Result<(), TextError> {
    let mut printer = Printer { binary, out, buffer: Vec::with_capacity(2 * BUFFER_SIZE), depth: 0 };
    printer.message(descriptor, std::slice::from_ref(&(0..binary.len())))?;
    printer.hand_on()?;
    Ok(())
}

struct Printer<'a, W> {
    binary: &'a [u8],
    out: &'a mut W,
    buffer: Vec<u8>,
    depth: usize,
}

/// A value that is no message, decoded.
enum Scalar<'a> {
    Integer(i128),
    Bool(bool),
    Float(f32),
    Double(f64),
    Enum(i32),
    Bytes(&'a [u8]),
}

impl Scalar<'_> {
    fn is_default(&self) -> bool {
        match self {
            Self::Integer(value) => *value == 0,
            Self::Bool(value) => !value,
            Self::Float(value) => value.to_bits() == 0,
            Self::Double(value) => value.to_bits() == 0,
            Self::Enum(value) => *value == 0,
            Self::Bytes(value) => value.is_empty(),
        }
    }
}

impl<'a, W: Write> Printer<'a, W> {
    /// Prints the fields of a message. A message that its parent holds more than once is the merge of its parts.
    fn message(&mut self, descriptor: &MessageDescriptor, parts: &[Range<usize>]) -> Result<(), TextError> {
        let mut known: Vec<(FieldDescriptor, Field)> = Vec::new();
        let mut unknown: Vec<Field> = Vec::new();
        for part in parts {
            for field in Fields::new(self.bytes(part.clone())) {
                let field = absolute(field, part.start)?;
                match descriptor.get_field(field.number) {
                    Some(described) if fits(&described, field.wire_type) => known.push((described, field)),
                    _ => unknown.push(field),
                }
            }
        }
        drop_overridden(descriptor, &mut known);
        known.sort_by_key(|(_, field)| field.number);
        for group in known.chunk_by(|a, b| a.1.number == b.1.number) {
            self.field(group)?;
        }
        for field in unknown {
            self.unknown_field(field)?;
        }
        Ok(())
    }

    /// Prints all occurrences of one field.
    fn field(&mut self, occurrences: &[(FieldDescriptor, Field)]) -> Result<(), TextError> {
        let Some((field, last)) = occurrences.last() else { return Ok(()) };
        let kind = field.kind();
        let spans = occurrences.iter().map(|(_, occurrence)| occurrence.value());
        if field.is_map() {
            return self.map(field, &kind, spans);
        }
        match kind.as_message() {
            Some(message) if field.is_list() => {
                spans.into_iter().try_for_each(|span| self.submessage(field, message, &[span]))
            }
            Some(message) => self.submessage(field, message, &spans.collect::<Vec<_>>()),
            None if field.is_list() => {
                for (_, occurrence) in occurrences {
                    self.repeated_scalar(field, &kind, occurrence)?;
                }
                Ok(())
            }
            None => {
                let value = scalar(&kind, self.bytes(last.value()));
                if field.supports_presence() || !value.is_default() {
                    self.scalar(field, &kind, &value)
                } else {
                    Ok(())
                }
            }
        }
    }

    fn map(
        &mut self,
        field: &FieldDescriptor,
        kind: &Kind,
        spans: impl Iterator<Item = Range<usize>>,
    ) -> Result<(), TextError> {
        let Some(entry) = kind.as_message() else { return Ok(()) };
        let key_kind = entry.map_entry_key_field().kind();
        let mut entries: Vec<(MapKey, Range<usize>)> =
            spans.map(|span| (MapKey::of(self.bytes(span.clone()), &key_kind), span)).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for same_key in entries.chunk_by(|a, b| a.0 == b.0) {
            if let Some((_, span)) = same_key.last() {
                self.submessage(field, entry, std::slice::from_ref(span))?;
            }
        }
        Ok(())
    }

    fn submessage(
        &mut self,
        field: &FieldDescriptor,
        message: &MessageDescriptor,
        parts: &[Range<usize>],
    ) -> Result<(), TextError> {
        if self.depth == MAX_DEPTH {
            let offset = parts.first().map_or(0, |part| part.start);
            return Err(WireError { what: "messages nest deeper than protobuf allows", offset }.into());
        }
        self.indent();
        self.buffer.extend_from_slice(field.name().as_bytes());
        self.buffer.extend_from_slice(b" {\n");
        self.depth += 1;
        self.message(message, parts)?;
        self.depth -= 1;
        self.indent();
        self.buffer.extend_from_slice(b"}\n");
        self.hand_on_when_full()?;
        Ok(())
    }

    fn repeated_scalar(&mut self, field: &FieldDescriptor, kind: &Kind, occurrence: &Field) -> Result<(), TextError> {
        let value = occurrence.value();
        if matches!(kind, Kind::String | Kind::Bytes) || occurrence.wire_type != WireType::Length {
            return self.scalar(field, kind, &scalar(kind, self.bytes(value)));
        }
        let mut packed = self.bytes(value.clone());
        while !packed.is_empty() {
            let length = match wire_type(kind) {
                WireType::Fixed32 => Some(4),
                WireType::Fixed64 => Some(8),
                _ => wire::varint(packed).map(|(_, length)| length),
            };
            let Some((one, rest)) = length.and_then(|length| packed.split_at_checked(length)) else {
                let offset = value.end - packed.len();
                return Err(WireError { what: "a packed list ends inside a value", offset }.into());
            };
            self.scalar(field, kind, &scalar(kind, one))?;
            packed = rest;
        }
        Ok(())
    }

    fn scalar(&mut self, field: &FieldDescriptor, kind: &Kind, value: &Scalar) -> Result<(), TextError> {
        self.indent();
        self.buffer.extend_from_slice(field.name().as_bytes());
        self.buffer.extend_from_slice(b": ");
        match value {
            Scalar::Integer(value) => write!(self.buffer, "{value}")?,
            Scalar::Bool(value) => write!(self.buffer, "{value}")?,
            Scalar::Float(value) => self.buffer.extend_from_slice(number_text(&float_digits(*value)).as_bytes()),
            Scalar::Double(value) => self.buffer.extend_from_slice(number_text(&format!("{value:e}")).as_bytes()),
            Scalar::Enum(number) => match kind.as_enum().and_then(|kind| kind.get_value(*number)) {
                Some(value) => self.buffer.extend_from_slice(value.name().as_bytes()),
                None => write!(self.buffer, "{number}")?,
            },
            Scalar::Bytes(value) => self.string(value)?,
        }
        self.buffer.push(b'\n');
        self.hand_on_when_full()?;
        Ok(())
    }

    fn string(&mut self, value: &[u8]) -> io::Result<()> {
        self.buffer.push(b'"');
        for step in value.chunks(STRING_STEP) {
            for &byte in step {
                match byte {
                    b'\n' => self.buffer.extend_from_slice(b"\\n"),
                    b'\r' => self.buffer.extend_from_slice(b"\\r"),
                    b'\t' => self.buffer.extend_from_slice(b"\\t"),
                    b'"' | b'\'' | b'\\' => self.buffer.extend_from_slice(&[b'\\', byte]),
                    0x20..=0x7e => self.buffer.push(byte),
                    _ => {
                        let octal = [b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)];
                        self.buffer.extend_from_slice(&octal);
                    }
                }
            }
            self.hand_on_when_full()?;
        }
        self.buffer.push(b'"');
        Ok(())
    }

    fn unknown_field(&mut self, field: Field) -> Result<(), TextError> {
        let value = self.bytes(field.value());
        self.indent();
        write!(self.buffer, "{UNKNOWN_FIELD}{}: ", field.number)?;
        match field.wire_type {
            WireType::Varint => write!(self.buffer, "{}", varint(value))?,
            WireType::Fixed32 => write!(self.buffer, "0x{:08x}", u32::from_le_bytes(array(value)))?,
            WireType::Fixed64 => write!(self.buffer, "0x{:016x}", u64::from_le_bytes(array(value)))?,
            WireType::Length => self.string(value)?,
            WireType::Group => {
                self.buffer.extend_from_slice(b"group ");
                self.string(value)?;
            }
        }
        self.buffer.push(b'\n');
        self.hand_on_when_full()?;
        Ok(())
    }

    fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        self.binary.get(range).unwrap_or_default()
    }

    fn indent(&mut self) {
        self.buffer.resize(self.buffer.len() + 2 * self.depth, b' ');
    }

    fn hand_on_when_full(&mut self) -> io::Result<()> {
        if self.buffer.len() < BUFFER_SIZE { Ok(()) } else { self.hand_on() }
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

fn absolute(field: Result<Field, WireError>, base: usize) -> Result<Field, WireError> {
    let field = field.map_err(|error| error.shifted(base))?;
    Ok(Field { start: field.start + base, value_start: field.value_start + base, end: field.end + base, ..field })
}

/// Keeps of each oneof what was set last, as protobuf does when it reads.
fn drop_overridden(descriptor: &MessageDescriptor, known: &mut Vec<(FieldDescriptor, Field)>) {
    for oneof in descriptor.oneofs() {
        let is_member = |field: &Field| oneof.fields().any(|member| member.number() == field.number);
        let Some(last) = known.iter().map(|(_, field)| field).rfind(|field| is_member(field)).map(|field| field.number)
        else {
            continue;
        };
        let Some(overridden) = known.iter().rposition(|(_, field)| field.number != last && is_member(field)) else {
            continue;
        };
        let mut index = 0;
        known.retain(|(_, field)| {
            let keep = index > overridden || !is_member(field);
            index += 1;
            keep
        });
    }
}

fn wire_type(kind: &Kind) -> WireType {
    match kind {
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::Fixed32,
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::Fixed64,
        Kind::String | Kind::Bytes | Kind::Message(_) => WireType::Length,
        _ => WireType::Varint,
    }
}

/// Whether a value of that wire type can be this field's; otherwise protobuf takes it for an unknown field.
fn fits(field: &FieldDescriptor, found: WireType) -> bool {
    let own = wire_type(&field.kind());
    found == own || (found == WireType::Length && field.is_list())
}

fn scalar<'a>(kind: &Kind, value: &'a [u8]) -> Scalar<'a> {
    #[expect(clippy::cast_possible_truncation, reason = "protobuf reads a 32-bit field as the low half of its varint")]
    let int32 = || varint(value) as u32;
    match kind {
        Kind::Double => Scalar::Double(f64::from_le_bytes(array(value))),
        Kind::Float => Scalar::Float(f32::from_le_bytes(array(value))),
        Kind::Int32 => Scalar::Integer(i128::from(int32().cast_signed())),
        Kind::Int64 => Scalar::Integer(i128::from(varint(value).cast_signed())),
        Kind::Uint32 => Scalar::Integer(i128::from(int32())),
        Kind::Uint64 => Scalar::Integer(i128::from(varint(value))),
        Kind::Sint32 => Scalar::Integer(i128::from(zigzag_decode(u64::from(int32())))),
        Kind::Sint64 => Scalar::Integer(i128::from(zigzag_decode(varint(value)))),
        Kind::Fixed32 => Scalar::Integer(i128::from(u32::from_le_bytes(array(value)))),
        Kind::Fixed64 => Scalar::Integer(i128::from(u64::from_le_bytes(array(value)))),
        Kind::Sfixed32 => Scalar::Integer(i128::from(i32::from_le_bytes(array(value)))),
        Kind::Sfixed64 => Scalar::Integer(i128::from(i64::from_le_bytes(array(value)))),
        Kind::Bool => Scalar::Bool(varint(value) != 0),
        Kind::Enum(_) => Scalar::Enum(int32().cast_signed()),
        Kind::String | Kind::Bytes | Kind::Message(_) => Scalar::Bytes(value),
    }
}

fn varint(value: &[u8]) -> u64 {
    wire::varint(value).map_or(0, |(value, _)| value)
}

/// The bytes of a fixed-width value, whose length its wire type has settled.
fn array<const N: usize>(value: &[u8]) -> [u8; N] {
    value.try_into().unwrap_or([0; N])
}

/// The digits protobuf prints of a float, in the form `1.25e-3`: the fewest that read back as the same float, but not
/// fewer than six (which shows in subnormals only).
fn float_digits(value: f32) -> String {
    let shortest = format!("{value:e}");
    let digits = shortest.bytes().take_while(|&byte| byte != b'e').filter(u8::is_ascii_digit).count();
    let rounded = format!("{:.*e}", digits.max(6) - 1, f64::from(value));
    if rounded.parse() != Ok(value) {
        return shortest;
    }
    match rounded.split_once('e') {
        Some((mantissa, exponent)) => format!("{}e{exponent}", mantissa.trim_end_matches('0').trim_end_matches('.')),
        None => rounded,
    }
}

/// A number as Python's `repr` spells it, from its digits in the form `1.25e-3`.
fn number_text(digits: &str) -> String {
    let (sign, unsigned) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    let Some((mantissa, exponent)) = unsigned.split_once('e') else {
        return if unsigned == "NaN" { "nan".to_owned() } else { digits.to_owned() };
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.unsigned_abs());
    }
    let digits = mantissa.replacen('.', "", 1);
    let places = exponent.unsigned_abs() as usize;
    if exponent < 0 {
        return format!("{sign}{}{digits}", "0.0000".get(..=places).unwrap_or_default());
    }
    match digits.split_at_checked(places + 1) {
        Some((whole, fraction)) if !fraction.is_empty() => format!("{sign}{whole}.{fraction}"),
        _ => format!("{sign}{digits:0<width$}.0", width = places + 1),
    }
}
