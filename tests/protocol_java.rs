//! Kafka's own generated classes beside klamm's codec: for every declared message and version they read the same values, write the
//! same bytes, foretell the same sizes and refuse the same frames.
//!
//! A frame F, made from the schema alone, goes through klamm (read, written again: K) and through Kafka (J). K and J are the same bytes,
//! of the size that either foretold; what Kafka reads from K equals, by Java's own `equals`, what it read from F; and klamm reads J.
//! Each value has a seed, which with message and version is all that it takes to make it again.
//!
//! Where klamm and Kafka differ, they differ so by intention, and this is all:
//! - Kafka keeps tagged fields that it does not know and writes them again; klamm drops them. They are dropped in Kafka, too, before it
//!   writes and compares.
//! - Kafka leaves bytes behind a value unread; to klamm they are an error.
//! - A tagged field that Kafka knows of later versions it refuses in earlier ones; klamm drops it, as a Kafka of that time does.
//! - Kafka takes more than it writes: text that is not UTF-8 (it puts U+FFFD in its place), any negative length or marker for
//!   null, tagged fields twice, out of order or of another size than they say, lengths above what a varint of 32 bits holds. klamm refuses these. What klamm does take of a damaged frame, Kafka takes as the same value.

mod declarations;
mod java;
mod schemas;
mod shown;

use std::collections::BTreeMap;

use bytes::Bytes;
use declarations::values::{Profile, Values};
use declarations::{cases, recode};
use java::{Answer, Question, ask};
use klamm::protocol::header::{RequestHeader, decode_response, encode_request_head};
use klamm::protocol::{ApiKey, Declaration, DecodeErrorKind, Str};

/// Values for each message and version in the usual run; `KLAMM_JAVA_VALUES` says another number.
const VALUES: u64 = 200;
/// What klamm may say of a changed frame that Kafka takes.
const STRICTER: [DecodeErrorKind; 6] = {
    use DecodeErrorKind::*;
    [BadText, BadLength, UnexpectedNull, BadTagOrder, Trailing, Truncated]
};
/// Differences that are told in full.
const TOLD: usize = 12;

/// The seeds of this run, from `KLAMM_JAVA_SEED` on: as many as `KLAMM_JAVA_VALUES` says, or one for every `share` of them.
fn seeds(share: u64) -> std::ops::Range<u64> {
    let number = |name: &str, usual: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")),
        Err(_) => usual,
    };
    let first = number("KLAMM_JAVA_SEED", 0);
    first..first + (number("KLAMM_JAVA_VALUES", VALUES) / share).max(1)
}

/// Every message in every version, with each of the seeds.
fn each(seeds: std::ops::Range<u64>) -> impl Iterator<Item = (&'static Declaration, i16, u64)> {
    let versions = cases().iter().flat_map(|case| case.each_version().map(move |version| (case, version)));
    versions.flat_map(move |(case, version)| seeds.clone().map(move |seed| (case, version, seed)))
}

/// What was found, and how much was looked at.
#[derive(Default)]
struct Findings {
    compared: u64,
    differences: Vec<String>,
}

impl Findings {
    /// Adds what `wrong` says is different.
    fn add<C>(&mut self, question: &Question<C>, seed: u64, wrong: Option<String>) {
        self.compared += 1;
        if let Some(wrong) = wrong {
            let (name, version, frame) = (question.name, question.version, hex(&question.frame));
            self.differences.push(format!("{name} version {version}, seed {seed}: {wrong}\n  frame {frame}"));
        }
    }

    /// Fails if anything is different; else says what was compared.
    fn report(&self, what: &str, seeds: &std::ops::Range<u64>) {
        let versions = cases().iter().map(|case| case.each_version().count() as u64).sum();
        let seeds = (seeds.end - seeds.start, &*format!("seeds from {}", seeds.start));
        self.report_of(what, [(cases().len() as u64, "messages"), (versions, "versions"), seeds]);
    }

