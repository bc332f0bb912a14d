//! What a broker serves, and which version to choose for a request: the highest that both sides have (KIP-35).

use std::ops::RangeInclusive;

use crate::network::{Cause, CauseKind};
use crate::protocol::messages::api_versions::ApiVersionsResponse;
use crate::protocol::{ApiKey, Request};

/// The APIs without which nobody writes, reads or is a member of a group.
const MAIN: [ApiKey; 9] = [
    ApiKey::PRODUCE,
    ApiKey::FETCH,
    ApiKey::LIST_OFFSETS,
    ApiKey::METADATA,
    ApiKey::FIND_COORDINATOR,
    ApiKey::JOIN_GROUP,
    ApiKey::OFFSET_COMMIT,
    ApiKey::OFFSET_FETCH,
    ApiKey::INIT_PRODUCER_ID,
];

/// What a broker said that it serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ApiVersions {
    /// API, least and greatest version; ascending, each API once.
    ranges: Vec<(ApiKey, i16, i16)>,
}

impl ApiVersions {
    /// As the broker answered. A range that is none is left out.
    pub(crate) fn new(response: &ApiVersionsResponse) -> Self {
        let ranges = response.api_keys.iter().map(|api| (ApiKey(api.api_key), api.min_version, api.max_version)).collect();
        Self::from_ranges(ranges)
    }

    /// From API, least and greatest version.
    pub(crate) fn from_ranges(mut ranges: Vec<(ApiKey, i16, i16)>) -> Self {
        ranges.retain(|(_, min, max)| (0..=*max).contains(min));
        ranges.sort_unstable();
        ranges.dedup_by_key(|(key, ..)| *key);
        Self { ranges }
    }

    /// The broker's versions of `api`; `None` if it does not serve it.
    pub(crate) fn range(&self, api: ApiKey) -> Option<RangeInclusive<i16>> {
        let at = self.ranges.binary_search_by_key(&api, |(key, ..)| *key).ok()?;
        self.ranges.get(at).map(|(_, min, max)| *min..=*max)
    }

    /// The highest version that the broker, this library and `allowed` have in common.
    ///
    /// # Errors
    /// [`CauseKind::UnsupportedVersion`] naming the API and the ranges.
    pub(crate) fn select(&self, api: ApiKey, allowed: RangeInclusive<i16>) -> Result<i16, Cause> {
        let ours = api.versions().unwrap_or(allowed.clone());
        self.highest(api, *ours.start().max(allowed.start())..=*ours.end().min(allowed.end()))
    }

    /// The highest version that the broker has among `ours`, which may be unstable ones.
    ///
    /// # Errors
    /// As [`select`](Self::select).
    pub(crate) fn highest(&self, api: ApiKey, ours: RangeInclusive<i16>) -> Result<i16, Cause> {
        let theirs = self.range(api);
        if let Some(theirs) = &theirs {
            let version = *ours.end().min(theirs.end());
            if version >= *ours.start().max(theirs.start()) {
                return Ok(version);
            }
        }
        let shown = |versions: &RangeInclusive<i16>| match (versions.start(), versions.end()) {
            (first, last) if first > last => "none".to_owned(),
            (first, last) if first == last => format!("{first}"),
            (first, last) => format!("{first} to {last}"),
        };
        // What neither side has any more is of no use to the other.
        let is_outdated = theirs.as_ref().is_none_or(|theirs| theirs.end() < ours.start());
        let advice = if is_outdated { "it takes a newer broker" } else { "it takes a newer klamm, or an older broker" };
        Err(Cause::new(
            CauseKind::UnsupportedVersion,
            match theirs {
                None => format!("the broker does not serve {api}, of which this request can use {}", shown(&ours)),
                Some(theirs) => format!(
                    "no version of {api} in common: the broker has {}, this request can use {}",
                    shown(&theirs),
                    shown(&ours)
                ),
            },
        )
        .advise(advice))
    }

    /// The versions that are used of the APIs that matter most, for the log.
    pub(crate) fn summary(&self) -> String {
        let used = MAIN.map(|api| match self.select(api, 0..=i16::MAX) {
            Ok(version) => format!("{api} {version}"),
            Err(_) => format!("{api} none"),
        });
        used.join(", ")
    }

    /// As [`select`](Self::select) for a request type, without its unstable version.
    pub(crate) fn select_for<R: Request>(&self, allowed: RangeInclusive<i16>) -> Result<i16, Cause> {
        let (first, last) = R::VERSIONS.into_inner();
        let last = if R::UNSTABLE.is_some() { last - 1 } else { last };
        self.select(ApiKey(R::API_KEY), first.max(*allowed.start())..=last.min(*allowed.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ApiMessage;
    use crate::protocol::messages::heartbeat::HeartbeatRequest;

    fn versions(min: i16, max: i16) -> ApiVersions {
        ApiVersions::from_ranges(vec![(ApiKey::HEARTBEAT, min, max)])
    }

    #[test]
    fn the_highest_common_version_is_chosen() {
        let last = *HeartbeatRequest::VERSIONS.end();
        for (min, max, allowed, expected) in [
            (0, 3, 0..=i16::MAX, 3),
            (0, 99, 0..=i16::MAX, last),
            (2, 2, 0..=i16::MAX, 2),
            (0, 99, 0..=1, 1),
            (last, 99, 0..=i16::MAX, last),
        ] {
            assert_eq!(versions(min, max).select_for::<HeartbeatRequest>(allowed).unwrap(), expected);
        }
    }

    #[test]
    fn nothing_in_common_is_an_error_that_names_api_and_both_ranges() {
        let error = versions(90, 99).select_for::<HeartbeatRequest>(0..=i16::MAX).unwrap_err();
        assert_eq!(error.kind(), CauseKind::UnsupportedVersion);
        assert_eq!(
            error.to_string(),
            "no version of Heartbeat in common: the broker has 90 to 99, this request can use 0 to 4; it takes a newer klamm, or an older broker"
        );
        let error = versions(5, 3).select_for::<HeartbeatRequest>(0..=i16::MAX).unwrap_err();
        assert!(error.to_string().starts_with("the broker does not serve Heartbeat"), "{error}");
        let error = versions(0, 4).select_for::<HeartbeatRequest>(7..=9).unwrap_err();
        assert!(error.to_string().contains("can use none"), "{error}");
    }
}
