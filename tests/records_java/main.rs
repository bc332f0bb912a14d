//! Record batches beside Kafka's own `MemoryRecords`: what Java writes klamm reads, what klamm writes Java reads, to the last field; and
//! uncompressed batches are the same bytes. Random cases; `KLAMM_SEED` sets another seed. Needs a JVM and Maven.

mod oracle;
#[path = "../schemas/mod.rs"]
mod schemas;
#[path = "../shown/mod.rs"]
mod shown;

use bytes::Bytes;
use klamm::protocol::records::{Batch, BatchBuilder, Compression};

use crate::oracle::{ask, describe, hex, unhex};

const T: i64 = 1_700_000_000_000;

/// Random numbers that are the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn new() -> Self {
        let seed = std::env::var("KLAMM_SEED").map_or(1, |seed| seed.parse().expect("KLAMM_SEED is a number"));
        println!("KLAMM_SEED={seed}");
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// Any length from none to a few kilobytes, around the borders of varints too.
    fn size(&mut self) -> usize {
        let most = [1, 20, 70, 300, 5_000][self.below(5) as usize];
        self.below(most) as usize
    }

    fn bytes(&mut self) -> Vec<u8> {
        let size = self.size();
        // Half of them compress well.
        if self.one_in(2) { vec![self.next() as u8; size] } else { (0..size).map(|_| self.next() as u8).collect() }
    }

    fn field(&mut self) -> Option<Vec<u8>> {
        if self.one_in(5) { None } else { Some(self.bytes()) }
    }

    fn header_name(&mut self) -> String {
        let letters = ["a", "header", "ü", "日本", "", "x-trace-id"];
        letters[self.below(letters.len() as u64) as usize].to_owned()
    }
}

struct Record {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    fn word(&self) -> String {
        let (key, value) = (hex(self.key.as_deref()), hex(self.value.as_deref()));
        let mut word = format!("{},{},{key},{value}", self.offset, self.timestamp);
        for (name, value) in &self.headers {
            word += &format!(",{}={}", hex(Some(name.as_bytes())), hex(value.as_deref()));
        }
        word
    }
}

/// A batch as both are told to write it.
struct Case {
    magic: i8,
    codec: Compression,
    append_time: Option<i64>,
    base_offset: i64,
    /// Id, epoch, sequence.
    producer: (i64, i16, i32),
    transactional: bool,
    leader_epoch: i32,
    horizon: Option<i64>,
    /// Beyond the last record, where compaction removed the end.
    last_offset: Option<i64>,
    records: Vec<Record>,
}

impl Case {
    /// As a line for the oracle.
    fn line(&self) -> String {
        let number = |number: Option<i64>| number.map_or("_".to_owned(), |number| number.to_string());
        let (id, epoch, sequence) = self.producer;
        let mut line = format!(
            "write {} {} {} {} {} {id} {epoch} {sequence} {} false {} {} {}",
            self.magic,
            self.codec,
            if self.append_time.is_some() { "append" } else { "create" },
            self.base_offset,
            self.append_time.unwrap_or(-1),
            self.transactional,
            self.leader_epoch,
            number(self.horizon),
            number(self.last_offset),
        );
        for record in &self.records {
            line.push(' ');
            line += &record.word();
        }
        line
    }

    fn random(random: &mut Random, magic: i8, codec: Compression) -> Self {
        let base_offset = [0, 1, 1_000, 1 << 40][random.below(4) as usize];
        let count = [1, 2, 10, 200][random.below(4) as usize];
        let compacted = random.one_in(3);
        let ordered = random.one_in(2);
        let (mut offset, mut timestamp) = (base_offset, T);
        let records = (0..count).map(|index| {
            if index > 0 {
                offset += if compacted { 1 + random.below(200) as i64 } else { 1 };
                timestamp += if ordered { random.below(3_000) as i64 } else { random.below(90_000) as i64 - 45_000 };
            }
            let headers = if magic == 2 && random.one_in(3) { random.below(4) } else { 0 };
            let headers = (0..headers).map(|_| (random.header_name(), random.field())).collect();
            Record { offset, timestamp, key: random.field(), value: random.field(), headers }
        });
        let records: Vec<_> = records.collect();
        let producer = magic == 2 && random.one_in(2);
        let last = records.last().map_or(base_offset, |record| record.offset);
        Self {
            magic,
            codec,
            append_time: (magic > 0 && random.one_in(3)).then_some(T + 777),
            base_offset,
            producer: if producer {
                (random.below(1 << 60) as i64, random.below(1 << 15) as i16, random.below(1 << 31) as i32)
            } else {
                (-1, -1, -1)
            },
            transactional: producer && random.one_in(2),
            leader_epoch: if magic == 2 { random.below(1 << 31) as i32 } else { -1 },
            horizon: (magic == 2 && random.one_in(4)).then_some(T - 99),
            last_offset: (magic == 2 && compacted && random.one_in(2)).then_some(last + 17),
            records,
        }
    }

    /// One that klamm can write as well: a producer's, in order, without gaps.
    fn random_produced(random: &mut Random, codec: Compression, in_order: bool) -> Self {
        let mut case = Self::random(random, 2, codec);
        (case.horizon, case.last_offset) = (None, None);
        let base = case.base_offset;
        (base..).zip(&mut case.records).for_each(|(offset, record)| record.offset = offset);
        if in_order {
            case.records.iter_mut().fold(T, |before, record| {
                record.timestamp = record.timestamp.max(before);
                record.timestamp
            });
        }
        case
    }