    /// The same, where not every message was looked at.
    fn report_of<const N: usize>(&self, what: &str, of: [(u64, &str); N]) {
        let told = self.differences.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("\n");
        let count = self.differences.len();
        assert!(count == 0, "{count} of {} differ between klamm and Kafka {}:\n{told}", self.compared, schemas::RELEASE);
        let counts = [&of[..], &[(self.compared, "values"), (count as u64, "differences")]].concat();
        shown::count(&format!("{what}, Kafka {}", schemas::RELEASE), &counts);
    }
}

fn hex(bytes: &[u8]) -> String {
    let text: String = bytes.iter().take(200).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > 200 { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

#[test]
fn kafka_and_klamm_write_the_same_bytes_for_every_value() {
    let seeds = seeds(1);
    let mut findings = Findings::default();
    let mut profiles = BTreeMap::<String, u64>::new();
    ask(
        |pen| {
            for (case, version, seed) in each(seeds.clone()) {
                let mut values = Values::new(case, version, seed);
                let frame = values.frame(case);
                let klamm = recode(case, &frame, version);
                let question = Question {
                    name: case.name,
                    version,
                    klamm: klamm.as_ref().ok().map(|bytes| Bytes::from(bytes.clone())),
                    frame,
                    drop_unknown_tags: values.profile == Profile::UnknownTags,
                    context: (case, values, seed, klamm.err()),
                };
                if !pen.ask(question) {
                    return;
                }
            }
        },
        |question, answer| {
            let (case, values, seed, refused) = &question.context;
            *profiles.entry(format!("{:?}", values.profile)).or_default() += 1;
            let wrong = match answer {
                Answer::Refused(why) => Some(format!("Kafka refuses a value of the schema: {why}")),
                Answer::RefusedKlamm(why) => Some(format!("Kafka refuses what klamm wrote: {why}")),
                Answer::Read(kafka) => same_value(case, &question, refused.is_some(), &kafka, values.has_nan),
            };
            findings.add(&question, *seed, wrong);
        },
    );
    println!("values by profile: {profiles:?}");
    let wanted = each(seeds.clone()).count() as u64;
    assert_eq!(findings.compared, wanted, "every question has its answer");
    findings.report("values written by klamm and by Java's classes", &seeds);
}

/// What is different between klamm's and Kafka's form of a value.
fn same_value<C>(
    case: &Declaration,
    question: &Question<C>,
    refused: bool,
    kafka: &java::Value,
    has_nan: bool,
) -> Option<String> {
    let Some(klamm) = question.klamm.as_ref().filter(|_| !refused) else {
        let error = (case.decode)(&question.frame, question.version).expect_err("refused before");
        return Some(format!(
            "klamm refuses a value of the schema: {}",
            (case.explain)(&question.frame, question.version, error)
        ));
    };
    if kafka.left > 0 {
        return Some(format!("Kafka leaves {} bytes unread", kafka.left));
    }
    if *klamm != kafka.bytes {
        let at = klamm.iter().zip(&kafka.bytes).take_while(|(ours, theirs)| ours == theirs).count();
        return Some(format!("byte {at} differs\n  klamm {}\n  Kafka {}", hex(klamm), hex(&kafka.bytes)));
    }
    // `recode` has seen to it that klamm's size and bytes agree.
    if kafka.size != klamm.len() {
        return Some(format!("Kafka foretold {} bytes, klamm {}", kafka.size, klamm.len()));
    }
    let equal = if has_nan { kafka.klamm_same_text } else { kafka.klamm_equal };
    if !equal {
        return Some("what Kafka reads of klamm's bytes is another value".to_owned());
    }
    let equal = if has_nan { kafka.kafka_same_text } else { kafka.kafka_equal };
    if !equal {
        return Some("what Kafka reads of its own bytes is another value".to_owned());
    }
    match recode(case, &Bytes::from(kafka.bytes.clone()), question.version) {
        Ok(again) if again == kafka.bytes => None,
        Ok(_) => Some("klamm writes what it read of Kafka's bytes in another way".to_owned()),
        Err(error) => Some(format!("klamm refuses what Kafka wrote: {error}")),
    }
}

/// What was done to a frame.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// A null stands where the version has none.
    Null,
    /// The end is missing.
    Cut,
    /// A byte is too many.
    Longer,
    /// A byte is another.
    Changed,
    /// A tagged field is there that only later versions have.
    LaterTag,
}

#[test]
fn kafka_and_klamm_refuse_the_same_frames() {
    // One turn of all profiles in the usual run: each value is damaged in nine ways.
    let seeds = seeds(9);
    let mut findings = Findings::default();
    let mut refused_by_klamm_alone = BTreeMap::<String, u64>::new();
    let mut damages = BTreeMap::<String, (u64, u64)>::new();
    ask(
        |pen| {
            for (case, version, seed) in each(seeds.clone()) {
                for (damage, frame) in damaged(case, version, seed) {
                    let klamm = recode(case, &frame, version);
                    let question = Question {
                        name: case.name,
                        version,
                        klamm: klamm.as_ref().ok().map(|bytes| Bytes::from(bytes.clone())),
                        frame,
                        drop_unknown_tags: true,
                        context: (damage, klamm.err(), seed),
                    };
                    if !pen.ask(question) {
                        return;
                    }
                }
            }
        },
        |question, answer| {
            let (damage, refused, seed) = question.context;
            let counts = damages.entry(format!("{damage:?}")).or_default();
            counts.0 += u64::from(refused.is_some());
            counts.1 += u64::from(matches!(answer, Answer::Refused(_)));
            let wrong = match (damage, &answer, refused) {
                (Damage::Null | Damage::Cut | Damage::Changed, Answer::Refused(_), Some(_)) => None,
                // klamm's size and bytes agree there, or `recode` had failed.
                (Damage::Null | Damage::Cut | Damage::Changed, Answer::Read(kafka), None) => {
                    let same = question.klamm.as_deref() == Some(&kafka.bytes[..]);
                    (!same).then(|| format!("{damage:?}: read by both, but written as\n  {}", hex(&kafka.bytes)))
                }
                (Damage::Longer, Answer::Read(kafka), Some(error)) => {
                    let same = error.kind == DecodeErrorKind::Trailing && (error.left, kafka.left) == (1, 1);
                    (!same).then(|| format!("a byte too many: {error} at klamm, {} left at Kafka", kafka.left))
                }
                (Damage::Changed, Answer::Read(_), Some(error)) if STRICTER.contains(&error.kind) => {
                    let kind = format!("{:?}", error.kind);
                    *refused_by_klamm_alone.entry(kind).or_default() += 1;
                    None
                }
                (Damage::LaterTag, Answer::Refused(why), None) if why.contains("is not valid for version") => None,
                _ => Some(format!("{damage:?}: klamm {refused:?}, Kafka {answer:?}")),
            };
            findings.add(&question, seed, wrong);
        },
    );
    println!("refused by klamm and by Kafka: {damages:?}; changed bytes that klamm alone refuses: {refused_by_klamm_alone:?}");
    findings.report("damaged frames read by klamm and by Java's classes", &seeds);
}

/// Frames that are wrong in one place.
fn damaged(case: &Declaration, version: i16, seed: u64) -> Vec<(Damage, Bytes)> {
    let mut values = Values::new(case, version, seed);
    let frame = values.frame(case);
    let mut damaged = Vec::new();
    damaged.extend(Values::with_forbidden_null(case, version, seed).map(|frame| (Damage::Null, frame)));
    damaged.push((Damage::Longer, Bytes::from([&frame, &[seed as u8][..]].concat())));
    if frame.is_empty() {
        return damaged;
    }
    let later = case.fields.iter().find(|field| field.tag.is_some() && field.versions.0 > version);
    if let (Some(tag), Profile::Defaults, true) = (later.and_then(|field| field.tag), values.profile, (case.is_flexible)(version))
    {
        // The frame ends with the number of its tagged fields, none.
        let with_tag = [&frame[..frame.len() - 1], &[1, tag as u8, 1, 0]].concat();
        damaged.push((Damage::LaterTag, with_tag.into()));
    }
    for _ in 0..2 {
        damaged.push((Damage::Cut, frame.slice(..values.below(frame.len() as u64) as usize)));
    }
    for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
        let mut changed = frame.to_vec();
        // Most of a long frame is text and padding: lengths and tags are at its start.
        let at = values.below(frame.len().min(200) as u64) as usize;
        changed[at] = byte;
        damaged.push((Damage::Changed, changed.into()));
    }
    damaged
}

