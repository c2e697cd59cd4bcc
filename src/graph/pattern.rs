//! Bytes that recur with other names in them: the same message, but for the scope its nodes are below and a tensor they
//! read.
//!
//! A [`Pattern`] is learned from a message in which both are spelled by [`Blanks`] that nothing else is spelled like. Once
//! the lengths of the names are known, so are all lengths inside of the message, and a [`Layout`] is left: bytes to copy,
//! with names between them.

use std::sync::Arc;

use super::{Span, length};
use crate::wire::{Fields, put_header, varint_len};

/// A name that differs from one use of a pattern to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blank {
    /// The scope that the nodes are below.
    Scope,
    /// The node outside that they read.
    Input,
}

/// Two texts, one for each [`Blank`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blanks<'a> {
    pub scope: &'a str,
    pub input: &'a str,
}

impl<'a> Blanks<'a> {
    fn text(&self, blank: Blank) -> &'a [u8] {
        match blank {
            Blank::Scope => self.scope.as_bytes(),
            Blank::Input => self.input.as_bytes(),
        }
    }

    /// The first blank in a text: which, and where it begins.
    fn first_in(&self, text: &[u8]) -> Option<(Blank, usize)> {
        let at = |blank| text.windows(self.text(blank).len()).position(|part| part == self.text(blank));
        let places = [Blank::Scope, Blank::Input].map(|blank| Some((blank, at(blank)?)));
        places.into_iter().flatten().min_by_key(|&(_, place)| place)
    }
}

/// How many bytes the texts for the blanks have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Lengths {
    pub scope: usize,
    pub input: usize,
}

/// What bytes hold in which there may be blanks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    Text,
    /// A message, whose fields of these numbers hold that.
    Message(&'static [(u32, Content)]),
}

const STRINGS: Content = Content::Message(&[(2, Content::Text)]);
const ATTR_VALUE: Content = Content::Message(&[(1, STRINGS), (2, Content::Text)]);
const ATTR: Content = Content::Message(&[(1, Content::Text), (2, ATTR_VALUE)]);
/// A NodeDef.
pub(crate) const NODE_DEF: Content = Content::Message(&[(1, Content::Text), (3, Content::Text), (5, ATTR)]);
/// A GraphDef.
pub(crate) const GRAPH_DEF: Content = Content::Message(&[(1, NODE_DEF)]);
const VARIABLE_DEF: Content =
    Content::Message(&[(1, Content::Text), (2, Content::Text), (3, Content::Text), (6, Content::Text)]);
/// A list of encoded VariableDefs.
pub(crate) const VARIABLE_DEFS: Content = Content::Message(&[(1, VARIABLE_DEF)]);
/// A list of names.
pub(crate) const NAMES: Content = Content::Message(&[(1, Content::Text)]);

#[derive(Debug, Clone)]
enum Piece {
    Bytes(Vec<u8>),
    Blank(Blank),
    /// A length-delimited field.
    Field(u32, Vec<Piece>),
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pattern(Vec<Piece>);

impl Pattern {
    /// Learns the pattern; `None` if there is a blank where none is looked for.
    pub(crate) fn of(bytes: &[u8], content: Content, blanks: &Blanks<'_>) -> Option<Self> {
        pieces(bytes, content, blanks).map(Self)
    }

    pub(crate) fn len(&self, lengths: Lengths) -> usize {
        len_of(&self.0, lengths)
    }

    /// The pattern for names of these lengths.
    pub(crate) fn layout(&self, lengths: Lengths) -> Layout {
        let mut layout = Layout { len: self.len(lengths), ..Layout::default() };
        lay_out(&self.0, lengths, &mut layout);
        layout
    }

