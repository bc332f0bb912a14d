use super::*;
use crate::consumer::positions::Place;
use crate::protocol::records::{BatchBuilder, Compression, ControlMarker, NO_HEADERS};

/// A batch of a producer (-1: none), at `base_offset`, with these values.
fn batch_of(producer_id: i64, base_offset: i64, values: &[&str], compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(64);
    for value in values {
        builder.append(1000, None, Some(value.as_bytes()), NO_HEADERS).unwrap();
    }
    let transactional = producer_id >= 0;
    let (epoch, sequence) = if transactional { (0, 0) } else { (-1, -1) };
    let bytes = builder.close(compression).unwrap().stamp(producer_id, epoch, sequence, transactional);
    Batch::new(bytes).unwrap().assign(base_offset, 3, None).bytes().clone()
}

fn batch(base_offset: i64, values: &[&str]) -> Bytes {
    batch_of(-1, base_offset, values, Compression::None)
}

fn marker(producer_id: i64, offset: i64, committed: bool) -> Bytes {
    let bytes = ControlMarker::end_of_transaction(committed, 0).batch(1000, producer_id, 0);
    Batch::new(bytes).unwrap().assign(offset, 3, None).bytes().clone()
}

fn data(batches: &[Bytes]) -> Bytes {
    batches.concat().into()
}

fn read_all(chunk: Option<Chunk>) -> Vec<i64> {
    let Some(mut chunk) = chunk else { return Vec::new() };
    let partition = TopicPartition::new("t", 0);
    let mut offsets = Vec::new();
    while chunk.prepare(Limits::default()).unwrap() {
        while let Some(record) = chunk.read(&partition) {
            offsets.push(record.unwrap().0.offset);
        }
    }
    offsets
}

fn place() -> Place {
    Place::of(0, 1)
}

fn aborted(list: &[(i64, i64)]) -> Option<Vec<Aborted>> {
    Some(
        list.iter()
            .map(|(producer_id, first_offset)| Aborted { first_offset: *first_offset, producer_id: *producer_id })
            .collect(),
    )
}

