//! Files that hold a graph.

pub mod text;
