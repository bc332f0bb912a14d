use super::*;
use crate::consumer::positions::{Checkpoint, Positions};
use crate::protocol::ErrorCode;
use crate::protocol::messages::fetch::{FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, PartitionData};
use crate::protocol::messages::list_offsets::{ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse};
use crate::protocol::records::{Batch, BatchBuilder, Compression, NO_HEADERS};
use crate::protocol::{Records, Str};
use bytes::Bytes;

const MB: usize = 1024 * 1024;

fn settings() -> FetchSettings {
    FetchSettings {
        max_wait: Duration::from_millis(500),
        min_bytes: 1,
        max_bytes: 50 * MB as i32,
        partition_max_bytes: MB as i32,
        topic_max_bytes: BTreeMap::new(),
        read_committed: true,
        budget: 64 * MB,
        backoff: BackoffConfig { initial: Duration::from_millis(100), max: Duration::from_secs(1) },
    }
}

/// A fetch: ticket, broker, partitions with offsets, most bytes.
type Sent = (Ticket, i32, Vec<(i32, i64)>, i32);

/// The core with its positions, and a clock.
struct Harness {
    fetch: Fetch,
    positions: Positions,
    now: Instant,
}

impl Harness {
    fn new(settings: FetchSettings) -> Self {
        Self { fetch: Fetch::new(settings, 7), positions: Positions::default(), now: Instant::now() }
    }

    /// Partition `number` of topic "t", led by `leader`, read from `start`.
    fn assign(&mut self, number: i32, leader: i32, start: Start) -> Place {
        let partition = TopicPartition::new("t", number);
        let place = self.positions.assign(partition.clone());
        self.fetch.handle_command(self.now, Command::Start { place, partition, start });
        self.lead(place, Some((leader, 1)));
        place
    }

    fn lead(&mut self, place: Place, leader: Option<(i32, i32)>) {
        let leader = leader.map(|(broker, epoch)| Leader { broker: BrokerId(broker), epoch, topic_id: Uuid::default() });
        self.fetch.handle_command(self.now, Command::Leader { slot: place.slot, leader });
    }

    fn actions(&mut self) -> Vec<Action> {
        let actions = std::iter::from_fn(|| self.fetch.poll(self.now)).collect();
        assert!(self.fetch.next_timeout().is_none_or(|at| at > self.now), "a timer in the past");
        actions
    }

    /// The fetches that go out now.
    fn fetches(&mut self) -> Vec<Sent> {
        let fetch = |action| match action {
            Action::Fetch { ticket, broker, request, .. } => {
                let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
                let partitions = partitions.map(|partition| (partition.partition, partition.fetch_offset)).collect();
                Some((ticket, broker.0, partitions, request.max_bytes))
            }
            _ => None,
        };
        self.actions().into_iter().filter_map(fetch).collect()
    }

    fn answer(&mut self, ticket: Ticket, partitions: Vec<PartitionData>) {
        let responses = vec![FetchableTopicResponse { topic: topic(), partitions, ..Default::default() }];
        let response = FetchResponse { responses, ..Default::default() };
        self.fetch.handle_fetched(self.now, ticket, Some(response));
    }

    fn take(&mut self) -> Option<Item> {
        self.fetch.take(self.now)
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }
}

fn topic() -> TopicName {
    TopicName::try_from("t").unwrap()
}

fn records(base_offset: i64, count: usize, size: usize) -> Bytes {
    let mut builder = BatchBuilder::new(64);
    for _ in 0..count {
        builder.append(1000, None, Some(&vec![b'x'; size]), NO_HEADERS).unwrap();
    }
    let bytes = builder.close(Compression::None).unwrap().stamp(-1, -1, -1, false);
    Batch::new(bytes).unwrap().assign(base_offset, 1, None).bytes().clone()
}

fn data(partition: i32, records: Bytes) -> PartitionData {
    PartitionData { partition_index: partition, high_watermark: 1000, records: Some(Records(records)), ..Default::default() }
}

fn refused(partition: i32, code: ErrorCode) -> PartitionData {
    PartitionData { partition_index: partition, error_code: code, ..Default::default() }
}

fn chunk(item: Option<Item>) -> Box<Chunk> {
    match item {
        Some(Item::Chunk(chunk)) => chunk,
        other => panic!("no chunk: {other:?}"),
    }
}

