//! Protobuf wire format: a message as a sequence of (field, span) pairs.
//!
//! The readers of this crate never decode what they can skip: they walk the fields of a message, keep the byte ranges,
//! and copy those ranges back when they write. This module is the one place that knows tags, varints and lengths;
//! [`crate::graph`] and [`crate::container`] read and write through it.

use std::ops::Range;

/// How a field's value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireType {
    /// A variable-length integer.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// A length, then that many bytes: strings, bytes, messages, packed lists.
    Length,
    /// Four bytes.
    Fixed32,
    /// A group (only in files older than TensorFlow): kept, never read.
    Group,
}

/// One field of a message, by position. Offsets count from the start of the slice that was given to [`Fields::new`].
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// The field's number in its message.
    pub number: u32,
    /// How the value is stored.
    pub wire_type: WireType,
    /// Where the tag starts.
    pub start: usize,
    /// Where the value's own bytes start: after the tag and, for [`WireType::Length`], after the length.
    pub value_start: usize,
    /// Where the field ends.
    pub end: usize,
}

impl Field {
    /// The range of the value's own bytes.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Range<usize> {
        self.value_start..self.end
    }

    /// The whole field: tag, length and value.
    #[inline]
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether this is the length-delimited field of that number.
    #[inline]
    #[must_use]
    pub fn is_message(&self, number: u32) -> bool {
        self.number == number && self.wire_type == WireType::Length
    }
}

/// Bytes that are not a protobuf message, and where that shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct WireError {
    /// What is wrong there.
    pub what: &'static str,
    /// Offset from the start of the slice.
    pub offset: usize,
}

impl WireError {
    /// The same error, seen from a message that starts `base` bytes earlier.
    #[must_use]
    pub fn shifted(self, base: usize) -> Self {
        Self { offset: self.offset + base, ..self }
    }
}

/// Walks the fields of one message without descending into them.
pub struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// Groups deeper than this are refused, as protobuf's own parsers do.
const MAX_GROUP_DEPTH: usize = 100;

impl<'a> Fields<'a> {
    /// A walk over `bytes`, which hold one message.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    #[inline]
    fn read(&mut self) -> Result<Field, WireError> {
        let start = self.position;
        let (number, kind) = self.tag()?;
        let (wire_type, value_start) = match kind {
            0 => {
                let value_start = self.position;
                self.varint()?;
                (WireType::Varint, value_start)
            }
            1 => (WireType::Fixed64, self.skip(8)?),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                (WireType::Length, self.skip(length)?)
            }
            3 => {
                let value_start = self.position;
                self.skip_group(number, start)?;
                (WireType::Group, value_start)
            }
            5 => (WireType::Fixed32, self.skip(4)?),
            _ => return Err(WireError { what: "no protobuf field starts here", offset: start }),
        };
        Ok(Field { number, wire_type, start, value_start, end: self.position })
    }

    #[inline]
    fn tag(&mut self) -> Result<(u32, u8), WireError> {
        let start = self.position;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).unwrap_or(0);
        if number == 0 || number > 0x1fff_ffff {
            return Err(WireError { what: "no protobuf field has this number", offset: start });
        }
        #[allow(clippy::cast_possible_truncation)] // three bits
        Ok((number, (tag & 7) as u8))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        // Most tags and lengths are one byte.
        if let Some(&byte) = self.bytes.get(self.position)
            && byte < 0x80
        {
            self.position += 1;
            return Ok(byte.into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let start = self.position;
        let rest = self.bytes.get(start..).unwrap_or_default();
        match varint(rest) {
            Some((value, length)) => {
                self.position += length;
                Ok(value)
            }
            None if rest.len() < 10 => Err(WireError { what: "the data ends inside a number", offset: start }),
            None => Err(WireError { what: "a number is longer than 64 bits", offset: start }),
        }
    }

    #[inline]
    fn skip(&mut self, length: usize) -> Result<usize, WireError> {
        let start = self.position;
        match start.checked_add(length) {
            Some(end) if end <= self.bytes.len() => {
                self.position = end;
                Ok(start)
            }
            _ => Err(WireError { what: "a field reaches past the end of its message", offset: start }),
        }
    }

    fn skip_group(&mut self, number: u32, start: usize) -> Result<(), WireError> {
        let mut open = vec![number];
        while let Some(&innermost) = open.last() {
            let (number, kind) = self.tag()?;
            match kind {
                0 => drop(self.varint()?),
                1 => drop(self.skip(8)?),
                2 => {
                    let length = self.varint()?;
                    self.skip(usize::try_from(length).unwrap_or(usize::MAX))?;
                }
                3 if open.len() < MAX_GROUP_DEPTH => open.push(number),
                4 if number == innermost => drop(open.pop()),
                5 => drop(self.skip(4)?),
                _ => return Err(WireError { what: "a group is not closed", offset: start }),
            }
        }
        Ok(())
    }
}

