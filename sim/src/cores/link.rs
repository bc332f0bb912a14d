//! One connection between a client and a node: pieces on their way in both directions, and what breaks it.

use std::time::{Duration, Instant};

use klamm::protocol::frame::Frames;
use klamm::unstable::End;
use klamm_broker::ConnectionId;

use crate::drivers::answers::Conversation;
use crate::random::Random;
use crate::run::Traffic;
use crate::trouble::{Direction, How, Network};

/// The largest request, as a broker's.
const MAX_REQUEST: usize = 104_857_600;

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    /// Whose.
    pub(super) client: u32,
    /// Which of the client's connections.
    pub(super) end: End,
    /// To which node.
    pub(super) node: i32,
    /// At which port of it.
    pub(super) port: u16,
    /// The broker's number for it, while it knows it.
    pub(super) broker: Option<ConnectionId>,
    /// The broker has closed it; what it has sent may still be on its way.
    pub(super) closed: bool,
    /// Does the client have it?
    pub(super) held: bool,
    /// Nothing passes any more, and nobody is told.
    pub(super) silent: bool,
    /// What has arrived at the broker.
    pub(super) frames: Frames,
    /// What it says, for the codes in it.
    pub(super) conversation: Conversation,
    network: Network,
    random: Random,
    up: Way,
    down: Way,
    cuts: Vec<(Direction, u64, How)>,
}

#[derive(Debug)]
struct Way {
    /// When the last piece arrives.
    last: Instant,
    bytes: u64,
    /// It was cut: no more goes this way.
    cut: bool,
}

/// What is on its way.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The place where it breaks.
    Break(How),
}

impl Link {
    pub(super) fn new(now: Instant, client: u32, end: End, (node, port): (i32, u16), network: Network, random: Random) -> Self {
        Self {
            client,
            end,
            node,
            port,
            broker: None,
            closed: false,
            held: true,
            silent: false,
            frames: Frames::new(MAX_REQUEST),
            conversation: Conversation::default(),
            network,
            random,
            up: Way { last: now, bytes: 0, cut: false },
            down: Way { last: now, bytes: 0, cut: false },
            cuts: Vec::new(),
        }
    }

    /// Breaks after so many bytes.
    pub(super) fn cut(&mut self, direction: Direction, after: u64, how: How) {
        self.cuts.push((direction, after, how));
    }

    /// Nothing breaks it any more.
    pub(super) fn heal(&mut self) {
        self.cuts.clear();
    }

    /// When something sent now arrives.
    pub(super) fn arrival(&mut self, now: Instant, direction: Direction) -> Instant {
        let (shortest, longest) = self.network.latency;
        let spread = longest.saturating_sub(shortest).as_micros() as u64;
        let latency = shortest + Duration::from_micros(self.random.below(spread + 1));
        let way = self.way(direction);
        way.last = way.last.max(now + latency);
        way.last
    }

    /// Sends bytes: the pieces and when each arrives.
    pub(super) fn send(&mut self, now: Instant, direction: Direction, bytes: &[u8]) -> Vec<(Instant, Piece)> {
        let mut pieces = Vec::new();
        if self.silent || self.way(direction).cut {
            return pieces;
        }
        let mut rest = bytes;
        let first = self.cuts.iter().filter(|(cut, ..)| *cut == direction).min_by_key(|(_, after, _)| *after).copied();
        let mut breaks = None;
        if let Some((_, after, how)) = first {
            let left = usize::try_from(after.saturating_sub(self.way(direction).bytes)).unwrap_or(usize::MAX);
            if rest.len() > left {
                rest = rest.get(..left).unwrap_or_default();
                breaks = Some(how);
            }
        }
        self.way(direction).bytes += rest.len() as u64;
        for piece in rest.chunks(self.network.piece.max(1)) {
            pieces.push((self.arrival(now, direction), Piece::Bytes(piece.to_vec())));
        }
        if let Some(how) = breaks {
            self.way(direction).cut = true;
            pieces.push((self.arrival(now, direction), Piece::Break(how)));
        }
        pieces
    }

    /// What passed on it.
    pub(super) fn traffic(&self) -> Traffic {
        Traffic { up: self.up.bytes, down: self.down.bytes }
    }

    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}
