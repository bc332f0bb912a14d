//! The broker without I/O: all nodes of a cluster, their shared data, and every decision.
//!
//! A driver tells it what happens (`handle_connected`, `handle_frame`, `handle_request`, `handle_closed`, `handle_timeout`), each
//! with the time, and carries out the [`Action`]s it then takes from `poll`. A frame comes in two steps, so that the closures of a
//! test run without a lock around them: `handle_frame` gives the request to look at, `handle_request` takes the verdict.
//!
//! Life of a request: logged, queued at its connection, taken when all before it are answered and its delay is over, decoded,
//! handled by the file of its subject, answered at once or parked there (a fetch that waits for data, a member that waits for its
//! group). Answers leave through [`Core::respond`] alone, where a test's wishes for them are carried out.
//!
//! Frames that no Kafka client would send end their connection, as in Kafka; nothing panics on them.

mod admin;
mod alter_configs;
mod batch_rules;
mod compaction;
mod configs;
mod connections;
mod coordinators;
mod delete_records;
mod elect_leaders;
mod faults;
mod features;
mod fetch;
mod groups;
mod kafka_version;
mod list_offsets;
mod log;
mod log_dirs;
mod metadata;
mod nodes;
mod offset_for_leader_epoch;
mod offsets;
mod produce;
mod producers;
mod quotas;
mod replication;
mod reply;
mod retention;
mod sasl;
mod scram;
mod scram_credentials;
mod scripting;
mod settings;
mod topics;
mod transactions;
mod versions;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::header::{RequestHeader, encode_response};
use klamm::protocol::{ApiKey, DecodeErrorKind, Request};

pub(crate) use crate::core::connections::Call;
use crate::core::connections::{After, Connection, Queued, State};
use crate::core::coordinators::Placement;
use crate::core::faults::Faults;
pub(crate) use crate::core::features::is_feature;
use crate::core::fetch::ParkedFetch;
pub(crate) use crate::core::groups::{Classic, Committed, Group, Member};
use crate::core::groups::{GroupReply, Groups};
pub(crate) use crate::core::kafka_version::KafkaVersion;
pub(crate) use crate::core::nodes::Election;
use crate::core::nodes::Holds;
use crate::core::produce::ParkedProduce;
use crate::core::quotas::Quotas;
use crate::core::reply::{Answer, Reply};
use crate::core::sasl::{Login, Users};
pub(crate) use crate::core::settings::Settings;
pub(crate) use crate::core::topics::invalid_name;
pub(crate) use crate::core::topics::scramble;
use crate::core::topics::{Topics, text};
use crate::core::transactions::Transactions;
use crate::faults::NetworkFault;
use crate::script::{ConnectionId, Intercept, Reachability, SeenRequest};

/// What a driver has to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Write these bytes.
    Send(ConnectionId, Vec<Bytes>),
    /// Write what was to be sent before, then close.
    Close(ConnectionId),
    /// Have the network do this from now on.
    Network(NetworkFault),
    /// End all that the network does.
    Heal,
    /// Take no more connections for this node.
    StopListening(i32),
    /// Take connections for this node again, at its address or at a new one, which the core is then to be told.
    Listen { node: i32, elsewhere: bool },
}

/// One node of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) running: bool,
    pub(crate) reachability: Reachability,
}

