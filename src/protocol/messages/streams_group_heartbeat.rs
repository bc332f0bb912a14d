//! StreamsGroupHeartbeat: joins, keeps and leaves a group of Kafka Streams (KIP-1071). To the group's coordinator.
//!
//! What has not changed since the last one is left null (or -1), in both directions.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName};

message! {
    request 88 -> StreamsGroupHeartbeatResponse, versions 0..=1, flexible 0.., listeners [broker];

    /// A member's sign of life and what has changed with it.
    struct StreamsGroupHeartbeatRequest {
        group_id: GroupId [0..],
        /// Chosen by the member, and kept for its whole life.
        member_id: Str [0..],
        /// 0 joins; -1 leaves; -2 leaves for a while, keeping a static member's tasks.
        member_epoch: i32 [0..],
        /// The epoch of `partitions_by_user_endpoint` that the member has.
        endpoint_information_epoch: i32 [0..],
        instance_id: Option<Str> [0.., null 0..] = None,
        rack_id: Option<Str> [0.., null 0..] = None,
        rebalance_timeout_ms: i32 [0..] = -1,
        /// Only when joining.
        topology: Option<Topology> [0.., null 0..] = None,
        active_tasks: Option<Vec<TaskIds>> [0.., null 0..] = None,
        standby_tasks: Option<Vec<TaskIds>> [0.., null 0..] = None,
        warmup_tasks: Option<Vec<TaskIds>> [0.., null 0..] = None,
        /// Members of one process share it, and its state stores.
        process_id: Option<Str> [0.., null 0..] = None,
        /// Where the application answers queries of its state.
        user_endpoint: Option<Endpoint> [0.., null 0..] = None,
        /// Where the member runs, for standby tasks to be elsewhere.
        client_tags: Option<Vec<KeyValue>> [0.., null 0..] = None,
        /// Sent when warm-up tasks may have caught up, and at the interval that the coordinator names.
        task_offsets: Option<Vec<TaskOffset>> [0.., null 0..] = None,
        task_end_offsets: Option<Vec<TaskOffset>> [0.., null 0..] = None,
        /// Asks that all members stop.
        shutdown_application: bool [0..],
    }

    /// The topics and tasks that the application works with.
    struct Topology {
        epoch: i32 [0..],
        subtopologies: Vec<Subtopology> [0..],
    }

    /// Tasks that are made of the same topics.
    struct Subtopology {
        subtopology_id: Str [0..],
        source_topics: Vec<TopicName> [0..],
        source_topic_regex: Vec<Str> [0..],
        state_changelog_topics: Vec<TopicInfo> [0..],
        repartition_sink_topics: Vec<TopicName> [0..],
        repartition_source_topics: Vec<TopicInfo> [0..],
        copartition_groups: Vec<CopartitionGroup> [0..],
    }

    /// An internal topic.
    struct TopicInfo {
        name: TopicName [0..],
        /// 0 where no number is demanded.
        partitions: i32 [0..],
        /// 0 for the broker's default.
        replication_factor: i16 [0..],
        topic_configs: Vec<KeyValue> [0..],
    }

    /// A name with its value.
    struct KeyValue {
        key: Str [0..],
        value: Str [0..],
    }

    /// Topics that must have the same number of partitions: places in the subtopology's lists.
    struct CopartitionGroup {
        source_topics: Vec<i16> [0..],
        source_topic_regex: Vec<i16> [0..],
        repartition_source_topics: Vec<i16> [0..],
    }

    /// Some tasks of one subtopology.
    struct TaskIds {
        subtopology_id: Str [0..],
        partitions: Vec<i32> [0..],
    }

    /// An address.
    struct Endpoint {
        host: Str [0..],
        port: u16 [0..],
    }

    /// How far a task is in its change log.
    struct TaskOffset {
        subtopology_id: Str [0..],
        partition: i32 [0..],
        offset: i64 [0..],
    }
}

message! {
    response 88, versions 0..=1, flexible 0..;

    /// The member's epoch, and its tasks if they have changed.
    struct StreamsGroupHeartbeatResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        member_id: Str [0..],
        member_epoch: i32 [0..],
        heartbeat_interval_ms: i32 [0..],
        acceptable_recovery_lag_legacy: i32 [0..=0],
        /// How often to send `task_offsets`.
        task_offset_interval_ms: i32 [0..],
        /// How far behind a task may be and yet count as caught up; -1 where the broker does not say.
        acceptable_recovery_lag: i64 [1..] ignorable = -1,
        status: Option<Vec<Status>> [0.., null 0..],
        active_tasks: Option<Vec<TaskIds>> [0.., null 0..] = None,
        standby_tasks: Option<Vec<TaskIds>> [0.., null 0..] = None,
        warmup_tasks: Option<Vec<TaskIds>> [0.., null 0..] = None,
        /// Asks for StreamsGroupTopologyDescriptionUpdate (KIP-1331).
        topology_description_required: bool [1..],
        endpoint_information_epoch: i32 [0..],
        /// Who has which partitions, for queries. A process has one entry for each of its members.
        partitions_by_user_endpoint: Option<Vec<EndpointToPartitions>> [0.., null 0..] = None,
    }

    /// Something that is not as it should be in the group.
    struct Status {
        status_code: i8 [0..],
        status_detail: Str [0..],
    }

    /// What one member has.
    struct EndpointToPartitions {
        user_endpoint: Endpoint [0..],
        active_partitions: Vec<TopicPartition> [0..],
        standby_partitions: Vec<TopicPartition> [0..],
    }

    /// Some partitions of one topic.
    struct TopicPartition {
        topic: TopicName [0..],
        partitions: Vec<i32> [0..],
    }
}
