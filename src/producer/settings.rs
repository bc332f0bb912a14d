//! What a producer can be told, and the check that it makes sense together.
//!
//! The defaults stand here once. [`Choice::resolve`] turns what the user set into what the producer works with: it is the only place
//! where settings are compared with each other.

use std::time::Duration;

use super::interceptor::Interceptors;
use super::partitioner::Partitioning;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::records::Compression;

/// When a record counts as delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Acks {
    /// When all in-sync replicas have it (`all`, -1). The default.
    #[default]
    #[doc(alias = "-1")]
    All,
    /// When the partition's leader has it (1): it is lost if the leader fails before a replica has copied it.
    #[doc(alias = "1")]
    Leader,
    /// When it was handed to the connection (0): nobody says whether a broker got it.
    #[doc(alias = "0")]
    None,
}

impl Acks {
    /// The number in a Produce request.
    pub(super) fn number(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::None => 0,
        }
    }
}

/// As in Java's `acks`: `all` or `-1`, `1`, `0`.
impl std::str::FromStr for Acks {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" | "-1" => Ok(Self::All),
            "1" => Ok(Self::Leader),
            "0" => Ok(Self::None),
            _ => Err(Error::new(ErrorKind::InvalidConfig, format!("acks must be all, 1 or 0, not \"{text}\""))),
        }
    }
}

impl std::fmt::Display for Acks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Leader => "1",
            Self::None => "0",
        })
    }
}

/// What the user set, or the defaults.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) acks: Option<Acks>,
    pub(super) idempotent: Option<bool>,
    pub(super) max_in_flight: Option<usize>,
    pub(super) linger: Duration,
    pub(super) batch_size: usize,
    pub(super) max_request_size: usize,
    pub(super) buffer_memory: usize,
    pub(super) max_block: Duration,
    pub(super) delivery_timeout: Option<Duration>,
    pub(super) request_timeout: Duration,
    /// How long a broker may wait for replicas; the request time-out unless set.
    pub(super) ack_timeout: Option<Duration>,
    pub(super) retries: u32,
    pub(super) compression: Compression,
    pub(super) compression_level: Option<i32>,
    /// Batches of fewer records are sent as they are.
    pub(super) compression_threshold: usize,
    pub(super) partitioning: Partitioning,
    pub(super) interceptors: Interceptors,
    pub(super) inline: bool,
    pub(super) seed: u64,
}

/// What a producer works with.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) acks: Acks,
    pub(super) idempotent: bool,
    /// Unanswered Produce requests of one connection.
    pub(super) max_requests: usize,
    /// Unanswered batches of one partition, where sequence numbers do not keep the order.
    pub(super) max_batches: usize,
    pub(super) linger: Duration,
    pub(super) batch_size: usize,
    pub(super) max_request_size: usize,
    pub(super) buffer_memory: usize,
    pub(super) max_block: Duration,
    pub(super) delivery_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) ack_timeout: Duration,
    pub(super) retries: u32,
    pub(super) compression: Compression,
    pub(super) compression_level: Option<i32>,
    pub(super) compression_threshold: usize,
    pub(super) partitioning: Partitioning,
    pub(super) interceptors: Interceptors,
    /// Compress on the calling task instead of the blocking pool.
    pub(super) inline: bool,
    pub(super) seed: u64,
}

/// `delivery.timeout.ms`.
pub(super) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

/// A limit on anything that waits, so that adding it to an instant cannot overflow.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Requests in flight that idempotence allows: brokers recognize a producer's last five batches of a partition.
const MAX_IDEMPOTENT: usize = 5;

impl Choice {
    /// The defaults; `request_timeout` is the client's.
    pub(super) fn new(request_timeout: Duration) -> Self {
        Self {
            acks: None,
            idempotent: None,
            max_in_flight: None,
            linger: Duration::from_millis(5),
            batch_size: 256 * 1024,
            max_request_size: 1024 * 1024,
            buffer_memory: 32 * 1024 * 1024,
            max_block: Duration::from_secs(60),
            delivery_timeout: None,
            request_timeout,
            ack_timeout: None,
            retries: u32::MAX,
            compression: Compression::None,
            compression_level: None,
            compression_threshold: 1,
            partitioning: Partitioning::default(),
            interceptors: Interceptors::default(),
            inline: false,
            seed: any_seed(),
        }
    }

