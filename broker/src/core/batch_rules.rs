//! What a produced batch is held to before it is appended, and what its producer is told otherwise.

use bytes::Bytes;
use klamm::protocol::ErrorCode;
use klamm::protocol::records::{Batch, BatchErrorKind, Compression, Limits, RecordBatches};

use crate::core::Settings;
use crate::core::topics::Topic;

/// `message.timestamp.after.max.ms` of topics that do not say it.
const TIMESTAMP_AFTER_MAX_MILLIS: i64 = 3_600_000;

/// First version whose batches may be compressed by zstd (KIP-110).
const ZSTD: i16 = 7;

/// Why a batch was not appended. Kafka has words for few reasons.
#[derive(Debug, Default)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: Option<String>,
    /// Which records are to blame, by their place in the batch, and why.
    pub(crate) records: Vec<(i32, String)>,
    /// Does it come from the log, so that the answer tells where that starts?
    pub(crate) from_log: bool,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode) -> Self {
        Self { code, ..Self::default() }
    }

    pub(crate) fn from_log(code: ErrorCode) -> Self {
        Self { code, from_log: true, ..Self::default() }
    }
}

/// What a topic's batches are held to.
#[derive(Debug)]
pub(crate) struct BatchRules {
    max_bytes: usize,
    /// Set where records need keys: the words for one without.
    needs_key: Option<String>,
    /// The time that records get, where they get the broker's.
    pub(crate) log_append_time: Option<i64>,
    /// Between which times records may be.
    timestamps: (i64, i64),
    look_at_records: bool,
}

impl BatchRules {
    pub(crate) fn of(topic: &Topic, partition: i32, settings: &Settings, max_bytes: i32, wall_millis: i64) -> Self {
        let max_bytes = topic.number("max.message.bytes").unwrap_or(i64::from(max_bytes));
        let after = topic.number("message.timestamp.after.max.ms").unwrap_or(TIMESTAMP_AFTER_MAX_MILLIS);
        let before = topic.number("message.timestamp.before.max.ms").unwrap_or(i64::MAX);
        let name = topic.name.as_str();
        let without_key = || format!("Compacted topic cannot accept message without key in topic partition {name}-{partition}");
        let has_broker_time = topic.configs.get("message.timestamp.type").is_some_and(|kind| kind == "LogAppendTime");
        Self {
            max_bytes: usize::try_from(max_bytes).unwrap_or(0),
            needs_key: topic.has_policy("compact").then(without_key),
            log_append_time: has_broker_time.then_some(wall_millis),
            timestamps: (wall_millis.saturating_sub(before), wall_millis.saturating_add(after)),
            look_at_records: settings.validate_records,
        }
    }

    /// Takes the batch out of `records`, if it is one that may be appended.
    pub(crate) fn check(&self, records: Bytes, version: i16) -> Result<Batch, Refusal> {
        let batch = one_batch(records)?;
        if batch.size() > self.max_bytes {
            return Err(Refusal::new(ErrorCode::MESSAGE_TOO_LARGE));
        }
        let invalid = || Err(Refusal::from_log(ErrorCode::INVALID_RECORD));
        let counts = i64::from(batch.record_count()) == i64::from(batch.last_offset_delta()) + 1;
        if batch.is_control() || batch.base_offset() != 0 || batch.record_count() <= 0 || !counts {
            return invalid();
        }
        if batch.producer_id() >= 0 && batch.producer_epoch() < 0 {
            return Err(Refusal::from_log(ErrorCode::INVALID_PRODUCER_EPOCH));
        }
        if (batch.producer_id() >= 0 && batch.base_sequence() < 0) || (batch.is_transactional() && batch.producer_id() < 0) {
            return invalid();
        }
        match batch.compression() {
            Err(_) => return Err(Refusal { from_log: version >= ZSTD, ..Refusal::new(ErrorCode::UNKNOWN_SERVER_ERROR) }),
            Ok(Compression::Zstd) if version < ZSTD => return Err(Refusal::new(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE)),
            Ok(_) => {}
        }
        if self.look_at_records || self.needs_key.is_some() {
            return self.check_records(batch);
        }
        match self.has_good_time(batch.max_timestamp()) {
            true => Ok(batch),
            false => Err(Refusal::from_log(ErrorCode::INVALID_TIMESTAMP)),
        }
    }