#[test]
fn each_leader_is_asked_once_and_again_as_soon_as_it_answered() {
    let mut harness = Harness::new(settings());
    harness.assign(0, 1, Start::At(5));
    harness.assign(1, 2, Start::At(7));
    harness.assign(2, 1, Start::At(9));
    let fetches = harness.fetches();
    assert_eq!(fetches.len(), 2);
    let (ticket, broker, partitions, _) = fetches[0].clone();
    assert_eq!((broker, partitions), (1, vec![(0, 5), (2, 9)]));
    assert_eq!((fetches[1].1, &fetches[1].2), (2, &vec![(1, 7)]));
    assert!(harness.fetches().is_empty());
    harness.answer(ticket, vec![data(0, records(5, 3, 10)), data(2, Bytes::new())]);
    let again = harness.fetches();
    assert_eq!(again.len(), 1, "the other broker is still waited for");
    assert_eq!(again[0].2, [(2, 9), (0, 8)], "who got nothing goes first");
}

#[test]
fn a_pause_that_is_over_keeps_nobody_awake_while_there_is_no_room() {
    let mut harness = Harness::new(FetchSettings { budget: 1000, ..settings() });
    harness.assign(0, 1, Start::At(0));
    harness.assign(1, 1, Start::At(0));
    let ticket = harness.fetches()[0].0;
    let fills = data(0, records(0, 10, 100));
    harness.answer(ticket, vec![fills, refused(1, ErrorCode::UNKNOWN_SERVER_ERROR)]);
    assert!(harness.fetches().is_empty());
    assert!(harness.fetch.next_timeout().is_some_and(|at| at > harness.now), "after the failure there is a pause");
    harness.wait(2000);
    assert!(harness.fetches().is_empty(), "the buffer is full");
    assert_eq!(harness.fetch.next_timeout(), None, "only the user can make room, and that is an event");
    let chunk = chunk(harness.take());
    harness.fetch.release(chunk.place(), chunk.size());
    assert_eq!(harness.fetches()[0].2.len(), 2);
}

#[test]
fn rk_159_a_broker_with_data_does_not_wait_for_one_without() {
    let mut harness = Harness::new(settings());
    harness.assign(0, 1, Start::At(0));
    harness.assign(1, 2, Start::At(0));
    let fetches = harness.fetches();
    for round in 0..5 {
        let ticket = if round == 0 { fetches[0].0 } else { harness.fetches()[0].0 };
        harness.answer(ticket, vec![data(0, records(round * 2, 2, 10))]);
        assert_eq!(chunk(harness.take()).position(), round * 2);
    }
}

#[test]
fn an_answer_to_what_was_asked_before_a_seek_is_void() {
    let mut harness = Harness::new(settings());
    harness.assign(0, 1, Start::At(5));
    let ticket = harness.fetches()[0].0;
    let partition = TopicPartition::new("t", 0);
    let place = harness.positions.seek(&partition, 90).unwrap();
    harness.fetch.handle_command(harness.now, Command::Start { place, partition, start: Start::At(90) });
    assert!(harness.fetches().is_empty(), "the broker is busy");
    harness.answer(ticket, vec![data(0, records(5, 3, 10))]);
    assert!(harness.take().is_none());
    assert_eq!(harness.fetch.buffered(), 0);
    assert_eq!(harness.fetches()[0].2, [(0, 90)]);
}

#[test]
fn what_is_queued_of_an_old_assignment_or_seek_is_dropped() {
    let mut harness = Harness::new(settings());
    let old = harness.assign(0, 1, Start::At(5));
    let ticket = harness.fetches()[0].0;
    harness.answer(ticket, vec![data(0, records(5, 3, 10))]);
    assert!(harness.fetch.buffered() > 0 && harness.fetch.has_ready());
    harness.fetch.handle_command(harness.now, Command::Stop { slot: old.slot });
    assert!(harness.take().is_none());
    assert_eq!(harness.fetch.buffered(), 0);
    // One in the user's hands that comes back late is dropped as well.
    let place = harness.assign(0, 1, Start::At(5));
    let ticket = harness.fetches().last().unwrap().0;
    harness.answer(ticket, vec![data(0, records(5, 3, 10))]);
    let in_hand = chunk(harness.take());
    harness.fetch.handle_command(harness.now, Command::Stop { slot: place.slot });
    harness.fetch.put_back(in_hand);
    assert!(harness.take().is_none());
    assert_eq!(harness.fetch.buffered(), 0);
}

