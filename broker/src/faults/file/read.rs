//! From the tree of a file to a plan. Whatever is not understood is a mistake: an unknown field would be a fault that never comes.

use std::time::Duration;

use klamm::protocol::{ApiKey, ErrorCode};

use crate::faults::file::Mistake;
use crate::faults::file::tree::{Field, Node, Value};
use crate::faults::{
    BrokerFault, Coordinated, Direction, Entry, Fault, FencedProducer, Kind, NetworkEffect, NetworkFault, Plan, When,
};

type Read<T> = Result<T, Mistake>;

/// Reads a plan. Of the cluster it may be known how many nodes it has.
pub(super) fn plan(tree: Node, nodes: Option<u16>) -> Read<Plan> {
    let mut table = Table::new(tree, String::new(), nodes)?;
    let seed = table.number("seed", 0..=u64::MAX)?.unwrap_or(0);
    let mut entries = Vec::new();
    if let Some(field) = table.take("fault") {
        let Value::List(list) = field.node.value else {
            let allowed = "must be a list of faults: [[fault]] in TOML, \"fault\": [{…}] in JSON";
            return Err(table.wrong("fault", field.node.at, format!("is {}; it {allowed}", field.node.value.describe())));
        };
        for (index, node) in list.into_iter().enumerate() {
            entries.push(entry(Table::new(node, format!("fault[{index}]"), nodes)?)?);
        }
    }
    table.finish("a plan")?;
    Ok(Plan { seed, entries })
}

fn entry(mut table: Table) -> Read<Entry> {
    let when = when(&mut table)?;
    let kinds = || Kind::ALL.iter().map(|kind| kind.name());
    let (at, name) = table.text("kind")?.ok_or_else(|| table.missing("kind", &format!("one of {}", list(kinds()))))?;
    let Some(kind) = Kind::ALL.iter().copied().find(|kind| kind.name() == name) else {
        return Err(table.wrong("kind", at, unknown("kind of fault", &name, kinds())));
    };
    let fault = fault(&mut table, kind)?;
    table.finish(&format!("a fault of kind \"{kind}\""))?;
    Ok(Entry { when, fault })
}

fn when(table: &mut Table) -> Read<When> {
    let after = table.time("after")?;
    let Some((at, name)) = table.text("before")? else {
        return Ok(When::After(after.unwrap_or_default()));
    };
    if after.is_some() {
        return Err(table.wrong("before", at, "a fault comes after a time or before a request, not both".to_owned()));
    }
    let api = api(table, "before", at, &name)?;
    let nth = table.number("nth", 1..=u32::MAX)?.unwrap_or(1);
    Ok(When::Before { api, nth })
}

fn fault(table: &mut Table, kind: Kind) -> Read<Fault> {
    let effect = match kind {
        Kind::Delay => {
            let delay = table.needed_time("delay")?;
            NetworkEffect::Delay { delay, jitter: table.time("jitter")?.unwrap_or_default() }
        }
        Kind::BlackHole => NetworkEffect::BlackHole,
        Kind::Slow => NetworkEffect::Slow { bytes_per_second: table.needed("bytes_per_second", 1..=u64::MAX)? },
        Kind::RefuseConnect => NetworkEffect::RefuseConnect,
        Kind::Cut => {
            let after = table.needed("after_bytes", 0..=u64::MAX)?;
            NetworkEffect::Cut { after, connections: table.number("connections", 1..=u32::MAX)?.unwrap_or(1) }
        }
        Kind::Corrupt => NetworkEffect::Corrupt {
            at: table.needed("at_byte", 0..=u64::MAX)?,
            mask: table.number("mask", 1..=u8::MAX)?.unwrap_or(u8::MAX),
            connections: table.number("connections", 1..=u32::MAX)?.unwrap_or(1),
        },
        _ => return broker_fault(table, kind).map(Fault::Broker),
    };
    let direction = if kind == Kind::RefuseConnect { None } else { direction(table)? };
    Ok(Fault::Network(NetworkFault { node: table.node("node")?, direction, lasts: table.time("lasts")?, effect }))
}