    /// Whether a text of this pattern reads so.
    pub(crate) fn reads(&self, text: &str, blanks: &Blanks<'_>) -> bool {
        let mut rest = text.as_bytes();
        for piece in &self.0 {
            let part = match piece {
                Piece::Bytes(bytes) => bytes,
                Piece::Blank(blank) => blanks.text(*blank),
                Piece::Field(..) => return false,
            };
            match rest.strip_prefix(part) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// Appends a text of this pattern.
    pub(crate) fn spell(&self, blanks: &Blanks<'_>, out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                Piece::Blank(blank) => out.extend_from_slice(blanks.text(*blank)),
                Piece::Field(..) => {}
            }
        }
    }
}

fn pieces(bytes: &[u8], content: Content, blanks: &Blanks<'_>) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    match content {
        Content::Text => {
            let mut rest = bytes;
            while let Some((blank, place)) = blanks.first_in(rest) {
                push(&mut pieces, &rest[..place]);
                pieces.push(Piece::Blank(blank));
                rest = &rest[place + blanks.text(blank).len()..];
            }
            push(&mut pieces, rest);
        }
        Content::Message(contents) => {
            for field in Fields::new(bytes) {
                let field = field.ok()?;
                let value = &bytes[field.value()];
                if blanks.first_in(value).is_none() {
                    push(&mut pieces, &bytes[field.span()]);
                    continue;
                }
                let &(number, content) = contents.iter().find(|&&(number, _)| field.is_message(number))?;
                pieces.push(Piece::Field(number, self::pieces(value, content, blanks)?));
            }
        }
    }
    Some(pieces)
}

fn push(pieces: &mut Vec<Piece>, bytes: &[u8]) {
    match pieces.last_mut() {
        _ if bytes.is_empty() => {}
        Some(Piece::Bytes(last)) => last.extend_from_slice(bytes),
        _ => pieces.push(Piece::Bytes(bytes.to_vec())),
    }
}

fn len_of(pieces: &[Piece], lengths: Lengths) -> usize {
    let len = |piece: &Piece| match piece {
        Piece::Bytes(bytes) => bytes.len(),
        Piece::Blank(Blank::Scope) => lengths.scope,
        Piece::Blank(Blank::Input) => lengths.input,
        Piece::Field(number, inner) => {
            let len = len_of(inner, lengths);
            varint_len(u64::from(*number) << 3) + varint_len(len as u64) + len
        }
    };
    pieces.iter().map(len).sum()
}

fn lay_out(pieces: &[Piece], lengths: Lengths, layout: &mut Layout) {
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => layout.bytes.extend_from_slice(bytes),
            Piece::Blank(blank) => layout.blanks.push((layout.bytes.len(), *blank)),
            Piece::Field(number, inner) => {
                put_header(&mut layout.bytes, *number, len_of(inner, lengths));
                lay_out(inner, lengths, layout);
            }
        }
    }
}

/// A pattern for names of certain lengths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// All but the names.
    bytes: Vec<u8>,
    /// Which name comes behind so many of the bytes.
    blanks: Vec<(usize, Blank)>,
    len: usize,
}

impl Layout {
    /// How many bytes it makes, with the names.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends the bytes, with the names in their places.
    pub(crate) fn fill(&self, blanks: &Blanks<'_>, out: &mut Vec<u8>) {
        out.reserve(self.len);
        let mut copied = 0;
        for &(place, blank) in &self.blanks {
            out.extend_from_slice(&self.bytes[copied..place]);
            out.extend_from_slice(blanks.text(blank));
            copied = place;
        }
        out.extend_from_slice(&self.bytes[copied..]);
    }
}

/// Bytes of which most follow from layouts: these are laid out again whenever somebody wants the bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    /// What follows from no layout.
    bytes: Vec<u8>,
    layouts: Vec<Arc<Layout>>,
    uses: Vec<Use>,
    scopes: String,
    len: usize,
}

/// Where a layout is used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Use {
    /// Behind so many of the other bytes.
    behind: u32,
    layout: u32,
    scope: Span,
}

/// A layout that is not among so many of the last ones is kept again.
const LOOKED_AT: usize = 16;

