//! Says which bytes a [`Graph`] has become: ranges of its source wherever nothing changed, fresh bytes elsewhere.
//!
//! The result is a [`Splice`], which the containers embed in theirs and the writer streams; its length is known before
//! the first byte is written, which is what a length-delimited field around it needs.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use super::name::{InputName, parse_input};
use super::pattern::Filled;
use super::read::field;
use super::stamp::Layouts;
use super::{GivenAttr, Graph, Input, NodeId};
use crate::source::Part;
use crate::wire::{self, Field, Fields, put_bytes, put_header, put_varint};

/// A piece of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Chunk {
    /// A range of the input's bytes.
    Source(Range<usize>),
    /// New bytes.
    Bytes(Vec<u8>),
    /// A range of another file.
    Part(Part),
    /// New bytes that are laid out while they are written.
    Filled(Arc<Filled>),
    /// The inserted nodes of the graph, encoded while they are written, and their length.
    InsertedNodes(u64),
}

/// An output described as pieces of the input and new bytes between them.
#[derive(Debug, Clone, Default)]
pub struct Splice {
    chunks: Vec<Chunk>,
    len: u64,
}

impl From<Vec<u8>> for Splice {
    /// New bytes alone.
    fn from(bytes: Vec<u8>) -> Self {
        let mut splice = Self::default();
        splice.bytes(bytes);
        splice
    }
}

impl Splice {
    /// How many bytes the output has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the output has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Goes on with a range of the input.
    pub fn source(&mut self, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        self.len += range.len() as u64;
        match self.chunks.last_mut() {
            Some(Chunk::Source(last)) if last.end == range.start => last.end = range.end,
            _ => self.chunks.push(Chunk::Source(range)),
        }
    }

    /// Goes on with new bytes.
    pub fn bytes(&mut self, bytes: Vec<u8>) {
        self.len += bytes.len() as u64;
        self.chunks.push(Chunk::Bytes(bytes));
    }

    /// Goes on with a copy of new bytes: many small pieces become few.
    fn copied(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        match self.chunks.last_mut() {
            Some(Chunk::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.chunks.push(Chunk::Bytes(bytes.to_vec())),
        }
    }

    /// Goes on with a range of another file.
    pub(crate) fn part(&mut self, part: Part) {
        self.len += part.bytes.len() as u64;
        self.chunks.push(Chunk::Part(part));
    }

    /// Goes on with new bytes that are laid out while they are written.
    pub(crate) fn filled(&mut self, filled: Arc<Filled>) {
        self.len += filled.len() as u64;
        self.chunks.push(Chunk::Filled(filled));
    }

    /// Goes on with a length-delimited field that holds `message`.
    pub fn message(&mut self, number: u32, message: Splice) {
        let mut header = Vec::new();
        put_varint(&mut header, u64::from(number) << 3 | 2);
        put_varint(&mut header, message.len);
        self.bytes(header);
        self.splice(message);
    }

    /// Goes on with another splice.
    pub fn splice(&mut self, other: Splice) {
        for chunk in other.chunks {
            match chunk {
                Chunk::Source(range) => self.source(range),
                Chunk::Bytes(bytes) => self.bytes(bytes),
                Chunk::Part(part) => self.part(part),
                Chunk::Filled(filled) => self.filled(filled),
                Chunk::InsertedNodes(len) => self.inserted_nodes(len),
            }
        }
    }

    fn inserted_nodes(&mut self, len: u64) {
        self.len += len;
        self.chunks.push(Chunk::InsertedNodes(len));
    }

    /// The same output where the input's bytes start `base` bytes later.
    #[must_use]
    pub fn shifted(mut self, base: usize) -> Self {
        for chunk in &mut self.chunks {
            if let Chunk::Source(range) = chunk {
                *range = range.start + base..range.end + base;
            }
        }
        self
    }

    /// Writes the output. `input` is what the ranges are of, `graph` the graph whose nodes were inserted.
    ///
    /// # Errors
    /// Whatever `out` fails with.
    pub fn write_to(&self, out: &mut impl Sink, input: &SpliceInput<'_>, graph: &Graph) -> io::Result<()> {
        let mut pending = Vec::with_capacity(FLUSH_BYTES + 4096);
        for chunk in &self.chunks {
            match chunk {
                Chunk::Source(range) if range.len() >= FLUSH_BYTES => {
                    flush(&mut pending, out)?;
                    input.copy_at(0, range, out)?;
                }
                Chunk::Source(range) => pending.extend_from_slice(&input.bytes[range.clone()]),
                Chunk::Bytes(bytes) => pending.extend_from_slice(bytes),
                Chunk::Part(part) if part.bytes.len() >= FLUSH_BYTES => {
                    flush(&mut pending, out)?;
                    let start = part.offset;
                    let input = SpliceInput { bytes: &part.bytes, file: part.file.as_deref() };
                    input.copy_at(start, &(0..part.bytes.len()), out)?;
                }
                Chunk::Part(part) => part.read_to(&mut pending)?,
                Chunk::Filled(filled) => {
                    for piece in 0..filled.pieces() {
                        filled.put_piece(piece, &mut pending);
                        if pending.len() >= FLUSH_BYTES {
                            flush(&mut pending, out)?;
                        }
                    }
                }
                Chunk::InsertedNodes(_) => graph.write_inserted(&mut pending, out)?,
            }
            if pending.len() >= FLUSH_BYTES {
                flush(&mut pending, out)?;
            }
        }
        flush(&mut pending, out)
    }
}

/// Small pieces are gathered up to about this many bytes before they are written; larger ones are not gathered.
const FLUSH_BYTES: usize = 1 << 18;

fn flush(pending: &mut Vec<u8>, out: &mut impl Sink) -> io::Result<()> {
    out.write_all(pending)?;
    pending.clear();
    Ok(())
}

/// The bytes that a splice's ranges are of.
#[derive(Debug, Clone, Copy)]
pub struct SpliceInput<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The file that holds these bytes, if there is one: the system can then copy without us reading.
    pub file: Option<&'a File>,
}

