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
use kafka_protocol::protocol::{Decodable, Encodable};
use klamm::protocol::{Declaration, Kind};

/// Values for each message and version: twice through all profiles.
const VALUES: u64 = 44;

/// Where the crate differs from klamm, in which versions, why. Kafka agrees with klamm in all of them: the test asks it.
const DISAGREEMENTS: &[(&str, RangeInclusive<i16>, &str)] = &[];

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
fn opinion(case: &Declaration, version: i16, bytes: &Bytes) -> Opinion {
    let (mut input, mut output) = (bytes.clone(), BytesMut::new());
    let done = catch_unwind(move || {
        let done = match (case.kind, ApiKey::try_from(case.api_key)) {
            (Kind::Request, Ok(api)) => RequestKind::decode(api, &mut input, version)
                .and_then(|message| message.encode(&mut output, version))
                .map_err(|error| format!("{error:#}")),
            (Kind::Response, Ok(api)) => ResponseKind::decode(api, &mut input, version)
                .and_then(|message| message.encode(&mut output, version))
                .map_err(|error| format!("{error:#}")),
            _ => data(case.name, version, &mut input, &mut output)?,
        };
        Some(done.map(|()| (output, input.len())))
    });
    match done {
        Ok(Some(Ok((output, 0)))) => Opinion::Bytes(output),
        Ok(Some(Ok((_, left)))) => Opinion::Fails(format!("leaves {left} bytes")),
        Ok(Some(Err(error))) if error.contains("version not supported") => Opinion::Unknown,
        Ok(Some(Err(error))) => Opinion::Fails(error),
        Ok(None) => Opinion::Unknown,
        Err(_) => Opinion::Fails("panics".to_owned()),
    }
}

/// What is neither request nor response; `None` where the crate has no such message.
fn data(name: &str, version: i16, input: &mut Bytes, output: &mut BytesMut) -> Option<Result<(), String>> {
    macro_rules! named {
        ($($message:ident)*) => {
            match name {
                $(stringify!($message) => {
                    let message = theirs::$message::decode(input, version);
                    message.and_then(|message| message.encode(output, version)).map_err(|error| format!("{error:#}"))
                })*
                _ => return None,
            }
        };
    }
    Some(named! {
        RequestHeader ResponseHeader ConsumerProtocolAssignment ConsumerProtocolSubscription DefaultPrincipalData EndTxnMarker
        KRaftVersionRecord LeaderChangeMessage SnapshotFooterRecord SnapshotHeaderRecord VotersRecord
    })
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
                // Tagged fields at their default are gone in klamm's form; any reader may write the frame so.
                let klamm: Bytes = recode(case, &frame, version).expect("a value of the schema").into();
                let why = match opinion(case, version, &klamm) {
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
    for (name, versions, why) in DISAGREEMENTS {
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
