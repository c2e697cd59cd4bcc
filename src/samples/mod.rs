//! Samples that a graph is run on: arrays in the files that numpy writes.

pub mod npy;
