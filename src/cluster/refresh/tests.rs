use super::*;
use crate::protocol::Uuid;
use crate::protocol::messages::metadata::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};

/// A refresh with a clock of its own and a cluster whose answer can be changed.
struct Harness {
    refresh: Refresh,
    now: Instant,
    start: Instant,
    /// Requests sent and not yet answered.
    sent: Vec<(Ticket, Peer, MetadataRequest)>,
    /// All peers asked so far.
    asked: Vec<Peer>,
    rebootstraps: usize,
    published: usize,
}

fn seeds(count: u16) -> Vec<Seed> {
    (0..count).map(|index| Seed { host: format!("seed{index}"), port: 9092 }).collect()
}

fn config(count: u16) -> RefreshConfig {
    RefreshConfig {
        seeds: seeds(count),
        max_age: Duration::from_secs(300),
        rebootstrap_trigger: Duration::from_secs(300),
        backoff: BackoffConfig::default(),
        refusal_pause: secs(1),
        allow_auto_create_topics: false,
        seed: 1,
    }
}

impl Harness {
    fn new(config: RefreshConfig) -> Self {
        let now = Instant::now();
        let refresh = Refresh::new(config);
        Self { refresh, now, start: now, sent: Vec::new(), asked: Vec::new(), rebootstraps: 0, published: 0 }
    }

    fn command(&mut self, command: Command) {
        self.refresh.handle_command(self.now, command);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.refresh.poll(self.now) {
            match action {
                Action::Send { ticket, peer, request } => {
                    self.asked.push(peer);
                    self.sent.push((ticket, peer, request));
                }
                Action::Publish(_) => self.published += 1,
                Action::RoundEnded => {}
                Action::Rebootstrap => self.rebootstraps += 1,
            }
        }
    }

    fn answer(&mut self, result: Result<MetadataResponse, Error>) {
        let (ticket, ..) = self.sent.remove(0);
        self.refresh.handle_response(self.now, ticket, result);
        self.drain();
    }

    fn fail(&mut self) {
        self.answer(Err(Error::new(ErrorKind::Disconnected, "refused")));
    }

    fn refuse(&mut self) {
        self.answer(Err(Error::new(ErrorKind::Authentication, "who are you?")));
    }

    /// Lets the time come at which something is due; gives how long that took.
    fn pass(&mut self) -> Duration {
        let at = self.refresh.next_timeout().expect("something is due");
        let passed = at - self.now;
        self.now = at;
        self.drain();
        passed
    }

    /// One that knows two brokers and wants to know more.
    fn refreshing(config: RefreshConfig) -> Self {
        let mut harness = Self::new(config);
        harness.command(Command::Use("a".into()));
        harness.answer(answer(2, vec![topic("a", &[(1, 5)])]));
        harness.now += secs(1);
        harness.command(Command::Refresh);
        harness
    }

    /// Goes on until `end`, answering every request by `answer`; gives how many there were.
    fn run(&mut self, end: Duration, mut answer: impl FnMut(Peer) -> Result<MetadataResponse, Error>) -> usize {
        let before = self.asked.len();
        loop {
            while let Some((_, peer, _)) = self.sent.first() {
                let result = answer(*peer);
                self.answer(result);
            }
            match self.refresh.next_timeout() {
                Some(at) if at <= self.start + end => {
                    assert!(at >= self.now, "a timer in the past");
                    self.now = at;
                    self.drain();
                }
                _ => break self.now = self.start + end,
            }
        }
        self.asked.len() - before
    }

    fn names(&self) -> Vec<String> {
        let (_, _, request) = self.sent.first().expect("a request is under way");
        let topics = request.topics.as_ref().expect("never all topics");
        topics.iter().map(|topic| topic.name.as_ref().unwrap().0.to_string()).collect()
    }
}

fn brokers(count: i32) -> Vec<MetadataResponseBroker> {
    let broker = |id: i32| MetadataResponseBroker {
        node_id: BrokerId(id),
        host: Str::truncated(&format!("broker{id}")),
        port: 9092,
        rack: None,
    };
    (1..=count).map(broker).collect()
}

