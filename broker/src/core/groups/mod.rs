//! Groups.
use crate::core::{Call, Settings};
use klamm::protocol::messages::{join_group::*, sync_group::*};
use std::time::Instant;
#[derive(Debug)]
pub(crate) struct Groups {}
#[derive(Debug)]
#[allow(dead_code)]
pub(crate) enum GroupReply {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
}
impl Groups {
    pub(crate) fn new(_: &Settings) -> Self {
        Self {}
    }
    pub(crate) fn next_reply(&mut self) -> Option<(Call, GroupReply)> {
        None
    }
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        None
    }
    pub(crate) fn handle_timeout(&mut self, _: Instant) {}
    pub(crate) fn forget_topic(&mut self, _: &str) {}
}
