//! The characters of the text format: blanks and comments, words, string literals, positions.

use super::UNKNOWN_FIELD;

/// What is wrong with a text, and at which byte of it.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub offset: usize,
    pub what: String,
}

pub(super) type Result<T> = std::result::Result<T, SyntaxError>;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A place in the text, moving forward.
pub(super) struct Cursor<'a> {
    text: &'a str,
    pub offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let offset = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Self { text, offset }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.offset..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Steps over `byte` when it comes next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.offset += usize::from(found);
        found
    }

    /// Steps over blanks and comments.
    pub(super) fn skip_blanks(&mut self) {
        self.offset += blank_length(self.rest(), false);
    }

    /// Steps over blanks and comments, but not over a comment that keeps an unknown field.
    pub(super) fn skip_to_field(&mut self) {
        self.offset += blank_length(self.rest(), true);
    }

    /// Steps over the rest of the line and returns it.
    pub(super) fn line(&mut self) -> &'a str {
        let rest = self.text.get(self.offset..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        self.offset += line.len();
        line
    }

    /// Steps over everything through `byte` and returns what comes before it.
    pub(super) fn through(&mut self, byte: u8) -> Option<&'a str> {
        let length = self.rest().iter().position(|&other| other == byte)?;
        let before = self.text.get(self.offset..self.offset + length);
        self.offset += length + 1;
        before
    }

    /// What has been stepped over since `start`.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.offset).unwrap_or_default()
    }

    /// Steps over a name or number and returns it; empty when neither comes next.
    pub(super) fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let decimal = matches!(rest, [b'0'..=b'9' | b'.', ..]) && !matches!(rest, [b'0', b'x' | b'X', ..]);
        let mut length = 0;
        while let Some(&byte) = rest.get(length) {
            let after_exponent = decimal && length > 0 && matches!(rest.get(length - 1), Some(b'e' | b'E'));
            if !(is_word(byte) || (after_exponent && matches!(byte, b'+' | b'-'))) {
                break;
            }
            length += 1;
        }
        let word = self.text.get(self.offset..self.offset + length).unwrap_or_default();
        self.offset += length;
        word
    }

    /// Steps over one or more adjacent string literals and returns their bytes together.
    pub(super) fn string(&mut self) -> Result<Vec<u8>> {
        let mut value = Vec::new();
        let mut found = false;
        while let Some(quote @ (b'"' | b'\'')) = self.peek() {
            self.literal(quote, &mut value)?;
            found = true;
            self.skip_to_field();
        }
        if found { Ok(value) } else { Err(self.unexpected("a quoted string")) }
    }

    fn literal(&mut self, quote: u8, value: &mut Vec<u8>) -> Result<()> {
        let start = self.offset;
        self.offset += 1;
        loop {
            let rest = self.rest();
            let plain = rest
                .iter()
                .position(|&byte| byte == quote || byte == b'\\' || byte == b'\n')
                .ok_or_else(|| error_at(start, "a string is not closed"))?;
            value.extend_from_slice(&rest[..plain]);
            self.offset += plain;
            match rest[plain] {
                b'\\' => self.escape(value)?,
                b'\n' => return Err(error_at(start, "a string is not closed on its line")),
                _ => {
                    self.offset += 1;
                    return Ok(());
                }
            }
        }
    }

    fn escape(&mut self, value: &mut Vec<u8>) -> Result<()> {
        let start = self.offset;
        let letter = self.rest().get(1).copied().unwrap_or_default();
        self.offset += 2;
        let byte = match letter {
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'\\' | b'\'' | b'"' | b'?' => letter,
            b'0'..=b'7' => {
                self.offset -= 1;
                self.digits(8, 3, start)?
            }
            b'x' | b'X' => self.digits(16, 2, start)?,
            b'u' | b'U' => {
                let count = if letter == b'u' { 4 } else { 8 };
                let digits = self.rest().get(..count).and_then(|digits| str::from_utf8(digits).ok());
                let character = digits
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                    .and_then(char::from_u32)
                    .ok_or_else(|| error_at(start, "an escape that is no Unicode character"))?;
                self.offset += count;
                value.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(error_at(start, "an escape the text format does not have")),
        };
        value.push(byte);
        Ok(())
    }

    fn digits(&mut self, radix: u32, most: usize, start: usize) -> Result<u8> {
        let digits = self.rest().iter().take(most).map_while(|&byte| char::from(byte).to_digit(radix));
        let (count, value) = digits.fold((0, 0), |(count, value), digit| (count + 1, value * radix + digit));
        self.offset += count;
        let value = if count == 0 { None } else { u8::try_from(value).ok() };
        value.ok_or_else(|| error_at(start, "an escape that is no byte"))
    }

    /// The error for anything but `wanted` here.
    pub(super) fn unexpected(&self, wanted: &str) -> SyntaxError {
        let found = match self.text.get(self.offset..).and_then(|rest| rest.chars().next()) {
            Some(character) => format!("'{}'", character.escape_default()),
            None => "the end of the text".to_owned(),
        };
        error_at(self.offset, format!("expected {wanted}, found {found}"))
    }
}

pub(super) fn error_at(offset: usize, what: impl Into<String>) -> SyntaxError {
    SyntaxError { offset, what: what.into() }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

fn blank_length(bytes: &[u8], stop_at_unknown_field: bool) -> usize {
    let mut length = 0;
    loop {
        let rest = bytes.get(length..).unwrap_or_default();
        match rest.first() {
            Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) => length += 1,
            Some(b'#') if !(stop_at_unknown_field && rest.starts_with(UNKNOWN_FIELD.as_bytes())) => {
                length += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
            }
            _ => return length,
        }
    }
}

/// The name of the first field, when the bytes start as text in this format does.
pub(super) fn first_field_name(bytes: &[u8]) -> Option<&str> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap_or(bytes);
    let bytes = bytes.get(blank_length(bytes, false)..)?;
    let (name, rest) = bytes.split_at(bytes.iter().position(|&byte| !is_word(byte))?);
    let opens_a_value = matches!(rest.get(blank_length(rest, false)), Some(b':' | b'{' | b'<'));
    if opens_a_value { str::from_utf8(name).ok() } else { None }
}

/// Line and column, both from 1, of a byte of the text.
pub(super) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = text.get(..end).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}