fn direction(table: &mut Table) -> Read<Option<Direction>> {
    match table.text("direction")? {
        None => Ok(None),
        Some((_, text)) if text == "to-broker" => Ok(Some(Direction::ToBroker)),
        Some((_, text)) if text == "from-broker" => Ok(Some(Direction::FromBroker)),
        Some((at, text)) => {
            let allowed = "\"to-broker\", \"from-broker\", or left out for both";
            Err(table.wrong("direction", at, format!("no direction \"{text}\"; allowed: {allowed}")))
        }
    }
}

fn broker_fault(table: &mut Table, kind: Kind) -> Read<BrokerFault> {
    Ok(match kind {
        Kind::Error => {
            let api = table.needed_api("api")?;
            let code = table.needed_code("code")?;
            let partitions = partitions(table, api)?;
            BrokerFault::Error { api, code, times: table.times()?, node: table.node("node")?, partitions }
        }
        Kind::Disconnect => BrokerFault::Disconnect {
            api: table.needed_api("api")?,
            times: table.times()?,
            node: table.node("node")?,
            handled: table.flag("handled")?.unwrap_or(true),
        },
        Kind::LateAnswer => BrokerFault::LateAnswer {
            api: table.needed_api("api")?,
            times: table.times()?,
            node: table.node("node")?,
            delay: table.needed_time("delay")?,
        },
        Kind::Throttle => BrokerFault::Throttle { throttle: table.needed_time("throttle")?, lasts: table.time("lasts")? },
        Kind::StaleMetadata => BrokerFault::StaleMetadata { node: table.node("node")?, lasts: table.time("lasts")? },
        Kind::DuplicateMetadata => BrokerFault::DuplicateMetadata { node: table.node("node")?, lasts: table.time("lasts")? },
        Kind::MoveLeader => {
            let (topic, partition) = table.partition()?;
            BrokerFault::MoveLeader { topic, partition, to: table.node("to")? }
        }
        Kind::LoseLeader => {
            let (topic, partition) = table.partition()?;
            BrokerFault::LoseLeader { topic, partition, lasts: table.time("lasts")? }
        }
        Kind::UncleanElection => {
            let (topic, partition) = table.partition()?;
            BrokerFault::UncleanElection { topic, partition, to: table.node("to")? }
        }
        Kind::Truncate => {
            let (topic, partition) = table.partition()?;
            BrokerFault::Truncate { topic, partition, records: table.needed("records", 1..=u64::MAX)? }
        }
        Kind::HoldReplication => BrokerFault::HoldReplication { node: table.needed_node("node")?, lasts: table.time("lasts")? },
        Kind::HoldMarkers => BrokerFault::HoldMarkers { lasts: table.time("lasts")? },
        Kind::MoveCoordinator => BrokerFault::MoveCoordinator { of: table.coordinated()?, to: table.node("to")? },
        Kind::UnloadCoordinator => BrokerFault::UnloadCoordinator { of: table.coordinated()?, lasts: table.time("lasts")? },
        Kind::LoadCoordinator => BrokerFault::LoadCoordinator { of: table.coordinated()?, lasts: table.time("lasts")? },
        Kind::FenceProducer => BrokerFault::FenceProducer { of: table.fenced()? },
        Kind::ExpireSessions => BrokerFault::ExpireSessions { group: table.needed_text("group")? },
        Kind::KillNode => BrokerFault::KillNode {
            node: table.needed_node("node")?,
            loses_unreplicated: table.flag("loses_unreplicated")?.unwrap_or(true),
            lasts: table.time("lasts")?,
        },
        Kind::RestartNode => BrokerFault::RestartNode {
            node: table.needed_node("node")?,
            at_new_address: table.flag("at_new_address")?.unwrap_or(false),
        },
        Kind::ClockJump => BrokerFault::ClockJump { by_millis: table.needed_jump("by")? },
        Kind::DeleteTopic => {
            BrokerFault::DeleteTopic { topic: table.needed_text("topic")?, recreate_after: table.time("recreate_after")? }
        }
        Kind::ExpireCredentials => BrokerFault::ExpireCredentials { node: table.node("node")? },
        // Those of the network were read before.
        Kind::Delay | Kind::BlackHole | Kind::Slow | Kind::RefuseConnect | Kind::Cut | Kind::Corrupt => {
            return Err(table.wrong("kind", table.at, format!("\"{kind}\" is no fault of brokers")));
        }
    })
}

