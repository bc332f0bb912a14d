//! The commands, one file each: its arguments, and what it does.

pub(crate) mod api_versions;
pub(crate) mod cluster;
pub(crate) mod configs;
pub(crate) mod consume;
pub(crate) mod demo;
pub(crate) mod groups;
pub(crate) mod produce;
pub(crate) mod query_offsets;
pub(crate) mod topics;
