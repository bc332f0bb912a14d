//! A second opinion on klamm's codec: the `kafka-protocol` crate reads and writes the same values, in every version that both know.
//!
//! Where it does not come to the same bytes, Kafka's own generated classes say who is right. Each such message and version stands in
//! [`DISAGREEMENTS`] with the reason; one that is not listed fails the test, and so does a row that nothing shows any more.

mod declarations;
mod java;
mod schemas;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::panic::catch_unwind;

use bytes::{Bytes, BytesMut};
use declarations::values::{Profile, Values};
use declarations::{cases, recode};
use java::{Answer, Question, ask};
use kafka_protocol::messages::{self as theirs, ApiKey, RequestKind, ResponseKind};
use kafka_protocol::protocol::{Decodable, Encodable, Message, VersionRange};
use klamm::protocol::{Declaration, Kind};

/// Values for each message and version: twice through all profiles.
const VALUES: u64 = 44;

/// Where the crate differs from klamm, in which versions, why. Kafka agrees with klamm in all of them: the test asks it.
const DISAGREEMENTS: &[(&str, RangeInclusive<i16>, &str)] = &[
    ("OffsetCommitRequest", 10..=10, "its table of APIs has version 10, its declaration of the request ends with 9"),
    ("OffsetFetchRequest", 10..=10, "its table of APIs has version 10, its declaration of the request ends with 9"),
    ("InitProducerIdRequest", 6..=6, "its table of APIs has version 6, its declaration of the request ends with 5"),
    ("LeaderChangeMessage", 0..=1, "it takes the field Version for the version of what follows"),
    ("VotersRecord", 0..=0, "it takes the field Version for the version of what follows"),
];

/// What the crate makes of a value.
enum Opinion {
    /// It writes what it read.
    Bytes(BytesMut),
    /// It does not know the message, or this version of it.
    Unknown,
    /// It does not read what klamm wrote, does not write what it read, or panics.
    Fails(String),
}

/// Reads and writes a value of `case` with the crate.
fn opinion(case: &Declaration, version: i16, frame: &Bytes) -> Opinion {
    let opinion = catch_unwind(|| match (case.kind, ApiKey::try_from(case.api_key)) {
        (Kind::Request, Ok(api)) => read_and_write(
            version,
            api.valid_versions(),
            frame,
            |input| RequestKind::decode(api, input, version),
            |message, output| message.encode(output, version),
        ),
        (Kind::Response, Ok(api)) => read_and_write(
            version,
            api.valid_versions(),
            frame,
            |input| ResponseKind::decode(api, input, version),
            |message, output| message.encode(output, version),
        ),
        _ => data(case.name, version, frame),
    });
    opinion.unwrap_or_else(|_| Opinion::Fails("panics".to_owned()))
}

fn read_and_write<M, E: std::fmt::Display>(
    version: i16,
    known: VersionRange,
    frame: &Bytes,
    read: impl FnOnce(&mut Bytes) -> Result<M, E>,
    write: impl FnOnce(&M, &mut BytesMut) -> Result<(), E>,
) -> Opinion {
    if !(known.min..=known.max).contains(&version) {
        return Opinion::Unknown;
    }
    let (mut input, mut output) = (frame.clone(), BytesMut::new());
    let message = match read(&mut input) {
        Ok(message) => message,
        Err(error) => return Opinion::Fails(format!("does not read it: {error:#}")),
    };
    match write(&message, &mut output) {
        Ok(()) if input.is_empty() => Opinion::Bytes(output),
        Ok(()) => Opinion::Fails(format!("leaves {} bytes unread", input.len())),
        Err(error) => Opinion::Fails(format!("does not write it: {error:#}")),
    }
}

/// What is neither request nor response.
fn data(name: &str, version: i16, frame: &Bytes) -> Opinion {
    macro_rules! named {
        ($($message:ident)*) => {
            match name {
                $(stringify!($message) => read_and_write(
                    version,
                    theirs::$message::VERSIONS,
                    frame,
                    |input| theirs::$message::decode(input, version),
                    |message, output| message.encode(output, version),
                ),)*
                _ => Opinion::Unknown,
            }
        };
    }
    named! {
        RequestHeader ResponseHeader ConsumerProtocolAssignment ConsumerProtocolSubscription DefaultPrincipalData EndTxnMarker
        KRaftVersionRecord LeaderChangeMessage SnapshotFooterRecord SnapshotHeaderRecord VotersRecord
    }
}

