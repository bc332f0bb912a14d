//! `klamm records decode`: what is in bytes of record batches, without a broker.

use bytes::Bytes;
use klamm::TimestampType;
use klamm::protocol::records::{Batch, BatchError, ControlRecord, ControlType, Limits, RecordBatches, RecordRef};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::exit::{Done, Failure};
use crate::output::Output;
use crate::record_json::{bytes_to_json, header_to_json};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Reads a record set, as a fetch or a log segment has it, from standard input: a JSON line per batch and per record
    Decode,
}

/// Decodes what standard input has. What stands before a fault is shown.
pub(crate) async fn run(arguments: Arguments) -> Done {
    let Verb::Decode = arguments.verb;
    let mut bytes = Vec::new();
    let read = tokio::io::stdin().read_to_end(&mut bytes).await;
    read.map_err(|error| Failure::refused(format!("standard input could not be read: {error}")))?;
    let mut output = Output::new(true);
    let done = decode(bytes.into(), &mut output);
    output.flush()?;
    done
}

fn decode(bytes: Bytes, output: &mut Output) -> Done {
    let (limits, length) = (Limits::default(), bytes.len());
    let mut batches = RecordBatches::with_limits(bytes, limits);
    loop {
        let position = batches.position();
        let at = |error: BatchError| Failure::refused(format!("byte {position}: {error}"));
        let Some(batch) = batches.next() else { break };
        let batch = batch.map_err(at)?;
        output.line(&batch_to_json(&batch, position).map_err(at)?)?;
        for (index, record) in batch.records(limits).map_err(at)?.iter().enumerate() {
            output.line(&record_to_json(&batch, index, &record.map_err(at)?).map_err(|reason| {
                Failure::refused(format!(
                    "byte {position}: record {index} of the batch at offset {}: {reason}",
                    batch.base_offset()
                ))
            })?)?;
        }
    }
    if batches.is_truncated() {
        let (position, there) = (batches.position(), length - batches.position());
        let size = batches.truncated_size().map_or("an unknown number".to_owned(), |size| size.to_string());
        return Err(Failure::refused(format!(
            "byte {position}: the last batch is cut short: {there} of {size} bytes are there; a fetch cuts at its size, a file should not"
        )));
    }
    Ok(())
}

fn batch_to_json(batch: &Batch, position: usize) -> Result<Value, BatchError> {
    let current = batch.magic() == 2;
    let legacy = |value: Value| if current { value } else { Value::Null };
    Ok(json!({
        "kind": "batch",
        "position": position,
        "size": batch.size(),
        "magic": batch.magic(),
        "base_offset": if current || !batch.is_compressed() { Some(batch.base_offset()) } else { None },
        "last_offset": batch.last_offset(),
        "record_count": (batch.record_count() >= 0).then_some(batch.record_count()),
        "compression": batch.compression()?.name(),
        "timestamp_type": match batch.timestamp_type() {
            _ if batch.magic() == 0 => None,
            TimestampType::CreateTime => Some("CreateTime"),
            TimestampType::LogAppendTime => Some("LogAppendTime"),
        },
        "base_timestamp": legacy(batch.base_timestamp().into()),
        "max_timestamp": batch.max_timestamp(),
        "partition_leader_epoch": batch.partition_leader_epoch(),
        "producer_id": batch.producer_id(),
        "producer_epoch": batch.producer_epoch(),
        "base_sequence": batch.base_sequence(),
        "last_sequence": batch.last_sequence(),
        "is_transactional": batch.is_transactional(),
        "is_control": batch.is_control(),
        "delete_horizon": batch.delete_horizon(),
    }))
}

fn record_to_json(batch: &Batch, index: usize, record: &RecordRef<'_>) -> Result<Value, String> {
    let mut headers = Vec::new();
    for header in record.headers {
        let header = header.map_err(|error| error.to_string())?;
        headers.push(header_to_json(header.key, header.value));
    }
    let mut line = json!({
        "kind": "record",
        "index": index,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": bytes_to_json(record.key),
        "value": bytes_to_json(record.value),
        "headers": headers,
    });
    if batch.is_control() {
        let control = ControlRecord::read(record)?;
        line["control_type"] = control_name(control.control_type);
        line["coordinator_epoch"] = control.coordinator_epoch().into();
    }
    Ok(line)
}

/// Kafka's name of it, or its number.
fn control_name(control_type: ControlType) -> Value {
    let name = match control_type {
        ControlType::Abort => "ABORT",
        ControlType::Commit => "COMMIT",
        ControlType::LeaderChange => "LEADER_CHANGE",
        ControlType::SnapshotHeader => "SNAPSHOT_HEADER",
        ControlType::SnapshotFooter => "SNAPSHOT_FOOTER",
        ControlType::KRaftVersion => "KRAFT_VERSION",
        ControlType::KRaftVoters => "KRAFT_VOTERS",
        other => return other.id().into(),
    };
    name.into()
}
