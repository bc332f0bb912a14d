//! What decoding and encoding allocate.

mod declarations;

use allocation_counter::measure;
use bytes::Bytes;
use declarations::{Random, cases, put_uvarint};
use klamm::protocol::frame::{FrameError, Frames};
use klamm::protocol::messages::describe_configs::DescribeConfigsRequest;
use klamm::protocol::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use klamm::protocol::messages::find_coordinator::FindCoordinatorRequest;
use klamm::protocol::{ApiMessage, DecodeErrorKind, Reader, Records, header};

/// What a frame of `len` bytes may make the decoder allocate.
fn budget(len: usize) -> u64 {
    (Reader::BUDGET_BASE + Reader::BUDGET_FACTOR * len) as u64
}

#[test]
fn ten_megabytes_of_empty_strings_stay_within_the_budget() {
    let mut frame = Vec::new();
    // Ten resources with a million empty keys each: 32 bytes apiece in memory, one on the wire.
    put_uvarint(&mut frame, 11);
    for _ in 0..10 {
        frame.extend([2, 1]);
        put_uvarint(&mut frame, 1_000_001);
        frame.resize(frame.len() + 1_000_000, 1);
        frame.push(0);
    }
    frame.extend([0, 0, 0]);
    let frame = Bytes::from(frame);
    let mut result = None;
    let used = measure(|| result = Some(DescribeConfigsRequest::decode(&frame, 4)));
    let error = result.unwrap().unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::OverBudget);
    assert_eq!(
        DescribeConfigsRequest::explain(&frame, 4, error),
        "DescribeConfigsRequest version 4, Resources[2].ConfigurationKeys (byte 2000018 of 10000064): the message would take far more memory than its frame"
    );
    assert!(used.bytes_max <= budget(frame.len()), "{} bytes for a frame of {}", used.bytes_max, frame.len());
}

#[test]
fn an_array_of_more_than_a_million_elements_is_refused_before_anything_is_allocated() {
    let mut frame = Vec::new();
    put_uvarint(&mut frame, 1_000_002);
    frame.resize(frame.len() + 1_000_001, 1);
    // The API's one type byte comes first.
    frame.insert(0, 0);
    frame.push(0);
    let frame = Bytes::from(frame);
    let mut result = None;
    let used = measure(|| result = Some(FindCoordinatorRequest::decode(&frame, 4)));
    assert_eq!(result.unwrap().unwrap_err().kind, DecodeErrorKind::TooMany);
    assert!(used.bytes_max < 100, "{}", used.bytes_max);
}

#[test]
fn no_damaged_frame_allocates_beyond_the_budget() {
    for case in cases() {
        for version in case.each_version() {
            let frame = Random::new(case, version, 1).frame(case);
            for at in (0..frame.len()).step_by(1 + frame.len() / 50) {
                let mut damaged = frame.to_vec();
                damaged[at..].fill(0x7f);
                let damaged = Bytes::from(damaged);
                let used = measure(|| _ = (case.decode)(&damaged, version));
                assert!(used.bytes_max <= budget(damaged.len()), "{} version {version}: {}", case.name, used.bytes_max);
            }
        }
    }
}

/// The budget is for frames that lie. What is honest takes a few times its frame, here with texts of at most twenty bytes, which is short
/// for names of topics and hosts, and arrays of one to three elements. What is smaller still, a list of verdicts without a text say, has
/// [`Reader::BUDGET_BASE`] beside: that is enough for 40,000 of the worst.
#[test]
fn no_honest_message_exceeds_the_budget() {
    let mut worst = (0.0, String::new());
    for case in cases() {
        for version in case.each_version() {
            let (mut frames, mut used) = (0, 0);
            for seed in 0..20 {
                let frame = Random { longest_text: 10, ..Random::new(case, version, seed) }.frame(case);
                frames += frame.len();
                used += measure(|| _ = (case.decode)(&frame, version)).bytes_max;
            }
            let ratio = used as f64 / frames.max(1) as f64;
            if ratio > worst.0 {
                worst = (ratio, format!("{} version {version}", case.name));
            }
        }
    }
    println!("the largest in memory for its frame is {}, {:.1} times", worst.1, worst.0);
    assert!(worst.0 <= Reader::BUDGET_FACTOR as f64, "{worst:?}");
}

#[test]
fn rk_184_a_length_prefix_of_two_gigabytes_is_an_error_and_no_allocation() {
    let mut result = None;
    let used = measure(|| {
        let mut frames = Frames::new(100_000_000);
        frames.read_buffer().extend_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]);
        result = Some(frames.next_frame());
    });
    assert_eq!(result, Some(Err(FrameError::TooLong { len: i32::MAX as usize, limit: 100_000_000 })));
    assert!(used.bytes_max < 100_000, "{}", used.bytes_max);
    // Below the limit the length is believed, but not before the bytes are there.
    let used = measure(|| {
        let mut frames = Frames::new(100_000_000);
        frames.read_buffer().extend_from_slice(&90_000_000u32.to_be_bytes());
        assert_eq!(frames.next_frame(), Ok(None));
        frames.read_buffer();
    });
    assert!(used.bytes_max < 3_000_000, "{}", used.bytes_max);
}

#[test]
fn a_response_of_a_thousand_topics_is_written_with_few_allocations() {
    let partition = PartitionData { records: Some(Records(vec![0; 10_000].into())), ..Default::default() };
    let topic = |at: usize| FetchableTopicResponse {
        topic: format!("topic-{at}").try_into().unwrap(),
        partitions: vec![partition.clone()],
        ..Default::default()
    };
    let response = FetchResponse { responses: (0..1000).map(topic).collect(), ..Default::default() };
    let mut frame = Vec::new();
    let used = measure(|| frame = header::encode_response(7, 12, &response).unwrap());
    assert_eq!(frame.len(), 2001, "each record batch is handed on uncopied");
    assert!(used.bytes_max < 1_000_000, "{} bytes", used.bytes_max);
    // The head, the copied bytes (two: a buffer and its owner), the list of shared ones as it grows, the list of buffers.
    assert!(used.count_total <= 16, "{} allocations", used.count_total);
}
