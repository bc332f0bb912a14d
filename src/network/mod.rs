//! One connection to one broker: set-up, frames, requests in flight, time-outs.
//!
//! What a user sees of it is how bytes get there: a [`Connector`] opens a [`Transport`] to a [`Target`]. [`TcpConnector`] is the one used
//! unless the client is given another, such as a proxy or a pipe in memory; TLS is a connector around a connector.
//!
//! Inside, `connection` is the core: bytes in, bytes out, what is in flight, what is due. `driver` runs it over a transport, connects
//! when somebody wants something and again after failures. Where requests come from is a `RequestSource`: the driver pulls from it when
//! there is room in flight, so that a producer can decide at the last moment what to send. `Connection` is the source for everyone
//! else: typed requests over a bounded queue.
//!
//! A connection never retries a request. It says exactly once what became of it: an answer, or a `Failure` that tells whether the
//! broker can have seen it. Retrying, routing and choosing brokers is `cluster`'s. A connection counts as ready when all set-up steps
//! are through: ApiVersions first (KIP-35, KIP-511), then those that its configuration adds (SASL, `sasl/`).
//!
//! # Log
//! What is negotiated is logged through `tracing`: target `klamm::network`, level debug, once for each connection, in this order.
//! Target, messages and names of fields stay as they are; fields may be added. `broker` is the address dialled; `node` is the broker's
//! id, which is not known of a bootstrap server. Nothing that proves who the client is is among them.
//!
//! | message | fields beside `broker` |
//! |---|---|
//! | `connecting` | `node`, `tls` |
//! | `TLS agreed on` | `version`, `suite`, `handshake` (`Full`, `Resumed`, …); of the broker's certificate `subject`, `issuer`, `expires`, `names` (the first five) |
//! | `versions agreed on` | `version` (of ApiVersions), `apis` (what is used of the main APIs), `features` (the cluster's, with their levels; the protocol has no name for the broker's software) |
//! | `authenticated` | `by` (SASL and the mechanism), `session_ms` (absent: as long as the connection lasts); again when a session is renewed |
//! | `connected`, `session renewed` | `node`, `tls` |
//! | `not connected`, `disconnected` | `node`, `cause` |
//! | `throttled` | `node`, `pause` |

pub(crate) mod clock;
mod connection;
mod driver;
mod exchange;
mod failure;
mod handle;
mod handshake;
mod in_flight;
#[cfg(feature = "unstable-cores")]
pub(crate) mod line;
mod pace;
pub(crate) mod sasl;
mod session;
pub(crate) mod setup;
mod source;
pub(crate) mod throttle;
pub(crate) mod tls;
mod transport;
#[cfg(feature = "unstable-cores")]
pub(crate) mod unstable;
mod versions;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::network::setup::SetupStep;

pub(crate) use driver::{SourceHandle, spawn_source};
pub(crate) use failure::{Cause, CauseKind, Failure, TlsFailure, Written};
pub(crate) use handle::Connection;
#[cfg(feature = "unstable-cores")]
pub(crate) use handle::{Pending, Queue};
pub(crate) use source::{Feedback, Outgoing, RequestSource, ResponseBody};
pub use transport::{BoxFuture, Connector, Target, TcpConnector, Transport};
pub(crate) use versions::ApiVersions;

/// The target under which connections log; see the module.
pub(crate) const LOG: &str = "klamm::network";

/// Makes the steps that follow ApiVersions, anew for each time they are run: on each connection, and again before what they proved
/// counts no more.
pub(crate) type SetupSteps = Arc<dyn Fn() -> Result<Vec<Box<dyn SetupStep>>, Cause> + Send + Sync>;

/// How one connection behaves. [`Default`] is `defaults.md`.
#[derive(Clone)]
pub(crate) struct ConnectionConfig {
    /// `client.id`, seen in the broker's logs, metrics and quotas.
    pub client_id: Option<String>,
    /// Name of the client software, as ApiVersions tells it (KIP-511).
    pub software_name: String,
    /// Its version.
    pub software_version: String,
    /// Requests sent and not answered, at most.
    pub max_in_flight: usize,
    /// First time allowed for connecting and all set-up steps together; doubles with each failure (KIP-601).
    pub setup_timeout: Duration,
    /// What it doubles up to.
    pub setup_timeout_max: Duration,
    /// First pause after a failure to connect; doubles with each.
    pub reconnect_backoff: Duration,
    /// What it doubles up to.
    pub reconnect_backoff_max: Duration,
    /// Longest frame taken from a broker once its versions are known.
    pub max_frame: usize,
    /// A connection unused for so long is closed; the next request opens another.
    pub idle_timeout: Duration,
    /// Are its transports encrypted? Only what errors advise depends on it.
    pub is_tls: bool,
    /// Which broker is at the other end, where that is known; for texts and the log.
    pub broker: Option<KnownBroker>,
    /// Set-up steps after ApiVersions.
    pub setup: Option<SetupSteps>,
    /// What jitter comes from; drawn by the owner of the connection.
    pub seed: u64,
}

/// A broker that metadata told of.
#[derive(Clone, Debug)]
pub(crate) struct KnownBroker {
    /// Its number.
    pub id: i32,
    /// The bootstrap server by which the client came to know of it.
    pub told_by: Option<Arc<str>>,
}

impl ConnectionConfig {
    /// What errors call the other end: its number, if that is known, and its address.
    pub(in crate::network) fn label(&self, target: &Target) -> String {
        match &self.broker {
            Some(KnownBroker { id, .. }) => format!("{id} ({target})"),
            None => target.to_string(),
        }
    }

    /// What to do about an address that cannot be connected to.
    pub(in crate::network) fn address_advice(&self, target: &str) -> String {
        match self.broker.as_ref().and_then(|broker| broker.told_by.as_deref()) {
            Some(server) if server != target => format!(
                "the broker advertises this address, as bootstrap server {server} told: if it runs and cannot be reached under it from here, change its advertised.listeners"
            ),
            _ => "check the address, and that a broker listens there".to_owned(),
        }
    }
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            client_id: Some("klamm".to_owned()),
            software_name: "klamm".to_owned(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            max_in_flight: 5,
            setup_timeout: Duration::from_secs(10),
            setup_timeout_max: Duration::from_secs(30),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            max_frame: 100_000_000,
            idle_timeout: Duration::from_secs(9 * 60),
            is_tls: false,
            broker: None,
            setup: None,
            seed: 0,
        }
    }
}

impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionConfig")
            .field("client_id", &self.client_id)
            .field("max_in_flight", &self.max_in_flight)
            .field("setup_timeout", &self.setup_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
