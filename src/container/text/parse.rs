//! Text to wire bytes, in one pass: what a descriptor says of a field decides how its value is read.

use std::ops::Range;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::lex::{Cursor, Result, error_at};
use super::{MAX_DEPTH, MapKey, UNKNOWN_FIELD, zigzag_encode};
use crate::proto;
use crate::wire::{self, WireType};

const ANY: &str = "google.protobuf.Any";
const MAX_FIELD_NUMBER: u32 = 0x1fff_ffff;

/// How long the numbers are that stand for fixed-width values: `0x` and two digits a byte.
const FIXED32_SPELLING: usize = 2 + 8;
const FIXED64_SPELLING: usize = 2 + 16;

/// Reads one message that fills the whole text.
pub(super) fn message(text: &str, descriptor: &MessageDescriptor) -> Result<Vec<u8>> {
    let mut parser = Parser { cursor: Cursor::new(text), out: Vec::new(), pieces: Vec::new(), depth: 0 };
    parser.fields(Some(descriptor), None)?;
    Ok(parser.out)
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    out: Vec<u8>,
    /// The pieces of `out` that make up the messages still open, innermost last.
    pieces: Vec<Piece>,
    depth: usize,
}

/// Part of a message in the order of the text, to be put in the order of the field numbers.
struct Piece {
    number: u32,
    form: Form,
    bytes: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Whole fields, tags included.
    Fields,
    /// Values alone, to share one tag and length.
    Packed,
    /// One map entry, tag included.
    MapEntry,
}

/// A value that is no message, as the wire has it.
enum Scalar {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(Vec<u8>),
}

impl Scalar {
    fn wire_type(&self) -> WireType {
        match self {
            Self::Varint(_) => WireType::Varint,
            Self::Fixed32(_) => WireType::Fixed32,
            Self::Fixed64(_) => WireType::Fixed64,
            Self::Bytes(_) => WireType::Length,
        }
    }

    fn is_default(&self) -> bool {
        match self {
            Self::Varint(value) => *value == 0,
            Self::Fixed32(bytes) => bytes == &[0; 4],
            Self::Fixed64(bytes) => bytes == &[0; 8],
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Varint(value) => wire::put_varint(out, *value),
            Self::Fixed32(bytes) => out.extend_from_slice(bytes),
            Self::Fixed64(bytes) => out.extend_from_slice(bytes),
            Self::Bytes(bytes) => {
                wire::put_varint(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
        }
    }
}

fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: WireType) {
    let code = match wire_type {
        WireType::Varint => 0,
        WireType::Fixed64 => 1,
        WireType::Length => 2,
        WireType::Group => 3,
        WireType::Fixed32 => 5,
    };
    wire::put_varint(out, u64::from(number) << 3 | code);
}

impl Parser<'_> {
    /// Reads fields up to `close`, or to the end of the text, and leaves them in canonical order. Without a descriptor
    /// fields have numbers only.
    fn fields(&mut self, descriptor: Option<&MessageDescriptor>, close: Option<u8>) -> Result<()> {
        let (out_start, first_piece) = (self.out.len(), self.pieces.len());
        loop {
            self.cursor.skip_to_field();
            match self.cursor.peek() {
                None if close.is_none() => break,
                Some(byte) if close == Some(byte) => {
                    self.cursor.offset += 1;
                    break;
                }
                Some(b'#') => self.unknown_field_comment(descriptor),
                Some(b'[') => self.any_field(descriptor, first_piece)?,
                Some(b'0'..=b'9') => self.numbered_field(descriptor, first_piece)?,
                Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => self.named_field(descriptor, first_piece)?,
                _ => {
                    let wanted = close
                        .map_or("a field name".to_owned(), |byte| format!("a field name or '{}'", char::from(byte)));
                    return Err(self.cursor.unexpected(&wanted));
                }
            }
            self.cursor.skip_to_field();
            if !self.cursor.eat(b',') {
                self.cursor.eat(b';');
            }
        }
        if let Some(entry) = descriptor.filter(|descriptor| descriptor.is_map_entry()) {
            self.complete_map_entry(entry, first_piece);
        }
        self.order_pieces(descriptor, out_start, first_piece);
        Ok(())
    }