impl Iterator for Fields<'_> {
    type Item = Result<Field, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.bytes.len() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.position = self.bytes.len();
        }
        Some(field)
    }
}

/// Decodes a varint at the start of `bytes`: its value and its length. `None` when it does not end within 10 bytes.
#[must_use]
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return (index < 9 || byte <= 1).then_some((value, index + 1));
        }
    }
    None
}

/// The last varint value of a field in a message, as protobuf reads a singular field; `None` when it is not there.
#[must_use]
pub fn last_varint(message: &[u8], number: u32) -> Option<u64> {
    let mut last = None;
    for field in Fields::new(message).map_while(Result::ok) {
        if field.number == number && field.wire_type == WireType::Varint {
            last = varint(&message[field.value()]).map(|(value, _)| value);
        }
    }
    last
}

/// The length-delimited values of a field in a message: messages, texts or bytes.
pub(crate) fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    let fields = Fields::new(message).map_while(Result::ok).filter(move |field| field.is_message(number));
    fields.map(|field| &message[field.value()])
}

/// The last length-delimited value of a field in a message; `None` when it is not there.
#[must_use]
pub(crate) fn last_bytes(message: &[u8], number: u32) -> Option<Range<usize>> {
    Fields::new(message)
        .map_while(Result::ok)
        .filter(|field| field.is_message(number))
        .map(|field| field.value())
        .last()
}

/// How many bytes `value` takes as a varint.
#[must_use]
pub(crate) fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// How many bytes a length-delimited field takes whose number is below 16 and whose value has `length` bytes.
#[must_use]
pub(crate) fn field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// Appends a varint.
#[allow(clippy::cast_possible_truncation)] // seven bits at a time
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the tag and length of a length-delimited field; the value's `length` bytes are to follow.
pub fn put_header(out: &mut Vec<u8>, number: u32, length: usize) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, length as u64);
}

/// Appends a length-delimited field.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_header(out, number, value.len());
    out.extend_from_slice(value);
}

/// Appends a varint field.
pub fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_every_wire_type_and_keeps_the_spans() {
        let message = [
            0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x2b, 0x08, 1,
            0x2c,
        ];
        let fields: Vec<Field> = Fields::new(&message).map(Result::unwrap).collect();
        let numbers: Vec<(u32, WireType)> = fields.iter().map(|field| (field.number, field.wire_type)).collect();
        assert_eq!(
            numbers,
            [
                (1, WireType::Varint),
                (2, WireType::Length),
                (3, WireType::Fixed32),
                (4, WireType::Fixed64),
                (5, WireType::Group)
            ]
        );
        assert_eq!(&message[fields[1].value()], b"hi");
        assert_eq!(fields.last().unwrap().end, message.len());
        assert_eq!(last_varint(&message, 1), Some(150));
    }

    #[test]
    fn says_where_the_bytes_stop_making_sense() {
        let errors = |bytes: &[u8]| Fields::new(bytes).find_map(Result::err);
        assert_eq!(errors(&[0x12, 0x05, b'h']).unwrap().offset, 2);
        assert_eq!(errors(&[0x08, 0x80]).unwrap().what, "the data ends inside a number");
        assert_eq!(errors(&[0x0f]).unwrap().offset, 0);
        assert_eq!(errors(&[0x08, 1, 0x00]).unwrap().offset, 2);
        assert!(errors(&[0x0b; 4000]).is_some(), "endless groups end");
        assert_eq!(errors(&[]), None);
    }

    #[test]
    fn varints_round_trip() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(bytes.len(), varint_len(value));
            assert_eq!(varint(&bytes), Some((value, bytes.len())));
        }
        assert_eq!(varint(&[0xff; 10]), None, "more than 64 bits");
    }
}
