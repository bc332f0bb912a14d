//! Settings: bootstrap servers, Java property names, the table of defaults.
//!
//! `seeds` parses addresses, `properties` reads settings by their Java (or librdkafka) names and keeps track of which a component took.
//! Builders have a method for each setting; nothing here knows what the settings do.

mod seeds;

pub use seeds::{DEFAULT_PORT, IntoSeeds, Seed, parse_seeds};
