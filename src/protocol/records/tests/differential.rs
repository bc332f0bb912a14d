//! The `kafka-protocol` crate as a second opinion, byte for byte.

use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use proptest::prelude::*;

use super::property::records;
use super::*;

fn to_theirs(record: &Owned) -> theirs::Record {
    let text = |bytes: &[u8]| StrBytes::from_string(bytes.iter().map(|byte| char::from(byte & 0x7f)).collect());
    theirs::Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: 99,
        producer_epoch: 2,
        timestamp_type: theirs::TimestampType::Creation,
        offset: record.offset,
        sequence: 7 + record.offset as i32,
        timestamp: record.timestamp,
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers: record.headers.iter().map(|(key, value)| (text(key), value.clone().map(Bytes::from))).collect(),
    }
}

/// What their model of headers cannot hold: equal keys, and keys that are not text.
fn within_their_model(mut records: Vec<Owned>) -> Vec<Owned> {
    for record in &mut records {
        let mut seen = std::collections::BTreeSet::new();
        for (key, _) in &mut record.headers {
            key.iter_mut().for_each(|byte| *byte &= 0x7f);
        }
        record.headers.retain(|(key, _)| seen.insert(key.clone()));
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn both_write_the_same_bytes_and_read_them_the_same(records in records(1..30)) {
        let records = within_their_model(records);
        let mut closed = build(&records).close(Compression::None).expect("closed");
        let ours = closed.stamp(99, 2, 7, true);
        let their_records: Vec<_> = records.iter().map(to_theirs).collect();
        let options = theirs::RecordEncodeOptions { version: 2, compression: theirs::Compression::None };
        let mut encoded = BytesMut::new();
        theirs::RecordBatchEncoder::encode(&mut encoded, &their_records, &options).expect("encoded");
        // Their base timestamp is always the lowest; where that would make a large batch larger, ours is the first record's.
        let lowest = records.iter().map(|record| record.timestamp).min();
        if lowest == Some(closed.base_timestamp()) {
            prop_assert_eq!(&ours, &encoded.freeze());
        } else {
            prop_assert!(ours.len() > 4_096 || encoded.len() > 4_096);
        }

        let decoded = theirs::RecordBatchDecoder::decode(&mut ours.clone()).expect("decoded");
        prop_assert_eq!(decoded.records, their_records);
        prop_assert_eq!(read(&Batch::new(ours).expect("batch")), records);
    }
}
