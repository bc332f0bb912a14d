//! Producers.
mod partitioner;
mod sequence;
mod verdict;

pub use partitioner::murmur2;