fn topic(name: &str, leaders: &[(i32, i32)]) -> MetadataResponseTopic {
    let partition = |(index, (leader, epoch)): (usize, &(i32, i32))| MetadataResponsePartition {
        partition_index: i32::try_from(index).unwrap(),
        leader_id: BrokerId(*leader),
        leader_epoch: *epoch,
        error_code: if *leader < 0 { ErrorCode::LEADER_NOT_AVAILABLE } else { ErrorCode::NONE },
        ..Default::default()
    };
    MetadataResponseTopic {
        name: Some(TopicName(Str::truncated(name))),
        topic_id: Uuid([7; 16]),
        partitions: leaders.iter().enumerate().map(partition).collect(),
        ..Default::default()
    }
}

fn answer(count: i32, topics: Vec<MetadataResponseTopic>) -> Result<MetadataResponse, Error> {
    Ok(MetadataResponse { brokers: brokers(count), controller_id: BrokerId(1), topics, ..Default::default() })
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn nothing_is_asked_before_somebody_needs_it() {
    let mut harness = Harness::new(config(2));
    harness.drain();
    assert!(harness.asked.is_empty());
    assert_eq!(harness.refresh.next_timeout(), None);
}

#[test]
fn rk_186_the_next_seed_is_asked_when_one_fails_and_the_first_is_random() {
    let mut first = BTreeSet::new();
    for seed in 0..50 {
        let mut harness = Harness::new(RefreshConfig { seed, ..config(2) });
        harness.command(Command::Wait);
        harness.fail();
        harness.answer(answer(1, vec![]));
        assert_eq!(harness.asked.len(), 2);
        assert_eq!(harness.refresh.snapshot().brokers.len(), 1);
        assert!(harness.refresh.failures().is_empty(), "reasons are forgotten after success");
        first.insert(harness.asked[0]);
    }
    assert_eq!(first.len(), 2, "always the same seed first");
}

#[test]
fn rk_187_a_round_in_which_all_seeds_fail_keeps_a_reason_for_each() {
    let mut harness = Harness::new(config(3));
    harness.command(Command::Wait);
    for reason in ["first", "second", "third"] {
        harness.answer(Err(Error::new(ErrorKind::Disconnected, reason)));
    }
    assert_eq!(harness.refresh.failed_rounds(), 1);
    assert_eq!(harness.refresh.failures().len(), 3);
    assert!(harness.sent.is_empty(), "each seed once, then a pause");
    assert!(harness.refresh.next_timeout().is_some(), "somebody waits, so it goes on");
    harness.command(Command::Unwait);
    assert_eq!(harness.run(secs(60), |_| answer(1, vec![])), 0, "nobody waits any more");
}

#[test]
fn rk_188_an_answer_without_brokers_is_a_failure() {
    let mut harness = Harness::new(config(2));
    harness.command(Command::Wait);
    harness.answer(answer(0, vec![]));
    assert_eq!(harness.asked.len(), 2);
    harness.answer(answer(1, vec![]));
    assert_eq!(harness.refresh.snapshot().version, 1);
}

#[test]
fn rk_189_the_request_names_exactly_the_topics_in_use() {
    let mut harness = Harness::new(config(1));
    harness.command(Command::Wait);
    assert_eq!(harness.names(), [""; 0]);
    harness.command(Command::Use("b".into()));
    harness.command(Command::Use("a".into()));
    harness.command(Command::Use("gone".into()));
    harness.command(Command::Unuse("gone".into()));
    harness.answer(answer(1, vec![]));
    assert_eq!(harness.names(), ["a", "b"], "topics that came meanwhile are asked for at once");
    let (_, _, request) = &harness.sent[0];
    assert!(!request.allow_auto_topic_creation, "RK-198: asking must not create");
    harness.answer(answer(1, vec![topic("a", &[(1, 0)]), topic("b", &[(1, 0)])]));
    assert!(harness.sent.is_empty());
    harness.command(Command::Unuse("a".into()));
    harness.now += secs(301);
    harness.drain();
    assert_eq!(harness.names(), ["b"]);
}

#[test]
fn rk_196_known_brokers_serve_when_the_seeds_are_gone() {
    let mut harness = Harness::new(config(1));
    harness.command(Command::Use("a".into()));
    harness.answer(answer(3, vec![topic("a", &[(1, 0)])]));
    harness.now += secs(1);
    harness.command(Command::Refresh);
    for _ in 0..2 {
        assert!(matches!(harness.asked.last(), Some(Peer::Broker(_))));
        harness.fail();
    }
    harness.answer(answer(3, vec![topic("a", &[(2, 1)])]));
    assert_eq!(harness.rebootstraps, 0);
    assert_eq!(harness.refresh.snapshot().leader(&"a".into(), 0).unwrap().id, BrokerId(2));
}

#[test]
fn rk_197_age_makes_a_refresh_due_without_any_error() {
    let mut harness = Harness::new(RefreshConfig { max_age: secs(1), ..config(1) });
    harness.command(Command::Use("a".into()));
    harness.answer(answer(1, vec![topic("a", &[(1, 0)])]));
    let asked = harness.run(secs(10), |_| answer(1, vec![topic("a", &[(1, 0), (1, 0)])]));
    assert!((9..=10).contains(&asked), "{asked} refreshes in 10 s");
    assert_eq!(harness.refresh.snapshot().topic(&"a".into()).unwrap().partition_count(), 2);
    harness.command(Command::Unuse("a".into()));
    assert!(harness.run(secs(100), |_| answer(1, vec![])) <= 1, "nobody uses anything");
}

#[test]
fn a_stale_answer_repeated_is_asked_for_ever_more_rarely() {
    let mut harness = Harness::new(config(1));
    harness.command(Command::Use("a".into()));
    harness.answer(answer(1, vec![topic("a", &[(1, 0)])]));
    let mut asked = 0;
    for tenth in 1..=100 {
        harness.command(Command::Refresh);
        asked += harness.run(Duration::from_millis(tenth * 100), |_| answer(1, vec![topic("a", &[(1, 0)])]));
    }
    assert!((8..=16).contains(&asked), "{asked} in 10 s although asked for 100 times");
}

#[test]
fn a_partition_without_leader_is_looked_after_within_a_second() {
    let mut harness = Harness::new(config(1));
    harness.command(Command::Use("a".into()));
    let start = harness.start;
    harness.answer(answer(1, vec![topic("a", &[(-1, 0)])]));
    harness.run(secs(20), |_| answer(1, vec![topic("a", &[(-1, 0)])]));
    assert_eq!(harness.refresh.snapshot().leader(&"a".into(), 0).unwrap_err().code(), Some(ErrorCode::LEADER_NOT_AVAILABLE));
    assert_eq!(harness.now, start + secs(20));
    let asked = harness.run(Duration::from_millis(21_300), |_| answer(1, vec![topic("a", &[(1, 1)])]));
    assert_eq!(asked, 1, "elected, and then quiet");
}

#[test]
fn a_topic_that_does_not_exist_is_asked_for_rarely_unless_somebody_waits() {
    let unknown = || MetadataResponseTopic { error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ..topic("a", &[]) };
    let mut harness = Harness::new(config(1));
    harness.command(Command::Use("a".into()));
    let alone = harness.run(secs(600), |_| answer(1, vec![unknown()]));
    assert!(alone < 90, "{alone} requests in 10 min that nobody waited for");
    harness.start = harness.now;
    harness.command(Command::Wait);
    let waited = harness.run(secs(10), |_| answer(1, vec![unknown()]));
    assert!((8..30).contains(&waited), "{waited} requests in 10 s while somebody waits");
}

#[test]
fn a_silent_broker_gets_company_and_does_not_hold_up_the_refresh() {
    let mut harness = Harness::new(config(1));
    harness.command(Command::Use("a".into()));
    harness.answer(answer(3, vec![topic("a", &[(1, 0)])]));
    harness.now += secs(1);
    harness.command(Command::Refresh);
    assert_eq!(harness.sent.len(), 1);
    harness.now += SLOW_PEER;
    harness.drain();
    assert_eq!(harness.sent.len(), 2, "another broker is asked");
    let (ticket, ..) = harness.sent[1];
    harness.refresh.handle_response(harness.now, ticket, answer(3, vec![topic("a", &[(2, 1)])]));
    harness.drain();
    assert_eq!(harness.refresh.snapshot().leader(&"a".into(), 0).unwrap().id, BrokerId(2));
    // The answer of the silent one, when it comes at last, changes nothing.
    harness.answer(answer(3, vec![topic("a", &[(3, 2)])]));
    assert_eq!(harness.refresh.snapshot().leader(&"a".into(), 0).unwrap().id, BrokerId(2));
}

#[test]
fn slow_brokers_do_not_send_the_client_to_its_bootstrap_servers() {
    let mut harness = Harness::new(config(2));
    harness.command(Command::Use("a".into()));
    harness.answer(answer(2, vec![topic("a", &[(1, 0)])]));
    harness.now += secs(1);
    harness.command(Command::Refresh);
    let end = harness.now + secs(60);
    while let Some(at) = harness.refresh.next_timeout().filter(|at| *at < end) {
        harness.now = at;
        harness.drain();
    }
    assert_eq!(harness.sent.len(), 2, "both brokers, no seed: {:?}", harness.asked);
    assert_eq!(harness.rebootstraps, 0);
    // The last trigger: five minutes without an answer.
    harness.now += secs(300);
    harness.drain();
    assert_eq!(harness.rebootstraps, 1);
    assert!(matches!(harness.asked.last(), Some(Peer::Seed(_))));
}

#[test]
fn when_every_known_broker_failed_the_seeds_are_asked_and_what_was_known_is_kept() {
    let mut harness = Harness::new(config(1));
    harness.command(Command::Use("a".into()));
    harness.answer(answer(2, vec![topic("a", &[(1, 5)])]));
    harness.now += secs(1);
    harness.command(Command::Refresh);
    harness.fail();
    assert_eq!(harness.rebootstraps, 0);
    harness.fail();
    assert_eq!(harness.rebootstraps, 1);
    assert_eq!(harness.asked.last(), Some(&Peer::Seed(0)));
    harness.answer(answer(2, vec![topic("a", &[(2, 4)])]));
    assert_eq!(harness.refresh.snapshot().leader(&"a".into(), 0).unwrap().id, BrokerId(1), "epoch 4 is older than 5");
}

#[test]
fn a_round_ends_with_a_refusal_even_if_others_were_only_down() {
    for refusing in 0..3 {
        let mut harness = Harness::new(config(3));
        harness.command(Command::Wait);
        for peer in 0..3 {
            assert!(harness.refresh.refusal().is_none());
            if peer == refusing { harness.refuse() } else { harness.fail() }
        }
        assert_eq!((harness.refresh.failed_rounds(), harness.refresh.failures().len()), (1, 3));
        assert_eq!(harness.refresh.refusal().map(Error::kind), Some(ErrorKind::Authentication));
    }
}

#[test]
fn a_peer_that_answers_makes_up_for_one_that_refuses() {
    let mut harness = Harness::new(config(2));
    harness.command(Command::Wait);
    harness.refuse();
    harness.answer(answer(1, vec![]));
    assert_eq!((harness.refresh.failed_rounds(), harness.refresh.snapshot().version), (0, 1));
    assert!(harness.refresh.refusal().is_none());
}

#[test]
fn slow_peers_do_not_hold_a_refusal_up() {
    let mut harness = Harness::new(config(3));
    harness.command(Command::Wait);
    harness.refuse();
    // The second says nothing for two seconds, nor does the third.
    assert_eq!(harness.pass(), SLOW_PEER);
    assert_eq!((harness.sent.len(), harness.refresh.failed_rounds()), (2, 0));
    assert_eq!(harness.pass(), SLOW_PEER);
    assert_eq!(harness.refresh.failed_rounds(), 1);
    let reasons: Vec<_> = harness.refresh.failures().values().map(ToString::to_string).collect();
    assert_eq!(reasons.iter().filter(|reason| reason.contains("no answer within 2s")).count(), 2, "{reasons:?}");
    // Their answers come too late.
    harness.answer(answer(1, vec![]));
    assert_eq!(harness.refresh.snapshot().version, 0);
}

#[test]
fn after_a_refusal_the_next_round_comes_with_the_longest_pause_whoever_asks() {
    let mut harness = Harness::new(RefreshConfig { refusal_pause: secs(30), ..config(1) });
    let mut at = harness.now;
    for round in 1..5 {
        for _ in 0..10 {
            // Each call is ended by the refusal, and made anew.
            harness.command(Command::Wait);
            harness.command(Command::Unwait);
        }
        harness.command(Command::Wait);
        while harness.sent.is_empty() {
            harness.pass();
        }
        if round > 1 {
            assert!((secs(24)..=secs(36)).contains(&(harness.now - at)), "{:?}", harness.now - at);
        }
        at = harness.now;
        harness.refuse();
        harness.command(Command::Unwait);
        assert_eq!(harness.refresh.failed_rounds(), round);
    }
    // Credentials were mended.
    harness.command(Command::Wait);
    harness.pass();
    harness.answer(answer(1, vec![]));
    assert!(harness.refresh.refusal().is_none() && harness.refresh.snapshot().version == 1);
}

#[test]
fn known_brokers_that_refuse_are_not_given_up_for_the_seeds() {
    let mut harness = Harness::refreshing(RefreshConfig { rebootstrap_trigger: secs(60), ..config(2) });
    harness.refuse();
    harness.fail();
    assert_eq!((harness.refresh.failed_rounds(), harness.rebootstraps), (1, 0));
    assert!(harness.refresh.refusal().is_some());
    // Not even after the time that a broker may be down.
    let brokers = harness.run(secs(600), |_| Err(Error::new(ErrorKind::Tls, "unknown authority")));
    assert!((600..1800).contains(&brokers), "{brokers} requests in ten minutes");
    assert!(!harness.asked[1..].iter().any(|peer| matches!(peer, Peer::Seed(_))), "the first request went to a seed, no other");
    assert_eq!(harness.rebootstraps, 0);
    // What is down for as long is looked for elsewhere.
    harness.run(secs(900), |_| Err(Error::new(ErrorKind::Disconnected, "refused")));
    assert!(harness.rebootstraps > 0);
}

#[test]
fn a_refusing_broker_beside_a_silent_one_ends_the_round() {
    let mut harness = Harness::refreshing(config(2));
    harness.refuse();
    assert_eq!(harness.pass(), SLOW_PEER);
    assert_eq!((harness.refresh.failed_rounds(), harness.rebootstraps, harness.sent.len()), (1, 0, 1));
}

#[test]
fn a_broker_can_send_the_client_back_to_its_seeds() {
    let mut harness = Harness::new(config(1));
    harness.command(Command::Use("a".into()));
    harness.answer(answer(2, vec![topic("a", &[(1, 0)])]));
    harness.now += secs(1);
    harness.command(Command::Refresh);
    harness.answer(Ok(MetadataResponse { error_code: ErrorCode::REBOOTSTRAP_REQUIRED, ..Default::default() }));
    assert_eq!((harness.rebootstraps, harness.asked.last()), (1, Some(&Peer::Seed(0))));
    // From a seed it is a failure like any other: no endless ping-pong.
    harness.answer(Ok(MetadataResponse { error_code: ErrorCode::REBOOTSTRAP_REQUIRED, ..Default::default() }));
    assert_eq!(harness.refresh.failed_rounds(), 1);
    assert!(harness.sent.is_empty());
}

#[test]
fn an_outage_is_retried_with_pauses_and_ends_soon_after_repair() {
    let mut harness = Harness::new(config(2));
    harness.command(Command::Use("a".into()));
    harness.answer(answer(1, vec![topic("a", &[(1, 0)])]));
    harness.now += secs(1);
    harness.command(Command::Refresh);
    let asked = harness.run(secs(60), |_| Err(Error::new(ErrorKind::Disconnected, "refused")));
    assert!((50 * 3..=75 * 3).contains(&asked), "{asked} requests in a minute of outage");
    let repaired = harness.now;
    harness.run(secs(62), |_| answer(1, vec![topic("a", &[(1, 0)])]));
    assert!(harness.refresh.failures().is_empty());
    assert!(harness.refresh.learned.unwrap() <= repaired + Duration::from_millis(1300));
}

#[test]
fn a_leader_hint_is_used_at_once_and_followed_by_a_refresh() {
    let mut harness = Harness::new(config(1));
    harness.command(Command::Use("a".into()));
    harness.answer(answer(2, vec![topic("a", &[(1, 3)])]));
    let hint = |epoch, id: i32| Command::LeaderHint {
        topic: "a".into(),
        partition: 0,
        leader: BrokerId(id),
        leader_epoch: epoch,
        endpoint: Some(Node::new(BrokerId(id), "new", 1)),
    };
    let published = harness.published;
    harness.command(hint(3, 2));
    assert_eq!(harness.published, published, "the epoch is not newer");
    harness.command(hint(4, 9));
    let snapshot = harness.refresh.snapshot().clone();
    assert_eq!(snapshot.leader(&"a".into(), 0).unwrap().id, BrokerId(9));
    assert_eq!(snapshot.brokers.len(), 3, "the other brokers stay");
    assert_eq!(harness.run(secs(2), |_| answer(2, vec![topic("a", &[(1, 3)])])), 1);
    assert_eq!(harness.refresh.snapshot().topic(&"a".into()).unwrap().partitions[0].leader, Some(BrokerId(9)));
}

#[test]
fn when_nobody_needs_it_any_more_no_other_peer_is_asked() {
    let mut harness = Harness::new(config(3));
    harness.command(Command::Wait);
    harness.command(Command::Unwait);
    harness.fail();
    assert_eq!((harness.asked.len(), harness.refresh.next_timeout()), (1, None));
}

#[test]
fn any_order_of_inputs_leaves_no_timer_in_the_past_and_no_request_without_end() {
    for seed in 0..300 {
        let mut harness = Harness::new(RefreshConfig { seed, ..config(3) });
        let mut chance = Spread::new(seed);
        let (mut used, mut waiting) = (0, 0);
        for _ in 0..200 {
            match chance.below(8) {
                0 => {
                    harness.command(Command::Use(format!("t{}", chance.below(3)).into()));
                    used += 1;
                }
                1 if used > 0 => harness.command(Command::Unuse(format!("t{}", chance.below(3)).into())),
                2 => {
                    harness.command(Command::Wait);
                    waiting += 1;
                }
                3 if waiting > 0 => {
                    harness.command(Command::Unwait);
                    waiting -= 1;
                }
                4 => harness.command(Command::Refresh),
                5 if !harness.sent.is_empty() => {
                    if chance.below(3) == 0 {
                        harness.refuse();
                    } else {
                        harness.fail();
                    }
                }
                6 if !harness.sent.is_empty() => {
                    let leader = i32::try_from(chance.below(4)).unwrap() - 1;
                    let count = i32::try_from(chance.below(4)).unwrap();
                    harness.answer(answer(count, vec![topic("t0", &[(leader, 1)]), topic("t1", &[(1, 1)])]));
                }
                _ => {
                    if let Some(at) = harness.refresh.next_timeout() {
                        harness.now = harness.now.max(at);
                        harness.drain();
                    }
                }
            }
            if let Some(at) = harness.refresh.next_timeout() {
                assert!(at > harness.now || !harness.sent.is_empty(), "seed {seed}: spins");
            }
            assert!(harness.sent.len() < 200);
        }
    }
}
