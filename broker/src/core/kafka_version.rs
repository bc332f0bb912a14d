//! Which Kafka this broker plays: the ranges of API versions that each release offers.
//!
//! They are facts of the releases: `ApiKeys` in the jar `org.apache.kafka:kafka-clients` of the last patch of each, asked for its
//! oldest and latest stable version (`oldestVersion()`, `latestVersion(false)`) and, where there are listeners, for those of brokers:
//! under ZooKeeper up to 3.2, under KRaft from 3.3 on. APIs between brokers and controllers are left out, but for WriteTxnMarkers, which clients may call, too. What a release does not
//! have follows from them: no flexible versions before 2.4, no topic ids before 2.8, and so on.

use klamm::protocol::ApiKey;

/// A release by its first two numbers: 208 is 2.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KafkaVersion(u16);

/// The first that answers a version of ApiVersions that it does not know with the versions that it does (KIP-511).
const KIP_511: KafkaVersion = KafkaVersion(204);

/// The first with features other than that of its metadata.
const KIP_1022: KafkaVersion = KafkaVersion(400);

/// The first without the old versions of Produce, which it lists all the same: librdkafka would else take it for a broker before 0.10.
const WITHOUT_OLD_PRODUCE: KafkaVersion = KafkaVersion(400);

/// How many minor releases each major one has had.
const RELEASES: [(u16, u16); 3] = [(2, 9), (3, 10), (4, 5)];

impl KafkaVersion {
    fn all() -> impl Iterator<Item = Self> {
        RELEASES.iter().flat_map(|(major, minors)| (0..*minors).map(move |minor| Self(major * 100 + minor)))
    }

    pub(crate) fn newest() -> Self {
        Self(404)
    }

    /// Has it features that clients see: groups of KIP-848, transactions of KIP-890?
    pub(crate) fn has_features(self) -> bool {
        self >= KIP_1022
    }

    /// From text such as `3.7`; a third number, of a patch, makes no difference.
    ///
    /// # Errors
    /// With what there is, when there is no such release.
    pub(crate) fn parse(version: &str) -> Result<Self, String> {
        let mut numbers = version.split('.').map(|number| number.parse::<u16>().ok());
        let found = match (numbers.next().flatten(), numbers.next().flatten(), numbers.next(), numbers.next()) {
            (Some(major), Some(minor), None | Some(Some(_)), None) => Self::all().find(|known| known.numbers() == (major, minor)),
            _ => None,
        };
        found.ok_or_else(|| {
            let known: Vec<_> = Self::all().map(|known| known.to_string()).collect();
            format!("no ranges of versions are known of Kafka {version:?}; there are {}", known.join(", "))
        })
    }

    fn numbers(self) -> (u16, u16) {
        (self.0 / 100, self.0 % 100)
    }

    /// First and last version of an API that its brokers offer; `None` if they do not have it.
    pub(crate) fn range(self, api: ApiKey) -> Option<(i16, i16)> {
        let (_, changes) = RANGES.iter().find(|(key, _)| *key == api)?;
        let (_, first, last) = changes.iter().rev().find(|(since, ..)| *since <= self.0)?;
        (first <= last).then_some((*first, *last))
    }

    /// What its brokers list for an API of which they offer this.
    pub(crate) fn listed(self, api: ApiKey, (first, last): (i16, i16)) -> (i16, i16) {
        if api == ApiKey::PRODUCE && self >= WITHOUT_OLD_PRODUCE { (0, last) } else { (first, last) }
    }

    /// Does it say what it knows to a client whose version of ApiVersions it does not?
    pub(crate) fn helps_newer_clients(self) -> bool {
        self >= KIP_511
    }
}

impl std::fmt::Display for KafkaVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor) = self.numbers();
        write!(f, "{major}.{minor}")
    }
}

/// From a release on: first and last version.
type Change = (u16, i16, i16);