#[test]
fn the_kafka_protocol_crate_agrees_or_kafka_itself_says_that_klamm_is_right() {
    let (mut agreed, mut unknown, mut values) = (BTreeSet::new(), BTreeSet::new(), 0u64);
    // Of each message and version the first value that it sees otherwise, for Kafka to decide.
    let mut disagreed = BTreeMap::new();
    let mut disagreements = 0u64;
    for case in cases() {
        for version in case.each_version() {
            for seed in 0..VALUES {
                let mut drawn = Values::new(case, version, seed);
                if drawn.profile == Profile::UnknownTags {
                    continue;
                }
                let frame = drawn.frame(case);
                // A tagged field that says its default is in the frame, and in no form that is written of it.
                let klamm: Bytes = recode(case, &frame, version).expect("a value of the schema").into();
                let why = match opinion(case, version, &frame) {
                    Opinion::Unknown => {
                        unknown.insert((case.name, version));
                        break;
                    }
                    Opinion::Bytes(bytes) if bytes == klamm => None,
                    Opinion::Bytes(_) => Some("writes other bytes".to_owned()),
                    Opinion::Fails(why) => Some(why),
                };
                values += 1;
                match why {
                    None => drop(agreed.insert((case.name, version))),
                    Some(why) => {
                        disagreements += 1;
                        disagreed.entry((case.name, version)).or_insert_with(|| (klamm, why, seed));
                    }
                }
            }
        }
    }
    println!("agrees in {} message versions; not known there: {unknown:?}", agreed.len());
    let listed = |name: &str, version: i16| DISAGREEMENTS.iter().any(|row| row.0 == name && row.1.contains(&version));
    let unexplained: Vec<_> = disagreed.iter().filter(|((name, version), _)| !listed(name, *version)).collect();
    assert!(unexplained.is_empty(), "the crate differs without an explanation: {}", told(&unexplained));
    let declared = |row: &&(&str, RangeInclusive<i16>, &str)| cases().iter().any(|case| case.name == row.0);
    for (name, versions, why) in DISAGREEMENTS.iter().filter(declared) {
        let seen = versions.clone().all(|version| disagreed.contains_key(&(*name, version)));
        assert!(seen, "the crate does not differ in {name} {versions:?} any more ({why})");
    }
    let mut wrong = Vec::new();
    ask(
        |pen| {
            for ((name, version), (klamm, why, _)) in &disagreed {
                let (version, frame, context) = (*version, klamm.clone(), why.clone());
                pen.ask(Question { name, version, klamm: Some(frame.clone()), frame, drop_unknown_tags: false, context });
            }
        },
        |question, answer| match &answer {
            Answer::Read(kafka) if kafka.left == 0 && kafka.bytes == question.frame => {}
            _ => wrong.push(format!("{} version {}: {answer:?}", question.name, question.version)),
        },
    );
    assert!(wrong.is_empty(), "Kafka sees it as the crate does, or in a third way: {wrong:?}");
    assert!(agreed.len() >= 300, "{} message versions in common are too few for a second opinion", agreed.len());
    let messages: BTreeSet<&str> = agreed.iter().map(|(name, _)| *name).collect();
    shown::count(
        "values read and written by the crate kafka-protocol",
        &[
            (messages.len() as u64, "messages"),
            (agreed.len() as u64, "versions"),
            (values, "values"),
            (disagreements, "differences"),
            (disagreed.len() as u64, "message versions in which Kafka says that klamm is right"),
        ],
    );
}

/// Disagreements in words.
fn told(disagreed: &[(&(&str, i16), &(Bytes, String, u64))]) -> String {
    let line = |((name, version), (bytes, why, seed)): &(&(&str, i16), &(Bytes, String, u64))| {
        format!("\n{name} version {version}, seed {seed}: {why} ({} bytes)", bytes.len())
    };
    disagreed.iter().map(line).collect()
}