/// What a handler says.
#[derive(Debug)]
enum Outcome<T> {
    /// The answer.
    Reply(T),
    /// The answer comes through [`Core::respond`] later.
    Parked,
    /// The answer, and then the connection ends.
    ReplyAndClose(T),
    /// There is no answer.
    Nothing,
    /// The connection ends.
    Close,
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Core {
    settings: Settings,
    started: Instant,
    wall_millis: i64,
    nodes: BTreeMap<i32, Node>,
    pub(crate) topics: Topics,
    /// What was set on brokers while they ran: by number as text, the empty text for all.
    pub(crate) broker_configs: BTreeMap<String, BTreeMap<String, String>>,
    groups: Groups,
    pub(crate) transactions: Transactions,
    placement: Placement,
    connections: BTreeMap<ConnectionId, Connection>,
    last_connection: u64,
    /// Connections whose next request may be due.
    ready: VecDeque<ConnectionId>,
    fetches: BTreeMap<ConnectionId, ParkedFetch>,
    produces: BTreeMap<ConnectionId, ParkedProduce>,
    holds: Holds,
    /// When records are next looked at that may be too old.
    next_retention: Option<Instant>,
    throttle: Duration,
    quotas: Quotas,
    faults: Faults,
    users: Users,
    /// How long a client that has logged in is believed.
    session_lifetime: Option<Duration>,
    /// Steps of SASL so far.
    exchanges: u64,
    actions: VecDeque<Action>,
    requests: VecDeque<SeenRequest>,
    request_bytes: usize,
}

impl Core {
    /// `addresses` has each node's, from node 1 on; `wall_millis` is the time of day at `now`.
    pub(crate) fn new(now: Instant, wall_millis: i64, settings: Settings, addresses: Vec<(String, u16)>) -> Self {
        let node = |(host, port)| Node { host, port, running: true, reachability: Reachability::Open };
        let mut core = Self {
            started: now,
            wall_millis,
            nodes: (1..).zip(addresses.into_iter().map(node)).collect(),
            topics: Topics::default(),
            broker_configs: BTreeMap::new(),
            groups: Groups::new(now, &settings),
            users: Users::default(),
            session_lifetime: settings.session_lifetime,
            exchanges: 0,
            transactions: Transactions::new(settings.transactional_id_expiration),
            settings,
            placement: Placement::default(),
            connections: BTreeMap::new(),
            last_connection: 0,
            ready: VecDeque::new(),
            fetches: BTreeMap::new(),
            produces: BTreeMap::new(),
            holds: Holds::default(),
            next_retention: None,
            throttle: Duration::ZERO,
            quotas: Quotas::default(),
            faults: Faults::default(),
            actions: VecDeque::new(),
            requests: VecDeque::new(),
            request_bytes: 0,
        };
        core.topics.default_rules = core.replication_rules();
        core
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When `handle_timeout` wants to be called.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let connections = self.connections.values().filter_map(Connection::next_timeout);
        let coordinators = self.groups.next_timeout().into_iter().chain(self.placement.next_timeout());
        let coordinators = coordinators.chain(self.transactions.next_timeout()).chain(self.holds.next_timeout());
        let coordinators = coordinators.chain(self.faults.next_timeout());
        let parked =
            self.fetches.values().map(|fetch| fetch.deadline).chain(self.produces.values().map(|produce| produce.deadline));
        connections.chain(parked).chain(coordinators).chain(self.next_retention).min()
    }

    /// A connection was made to `node` from `host`.
    pub(crate) fn handle_connected(&mut self, node: i32, host: &str) -> ConnectionId {
        self.last_connection += 1;
        let id = ConnectionId(self.last_connection);
        let login = if self.users.are_wanted() { Login::Unknown } else { Login::NotWanted };
        let connection = Connection {
            node,
            host: text(host),
            login,
            queue: VecDeque::new(),
            state: State::Idle,
            is_last: false,
            quota_wait: Duration::ZERO,
        };
        self.connections.insert(id, connection);
        id
    }

    /// The client has closed the connection, or the driver on our behalf.
    pub(crate) fn handle_closed(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        self.fetches.remove(&id);
        self.produces.remove(&id);
    }

    /// A frame came. Gives the request for `handle_request`; `None` when the connection is closed for it.
    pub(crate) fn handle_frame(&mut self, now: Instant, id: ConnectionId, frame: &Bytes) -> Option<SeenRequest> {
        let node = self.connections.get(&id)?.node;
        let Ok((header, body)) = RequestHeader::decode(frame) else {
            self.close(id);
            return None;
        };
        let RequestHeader { api_key, api_version: version, correlation_id, client_id } = header;
        let request = SeenRequest { at: now, node, connection: id, api_key, version, correlation_id, client_id, body };
        self.request_bytes += request.body.len();
        self.requests.push_back(request.clone());
        while self.request_bytes > self.settings.request_log_bytes {
            let Some(oldest) = self.requests.pop_front() else { break };
            self.request_bytes -= oldest.body.len();
        }
        Some(request)
    }

