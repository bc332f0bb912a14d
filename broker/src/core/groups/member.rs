//! One member of a group.

use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::Str;
use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};

use crate::core::Call;

/// A member, as long as it is in the group.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its name, if it is a static member (KIP-345).
    pub(crate) instance_id: Option<Str>,
    pub(crate) client_id: Str,
    pub(crate) host: Str,
    session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    /// In the member's order of preference.
    pub(crate) protocols: Vec<(Str, Bytes)>,
    pub(crate) assignment: Bytes,
    /// Its place in the order of joining, from which the leader follows.
    pub(crate) joined: u64,
    session_deadline: Instant,
    /// Its JoinGroup, if that waits for the others.
    pub(crate) joining: Option<Call>,
    /// Its SyncGroup, if that waits for the leader.
    pub(crate) syncing: Option<Call>,
    /// Has it sent SyncGroup in this generation?
    pub(crate) synced: bool,
}

impl Member {
    pub(crate) fn new(now: Instant, call: &Call, request: &JoinGroupRequest, joined: u64) -> Self {
        let mut member = Self {
            instance_id: request.group_instance_id.as_ref().map(Str::detached),
            client_id: call.client_id.as_ref().map(Str::detached).unwrap_or_default(),
            host: call.host.clone(),
            session_timeout: Duration::ZERO,
            rebalance_timeout: Duration::ZERO,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            joined,
            session_deadline: now,
            joining: None,
            syncing: None,
            synced: false,
        };
        member.update(request);
        member.heard(now);
        member
    }

    /// Takes over what a request to join says.
    pub(crate) fn update(&mut self, request: &JoinGroupRequest) {
        let millis = |millis: i32| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        self.session_timeout = millis(request.session_timeout_ms);
        // Version 0 has but one time-out for both.
        self.rebalance_timeout =
            if request.rebalance_timeout_ms < 0 { self.session_timeout } else { millis(request.rebalance_timeout_ms) };
        // Copies, so that no request's frame stays in memory for them.
        let copy = |protocol: &JoinGroupRequestProtocol| (protocol.name.detached(), Bytes::copy_from_slice(&protocol.metadata));
        self.protocols = request.protocols.iter().map(copy).collect();
    }

    /// Does it offer just what this request offers?
    pub(crate) fn offers(&self, protocols: &[JoinGroupRequestProtocol]) -> bool {
        let same = |((name, metadata), other): (&(Str, Bytes), &JoinGroupRequestProtocol)| {
            *name == other.name && *metadata == other.metadata
        };
        self.protocols.len() == protocols.len() && self.protocols.iter().zip(protocols).all(same)
    }

    /// What it says about itself under a protocol.
    pub(crate) fn metadata(&self, protocol: &Str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// It has shown that it lives.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.session_deadline = now + self.session_timeout;
    }

    /// When it counts as dead; not while it waits for us.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (self.joining.is_none() && self.syncing.is_none()).then_some(self.session_deadline)
    }
}
