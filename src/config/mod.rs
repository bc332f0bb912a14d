//! Settings: bootstrap servers, Java property names, encryption and authentication, the table of defaults.
//!
//! `seeds` parses addresses, `properties` reads settings by their Java (or librdkafka) names and keeps track of which a component took,
//! `defaults` is the table of all names. `tls` and `sasl` hold what `security` takes from properties and checks together. Builders have
//! a method for each setting; nothing here knows what the settings do.

mod defaults;
mod jaas;
mod nearest;
mod properties;
mod sasl;
mod secret;
mod security;
mod seeds;
mod tls;

pub use defaults::{Component, SETTINGS, Setting, Use, setting};
pub(crate) use nearest::nearest;
pub use properties::Properties;
pub use sasl::{Sasl, SaslMechanism};
pub use secret::Secret;
pub(crate) use security::Security;
pub(crate) use seeds::check_schemes;
pub use seeds::{DEFAULT_PORT, IntoSeeds, Seed, parse_seeds};
#[cfg(feature = "tls")]
pub(crate) use tls::Pem;
pub use tls::{TlsConfig, TlsVersion};