impl SpliceInput<'_> {
    /// Copies a range of the bytes, which begin at `base` of the file.
    fn copy_at(&self, base: u64, range: &Range<usize>, out: &mut impl Sink) -> io::Result<()> {
        if let Some(file) = self.file
            && out.copy_from(file, base + range.start as u64..base + range.end as u64)?
        {
            return Ok(());
        }
        out.write_all(&self.bytes[range.clone()])
    }
}

/// Where a splice is written.
pub trait Sink: Write {
    /// Copies a range of a file from file to file, if this is one; says whether it did.
    ///
    /// # Errors
    /// When reading or writing fails.
    fn copy_from(&mut self, file: &File, range: Range<u64>) -> io::Result<bool> {
        let _ = (file, range);
        Ok(false)
    }
}

impl Sink for Vec<u8> {}

impl Graph {
    /// The GraphDef as it is now, in terms of the bytes it was read from. A graph without edits is one range.
    #[must_use]
    pub fn to_splice(&self) -> Splice {
        let mut splice = Splice::default();
        let mut copied = 0;
        let (mut header, mut body) = (Vec::new(), Vec::new());
        for node in self.ids().take(self.original_count).filter(|&node| self.is_changed(node)) {
            let entry = self.entry(node);
            splice.source(copied..entry.start);
            header.clear();
            body.clear();
            self.encode_edited(node, &mut body);
            let contents = self.contents.get(&node).map_or(&[][..], Vec::as_slice);
            put_header(&mut header, field::GRAPH_NODE, body.len() + bytes_of(contents));
            splice.copied(&header);
            splice.copied(&body);
            for part in contents {
                splice.part(part.clone());
            }
            copied = entry.end;
        }
        splice.source(copied..self.insertion_point);
        let mut layouts = Layouts::default();
        let stamped: u64 = (0..self.stamps.len()).map(|stamp| self.layout_of(stamp, &mut layouts).len() as u64).sum();
        let alone: u64 = self.inserted_alone().map(|node| self.inserted_len(node) as u64).sum();
        let inserted = stamped + alone;
        if inserted > 0 {
            splice.inserted_nodes(inserted);
        }
        splice.source(self.insertion_point..self.source.len());
        splice
    }

