//! Kafka's own record classes in a JVM, and klamm, as two that describe batches in the same words.
//!
//! Lines that `RecordsOracle.java` takes, `_` for null, bytes in hex:
//!
//! ```text
//! read BYTES
//! write MAGIC CODEC create|append BASE_OFFSET APPEND_TIME PRODUCER EPOCH SEQUENCE TRANSACTIONAL CONTROL LEADER_EPOCH HORIZON LAST_OFFSET RECORD…
//! ```
//!
//! A record is `offset,timestamp,key,value[,name=value]…`, a control record `type,timestamp,number`. Without records an empty batch is
//! written. Answers: the description; for `write` the bytes and `|` before it.

use std::fmt::Write as _;

use bytes::Bytes;
use klamm::protocol::records::{ControlRecord, Limits, RecordBatches, TimestampType};

use crate::schemas;

/// What Kafka's classes answer to each of `lines`, in one run of the JVM.
pub(crate) fn ask(lines: &[String]) -> Vec<String> {
    let printed = schemas::run_java_with("RecordsOracle", include_str!("RecordsOracle.java"), schemas::CODECS, lines.join("\n"));
    let answers: Vec<String> = printed.lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), lines.len(), "an answer to each line");
    answers
}

/// Bytes in hex; `_` for null.
pub(crate) fn hex(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "_".to_owned() };
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The reverse.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex")).collect()
}

/// What klamm reads in `bytes`, in the oracle's words.
pub(crate) fn describe(bytes: Bytes) -> String {
    let mut out = String::new();
    let mut batches = RecordBatches::new(bytes);
    for batch in &mut batches {
        let batch = batch.expect("a batch that can be read");
        let records = batch.records(Limits::default()).expect("records that can be read");
        let append = batch.timestamp_type() == TimestampType::LogAppendTime;
        let current = batch.magic() == 2;
        let _ = write!(
            out,
            "batch {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
            batch.magic(),
            batch.compression().expect("a codec"),
            if append { "append" } else { "create" },
            records.base_offset(),
            batch.last_offset(),
            batch.next_offset(),
            batch.max_timestamp(),
            if current { batch.base_timestamp() } else { -1 },
            batch.producer_id(),
            batch.producer_epoch(),
            batch.base_sequence(),
            batch.last_sequence(),
            batch.is_transactional(),
            batch.is_control(),
            batch.partition_leader_epoch(),
            batch.delete_horizon().map_or("_".to_owned(), |horizon| horizon.to_string()),
            if current { batch.record_count() } else { -1 },
            batch.size(),
        );
        for record in &records {
            let record = record.expect("a record that can be read");
            let _ = write!(out, " / {},{},{},{}", record.offset, record.timestamp, hex(record.key), hex(record.value));
            for header in record.headers {
                let header = header.expect("a header that can be read");
                let _ = write!(out, ",{}={}", hex(Some(header.key)), hex(header.value));
            }
            if batch.is_control() {
                let control = ControlRecord::read(&record).expect("a control record that can be read");
                let _ = write!(out, " control {}", control.control_type.id());
                if let Some(epoch) = control.coordinator_epoch() {
                    let _ = write!(out, " {epoch}");
                }
            }
        }
        out.push_str(" ; ");
    }
    assert!(!batches.is_truncated(), "nothing is cut");
    out
}
