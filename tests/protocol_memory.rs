//! What decoding and encoding allocate.

mod declarations;

use allocation_counter::measure;
use bytes::Bytes;
use declarations::{Random, cases, put_uvarint};
use klamm::protocol::frame::{FrameError, Frames};
use klamm::protocol::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use klamm::protocol::messages::describe_configs::DescribeConfigsRequest;
use klamm::protocol::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use klamm::protocol::messages::find_coordinator::FindCoordinatorRequest;
use klamm::protocol::messages::join_group::{JoinGroupResponse, JoinGroupResponseMember};
use klamm::protocol::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use klamm::protocol::messages::offset_fetch::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use klamm::protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use klamm::protocol::{ApiMessage, BrokerId, DecodeErrorKind, Reader, Records, Str, TopicName, header};

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
        "DescribeConfigsRequest version 4, Resources[2].ConfigurationKeys (byte 2000018 of 10000064): the message would take far more memory than its frame; expected at most 81049088 bytes of memory in all"
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

/// Writes and reads `message`, which has `arrays` arrays that are not empty; nothing in it is large enough to be shared.
fn few_allocations<M: ApiMessage + std::fmt::Debug>(message: &M, version: i16, arrays: u64) {
    let mut written = Vec::new();
    let used = measure(|| written = message.checked(version).unwrap().write(&[]));
    // The bytes, and the list of one buffer.
    assert_eq!(used.count_total, 2, "{} is written", M::NAME);
    // As a frame comes off a connection: one that others share already.
    let mut frame = bytes::BytesMut::from(&written.concat()[..]);
    let frame = frame.split().freeze();
    let mut read = None;
    let used = measure(|| read = Some(M::decode(&frame, version).unwrap()));
    assert_eq!(read.as_ref(), Some(message));
    assert!(used.count_total <= arrays, "{} allocations to read {} with {arrays} arrays", used.count_total, M::NAME);
}

#[test]
fn a_message_is_read_with_one_allocation_for_each_array_and_written_with_two_in_all() {
    let name = |at: usize| TopicName::try_from(format!("topic-{at}")).unwrap();
    let text = |text: &str| Str::try_from(text).unwrap();
    let partition = |at: i32| MetadataResponsePartition {
        partition_index: at,
        replica_nodes: vec![BrokerId(1), BrokerId(2)],
        isr_nodes: vec![BrokerId(1)],
        ..Default::default()
    };
    let topic = |at: usize| MetadataResponseTopic {
        name: Some(name(at)),
        partitions: (0..12).map(partition).collect(),
        ..Default::default()
    };
    let brokers = vec![MetadataResponseBroker { host: text("broker"), ..Default::default() }];
    let metadata = MetadataResponse { brokers, topics: (0..100).map(topic).collect(), ..Default::default() };
    few_allocations(&metadata, 12, 1 + 1 + 100 * (1 + 12 * 2));

    let records = Some(Records(Bytes::from(vec![1; 100])));
    let partition = |at: i32| PartitionData { partition_index: at, records: records.clone(), ..Default::default() };
    let topic = |_| FetchableTopicResponse { partitions: (0..10).map(partition).collect(), ..Default::default() };
    few_allocations(&FetchResponse { responses: (0..100).map(topic).collect(), ..Default::default() }, 17, 1 + 100);

    let partition = |at: i32| PartitionProduceData { index: at, records: records.clone() };
    let topic = |at| TopicProduceData { name: name(at), partition_data: (0..10).map(partition).collect(), ..Default::default() };
    few_allocations(&ProduceRequest { topic_data: (0..100).map(topic).collect(), ..Default::default() }, 11, 1 + 100);

    let owned = |_| TopicPartitions { partitions: vec![1, 2, 3], ..Default::default() };
    let heartbeat = ConsumerGroupHeartbeatRequest {
        subscribed_topic_names: Some((0..5).map(name).collect()),
        topic_partitions: Some((0..5).map(owned).collect()),
        ..Default::default()
    };
    few_allocations(&heartbeat, 1, 1 + 1 + 5);

    let member = |_| JoinGroupResponseMember { member_id: text("m"), metadata: Bytes::from(vec![1; 50]), ..Default::default() };
    few_allocations(&JoinGroupResponse { members: (0..100).map(member).collect(), ..Default::default() }, 9, 1);

    let partition = |at: i32| OffsetFetchResponsePartitions { partition_index: at, ..Default::default() };
    let topic =
        |at| OffsetFetchResponseTopics { name: name(at), partitions: (0..12).map(partition).collect(), ..Default::default() };
    let groups = vec![OffsetFetchResponseGroup { topics: (0..100).map(topic).collect(), ..Default::default() }];
    few_allocations(&OffsetFetchResponse { groups, ..Default::default() }, 9, 1 + 1 + 100);
}