    /// Tells of each input that is a tensor, reader by reader in order: the reader, and what it reads. Left out are readers
    /// of whose name, or of the scope they were inserted below, `is_left_out` says so.
    pub(crate) fn each_read(&self, is_left_out: impl Fn(&str) -> bool, mut told: impl FnMut(NodeId, NodeId)) {
        let originals = self.ids().take(self.original_count).map(Inserted::Alone);
        for reader in originals.chain(self.inserted()) {
            match reader {
                Inserted::Alone(node) if is_left_out(self.name(node)) => {}
                Inserted::Alone(node) => self.data_inputs(node).for_each(|input| told(node, input.node)),
                Inserted::Stamp(stamp) if is_left_out(self.scope_of(stamp)) => {}
                Inserted::Stamp(stamp) => self.each_read_in_stamp(stamp, &mut told),
            }
        }
    }

    /// The inserted nodes that are no stamp's.
    fn inserted_alone(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.inserted().filter_map(|inserted| match inserted {
            Inserted::Alone(node) => Some(node),
            Inserted::Stamp(_) => None,
        })
    }

    /// What was inserted, in order.
    fn inserted(&self) -> impl Iterator<Item = Inserted> + '_ {
        let mut stamps = self.stamps_between().peekable();
        let mut alone = self.original_count;
        let mut stamped = 0;
        std::iter::from_fn(move || {
            if let Some((stamp, _)) = stamps.next_if(|&(_, before)| before == alone) {
                stamped = self.stamped_through(stamp);
                return Some(Inserted::Stamp(stamp));
            }
            let next = NodeId(super::length(alone + stamped));
            alone += 1;
            (alone <= self.nodes.len()).then_some(Inserted::Alone(next))
        })
    }

    fn write_inserted(&self, pending: &mut Vec<u8>, out: &mut impl Sink) -> io::Result<()> {
        let mut layouts = Layouts::default();
        let mut body = Vec::new();
        for inserted in self.inserted() {
            match inserted {
                Inserted::Alone(node) => {
                    body.clear();
                    self.encode_inserted_body(node, &mut body);
                    put_bytes(pending, field::GRAPH_NODE, &body);
                }
                Inserted::Stamp(stamp) => self.encode_stamp(stamp, &mut layouts, pending),
            }
            if pending.len() >= FLUSH_BYTES {
                flush(pending, out)?;
            }
        }
        Ok(())
    }

    /// The GraphDef as it was read, without some of its nodes.
    #[must_use]
    pub fn only(&self, keep: impl Fn(NodeId) -> bool) -> Splice {
        let mut splice = Splice::default();
        let mut copied = 0;
        for node in self.ids().take(self.original_count).filter(|&node| !keep(node)) {
            let entry = self.entry(node);
            splice.source(copied..entry.start);
            copied = entry.end;
        }
        splice.source(copied..self.source.len());
        splice
    }

    /// The whole field of an original node in the source: tag, length, NodeDef.
    fn entry(&self, node: NodeId) -> Range<usize> {
        let node = &self.nodes[node.index()];
        let body = node.raw.range();
        body.start - usize::from(node.header_len)..body.end
    }

    /// One node as a NodeDef, whether it was changed or not.
    #[must_use]
    pub fn node_def(&self, node: NodeId) -> Vec<u8> {
        let mut encoded = Vec::new();
        if !self.is_original(node) {
            self.encode_inserted_body(node, &mut encoded);
        } else if self.is_changed(node) {
            self.encode_edited(node, &mut encoded);
            let contents = self.contents.get(&node).into_iter().flatten();
            contents.for_each(|part| encoded.extend_from_slice(&part.bytes));
        } else {
            encoded.extend_from_slice(self.body(node));
        }
        encoded
    }

    /// An edited node: its fields as they were, with the inputs, where the first one stood, as they are now. Contents that
    /// lie elsewhere are to follow.
    fn encode_edited(&self, node: NodeId, encoded: &mut Vec<u8>) {
        let body = self.body(node);
        let fields = || Fields::new(body).map_while(Result::ok);
        let is_input = |part: &Field| part.is_message(field::NODE_INPUT);
        // Without inputs of its own, a node gets them where serializers put them: before device and attributes.
        let comes_after = |part: &Field| is_input(part) || matches!(part.number, field::NODE_DEVICE | field::NODE_ATTR);
        let given = self.given_attrs.get(&node);
        let contents = self.contents.get(&node);
        let is_replaced = |part: &Field| {
            let entry = &body[part.value()];
            let key = || wire::last_bytes(entry, 1).map(|key| &entry[key]);
            let is_given = |given: &Vec<GivenAttr>| given.iter().any(|attr| Some(attr.name.as_bytes()) == key());
            let is_filled = || contents.is_some() && key() == Some(b"value");
            part.is_message(field::NODE_ATTR) && (given.is_some_and(is_given) || is_filled())
        };

        let is_renamed = self.nodes[node.index()].renamed;
        if is_renamed {
            put_bytes(encoded, field::NODE_NAME, self.name(node).as_bytes());
        }
        let is_old_name = |part: &Field| is_renamed && part.is_message(field::NODE_NAME);
        let before = fields().take_while(|part| !comes_after(part)).filter(|part| !is_old_name(part));
        before.for_each(|part| encoded.extend_from_slice(&body[part.span()]));
        let mut spelled = fields().filter(is_input).map(|part| &body[part.value()]);
        for input in self.inputs(node) {
            match spelled.next() {
                Some(spelled) if self.spells(spelled, input) => put_bytes(encoded, field::NODE_INPUT, spelled),
                _ => self.put_input(input, encoded),
            }
        }
        for part in fields().skip_while(|part| !comes_after(part)) {
            if !is_input(&part) && !is_replaced(&part) && !is_old_name(&part) {
                encoded.extend_from_slice(&body[part.span()]);
            }
        }
        for attr in given.into_iter().flatten() {
            let (name, value) = (attr.name.as_bytes(), &attr.value);
            put_header(encoded, field::NODE_ATTR, wire::field_len(name.len()) + wire::field_len(value.len()));
            put_bytes(encoded, 1, name);
            put_bytes(encoded, 2, value);
        }
        if let Some(contents) = contents {
            let value = self.attr_bytes(node, "value").unwrap_or_default();
            let tensor = wire::last_bytes(value, 8).map_or(&[][..], |tensor| &value[tensor]);
            put_filled_value(tensor, bytes_of(contents), encoded);
        }
    }

    /// Whether an input's spelling in the file (`a` or `a:0`) still says what it is.
    fn spells(&self, spelled: &[u8], input: Input) -> bool {
        match (std::str::from_utf8(spelled).ok().and_then(parse_input), input) {
            (Some(InputName::Data(name, port)), Input::Data(tensor)) => {
                tensor.port == port && self.is_named(tensor.node, name)
            }
            (Some(InputName::Control(name)), Input::Control(node)) => self.is_named(node, name),
            _ => false,
        }
    }

    fn encode_inserted_body(&self, node: NodeId, out: &mut Vec<u8>) {
        put_bytes(out, field::NODE_NAME, self.name(node).as_bytes());
        put_bytes(out, field::NODE_OP, self.op(node).as_bytes());
        self.inputs(node).for_each(|input| self.put_input(input, out));
        if !self.device(node).is_empty() {
            put_bytes(out, field::NODE_DEVICE, self.device(node).as_bytes());
        }
        out.extend_from_slice(self.body(node));
    }

    fn inserted_len(&self, node: NodeId) -> usize {
        wire::field_len(self.inserted_body_len(node))
    }

    fn inserted_body_len(&self, node: NodeId) -> usize {
        let device = self.device(node).len();
        let inputs: usize = self.inputs(node).map(|input| wire::field_len(self.input_len(input))).sum();
        wire::field_len(self.name_len(node))
            + wire::field_len(self.op(node).len())
            + inputs
            + if device == 0 { 0 } else { wire::field_len(device) }
            + self.body(node).len()
    }

    fn input_len(&self, input: Input) -> usize {
        let name = self.name_len(input.node());
        match input {
            Input::Data(tensor) if tensor.port == 0 => name,
            Input::Data(tensor) => name + 2 + tensor.port.ilog10() as usize,
            Input::Control(_) => name + 1,
        }
    }

    fn put_input(&self, input: Input, out: &mut Vec<u8>) {
        put_header(out, field::NODE_INPUT, self.input_len(input));
        match input {
            Input::Data(tensor) => {
                self.put_name(tensor.node, out);
                if tensor.port > 0 {
                    out.push(b':');
                    out.extend_from_slice(tensor.port.to_string().as_bytes());
                }
            }
            Input::Control(node) => {
                out.push(b'^');
                self.put_name(node, out);
            }
        }
    }
}

