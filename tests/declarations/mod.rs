//! Every declared message as a [`Case`], and random frames written from the declarations alone: an encoder that shares no code with
//! the one under test.
#![allow(dead_code, reason = "each test crate uses its own part")]

use bytes::Bytes;
use klamm::protocol::messages::*;
use klamm::protocol::{ApiMessage, DecodeError, Field, Request, Type, Value, Versions, Writer};

/// What tests need to know of one message, whatever its type.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) api_key: i16,
    pub(crate) versions: Versions,
    pub(crate) unstable: Option<i16>,
    pub(crate) listeners: &'static [&'static str],
    pub(crate) flexible: fn(i16) -> bool,
    pub(crate) fields: Vec<Field>,
    /// Decodes and encodes again.
    pub(crate) recode: fn(&Bytes, i16) -> Result<Vec<u8>, DecodeError>,
    /// Decodes alone.
    pub(crate) decode: fn(&Bytes, i16) -> Result<(), DecodeError>,
    pub(crate) explain: fn(&Bytes, i16, DecodeError) -> String,
}

impl Case {
    /// The versions, one by one.
    pub(crate) fn each_version(&self) -> std::ops::RangeInclusive<i16> {
        self.versions.0..=self.versions.1
    }
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    exchange::<api_versions::ApiVersionsRequest>(&mut cases);
    exchange::<create_partitions::CreatePartitionsRequest>(&mut cases);
    exchange::<create_topics::CreateTopicsRequest>(&mut cases);
    exchange::<delete_groups::DeleteGroupsRequest>(&mut cases);
    exchange::<delete_topics::DeleteTopicsRequest>(&mut cases);
    exchange::<describe_cluster::DescribeClusterRequest>(&mut cases);
    exchange::<describe_configs::DescribeConfigsRequest>(&mut cases);
    exchange::<describe_groups::DescribeGroupsRequest>(&mut cases);
    exchange::<fetch::FetchRequest>(&mut cases);
    exchange::<find_coordinator::FindCoordinatorRequest>(&mut cases);
    exchange::<heartbeat::HeartbeatRequest>(&mut cases);
    exchange::<incremental_alter_configs::IncrementalAlterConfigsRequest>(&mut cases);
    exchange::<init_producer_id::InitProducerIdRequest>(&mut cases);
    exchange::<join_group::JoinGroupRequest>(&mut cases);
    exchange::<leave_group::LeaveGroupRequest>(&mut cases);
    exchange::<list_groups::ListGroupsRequest>(&mut cases);
    exchange::<list_offsets::ListOffsetsRequest>(&mut cases);
    exchange::<metadata::MetadataRequest>(&mut cases);
    exchange::<offset_commit::OffsetCommitRequest>(&mut cases);
    exchange::<offset_delete::OffsetDeleteRequest>(&mut cases);
    exchange::<offset_fetch::OffsetFetchRequest>(&mut cases);
    exchange::<produce::ProduceRequest>(&mut cases);
    exchange::<sasl_authenticate::SaslAuthenticateRequest>(&mut cases);
    exchange::<sasl_handshake::SaslHandshakeRequest>(&mut cases);
    exchange::<sync_group::SyncGroupRequest>(&mut cases);
    cases.push(case::<consumer_protocol_assignment::ConsumerProtocolAssignment>("data"));
    cases.push(case::<consumer_protocol_subscription::ConsumerProtocolSubscription>("data"));
    cases
}

fn exchange<R: Request>(cases: &mut Vec<Case>) {
    cases.push(case::<R>("request"));
    cases.push(case::<R::Response>("response"));
}

fn case<M: ApiMessage>(kind: &'static str) -> Case {
    Case {
        name: M::NAME,
        kind,
        api_key: M::API_KEY,
        versions: M::VERSIONS.into_inner(),
        unstable: M::UNSTABLE,
        listeners: M::LISTENERS,
        flexible: M::is_flexible,
        fields: M::fields(),
        recode: |bytes, version| {
            let message = M::decode(bytes, version)?;
            assert_eq!(message.check_version(version), Ok(()), "what was read in a version can be written in it");
            let mut w = Writer::default();
            message.encode(version, &mut w);
            let out = w.finish().concat();
            assert_eq!(out.len(), message.encoded_len(version), "size and bytes agree");
            Ok(out)
        },
        decode: |bytes, version| M::decode(bytes, version).map(drop),
        explain: M::explain,
    }
}