impl Filled {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Goes on with these bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        self.bytes.extend_from_slice(bytes);
    }

    /// Goes on with what a layout without inputs makes for that scope.
    pub(crate) fn put_layout(&mut self, layout: &Arc<Layout>, scope: &str) {
        let known = self.layouts.iter().rev().take(LOOKED_AT).position(|known| Arc::ptr_eq(known, layout));
        let number = known.map_or(self.layouts.len(), |back| self.layouts.len() - 1 - back);
        if known.is_none() {
            self.layouts.push(Arc::clone(layout));
        }
        let scope_span = Span::new(self.scopes.len(), scope.len());
        self.uses.push(Use { behind: length(self.bytes.len()), layout: length(number), scope: scope_span });
        self.scopes.push_str(scope);
        self.len += layout.len();
    }

    /// How many pieces there are, to take one after the other.
    pub(crate) fn pieces(&self) -> usize {
        self.uses.len() + 1
    }

    /// Appends a piece: the bytes before a use of a layout, and what that makes.
    pub(crate) fn put_piece(&self, piece: usize, out: &mut Vec<u8>) {
        let end = |piece: usize| self.uses.get(piece).map_or(self.bytes.len(), |used| used.behind as usize);
        let start = piece.checked_sub(1).map_or(0, end);
        out.extend_from_slice(&self.bytes[start..end(piece)]);
        if let Some(used) = self.uses.get(piece) {
            let scope = &self.scopes[used.scope.range()];
            self.layouts[used.layout as usize].fill(&Blanks { scope, input: "" }, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::put_bytes;

    #[test]
    fn layouts_stand_between_the_bytes_as_they_were_put() {
        let blanks = Blanks { scope: "<s>", input: "<i>" };
        let layout = |text: &[u8]| {
            let pattern = Pattern::of(text, Content::Text, &blanks).unwrap();
            Arc::new(pattern.layout(Lengths { scope: 1, input: 0 }))
        };
        let (short, long) = (layout(b"<s>,"), layout(b"(<s><s>)"));
        let mut filled = Filled::default();
        filled.put_layout(&short, "a");
        filled.put(b"one ");
        filled.put(b"two ");
        filled.put_layout(&long, "b");
        filled.put_layout(&short, "c");
        filled.put(b"three");
        let mut out = Vec::new();
        (0..filled.pieces()).for_each(|piece| filled.put_piece(piece, &mut out));
        assert_eq!(out, b"a,one two (bb)c,three");
        assert_eq!((filled.len(), filled.layouts.len()), (out.len(), 2));
    }

    fn node(scope: &str, input: &str) -> Vec<u8> {
        let (mut list, mut value, mut attr, mut node) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        put_bytes(&mut list, 2, format!("loc:@{scope}/{scope}/min").as_bytes());
        put_bytes(&mut value, 1, &list);
        put_bytes(&mut attr, 1, b"_class");
        put_bytes(&mut attr, 2, &value);
        put_bytes(&mut node, 1, format!("{scope}/sub").as_bytes());
        put_bytes(&mut node, 2, b"Sub");
        put_bytes(&mut node, 3, format!("^{input}").as_bytes());
        put_bytes(&mut node, 5, &attr);
        put_bytes(&mut node, 5, &[]);
        node
    }

    #[test]
    fn names_of_any_length_take_the_place_of_blanks() {
        let pattern = Pattern::of(&node("<s>", "<i>"), NODE_DEF, &Blanks { scope: "<s>", input: "<i>" }).unwrap();
        for (scope, input) in [("a", ""), ("layer/act_quant", "x"), (&*"s".repeat(300), &*"i".repeat(200))] {
            let layout = pattern.layout(Lengths { scope: scope.len(), input: input.len() });
            let mut filled = Vec::new();
            layout.fill(&Blanks { scope, input }, &mut filled);
            assert_eq!(filled, node(scope, input));
            assert_eq!(filled.len(), layout.len());
        }
    }

    #[test]
    fn a_blank_where_none_is_looked_for_makes_no_pattern() {
        let mut device = Vec::new();
        put_bytes(&mut device, 4, b"/device:<s>");
        assert!(Pattern::of(&device, NODE_DEF, &Blanks { scope: "<s>", input: "<i>" }).is_none());
    }

    #[test]
    fn a_text_is_spelled_and_recognised() {
        let pattern = Pattern::of(b"<s>/a/<s>/b", Content::Text, &Blanks { scope: "<s>", input: "<i>" }).unwrap();
        let blanks = Blanks { scope: "x/y", input: "" };
        let mut text = Vec::new();
        pattern.spell(&blanks, &mut text);
        assert_eq!(text, b"x/y/a/x/y/b");
        let reads = |text: &str| pattern.reads(text, &blanks);
        assert_eq!(["x/y/a/x/y/b", "x/y/a/x/y/bc", "x/y/a/x/y/", "x/y"].map(reads), [true, false, false, false]);
    }
}