#[test]
fn a_new_leader_is_asked_at_once_and_the_old_one_s_answer_is_void() {
    let mut harness = Harness::new(settings());
    let place = harness.assign(0, 1, Start::At(5));
    let ticket = harness.fetches()[0].0;
    harness.lead(place, Some((2, 2)));
    let moved = harness.fetches();
    assert_eq!((moved[0].1, &moved[0].2), (2, &vec![(0, 5)]));
    harness.answer(ticket, vec![data(0, records(5, 3, 10))]);
    assert!(harness.take().is_none());
    harness.answer(moved[0].0, vec![data(0, records(5, 3, 10))]);
    assert_eq!(chunk(harness.take()).position(), 5);
}

#[test]
fn rk_165_not_leader_refreshes_and_goes_on_at_the_same_offset() {
    for code in [3, 5, 6, 9, 56, 74, 78, 100, 103].map(ErrorCode) {
        let mut harness = Harness::new(settings());
        let place = harness.assign(0, 1, Start::At(5));
        let ticket = harness.fetches()[0].0;
        harness.answer(ticket, vec![refused(0, code)]);
        assert!(matches!(harness.actions()[..], [Action::Refresh]), "{code}");
        assert!(harness.take().is_none(), "{code}: nothing for the user");
        // Not at once again; but at once if the leader moved.
        assert!(harness.fetch.next_timeout().is_some_and(|at| at > harness.now), "{code}");
        harness.lead(place, Some((2, 2)));
        assert_eq!(harness.fetches()[0].2, [(0, 5)], "{code}");
    }
}

#[test]
fn a_leader_that_the_answer_names_is_passed_on_without_a_pause() {
    let mut harness = Harness::new(settings());
    harness.assign(0, 1, Start::At(5));
    let ticket = harness.fetches()[0].0;
    let partition = PartitionData {
        current_leader: LeaderIdAndEpoch { leader_id: BrokerId(2), leader_epoch: 9 },
        ..refused(0, ErrorCode::NOT_LEADER_OR_FOLLOWER)
    };
    let endpoint = NodeEndpoint { node_id: BrokerId(2), host: Str::truncated("h"), port: 9, rack: None };
    let responses = vec![FetchableTopicResponse { topic: topic(), partitions: vec![partition], ..Default::default() }];
    let response = FetchResponse { responses, node_endpoints: vec![endpoint], ..Default::default() };
    harness.fetch.handle_fetched(harness.now, ticket, Some(response));
    // The driver hears of the leader before the core is asked for more.
    let Some(Action::LeaderHint { leader, epoch, endpoint, .. }) = harness.fetch.poll(harness.now) else { panic!("no hint") };
    assert_eq!((leader.0, epoch, endpoint.unwrap().port), (2, 9, 9));
    harness.lead(Place::of(0, 1), Some((2, 9)));
    assert_eq!(harness.fetches()[0].1, 2);
}

#[test]
fn only_the_leader_s_word_that_an_offset_is_out_of_range_counts() {
    for code in (-1..=133).filter(|code| *code != 0).map(ErrorCode) {
        let mut harness = Harness::new(settings());
        harness.assign(0, 1, Start::At(5));
        let ticket = harness.fetches()[0].0;
        harness.answer(ticket, vec![refused(0, code)]);
        let out_of_range = matches!(harness.take(), Some(Item::OutOfRange { offset: 5, .. }));
        assert_eq!(out_of_range, code == ErrorCode::OFFSET_OUT_OF_RANGE, "{code}");
        harness.wait(2000);
        assert_eq!(harness.fetches()[0].2, [(0, 5)], "{code}: asked again at the same offset");
    }
    let mut harness = Harness::new(settings());
    harness.assign(0, 1, Start::At(5));
    let ticket = harness.fetches()[0].0;
    harness.fetch.handle_fetched(harness.now, ticket, None);
    assert!(harness.take().is_none());
    harness.wait(2000);
    assert_eq!(harness.fetches()[0].2, [(0, 5)]);
}