    /// Does what the test wants with a request that `handle_frame` gave.
    pub(crate) fn handle_request(&mut self, now: Instant, request: SeenRequest, verdict: Intercept) {
        let verdict = self.spoil(now, &request, verdict);
        let SeenRequest { at, node, connection: id, api_key, version, correlation_id, client_id, body } = request;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let host = connection.host.clone();
        let call = Call { connection: id, node, api_key, version, correlation_id, client_id, host, refused: Vec::new() };
        let (mut verdict, mut delay) = (verdict, None);
        loop {
            let (longer, then) = match verdict {
                Intercept::Delay(longer) => (longer, Intercept::Pass),
                Intercept::After(longer, then) => (longer, *then),
                other => {
                    verdict = other;
                    break;
                }
            };
            delay = Some(delay.unwrap_or_default() + longer);
            verdict = then;
        }
        let not_before = delay.map(|delay| at + delay);
        connection.queue.push_back(Queued { call, body, verdict, not_before, is_admitted: false });
        self.ready.push_back(id);
        self.pump(now);
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.handle_due_faults(now);
        let due = |connection: &Connection| connection.next_timeout().is_some_and(|at| at <= now);
        let due: Vec<_> = self.connections.iter().filter(|(_, connection)| due(connection)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            let is_last = connection.is_last;
            if let State::Sending(_, frame) = std::mem::take(&mut connection.state) {
                self.send(now, id, frame);
                if is_last {
                    self.close(id);
                }
            }
            self.ready.push_back(id);
        }
        let due: Vec<_> = self.fetches.iter().filter(|(_, fetch)| fetch.deadline <= now).map(|(id, _)| *id).collect();
        for id in due {
            self.finish_fetch(now, id);
        }
        self.placement.handle_timeout(now);
        self.check_lag(now);
        self.check_retention(now);
        self.expire_produces(now);
        self.groups.handle_timeout(now, &self.transactions.staged);
        self.handle_transaction_timeouts(now);
        self.pump(now);
    }

    /// Goes on until nothing can be done without new input.
    fn pump(&mut self, now: Instant) {
        loop {
            if self.topics.take_reconfigured() {
                self.reconfigure(now);
            } else if let Some(id) = self.ready.pop_front() {
                self.advance(now, id);
            } else if let Some((call, reply)) = self.groups.next_reply() {
                match reply {
                    GroupReply::Join(response) => self.respond(now, call, response),
                    GroupReply::Sync(response) => self.respond(now, call, response),
                }
            } else if self.topics.take_changed() {
                // A partition may have found a leader.
                self.write_markers(now);
                self.retry_produces(now);
                self.retry_fetches(now);
            } else {
                return self.groups.note_change(now);
            }
        }
    }