    fn named_field(&mut self, descriptor: Option<&MessageDescriptor>, first_piece: usize) -> Result<()> {
        let start = self.cursor.offset;
        let name = self.cursor.word();
        let descriptor =
            descriptor.ok_or_else(|| error_at(start, "an unknown message has field numbers, not names"))?;
        let field = descriptor.get_field_by_name(name).ok_or_else(|| {
            let message = descriptor.full_name();
            error_at(
                start,
                format!("{message} has no field \"{name}\"; if a newer TensorFlow has one, use the binary form"),
            )
        })?;
        self.field(&field, first_piece, start)
    }

    fn numbered_field(&mut self, descriptor: Option<&MessageDescriptor>, first_piece: usize) -> Result<()> {
        let start = self.cursor.offset;
        let number = field_number(self.cursor.word()).ok_or_else(|| error_at(start, "not a field number"))?;
        if let Some(field) = descriptor.and_then(|descriptor| descriptor.get_field(number)) {
            return self.field(&field, first_piece, start);
        }
        self.cursor.skip_blanks();
        let colon = self.cursor.eat(b':');
        self.cursor.skip_blanks();
        let out_start = self.out.len();
        if matches!(self.cursor.peek(), Some(b'{' | b'<')) {
            put_tag(&mut self.out, number, WireType::Length);
            self.message_value(None)?;
        } else if colon {
            let value = self.untyped_scalar()?;
            put_tag(&mut self.out, number, value.wire_type());
            value.put(&mut self.out);
        } else {
            return Err(self.cursor.unexpected("':' or '{'"));
        }
        self.add_piece(number, Form::Fields, out_start);
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, first_piece: usize, start: usize) -> Result<()> {
        let kind = field.kind();
        self.cursor.skip_blanks();
        if !self.cursor.eat(b':') && kind.as_message().is_none() {
            return Err(self.cursor.unexpected("':'"));
        }
        self.cursor.skip_blanks();
        let repeated = field.is_list() || field.is_map();
        if !repeated {
            self.refuse_second(field, first_piece, start)?;
        }
        if repeated && self.cursor.eat(b'[') {
            self.cursor.skip_blanks();
            if self.cursor.eat(b']') {
                return Ok(());
            }
            loop {
                self.value(field, &kind)?;
                self.cursor.skip_blanks();
                if self.cursor.eat(b']') {
                    return Ok(());
                }
                if !self.cursor.eat(b',') {
                    return Err(self.cursor.unexpected("',' or ']'"));
                }
                self.cursor.skip_blanks();
            }
        }
        self.value(field, &kind)
    }

    fn value(&mut self, field: &FieldDescriptor, kind: &Kind) -> Result<()> {
        let (number, out_start) = (field.number(), self.out.len());
        if let Some(message) = kind.as_message() {
            put_tag(&mut self.out, number, WireType::Length);
            self.message_value(Some(message))?;
            self.add_piece(number, if field.is_map() { Form::MapEntry } else { Form::Fields }, out_start);
            return Ok(());
        }
        let scalar = self.scalar(kind)?;
        if field.is_packed() {
            scalar.put(&mut self.out);
            self.add_piece(number, Form::Packed, out_start);
            return Ok(());
        }
        let in_map_entry = field.parent_message().is_map_entry();
        if field.is_list() || field.supports_presence() || in_map_entry || !scalar.is_default() {
            put_tag(&mut self.out, number, scalar.wire_type());
            scalar.put(&mut self.out);
        }
        self.add_piece(number, Form::Fields, out_start);
        Ok(())
    }

