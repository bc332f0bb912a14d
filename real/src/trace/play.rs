//! One side of a comparison: its connections, what it has said, and how a trace is played to it.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use klamm::protocol::json::{RecordsForm, to_json};
use klamm::protocol::{ApiKey, Declaration, header};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::trace::body::Words;
use crate::trace::parse::{Asked, Trace, What};

/// First and last version of each API.
pub type Ranges = BTreeMap<i16, (i16, i16)>;

/// Longer waits nobody for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Worth a line of the output.
const SLOW: Duration = Duration::from_millis(1500);

/// For what a cluster does in its own time.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// An answer, with API and version.
    Answer(&'static str, i16, Json),
    /// The connection was closed.
    Closed,
    /// Nothing within eight seconds.
    Silence,
    /// Something that is no answer to what was asked.
    Unreadable(String),
    /// Sent, and not waited for; or nothing was sent.
    Sent,
    /// The request could not be made, because an earlier answer lacked what it needs.
    NotAsked(String),
}

/// A broker, and the connections to it.
#[derive(Debug)]
pub struct Side {
    address: String,
    connections: BTreeMap<String, Connection>,
    words: Words,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    correlation_id: i32,
    /// What was sent and not answered yet.
    open: VecDeque<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    correlation_id: i32,
    request: &'static Declaration,
    response: &'static Declaration,
    version: i16,
}

impl Side {
    /// The broker at `address`, where names get `unique` behind them.
    pub fn new(address: &str, unique: &str) -> Self {
        let words = Words { unique: unique.to_owned(), ..Words::default() };
        Self { address: address.to_owned(), connections: BTreeMap::new(), words }
    }

    /// What it serves.
    ///
    /// # Panics
    /// When it does not answer.
    pub async fn ranges(&mut self) -> Ranges {
        let asked = Asked::new("ApiVersions", Json::Object(Default::default())).expect("declared");
        let Outcome::Answer(_, _, json) = self.ask("ranges", &asked, 0).await else {
            panic!("{} does not say what it serves", self.address)
        };
        let number = |json: &Json, key: &str| i16::try_from(json[key].as_i64().expect("a number")).expect("a short one");
        let apis = json["apiKeys"].as_array().expect("APIs").iter();
        apis.map(|api| (number(api, "apiKey"), (number(api, "minVersion"), number(api, "maxVersion")))).collect()
    }