    /// Takes up the connection's next request, if it may.
    fn advance(&mut self, now: Instant, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match connection.state {
            State::Idle => {}
            State::Waiting(at) if at <= now => {}
            _ => return,
        }
        connection.state = State::Idle;
        let Some(head) = connection.queue.front_mut() else { return };
        // As Kafka, which looks at who it is when it reads a request, and reads no sooner than the one before is answered.
        if !head.is_admitted && !connection.login.admits(now, head.call.api_key) {
            return self.close(id);
        }
        head.is_admitted = true;
        if let Some(at) = head.not_before.filter(|at| *at > now) {
            connection.state = State::Waiting(at);
            return;
        }
        if matches!(head.verdict, Intercept::Hold) {
            connection.state = State::Held;
            return;
        }
        let Some(Queued { mut call, body, verdict, .. }) = connection.queue.pop_front() else { return };
        let after = match verdict {
            // Delays are resolved on arrival, and a request that was held has been let go.
            Intercept::Pass | Intercept::Delay(_) | Intercept::After(..) | Intercept::Hold => After::Send,
            Intercept::Respond(body) => {
                let frame = reply::frame(&call, &body);
                self.send(now, id, frame);
                self.ready.push_back(id);
                return;
            }
            Intercept::Raw(bytes) => {
                self.send(now, id, vec![bytes]);
                self.ready.push_back(id);
                return;
            }
            Intercept::Error(code) => {
                connection.state = State::Processing(After::Send);
                let to = To { core: self, now, call: call.clone() };
                if reply::refuse(&call, &body, code, to).is_err() {
                    self.close(id);
                }
                return;
            }
            Intercept::PartitionErrors(refused) => {
                call.refused = refused;
                After::Send
            }
            Intercept::CloseBefore => {
                self.close(id);
                return;
            }
            Intercept::Swallow => {
                connection.state = State::Silent;
                return;
            }
            Intercept::DelayResponse(delay) => After::Later(delay),
            Intercept::ProcessThenClose => After::Close,
            Intercept::ProcessThenSwallow => After::Silence,
            Intercept::Edit(edit) => After::Edit(edit),
            Intercept::CutResponse(bytes) => After::Cut(bytes),
        };
        connection.state = State::Processing(after);
        self.process(now, call, &body);
    }

