//! numpy's `.npz` files: a zip archive of `.npy` files, one for each input.

use std::io::{Cursor, Read};

use bytes::Bytes;

use super::array::ArraySamples;
use crate::error::{Error, ErrorKind, Result};

/// An entry is unpacked into memory: no larger one is taken.
const MAX_BYTES: u64 = 8 << 30;

/// The arrays of an archive by their names, in its order.
///
/// # Errors
/// [`ErrorKind::Malformed`] when it is no zip archive or an entry cannot be unpacked; those of [`ArraySamples::npy`].
pub fn read(file: &Bytes) -> Result<Vec<(String, ArraySamples)>> {
    let malformed = |error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Malformed, format!("the .npz archive cannot be read: {error}"))
            .hint("write it with numpy.savez or numpy.savez_compressed")
    };
    let mut archive = zip::ZipArchive::new(Cursor::new(file.clone())).map_err(|error| malformed(&error))?;
    let mut arrays = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|error| malformed(&error))?;
        let name = entry.name().map_err(|error| malformed(&error))?;
        let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { continue };
        let stored = entry.compression() == zip::CompressionMethod::Stored;
        let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let slice =
            start.and_then(|start| Some(start..start.checked_add(size)?)).filter(|range| range.end <= file.len());
        let content = match slice {
            // What is not compressed stays where it is.
            Some(range) if stored => file.slice(range),
            _ => {
                let mut unpacked = Vec::new();
                entry.by_ref().take(MAX_BYTES).read_to_end(&mut unpacked).map_err(|error| malformed(&error))?;
                unpacked.into()
            }
        };
        arrays.push((name, ArraySamples::npy(&content)?));
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::interpreter::Tensor;
    use crate::samples::{Samples, npy};

    #[test]
    fn reads_stored_and_compressed_arrays() {
        let array = npy::write(&Tensor::new(&[2, 2], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap());
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, method) in [("b.npy", zip::CompressionMethod::Stored), ("a.npy", zip::CompressionMethod::Deflated)] {
            let options = zip::write::SimpleFileOptions::default().compression_method(method);
            writer.start_file(name, options).unwrap();
            writer.write_all(&array).unwrap();
        }
        let file: Bytes = writer.finish().unwrap().into_inner().into();
        let arrays = read(&file).unwrap();
        assert_eq!(arrays.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        for (_, samples) in &arrays {
            assert_eq!(samples.sample(1).unwrap().values::<f32>().unwrap(), [3.0, 4.0]);
        }
        assert_eq!(read(&file.slice(..60)).unwrap_err().kind(), ErrorKind::Malformed);
    }
}