#[test]
fn out_of_range_waits_for_the_records_before_it_and_stops_the_partition() {
    let mut harness = Harness::new(settings());
    harness.assign(0, 1, Start::At(5));
    let ticket = harness.fetches()[0].0;
    harness.answer(ticket, vec![data(0, records(5, 3, 10))]);
    let ticket = harness.fetches()[0].0;
    harness.answer(ticket, vec![refused(0, ErrorCode::OFFSET_OUT_OF_RANGE)]);
    harness.wait(5000);
    assert!(harness.fetches().is_empty(), "the user must come to it first");
    assert_eq!(chunk(harness.take()).position(), 5);
    assert!(matches!(harness.take(), Some(Item::OutOfRange { offset: 8, .. })));
}

#[test]
fn a_log_that_never_has_the_offset_at_which_it_is_said_to_begin_is_asked_with_growing_pauses() {
    let mut harness = Harness::new(settings());
    let place = harness.assign(0, 1, Start::At(5));
    let start = harness.now;
    let mut asked = 0;
    while harness.now < start + Duration::from_secs(60) {
        for action in harness.actions() {
            match action {
                Action::Fetch { ticket, .. } => {
                    asked += 1;
                    harness.answer(ticket, vec![refused(0, ErrorCode::OFFSET_OUT_OF_RANGE)]);
                    // The user comes to it, and begins anew.
                    assert!(matches!(harness.take(), Some(Item::OutOfRange { .. })));
                    let partition = TopicPartition::new("t", 0);
                    let command = Command::Start { place, partition, start: Start::Timestamp(EARLIEST) };
                    harness.fetch.handle_command(harness.now, command);
                }
                Action::ListOffsets { ticket, .. } => {
                    let partitions = vec![ListOffsetsPartitionResponse {
                        partition_index: 0,
                        offset: 5,
                        leader_epoch: 1,
                        ..Default::default()
                    }];
                    let topics = vec![ListOffsetsTopicResponse { name: topic(), partitions }];
                    let response = ListOffsetsResponse { topics, ..Default::default() };
                    harness.fetch.handle_offsets_listed(harness.now, ticket, Some(response));
                }
                _ => {}
            }
        }
        harness.wait(10);
    }
    assert!((50..90).contains(&asked), "about once a second: {asked}");
}

#[test]
fn errors_for_the_user_stop_their_partition_until_they_are_seen_and_not_the_others() {
    for code in [2, 29, 76].map(ErrorCode) {
        let mut harness = Harness::new(settings());
        harness.assign(0, 1, Start::At(5));
        harness.assign(1, 1, Start::At(6));
        let ticket = harness.fetches()[0].0;
        harness.answer(ticket, vec![refused(0, code)]);
        harness.wait(5000);
        let fetches = harness.fetches();
        assert_eq!(fetches[0].2, [(1, 6)], "{code}");
        let Some(Item::Fault { error, .. }) = harness.take() else { panic!("{code}: no fault") };
        assert_eq!((error.code(), error.topic(), error.partition(), error.offset()), (Some(code), Some("t"), Some(0), Some(5)));
        harness.answer(fetches[0].0, vec![data(1, Bytes::new())]);
        harness.wait(5000);
        assert_eq!(harness.fetches()[0].2, [(0, 5), (1, 6)], "{code}: tried on");
    }
}

#[test]
fn a_batch_that_cannot_be_read_is_a_fault_behind_what_can() {
    let mut harness = Harness::new(settings());
    harness.assign(0, 1, Start::At(5));
    let ticket = harness.fetches()[0].0;
    let mut broken = records(8, 2, 10).to_vec();
    broken[70] ^= 1;
    harness.answer(ticket, vec![data(0, [records(5, 3, 10), broken.into()].concat().into())]);
    assert_eq!(chunk(harness.take()).position(), 5);
    let Some(Item::Fault { error, .. }) = harness.take() else { panic!("no fault") };
    assert_eq!((error.kind(), error.offset()), (crate::ErrorKind::Decode, Some(8)));
    harness.wait(2000);
    assert_eq!(harness.fetches()[0].2, [(0, 8)]);
}

