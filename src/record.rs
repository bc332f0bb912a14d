//! What users hand in and get back: records to produce, messages consumed, and the names of where they are.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use crate::protocol::records::TimestampType;

/// A topic's name; cloning it costs a reference count, so keep one and hand out clones on hot paths.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What Kafka would refuse in this name; `None` if nothing: 1 to 249 of ASCII letters, digits, `.`, `_`, `-`, and not `.` or `..`.
    pub fn invalid(&self) -> Option<&'static str> {
        match &*self.0 {
            "" => Some("a topic name must not be empty"),
            "." | ".." => Some("a topic name must not be \".\" or \"..\""),
            name if name.len() > 249 => Some("a topic name has at most 249 characters"),
            name if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')) => {
                Some("a topic name has only ASCII letters, digits, '.', '_' and '-'")
            }
            _ => None,
        }
    }
}

impl From<&str> for Topic {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for Topic {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<Arc<str>> for Topic {
    fn from(name: Arc<str>) -> Self {
        Self(name)
    }
}

impl From<&Topic> for Topic {
    fn from(topic: &Topic) -> Self {
        topic.clone()
    }
}

impl From<&Topic> for Arc<str> {
    fn from(topic: &Topic) -> Self {
        topic.0.clone()
    }
}

impl From<Topic> for Arc<str> {
    fn from(topic: Topic) -> Self {
        topic.0
    }
}

impl std::borrow::Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Topic {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Topic {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Topic,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Topic>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A record's header. The protocol means the key to be text, but brokers do not check it: it is handed out as bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// Its name.
    pub key: Bytes,
    /// Its value; null is not the same as empty.
    pub value: Option<Bytes>,
}

impl Header {
    /// A header with a value.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), value: Some(value.into()) }
    }

    /// The key as text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn key_str(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.key)
    }
}

/// A record to produce. Key and value are null unless set; null is not the same as empty.
///
/// Without a partition it goes where the partition key or else the key says, or to a sticky choice if both are null. Without a
/// timestamp it gets the time of the call that hands it to a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a record does nothing until it is given to a producer"]
pub struct Record {
    /// Where it goes.
    pub topic: Topic,
    /// The partition, if it is not to be chosen.
    pub partition: Option<i32>,
    /// What decides the partition in place of the key; it is not sent.
    pub partition_key: Option<Bytes>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp: Option<i64>,
}

impl Record {
    /// An empty record for `topic`.
    pub fn new(topic: impl Into<Topic>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            partition_key: None,
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp: None,
        }
    }

    /// Sets the key.
    pub fn key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the value.
    pub fn value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Sets the partition.
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets what decides the partition in place of the key.
    pub fn partition_key(mut self, partition_key: impl Into<Bytes>) -> Self {
        self.partition_key = Some(partition_key.into());
        self
    }

    /// Adds a header.
    pub fn header(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.headers.push(Header::new(key, value));
        self
    }

    /// Sets the timestamp, in milliseconds since 1970-01-01 UTC.
    #[doc(alias = "create_time")]
    pub fn timestamp(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

/// Where an acknowledged record is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordMetadata {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: i32,
    /// Its offset; `None` if the broker did not say (acks 0, or it had the record already).
    pub offset: Option<i64>,
    /// Its timestamp in the log: the record's own, or the broker's for topics with `LogAppendTime`.
    pub timestamp: i64,
}

impl RecordMetadata {
    /// For a record in `partition` of `topic`.
    pub fn new(topic: Topic, partition: i32, offset: Option<i64>, timestamp: i64) -> Self {
        Self { topic, partition, offset, timestamp }
    }
}

/// A record as consumed. Its bytes share the memory of the response they came in; `detach` copies them out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Its topic.
    pub topic: Topic,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970-01-01 UTC.
    pub timestamp: i64,
    /// What the timestamp tells.
    pub timestamp_type: TimestampType,
    /// The key; null is not the same as empty.
    pub key: Option<Bytes>,
    /// The value; null is not the same as empty.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// Epoch of the leader that appended it, if the batch says.
    pub leader_epoch: Option<i32>,
}

impl Message {
    /// An empty message at a place; fields are public for tests of users' own code.
    pub fn new(topic: impl Into<Topic>, partition: i32, offset: i64) -> Self {
        Self {
            topic: topic.into(),
            partition,
            offset,
            timestamp: -1,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: None,
            headers: Vec::new(),
            leader_epoch: None,
        }
    }

    /// Where it was.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition: self.partition }
    }

    /// A copy in memory of its own, so that the response it came in can be freed.
    #[must_use]
    pub fn detach(&self) -> Self {
        let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
        let headers = self.headers.iter();
        Self {
            key: self.key.as_ref().map(copy),
            value: self.value.as_ref().map(copy),
            headers: headers.map(|header| Header { key: copy(&header.key), value: header.value.as_ref().map(copy) }).collect(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kafka_refuses_are_found() {
        for (name, fine) in [("orders.v1_a-b", true), ("", false), (".", false), ("..", false), ("a b", false), ("ä", false)] {
            assert_eq!(Topic::from(name).invalid().is_none(), fine, "{name:?}");
        }
        assert!(Topic::from("x".repeat(249)).invalid().is_none());
        assert!(Topic::from("x".repeat(250)).invalid().is_some());
    }
}
