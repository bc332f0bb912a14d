//! Which codes clients were answered with, by API.

use std::collections::BTreeMap;

use klamm::protocol::ApiKey;

use crate::coverage::Coverage;

/// Counts the codes of an answer's frame.
pub(super) fn note(_coverage: &mut Coverage, asked: &mut BTreeMap<i32, (ApiKey, i16)>, frame: &[u8]) {
    let Some(id) = frame.get(4..8).and_then(|id| id.try_into().ok()).map(i32::from_be_bytes) else { return };
    _ = asked.remove(&id);
}
