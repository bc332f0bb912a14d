//! Makes the seeds of all targets: of recorded traffic (`cargo xtask fuzz record`), of the declarations, and by hand.
//!
//! What fuzzing has added to the files (`fuzzed-…`) stays.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use bytes::Bytes;
use klamm::protocol::header::{RequestHeader, decode_response};
use klamm::protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use klamm::protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use klamm::protocol::messages::fetch::FetchResponse;
use klamm::protocol::messages::join_group::JoinGroupRequest;
use klamm::protocol::messages::produce::ProduceRequest;
use klamm::protocol::messages::sync_group::SyncGroupRequest;
use klamm::protocol::records::{BATCH_HEADER_SIZE, RecordBatches};
use klamm::protocol::{ApiKey, ApiMessage, DECLARATIONS, Declaration, Kind};
use klamm_broker::faults::{Kind as FaultKind, Plan, Shape};
use klamm_properties::seeds::{self, Seed};
use klamm_properties::{TARGETS, number_of};

/// Seeds of one kind and version, and the longest of them, in bytes.
const EACH: usize = 2;
const LONGEST: usize = 700;

/// Seeds of each target by name.
#[derive(Default)]
struct Made {
    seeds: BTreeMap<&'static str, Vec<Seed>>,
    /// How many there are of a target and kind.
    counted: BTreeMap<(&'static str, String), usize>,
    seen: BTreeSet<(&'static str, Vec<u8>)>,
}

impl Made {
    fn add(&mut self, target: &'static str, kind: &str, bytes: Vec<u8>) {
        let count = self.counted.entry((target, kind.to_owned())).or_default();
        if bytes.len() > LONGEST || *count >= EACH || !self.seen.insert((target, bytes.clone())) {
            return;
        }
        *count += 1;
        let name = if *count == 1 { kind.to_owned() } else { format!("{kind}-{count}") };
        self.seeds.entry(target).or_default().push(Seed { name, bytes });
    }
}

fn main() -> ExitCode {
    let mut made = Made::default();
    let recorded = std::env::args().nth(1).map_or(Ok(String::new()), fs::read_to_string);
    let done = recorded.map_err(|error| error.to_string()).and_then(|text| {
        recorded_frames(&mut made, &text)?;
        declared(&mut made);
        by_hand(&mut made);
        write(made)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("make-seeds: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Lines `request API-VERSION HEX` and `response API-VERSION HEX`.
fn recorded_frames(made: &mut Made, text: &str) -> Result<(), String> {
    for line in text.lines() {
        let Some((what, rest)) = line.split_once(' ') else { continue };
        let seed = seeds::parse(rest)?.pop().ok_or("an empty line")?;
        let frame = Bytes::from(seed.bytes);
        if what == "request" {
            request(made, &frame);
        } else {
            let numbers = seed.name.split_once('-').and_then(|(api, version)| Some((api.parse().ok()?, version.parse().ok()?)));
            let (api, version) = numbers.ok_or_else(|| format!("no API and version: {}", seed.name))?;
            response(made, ApiKey(api), version, &frame);
        }
    }
    Ok(())
}

fn request(made: &mut Made, frame: &Bytes) {
    let Ok((header, body)) = RequestHeader::decode(frame) else { return };
    let (key, version) = (header.api_key, header.api_version);
    let name = format!("java-{key}-v{version}");
    made.add("requests", &name, frame.to_vec());
    made.add("headers", &format!("java-{}", frame.len() - body.len()), frame.slice(..frame.len() - body.len()).to_vec());
    if let Ok(len) = u16::try_from(frame.len()) {
        // No log-in; connection 0, a raw frame.
        made.add("broker", &name, [&[0, 0, 0][..], &len.to_be_bytes(), frame].concat());
    }
    made.add("frames", "java", [&[0xff, 0xff, 7, 0][..], &(frame.len() as u32).to_be_bytes(), frame].concat());
    if key == ApiKey::PRODUCE
        && let Ok(request) = ProduceRequest::decode(&body, version)
    {
        let partitions = request.topic_data.iter().flat_map(|topic| &topic.partition_data);
        partitions.for_each(|partition| records(made, "produced", partition.records.as_ref().map(|records| &records.0)));
    }
    if key == ApiKey::JOIN_GROUP
        && let Ok(request) = JoinGroupRequest::decode(&body, version)
    {
        request.protocols.iter().for_each(|protocol| member(made, protocol.name.as_str(), &protocol.metadata));
    }
    if key == ApiKey::SYNC_GROUP
        && let Ok(request) = SyncGroupRequest::decode(&body, version)
    {
        request.assignments.iter().for_each(|part| member(made, "assignment", &part.assignment));
    }
}

fn response(made: &mut Made, key: ApiKey, version: i16, frame: &Bytes) {
    let is_it = |declaration: &&Declaration| declaration.kind == Kind::Response && declaration.api_key == key.0;
    let Some(declaration) = DECLARATIONS.iter().find(is_it) else { return };
    let Ok((_, body)) = decode_response(frame, key, (declaration.is_flexible)(version)) else { return };
    made.add("responses", &format!("java-{key}-v{version}"), [&[key.0 as u8, version as u8][..], &body].concat());
    if key == ApiKey::API_VERSIONS {
        // No log-in; the answer to the first request, its body taken from here, cut nowhere.
        let body = &body[..body.len().min(0xf7)];
        made.add("connection", "java-ApiVersions", [&[0, 1, 0, body.len() as u8][..], body, &[0]].concat());
    }
    if key == ApiKey::FETCH
        && let Ok(response) = FetchResponse::decode(&body, version)
    {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
        partitions.for_each(|partition| records(made, "fetched", partition.records.as_ref().map(|records| &records.0)));
    }
}

/// A record set, and the compressed data in it.
fn records(made: &mut Made, how: &str, set: Option<&Bytes>) {
    let Some(set) = set.filter(|set| !set.is_empty()) else { return };
    for batch in RecordBatches::new(set.clone()).flatten() {
        let Ok(codec) = batch.compression() else { continue };
        made.add("batches", &format!("java-{how}-{codec}-{:02x}", batch.attributes()), [&[0][..], batch.bytes()].concat());
        if codec.id() > 0 {
            // Codec, a limit of 1 MiB, the number of records.
            let head = [codec.id() - 1, 5, batch.record_count() as u8];
            made.add("compression", &format!("java-{codec}"), [&head[..], &batch.bytes()[BATCH_HEADER_SIZE..]].concat());
        }
    }
    made.add("batches", &format!("java-{how}-set"), [&[1][..], set].concat());
}

/// What a member or a leader has put into a group's messages.
fn member(made: &mut Made, what: &str, bytes: &Bytes) {
    let Some((version, body)) = bytes.split_first_chunk::<2>() else { return };
    // Partitions of four topics, then members.
    made.add("subscriptions", &format!("java-{what}"), [&[3, 1, 0, 9, bytes.len() as u8][..], bytes].concat());
    let name = if what == "assignment" { ConsumerProtocolAssignment::NAME } else { ConsumerProtocolSubscription::NAME };
    let head = [&number_of(name).to_be_bytes()[..], &[version[1]]].concat();
    made.add("data", &format!("java-{name}-v{}", version[1]), [&head[..], body].concat());
}

/// One of each message and version, of nothing but zeroes and of something.
fn declared(made: &mut Made) {
    for declaration in DECLARATIONS {
        for version in declaration.each_version() {
            let name = format!("declared-{}-v{version}", declaration.name);
            let body = klamm_properties::declared_body(declaration, version, &[3; 64]);
            match declaration.kind {
                Kind::Response => made.add("responses", &name, [&[declaration.api_key as u8, version as u8][..], &body].concat()),
                Kind::Request => {
                    let mut frame: Vec<u8> =
                        [declaration.api_key, version, 0, 1, -1].iter().flat_map(|part| part.to_be_bytes()).collect();
                    frame.extend((declaration.is_flexible)(version).then_some(0));
                    made.add("requests", &name, [frame, body].concat());
                }
                _ => {
                    let head = [&number_of(declaration.name).to_be_bytes()[..], &[version as u8]].concat();
                    made.add("data", &name, [head, body].concat());
                }
            }
        }
        // Number of the name, version, whether with unknown tags, where to cut, choices.
        let [high, low] = number_of(declaration.name).to_be_bytes();
        let last = declaration.versions.1 as u8;
        made.add("messages", declaration.name, [&[high, low, last, 1, 0, 5][..], &[1; 24]].concat());
        made.add("json", declaration.name, [&[high, low, last, 1][..], &[3; 40]].concat());
    }
}

fn by_hand(made: &mut Made) {
    let [high, low] = number_of("HeartbeatRequest").to_be_bytes();
    let text = br#"{"groupId":"g","generationId":3,"memberId":"m","groupInstanceId":null}"#;
    made.add("json", "text", [&[high, low, 4, 2][..], text].concat());
    let piece = |bytes: &[u8]| [&[bytes.len() as u8][..], bytes].concat();
    for (at, value) in [&[1][..], &[0xff; 8], &[2, b'a', 0], &[0, 2, b'a', b'b'], &[3, 2, b'a', 2, b'b', 0]].iter().enumerate() {
        made.add("primitives", &format!("value-{at}"), [&[at as u8 * 3, at as u8][..], value].concat());
    }
    for how in 0..4u8 {
        let first = b"Zk0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let bytes = [&[how][..], &piece(b"user,="), &piece(first), &piece(b""), &piece(b",x=1")].concat();
        made.add("scram", &format!("exchange-{how}"), bytes);
    }
    made.add("scram", "refused", [&[0, 0][..], &piece(b"e=unknown-user")].concat());
    let text = "# comment\nbootstrap.servers=a:9092,[::1]:9093\nclient.id: \\u0041b\\\n  c\nsecurity.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-512\nsasl.username=u\nsasl.password=p\n";
    made.add("properties", "client", text.as_bytes().to_vec());
    for setting in klamm::config::SETTINGS {
        made.add("properties", setting.name, format!("bootstrap.servers=a\n{}=1", setting.name).into_bytes());
    }
    for how in 0..8u8 {
        made.add("jaas", &format!("line-{how}"), [&[how | 8][..], b" tokenauth=\"true\" serviceName=kafka;"].concat());
    }
    made.add("jaas", "escaped", b"\0ScramLoginModule required username='a' password=\"b'\" debug=true;".to_vec());
    for codec in 0..5u8 {
        // Codec, no level, records: time, key, value, a header.
        let record =
            [&[7, 1][..], &piece(b"key"), &[1], &piece(b"value value value value value"), &[1], &piece(b"h"), &[0]].concat();
        made.add("building", &format!("codec-{codec}"), [&[codec, 0][..], &record, &record].concat());
    }
    made.add(
        "assignors",
        "three",
        [&[2, 6, 5][..], &[3, 4, 2, 0, 1, 1, 2], &[3, 4, 1, 0, 1], &[1, 16, 4, 0, 0, 0, 9, 0]].concat(),
    );
    for (at, kind) in FaultKind::ALL.iter().enumerate() {
        let mut shape = Shape::default();
        shape.topics = vec![("t".to_owned(), 3)];
        shape.groups = vec!["g".to_owned()];
        shape.transactional_ids = vec!["x".to_owned()];
        shape.kinds = vec![*kind];
        shape.faults = 2..=2;
        made.add("faults", kind.name(), [&[0][..], Plan::random(at as u64, &shape).to_toml().as_bytes()].concat());
    }
    let text = br#"{"seed": 7, "fault": [{"after": "1s", "kind": "cut", "after_bytes": 10}, {"before": "Produce", "nth": 2, "kind": "kill-node", "node": 1}]}"#;
    made.add("faults", "json", [&[1][..], text].concat());
    // Set up, a request sent, written and answered, time passes, the broker closes.
    made.add("connection", "session", vec![0, 1, 1, 255, 6, 12, 4, 2, b'a', b'b', 4, 1, 2, 255, 7, 0, 9, 8]);
    for login in 2..5u8 {
        made.add("connection", &format!("login-{login}"), vec![login, 1, 1, 255, 1, 2, 0, 255, 1, 2, 0, 255, 9, 1, 1, 0, 0]);
    }
}

/// Writes each target's file; what fuzzing added stays at its end, and so do the record sets of old formats, which a test of the
/// library makes.
fn write(mut made: Made) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("seeds");
    for target in TARGETS {
        let path = folder.join(target.name).with_extension("txt");
        let before = if path.exists() { fs::read_to_string(&path).map_err(|error| error.to_string())? } else { String::new() };
        let mut all = made.seeds.remove(target.name).unwrap_or_default();
        let kept = ["fuzzed-", "legacy-"];
        all.extend(seeds::parse(&before)?.into_iter().filter(|seed| kept.iter().any(|kept| seed.name.starts_with(kept))));
        let text: String = all.iter().map(|seed| seeds::line(&seed.name, &seed.bytes) + "\n").collect();
        println!("{}: {} seeds, {} bytes", target.name, all.len(), text.len());
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}