fn partitions(table: &mut Table, api: ApiKey) -> Read<Vec<(String, i32)>> {
    let Some(field) = table.take("partitions") else { return Ok(Vec::new()) };
    let allowed = "must be a list of partitions, for example [\"orders:0\"]";
    let at = field.node.at;
    if !crate::faults::plan::PARTIAL.contains(&api) {
        let apis = list(crate::faults::plan::PARTIAL.iter().filter_map(|api| api.name()));
        return Err(table.wrong("partitions", at, format!("{api} can't fail for some partitions alone; {apis} can")));
    }
    let Value::List(nodes) = field.node.value else {
        return Err(table.wrong("partitions", at, format!("is {}; it {allowed}", field.node.value.describe())));
    };
    let mut partitions = Vec::new();
    for node in nodes {
        let parsed = match &node.value {
            Value::Text(text) => text.rsplit_once(':').and_then(|(topic, number)| Some((topic.to_owned(), number.parse().ok()?))),
            _ => None,
        };
        let is_one = |(topic, number): &(String, i32)| !topic.is_empty() && *number >= 0;
        let Some(partition) = parsed.filter(is_one) else { return Err(table.wrong("partitions", node.at, allowed.to_owned())) };
        partitions.push(partition);
    }
    Ok(partitions)
}

fn api(table: &Table, field: &str, at: usize, name: &str) -> Read<ApiKey> {
    let known = || ApiKey::known().filter_map(ApiKey::name);
    let found = ApiKey::known().find(|api| api.name() == Some(name));
    found.ok_or_else(|| {
        let hint =
            nearest(name, known()).unwrap_or_else(|| "names are Kafka's, for example \"Produce\", \"Metadata\"".to_owned());
        table.wrong(field, at, format!("no API \"{name}\"; {hint}"))
    })
}

/// What a name that is not there may have meant, and all that there are.
fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let hint = nearest(name, known.clone()).map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("no {what} \"{name}\"{hint}; allowed: {}", list(known))
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let folded = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let distance = |known: &&str| strsim::osa_distance(&folded(name), &folded(known));
    let best = known.min_by_key(distance)?;
    (distance(&best) <= 1 + best.len() / 4).then(|| format!("did you mean \"{best}\"?"))
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// A time with its unit, in nanoseconds.
fn time_of(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, fraction)| (whole, Some(fraction)));
    let nanos = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let Some(fraction) = fraction else { return Some(nanos) };
    let scale = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = u128::from(fraction.parse::<u64>().ok()?) * u128::from(unit) / u128::from(scale);
    nanos.checked_add(u64::try_from(part).ok()?)
}

const TIME_ALLOWED: &str = "must be a time with its unit, for example \"150ms\", \"2s\", \"1.5m\"; units are ns, us, ms, s, m, h";

/// A table whose fields are taken out one by one.
struct Table {
    at: usize,
    path: String,
    fields: Vec<Field>,
    /// Names that were asked for.
    asked: Vec<&'static str>,
    nodes: Option<u16>,
}

impl Table {
    fn new(node: Node, path: String, nodes: Option<u16>) -> Read<Self> {
        match node.value {
            Value::Table(fields) => Ok(Self { at: node.at, path, fields, asked: Vec::new(), nodes }),
            other => Err(Mistake { at: node.at, field: path, message: format!("is {}; it must be a table", other.describe()) }),
        }
    }