/// What was inserted at once.
enum Inserted {
    Alone(NodeId),
    Stamp(usize),
}

fn bytes_of(contents: &[Part]) -> usize {
    contents.iter().map(|part| part.bytes.len()).sum()
}

/// The attribute `value` with a tensor that goes on with so many bytes of contents, which are to follow.
fn put_filled_value(tensor: &[u8], contents: usize, encoded: &mut Vec<u8>) {
    const TENSOR: u32 = 8;
    const TENSOR_CONTENT: u32 = 4;
    let tensor_len = tensor.len() + wire::field_len(contents);
    let value_len = wire::field_len(tensor_len);
    put_header(encoded, field::NODE_ATTR, wire::field_len(b"value".len()) + wire::field_len(value_len));
    put_bytes(encoded, 1, b"value");
    put_header(encoded, 2, value_len);
    put_header(encoded, TENSOR, tensor_len);
    encoded.extend_from_slice(tensor);
    put_header(encoded, TENSOR_CONTENT, contents);
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::graph::{Input, NewNode, TensorRef, read};
    use crate::wire::put_uint;

    fn written(graph: &Graph, source: &[u8]) -> Vec<u8> {
        let splice = graph.to_splice();
        let mut out = Vec::new();
        splice.write_to(&mut out, &SpliceInput { bytes: source, file: None }, graph).unwrap();
        assert_eq!(out.len() as u64, splice.len());
        out
    }

    /// a; b(a:0, a, ^a) with an unknown field; an unknown field of the graph.
    fn sample() -> Vec<u8> {
        let mut a = Vec::new();
        put_bytes(&mut a, 1, b"a");
        put_bytes(&mut a, 2, b"Const");
        let mut b = Vec::new();
        put_bytes(&mut b, 1, b"b");
        put_bytes(&mut b, 2, b"AddN");
        for input in ["a:0", "a", "^a"] {
            put_bytes(&mut b, 3, input.as_bytes());
        }
        put_uint(&mut b, 900, 7);
        let mut graph = Vec::new();
        put_bytes(&mut graph, 1, &a);
        put_bytes(&mut graph, 1, &b);
        put_uint(&mut graph, 700, 1);
        graph
    }

    #[test]
    fn without_edits_the_bytes_are_the_same() {
        let source = sample();
        let graph = read::parse(Bytes::from(source.clone())).unwrap();
        assert_eq!(written(&graph, &source), source);
        assert_eq!(graph.to_splice().chunks, [Chunk::Source(0..source.len())]);
    }

    #[test]
    fn an_attribute_takes_the_place_of_the_one_that_was_there() {
        use crate::proto::tensorflow::attr_value::Value;
        let mut attrs = crate::graph::attr::Attrs::default();
        attrs.str("a", "old").str("b", "kept");
        let mut node = Vec::new();
        put_bytes(&mut node, 1, b"n");
        put_bytes(&mut node, 2, b"Op");
        node.extend_from_slice(attrs.as_bytes());
        let mut source = Vec::new();
        put_bytes(&mut source, 1, &node);
        let mut graph = read::parse(Bytes::from(source.clone())).unwrap();
        let node = graph.find("n").unwrap();
        graph.set_attr(node, "a", b"\x12\x03new".to_vec());
        let text = |value: &str| Some(Value::S(Bytes::copy_from_slice(value.as_bytes())));
        for graph in [&graph, &read::parse(Bytes::from(written(&graph, &source))).unwrap()] {
            assert_eq!((graph.attr(node, "a"), graph.attr(node, "b")), (text("new"), text("kept")));
            assert_eq!(graph.attr_entries(node).count(), 2);
        }
    }

    #[test]
    fn a_renamed_node_keeps_its_fields_and_its_readers() {
        let source = sample();
        let mut graph = read::parse(Bytes::from(source.clone())).unwrap();
        let (a, b) = (graph.find("a").unwrap(), graph.find("b").unwrap());
        graph.rename(a, "a/other").unwrap();
        graph.rename(b, "c").unwrap();
        assert!(graph.rename(a, "c").is_err(), "taken");
        assert_eq!((graph.find("a"), graph.find("b")), (None, None));
        assert_eq!((graph.find("a/other"), graph.find("c")), (Some(a), Some(b)));
        let again = read::parse(Bytes::from(written(&graph, &source))).unwrap();
        let node = again.find("c").unwrap();
        let read: Vec<&str> = again.inputs(node).map(|input| again.name(input.node())).collect();
        assert_eq!(read, ["a/other"; 3]);
        assert_eq!(wire::last_varint(&again.node_def(node), 900), Some(7), "an unknown field");
    }

    #[test]
    fn contents_from_elsewhere_are_read_and_written_as_if_they_were_there() {
        use crate::proto::tensorflow::{AttrValue, TensorProto, attr_value::Value};
        use prost::Message;
        let hollow = TensorProto { dtype: 4, ..TensorProto::default() };
        let value = AttrValue { value: Some(Value::Tensor(hollow.clone())) }.encode_to_vec();
        let mut attrs = crate::graph::attr::Attrs::default();
        attrs.raw("dtype", b"\x30\x04").raw("value", &value);
        let mut node = Vec::new();
        put_bytes(&mut node, 1, b"w");
        put_bytes(&mut node, 2, b"Const");
        node.extend_from_slice(attrs.as_bytes());
        let mut source = Vec::new();
        put_bytes(&mut source, 1, &node);
        let mut graph = read::parse(Bytes::from(source.clone())).unwrap();
        let node = graph.find("w").unwrap();
        graph.set_contents(node, vec![Part::from(vec![1; 300]), Part::from(vec![2; FLUSH_BYTES])]);
        let expected = Bytes::from([vec![1; 300], vec![2; FLUSH_BYTES]].concat());
        let again = read::parse(Bytes::from(written(&graph, &source))).unwrap();
        for graph in [&graph, &again] {
            let tensor = graph.attr_tensor(node, "value").unwrap();
            assert_eq!(tensor, TensorProto { tensor_content: expected.clone(), ..hollow.clone() });
            assert_eq!(graph.attr_entries(node).count(), 2);
        }
        assert_eq!(graph.node_def(node), again.node_def(node));
    }

    #[test]
    fn an_edit_keeps_all_it_did_not_touch() {
        let source = sample();
        let mut graph = read::parse(Bytes::from(source.clone())).unwrap();
        let (a, b) = (graph.find("a").unwrap(), graph.find("b").unwrap());
        let c = graph
            .insert(NewNode { name: "c", op: "Split", device: "/cpu:0", inputs: &[Input::Data(a.into())], attrs: &[] })
            .unwrap();
        graph.set_input(b, 1, Input::Data(TensorRef { node: c, port: 12 }));
        let out = written(&graph, &source);
        let contains = |part: &[u8]| out.windows(part.len()).any(|window| window == part);
        assert!(contains(b"\x1a\x03a:0\x1a\x04c:12\x1a\x02^a"), "spellings stay, one input changed");
        assert!(contains(b"\x0a\x01c\x12\x05Split\x1a\x01a\x22\x06/cpu:0"));
        let read_again = read::parse(Bytes::from(out.clone())).unwrap();
        assert_eq!(read_again.len(), 3);
        assert_eq!(wire::last_varint(&out, 700), Some(1));
        assert_eq!(wire::last_varint(read_again.body(b), 900), Some(7));
    }
}