    /// As klamm writes it.
    fn written(&self) -> Bytes {
        let mut builder = BatchBuilder::new(1_024);
        for record in &self.records {
            let headers = record.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref()));
            builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers).expect("room");
        }
        let (id, epoch, sequence) = self.producer;
        let bytes = builder.close(self.codec).expect("closed").stamp(id, epoch, sequence, self.transactional);
        let batch = Batch::new(bytes).expect("a batch");
        batch.assign(self.base_offset, self.leader_epoch, self.append_time).bytes().clone()
    }
}

/// The codecs that a format knows.
fn codecs(magic: i8) -> impl Iterator<Item = Compression> {
    Compression::ALL.into_iter().filter(move |codec| magic == 2 || *codec != Compression::Zstd)
}

/// Asks for all `cases` and compares; the bytes that Java wrote.
fn java_writes_and_klamm_reads(lines: &[String]) -> Vec<Vec<u8>> {
    let answers = ask(lines);
    let compare = |(line, answer): (&String, &String)| {
        let shown: String = line.chars().take(200).collect();
        let (bytes, description) = answer.split_once('|').unwrap_or_else(|| panic!("{shown}: {answer}"));
        let bytes = unhex(bytes);
        assert_eq!(describe(bytes.clone().into()), description, "{shown}");
        bytes
    };
    lines.iter().zip(&answers).map(compare).collect()
}

#[test]
fn what_java_writes_in_every_format_with_every_codec_is_read_the_same() {
    let mut random = Random::new();
    let mut lines = Vec::new();
    for magic in 0..=2 {
        for codec in codecs(magic) {
            lines.extend((0..40).map(|_| Case::random(&mut random, magic, codec).line()));
        }
    }
    let sets = java_writes_and_klamm_reads(&lines);
    let counts = [(sets.len() as u64, "record sets of formats 0, 1 and 2"), (0, "differences")];
    shown::count("records written by Java's classes, read by both", &counts);
}

#[test]
fn control_batches_and_those_that_compaction_emptied_are_read_the_same() {
    let mut random = Random::new();
    let mut lines = Vec::new();
    for round in 0..20 {
        let number = random.below(1 << 31) as i32;
        for (types, id) in [(&[0][..], 5), (&[1], 5), (&[2], -1), (&[3, 5, 6], -1), (&[4], -1), (&[5], -1), (&[6], -1)] {
            let epoch = if id < 0 { -1 } else { 3 };
            let base = random.below(1 << 40);
            let mut line = format!("write 2 none create {base} -1 {id} {epoch} -1 {} true {round} _ _", id >= 0);
            types.iter().for_each(|control_type| line += &format!(" {control_type},{},{number}", T + round));
            lines.push(line);
        }
        let (base, last) = (random.below(1 << 40), random.below(1 << 20));
        for (producer, transactional, control) in [("-1 -1 -1", false, false), ("7 1 5", true, false), ("7 1 -1", true, true)] {
            for kind in ["create", "append"] {
                lines.push(format!(
                    "write 2 none {kind} {base} {T} {producer} {transactional} {control} {round} _ {}",
                    base + last
                ));
            }
        }
    }
    let sets = java_writes_and_klamm_reads(&lines);
    let counts = [(sets.len() as u64, "control and empty batches"), (0, "differences")];
    shown::count("control records written by Java's classes, read by both", &counts);
}

#[test]
fn what_klamm_writes_is_read_the_same_by_java_and_uncompressed_is_the_same_bytes() {
    let mut random = Random::new();
    let (mut lines, mut written) = (Vec::new(), Vec::new());
    let mut same_bytes = 0;
    for codec in Compression::ALL {
        for round in 0..if codec == Compression::None { 400 } else { 80 } {
            let case = Case::random_produced(&mut random, codec, round % 2 == 0);
            let ours = case.written();
            lines.push(format!("read {}", hex(Some(&ours))));
            written.push((ours.clone(), None));
            if codec == Compression::None && round % 2 == 0 {
                lines.push(case.line());
                written.push((ours, Some(())));
                same_bytes += 1;
            }
        }
    }
    for ((line, answer), (ours, wanted)) in lines.iter().zip(ask(&lines)).zip(&written) {
        let shown: String = line.chars().take(200).collect();
        let answer = match wanted {
            None => answer,
            Some(()) => {
                let (bytes, description) = answer.split_once('|').unwrap_or_else(|| panic!("{shown}: {answer}"));
                assert_eq!(bytes, hex(Some(ours)), "{shown}");
                description.to_owned()
            }
        };
        assert_eq!(describe(ours.clone()), answer, "{shown}");
    }
    let counts = [(lines.len() as u64 - same_bytes, "batches"), (same_bytes, "of them byte for byte Java's"), (0, "differences")];
    shown::count("records written by klamm, read by both", &counts);
}

#[test]
fn a_record_set_of_all_formats_is_read_the_same_and_javas_batches_can_be_changed() {
    let mut random = Random::new();
    let mut lines = Vec::new();
    for magic in 0..=2 {
        lines.extend(codecs(magic).map(|codec| Case::random(&mut random, magic, codec).line()));
    }
    let sets = java_writes_and_klamm_reads(&lines);
    let mut edited = Vec::new();
    for bytes in &sets {
        let Ok(batch) = Batch::new(bytes.clone().into()) else { continue };
        if let Ok(batch) = batch.edit().base_offset(12_345).partition_leader_epoch(6).producer(99, 8, 7).transactional().apply() {
            edited.push(batch.bytes().to_vec());
        }
    }
    assert_eq!(edited.len(), 5, "one of format 2 for each codec");
    let whole = [sets.concat(), edited.concat()].concat();
    let answer = ask(&[format!("read {}", hex(Some(&whole)))]).remove(0);
    assert_eq!(describe(whole.into()), answer);
}
