//! The topology of a group of Kafka Streams (KIP-1071): a record of `__consumer_offsets`.

use crate::protocol::Str;

message! {
    coordinator key 23, versions 0..=0;

    /// The group.
    struct StreamsGroupTopologyKey {
        group_id: Str [0..=0],
    }
}

message! {
    coordinator value 23, versions 0..=0, flexible 0..;

    /// The topology as the application declared it.
    struct StreamsGroupTopologyValue {
        epoch: i32 [0..],
        subtopologies: Vec<Subtopology> [0..],
    }

    /// Tasks that are made of the same topics.
    struct Subtopology {
        subtopology_id: Str [0..],
        source_topics: Vec<Str> [0..],
        source_topic_regex: Vec<Str> [0..],
        state_changelog_topics: Vec<TopicInfo> [0..],
        repartition_sink_topics: Vec<Str> [0..],
        repartition_source_topics: Vec<TopicInfo> [0..],
        copartition_groups: Vec<CopartitionGroup> [0..],
    }

    /// An internal topic.
    struct TopicInfo {
        name: Str [0..],
        /// 0 where no number is demanded.
        partitions: i32 [0..],
        /// 0 for the broker's default.
        replication_factor: i16 [0..],
        topic_configs: Vec<TopicConfig> [0..],
    }

    /// A setting of an internal topic.
    struct TopicConfig {
        key: Str [0.., name "key"],
        value: Str [0.., name "value"],
    }

    /// Topics that must have the same number of partitions: places in the subtopology's lists.
    struct CopartitionGroup {
        source_topics: Vec<i16> [0..],
        source_topic_regex: Vec<i16> [0..],
        repartition_source_topics: Vec<i16> [0..],
    }
}
