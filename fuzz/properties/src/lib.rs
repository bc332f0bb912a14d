//! What must hold for any bytes, in one place: the fuzz targets (`../fuzz_targets`) drive it with libFuzzer, `tests/replay.rs` with the
//! committed seeds and with everything that was ever found.
//!
//! A target is a function of bytes that panics when something does not hold. Its first bytes choose what is tried (message, version,
//! codec, …), by numbers that stay the same when messages are added. Around each run, [`check`] holds it to two bounds of its own: what
//! it may ask for in memory, counted by the allocator, and processor time, both linear in the length of the input.
#![forbid(unsafe_code)]

mod broker;
mod connection;
mod declared;
mod framing;
mod groups;
mod input;
mod login;
mod messages;
mod records;
pub mod seeds;
mod settings;

use std::time::Duration;

use cpu_time::ThreadTime;

/// Something that must hold for any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, that of the fuzz target, and of its file of seeds.
    pub name: &'static str,
    /// What is tried, in a few words.
    pub about: &'static str,
    /// Panics where it does not hold.
    holds: fn(&[u8]),
    /// Bytes that it may have allocated at one time: beside this many, so many times the input's length.
    memory: (usize, usize),
    /// Processor time that it may take beside what its length gives it, in milliseconds.
    time: u64,
}

const MIB: usize = 1 << 20;

/// All of them.
pub const TARGETS: &[Target] = &[
    target("frames", "a stream of bytes cut into frames, in pieces of any size", framing::frames, (8 * MIB, 8)),
    target("headers", "headers of requests and responses", framing::headers, (3 * MIB, 32)),
    target("primitives", "values of every type on the wire, varints", framing::primitives, (3 * MIB, 64)),
    target("requests", "whole request frames: header, then body by API and version", messages::requests, (3 * MIB, 32)),
    target("responses", "bodies of responses by API and version", messages::responses, (3 * MIB, 32)),
    target("data", "messages inside others and in records, by name and version", messages::data, (3 * MIB, 32)),
    target("messages", "valid messages of every kind, made from their declarations", messages::valid, (4 * MIB, 4096)),
    target("batches", "record sets with right and wrong checksums", records::batches, (16 * MIB, 64)),
    target("compression", "compressed data of each codec against a limit", records::compression, (16 * MIB, 64)),
    target("building", "batches made of any records, with each codec", records::building, (4 * MIB, 64)),
    target("connection", "the connection's core against a broker that says anything", connection::script, (64 * MIB, 64)),
    target("scram", "a SCRAM server's messages", login::scram, (MIB, 64)),
    target(
        "subscriptions",
        "what members of a group say, read by its leader and by members",
        groups::subscriptions,
        (16 * MIB, 256),
    ),
    target("assignors", "assignments for members that claim anything", groups::assignors, (16 * MIB, 256)).within(4000),
    target("properties", "settings as a properties file", settings::properties, (MIB, 64)),
    target("jaas", "Java's login configuration in one line", settings::jaas, (MIB, 64)),
    target("broker", "the embedded broker's core against clients that say anything", broker::script, (64 * MIB, 4096))
        .within(1000),
];

const fn target(name: &'static str, about: &'static str, holds: fn(&[u8]), memory: (usize, usize)) -> Target {
    Target { name, about, holds, memory, time: 200 }
}

impl Target {
    /// With this many milliseconds in place of the usual ones.
    const fn within(self, time: u64) -> Self {
        Self { time, ..self }
    }

    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Tries `input`.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn check(&self, input: &[u8]) {
        let start = ThreadTime::now();
        let used = allocation_counter::measure(|| (self.holds)(input));
        let took = start.elapsed();
        let (base, factor) = self.memory;
        let most = base + factor * input.len();
        assert!(used.bytes_max <= most as u64, "{} bytes of memory for {} of input, at most {most}", used.bytes_max, input.len());
        // Without the optimizer, as in ordinary tests, everything takes longer; with a sanitizer, too.
        let slow = if cfg!(fuzzing) { 1 } else { 20 };
        let most = slow
            * (Duration::from_millis(self.time) + Duration::from_micros(20) * u32::try_from(input.len()).unwrap_or(u32::MAX));
        assert!(took <= most, "{took:?} of processor time for {} bytes of input, at most {most:?}", input.len());
    }
}

/// Tries `input` on the target of this name.
///
/// # Panics
/// When something does not hold, or there is no such target.
pub fn check(name: &str, input: &[u8]) {
    let target = Target::named(name);
    target.expect("a target of this name").check(input);
}