    /// Hands a request to its subject.
    fn process(&mut self, now: Instant, call: Call, body: &Bytes) {
        let served = self.settings.versions(call.api_key).is_some_and(|(first, last)| (first..=last).contains(&call.version));
        if !served {
            // A client learns from the answer to ApiVersions what there is (KIP-511); anything else it has to know by then.
            match call.api_key {
                ApiKey::API_VERSIONS => self.unsupported_api_versions(now, call),
                _ => self.close(call.connection),
            }
            return;
        }
        self.charge_request(now, &call, body.len());
        match call.api_key {
            ApiKey::PRODUCE => self.handle(now, call, body, Self::produce),
            ApiKey::FETCH => self.handle(now, call, body, Self::fetch),
            ApiKey::LIST_OFFSETS => self.handle(now, call, body, Self::list_offsets),
            ApiKey::METADATA => self.handle(now, call, body, Self::metadata),
            ApiKey::OFFSET_COMMIT => self.handle(now, call, body, Self::offset_commit),
            ApiKey::OFFSET_FETCH => self.handle(now, call, body, Self::offset_fetch),
            ApiKey::FIND_COORDINATOR => self.handle(now, call, body, Self::find_coordinator),
            ApiKey::JOIN_GROUP => self.handle(now, call, body, Self::join_group),
            ApiKey::HEARTBEAT => self.handle(now, call, body, Self::heartbeat),
            ApiKey::LEAVE_GROUP => self.handle(now, call, body, Self::leave_group),
            ApiKey::SYNC_GROUP => self.handle(now, call, body, Self::sync_group),
            ApiKey::DESCRIBE_GROUPS => self.handle(now, call, body, Self::describe_groups),
            ApiKey::LIST_GROUPS => self.handle(now, call, body, Self::list_groups),
            ApiKey::SASL_HANDSHAKE => self.handle(now, call, body, Self::sasl_handshake),
            ApiKey::SASL_AUTHENTICATE => self.handle(now, call, body, Self::sasl_authenticate),
            ApiKey::API_VERSIONS => self.handle(now, call, body, Self::api_versions),
            ApiKey::CREATE_TOPICS => self.handle(now, call, body, Self::create_topics),
            ApiKey::DELETE_TOPICS => self.handle(now, call, body, Self::delete_topics),
            ApiKey::INIT_PRODUCER_ID => self.handle(now, call, body, Self::init_producer_id),
            ApiKey::ADD_PARTITIONS_TO_TXN => self.handle(now, call, body, Self::add_partitions_to_txn),
            ApiKey::ADD_OFFSETS_TO_TXN => self.handle(now, call, body, Self::add_offsets_to_txn),
            ApiKey::END_TXN => self.handle(now, call, body, Self::end_txn),
            ApiKey::WRITE_TXN_MARKERS => self.handle(now, call, body, Self::write_txn_markers),
            ApiKey::TXN_OFFSET_COMMIT => self.handle(now, call, body, Self::txn_offset_commit),
            ApiKey::DESCRIBE_PRODUCERS => self.handle(now, call, body, Self::describe_producers),
            ApiKey::DESCRIBE_TRANSACTIONS => self.handle(now, call, body, Self::describe_transactions),
            ApiKey::LIST_TRANSACTIONS => self.handle(now, call, body, Self::list_transactions),
            ApiKey::DESCRIBE_CONFIGS => self.handle(now, call, body, Self::describe_configs),
            ApiKey::CREATE_PARTITIONS => self.handle(now, call, body, Self::create_partitions),
            ApiKey::DELETE_GROUPS => self.handle(now, call, body, Self::delete_groups),
            ApiKey::INCREMENTAL_ALTER_CONFIGS => self.handle(now, call, body, Self::incremental_alter_configs),
            ApiKey::OFFSET_DELETE => self.handle(now, call, body, Self::offset_delete),
            ApiKey::DESCRIBE_CLUSTER => self.handle(now, call, body, Self::describe_cluster),
            ApiKey::ALTER_CONFIGS => self.handle(now, call, body, Self::alter_configs),
            ApiKey::DESCRIBE_LOG_DIRS => self.handle(now, call, body, Self::describe_log_dirs),
            ApiKey::DESCRIBE_CLIENT_QUOTAS => self.handle(now, call, body, Self::describe_client_quotas),
            ApiKey::ALTER_CLIENT_QUOTAS => self.handle(now, call, body, Self::alter_client_quotas),
            ApiKey::DESCRIBE_USER_SCRAM_CREDENTIALS => self.handle(now, call, body, Self::describe_user_scram_credentials),
            ApiKey::ALTER_USER_SCRAM_CREDENTIALS => self.handle(now, call, body, Self::alter_user_scram_credentials),
            ApiKey::DELETE_RECORDS => self.handle(now, call, body, Self::delete_records_by_request),
            ApiKey::OFFSET_FOR_LEADER_EPOCH => self.handle(now, call, body, Self::offset_for_leader_epoch),
            ApiKey::ELECT_LEADERS => self.handle(now, call, body, Self::elect_leaders),
            ApiKey::DESCRIBE_TOPIC_PARTITIONS => self.handle(now, call, body, Self::describe_topic_partitions),
            _ => self.close(call.connection),
        }
    }

    fn handle<R: Request<Response: Reply>>(
        &mut self,
        now: Instant,
        call: Call,
        body: &Bytes,
        handler: fn(&mut Self, Instant, &Call, R) -> Outcome<R::Response>,
    ) {
        let read = match R::decode(body, call.version) {
            // Kafka does not look at what stands behind a request.
            Err(error) if error.kind == DecodeErrorKind::Trailing => {
                R::decode(&body.slice(..body.len().saturating_sub(error.left)), call.version)
            }
            read => read,
        };
        let Ok(request) = read else { return self.close(call.connection) };
        match handler(self, now, &call, request) {
            Outcome::Reply(response) => self.respond(now, call, response),
            Outcome::ReplyAndClose(response) => {
                let id = call.connection;
                self.respond(now, call, response);
                match self.connections.get_mut(&id) {
                    Some(connection) if matches!(connection.state, State::Sending(..)) => connection.is_last = true,
                    _ => self.close(id),
                }
            }
            Outcome::Parked => {}
            Outcome::Nothing => self.respond_nothing(now, &call),
            Outcome::Close => self.close(call.connection),
        }
    }

