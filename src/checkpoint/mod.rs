//! Checkpoints of TensorFlow's second format: an `.index` file that says which tensors there are, and data files that
//! hold their contents.
//!
//! [`Checkpoint`] opens one by its prefix and hands out tensors as ranges of the mapped data files, so that none is held;
//! [`verify`] alone reads them all, chunk by chunk. [`index`] reads the `.index` file, [`table`] the format around it,
//! [`tensor`] contents. [`crate::freeze`] puts the tensors into a graph, `check` compares keys.

pub mod index;
mod table;
pub mod tensor;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{nearest, tensor as tensor_facts};
use crate::proto::tensorflow::DataType;
use crate::source::{self, Source};
pub use index::{Entry, Index, Slice, parse_slice};
pub use tensor::{Contents, Tensor};
use verify::Range;

/// Under this key, object-based checkpoints keep the graph of their objects: a string, the TrackableObjectGraph.
pub const OBJECT_GRAPH: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";

/// What object-based checkpoints add to the path of a variable.
pub const OBJECT_SUFFIX: &str = "/.ATTRIBUTES/VARIABLE_VALUE";

/// An opened checkpoint.
#[derive(Debug)]
pub struct Checkpoint {
    prefix: PathBuf,
    index: Index,
    shards: BTreeMap<u32, Source>,
    /// What was handed out and not compared with its checksum yet.
    unverified: Vec<Range>,
}

/// Reads the `.index` file of the checkpoint with that prefix; the file itself may be named as well.
///
/// # Errors
/// [`ErrorKind::Io`] if there is none, [`ErrorKind::Malformed`] if it is damaged or of another format.
pub fn read_index(prefix: &Path) -> Result<Index> {
    let bytes = source::open(&with_ending(&plain_prefix(prefix), ".index")).map_err(|error| {
        let hint = "pass the checkpoint's prefix, such as model.ckpt-1000, beside which lies model.ckpt-1000.index";
        if error.kind() == ErrorKind::Io { error.hint(hint) } else { error }
    })?;
    index::parse(&bytes.bytes)
}

impl Checkpoint {
    /// Opens the checkpoint with that prefix; its `.index` file may be named as well. Data files are opened when needed.
    ///
    /// # Errors
    /// As [`read_index`].
    pub fn open(prefix: &Path) -> Result<Self> {
        Ok(Self {
            prefix: plain_prefix(prefix),
            index: read_index(prefix)?,
            shards: BTreeMap::new(),
            unverified: Vec::new(),
        })
    }

