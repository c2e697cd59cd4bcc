//! An image as a moving window sees it, cut into blocks of results.
//!
//! Where the window reaches over the border, a band of the image is copied into a frame of zeros: as many rows as a block
//! of results sees, so that it stays in the cache. Elsewhere the image is read where it is.

use std::ops::Range;

use super::window::Axis;
use crate::error::Result;
use crate::interpreter::gemm::{Multiply, Piece, block_rows, pieces};
use crate::interpreter::memory::Memory;
use crate::interpreter::tensor::{Storage, Tensor, element_count};

/// An image as the window sees it: with a frame of zeros where it reaches over the border.
pub(super) struct Framed<T> {
    rows: Axis,
    columns: Axis,
    channels: usize,
    /// Rows of the image in their frame; none where there is no frame.
    band: Option<Storage<T>>,
}

impl<T: Multiply> Framed<T> {
    pub(super) fn new(rows: Axis, columns: Axis, channels: usize, memory: &mut Memory) -> Result<Self> {
        let mut framed = Self { rows, columns, channels, band: None };
        if rows.framed() > rows.input || rows.before > 0 || columns.framed() > columns.input || columns.before > 0 {
            let lines = framed.band_rows(framed.block_rows());
            framed.band = Some(memory.unset::<T>(element_count(&[lines, columns.framed(), channels])?)?);
        }
        Ok(framed)
    }

    /// How many rows of results make a block.
    fn block_rows(&self) -> usize {
        let pixels = block_rows(self.rows.output * self.columns.output);
        pixels.div_ceil(self.columns.output).min(self.rows.output)
    }

    /// How many pixels of results make a block.
    pub(super) fn block_pixels(&self) -> usize {
        let pixels = self.rows.output * self.columns.output;
        if self.band.is_some() { self.block_rows() * self.columns.output } else { block_rows(pixels) }
    }

    /// How many rows of the framed image so many rows of results see.
    fn band_rows(&self, rows: usize) -> usize {
        (rows - 1) * self.rows.stride + self.rows.reach()
    }

    /// From one row of the framed image to the next.
    fn pitch(&self) -> usize {
        self.channels * if self.band.is_some() { self.columns.framed() } else { self.columns.input }
    }

    /// The framed image's row that the patches of those pixels start with.
    fn top(&self, pixels: &Range<usize>) -> usize {
        if self.band.is_some() { pixels.start / self.columns.output * self.rows.stride } else { 0 }
    }

    /// Where in the band the patch of each of those pixels starts.
    pub(super) fn starts(&self, pixels: &Range<usize>) -> Vec<usize> {
        let top = self.top(pixels);
        let start = |pixel: usize| {
            let (row, column) = (pixel / self.columns.output, pixel % self.columns.output);
            (row * self.rows.stride - top) * self.pitch() + column * self.columns.stride * self.channels
        };
        pixels.clone().map(start).collect()
    }

    /// The part of the image that those pixels of the result see.
    pub(super) fn band<'a>(&'a mut self, image: &'a [T], pixels: &Range<usize>) -> &'a [T] {
        let top = self.top(pixels);
        let rows = pixels.end.div_ceil(self.columns.output) - pixels.start / self.columns.output;
        let lines = self.band_rows(rows);
        let (pitch, channels) = (self.pitch(), self.channels);
        let Some(band) = &mut self.band else { return image };
        let line = self.columns.input * channels;
        // A frame may end before the image does, or even begin, where the window's steps leave out the last places.
        let left = pitch.min(self.columns.before * channels);
        let seen = line.min(pitch - left);
        for (index, to) in band.chunks_exact_mut(pitch).take(lines).enumerate() {
            let from = (top + index).checked_sub(self.rows.before).filter(|&row| row < self.rows.input);
            let Some(row) = from else {
                to.fill(T::default());
                continue;
            };
            to[..left].fill(T::default());
            to[left..left + seen].copy_from_slice(&image[row * line..][..seen]);
            to[left + seen..].fill(T::default());
        }
        band
    }

    /// From where a patch starts to each element of the window.
    pub(super) fn elements(&self) -> impl Iterator<Item = usize> + '_ {
        let lines = (0..self.rows.kernel).map(|row| row * self.rows.dilation * self.pitch());
        let step = self.columns.dilation * self.channels;
        lines.flat_map(move |line| (0..self.columns.kernel).map(move |column| line + column * step))
    }

    /// What a patch consists of, of so many channels.
    pub(super) fn patch(&self, depth: usize) -> Vec<Piece> {
        if depth == self.channels && self.columns.dilation == 1 {
            return pieces(self.elements().step_by(self.columns.kernel), self.columns.kernel * depth);
        }
        pieces(self.elements(), depth)
    }

    pub(super) fn recycle(self, memory: &mut Memory) {
        if let Some(band) = self.band {
            reuse(band, memory);
        }
    }
}

/// Hands scratch memory back to the session.
pub(super) fn reuse<T: Multiply>(scratch: Storage<T>, memory: &mut Memory) {
    let count = scratch.len();
    if let Ok(tensor) = Tensor::from_storage(vec![count], scratch) {
        memory.recycle(tensor);
    }
}
