//! One member of a group.

use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::Str;
use klamm::protocol::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};

use crate::core::Call;

/// A new member that waits in JoinGroup for so long is out: its client may have gone and come back under another id.
const NEW_MEMBER_TIMEOUT: Duration = Duration::from_secs(300);

/// Time-outs of members are no shorter, so that no timer is due at the moment it is set.
const SHORTEST: Duration = Duration::from_millis(1);

/// A member, as long as it is in the group.
#[derive(Clone, Debug)]
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
    /// Has its first JoinGroup not been answered yet?
    pub(crate) is_new: bool,
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
            session_deadline: now + NEW_MEMBER_TIMEOUT,
            joining: None,
            syncing: None,
            synced: false,
            is_new: true,
        };
        member.update(request);
        member
    }

    /// Takes over what a request to join says.
    pub(crate) fn update(&mut self, request: &JoinGroupRequest) {
        let millis = |millis: i32| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        self.session_timeout = millis(request.session_timeout_ms).max(SHORTEST);
        // Version 0 has but one time-out for both.
        let rebalance_timeout =
            if request.rebalance_timeout_ms < 0 { self.session_timeout } else { millis(request.rebalance_timeout_ms) };
        self.rebalance_timeout = rebalance_timeout.max(SHORTEST);
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

    /// When it counts as dead; not while it waits for us, unless it is new.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waits = self.joining.is_some() || self.syncing.is_some();
        (self.is_new || !waits).then_some(self.session_deadline)
    }

    /// What the coordinator's log keeps of it: what it said under the chosen protocol alone, and no request that waits.
    pub(crate) fn saved(&self, protocol: Option<&Str>) -> Self {
        let protocols = self.protocols.iter().filter(|(name, _)| Some(name) == protocol).cloned().collect();
        Self { protocols, joining: None, syncing: None, synced: true, is_new: false, ..self.clone() }
    }
}