/// Writes random messages of one version.
pub(crate) struct Random {
    pub(crate) seed: u64,
    pub(crate) version: i16,
    pub(crate) flexible: bool,
    /// Adds tagged fields that no declaration knows.
    pub(crate) unknown_tags: bool,
}

impl Random {
    pub(crate) fn new(case: &Case, version: i16, seed: u64) -> Self {
        Self { seed, version, flexible: (case.flexible)(version), unknown_tags: false }
    }

    /// A random frame of `case`.
    pub(crate) fn frame(&mut self, case: &Case) -> Bytes {
        let mut frame = Vec::new();
        self.put_struct(&mut frame, &case.fields);
        frame.into()
    }

    /// A number below `n` (splitmix64).
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn put_struct(&mut self, out: &mut Vec<u8>, fields: &[Field]) {
        let version = self.version;
        let has = move |(first, last): Versions| (first..=last).contains(&version);
        for field in fields.iter().filter(|field| has(field.versions) && field.tag.is_none()) {
            self.put(out, field.ty, field.nullable.is_some_and(has));
        }
        if !self.flexible {
            return;
        }
        let mut tagged = Vec::new();
        for field in fields.iter().filter(|field| has(field.versions)) {
            let Some(tag) = field.tag else { continue };
            if self.below(2) == 0 {
                let mut value = Vec::new();
                match field.default {
                    Value::Bool(default) => value.push(u8::from(!default)),
                    // Null is the default of nullable tagged fields and would be left out; anything else is never drawn.
                    _ => self.put(&mut value, field.ty, false),
                }
                tagged.push((tag, value));
            }
        }
        if self.unknown_tags {
            tagged.push((9000, vec![7; self.below(300) as usize]));
        }
        put_uvarint(out, tagged.len());
        for (tag, value) in tagged {
            put_uvarint(out, tag as usize);
            put_uvarint(out, value.len());
            out.extend(value);
        }
    }

    /// A value that is no field's default (so that a tagged field is not left out), or null.
    fn put(&mut self, out: &mut Vec<u8>, ty: Type, nullable: bool) {
        let null = nullable && self.below(4) == 0;
        let number = self.below(100) as u8 + 1;
        match ty {
            Type::Plain("bool") => out.push(number % 2),
            Type::Plain("int8") => out.push(number),
            Type::Plain("int16" | "uint16") => out.extend([0, number]),
            Type::Plain("int32") | Type::Entity("int32", _) => out.extend([number, 0xff, 0, number]),
            Type::Plain("int64" | "float64") | Type::Entity("int64", _) => out.extend([number, 1, 2, 3, 4, 5, 6, number]),
            Type::Plain("uuid") => out.extend([number; 16]),
            Type::Plain("string") | Type::Entity("string", _) => {
                let text = "é".repeat(usize::from(number));
                self.put_len(out, true, (!null).then_some(text.len()));
                out.extend(if null { b"" } else { text.as_bytes() });
            }
            Type::Plain("bytes" | "records") => {
                let len = if null { 0 } else { usize::from(number) * usize::from(number) };
                self.put_len(out, false, (!null).then_some(len));
                out.resize(out.len() + len, number);
            }
            Type::Array(item) => {
                let len = if null { 0 } else { 1 + self.below(3) as usize };
                self.put_len(out, false, (!null).then_some(len));
                (0..len).for_each(|_| self.put(out, *item, false));
            }
            Type::Struct(fields) => {
                out.extend(nullable.then_some(if null { 0xff } else { 1 }));
                if !null {
                    self.put_struct(out, &fields());
                }
            }
            other => panic!("no such type: {other:?}"),
        }
    }

    fn put_len(&mut self, out: &mut Vec<u8>, short: bool, len: Option<usize>) {
        match (self.flexible, short) {
            (true, _) => put_uvarint(out, len.map_or(0, |len| len + 1)),
            (false, true) => out.extend(len.map_or(-1, |len| len as i16).to_be_bytes()),
            (false, false) => out.extend(len.map_or(-1, |len| len as i32).to_be_bytes()),
        }
    }
}

/// An unsigned varint.
pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
