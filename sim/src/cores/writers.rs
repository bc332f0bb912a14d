//! The scripted transactional writers: each asks the broker's core directly, on a connection of its own for each request, past the
//! network and its faults. What a broker does wrong hits them like anybody.

use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::frame::Frames;
use klamm_broker::unstable::Core;
use klamm_broker::{ConnectionId, Intercept, SeenRequest};

use crate::coverage::Coverage;
use crate::history::{Event, History, Partition, topic_name};
use crate::logs::Markers;
use crate::run::Case;
use crate::transactional::Writer;

/// The largest answer.
const LONGEST: usize = 1 << 20;

/// All of a run, and what they have brought into the logs.
#[derive(Debug)]
pub(super) struct Writers {
    start: Instant,
    partitions: i32,
    hands: Vec<Hand>,
    markers: Markers,
}

/// A writer and its connection.
#[derive(Debug)]
struct Hand {
    id: String,
    writer: Writer,
    connection: Option<ConnectionId>,
    answer: Frames,
}

impl Writers {
    pub(super) fn new(start: Instant, case: &Case) -> Self {
        let workload = &case.workload;
        let hand = |plan: &crate::transactional::WriterPlan| Hand {
            id: plan.transactional_id(),
            writer: Writer::new(plan, case.seed, workload.nodes, workload.partitions, workload.duration),
            connection: None,
            answer: Frames::new(LONGEST),
        };
        let hands = workload.writers.iter().map(hand).collect();
        Self { start, partitions: workload.partitions, hands, markers: Markers::default() }
    }

    /// When one has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.hands.iter().filter_map(|hand| hand.writer.next_timeout()).min().map(|at| self.start + at)
    }

    pub(super) fn is_through(&self) -> bool {
        self.hands.iter().all(|hand| hand.writer.is_through())
    }

    /// Lets them ask what it is time for; `verdict` says what becomes of a request.
    pub(super) fn step(
        &mut self,
        now: Instant,
        broker: &mut Core,
        history: &mut History,
        mut verdict: impl FnMut(&SeenRequest) -> Intercept,
    ) {
        let at = now.saturating_duration_since(self.start);
        for hand in &mut self.hands {
            if hand.writer.is_waiting() && hand.writer.next_timeout().is_some_and(|until| until <= at) {
                hand.hang_up(broker);
                hand.writer.lost(at);
            }
            if let Some(ask) = hand.writer.poll(at) {
                hand.tell(at, history);
                hand.connection = broker.connect_to(ask.node, &hand.id);
                hand.answer = Frames::new(LONGEST);
                match hand.connection {
                    Some(connection) => {
                        // Behind its length.
                        let frame = ask.frame.slice(4..);
                        broker.receive_with(now, connection, &frame, &mut verdict);
                    }
                    None => hand.writer.lost(at),
                }
            }
            hand.tell(at, history);
        }
    }

    /// What they were answered is counted.
    pub(super) fn cover(&mut self, coverage: &mut Coverage) {
        let codes = self.hands.iter_mut().flat_map(|hand| hand.writer.take_codes());
        codes.for_each(|(api, code)| coverage.code(api, code));
    }

    /// A broker has sent something on a connection, which may be one of theirs.
    pub(super) fn heard(
        &mut self,
        at: Duration,
        connection: ConnectionId,
        bytes: &[Bytes],
        broker: &mut Core,
        history: &mut History,
    ) {
        let Some(hand) = self.hands.iter_mut().find(|hand| hand.connection == Some(connection)) else { return };
        bytes.iter().for_each(|bytes| hand.answer.read_buffer().extend_from_slice(bytes));
        if let Ok(Some(frame)) = hand.answer.next_frame() {
            hand.hang_up(broker);
            hand.writer.answered(at, &frame);
            hand.tell(at, history);
        }
    }

    /// A broker has closed a connection.
    pub(super) fn closed(&mut self, at: Duration, connection: ConnectionId, history: &mut History) {
        let Some(hand) = self.hands.iter_mut().find(|hand| hand.connection == Some(connection)) else { return };
        hand.connection = None;
        hand.writer.lost(at);
        hand.tell(at, history);
    }

    /// A log has lost its end.
    pub(super) fn lost(&mut self, partition: Partition, from: i64) {
        self.markers.lost(partition, from);
    }

    /// Tells the history of markers that have come into the logs.
    pub(super) fn look(&mut self, at: Duration, broker: &Core, history: &mut History) {
        if self.hands.is_empty() {
            return;
        }
        for number in 0..self.partitions {
            let partition = Partition { topic: 0, number };
            let seen = self.markers.seen(partition);
            let batches = broker.batches_from(&topic_name(0), number, seen);
            let events = self.markers.look(partition, &batches);
            events.into_iter().for_each(|event| history.push(at, event));
        }
    }
}

impl Hand {
    fn hang_up(&mut self, broker: &mut Core) {
        if let Some(connection) = self.connection.take() {
            broker.close(connection);
        }
    }

    fn tell(&mut self, at: Duration, history: &mut History) {
        let events: Vec<Event> = self.writer.take_events();
        events.into_iter().for_each(|event| history.push(at, event));
    }
}