    async fn ask(&mut self, connection: &str, asked: &Asked, version: i16) -> Outcome {
        let start = Instant::now();
        loop {
            let outcome = self.ask_once(connection, asked, version).await;
            let is_settled = matches!(&outcome, Outcome::Answer(_, _, json) if !has_errors(json));
            let is_asked = !matches!(outcome, Outcome::NotAsked(_));
            if !asked.settle || is_settled || !is_asked || start.elapsed() > SETTLED_WITHIN {
                if let Outcome::Answer(_, _, json) = &outcome {
                    for (name, path) in &asked.kept {
                        self.words.kept.insert(name.clone(), json.pointer(path).cloned().unwrap_or(Json::Null));
                    }
                }
                return outcome;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn ask_once(&mut self, name: &str, asked: &Asked, version: i16) -> Outcome {
        let body = self.words.body(asked.request, version, &asked.body);
        let mut body = match body {
            Ok(body) => body,
            Err(error) => return Outcome::NotAsked(error),
        };
        body.truncate(body.len().saturating_sub(asked.cut));
        body.extend(&asked.extra);
        let connection = self.connection(name).await;
        connection.correlation_id += 1;
        let open = Open { correlation_id: connection.correlation_id, request: asked.request, response: asked.response, version };
        let mut frame = Vec::new();
        frame.extend(asked.request.api_key.to_be_bytes());
        frame.extend(asked.header_version.unwrap_or(version).to_be_bytes());
        frame.extend(open.correlation_id.to_be_bytes());
        let client = asked.client.as_ref().map(|client| client.as_bytes());
        frame.extend(client.map_or(-1, |client| i16::try_from(client.len()).unwrap_or(i16::MAX)).to_be_bytes());
        frame.extend(client.unwrap_or_default());
        if (asked.request.is_flexible)(version) {
            frame.push(0);
        }
        frame.extend(body);
        let length = u32::try_from(frame.len()).expect("short").to_be_bytes();
        if connection.stream.write_all(&[&length[..], &frame].concat()).await.is_err() {
            self.connections.remove(name);
            return Outcome::Closed;
        }
        if asked.has_answer {
            connection.open.push_back(open);
        }
        if asked.wait && asked.has_answer { self.answer(name).await } else { Outcome::Sent }
    }

    async fn connection(&mut self, name: &str) -> &mut Connection {
        if !self.connections.contains_key(name) {
            let stream = TcpStream::connect(&self.address).await.expect("the broker listens");
            stream.set_nodelay(true).expect("a socket's option");
            self.connections.insert(name.to_owned(), Connection { stream, correlation_id: 100, open: VecDeque::new() });
        }
        self.connections.get_mut(name).expect("just made")
    }

    /// The next answer on a connection.
    async fn answer(&mut self, name: &str) -> Outcome {
        let Some(connection) = self.connections.get_mut(name) else { return Outcome::Closed };
        let outcome = match timeout(PATIENCE, connection.frame()).await {
            Err(_) => Outcome::Silence,
            Ok(None) => Outcome::Closed,
            Ok(Some(frame)) => connection.read(&frame),
        };
        if !matches!(outcome, Outcome::Answer(..)) {
            self.connections.remove(name);
        }
        outcome
    }

    async fn bytes(&mut self, name: &str, bytes: &[u8]) -> Outcome {
        let connection = self.connection(name).await;
        if connection.stream.write_all(bytes).await.is_err() {
            self.connections.remove(name);
            return Outcome::Closed;
        }
        let outcome = match timeout(PATIENCE, connection.frame()).await {
            Err(_) => Outcome::Silence,
            Ok(None) => Outcome::Closed,
            // Nothing says what was asked: the correlation id and the error code that most answers begin with must do.
            Ok(Some(frame)) => Outcome::Unreadable(frame.iter().take(6).map(|byte| format!("{byte:02x}")).collect()),
        };
        if !matches!(outcome, Outcome::Unreadable(_)) {
            self.connections.remove(name);
        }
        outcome
    }
}

impl Connection {
    /// A whole frame; `None` when the connection is closed.
    async fn frame(&mut self) -> Option<Bytes> {
        let length = self.stream.read_u32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).ok().filter(|length| *length < 64 << 20)?];
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(frame.into())
    }

    fn read(&mut self, frame: &Bytes) -> Outcome {
        let Some(open) = self.open.pop_front() else { return Outcome::Unreadable("an answer to nothing".to_owned()) };
        let (mut version, key) = (open.version, ApiKey(open.request.api_key));
        let read = header::decode_response(frame, key, (open.request.is_flexible)(version));
        let (correlation_id, body) = match read {
            Ok(read) => read,
            Err(error) => return Outcome::Unreadable(format!("{}: {error}", open.response.name)),
        };
        if correlation_id != open.correlation_id {
            return Outcome::Unreadable(format!("answer {correlation_id} to request {}", open.correlation_id));
        }
        // A broker that does not know the version says so in version 0 (KIP-511).
        if key == ApiKey::API_VERSIONS && body.starts_with(&[0, 35]) {
            version = 0;
        }
        match to_json(open.response, version, &body, RecordsForm::Base64) {
            Ok(json) => Outcome::Answer(open.response.name, version, json),
            Err(error) => Outcome::Unreadable(error.to_string()),
        }
    }
}

/// Is there an error code in it that is not 0?
fn has_errors(json: &Json) -> bool {
    match json {
        Json::Object(fields) => fields.iter().any(|(name, value)| {
            (name.ends_with("rrorCode") && value.as_i64().is_some_and(|code| code != 0)) || has_errors(value)
        }),
        Json::Array(items) => items.iter().any(has_errors),
        _ => false,
    }
}

/// Plays a round of a trace; gives what came of each step.
pub async fn play(side: &mut Side, trace: &Trace, ranges: &Ranges, round: usize, rounds: usize) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for step in &trace.steps {
        let start = Instant::now();
        outcomes.push(match &step.what {
            What::Request(asked) => side.ask(&step.connection, asked, asked.version(ranges, round, rounds)).await,
            What::Await => side.answer(&step.connection).await,
            What::Sleep(time) => {
                sleep(*time).await;
                Outcome::Sent
            }
            What::Close => {
                side.connections.remove(&step.connection);
                Outcome::Sent
            }
            What::Bytes(bytes) => side.bytes(&step.connection, bytes).await,
        });
        if start.elapsed() > SLOW {
            println!("{} {} took {:?} at {}", trace.name, step.name, start.elapsed(), side.address);
        }
    }
    outcomes
}