    /// Reads `{ … }` or `< … >` and appends it with its length in front.
    fn message_value(&mut self, descriptor: Option<&MessageDescriptor>) -> Result<()> {
        let start = self.cursor.offset;
        let close = match self.cursor.peek() {
            Some(b'{') => b'}',
            Some(b'<') => b'>',
            _ => return Err(self.cursor.unexpected("'{'")),
        };
        self.cursor.offset += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(error_at(start, format!("messages nest deeper than {MAX_DEPTH} levels")));
        }
        let body_start = self.out.len();
        self.fields(descriptor, Some(close))?;
        self.depth -= 1;
        let length = (self.out.len() - body_start) as u64;
        wire::put_varint(&mut self.out, length);
        self.out[body_start..].rotate_right(wire::varint_len(length));
        Ok(())
    }

    fn scalar(&mut self, kind: &Kind) -> Result<Scalar> {
        let start = self.cursor.offset;
        Ok(match kind {
            #[expect(clippy::cast_possible_truncation, reason = "a float is the nearest to the number written")]
            Kind::Float => Scalar::Fixed32((self.float()? as f32).to_le_bytes()),
            Kind::Double => Scalar::Fixed64(self.float()?.to_le_bytes()),
            Kind::Int32 => Scalar::Varint(i64::from(self.integer::<i32>()?).cast_unsigned()),
            Kind::Int64 => Scalar::Varint(self.integer::<i64>()?.cast_unsigned()),
            Kind::Uint32 => Scalar::Varint(u64::from(self.integer::<u32>()?)),
            Kind::Uint64 => Scalar::Varint(self.integer()?),
            Kind::Sint32 => Scalar::Varint(zigzag_encode(i64::from(self.integer::<i32>()?))),
            Kind::Sint64 => Scalar::Varint(zigzag_encode(self.integer()?)),
            Kind::Fixed32 => Scalar::Fixed32(self.integer::<u32>()?.to_le_bytes()),
            Kind::Fixed64 => Scalar::Fixed64(self.integer::<u64>()?.to_le_bytes()),
            Kind::Sfixed32 => Scalar::Fixed32(self.integer::<i32>()?.to_le_bytes()),
            Kind::Sfixed64 => Scalar::Fixed64(self.integer::<i64>()?.to_le_bytes()),
            Kind::Bool => match self.cursor.word() {
                "true" | "True" | "t" | "1" => Scalar::Varint(1),
                "false" | "False" | "f" | "0" => Scalar::Varint(0),
                _ => return Err(error_at(start, "expected true or false")),
            },
            Kind::Enum(descriptor) => Scalar::Varint(i64::from(self.enum_number(descriptor)?).cast_unsigned()),
            Kind::String => {
                let bytes = self.cursor.string()?;
                if str::from_utf8(&bytes).is_err() {
                    return Err(error_at(start, "this string must be UTF-8"));
                }
                Scalar::Bytes(bytes)
            }
            Kind::Bytes => Scalar::Bytes(self.cursor.string()?),
            Kind::Message(_) => return Err(self.cursor.unexpected("a value")),
        })
    }

    /// The value of a field that is known by number only: its spelling tells the wire type.
    fn untyped_scalar(&mut self) -> Result<Scalar> {
        if matches!(self.cursor.peek(), Some(b'"' | b'\'')) {
            return Ok(Scalar::Bytes(self.cursor.string()?));
        }
        let (start, number) = (self.cursor.offset, self.signed_number()?);
        let out_of_range = || error_at(start, "a number that does not fit in 64 bits");
        if number < 0 {
            return Ok(Scalar::Varint(i64::try_from(number).map_err(|_| out_of_range())?.cast_unsigned()));
        }
        let value = u64::try_from(number).map_err(|_| out_of_range())?;
        let spelling = self.cursor.since(start);
        Ok(match u32::try_from(value) {
            Ok(value) if spelling.starts_with("0x") && spelling.len() == FIXED32_SPELLING => {
                Scalar::Fixed32(value.to_le_bytes())
            }
            _ if spelling.starts_with("0x") && spelling.len() == FIXED64_SPELLING => {
                Scalar::Fixed64(value.to_le_bytes())
            }
            _ => Scalar::Varint(value),
        })
    }

    fn enum_number(&mut self, descriptor: &EnumDescriptor) -> Result<i32> {
        if matches!(self.cursor.peek(), Some(b'-' | b'0'..=b'9')) {
            return self.integer();
        }
        let start = self.cursor.offset;
        let name = self.cursor.word();
        let value = descriptor.get_value_by_name(name);
        value
            .map(|value| value.number())
            .ok_or_else(|| error_at(start, format!("{} has no value \"{name}\"", descriptor.full_name())))
    }

    fn integer<T: TryFrom<i128>>(&mut self) -> Result<T> {
        let start = self.cursor.offset;
        let number = self.signed_number()?;
        T::try_from(number).map_err(|_| error_at(start, format!("{number} is out of range for this field")))
    }

    fn signed_number(&mut self) -> Result<i128> {
        let start = self.cursor.offset;
        let negative = self.minus();
        let word = self.cursor.word();
        let magnitude = if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
            u64::from_str_radix(digits, 16)
        } else if word.len() > 1 && word.starts_with('0') {
            u64::from_str_radix(word, 8)
        } else {
            word.parse()
        };
        let magnitude =
            i128::from(magnitude.map_err(|_| error_at(start, "expected a whole number of at most 64 bits"))?);
        Ok(if negative { -magnitude } else { magnitude })
    }

    fn float(&mut self) -> Result<f64> {
        let start = self.cursor.offset;
        let negative = self.minus();
        let word = self.cursor.word();
        let magnitude = if word.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
            word.trim_end_matches(['f', 'F']).parse().ok()
        } else if word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("infinity") {
            Some(f64::INFINITY)
        } else {
            word.eq_ignore_ascii_case("nan").then_some(f64::NAN)
        };
        let magnitude = magnitude.ok_or_else(|| error_at(start, "expected a number"))?;
        Ok(if negative { -magnitude } else { magnitude })
    }

    fn minus(&mut self) -> bool {
        let negative = self.cursor.eat(b'-');
        if negative {
            self.cursor.skip_blanks();
        }
        negative
    }

    /// Reads `[domain/package.Message] { … }`, the expanded form of an `Any`.
    fn any_field(&mut self, descriptor: Option<&MessageDescriptor>, first_piece: usize) -> Result<()> {
        let start = self.cursor.offset;
        let any = descriptor
            .filter(|descriptor| descriptor.full_name() == ANY)
            .ok_or_else(|| error_at(start, "expected a field name; these messages have no extensions"))?;
        self.cursor.offset += 1;
        let type_url = self.cursor.through(b']').map(|inside| inside.split_whitespace().collect::<String>());
        let type_url = type_url
            .filter(|url| url.contains('/') && url.bytes().all(is_url_byte))
            .ok_or_else(|| error_at(start, "expected a type such as [type.googleapis.com/package.Message]"))?;
        let name = type_url.rsplit('/').next().unwrap_or_default();
        let content = proto::descriptors().get_message_by_name(name).ok_or_else(|| {
            error_at(start, format!("the message {name} is unknown; write type_url and value instead"))
        })?;
        for number in [1, 2] {
            if let Some(field) = any.get_field(number) {
                self.refuse_second(&field, first_piece, start)?;
            }
        }
        let out_start = self.out.len();
        wire::put_bytes(&mut self.out, 1, type_url.as_bytes());
        self.add_piece(1, Form::Fields, out_start);
        self.cursor.skip_blanks();
        self.cursor.eat(b':');
        self.cursor.skip_blanks();
        let out_start = self.out.len();
        put_tag(&mut self.out, 2, WireType::Length);
        let body_start = self.out.len();
        self.message_value(Some(&content))?;
        if self.out[body_start..] == [0] {
            self.out.truncate(out_start);
        }
        self.add_piece(2, Form::Fields, out_start);
        Ok(())
    }

    /// Reads back what the printer made of an unknown field. Any other comment that starts alike is a comment.
    fn unknown_field_comment(&mut self, descriptor: Option<&MessageDescriptor>) {
        let line = self.cursor.line();
        let Some((number, encoded)) = unknown_field(line) else { return };
        if descriptor.is_some_and(|descriptor| descriptor.get_field(number).is_none()) {
            let out_start = self.out.len();
            self.out.extend_from_slice(&encoded);
            self.add_piece(number, Form::Fields, out_start);
        }
    }

    fn refuse_second(&self, field: &FieldDescriptor, first_piece: usize, start: usize) -> Result<()> {
        let pieces = self.pieces.get(first_piece..).unwrap_or_default();
        let is_set = |number: u32| pieces.iter().any(|piece| piece.number == number);
        if is_set(field.number()) {
            return Err(error_at(start, format!("the field \"{}\" is set twice", field.name())));
        }
        if let Some(oneof) = field.containing_oneof()
            && let Some(other) = oneof.fields().find(|other| is_set(other.number()))
        {
            return Err(error_at(start, format!("\"{}\" and \"{}\" exclude each other", other.name(), field.name())));
        }
        Ok(())
    }

    fn add_piece(&mut self, number: u32, form: Form, out_start: usize) {
        let end = self.out.len();
        match self.pieces.last_mut() {
            Some(last)
                if last.number == number
                    && last.form == form
                    && form != Form::MapEntry
                    && last.bytes.end == out_start =>
            {
                last.bytes.end = end;
            }
            _ => self.pieces.push(Piece { number, form, bytes: out_start..end }),
        }
    }

    /// A map entry on the wire holds key and value, defaults included.
    fn complete_map_entry(&mut self, entry: &MessageDescriptor, first_piece: usize) {
        for field in [entry.map_entry_key_field(), entry.map_entry_value_field()] {
            let is_set = self.pieces[first_piece..].iter().any(|piece| piece.number == field.number());
            if !is_set {
                let out_start = self.out.len();
                let value = match field.kind() {
                    Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Scalar::Fixed32([0; 4]),
                    Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Scalar::Fixed64([0; 8]),
                    Kind::String | Kind::Bytes | Kind::Message(_) => Scalar::Bytes(Vec::new()),
                    _ => Scalar::Varint(0),
                };
                put_tag(&mut self.out, field.number(), value.wire_type());
                value.put(&mut self.out);
                self.add_piece(field.number(), Form::Fields, out_start);
            }
        }
    }

    /// Puts the pieces of the message that starts at `out_start` in canonical order, when they are not.
    fn order_pieces(&mut self, descriptor: Option<&MessageDescriptor>, out_start: usize, first_piece: usize) {
        let in_order = self.pieces[first_piece..].windows(2).all(|pair| pair[0].number < pair[1].number);
        if in_order && self.pieces[first_piece..].iter().all(|piece| piece.form != Form::Packed) {
            self.pieces.truncate(first_piece);
            return;
        }
        let body = self.out.split_off(out_start);
        let mut pieces: Vec<(u32, Option<MapKey>, Form, &[u8])> = Vec::with_capacity(self.pieces.len() - first_piece);
        for piece in self.pieces.drain(first_piece..) {
            let bytes = &body[piece.bytes.start - out_start..piece.bytes.end - out_start];
            let key = (piece.form == Form::MapEntry).then(|| map_key(descriptor, piece.number, bytes)).flatten();
            pieces.push((piece.number, key, piece.form, bytes));
        }
        pieces.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));

        for group in pieces.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(number, _, form, _)) = group.first() else { continue };
            if form == Form::Packed {
                wire::put_header(&mut self.out, number, group.iter().map(|(.., bytes)| bytes.len()).sum());
            }
            for (index, (_, key, _, bytes)) in group.iter().enumerate() {
                let set_again = key.is_some() && group.get(index + 1).is_some_and(|next| &next.1 == key);
                if !set_again {
                    self.out.extend_from_slice(bytes);
                }
            }
        }
    }
}

