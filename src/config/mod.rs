//! Settings: bootstrap servers, Java property names, the table of defaults.
//!
//! `seeds` parses addresses, `properties` reads settings by their Java (or librdkafka) names and keeps track of which a component took,
//! `defaults` is the table of all names. Builders have a method for each setting; nothing here knows what the settings do.

mod defaults;
mod properties;
mod seeds;

pub use defaults::{Component, SETTINGS, Setting, Use, setting};
pub use properties::Properties;
pub use seeds::{DEFAULT_PORT, IntoSeeds, Seed, parse_seeds};
