//! Answers compared, field by field.
//!
//! Elements of arrays are told apart by what names them, so their order does not count. Ids that each side draws (of topics, members,
//! producers, fetch sessions) become numbers in the order in which the side first says them: who says another id than before differs.
//! Hosts, ports, the cluster's id, throttle times and times of the clock are left out. Records are told batch by batch.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use klamm::protocol::records::{Limits, RecordBatches};
use serde_json::Value as Json;

use crate::trace::body::first_time;
use crate::trace::parse::{Trace, What};
use crate::trace::play::Outcome;

/// A field that Kafka and klamm-broker say otherwise.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "said by their names")]
pub struct Difference {
    pub trace: String,
    pub step: String,
    pub message: String,
    pub version: i16,
    pub path: String,
    pub kafka: String,
    pub klamm: String,
}

/// What a round of a trace has shown.
#[derive(Debug, Default)]
pub struct Compared {
    /// Answers, closed connections and silences.
    pub outcomes: u64,
    /// Fields.
    pub fields: u64,
    /// Responses and versions that were compared.
    pub messages: Vec<(String, i16)>,
    /// Where they differ.
    pub differences: Vec<Difference>,
}

/// Compares what came of a trace on both sides; `unique` is what made its names.
pub fn compare(trace: &Trace, unique: &str, kafka: &[Outcome], klamm: &[Outcome]) -> Compared {
    let mut compared = Compared::default();
    let (mut kafka_mask, mut klamm_mask) = (Mask::new(unique), Mask::new(unique));
    for (step, (kafka, klamm)) in trace.steps.iter().zip(kafka.iter().zip(klamm)) {
        if matches!((kafka, klamm), (Outcome::Sent, Outcome::Sent)) {
            continue;
        }
        let own = matches!(&step.what, What::Request(asked) if asked.own);
        let (left, right) = (kafka_mask.fields(kafka, own), klamm_mask.fields(klamm, own));
        let (message, version) = match (kafka, klamm) {
            (Outcome::Answer(message, version, _), _) | (_, Outcome::Answer(message, version, _)) => (*message, *version),
            _ => ("-", -1),
        };
        compared.outcomes += 1;
        if version >= 0 {
            compared.messages.push((message.to_owned(), version));
        }
        let is_asked = !matches!(kafka, Outcome::NotAsked(_));
        let is_same_outcome = is_asked && left.get("outcome") == right.get("outcome");
        let mut differ = |path: &str, kafka: &str, klamm: &str| {
            let (trace, step, message) = (trace.name.clone(), step.name.clone(), message.to_owned());
            let (path, kafka, klamm) = (path.to_owned(), kafka.to_owned(), klamm.to_owned());
            compared.differences.push(Difference { trace, step, message, version, path, kafka, klamm });
        };
        for (path, said) in left.iter().filter(|(path, _)| is_same_outcome || *path == "outcome") {
            compared.fields += 1;
            match right.get(path) {
                Some(other) if other == said && is_asked => {}
                Some(other) => differ(path, said, other),
                // One line for what is missing, not one for each field of it.
                None if parent_is_there(path, &right) => differ(path, said, "(nothing)"),
                None => {}
            }
        }
        for (path, said) in right.iter().filter(|(path, _)| is_same_outcome && !left.contains_key(*path)) {
            if parent_is_there(path, &left) {
                differ(path, "(nothing)", said);
            }
        }
    }
    compared
}

/// Is what this is a field or an element of there on the other side?
fn parent_is_there(path: &str, other: &BTreeMap<String, String>) -> bool {
    let end = path.rfind(['.', '[']);
    end.is_none_or(|end| end == 0 || other.contains_key(path.get(..end).unwrap_or_default()))
}

/// A number; one that is a time of the traces' records is told by its distance from the first, one of the clock not at all.
fn time(number: i64) -> String {
    match number - first_time() {
        since @ 0..3_000_000 => format!("T+{since}"),
        3_000_000..14_400_000 => "(now)".to_owned(),
        _ => number.to_string(),
    }
}