fn map_key<'a>(descriptor: Option<&MessageDescriptor>, number: u32, field: &'a [u8]) -> Option<MapKey<'a>> {
    let entry = wire::last_bytes(field, number).and_then(|range| field.get(range))?;
    let kind = descriptor?.get_field(number)?.kind().as_message()?.map_entry_key_field().kind();
    Some(MapKey::of(entry, &kind))
}

fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/' | b'%')
}

fn field_number(word: &str) -> Option<u32> {
    word.parse().ok().filter(|number| (1..=MAX_FIELD_NUMBER).contains(number))
}

/// Number and wire bytes of the field that a comment keeps.
fn unknown_field(line: &str) -> Option<(u32, Vec<u8>)> {
    let (number, value) = line.strip_prefix(UNKNOWN_FIELD)?.split_once(": ")?;
    let number = field_number(number)?;
    let (is_group, value) = value.strip_prefix("group ").map_or((false, value), |value| (true, value));
    let mut parser = Parser { cursor: Cursor::new(value), out: Vec::new(), pieces: Vec::new(), depth: 0 };
    let value = parser.untyped_scalar().ok()?;
    parser.cursor.skip_blanks();
    if parser.cursor.peek().is_some() {
        return None;
    }
    let mut encoded = Vec::new();
    match value {
        Scalar::Bytes(bytes) if is_group => {
            put_tag(&mut encoded, number, WireType::Group);
            encoded.extend_from_slice(&bytes);
        }
        value => {
            put_tag(&mut encoded, number, value.wire_type());
            value.put(&mut encoded);
        }
    }
    let mut fields = wire::Fields::new(&encoded);
    let whole = fields.next().and_then(std::result::Result::ok).is_some() && fields.next().is_none();
    whole.then_some((number, encoded))
}
