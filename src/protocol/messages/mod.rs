//! The messages of the protocol, one file per API: request, response, where it is routed.
//!
//! Structs and fields have the names of Kafka's schemas, fields in snake case. `tests/protocol_schema.rs` compares each declaration
//! with the official schema; what is said in words is ours. A field goes without when its name says it all.
//!
//! Build a message with `..Default::default()`: the next Kafka release adds fields. Remember that a nullable field is `Some` of
//! something empty by default unless its declaration says `None`.
#![allow(missing_docs, reason = "most fields are named after what they are")]

pub mod api_versions;
pub mod consumer_group_heartbeat;
pub mod consumer_protocol_assignment;
pub mod consumer_protocol_subscription;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod produce;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod sync_group;
