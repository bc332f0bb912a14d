//! `records decode`: bytes in, JSON lines out, no broker.

use klamm::protocol::records::{Batch, BatchBuilder, Compression, ControlMarker};
use serde_json::json;

use super::{keys, klamm};

fn batch(compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(256);
    let headers = [(&b"h"[..], Some(&b"1"[..])), (b"h", None)];
    builder.append(1_600_000_000_000, Some(b"k"), Some(b"v"), headers.into_iter()).unwrap();
    builder.append(1_600_000_000_005, None, Some(b"\xff"), headers.into_iter().take(0)).unwrap();
    let bytes = builder.close(compression).unwrap().stamp(7, 1, 40, true);
    Batch::new(bytes).unwrap().assign(100, 3, None).bytes().to_vec()
}

#[tokio::test]
async fn batches_and_records_are_lines_with_their_place_in_the_file() {
    let first = batch(Compression::Zstd);
    let marker = ControlMarker::end_of_transaction(true, 9).batch(5, 7, 1);
    let ran = klamm(&["records", "decode"], [&first[..], &marker].concat()).await.success();
    let lines = ran.json();
    assert_eq!(lines.len(), 5);
    let of_batch = [
        "kind",
        "position",
        "size",
        "magic",
        "base_offset",
        "last_offset",
        "record_count",
        "compression",
        "timestamp_type",
        "base_timestamp",
        "max_timestamp",
        "partition_leader_epoch",
        "producer_id",
        "producer_epoch",
        "base_sequence",
        "last_sequence",
        "is_transactional",
        "is_control",
        "delete_horizon",
    ];
    assert_eq!(keys(&lines[0]), of_batch);
    assert_eq!((&lines[0]["kind"], &lines[0]["position"], &lines[0]["size"]), (&json!("batch"), &json!(0), &json!(first.len())));
    assert_eq!(
        (&lines[0]["base_offset"], &lines[0]["last_offset"], &lines[0]["record_count"]),
        (&json!(100), &json!(101), &json!(2))
    );
    assert_eq!((&lines[0]["compression"], &lines[0]["base_sequence"]), (&json!("zstd"), &json!(40)));
    let record = json!({
        "kind": "record", "index": 0, "offset": 100, "timestamp": 1_600_000_000_000_i64, "key": "k", "value": "v",
        "headers": [["h", "1"], ["h", null]],
    });
    assert_eq!(lines[1], record);
    assert_eq!((&lines[2]["key"], &lines[2]["value"]), (&json!(null), &json!({"base64": "/w=="})));
    assert_eq!((&lines[3]["position"], &lines[3]["is_control"]), (&json!(first.len()), &json!(true)));
    assert_eq!((&lines[4]["control_type"], &lines[4]["coordinator_epoch"]), (&json!("COMMIT"), &json!(9)));
    assert_eq!(klamm(&["records", "decode"], "").await.success().stdout, "");
}

#[tokio::test]
async fn messages_from_before_kafka_0_11_are_read_too() {
    let bytes = include_bytes!("../../../tests/fixtures/records/java-v1-gzip.bin");
    let lines = klamm(&["records", "decode"], bytes).await.success().json();
    assert_eq!((&lines[0]["magic"], &lines[0]["last_offset"], &lines[0]["record_count"]), (&json!(1), &json!(104), &json!(null)));
    let offsets: Vec<_> = lines[1..].iter().map(|line| line["offset"].clone()).collect();
    assert_eq!(offsets, [100, 101, 102, 103, 104]);
}

#[tokio::test]
async fn what_cannot_be_read_is_said_with_its_place_behind_what_can_and_is_exit_code_1() {
    let good = batch(Compression::None);
    let place = format!("byte {}: ", good.len());
    let mut corrupt = good.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    let ran = klamm(&["records", "decode"], [&good[..], &corrupt].concat()).await;
    assert_eq!(ran.json().len(), 3);
    ran.failure(1, &[&place, "offset 100", "checksum", "corrupted"]);
    let ran = klamm(&["records", "decode"], [&good[..], &good[..70]].concat()).await;
    assert_eq!(ran.json().len(), 3);
    ran.failure(1, &[&place, "cut short", &format!("70 of {} bytes", good.len())]);
    klamm(&["records", "decode"], "GET / HTTP/1.1\r\n\r\n").await.failure(1, &["byte 0: ", "format"]);
}