/// The ranges of each API, by the releases that changed them; where the last is below the first, the API is not there.
#[rustfmt::skip]
const RANGES: &[(ApiKey, &[Change])] = &[
    (ApiKey::PRODUCE, &[(200, 0, 6), (201, 0, 7), (204, 0, 8), (208, 0, 9), (307, 0, 10), (308, 0, 11), (400, 3, 12), (401, 3, 13)]),
    (ApiKey::FETCH, &[(200, 0, 8), (201, 0, 10), (203, 0, 11), (207, 0, 12), (301, 0, 13), (305, 0, 15), (307, 0, 16), (309, 0, 17), (400, 4, 17), (401, 4, 18)]),
    (ApiKey::LIST_OFFSETS, &[(200, 0, 3), (201, 0, 4), (202, 0, 5), (208, 0, 6), (300, 0, 7), (305, 0, 8), (309, 0, 9), (400, 1, 10), (402, 1, 11)]),
    (ApiKey::METADATA, &[(200, 0, 6), (201, 0, 7), (203, 0, 8), (204, 0, 9), (208, 0, 11), (301, 0, 12), (400, 0, 13)]),
    (ApiKey::OFFSET_COMMIT, &[(200, 0, 4), (201, 0, 6), (203, 0, 7), (204, 0, 8), (307, 0, 9), (400, 2, 9), (402, 2, 10)]),
    (ApiKey::OFFSET_FETCH, &[(200, 0, 4), (201, 0, 5), (204, 0, 6), (205, 0, 7), (300, 0, 8), (307, 0, 9), (400, 1, 9), (402, 1, 10)]),
    (ApiKey::FIND_COORDINATOR, &[(200, 0, 2), (204, 0, 3), (300, 0, 4), (308, 0, 5), (309, 0, 6)]),
    (ApiKey::JOIN_GROUP, &[(200, 0, 3), (202, 0, 4), (203, 0, 5), (204, 0, 6), (205, 0, 7), (302, 0, 9), (400, 2, 9), (401, 0, 9)]),
    (ApiKey::HEARTBEAT, &[(200, 0, 2), (203, 0, 3), (204, 0, 4)]),
    (ApiKey::LEAVE_GROUP, &[(200, 0, 2), (204, 0, 4), (302, 0, 5)]),
    (ApiKey::SYNC_GROUP, &[(200, 0, 2), (203, 0, 3), (204, 0, 4), (205, 0, 5)]),
    (ApiKey::DESCRIBE_GROUPS, &[(200, 0, 2), (203, 0, 3), (204, 0, 5), (400, 0, 6)]),
    (ApiKey::LIST_GROUPS, &[(200, 0, 2), (204, 0, 3), (206, 0, 4), (308, 0, 5)]),
    (ApiKey::SASL_HANDSHAKE, &[(200, 0, 1)]),
    (ApiKey::API_VERSIONS, &[(200, 0, 2), (204, 0, 3), (309, 0, 4), (404, 0, 5)]),
    (ApiKey::CREATE_TOPICS, &[(200, 0, 3), (204, 0, 5), (207, 0, 6), (208, 0, 7), (400, 2, 7)]),
    (ApiKey::DELETE_TOPICS, &[(200, 0, 2), (201, 0, 3), (204, 0, 4), (207, 0, 5), (208, 0, 6), (400, 1, 6)]),
    (ApiKey::DELETE_RECORDS, &[(200, 0, 1), (206, 0, 2)]),
    (ApiKey::INIT_PRODUCER_ID, &[(200, 0, 1), (204, 0, 2), (205, 0, 3), (207, 0, 4), (308, 0, 5)]),
    (ApiKey::OFFSET_FOR_LEADER_EPOCH, &[(200, 0, 1), (201, 0, 2), (203, 0, 3), (208, 0, 4), (400, 2, 4)]),
    (ApiKey::ADD_PARTITIONS_TO_TXN, &[(200, 0, 1), (207, 0, 2), (208, 0, 3), (306, 0, 4), (308, 0, 5)]),
    (ApiKey::ADD_OFFSETS_TO_TXN, &[(200, 0, 1), (207, 0, 2), (208, 0, 3), (308, 0, 4)]),
    (ApiKey::END_TXN, &[(200, 0, 1), (207, 0, 2), (208, 0, 3), (308, 0, 4), (400, 0, 5)]),
    (ApiKey::WRITE_TXN_MARKERS, &[(200, 0, 0), (208, 0, 1), (400, 1, 1), (402, 1, 2)]),
    (ApiKey::TXN_OFFSET_COMMIT, &[(200, 0, 1), (201, 0, 2), (205, 0, 3), (308, 0, 4), (400, 0, 5), (404, 0, 6)]),
    (ApiKey::DESCRIBE_ACLS, &[(200, 0, 1), (205, 0, 2), (303, 0, 3), (400, 1, 3)]),
    (ApiKey::CREATE_ACLS, &[(200, 0, 1), (205, 0, 2), (303, 0, 3), (400, 1, 3)]),
    (ApiKey::DELETE_ACLS, &[(200, 0, 1), (205, 0, 2), (303, 0, 3), (400, 1, 3)]),
    (ApiKey::DESCRIBE_CONFIGS, &[(200, 0, 2), (206, 0, 3), (208, 0, 4), (400, 1, 4)]),
    (ApiKey::ALTER_CONFIGS, &[(200, 0, 1), (208, 0, 2)]),
    (ApiKey::ALTER_REPLICA_LOG_DIRS, &[(200, 0, 1), (208, 0, 2), (400, 1, 2)]),
    (ApiKey::DESCRIBE_LOG_DIRS, &[(200, 0, 1), (206, 0, 2), (302, 0, 3), (303, 0, 4), (400, 1, 4), (403, 1, 5)]),
    (ApiKey::SASL_AUTHENTICATE, &[(200, 0, 0), (202, 0, 1), (205, 0, 2)]),
    (ApiKey::CREATE_PARTITIONS, &[(200, 0, 1), (205, 0, 2), (207, 0, 3)]),
    (ApiKey::CREATE_DELEGATION_TOKEN, &[(200, 0, 1), (204, 0, 2), (303, 0, -1), (306, 0, 3), (400, 1, 3)]),
    (ApiKey::RENEW_DELEGATION_TOKEN, &[(200, 0, 1), (205, 0, 2), (303, 0, -1), (306, 0, 2), (400, 1, 2)]),
    (ApiKey::EXPIRE_DELEGATION_TOKEN, &[(200, 0, 1), (205, 0, 2), (303, 0, -1), (306, 0, 2), (400, 1, 2)]),
    (ApiKey::DESCRIBE_DELEGATION_TOKEN, &[(200, 0, 1), (205, 0, 2), (303, 0, -1), (306, 0, 3), (400, 1, 3)]),
    (ApiKey::DELETE_GROUPS, &[(200, 0, 1), (204, 0, 2), (404, 0, 3)]),
    (ApiKey::ELECT_LEADERS, &[(202, 0, 0), (204, 0, 2)]),
    (ApiKey::INCREMENTAL_ALTER_CONFIGS, &[(203, 0, 0), (204, 0, 1)]),
    (ApiKey::ALTER_PARTITION_REASSIGNMENTS, &[(204, 0, 0), (401, 0, 1)]),
    (ApiKey::LIST_PARTITION_REASSIGNMENTS, &[(204, 0, 0)]),
    (ApiKey::OFFSET_DELETE, &[(204, 0, 0)]),
    (ApiKey::DESCRIBE_CLIENT_QUOTAS, &[(206, 0, 0), (208, 0, 1)]),
    (ApiKey::ALTER_CLIENT_QUOTAS, &[(206, 0, 0), (208, 0, 1)]),
    (ApiKey::DESCRIBE_USER_SCRAM_CREDENTIALS, &[(207, 0, 0), (303, 0, -1), (305, 0, 0)]),
    (ApiKey::ALTER_USER_SCRAM_CREDENTIALS, &[(207, 0, 0), (303, 0, -1), (305, 0, 0)]),
    (ApiKey::DESCRIBE_QUORUM, &[(207, 0, 0), (208, 0, -1), (303, 0, 1), (309, 0, 2)]),
    (ApiKey::UPDATE_FEATURES, &[(207, 0, 0), (303, 0, 1), (400, 0, 2)]),
    (ApiKey::DESCRIBE_CLUSTER, &[(208, 0, 0), (307, 0, 1), (400, 0, 2)]),
    (ApiKey::DESCRIBE_PRODUCERS, &[(208, 0, 0)]),
    (ApiKey::UNREGISTER_BROKER, &[(303, 0, 0)]),
    (ApiKey::DESCRIBE_TRANSACTIONS, &[(300, 0, 0)]),
    (ApiKey::LIST_TRANSACTIONS, &[(300, 0, 0), (308, 0, 1), (401, 0, 2)]),
    (ApiKey::CONSUMER_GROUP_HEARTBEAT, &[(307, 0, 0), (400, 0, 1)]),
    (ApiKey::CONSUMER_GROUP_DESCRIBE, &[(308, 0, 0), (400, 0, 1)]),
    (ApiKey::GET_TELEMETRY_SUBSCRIPTIONS, &[(307, 0, 0)]),
    (ApiKey::PUSH_TELEMETRY, &[(307, 0, 0)]),
    (ApiKey::LIST_CONFIG_RESOURCES, &[(307, 0, 0), (401, 0, 1)]),
    (ApiKey::DESCRIBE_TOPIC_PARTITIONS, &[(308, 0, 0)]),
    (ApiKey::SHARE_GROUP_HEARTBEAT, &[(401, 1, 1)]),
    (ApiKey::SHARE_GROUP_DESCRIBE, &[(401, 1, 1)]),
    (ApiKey::SHARE_FETCH, &[(401, 1, 1), (402, 1, 2)]),
    (ApiKey::SHARE_ACKNOWLEDGE, &[(401, 1, 1), (402, 1, 2)]),
    (ApiKey::ADD_RAFT_VOTER, &[(309, 0, 0), (402, 0, 1)]),
    (ApiKey::REMOVE_RAFT_VOTER, &[(309, 0, 0)]),
    (ApiKey::STREAMS_GROUP_HEARTBEAT, &[(402, 0, 0), (404, 0, 1)]),
    (ApiKey::STREAMS_GROUP_DESCRIBE, &[(402, 0, 0), (404, 0, 1)]),
    (ApiKey::DESCRIBE_SHARE_GROUP_OFFSETS, &[(401, 0, 0), (402, 0, 1)]),
    (ApiKey::ALTER_SHARE_GROUP_OFFSETS, &[(401, 0, 0)]),
    (ApiKey::DELETE_SHARE_GROUP_OFFSETS, &[(401, 0, 0)]),
    (ApiKey::STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE, &[(404, 0, 0)]),
    (ApiKey::UNREGISTER_CONTROLLER, &[(404, 0, 0)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_offer_what_their_jars_say() {
        let range = |version: &str, api| KafkaVersion::parse(version).unwrap().range(api);
        assert_eq!(range("2.0", ApiKey::FETCH), Some((0, 8)));
        assert_eq!(range("2.7.2", ApiKey::FETCH), Some((0, 12)));
        assert_eq!(range("3.9", ApiKey::FETCH), Some((0, 17)));
        assert_eq!(range("4.3.1", ApiKey::FETCH), Some((4, 18)));
        assert_eq!(range("2.3", ApiKey::API_VERSIONS), Some((0, 2)));
        assert_eq!(range("2.2", ApiKey::INCREMENTAL_ALTER_CONFIGS), None);
        assert_eq!(range("3.4", ApiKey::DESCRIBE_USER_SCRAM_CREDENTIALS), None, "not under KRaft yet");
        assert_eq!(range("3.5", ApiKey::DESCRIBE_USER_SCRAM_CREDENTIALS), Some((0, 0)));
    }

    #[test]
    fn what_is_no_release_is_refused_with_those_there_are() {
        for wrong in ["", "2", "2.9", "1.1", "4.5", "three", "2.x", "3.7.1.2", "3.7.x"] {
            let why = KafkaVersion::parse(wrong).unwrap_err();
            assert!(
                why.contains(wrong) && why.contains("2.0, 2.1,") && why.contains("3.9, 4.0") && why.ends_with("4.4"),
                "{why}"
            );
        }
    }

    #[test]
    fn each_api_that_is_served_has_its_ranges() {
        for api in crate::core::settings::SERVED {
            assert!(RANGES.iter().any(|(known, _)| known == api), "{api:?}");
        }
    }

    #[test]
    fn ranges_are_in_order_and_only_grow_at_their_end() {
        assert!(RANGES.is_sorted_by_key(|(api, _)| *api));
        for (api, changes) in RANGES {
            assert!(changes.is_sorted_by_key(|(since, ..)| *since), "{api:?}");
            let ends: Vec<_> = changes.iter().map(|(.., last)| *last).filter(|last| *last >= 0).collect();
            assert!(ends.is_sorted(), "{api:?}");
        }
    }
}
