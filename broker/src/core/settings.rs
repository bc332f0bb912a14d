//! How the broker is set up: what a real one has in `server.properties`, as far as it matters here.
//!
//! Defaults are Kafka's, but for what would make tests slow (`group.initial.rebalance.delay.ms` is 0) or surprising
//! (`auto.create.topics.enable` is off).

use std::collections::BTreeMap;
use std::time::Duration;

use klamm::protocol::ApiKey;

use crate::core::KafkaVersion;

/// The APIs that are served, of all that the library knows.
pub(crate) const SERVED: &[ApiKey] = &[
    ApiKey::PRODUCE,
    ApiKey::FETCH,
    ApiKey::LIST_OFFSETS,
    ApiKey::METADATA,
    ApiKey::OFFSET_COMMIT,
    ApiKey::OFFSET_FETCH,
    ApiKey::FIND_COORDINATOR,
    ApiKey::JOIN_GROUP,
    ApiKey::HEARTBEAT,
    ApiKey::LEAVE_GROUP,
    ApiKey::SYNC_GROUP,
    ApiKey::DESCRIBE_GROUPS,
    ApiKey::LIST_GROUPS,
    ApiKey::SASL_HANDSHAKE,
    ApiKey::SASL_AUTHENTICATE,
    ApiKey::API_VERSIONS,
    ApiKey::CREATE_TOPICS,
    ApiKey::DELETE_TOPICS,
    ApiKey::INIT_PRODUCER_ID,
    ApiKey::ADD_PARTITIONS_TO_TXN,
    ApiKey::ADD_OFFSETS_TO_TXN,
    ApiKey::END_TXN,
    ApiKey::WRITE_TXN_MARKERS,
    ApiKey::TXN_OFFSET_COMMIT,
    ApiKey::DESCRIBE_CONFIGS,
    ApiKey::CREATE_PARTITIONS,
    ApiKey::DELETE_GROUPS,
    ApiKey::INCREMENTAL_ALTER_CONFIGS,
    ApiKey::OFFSET_DELETE,
    ApiKey::DESCRIBE_CLUSTER,
    ApiKey::DESCRIBE_PRODUCERS,
    ApiKey::DESCRIBE_TRANSACTIONS,
    ApiKey::LIST_TRANSACTIONS,
    ApiKey::ALTER_CONFIGS,
    ApiKey::DESCRIBE_LOG_DIRS,
    ApiKey::DESCRIBE_CLIENT_QUOTAS,
    ApiKey::ALTER_CLIENT_QUOTAS,
    ApiKey::DESCRIBE_USER_SCRAM_CREDENTIALS,
    ApiKey::ALTER_USER_SCRAM_CREDENTIALS,
    ApiKey::DELETE_RECORDS,
    ApiKey::OFFSET_FOR_LEADER_EPOCH,
    ApiKey::ELECT_LEADERS,
    ApiKey::DESCRIBE_TOPIC_PARTITIONS,
];

