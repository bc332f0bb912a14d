//! StreamsGroupDescribe: state, topology and members of groups of Kafka Streams (KIP-1071). To each group's coordinator.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName};

message! {
    request 89 -> StreamsGroupDescribeResponse, versions 0..=1, flexible 0.., listeners [broker];

    /// Asks for some groups, all of this coordinator.
    struct StreamsGroupDescribeRequest {
        group_ids: Vec<GroupId> [0..],
        include_authorized_operations: bool [0..],
        include_topology_description: bool [1..],
    }
}

message! {
    response 89, versions 0..=1, flexible 0..;

    /// The groups asked for.
    struct StreamsGroupDescribeResponse {
        throttle_time_ms: i32 [0..],
        groups: Vec<DescribedGroup> [0..],
    }

    /// One group.
    struct DescribedGroup {
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
        group_id: GroupId [0..],
        group_state: Str [0..],
        group_epoch: i32 [0..],
        assignment_epoch: i32 [0..],
        topology: Option<Topology> [0.., null 0..] = None,
        members: Vec<Member> [0..],
        /// A set of bits; `i32::MIN` where it was not asked for.
        authorized_operations: i32 [0..] = i32::MIN,
        topology_description: Option<TopologyDescription> [1.., null 1..] = None,
        /// 0 not asked for, 1 none is kept, 2 it could not be read, 3 it is here (KIP-1331).
        topology_description_status: i8 [1..],
        /// The one that makes the next assignment; not always the one that made the present one.
        assignor_name: Option<Str> [1.., null 1..] ignorable = None,
    }

    /// The topics and tasks that the group works with.
    struct Topology {
        epoch: i32 [0..],
        /// Null while the topology is not ready: topics are missing, or do not go together.
        subtopologies: Option<Vec<Subtopology>> [0.., null 0..] = None,
    }

    /// Tasks that are made of the same topics.
    struct Subtopology {
        subtopology_id: Str [0..],
        source_topics: Vec<TopicName> [0..],
        repartition_sink_topics: Vec<TopicName> [0..],
        state_changelog_topics: Vec<TopicInfo> [0..],
        repartition_source_topics: Vec<TopicInfo> [0..],
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

    /// One member.
    struct Member {
        member_id: Str [0..],
        member_epoch: i32 [0..],
        instance_id: Option<Str> [0.., null 0..] = None,
        rack_id: Option<Str> [0.., null 0..] = None,
        client_id: Str [0..],
        client_host: Str [0..],
        topology_epoch: i32 [0..],
        /// Members of one process share it, and its state stores.
        process_id: Str [0..],
        /// Where the application answers queries of its state.
        user_endpoint: Option<Endpoint> [0.., null 0..] = None,
        /// Where the member runs, for standby tasks to be elsewhere.
        client_tags: Vec<KeyValue> [0..],
        task_offsets: Vec<TaskOffset> [0..],
        task_end_offsets: Vec<TaskOffset> [0..],
        assignment: Assignment [0..],
        target_assignment: Assignment [0..],
        /// Still in the classic protocol.
        is_classic: bool [0..],
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

    /// What a member has, or shall have.
    struct Assignment {
        active_tasks: Vec<TaskIds> [0..],
        standby_tasks: Vec<TaskIds> [0..],
        warmup_tasks: Vec<TaskIds> [0..],
    }

    /// Some tasks of one subtopology.
    struct TaskIds {
        subtopology_id: Str [0..],
        partitions: Vec<i32> [0..],
    }

    /// The topology as the application has it, for people to read (KIP-1331).
    struct TopologyDescription {
        subtopologies: Vec<TopologyDescriptionSubtopology> [1..],
        global_stores: Vec<TopologyDescriptionGlobalStore> [1..],
    }

    /// One subtopology.
    struct TopologyDescriptionSubtopology {
        subtopology_id: Str [1..],
        nodes: Vec<TopologyDescriptionNode> [1..],
    }

    /// One node of the graph.
    struct TopologyDescriptionNode {
        name: Str [1..],
        /// 1 source, 2 processor, 3 sink.
        node_type: i8 [1..],
        source_topics: Vec<TopicName> [1..],
        /// Null where it is chosen record by record.
        sink_topic: Option<TopicName> [1.., null 1..] = None,
        stores: Vec<Str> [1..],
        /// Names of the nodes that come after it.
        successors: Vec<Str> [1..],
    }

    /// A store that every member has the whole of, with what fills it.
    struct TopologyDescriptionGlobalStore {
        source: TopologyDescriptionNode [1..],
        processor: TopologyDescriptionNode [1..],
    }
}
