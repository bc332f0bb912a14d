//! Consumers: groups, positions, fetched records.

pub mod assignor;
mod group;
mod group_driver;
mod offsets;

pub use offsets::OffsetAndMetadata;
