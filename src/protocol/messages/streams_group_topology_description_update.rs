//! StreamsGroupTopologyDescriptionUpdate: the topology of an application of Kafka Streams, for people to read (KIP-1331). To the
//! group's coordinator, when StreamsGroupHeartbeat asks for it.

use crate::protocol::{ErrorCode, GroupId, Str, TopicName};

message! {
    request 93 -> StreamsGroupTopologyDescriptionUpdateResponse, versions 0..=0, flexible 0.., listeners [broker];

    /// The topology and who tells of it.
    struct StreamsGroupTopologyDescriptionUpdateRequest {
        group_id: GroupId [0..],
        member_id: Str [0..],
        topology_epoch: i32 [0..],
        topology_description: TopologyDescription [0..],
    }

    /// The graph of the application.
    struct TopologyDescription {
        subtopologies: Vec<TopologyDescriptionSubtopology> [0..],
        global_stores: Vec<TopologyDescriptionGlobalStore> [0..],
    }

    /// One subtopology.
    struct TopologyDescriptionSubtopology {
        subtopology_id: Str [0..],
        nodes: Vec<TopologyDescriptionNode> [0..],
    }

    /// One node of the graph.
    struct TopologyDescriptionNode {
        name: Str [0..],
        /// 1 source, 2 processor, 3 sink.
        node_type: i8 [0..],
        source_topics: Vec<TopicName> [0..],
        /// Null where it is chosen record by record.
        sink_topic: Option<TopicName> [0.., null 0..] = None,
        stores: Vec<Str> [0..],
        /// Names of the nodes that come after it.
        successors: Vec<Str> [0..],
    }

    /// A store that every member has the whole of, with what fills it.
    struct TopologyDescriptionGlobalStore {
        source: TopologyDescriptionNode [0..],
        processor: TopologyDescriptionNode [0..],
    }
}

message! {
    response 93, versions 0..=0, flexible 0..;

    /// Taken, or why not.
    struct StreamsGroupTopologyDescriptionUpdateResponse {
        throttle_time_ms: i32 [0..],
        error_code: ErrorCode [0..],
        error_message: Option<Str> [0.., null 0..] = None,
    }
}