/// Prints each API with the versions of the headers that go with its versions, and the versions it serves.
const PRINT_HEADERS: &str = "
    import org.apache.kafka.common.protocol.ApiKeys;

    public class PrintHeaders {
        public static void main(String[] arguments) {
            for (ApiKeys api : ApiKeys.values()) {
                for (short version = api.oldestVersion(); version <= api.latestVersion(true); version++) {
                    System.out.println(api.id + \" \" + version + \" \" + api.requestHeaderVersion(version)
                        + \" \" + api.responseHeaderVersion(version));
                }
            }
        }
    }";

#[test]
fn headers_are_those_of_kafka() {
    let printed = schemas::run_java("PrintHeaders", PRINT_HEADERS);
    let lines = printed.lines().map(|line| line.split(' ').map(|word| word.parse().expect("a number")).collect::<Vec<i16>>());
    let lines: Vec<Vec<i16>> = lines.filter(|line| ApiKey(line[0]).api().is_some()).collect();
    let declared = cases().iter().filter(|case| case.kind == klamm::protocol::Kind::Request);
    assert_eq!(
        lines.len(),
        declared.map(|case| case.each_version().count()).sum::<usize>(),
        "klamm and Kafka have the same versions"
    );
    let client_ids = [None, Str::new(""), Str::new("klamm"), Str::new("é漢🦀\0"), Str::new("x".repeat(32_767))];
    let mut findings = Findings::default();
    ask(
        |pen| {
            for (at, line) in lines.iter().enumerate() {
                let [key, version, request, response] = line[..] else { panic!("four numbers: {line:?}") };
                let flexible = (ApiKey(key).api().expect("filtered").is_flexible)(version);
                let correlation_id = [0, -1, i32::MAX, i32::MIN, 12_345][at % 5];
                for client_id in &client_ids {
                    let head = encode_request_head(ApiKey(key), version, flexible, correlation_id, client_id.as_ref(), 0);
                    let head = head.expect("a short frame").slice(4..);
                    let (read, body) = RequestHeader::decode(&head).expect("what klamm wrote");
                    let wanted = RequestHeader {
                        api_key: ApiKey(key),
                        api_version: version,
                        correlation_id,
                        client_id: client_id.clone(),
                    };
                    assert_eq!((read, body.len()), (wanted, 0));
                    let klamm = Some(head.clone());
                    let name = "RequestHeader";
                    let context = (key, version);
                    pen.ask(Question { name, version: request, frame: head, klamm, drop_unknown_tags: false, context });
                }
                // What a broker answers with: a correlation id, and tags where Kafka says so.
                let tags: &[u8] = if response > 0 { &[0] } else { &[] };
                let head = Bytes::from([&correlation_id.to_be_bytes(), tags].concat());
                let (read, body) = decode_response(&head, ApiKey(key), flexible).expect("what Kafka writes");
                assert_eq!((read, body.len()), (correlation_id, 0), "API {key} version {version}");
                let (klamm, context) = (Some(head.clone()), (key, version));
                let name = "ResponseHeader";
                pen.ask(Question { name, version: response, frame: head, klamm, drop_unknown_tags: false, context });
            }
        },
        |question, answer| {
            let wrong = match &answer {
                Answer::Read(kafka) => {
                    let same = kafka.left == 0 && kafka.bytes == question.frame && kafka.size == kafka.bytes.len();
                    let equal = kafka.klamm_equal && kafka.kafka_equal;
                    (!same || !equal).then(|| format!("API and version {:?}: {kafka:?}", question.context))
                }
                refused => Some(format!("API and version {:?}: {refused:?}", question.context)),
            };
            findings.add(&question, 0, wrong);
        },
    );
    assert_eq!(findings.compared as usize, lines.len() * (client_ids.len() + 1), "every question has its answer");
    let of = [(lines.len() as u64, "versions of requests")];
    findings.report_of("headers written by klamm and by Java's classes", of);
}
