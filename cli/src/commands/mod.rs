//! The commands, one file each: its arguments, and what it does.

pub(crate) mod api_versions;
pub(crate) mod broker;
pub(crate) mod cluster;
pub(crate) mod codec;
pub(crate) mod configs;
pub(crate) mod consume;
pub(crate) mod demo;
pub(crate) mod groups;
pub(crate) mod produce;
pub(crate) mod query_offsets;
pub(crate) mod records;
pub(crate) mod request;
pub(crate) mod schema;
pub(crate) mod topics;

use klamm::Topic;

use crate::exit::{Done, Failure};

/// A topic's name. One that Kafka would refuse is wrong usage, told before a broker is looked for.
pub(crate) fn topic(name: &str) -> Done<Topic> {
    let topic = Topic::from(name);
    match topic.invalid() {
        None => Ok(topic),
        Some(why) => Err(Failure::usage(format!("topic {name:?}: {why}"))),
    }
}
