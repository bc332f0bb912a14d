//! The network between links and brokers: connections that are made, bytes in both directions, and what the broker's faults do to them.

use klamm::unstable::End;
use klamm_broker::faults::{Connect, Delivery, Direction as Way, Network};
use klamm_broker::unstable::Action;

use super::{GROUP, Happening, World};
use crate::cores::link::Piece;
use crate::cores::observer::destroyed;
use crate::drivers::answers::thrown_out;
use crate::history::Event;
use crate::trouble::{Direction, How};

impl World<'_> {
    /// A connection has reached its node's network: it is made, refused, or has to wait there.
    pub(super) fn connect(&mut self, number: u64) {
        let Some(since) = self.knocking.get(&number).copied() else { return };
        let Some(link) = self.links.get_mut(&number).filter(|link| link.held) else {
            self.knocking.remove(&number);
            return;
        };
        let met = self.faulty.as_ref().map_or(Connect::Made, |network| network.connect(self.now, since, link.node));
        if let Connect::Later(at) = met {
            if let Some(at) = at {
                self.plan(at, Happening::Connect(number));
            }
            return;
        }
        self.knocking.remove(&number);
        let is_there = met == Connect::Made && self.broker.address(link.node).is_some_and(|(_, port)| port == link.port);
        let made = is_there.then(|| self.broker.connect_to(link.node, &format!("client-{}", link.client))).flatten();
        if let Some(connection) = made {
            link.broker = Some(connection);
            self.by_connection.insert(connection, number);
            if let Some(network) = &mut self.faulty {
                network.open(connection, link.node);
            }
        }
        let at = link.arrival(self.now, Direction::Down);
        self.plan(at, Happening::Connected(number, made.is_some()));
    }

    pub(super) fn arrives(&mut self, number: u64, direction: Direction, piece: Piece) {
        let Some(link) = self.links.get_mut(&number).filter(|link| !link.silent) else { return };
        let bytes = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Break(how) => {
                self.note(Event::Fault(format!("connection {number} breaks {direction:?}: {how:?}")));
                return self.breaks(number, how);
            }
        };
        let (client, end) = (link.client, link.end);
        match direction {
            Direction::Down => {
                if link.held
                    && let Some(peer) = self.peers.get_mut(&client)
                {
                    peer.client.lines().received(self.now, end, &bytes);
                    self.touch(client);
                }
            }
            Direction::Up => {
                let coverage = &mut self.coverage;
                link.conversation.pass(Direction::Up, &bytes, |api, code| coverage.code(api, code));
                let Some(connection) = link.broker else { return };
                match self.faulty.as_mut().filter(|network| !network.is_clear(connection, Way::ToBroker)) {
                    Some(network) => network.push(self.now, connection, Way::ToBroker, bytes.into()),
                    None => self.reach(number, &bytes),
                }
            }
        }
    }

    /// Bytes reach the broker.
    pub(super) fn reach(&mut self, number: u64, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&number).filter(|link| !link.silent) else { return };
        let (client, end) = (link.client, link.end);
        link.frames.read_buffer().extend_from_slice(bytes);
        while let Some(link) = self.links.get_mut(&number)
            && let Some(connection) = link.broker.filter(|_| !link.closed)
        {
            match link.frames.next_frame() {
                Ok(Some(frame)) => self.receive(number, connection, &frame),
                Ok(None) => break,
                Err(_) if self.history.bounds.garbles => self.breaks(number, How::Close),
                Err(error) => panic!("a client sent what is no frame: {error}"),
            }
        }
        self.brokers_actions();
        if let Some(peer) = self.peers.get_mut(&client) {
            peer.client.lines().taken(end, bytes.len());
            self.touch(client);
        }
    }

    /// Carries on what the broker's faults have held and what is due now.
    pub(super) fn carry(&mut self) {
        while let Some((connection, direction, delivery)) = self.faulty.as_mut().and_then(|network| network.pull_any(self.now)) {
            let Some(number) = self.by_connection.get(&connection).copied() else { continue };
            match (delivery, direction) {
                (Delivery::Bytes(bytes), Way::ToBroker) => self.reach(number, &bytes),
                (Delivery::Bytes(bytes), Way::FromBroker) => self.send(number, Direction::Down, &bytes),
                (Delivery::End, Way::ToBroker) => self.forget(number),
                (Delivery::End, Way::FromBroker) => self.closes(number),
                (Delivery::Cut, _) => self.breaks(number, How::Reset),
            }
        }
    }

    /// The broker hears that the client has closed.
    pub(super) fn forget(&mut self, number: u64) {
        let Some(connection) = self.links.get_mut(&number).and_then(|link| link.broker.take()) else { return };
        self.by_connection.remove(&connection);
        if let Some(network) = &mut self.faulty {
            network.close(connection);
        }
        self.broker.close(connection);
        self.brokers_actions();
    }

    /// The client is to hear that the broker has closed.
    pub(super) fn closes(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else { return };
        let at = link.arrival(self.now, Direction::Down);
        if let Some(connection) = link.broker.take() {
            self.by_connection.remove(&connection);
            if let Some(network) = &mut self.faulty {
                network.close(connection);
            }
        }
        self.plan(at, Happening::Closed(number, Direction::Down));
    }

    /// Carries out what the brokers say.
    pub(super) fn brokers_actions(&mut self) {
        let at = self.since();
        for loss in self.broker.take_losses() {
            let Some(event) = destroyed(&loss) else { continue };
            if let Event::Destroyed { partition, from, .. } = &event {
                self.lossy.insert(*partition);
                self.writers.lost(*partition, *from);
            }
            self.history.push(at, event);
        }
        let members = self.broker.member_count(GROUP);
        if members < self.members {
            self.note(Event::Expired);
        }
        self.members = members;
        self.writers.look(at, &self.broker, &mut self.history);
        while let Some(action) = self.broker.poll() {
            match action {
                Action::Send(connection, parts) => {
                    let Some(number) = self.by_connection.get(&connection).copied() else {
                        self.writers.heard(at, connection, &parts, &mut self.broker, &mut self.history);
                        continue;
                    };
                    let bytes = parts.concat();
                    let Some(link) = self.links.get_mut(&number) else { continue };
                    let (coverage, history) = (&mut self.coverage, &mut self.history);
                    let who = self.peers.get(&link.client).map(|peer| peer.who).filter(|_| self.fakes_expiry);
                    link.conversation.pass(Direction::Down, &bytes, |api, code| {
                        coverage.code(api, code);
                        if let Some(event) = who.and_then(|who| thrown_out(who, code)) {
                            history.push(at, event);
                        }
                    });
                    match self.faulty.as_mut().filter(|network| !network.is_clear(connection, Way::FromBroker)) {
                        Some(network) => network.push(self.now, connection, Way::FromBroker, bytes.into()),
                        None => self.send(number, Direction::Down, &bytes),
                    }
                }
                Action::Close(connection) => {
                    let Some(number) = self.by_connection.get(&connection).copied() else {
                        self.writers.closed(at, connection, &mut self.history);
                        continue;
                    };
                    if let Some(link) = self.links.get_mut(&number) {
                        link.closed = true;
                    }
                    match self.faulty.as_mut().filter(|network| !network.is_clear(connection, Way::FromBroker)) {
                        Some(network) => network.finish(self.now, connection, Way::FromBroker),
                        None => self.closes(number),
                    }
                }
                Action::Network(fault) => {
                    let seed = self.case.seed;
                    let known = &self.by_connection;
                    let links = &self.links;
                    let network = self.faulty.get_or_insert_with(|| {
                        let mut network = Network::new(seed);
                        let nodes = known.iter().filter_map(|(id, number)| Some((*id, links.get(number)?.node)));
                        nodes.for_each(|(id, node)| network.open(id, node));
                        network
                    });
                    network.apply(self.now, &fault);
                    self.knock_again();
                }
                Action::Heal => {
                    if let Some(network) = &mut self.faulty {
                        network.clear();
                    }
                    self.knock_again();
                }
            }
        }
    }

    /// The network has changed: who waits there to be let in asks again.
    pub(super) fn knock_again(&mut self) {
        let waiting: Vec<u64> = self.knocking.keys().copied().collect();
        waiting.into_iter().for_each(|link| self.plan(self.now, Happening::Connect(link)));
    }

    pub(super) fn send(&mut self, number: u64, direction: Direction, bytes: &[u8]) {
        let Some(link) = self.links.get_mut(&number) else { return };
        for (at, piece) in link.send(self.now, direction, bytes) {
            self.plan(at, Happening::Piece(number, direction, piece));
        }
    }

    /// A connection breaks.
    pub(super) fn breaks(&mut self, number: u64, how: How) {
        let Some(link) = self.links.get_mut(&number) else { return };
        if how == How::Silence {
            link.silent = true;
            return;
        }
        let (client, end, held) = (link.client, link.end, link.held);
        self.forget(number);
        if held {
            let reason = (how == How::Reset).then_some("connection reset by peer");
            if let Some(peer) = self.peers.get_mut(&client) {
                peer.client.lines().closed(self.now, end, reason);
            }
            self.let_go(client, end);
            self.touch(client);
        }
    }

    /// The client has this connection no more.
    pub(super) fn let_go(&mut self, client: u32, end: End) {
        if let Some(number) = self.by_end.remove(&(client, end))
            && let Some(link) = self.links.get_mut(&number)
        {
            link.held = false;
        }
    }
}