#[test]
fn rk_108_records_before_the_offset_asked_for_are_left_out() {
    let values: Vec<String> = (0..10).map(|value| value.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    for compression in [Compression::None, Compression::Gzip] {
        let parsed = parse(place(), 5, batch_of(-1, 0, &values, compression), None, 10);
        assert_eq!(parsed.next.offset, 10);
        assert_eq!(read_all(parsed.chunk), [5, 6, 7, 8, 9]);
    }
}

#[test]
fn rk_163_aborted_records_are_left_out_and_what_follows_is_not() {
    let records = data(&[
        batch(0, &["a", "b"]),
        batch_of(5, 2, &["x", "y", "z"], Compression::None),
        marker(5, 5, false),
        batch(6, &["c"]),
    ]);
    let parsed = parse(place(), 0, records.clone(), aborted(&[(5, 2)]), 7);
    assert_eq!(parsed.next.offset, 7);
    assert_eq!(read_all(parsed.chunk), [0, 1, 6]);
    // Readers of uncommitted data get all but the marker.
    assert_eq!(read_all(parse(place(), 0, records, None, 7).chunk), [0, 1, 2, 3, 4, 6]);
}

#[test]
fn the_aborted_list_may_come_in_any_order_and_a_marker_ends_only_its_own_producer() {
    let records = data(&[
        batch_of(5, 0, &["x"], Compression::Gzip),
        batch_of(6, 1, &["kept"], Compression::None),
        batch_of(7, 2, &["y"], Compression::None),
        marker(6, 3, true),
        marker(5, 4, false),
        batch_of(5, 5, &["kept"], Compression::None),
        batch_of(7, 6, &["y"], Compression::None),
        marker(7, 7, false),
        batch_of(7, 8, &["z"], Compression::None),
        marker(7, 9, false),
    ]);
    for list in [[(5, 0), (7, 2), (7, 8)], [(7, 8), (5, 0), (7, 2)], [(7, 2), (7, 8), (5, 0)]] {
        assert_eq!(read_all(parse(place(), 0, records.clone(), aborted(&list), 10).chunk), [1, 5], "{list:?}");
    }
    // An empty aborted transaction: only its marker is there.
    let records = data(&[marker(5, 0, false), batch(1, &["a"])]);
    assert_eq!(read_all(parse(place(), 0, records, aborted(&[(5, 0)]), 2).chunk), [1]);
}

#[test]
fn several_aborted_transactions_may_begin_in_a_gap_that_compaction_left() {
    // Of producer 1 nothing is left.
    let records = data(&[batch_of(2, 1, &["x"], Compression::None), marker(2, 2, false), batch(3, &["y"])]);
    let parsed = parse(place(), 0, records, aborted(&[(1, 0), (2, 1)]), 4);
    assert_eq!(read_all(parsed.chunk), [3]);
}

#[test]
fn an_answer_of_control_and_aborted_records_alone_moves_the_position() {
    let records = data(&[batch_of(5, 0, &["x"], Compression::None), marker(5, 1, false)]);
    let parsed = parse(place(), 0, records, aborted(&[(5, 0)]), 2);
    assert!(parsed.fault.is_none());
    let mut chunk = parsed.chunk.unwrap();
    assert_eq!((chunk.next().offset, chunk.size()), (2, 0));
    assert!(!chunk.prepare(Limits::default()).unwrap());
}

#[test]
fn rk_164_a_cut_last_batch_is_fetched_again_wherever_it_is_cut() {
    let (whole, second) = (batch(0, &["a", "b"]), batch(2, &["c", "d"]));
    for cut in 0..second.len() {
        let records = data(&[whole.clone(), second.slice(..cut)]);
        let parsed = parse(place(), 0, records, aborted(&[]), 4);
        assert!(parsed.fault.is_none(), "cut after {cut}: {:?}", parsed.fault);
        assert_eq!(parsed.next.offset, 2, "cut after {cut}");
        assert_eq!(parsed.cut.is_some(), cut > 0);
        assert_eq!(read_all(parsed.chunk), [0, 1]);
    }
    let parsed = parse(place(), 2, second.slice(..second.len() - 1), None, 4);
    assert!(parsed.chunk.is_none());
    assert_eq!((parsed.next.offset, parsed.cut), (2, Some(Some(second.len()))));
}

#[test]
fn a_flipped_bit_anywhere_is_never_skipped_in_silence() {
    let (first, second, third) = (batch(0, &["a"]), batch(1, &["bb", "cc"]), batch(3, &["d"]));
    // The leader epoch (12..16) and the base offset (0..8) stand outside the checksum; a changed length misplaces what follows.
    for byte in 16..second.len() {
        let mut broken = second.to_vec();
        broken[byte] ^= 0x10;
        let parsed = parse(place(), 0, data(&[first.clone(), broken.into(), third.clone()]), None, 4);
        assert!(parsed.fault.is_some(), "byte {byte}");
        assert_eq!(parsed.next.offset, 1, "byte {byte}: the position stays before what cannot be read");
        assert_eq!(read_all(parsed.chunk), [0], "byte {byte}: what stands before it is handed out");
    }
}

#[test]
fn gaps_of_compaction_and_emptied_batches_are_passed() {
    let mut emptied = batch(5, &["x"]).to_vec();
    // A batch that compaction left without records keeps its span: a last offset delta of 4, no records, its own checksum.
    emptied.truncate(61);
    emptied[8..12].copy_from_slice(&49i32.to_be_bytes());
    emptied[23..27].copy_from_slice(&4i32.to_be_bytes());
    emptied[57..61].copy_from_slice(&0i32.to_be_bytes());
    let checksum = crc32c::crc32c(&emptied[21..]);
    emptied[17..21].copy_from_slice(&checksum.to_be_bytes());
    let parsed = parse(place(), 0, data(&[batch(2, &["a"]), emptied.into(), batch(20, &["b"])]), None, 30);
    assert!(parsed.fault.is_none(), "{:?}", parsed.fault);
    assert_eq!(parsed.next.offset, 21);
    assert_eq!(read_all(parsed.chunk), [2, 20]);
}

#[test]
fn the_position_behind_the_last_record_is_behind_the_markers_that_follow() {
    let parsed = parse(place(), 0, data(&[batch_of(6, 0, &["a", "b"], Compression::None), marker(6, 2, true)]), aborted(&[]), 3);
    let (mut chunk, partition) = (parsed.chunk.unwrap(), TopicPartition::new("t", 0));
    assert!(chunk.prepare(Limits::default()).unwrap());
    let (message, next) = chunk.read(&partition).unwrap().unwrap();
    assert_eq!((message.offset, next), (0, Checkpoint { offset: 1, leader_epoch: Some(3) }));
    let (message, next) = chunk.read(&partition).unwrap().unwrap();
    assert_eq!((message.offset, next.offset), (1, 3));
    assert!(chunk.read(&partition).is_none());
}

/// Messages of format 1 at 100 to 104, compressed together, as a broker before 4.0 hands them out.
const BEFORE_0_11: &[u8] = include_bytes!("../../../tests/fixtures/records/java-v1-gzip.bin");

#[test]
fn messages_from_before_kafka_0_11_are_read_like_others_from_the_offset_asked_for() {
    let records = data(&[Bytes::from_static(BEFORE_0_11), batch(105, &["a"])]);
    for from in [0, 99, 100, 102, 104, 105] {
        // Who reads committed data gets them as well: transactions came with format 2.
        let parsed = parse(place(), from, records.clone(), aborted(&[]), 106);
        assert!(parsed.fault.is_none() && parsed.next.offset == 106);
        let chunk = parsed.chunk.unwrap();
        // Where they begin is not known before they are decompressed; nothing may be left out until then.
        assert_eq!(chunk.position(), from);
        assert_eq!(read_all(Some(chunk)), (from.max(100)..=105).collect::<Vec<_>>(), "from {from}");
    }
    let mut chunk = parse(place(), 99, data(&[batch(99, &["b"]), Bytes::from_static(BEFORE_0_11)]), None, 105).chunk.unwrap();
    assert!(chunk.prepare(Limits::default()).unwrap());
    let partition = TopicPartition::new("t", 0);
    assert_eq!(chunk.read(&partition).unwrap().unwrap().0.offset, 99);
    assert_eq!(chunk.position(), 100, "and nothing is read twice");
    assert!(chunk.prepare(Limits::default()).unwrap());
    let (message, next) = chunk.read(&partition).unwrap().unwrap();
    assert_eq!((message.offset, message.leader_epoch, next.leader_epoch), (100, None, None));
}

#[test]
fn compressed_messages_behind_the_offset_of_the_one_they_are_in_are_a_fault() {
    let mut bytes = BEFORE_0_11.to_vec();
    bytes[..8].fill(0);
    let mut chunk = parse(place(), 0, bytes.into(), None, 5).chunk.unwrap();
    let (offset, error) = chunk.prepare(Limits::default()).unwrap_err();
    assert_eq!(offset, 0);
    assert!(error.to_string().contains("behind that of the message it is in"), "{error}");
}

#[test]
fn batches_are_taken_up_to_the_limit_and_can_be_put_back() {
    let records = data(&[batch(0, &["a", "b"]), batch(2, &["c"]), batch(3, &["d"])]);
    let (mut chunk, partition) = (parse(place(), 0, records, None, 4).chunk.unwrap(), TopicPartition::new("t", 0));
    assert!(chunk.prepare(Limits::default()).unwrap());
    assert_eq!(chunk.read(&partition).unwrap().unwrap().0.offset, 0);
    let (parts, next) = chunk.take(Limits::default(), 1).unwrap().unwrap();
    assert_eq!((parts.len(), parts[0].at(), parts[0].left(), next.offset), (1, 1, 1, 2));
    let (more, next) = chunk.take(Limits::default(), 1 << 20).unwrap().unwrap();
    assert_eq!((more.len(), next.offset), (2, 4));
    chunk.untake(more);
    chunk.untake(parts);
    assert_eq!(chunk.position(), 1);
    assert_eq!(read_all(Some(chunk)), [1, 2, 3]);
}

#[test]
fn data_that_does_not_decompress_is_a_fault_at_its_offset() {
    let good = batch_of(-1, 0, &["a"], Compression::Gzip);
    let mut broken = batch_of(-1, 1, &["b"], Compression::Gzip).to_vec();
    let last = broken.len() - 12;
    broken[last] ^= 0xff;
    let checksum = crc32c::crc32c(&broken[21..]);
    broken[17..21].copy_from_slice(&checksum.to_be_bytes());
    let mut chunk = parse(place(), 0, data(&[good, broken.into()]), None, 2).chunk.unwrap();
    assert!(chunk.prepare(Limits::default()).unwrap());
    assert_eq!(chunk.read(&TopicPartition::new("t", 0)).unwrap().unwrap().0.offset, 0);
    let (offset, _) = chunk.prepare(Limits::default()).unwrap_err();
    assert_eq!(offset, 1);
}

#[test]
fn a_broken_record_is_a_fault_at_its_offset_behind_all_before_it() {
    let values = ["a"; 10];
    let whole = batch(20, &values);
    let size = (whole.len() - 61) / values.len();
    for broken in 0..values.len() {
        let mut bytes = whole.to_vec();
        // The record's length: longer than what is left.
        bytes[61 + broken * size] = 0x7e;
        let checksum = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
        let mut chunk = parse(place(), 20, bytes.into(), None, 30).chunk.unwrap();
        let partition = TopicPartition::new("t", 0);
        let mut seen = Vec::new();
        let at = loop {
            assert!(chunk.prepare(Limits::default()).unwrap());
            match chunk.read(&partition).unwrap() {
                Ok((message, _)) => seen.push(message.offset),
                Err((at, _)) => break at,
            }
        };
        let before: Vec<i64> = (20..).take(broken).collect();
        assert_eq!((seen, at), (before, 20 + i64::try_from(broken).unwrap()));
    }
}
