//! Samples along the first dimension of an array, or one behind the other in a file of raw numbers.

use bytes::Bytes;

use super::Samples;
use super::npy::{self, Header};
use crate::error::{Error, ErrorKind, Result};
use crate::interpreter::Tensor;

/// An array whose first dimension counts samples. Only the sample that is asked for is decoded.
#[derive(Debug, Clone)]
pub struct ArraySamples {
    header: Header,
    content: Bytes,
    /// Of one sample.
    bytes: usize,
    /// All of it, where its samples do not lie one behind the other.
    decoded: Option<Tensor>,
}

impl ArraySamples {
    /// The samples of a `.npy` file.
    ///
    /// # Errors
    /// Those of [`npy::read`]; [`ErrorKind::Options`] for an array without dimensions or without samples.
    pub fn npy(file: &Bytes) -> Result<Self> {
        let header = npy::header(file)?;
        let content = file.slice(header.start..);
        Self::new(header, content)
    }

    /// Samples of that type and shape, as numpy names and orders them, one behind the other.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] when the file does not hold a whole number of them.
    pub fn raw(content: Bytes, descr: &str, dims: &[usize]) -> Result<Self> {
        let size = npy::element_size(descr)?;
        let bytes = dims.iter().try_fold(size, |bytes, &dim| bytes.checked_mul(dim)).filter(|&bytes| bytes > 0);
        let Some(bytes) = bytes.filter(|&bytes| content.len().is_multiple_of(bytes)) else {
            let what = format!("{} bytes are not a whole number of samples of shape {dims:?}", content.len());
            return Err(Error::new(ErrorKind::Options, what).hint("check --dtype and --shape"));
        };
        let dims = std::iter::once(content.len() / bytes).chain(dims.iter().copied()).collect();
        Self::new(Header { descr: descr.to_owned(), fortran_order: false, dims, start: 0 }, content)
    }

    fn new(header: Header, content: Bytes) -> Result<Self> {
        let Some(&count) = header.dims.first().filter(|&&count| count > 0) else {
            let what = format!("an array of the shape {:?} holds no samples", header.dims);
            return Err(Error::new(ErrorKind::Options, what).hint("its first dimension counts the samples"));
        };
        // Decoding one checks the type, and that the whole fills its shape.
        let decoded = (header.fortran_order && header.dims.len() > 1).then(|| npy::decode(&header, &content));
        let decoded = decoded.transpose()?;
        let size = npy::element_size(&header.descr)?;
        let elements = header.dims.iter().try_fold(size, |bytes, &dim| bytes.checked_mul(dim));
        if elements != Some(content.len()) {
            let what = format!("{} bytes do not fill an array of the shape {:?}", content.len(), header.dims);
            return Err(Error::new(ErrorKind::Malformed, what).hint("the file is cut off; save it again"));
        }
        let bytes = content.len() / count;
        Ok(Self { header, content, bytes, decoded })
    }

    /// The shape of one sample.
    #[must_use]
    pub fn dims(&self) -> &[usize] {
        &self.header.dims[1..]
    }
}

impl Samples for ArraySamples {
    fn count(&self) -> usize {
        self.header.dims[0]
    }

    fn sample(&self, index: usize) -> Result<Tensor> {
        if index >= self.count() {
            return Err(Error::new(ErrorKind::Options, format!("there is no sample {index} of {}", self.count())));
        }
        if let Some(decoded) = &self.decoded {
            return decoded.row(index);
        }
        let mut header = self.header.clone();
        header.dims[0] = 1;
        npy::decode(&header, &self.content[index * self.bytes..][..self.bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_out_one_sample_at_a_time() {
        let array = Tensor::new(&[3, 2], vec![0i32, 1, 2, 3, 4, 5]).unwrap();
        let samples = ArraySamples::npy(&npy::write(&array).into()).unwrap();
        assert_eq!((samples.count(), samples.dims()), (3, &[2][..]));
        let second = samples.sample(1).unwrap();
        assert_eq!((second.dims(), second.values::<i32>().unwrap()), (&[1, 2][..], &[2, 3][..]));
        assert!(samples.sample(3).is_err());
    }

    #[test]
    fn columns_first_are_put_in_order() {
        let header = Header { descr: "|u1".into(), fortran_order: true, dims: vec![2, 3], start: 0 };
        let samples = ArraySamples::new(header, Bytes::from_static(&[0, 3, 1, 4, 2, 5])).unwrap();
        assert_eq!(samples.sample(1).unwrap().values::<u8>().unwrap(), [3, 4, 5]);
    }

    #[test]
    fn raw_numbers_need_a_shape_that_fits() {
        let samples = ArraySamples::raw(Bytes::from_static(&[1, 2, 3, 4, 5, 6]), "|u1", &[1, 3]).unwrap();
        assert_eq!(samples.sample(1).unwrap().values::<u8>().unwrap(), [4, 5, 6]);
        assert!(ArraySamples::raw(Bytes::from_static(&[1, 2, 3]), "|u1", &[2]).is_err());
        assert!(ArraySamples::raw(Bytes::from_static(&[1, 2, 3]), "|u1", &[0]).is_err());
        assert!(ArraySamples::raw(Bytes::from_static(&[1, 2, 3]), "<q9", &[1]).is_err());
    }
}
