//! Quotas: whom they are for, and what they limit (KIP-13, KIP-124, KIP-546, KIP-599).

use std::fmt;

/// What a quota limits. Rates are measured as Kafka measures them, over ten seconds and the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Quota {
    /// Bytes of Produce requests, per second (`producer_byte_rate`).
    ProducerByteRate,
    /// Bytes of answers to Fetch, per second (`consumer_byte_rate`).
    ConsumerByteRate,
    /// The time that requests take, in percent of one thread (`request_percentage`). As nothing takes time in this broker, each request
    /// is taken to need 0.1 ms: 1 % are 100 requests per second.
    RequestPercentage,
    /// Partitions that are created or deleted, per second (`controller_mutation_rate`). Eleven seconds' worth may come at once.
    ControllerMutationRate,
    /// Connections from an address, per second (`connection_creation_rate`). It can be set and read, but has no effect.
    ConnectionCreationRate,
}

impl Quota {
    /// All there are.
    pub(crate) const ALL: [Self; 5] = [
        Self::ProducerByteRate,
        Self::ConsumerByteRate,
        Self::RequestPercentage,
        Self::ControllerMutationRate,
        Self::ConnectionCreationRate,
    ];

    /// Its name in Kafka.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProducerByteRate => "producer_byte_rate",
            Self::ConsumerByteRate => "consumer_byte_rate",
            Self::RequestPercentage => "request_percentage",
            Self::ControllerMutationRate => "controller_mutation_rate",
            Self::ConnectionCreationRate => "connection_creation_rate",
        }
    }
}

/// The name of a part of an entity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// For whom there is nothing else.
    Default,
    Named(String),
}

impl Name {
    /// A null is the default in requests.
    pub(crate) fn new(name: Option<&str>) -> Self {
        name.map_or(Self::Default, |name| Self::Named(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name),
        }
    }
}

/// Whom a quota is for: a client id, a user, or a user's client. The most exact entity that fits a client counts; users go before client
/// ids. Who has not logged in is `ANONYMOUS`.
///
/// ```
/// use klamm_broker::QuotaEntity;
///
/// let reports = QuotaEntity::client_id("reports");
/// let others = QuotaEntity::default_client_id();
/// let alice = QuotaEntity::user("alice").and_client_id("reports");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
#[must_use]
pub struct QuotaEntity {
    pub(crate) user: Option<Name>,
    pub(crate) client_id: Option<Name>,
    pub(crate) ip: Option<Name>,
}

impl QuotaEntity {
    pub(crate) const NOBODY: Self = Self { user: None, client_id: None, ip: None };

    /// Clients of this id.
    pub fn client_id(id: impl Into<String>) -> Self {
        Self::NOBODY.and_client_id(id)
    }

    /// Clients of ids without a quota of their own: each id may use it up.
    pub fn default_client_id() -> Self {
        Self::NOBODY.and_default_client_id()
    }

    /// All clients of this user together.
    pub fn user(name: impl Into<String>) -> Self {
        Self { user: Some(Name::Named(name.into())), ..Self::NOBODY }
    }

    /// Users without a quota of their own: each may use it up.
    pub fn default_user() -> Self {
        Self { user: Some(Name::Default), ..Self::NOBODY }
    }

    /// Of this user, clients of this id alone.
    pub fn and_client_id(self, id: impl Into<String>) -> Self {
        Self { client_id: Some(Name::Named(id.into())), ..self }
    }

    /// Of this user, clients of ids without a quota of their own.
    pub fn and_default_client_id(self) -> Self {
        Self { client_id: Some(Name::Default), ..self }
    }
}

impl fmt::Debug for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("user", &self.user), ("client-id", &self.client_id), ("ip", &self.ip)];
        let parts = parts.into_iter().filter_map(|(kind, name)| Some((kind, name.as_ref()?.as_str().unwrap_or("<default>"))));
        f.debug_map().entries(parts).finish()
    }
}