/// The settings of the whole cluster.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) nodes: i32,
    pub(crate) cluster_id: String,
    pub(crate) racks: BTreeMap<i32, String>,
    pub(crate) auto_create_topics: bool,
    pub(crate) default_partitions: i32,
    /// `None`: three, or as many as there are nodes.
    pub(crate) default_replication_factor: Option<i16>,
    pub(crate) message_max_bytes: i32,
    pub(crate) group_min_session_timeout: Duration,
    pub(crate) group_max_session_timeout: Duration,
    pub(crate) group_initial_rebalance_delay: Duration,
    pub(crate) group_max_size: usize,
    pub(crate) offset_metadata_max_bytes: usize,
    pub(crate) offsets_retention: Duration,
    pub(crate) offsets_retention_check_interval: Duration,
    pub(crate) transaction_max_timeout: Duration,
    /// `transactional.id.expiration.ms`.
    pub(crate) transactional_id_expiration: Duration,
    /// `producer.id.expiration.ms`.
    pub(crate) producer_id_expiration: Duration,
    /// Levels of features that differ from the highest.
    pub(crate) features: BTreeMap<String, i16>,
    /// Grows with each change of a level.
    pub(crate) features_epoch: i64,
    pub(crate) min_insync_replicas: usize,
    pub(crate) unclean_leader_election: bool,
    pub(crate) replica_lag_time_max: Duration,
    /// With fewer replicas in sync than `min.insync.replicas`, as before Kafka 3.7.
    pub(crate) high_watermark_moves_below_min_isr: bool,
    /// Are batches that logs lose kept for whoever asks?
    pub(crate) keeps_losses: bool,
    pub(crate) retention_check_interval: Duration,
    /// `connections.max.reauth.ms`; `None`: a client that has logged in is believed as long as its connection lasts.
    pub(crate) session_lifetime: Option<Duration>,
    /// Decompress what is produced and look at each record, as Kafka does.
    pub(crate) validate_records: bool,
    /// The release that is played; `None`: all that the library has declared.
    pub(crate) kafka_version: Option<KafkaVersion>,
    /// Versions that differ from those that the library has declared; `None` where the API is not offered.
    pub(crate) versions: BTreeMap<ApiKey, Option<(i16, i16)>>,
    /// Bytes of request bodies that the log of requests keeps.
    pub(crate) request_log_bytes: usize,
    pub(crate) seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodes: 1,
            cluster_id: "klamm-broker-cluster00".to_owned(),
            racks: BTreeMap::new(),
            auto_create_topics: false,
            default_partitions: 1,
            default_replication_factor: None,
            message_max_bytes: 1_048_588,
            group_min_session_timeout: Duration::from_secs(6),
            group_max_session_timeout: Duration::from_secs(1800),
            group_initial_rebalance_delay: Duration::ZERO,
            group_max_size: usize::MAX,
            offset_metadata_max_bytes: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
            offsets_retention_check_interval: Duration::from_secs(600),
            transaction_max_timeout: Duration::from_secs(900),
            transactional_id_expiration: Duration::from_secs(7 * 24 * 3600),
            producer_id_expiration: Duration::from_secs(24 * 3600),
            features: BTreeMap::new(),
            features_epoch: 1,
            min_insync_replicas: 1,
            unclean_leader_election: false,
            replica_lag_time_max: Duration::from_secs(30),
            high_watermark_moves_below_min_isr: false,
            keeps_losses: false,
            retention_check_interval: Duration::from_secs(300),
            session_lifetime: None,
            validate_records: true,
            kafka_version: None,
            versions: BTreeMap::new(),
            request_log_bytes: 256 << 20,
            seed: 0,
        }
    }
}

impl Settings {
    /// First and last version of an API that is served.
    pub(crate) fn versions(&self, api: ApiKey) -> Option<(i16, i16)> {
        if !SERVED.contains(&api) {
            return None;
        }
        if let Some(set) = self.versions.get(&api) {
            return *set;
        }
        let (first, last) = api.api()?.versions;
        let Some(played) = self.kafka_version else { return Some((first, last)) };
        let (oldest, latest) = played.range(api)?;
        // Of versions that the library does not have there is no more than the release's word.
        let (first, last) = (first.max(oldest), last.min(latest));
        (first <= last).then_some((first, last))
    }

    /// First and last version that ApiVersions lists for it: what the release lists, old versions that the library has dropped
    /// included.
    pub(crate) fn listed(&self, api: ApiKey) -> Option<(i16, i16)> {
        let (first, last) = self.versions(api)?;
        if self.versions.contains_key(&api) {
            return Some((first, last));
        }
        let Some(played) = self.kafka_version else { return Some(KafkaVersion::newest().listed(api, (first, last))) };
        let (oldest, _) = played.range(api)?;
        Some(played.listed(api, (oldest, last)))
    }

    /// What topics get without a word about it.
    pub(crate) fn replication_factor(&self) -> i16 {
        // At least one node, at most three replicas.
        self.default_replication_factor.unwrap_or(self.nodes.clamp(1, 3) as i16)
    }
}