    fn wrong(&self, field: &str, at: usize, message: String) -> Mistake {
        let path = if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) };
        Mistake { at, field: path, message }
    }

    fn missing(&self, field: &str, what: &str) -> Mistake {
        self.wrong(field, self.at, format!("is missing; it must be {what}"))
    }

    fn take(&mut self, name: &'static str) -> Option<Field> {
        if !self.asked.contains(&name) {
            self.asked.push(name);
        }
        let index = self.fields.iter().position(|field| field.name == name)?;
        Some(self.fields.remove(index))
    }

    /// Fails if a field is left that nobody asked for.
    fn finish(self, what: &str) -> Read<()> {
        let Some(left) = self.fields.first() else { return Ok(()) };
        let hint = nearest(&left.name, self.asked.iter().copied()).map(|hint| format!("; {hint}")).unwrap_or_default();
        let message = format!("{what} has no such field{hint}; allowed: {}", list(self.asked.iter().copied()));
        Err(self.wrong(&left.name, left.at, message))
    }

    fn text(&mut self, name: &'static str) -> Read<Option<(usize, String)>> {
        match self.take(name).map(|field| field.node) {
            None => Ok(None),
            Some(Node { at, value: Value::Text(text) }) => Ok(Some((at, text))),
            Some(Node { at, value }) => {
                Err(self.wrong(name, at, format!("is {}; it must be a text in quotes", value.describe())))
            }
        }
    }

    fn needed_text(&mut self, name: &'static str) -> Read<String> {
        match self.text(name)? {
            Some((at, text)) if text.is_empty() => Err(self.wrong(name, at, "must not be empty".to_owned())),
            Some((_, text)) => Ok(text),
            None => Err(self.missing(name, "a text in quotes")),
        }
    }

    fn flag(&mut self, name: &'static str) -> Read<Option<bool>> {
        match self.take(name).map(|field| field.node) {
            None => Ok(None),
            Some(Node { value: Value::Bool(flag), .. }) => Ok(Some(flag)),
            Some(Node { at, value }) => Err(self.wrong(name, at, format!("is {}; it must be true or false", value.describe()))),
        }
    }

    fn number<T>(&mut self, name: &'static str, allowed: std::ops::RangeInclusive<T>) -> Read<Option<T>>
    where
        T: Copy + PartialOrd + std::fmt::Display + TryFrom<i128>,
    {
        let Some(Node { at, value }) = self.take(name).map(|field| field.node) else { return Ok(None) };
        let range = format!("it must be a number from {} to {}", allowed.start(), allowed.end());
        let Value::Integer(number) = value else {
            return Err(self.wrong(name, at, format!("is {}; {range}", value.describe())));
        };
        let fitting = T::try_from(number).ok().filter(|number| allowed.contains(number));
        fitting.map(Some).ok_or_else(|| self.wrong(name, at, format!("is {number}; {range}")))
    }

    fn needed<T>(&mut self, name: &'static str, allowed: std::ops::RangeInclusive<T>) -> Read<T>
    where
        T: Copy + PartialOrd + std::fmt::Display + TryFrom<i128>,
    {
        let number = self.number(name, allowed)?;
        number.ok_or_else(|| self.missing(name, "a number"))
    }

    fn times(&mut self) -> Read<u32> {
        Ok(self.number("times", 1..=u32::MAX)?.unwrap_or(1))
    }

    fn node(&mut self, name: &'static str) -> Read<Option<i32>> {
        let at = self.fields.iter().find(|field| field.name == name).map_or(self.at, |field| field.node.at);
        let node = self.number(name, 1..=i32::MAX)?;
        match (node, self.nodes) {
            (Some(node), Some(nodes)) if node > i32::from(nodes) => {
                let there = if nodes == 1 { "there is only node 1".to_owned() } else { format!("there are nodes 1 to {nodes}") };
                Err(self.wrong(name, at, format!("no node {node}; {there}")))
            }
            _ => Ok(node),
        }
    }

    fn needed_node(&mut self, name: &'static str) -> Read<i32> {
        let node = self.node(name)?;
        node.ok_or_else(|| self.missing(name, "the number of a node, counted from 1"))
    }

    fn time(&mut self, name: &'static str) -> Read<Option<Duration>> {
        match self.take(name).map(|field| field.node) {
            None => Ok(None),
            Some(Node { at, value: Value::Text(text) }) => match time_of(&text) {
                Some(nanos) => Ok(Some(Duration::from_nanos(nanos))),
                None => Err(self.wrong(name, at, format!("is \"{text}\"; it {TIME_ALLOWED}"))),
            },
            Some(Node { at, value }) => Err(self.wrong(name, at, format!("is {}; it {TIME_ALLOWED}", value.describe()))),
        }
    }

    fn needed_time(&mut self, name: &'static str) -> Read<Duration> {
        let time = self.time(name)?;
        time.ok_or_else(|| self.missing(name, "a time with its unit, for example \"150ms\""))
    }

    /// A time that may be negative, in milliseconds.
    fn needed_jump(&mut self, name: &'static str) -> Read<i64> {
        let Some((at, text)) = self.text(name)? else {
            return Err(self.missing(name, "a time with its unit, for example \"1h\" or \"-30s\""));
        };
        let (sign, rest) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
        let millis = time_of(rest).and_then(|nanos| i64::try_from(nanos / 1_000_000).ok());
        millis
            .map(|millis| sign * millis)
            .ok_or_else(|| self.wrong(name, at, format!("is \"{text}\"; it {TIME_ALLOWED}; a minus sets the clock back")))
    }

    fn needed_api(&mut self, name: &'static str) -> Read<ApiKey> {
        match self.text(name)? {
            Some((at, text)) => api(self, name, at, &text),
            None => Err(self.missing(name, "the name of an API, for example \"Produce\"")),
        }
    }

    fn needed_code(&mut self, name: &'static str) -> Read<ErrorCode> {
        let Some((at, text)) = self.text(name)? else {
            return Err(self.missing(name, "the name of an error code, for example \"NOT_LEADER_OR_FOLLOWER\""));
        };
        let known = || (-1..=i16::from(u8::MAX)).map(ErrorCode).filter_map(|code| Some((code, code.name()?)));
        if let Some((code, _)) = known().find(|(_, known)| *known == text) {
            return Ok(code);
        }
        let hint = nearest(&text, known().map(|(_, name)| name));
        let hint = hint.unwrap_or_else(|| "names are Kafka's, for example \"NOT_LEADER_OR_FOLLOWER\"".to_owned());
        Err(self.wrong(name, at, format!("no error code \"{text}\"; {hint}")))
    }

    fn partition(&mut self) -> Read<(String, i32)> {
        let topic = self.needed_text("topic")?;
        Ok((topic, self.number("partition", 0..=i32::MAX)?.unwrap_or(0)))
    }

    /// One of two fields.
    fn either(&mut self, one: &'static str, other: &'static str) -> Read<(bool, String)> {
        let at_other = self.fields.iter().find(|field| field.name == other).map(|field| field.at);
        match (self.fields.iter().any(|field| field.name == one), at_other) {
            (true, Some(at)) => Err(self.wrong(other, at, format!("\"{one}\" and \"{other}\" are not for the same fault"))),
            (true, None) => Ok((true, one.to_owned())),
            (false, Some(_)) => Ok((false, other.to_owned())),
            (false, None) => Err(self.missing(one, &format!("given, or \"{other}\""))),
        }
    }

    fn coordinated(&mut self) -> Read<Coordinated> {
        let (is_group, _) = self.either("group", "transactional_id")?;
        match is_group {
            true => self.needed_text("group").map(Coordinated::Group),
            false => self.needed_text("transactional_id").map(Coordinated::TransactionalId),
        }
    }

    fn fenced(&mut self) -> Read<FencedProducer> {
        let (is_id, _) = self.either("producer_id", "transactional_id")?;
        match is_id {
            true => self.needed("producer_id", 0..=i64::MAX).map(FencedProducer::Id),
            false => self.needed_text("transactional_id").map(FencedProducer::TransactionalId),
        }
    }
}