    /// Answers a request; a connection that is gone by now does not mind.
    fn respond<M: Reply>(&mut self, now: Instant, call: Call, mut response: M) {
        let id = call.connection;
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let State::Processing(after) = std::mem::take(&mut connection.state) else {
            debug_assert!(false, "an answer to nothing on {id}");
            return;
        };
        let throttle = self.throttle.max(connection.quota_wait);
        if !throttle.is_zero() {
            response.set_throttle(i32::try_from(throttle.as_millis()).unwrap_or(i32::MAX));
        }
        let (mut cut, mut later) = (None, None);
        match after {
            After::Send => {}
            After::Edit(edit) => (edit.0)(&mut response),
            After::Cut(bytes) => cut = Some(bytes),
            After::Later(delay) => later = Some(now + delay),
            After::Close => return self.close(id),
            After::Silence => {
                connection.state = State::Silent;
                return;
            }
        }
        let frame = match encode_response(call.correlation_id, call.version, &response) {
            Ok(frame) => frame,
            Err(error) => {
                debug_assert!(false, "{} version {}: {error}", M::NAME, call.version);
                return self.close(id);
            }
        };
        let bytes = frame.iter().map(Bytes::len).sum();
        let frame = match self.charge_answer(now, &call, bytes, &mut response) {
            false => frame,
            true => {
                let throttle =
                    self.connections.get(&id).map_or(self.throttle, |connection| self.throttle.max(connection.quota_wait));
                response.set_throttle(i32::try_from(throttle.as_millis()).unwrap_or(i32::MAX));
                encode_response(call.correlation_id, call.version, &response).unwrap_or(frame)
            }
        };
        if let Some(bytes) = cut {
            let whole: Bytes = frame.concat().into();
            self.send(now, id, vec![whole.slice(..bytes.min(whole.len()))]);
            return self.close(id);
        }
        if let Some((at, connection)) = later.zip(self.connections.get_mut(&id)) {
            connection.state = State::Sending(at, frame);
            return;
        }
        self.send(now, id, frame);
        self.ready.push_back(id);
    }

    /// Goes on after a request that has no answer.
    fn respond_nothing(&mut self, now: Instant, call: &Call) {
        let Some(connection) = self.connections.get_mut(&call.connection) else { return };
        match std::mem::take(&mut connection.state) {
            State::Processing(After::Close | After::Cut(_)) => return self.close(call.connection),
            State::Processing(After::Silence) => connection.state = State::Silent,
            _ if !connection.quota_wait.is_zero() => {
                connection.state = State::Throttled(now + std::mem::take(&mut connection.quota_wait));
            }
            _ => {}
        }
        self.ready.push_back(call.connection);
    }

    /// Sends `frame`; the client is then not heard for as long as it was told to be quiet (KIP-219).
    fn send(&mut self, now: Instant, id: ConnectionId, frame: Vec<Bytes>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let throttle = self.throttle.max(std::mem::take(&mut connection.quota_wait));
            connection.state = if throttle.is_zero() { State::Idle } else { State::Throttled(now + throttle) };
            self.actions.push_back(Action::Send(id, frame));
        }
    }

    fn close(&mut self, id: ConnectionId) {
        if self.connections.contains_key(&id) {
            self.handle_closed(id);
            self.actions.push_back(Action::Close(id));
        }
    }

    /// Nodes that run.
    fn running(&self) -> BTreeSet<i32> {
        self.nodes.iter().filter(|(_, node)| node.running).map(|(id, _)| *id).collect()
    }

    /// The time of day, in milliseconds since 1970.
    pub(crate) fn wall_millis(&self, now: Instant) -> i64 {
        let elapsed = now.saturating_duration_since(self.started).as_millis();
        self.wall_millis.saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }
}

/// Sends an answer that `reply::refuse` made.
struct To<'a> {
    core: &'a mut Core,
    now: Instant,
    call: Call,
}

impl Answer for To<'_> {
    fn answer<M: Reply>(self, response: M) {
        self.core.respond(self.now, self.call, response);
    }
}