    /// What its files' names begin with.
    #[must_use]
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The tensor of that key without its contents.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.index.entries.get(key)
    }

    /// The keys, in alphabetical order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.index.entries.keys().map(String::as_str)
    }

    /// The key that resembles `wanted` most; of those that do alike, the first.
    #[must_use]
    pub fn nearest_key(&self, wanted: &str) -> Option<&str> {
        nearest(wanted, self.keys().filter(|key| *key != OBJECT_GRAPH))
    }

    /// The tensor of that key, or a slice of it. Its numbers are not to be used before [`Checkpoint::verify`] has compared
    /// them with their checksum.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`] if there is no such key or slice, with the nearest key; [`ErrorKind::Io`] if a data file is
    /// missing; [`ErrorKind::Malformed`] if it is too short or holds damaged strings.
    pub fn tensor(&mut self, key: &str, slice: Option<&Slice>) -> Result<Tensor> {
        let Some(entry) = self.index.entries.get(key).cloned() else { return Err(self.missing(key)) };
        match slice {
            Some(slice) if !covers(slice, &entry.dims) => self.slice(key, &entry, slice),
            _ if entry.slices.is_empty() => self.whole(key, &entry),
            _ => self.joined(key, &entry),
        }
    }

    fn missing(&self, key: &str) -> Error {
        let error = Error::new(ErrorKind::Refused, format!("the checkpoint holds no '{key}'"));
        match self.nearest_key(key) {
            Some(near) => error.hint(format!("the nearest key is '{near}'")),
            None => error.hint("the checkpoint is empty"),
        }
    }

    /// A tensor that lies in one piece.
    fn whole(&mut self, key: &str, entry: &Entry) -> Result<Tensor> {
        let big_endian = self.index.big_endian;
        let shard = self.shard(entry.shard)?;
        let start = usize::try_from(entry.offset).ok();
        let range = start.and_then(|start| Some(start..start.checked_add(usize::try_from(entry.size).ok()?)?));
        let range = range.filter(|range| range.end <= shard.bytes.len());
        let range = range.ok_or_else(|| damaged(&format!("'{key}' reaches past the end of its data file")))?;
        let part = shard.part(range);
        let tensor = tensor::read(key, entry, &part, big_endian)?;
        if matches!(tensor.contents, Contents::Numbers(_)) {
            self.unverified.push(Range { key: key.to_owned(), part, crc32c: entry.crc32c });
        }
        Ok(tensor)
    }

    /// Reads all that was handed out and compares it with its checksums.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] for a tensor that is damaged; [`ErrorKind::Io`] if one cannot be read.
    pub fn verify(&mut self) -> Result<()> {
        verify::verify(&std::mem::take(&mut self.unverified))
    }

    /// A tensor that was saved in parts.
    fn joined(&mut self, key: &str, entry: &Entry) -> Result<Tensor> {
        let mut parts = Vec::with_capacity(entry.slices.len());
        for slice in &entry.slices {
            let place = slice.within(&entry.dims).ok_or_else(|| damaged(&format!("a part of '{key}' lies outside")))?;
            parts.push((place, self.part(key, entry, slice)?));
        }
        tensor::join(key, entry, parts)
    }

    /// A slice of a tensor: one of the parts it was saved in, or cut out of the whole.
    fn slice(&mut self, key: &str, entry: &Entry, slice: &Slice) -> Result<Tensor> {
        let Some(wanted) = slice.within(&entry.dims) else {
            return Err(Error::new(ErrorKind::Refused, format!("the wanted slice of '{key}' lies outside the tensor"))
                .hint("the graph and the checkpoint are of different models"));
        };
        let as_saved = entry.slices.iter().find(|part| part.within(&entry.dims).as_ref() == Some(&wanted));
        if let Some(part) = as_saved {
            return self.part(key, entry, part);
        }
        let whole = if entry.slices.is_empty() { self.whole(key, entry)? } else { self.joined(key, entry)? };
        tensor::cut(key, &whole, &wanted)
    }

    fn part(&mut self, key: &str, whole: &Entry, slice: &Slice) -> Result<Tensor> {
        let part = self.index.parts.get(&index::slice_key(key, slice)).cloned();
        let part = part.ok_or_else(|| damaged(&format!("a part of '{key}' is missing")))?;
        let lengths = slice.within(&whole.dims).map(|extents| extents.iter().map(|(_, length)| *length).collect());
        if part.data_type != whole.data_type || Some(&part.dims) != lengths.as_ref() || !part.slices.is_empty() {
            return Err(damaged(&format!("a part of '{key}' is not what the index says of the whole")));
        }
        self.whole(key, &part)
    }

    fn shard(&mut self, number: u32) -> Result<&Source> {
        use std::collections::btree_map::Entry;
        if number >= self.index.shards {
            return Err(damaged("an entry lies in a data file that there is not"));
        }
        let shards = self.index.shards;
        match self.shards.entry(number) {
            Entry::Occupied(opened) => Ok(opened.into_mut()),
            Entry::Vacant(place) => {
                let path = with_ending(&self.prefix, &format!(".data-{number:05}-of-{shards:05}"));
                let opened = source::open_file(&path).map_err(|error| match error.kind() {
                    ErrorKind::Io => error.hint("a checkpoint is an .index file and its .data files; copy them all"),
                    _ => error,
                })?;
                Ok(place.insert(opened))
            }
        }
    }

    /// The one string of a scalar string tensor.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`]; [`ErrorKind::Malformed`] if it is something else.
    pub fn string(&mut self, key: &str) -> Result<Vec<u8>> {
        match self.tensor(key, None)?.contents {
            Contents::Strings(strings) if strings.len() == 1 => {
                Ok(strings.into_iter().next().unwrap_or_default().into())
            }
            _ => Err(damaged(&format!("'{key}' is no string"))),
        }
    }
}

/// Whether a slice is all of a tensor.
fn covers(slice: &Slice, dims: &[i64]) -> bool {
    let covers = |(&(start, length), &dim): (&(i64, Option<i64>), &i64)| start == 0 && length.unwrap_or(dim) == dim;
    slice.extents.len() == dims.len() && slice.extents.iter().zip(dims).all(covers)
}

/// How many bytes an element of that type takes in a data file; none for strings and for what is no plain value.
#[must_use]
pub fn element_bytes(data_type: i32) -> Option<usize> {
    use DataType as D;
    match DataType::try_from(data_type).ok()? {
        D::DtInt4 | D::DtUint4 | D::DtFloat8E5m2 | D::DtFloat8E4m3fn => Some(1),
        _ => usize::try_from(tensor_facts::element_bytes(data_type)?).ok(),
    }
}

fn plain_prefix(prefix: &Path) -> PathBuf {
    let is_index = prefix.extension().is_some_and(|ending| ending == "index");
    if is_index { prefix.with_extension("") } else { prefix.to_owned() }
}

fn with_ending(prefix: &Path, ending: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("not a TensorFlow checkpoint, or a damaged one: {what}"))
        .hint("copy or save the checkpoint again; checkpoints of TensorFlow 0.x (V1) have no index")
}

/// The Castagnoli checksum as LevelDB stores it: turned and shifted, so that checksums of checksums stay useful.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    mask(crc32c::crc32c(bytes))
}

fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
