//! A plan as TOML. What has its default is left out.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::faults::{BrokerFault, Coordinated, Direction, Fault, FencedProducer, NetworkEffect, Plan, When};

pub(super) fn toml(plan: &Plan) -> String {
    let mut out = Out(String::new());
    if plan.seed != 0 {
        out.plain("seed", plan.seed);
    }
    for entry in &plan.entries {
        if !out.0.is_empty() {
            out.0.push('\n');
        }
        out.0.push_str("[[fault]]\n");
        match &entry.when {
            When::After(time) => out.time("after", Some(*time)),
            When::Before { api, nth } => {
                out.text("before", &api.to_string());
                out.plain("nth", nth);
            }
        }
        out.text("kind", entry.fault.kind().name());
        match &entry.fault {
            Fault::Network(fault) => {
                out.effect(&fault.effect);
                out.node("node", fault.node);
                if let Some(direction) = fault.direction.filter(|_| fault.effect != NetworkEffect::RefuseConnect) {
                    let name = if direction == Direction::ToBroker { "to-broker" } else { "from-broker" };
                    out.text("direction", name);
                }
                out.time("lasts", fault.lasts);
            }
            Fault::Broker(fault) => out.broker(fault),
        }
    }
    out.0
}

struct Out(String);

impl Out {
    fn plain(&mut self, name: &str, value: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{name} = {value}");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.plain(name, quoted(text));
    }

    fn node(&mut self, name: &str, node: Option<i32>) {
        if let Some(node) = node {
            self.plain(name, node);
        }
    }

    fn time(&mut self, name: &str, time: Option<Duration>) {
        if let Some(time) = time {
            self.text(name, &with_unit(time.as_nanos()));
        }
    }

    fn partition(&mut self, topic: &str, partition: i32) {
        self.text("topic", topic);
        self.plain("partition", partition);
    }

    fn coordinated(&mut self, of: &Coordinated) {
        match of {
            Coordinated::Group(group) => self.text("group", group),
            Coordinated::TransactionalId(id) => self.text("transactional_id", id),
        }
    }

    fn effect(&mut self, effect: &NetworkEffect) {
        match effect {
            NetworkEffect::Delay { delay, jitter } => {
                self.time("delay", Some(*delay));
                self.time("jitter", Some(*jitter).filter(|jitter| !jitter.is_zero()));
            }
            NetworkEffect::BlackHole | NetworkEffect::RefuseConnect => {}
            NetworkEffect::Slow { bytes_per_second } => self.plain("bytes_per_second", bytes_per_second),
            NetworkEffect::Cut { after, connections } => {
                self.plain("after_bytes", after);
                self.plain("connections", connections);
            }
            NetworkEffect::Corrupt { at, mask, connections } => {
                self.plain("at_byte", at);
                self.plain("mask", mask);
                self.plain("connections", connections);
            }
        }
    }

    fn broker(&mut self, fault: &BrokerFault) {
        match fault {
            BrokerFault::Error { api, code, times, node, partitions } => {
                self.text("api", &api.to_string());
                self.text("code", code.name().unwrap_or("UNKNOWN_SERVER_ERROR"));
                self.plain("times", times);
                self.node("node", *node);
                if !partitions.is_empty() {
                    let quoted = partitions.iter().map(|(topic, partition)| quoted(&format!("{topic}:{partition}")));
                    self.plain("partitions", format_args!("[{}]", quoted.collect::<Vec<_>>().join(", ")));
                }
            }
            BrokerFault::Disconnect { api, times, node, handled } => {
                self.text("api", &api.to_string());
                self.plain("times", times);
                self.node("node", *node);
                self.plain("handled", handled);
            }
            BrokerFault::LateAnswer { api, times, node, delay } => {
                self.text("api", &api.to_string());
                self.plain("times", times);
                self.node("node", *node);
                self.time("delay", Some(*delay));
            }
            BrokerFault::Throttle { throttle, lasts } => {
                self.time("throttle", Some(*throttle));
                self.time("lasts", *lasts);
            }
            BrokerFault::StaleMetadata { node, lasts } | BrokerFault::DuplicateMetadata { node, lasts } => {
                self.node("node", *node);
                self.time("lasts", *lasts);
            }
            BrokerFault::MoveLeader { topic, partition, to } | BrokerFault::UncleanElection { topic, partition, to } => {
                self.partition(topic, *partition);
                self.node("to", *to);
            }
            BrokerFault::LoseLeader { topic, partition, lasts } => {
                self.partition(topic, *partition);
                self.time("lasts", *lasts);
            }
            BrokerFault::HoldReplication { node, lasts } => {
                self.plain("node", node);
                self.time("lasts", *lasts);
            }
            BrokerFault::HoldMarkers { lasts } => self.time("lasts", *lasts),
            BrokerFault::Truncate { topic, partition, records } => {
                self.partition(topic, *partition);
                self.plain("records", records);
            }
            BrokerFault::MoveCoordinator { of, to } => {
                self.coordinated(of);
                self.node("to", *to);
            }
            BrokerFault::UnloadCoordinator { of, lasts } | BrokerFault::LoadCoordinator { of, lasts } => {
                self.coordinated(of);
                self.time("lasts", *lasts);
            }
            BrokerFault::FenceProducer { of: FencedProducer::Id(id) } => self.plain("producer_id", id),
            BrokerFault::FenceProducer { of: FencedProducer::TransactionalId(id) } => self.text("transactional_id", id),
            BrokerFault::ExpireSessions { group } => self.text("group", group),
            BrokerFault::KillNode { node, loses_unreplicated, lasts } => {
                self.plain("node", node);
                self.plain("loses_unreplicated", loses_unreplicated);
                self.time("lasts", *lasts);
            }
            BrokerFault::RestartNode { node, at_new_address } => {
                self.plain("node", node);
                self.plain("at_new_address", at_new_address);
            }
            BrokerFault::ClockJump { by_millis } => {
                let sign = if *by_millis < 0 { "-" } else { "" };
                self.text("by", &format!("{sign}{}ms", by_millis.unsigned_abs()));
            }
            BrokerFault::DeleteTopic { topic, recreate_after } => {
                self.text("topic", topic);
                self.time("recreate_after", *recreate_after);
            }
            BrokerFault::ExpireCredentials { node } => self.node("node", *node),
        }
    }
}

/// In the largest unit that needs no fraction.
fn with_unit(nanos: u128) -> String {
    for (unit, size) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] {
        if nanos.is_multiple_of(size) {
            return format!("{}{unit}", nanos / size);
        }
    }
    format!("{nanos}ns")
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            control if control.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
