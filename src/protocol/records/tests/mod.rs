//! Unit tests of record batches.

use bytes::{Bytes, BytesMut};

use super::batch::{Header, seal};
use super::*;

mod differential;
mod encoding;
mod golden;
mod hostile;
mod legacy;
mod property;
mod rebatch;
mod retain;

type OwnedHeader = (Vec<u8>, Option<Vec<u8>>);

/// A record, taken out of its batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Owned {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnedHeader>,
}

fn try_read(batch: &Batch, limits: Limits) -> Result<Vec<Owned>, String> {
    let records = batch.records(limits).map_err(|error| error.to_string())?;
    let mut owned = Vec::new();
    for record in &records {
        let record = record.map_err(|error| error.to_string())?;
        let mut headers = Vec::new();
        for header in record.headers {
            let header = header.map_err(|error| error.to_string())?;
            headers.push((header.key.to_vec(), header.value.map(<[u8]>::to_vec)));
        }
        let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
        owned.push(Owned { offset: record.offset, timestamp: record.timestamp, key, value, headers });
    }
    Ok(owned)
}

fn read(batch: &Batch) -> Vec<Owned> {
    try_read(batch, Limits::default()).expect("records that can be read")
}

fn build(records: &[Owned]) -> BatchBuilder {
    let mut builder = BatchBuilder::new(0);
    for record in records {
        let headers = record.headers.iter().map(|(key, value)| (key.as_slice(), value.as_deref()));
        builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers).expect("room");
    }
    builder
}

/// The records as a batch that no producer with an id made.
fn plain(records: &[Owned], compression: Compression) -> Bytes {
    build(records).close(compression).expect("compressed").stamp(NO_PRODUCER_ID, NO_PRODUCER_EPOCH, NO_SEQUENCE, false)
}

/// One record per value.
fn values(values: &[&str]) -> Vec<Owned> {
    let record = |value: &&str| Owned { value: Some(value.as_bytes().to_vec()), ..Owned::default() };
    values.iter().map(record).collect()
}

/// A batch around `body`, with `change` made to its header and a checksum that fits.
fn forge(body: &[u8], change: impl FnOnce(&mut Header)) -> Bytes {
    let mut header = *plain(&values(&["x"]), Compression::None).first_chunk().map(Header::read).as_mut().expect("header");
    header.length = i32::try_from(body.len() + BATCH_HEADER_SIZE - LOG_OVERHEAD).expect("short");
    change(&mut header);
    let mut bytes = BytesMut::zeroed(BATCH_HEADER_SIZE);
    bytes.extend_from_slice(body);
    seal(&mut bytes, &mut header);
    bytes.freeze()
}
