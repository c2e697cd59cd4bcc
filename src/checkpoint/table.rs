//! A table of sorted keys as LevelDB writes it: blocks of prefix-compressed entries, a block that says where they lie,
//! and a footer that says where that one is.
//!
//! Nothing in the file is trusted: every offset is checked, every block's checksum compared, and keys and values may not
//! add up to more than a sane amount. [`super::index`] knows what the entries mean.

use std::borrow::Cow;

use super::{damaged, masked_crc32c};
use crate::error::Result;
use crate::wire::varint;

/// The last bytes of every such table.
pub(super) const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
pub(super) const FOOTER_BYTES: usize = 48;
/// A block is followed by its kind of compression and its checksum.
const TRAILER_BYTES: usize = 5;
const PLAIN: u8 = 0;
const SNAPPY: u8 = 1;
/// No key is longer.
const MAX_KEY_BYTES: usize = 1 << 14;
/// All entries together, unpacked; a million variables have less.
const MAX_TOTAL_BYTES: usize = 1 << 28;

/// Calls `each` with every key and value of a table, in the table's order.
///
/// # Errors
/// [`crate::error::ErrorKind::Malformed`] if the table is damaged, and whatever `each` fails with.
pub(super) fn for_each_entry(table: &[u8], mut each: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    let index = footer(table).ok_or_else(|| damaged("it does not end as such a file does"))?;
    let mut budget = MAX_TOTAL_BYTES;
    let mut places = Vec::new();
    for_each_in_block(table, index, &mut budget, |_, handle| {
        places.push(read_handle(handle).ok_or_else(|| damaged("a block's place is cut short"))?.0);
        Ok(())
    })?;
    places.into_iter().try_for_each(|place| for_each_in_block(table, place, &mut budget, &mut each))
}

/// Where a block lies.
#[derive(Clone, Copy)]
struct Handle {
    offset: usize,
    size: usize,
}

fn read_handle(bytes: &[u8]) -> Option<(Handle, usize)> {
    let (offset, first) = varint(bytes)?;
    let (size, second) = varint(bytes.get(first..)?)?;
    Some((Handle { offset: usize::try_from(offset).ok()?, size: usize::try_from(size).ok()? }, first + second))
}

/// The place of the index block: the second handle of the footer.
fn footer(table: &[u8]) -> Option<Handle> {
    let footer = &table[table.len().checked_sub(FOOTER_BYTES)?..];
    let magic = u64::from_le_bytes(footer[FOOTER_BYTES - 8..].try_into().ok()?);
    let (_, length) = read_handle(footer).filter(|_| magic == MAGIC)?;
    Some(read_handle(&footer[length..])?.0)
}

/// A block's bytes, unpacked, once its checksum is found right.
fn block<'a>(table: &'a [u8], handle: Handle, budget: &mut usize) -> Result<Cow<'a, [u8]>> {
    let end = handle.offset.checked_add(handle.size).and_then(|end| end.checked_add(TRAILER_BYTES));
    let whole = end.and_then(|end| table.get(handle.offset..end));
    let whole = whole.ok_or_else(|| damaged("a block reaches past the end"))?;
    let (checked, checksum) = whole.split_at(handle.size + 1);
    if masked_crc32c(checked).to_le_bytes() != checksum {
        return Err(damaged("a block's checksum is wrong"));
    }
    let contents = &checked[..handle.size];
    match checked[handle.size] {
        PLAIN => Ok(Cow::Borrowed(contents)),
        SNAPPY => {
            let length = snap::raw::decompress_len(contents).ok().filter(|length| length <= budget);
            length.ok_or_else(|| damaged("a block unpacks to more than there can be"))?;
            let unpacked = snap::raw::Decoder::new().decompress_vec(contents);
            Ok(Cow::Owned(unpacked.map_err(|_| damaged("a block cannot be unpacked"))?))
        }
        _ => Err(damaged("a block is packed in a way that TensorFlow does not know")),
    }
}

fn for_each_in_block(
    table: &[u8],
    handle: Handle,
    budget: &mut usize,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let block = block(table, handle, budget)?;
    let mut entries = Entries::new(&block).ok_or_else(cut_short)?;
    while !entries.rest.is_empty() {
        let value = entries.next().ok_or_else(cut_short)?;
        *budget = budget.checked_sub(entries.key.len() + value.len() + 64).ok_or_else(cut_short)?;
        each(&entries.key, value)?;
    }
    Ok(())
}

fn cut_short() -> crate::error::Error {
    damaged("a block's entries are cut short")
}

/// The entries of a block: each key is given as how much of the one before it repeats, and the rest.
struct Entries<'a> {
    rest: &'a [u8],
    key: Vec<u8>,
}

impl<'a> Entries<'a> {
    /// The entries end where the list of restart points begins, which is for searching.
    fn new(block: &'a [u8]) -> Option<Self> {
        let restarts = u32::from_le_bytes(block.get(block.len().checked_sub(4)?..)?.try_into().ok()?);
        let restarts = usize::try_from(restarts).ok()?.checked_mul(4)?.checked_add(4)?;
        Some(Self { rest: &block[..block.len().checked_sub(restarts)?], key: Vec::new() })
    }

    /// Reads one entry: its key stays in `self`, its value is returned.
    fn next(&mut self) -> Option<&'a [u8]> {
        let (shared, own, length) = (self.number()?, self.number()?, self.number()?);
        let suffix = self.rest.get(..own)?;
        let value = self.rest.get(own..own.checked_add(length)?)?;
        self.rest = &self.rest[own + length..];
        if shared > self.key.len() || shared + own > MAX_KEY_BYTES {
            return None;
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(suffix);
        Some(value)
    }

    fn number(&mut self) -> Option<usize> {
        let (value, length) = varint(self.rest)?;
        self.rest = &self.rest[length..];
        usize::try_from(value).ok()
    }
}