    fn has_good_time(&self, timestamp: i64) -> bool {
        let (earliest, latest) = self.timestamps;
        self.log_append_time.is_some() || timestamp < 0 || (earliest..=latest).contains(&timestamp)
    }

    fn check_records(&self, batch: Batch) -> Result<Batch, Refusal> {
        let invalid = || Refusal::from_log(ErrorCode::INVALID_RECORD);
        let records = batch.records(Limits::default()).map_err(|error| match error.kind {
            BatchErrorKind::BadCompression { .. } => Refusal::from_log(ErrorCode::UNKNOWN_SERVER_ERROR),
            _ => invalid(),
        })?;
        let (mut blamed, mut is_about_time) = (Vec::new(), false);
        let (mut latest, mut count) = (i64::MIN, 0);
        for (index, record) in (0..).zip(&records) {
            let record = record.map_err(|_| invalid())?;
            if record.offset != i64::from(index) {
                return Err(invalid());
            }
            if let Some(words) = self.needs_key.as_ref().filter(|_| record.key.is_none()) {
                blamed.push((index, words.clone()));
            } else if !self.has_good_time(record.timestamp) {
                is_about_time |= blamed.is_empty();
                let ((from, to), time) = (self.timestamps, record.timestamp);
                blamed.push((
                    index,
                    format!(
                        "Timestamp {time} of message with offset {index} is out of range. The timestamp should be within [{from}, {to}]"
                    ),
                ));
            }
            latest = latest.max(record.timestamp);
            count = index + 1;
        }
        if count != batch.record_count() {
            return Err(invalid());
        }
        if !blamed.is_empty() {
            return Err(blame(blamed, is_about_time));
        }
        if latest == batch.max_timestamp() || self.log_append_time.is_some() {
            return Ok(batch);
        }
        // As Kafka, which believes the records.
        batch.retain(Limits::default(), None, |_| true).map_err(|_| invalid())
    }
}

/// The only batch in `records`.
fn one_batch(records: Bytes) -> Result<Batch, Refusal> {
    let mut batches = RecordBatches::new(records);
    let batch = match batches.next() {
        Some(Ok(batch)) => batch,
        Some(Err(error)) => {
            return Err(match error.kind {
                BatchErrorKind::BadChecksum { .. } => Refusal::new(ErrorCode::CORRUPT_MESSAGE),
                BatchErrorKind::UnsupportedFormat(magic) => {
                    let message = Some(format!("Invalid magic found in record: {magic}"));
                    Refusal { message, ..Refusal::new(ErrorCode::CORRUPT_MESSAGE) }
                }
                BatchErrorKind::BadCount(_) | BatchErrorKind::BadLastOffsetDelta(_) | BatchErrorKind::BadBaseSequence(_) => {
                    Refusal::from_log(ErrorCode::INVALID_RECORD)
                }
                _ => Refusal::new(ErrorCode::INVALID_RECORD),
            });
        }
        None => return Err(Refusal::new(ErrorCode::INVALID_RECORD)),
    };
    // Exactly one, and of today's format.
    if batches.next().is_some() || batches.is_truncated() || batch.magic() != 2 {
        return Err(Refusal::new(ErrorCode::INVALID_RECORD));
    }
    Ok(batch)
}

/// The refusal for single records; the first of them decides what kind it is.
fn blame(records: Vec<(i32, String)>, is_about_time: bool) -> Refusal {
    if is_about_time {
        let message = Some("One or more records have been rejected due to invalid timestamp".to_owned());
        return Refusal { message, records, ..Refusal::from_log(ErrorCode::INVALID_TIMESTAMP) };
    }
    let shown = records.iter().take(3).map(|(index, message)| format!("RecordError(batchIndex={index}, message='{message}')"));
    let message = format!(
        "One or more records have been rejected due to {} record errors in total, and only showing the first three errors at most: [{}]",
        records.len(),
        shown.collect::<Vec<_>>().join(", ")
    );
    Refusal { message: Some(message), records, ..Refusal::from_log(ErrorCode::INVALID_RECORD) }
}