    /// Checks the settings, one by one and against each other.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`], naming each setting concerned.
    pub(super) fn resolve(&self) -> Result<Settings> {
        let acks = self.acks.unwrap_or_default();
        let idempotent = match (acks, self.idempotent) {
            (Acks::All, idempotent) => idempotent.unwrap_or(true),
            (_, None) => false,
            (acks, Some(true)) => {
                return Err(invalid(format!(
                    "enable.idempotence is true and acks is {acks}: an idempotent producer needs acks=all; set one of the two otherwise"
                )));
            }
            (_, Some(false)) => false,
        };
        if let Some(max) = self.max_in_flight
            && (max == 0 || (idempotent && max > MAX_IDEMPOTENT))
        {
            return Err(invalid(format!(
                "max.in.flight.requests.per.connection is {max}; it must be at least 1, and at most {MAX_IDEMPOTENT} with enable.idempotence"
            )));
        }
        for (name, value, max) in [
            ("batch.size", self.batch_size, 1 << 30),
            ("max.request.size", self.max_request_size, 1 << 30),
            ("buffer.memory", self.buffer_memory, usize::MAX >> 4),
        ] {
            if value == 0 || value > max {
                return Err(invalid(format!("{name} is {value}; it must be between 1 and {max} bytes")));
            }
        }
        if self.buffer_memory < self.max_request_size {
            return Err(invalid(format!(
                "buffer.memory is {} and max.request.size {}: the largest record must fit into the buffer",
                self.buffer_memory, self.max_request_size
            )));
        }
        if self.request_timeout.is_zero() {
            return Err(invalid("request.timeout.ms is 0; it must be positive".into()));
        }
        let shortest = self.linger.saturating_add(self.request_timeout);
        let delivery_timeout = self.delivery_timeout.unwrap_or(DELIVERY_TIMEOUT.max(shortest));
        if delivery_timeout < shortest {
            return Err(invalid(format!(
                "delivery.timeout.ms is {} ms; it must be at least linger.ms ({} ms) plus request.timeout.ms ({} ms)",
                delivery_timeout.as_millis(),
                self.linger.as_millis(),
                self.request_timeout.as_millis()
            )));
        }
        Ok(Settings {
            acks,
            idempotent,
            max_requests: self.max_in_flight.unwrap_or(MAX_IDEMPOTENT),
            max_batches: self.max_in_flight.unwrap_or(1),
            linger: self.linger.min(FOREVER),
            batch_size: self.batch_size.min(self.max_request_size),
            max_request_size: self.max_request_size,
            buffer_memory: self.buffer_memory,
            max_block: self.max_block.min(FOREVER),
            delivery_timeout: delivery_timeout.min(FOREVER),
            request_timeout: self.request_timeout.min(FOREVER),
            ack_timeout: self.ack_timeout.unwrap_or(self.request_timeout).min(FOREVER),
            retries: self.retries,
            compression: self.compression,
            compression_level: self.compression_level,
            compression_threshold: self.compression_threshold,
            partitioning: self.partitioning.clone(),
            interceptors: self.interceptors.clone(),
            inline: self.inline,
            seed: self.seed,
        })
    }
}

impl Settings {
    /// The codec for a batch of `count` records.
    pub(super) fn compression_of(&self, count: usize) -> Compression {
        if count < self.compression_threshold { Compression::None } else { self.compression }
    }
}

/// What random choices follow from, where nobody says.
#[expect(clippy::disallowed_methods, reason = "where no seed is given")]
pub(super) fn any_seed() -> u64 {
    fastrand::u64(..)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice() -> Choice {
        Choice::new(Duration::from_secs(30))
    }

    #[test]
    fn nothing_set_means_all_replicas_and_idempotent() {
        let settings = choice().resolve().unwrap();
        assert_eq!((settings.acks, settings.idempotent, settings.max_requests), (Acks::All, true, 5));
        assert_eq!(settings.delivery_timeout, Duration::from_secs(120));
        assert_eq!((settings.batch_size, settings.buffer_memory), (256 * 1024, 32 * 1024 * 1024));
    }

    #[test]
    fn fewer_acks_turn_idempotence_off_unless_it_was_asked_for() {
        for acks in [Acks::Leader, Acks::None] {
            let settings = Choice { acks: Some(acks), ..choice() }.resolve().unwrap();
            assert!(!settings.idempotent);
            assert_eq!(settings.max_batches, 1, "one batch at a time keeps the order");
        }
    }

    #[test]
    fn rk_085_idempotence_with_fewer_acks_is_an_error_naming_both() {
        for acks in [Acks::Leader, Acks::None] {
            let error = Choice { acks: Some(acks), idempotent: Some(true), ..choice() }.resolve().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains("enable.idempotence") && error.to_string().contains("acks"), "{error}");
        }
    }

    #[test]
    fn contradictions_name_every_setting_concerned() {
        let seconds = Duration::from_secs;
        let table = [
            (Choice { delivery_timeout: Some(seconds(1)), ..choice() }, ["delivery.timeout.ms", "request.timeout.ms"]),
            (Choice { buffer_memory: 1000, ..choice() }, ["buffer.memory", "max.request.size"]),
            (Choice { max_in_flight: Some(6), ..choice() }, ["max.in.flight", "enable.idempotence"]),
            (Choice { max_in_flight: Some(0), ..choice() }, ["max.in.flight", "0"]),
            (Choice { batch_size: 0, ..choice() }, ["batch.size", "0"]),
        ];
        for (choice, names) in table {
            let error = choice.resolve().unwrap_err();
            assert!(names.iter().all(|name| error.to_string().contains(name)), "{error}");
        }
        assert!("2".parse::<Acks>().unwrap_err().to_string().contains("\"2\""));
    }
}