/// Is there a field in it whose value each side draws?
fn has_drawn(json: &Json) -> bool {
    match json {
        Json::Object(fields) => {
            fields.iter().any(|(name, value)| DRAWN.iter().any(|(drawn, _)| drawn == name) || has_drawn(value))
        }
        Json::Array(items) => items.iter().any(has_drawn),
        _ => false,
    }
}

/// What is in it, in an order of its own.
fn leaves(json: &Json) -> Vec<String> {
    let mut found: Vec<String> = match json {
        Json::Object(fields) => fields.values().flat_map(leaves).collect(),
        Json::Array(items) => items.iter().flat_map(leaves).collect(),
        leaf => vec![leaf.to_string()],
    };
    found.sort();
    found
}

/// A text with `(time)` for every number of 13 digits or more.
fn without_times(text: &str) -> String {
    let (mut told, mut digits) = (String::new(), String::new());
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        told.push_str(if digits.len() < 13 { &digits } else { "(time)" });
        digits.clear();
        told.push(c);
    }
    told.pop();
    told
}

/// What each side draws by itself.
struct Mask {
    unique: String,
    /// By kind and value.
    drawn: BTreeMap<(&'static str, String), usize>,
}

/// Fields that say nothing of the broker.
const LEFT_OUT: [&str; 5] = ["throttleTimeMs", "host", "port", "clusterId", "clientHost"];

/// Fields whose values each side draws, and of what kind they are.
const DRAWN: [(&str, &str); 6] = [
    ("topicId", "topic"),
    ("memberId", "member"),
    ("leader", "member"),
    ("producerId", "producer"),
    ("sessionId", "session"),
    ("currentProducerId", "producer"),
];

/// Fields by which the elements of an array are told apart, the first that all have.
const NAMES: [&str; 23] = [
    "apiKey",
    "name",
    "topic",
    "topicName",
    "groupId",
    "resourceName",
    "configName",
    "entityType",
    "partitionIndex",
    "partition",
    "partitionId",
    "index",
    "key",
    "user",
    "mechanism",
    "nodeId",
    "brokerId",
    "transactionalId",
    "groupInstanceId",
    "clientId",
    "topicId",
    "metadata",
    "memberId",
];

impl Mask {
    fn new(unique: &str) -> Self {
        Self { unique: unique.to_owned(), drawn: BTreeMap::new() }
    }

    fn fields(&mut self, outcome: &Outcome, own: bool) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        match outcome {
            Outcome::Answer(_, _, json) => {
                fields.insert("outcome".to_owned(), "an answer".to_owned());
                self.walk("", json, own, &mut fields);
            }
            Outcome::Closed => drop(fields.insert("outcome".to_owned(), "closed".to_owned())),
            Outcome::Silence => drop(fields.insert("outcome".to_owned(), "silence".to_owned())),
            Outcome::Unreadable(what) => drop(fields.insert("outcome".to_owned(), what.clone())),
            Outcome::NotAsked(why) => drop(fields.insert("outcome".to_owned(), format!("not asked: {why}"))),
            Outcome::Sent => drop(fields.insert("outcome".to_owned(), "sent".to_owned())),
        }
        fields
    }

    fn walk(&mut self, path: &str, json: &Json, own: bool, fields: &mut BTreeMap<String, String>) {
        let field = path.rsplit(['.', ']']).next().unwrap_or_default();
        if LEFT_OUT.contains(&field) {
            return;
        }
        match json {
            Json::Object(inner) => {
                if !path.is_empty() {
                    fields.insert(path.to_owned(), "{}".to_owned());
                }
                for (name, value) in inner {
                    let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.walk(&inner, value, own, fields);
                }
            }
            Json::Array(items) => {
                let items: Vec<_> = items.iter().filter(|item| !own || self.is_own(item)).collect();
                fields.insert(path.to_owned(), "[]".to_owned());
                let mut keyed: Vec<_> = items.iter().map(|item| (self.key(item, &items), *item)).collect();
                if keyed.iter().all(|(key, _)| key.is_some()) {
                    keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
                } else if !has_drawn(json) {
                    keyed.sort_by_cached_key(|(_, item)| leaves(item));
                }
                for (at, (key, item)) in keyed.into_iter().enumerate() {
                    let key = key.unwrap_or_else(|| at.to_string());
                    self.walk(&format!("{path}[{key}]"), item, own, fields);
                }
            }
            _ => {
                let said = self.said(field, json);
                fields.insert(path.to_owned(), said);
            }
        }
    }