#[test]
fn a_partition_without_a_position_asks_its_leader_where_to_begin() {
    let mut harness = Harness::new(settings());
    let place = harness.assign(0, 1, Start::Timestamp(EARLIEST));
    let actions = harness.actions();
    let [Action::ListOffsets { ticket, broker: BrokerId(1), request }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(request.topics[0].partitions[0].timestamp, EARLIEST);
    assert_eq!(request.isolation_level, 1);
    let listed = |error_code, offset| {
        let partitions =
            vec![ListOffsetsPartitionResponse { partition_index: 0, error_code, offset, leader_epoch: 1, timestamp: -1 }];
        ListOffsetsResponse { topics: vec![ListOffsetsTopicResponse { name: topic(), partitions }], ..Default::default() }
    };
    // Whatever goes wrong, it is asked again and nothing is made up.
    let mut ticket = *ticket;
    for code in [1, 3, 5, 6, 7, 9, 56, 74, 75, 78, -1, 43].map(ErrorCode) {
        harness.fetch.handle_offsets_listed(harness.now, ticket, Some(listed(code, 77)));
        assert!(harness.take().is_none(), "{code}");
        harness.wait(2000);
        let again = harness.actions().into_iter().find_map(|action| match action {
            Action::ListOffsets { ticket, .. } => Some(ticket),
            Action::Begin { .. } | Action::Fetch { .. } => panic!("{code}: an offset was made up"),
            _ => None,
        });
        ticket = again.unwrap();
    }
    harness.fetch.handle_offsets_listed(harness.now, ticket, Some(listed(ErrorCode::NONE, 42)));
    let Some(Action::Begin { place: begun, offset: 42, leader_epoch: Some(1) }) = harness.fetch.poll(harness.now) else {
        panic!()
    };
    assert_eq!(begun, place);
    assert_eq!(harness.fetches()[0].2, [(0, 42)]);
}

#[test]
fn a_time_after_the_last_record_begins_at_the_end() {
    let mut harness = Harness::new(settings());
    harness.assign(0, 1, Start::Timestamp(123));
    let Some(Action::ListOffsets { ticket, .. }) = harness.fetch.poll(harness.now) else { panic!() };
    let partitions = vec![ListOffsetsPartitionResponse { partition_index: 0, offset: -1, ..Default::default() }];
    let topics = vec![ListOffsetsTopicResponse { name: topic(), partitions }];
    harness.fetch.handle_offsets_listed(harness.now, ticket, Some(ListOffsetsResponse { topics, ..Default::default() }));
    let Some(Action::ListOffsets { request, .. }) = harness.fetch.poll(harness.now) else { panic!() };
    assert_eq!(request.topics[0].partitions[0].timestamp, LATEST);
}

#[test]
fn rk_161_prefetch_stops_at_the_budget_and_goes_on_when_it_is_drained() {
    let mut harness = Harness::new(FetchSettings { budget: 4 * MB, ..settings() });
    let brokers = [1, 2];
    for number in 0..8 {
        harness.assign(number, brokers[usize::try_from(number).unwrap() % 2], Start::At(0));
    }
    let limit = 4 * MB + brokers.len() * 1_100_000;
    let mut taken = VecDeque::new();
    for _ in 0..200 {
        for (ticket, _, partitions, max_bytes) in harness.fetches() {
            assert!(
                usize::try_from(max_bytes).unwrap() <= 4 * MB - harness.fetch.buffered().min(4 * MB),
                "asked for more than is left"
            );
            // As a broker does: the first batch whole, then as long as there is room.
            let (mut left, mut answers) = (i64::from(max_bytes), Vec::new());
            for (index, (number, offset)) in partitions.into_iter().enumerate() {
                if index > 0 && left < 1_000_200 {
                    break;
                }
                left -= 1_000_200;
                answers.push(data(number, records(offset, 1, 1_000_000)));
            }
            harness.answer(ticket, answers);
            assert!(harness.fetch.buffered() <= limit, "{} buffered", harness.fetch.buffered());
        }
    }
    assert!(harness.fetch.buffered() >= 3 * MB, "the budget is used: {}", harness.fetch.buffered());
    assert!(harness.fetches().is_empty());
    while let Some(item) = harness.take() {
        taken.push_back(chunk(Some(item)));
    }
    assert!(harness.fetches().is_empty(), "what is in the user's hands still counts");
    while let Some(chunk) = taken.pop_front() {
        harness.fetch.release(chunk.place(), chunk.size());
    }
    assert_eq!(harness.fetch.buffered(), 0);
    assert_eq!(harness.fetches().len(), 2);
}

#[test]
fn what_paused_partitions_hold_does_not_starve_the_others() {
    let mut harness = Harness::new(FetchSettings { budget: 2 * MB, ..settings() });
    let paused = harness.assign(0, 1, Start::At(0));
    harness.assign(1, 1, Start::At(0));
    harness.fetch.handle_command(harness.now, Command::Pause { slot: 1 });
    let ticket = harness.fetches()[0].0;
    harness.answer(ticket, vec![data(0, [records(0, 1, 1_000_000), records(1, 1, 1_000_000)].concat().into())]);
    harness.fetch.handle_command(harness.now, Command::Pause { slot: paused.slot });
    harness.fetch.handle_command(harness.now, Command::Resume { slot: 1 });
    assert!(harness.take().is_none());
    // The first look finds no room and makes some.
    let fetches = [harness.fetches(), harness.fetches()].concat();
    assert_eq!(fetches[0].2, [(1, 0)]);
    harness.fetch.handle_command(harness.now, Command::Resume { slot: paused.slot });
    harness.answer(fetches[0].0, vec![data(1, Bytes::new())]);
    harness.wait(1000);
    assert!(harness.fetches()[0].2.contains(&(0, 0)), "what was dropped is fetched again");
}

#[test]
fn a_paused_partition_keeps_its_records_and_its_place_in_the_queue() {
    let mut harness = Harness::new(settings());
    let first = harness.assign(0, 1, Start::At(0));
    harness.assign(1, 1, Start::At(0));
    let ticket = harness.fetches()[0].0;
    harness.answer(ticket, vec![data(0, records(0, 2, 10)), data(1, records(0, 2, 10))]);
    harness.fetch.handle_command(harness.now, Command::Pause { slot: first.slot });
    assert_eq!(chunk(harness.take()).place().slot, 1);
    assert!(harness.take().is_none() && !harness.fetch.has_ready());
    assert_eq!(harness.fetches()[0].2, [(1, 2)], "nothing more is fetched of it");
    harness.fetch.handle_command(harness.now, Command::Resume { slot: first.slot });
    assert_eq!(chunk(harness.take()).place(), first);
}

#[test]
fn a_partition_that_has_its_share_is_left_out_and_not_its_broker() {
    let mut harness = Harness::new(FetchSettings { budget: 8 * MB, ..settings() });
    for number in 0..8 {
        harness.assign(number, 1, Start::At(0));
    }
    let ticket = harness.fetches()[0].0;
    harness.answer(ticket, vec![data(0, records(0, 1, MB)), data(1, records(0, 1, 10))]);
    let partitions: Vec<i32> = harness.fetches()[0].2.iter().map(|(number, _)| *number).collect();
    assert_eq!(partitions, [2, 3, 4, 5, 6, 7, 1]);
}

#[test]
fn a_first_batch_that_is_cut_is_asked_for_with_more_bytes() {
    let mut harness = Harness::new(FetchSettings { partition_max_bytes: 100, ..settings() });
    harness.assign(0, 1, Start::At(0));
    let whole = records(0, 1, 5000);
    let ticket = harness.fetches()[0].0;
    harness.answer(ticket, vec![data(0, whole.slice(..100))]);
    assert!(harness.take().is_none());
    let actions = harness.actions();
    let [Action::Fetch { ticket, request, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!(usize::try_from(request.topics[0].partitions[0].partition_max_bytes).unwrap(), whole.len());
    let ticket = *ticket;
    harness.answer(ticket, vec![data(0, whole)]);
    assert_eq!(chunk(harness.take()).position(), 0);
}

#[test]
fn a_broker_that_answers_empty_at_once_does_not_make_it_spin() {
    let mut harness = Harness::new(settings());
    harness.assign(0, 1, Start::At(0));
    let mut requests = 0;
    let end = harness.now + Duration::from_secs(1);
    while harness.now < end {
        for (ticket, ..) in harness.fetches() {
            requests += 1;
            harness.answer(ticket, vec![data(0, Bytes::new())]);
        }
        let next = harness.fetch.next_timeout().unwrap();
        assert!(next > harness.now, "a timer in the past");
        harness.now = next;
    }
    assert!(requests <= 21, "{requests} requests in a second");
}

#[test]
fn nothing_is_due_while_all_is_waited_for_or_paused() {
    let mut harness = Harness::new(settings());
    let place = harness.assign(0, 1, Start::At(0));
    assert_eq!(harness.fetches().len(), 1);
    assert_eq!(harness.fetch.next_timeout(), None);
    harness.fetch.handle_command(harness.now, Command::Pause { slot: place.slot });
    assert_eq!(harness.fetch.next_timeout(), None);
    assert!(harness.actions().is_empty());
}

#[test]
fn without_a_leader_metadata_is_asked_for_again_and_again_with_pauses() {
    let mut harness = Harness::new(settings());
    let place = harness.assign(0, 1, Start::At(0));
    harness.lead(place, None);
    let mut refreshes = 0;
    let end = harness.now + Duration::from_secs(10);
    while harness.now < end {
        refreshes += harness.actions().iter().filter(|action| matches!(action, Action::Refresh)).count();
        harness.now = harness.fetch.next_timeout().unwrap();
    }
    assert!((10..=20).contains(&refreshes), "{refreshes} refreshes in 10 s");
}

#[test]
fn rk_158_the_settings_stand_in_the_request() {
    let chosen = FetchSettings {
        max_wait: Duration::from_millis(1234),
        min_bytes: 17,
        max_bytes: 54_321,
        partition_max_bytes: 4_321,
        read_committed: false,
        ..settings()
    };
    let mut harness = Harness::new(chosen);
    harness.assign(0, 1, Start::At(0));
    let actions = harness.actions();
    let [Action::Fetch { request, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert_eq!((request.max_wait_ms, request.min_bytes, request.max_bytes, request.isolation_level), (1234, 17, 54_321, 0));
    assert_eq!(request.topics[0].partitions[0].partition_max_bytes, 4_321);
    assert_eq!((request.session_id, request.session_epoch), (0, -1), "sessionless");
}

#[test]
fn positions_are_only_moved_by_what_the_request_was_for() {
    let mut harness = Harness::new(settings());
    let place = harness.assign(0, 1, Start::At(5));
    let ticket = harness.fetches()[0].0;
    // Partitions nobody asked for, another topic, the same twice.
    let strange = FetchableTopicResponse {
        topic: TopicName::try_from("u").unwrap(),
        partitions: vec![data(0, records(0, 1, 1))],
        ..Default::default()
    };
    let mine = FetchableTopicResponse {
        topic: topic(),
        partitions: vec![data(3, records(0, 1, 1)), data(0, records(5, 1, 1)), data(0, records(5, 1, 1))],
        ..Default::default()
    };
    let response = FetchResponse { responses: vec![strange, mine], ..Default::default() };
    harness.fetch.handle_fetched(harness.now, ticket, Some(response));
    assert_eq!(chunk(harness.take()).next(), Checkpoint { offset: 6, leader_epoch: Some(1) });
    assert!(harness.take().is_none());
    assert!(harness.positions.is_current(place));
}

/// Regression row 39: neither an answer that leaves a partition out nor one that never comes stops a partition.
#[test]
fn a_partition_that_an_answer_leaves_out_is_asked_for_again() {
    let mut harness = Harness::new(settings());
    harness.assign(0, 1, Start::At(5));
    harness.assign(1, 1, Start::At(7));
    let ticket = harness.fetches()[0].0;
    harness.answer(ticket, vec![data(0, records(5, 1, 10))]);
    let again = harness.fetches();
    assert_eq!(again.iter().map(|sent| &sent.2[..]).collect::<Vec<_>>(), [[(1, 7), (0, 6)]]);
    harness.fetch.handle_fetched(harness.now, again[0].0, None);
    harness.wait(2_000);
    assert_eq!(harness.fetches().iter().map(|sent| &sent.2[..]).collect::<Vec<_>>(), [[(1, 7), (0, 6)]]);
}