    /// What names an element among the others, if something does.
    fn key(&mut self, item: &Json, all: &[&Json]) -> Option<String> {
        let Json::Object(_) = item else { return None };
        let is_said = |json: &Json, name: &str| {
            matches!(json.get(name), Some(Json::String(text)) if !text.is_empty())
                || matches!(json.get(name), Some(Json::Number(_)))
        };
        let name = NAMES.into_iter().find(|name| {
            let mut values: Vec<_> = all.iter().map(|item| item[*name].to_string()).collect();
            values.sort();
            values.dedup();
            values.len() == all.len() && all.iter().all(|item| is_said(item, name))
        })?;
        Some(self.said(name, &item[name]).replace(['.', '[', ']'], "_"))
    }

    fn is_own(&self, item: &Json) -> bool {
        let Json::Object(fields) = item else { return true };
        let named = ["name", "topic", "groupId", "transactionalId"].into_iter().find_map(|name| fields.get(name)?.as_str());
        named.is_none_or(|name| name.contains(&self.unique))
    }

    fn said(&mut self, field: &str, json: &Json) -> String {
        let kind = DRAWN.iter().find(|(name, _)| *name == field).map(|(_, kind)| *kind);
        match (kind, json) {
            (Some(kind), Json::Number(number))
                if number.as_i64().is_some_and(|number| number > 0 || (number == 0 && kind == "producer")) =>
            {
                self.drawn(kind, number.to_string())
            }
            (Some(kind @ "topic"), Json::String(id)) if id != "AAAAAAAAAAAAAAAAAAAAAA" => self.drawn(kind, id.clone()),
            (Some(kind @ "member"), Json::String(id)) if id.len() > 36 => self.drawn(kind, id.clone()),
            (_, Json::String(text)) if field == "records" => self.records(text),
            (_, Json::String(text)) => self.text(text),
            (_, Json::Number(number)) => number.as_i64().map_or_else(|| json.to_string(), time),
            _ => json.to_string(),
        }
    }

    fn drawn(&mut self, kind: &'static str, value: String) -> String {
        let next = self.drawn.keys().filter(|(other, _)| *other == kind).count() + 1;
        format!("({kind} {})", self.drawn.entry((kind, value)).or_insert(next))
    }

    /// A text; what was drawn, what is unique and times are taken out of it.
    fn text(&self, text: &str) -> String {
        let mut text = without_times(&text.replace(&self.unique, "%"));
        for ((kind, value), number) in &self.drawn {
            if value.len() > 3 {
                text = text.replace(value, &format!("({kind} {number})"));
            }
        }
        text
    }

    fn records(&mut self, text: &str) -> String {
        let Ok(bytes) = STANDARD.decode(text) else { return text.to_owned() };
        let mut told = String::new();
        for batch in RecordBatches::new(bytes.into()) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => return format!("{told}; then {error}"),
            };
            let producer = match batch.producer_id() {
                id if id >= 0 => self.drawn("producer", id.to_string()),
                id => id.to_string(),
            };
            let times = if batch.is_control() {
                "now".to_owned()
            } else {
                format!("{} to {}", time(batch.base_timestamp()), time(batch.max_timestamp()))
            };
            told.push_str(&format!(
                "[offsets {} to {}, leader epoch {}, format {}, attributes {}, producer {producer}, epoch {}, sequence {}, times {times}:",
                batch.base_offset(),
                batch.last_offset(),
                batch.partition_leader_epoch(),
                batch.magic(),
                batch.attributes(),
                batch.producer_epoch(),
                batch.base_sequence(),
            ));
            match batch.records(Limits::default()) {
                Ok(records) => {
                    for record in records.iter().flatten() {
                        let text =
                            |bytes: Option<&[u8]>| bytes.map_or("null".to_owned(), |bytes| bytes.escape_ascii().to_string());
                        told.push_str(&format!(" {}={}", text(record.key), text(record.value)));
                    }
                }
                Err(error) => told.push_str(&format!(" {error}")),
            }
            told.push(']');
        }
        told
    }
}
