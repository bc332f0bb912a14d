//! What must hold for any bytes, in one place: the fuzz targets (`../fuzz_targets`) drive it with libFuzzer, `tests/replay.rs` with the
//! committed seeds and with everything that was ever found.
//!
//! A target is a function of bytes that panics when something does not hold. Its first bytes choose what is tried (message, version,
//! codec, …), by numbers that stay the same when messages are added. Around each run, [`Target::check`] holds it to two bounds of its own: what
//! it may ask for in memory, counted by the allocator, and processor time, both linear in the length of the input.
#![forbid(unsafe_code)]

mod broker;
mod connection;
mod declared;
mod faults;
mod framing;
mod groups;
mod input;
mod json;
mod login;
mod messages;
mod records;
pub mod seeds;
mod settings;

use std::time::Duration;

use cpu_time::ThreadTime;
pub use declared::number_of;
use klamm::protocol::Declaration;

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

/// A constant for each, so that a fuzz target is linked with nothing of the others; and all of them.
macro_rules! targets {
    ($($constant:ident $name:literal $about:literal: $holds:path, ($base:expr, $factor:expr), $time:literal ms;)*) => {
        $(
            #[doc = $about]
            pub const $constant: Target =
                Target { name: $name, about: $about, holds: $holds, memory: ($base, $factor), time: $time };
        )*

        /// All of them.
        pub const TARGETS: &[Target] = &[$($constant),*];
    };
}

// Memory: bytes, and times the input's length. Time beside that of the length.
targets! {
    FRAMES "frames" "a stream of bytes cut into frames, in pieces of any size": framing::frames, (8 * MIB, 8), 200 ms;
    HEADERS "headers" "headers of requests and responses": framing::headers, (3 * MIB, 32), 200 ms;
    PRIMITIVES "primitives" "values of every type on the wire, varints": framing::primitives, (3 * MIB, 64), 200 ms;
    REQUESTS "requests" "whole request frames: header, then body by API and version": messages::requests, (3 * MIB, 32), 200 ms;
    RESPONSES "responses" "bodies of responses by API and version": messages::responses, (3 * MIB, 32), 200 ms;
    DATA "data" "messages inside others and in records, by name and version": messages::data, (3 * MIB, 32), 200 ms;
    MESSAGES "messages" "valid messages of every kind, made from their declarations": messages::valid, (4 * MIB, 4096), 200 ms;
    JSON "json" "messages as JSON, both ways": json::json, (8 * MIB, 8192), 200 ms;
    BATCHES "batches" "record sets with right and wrong checksums": records::batches, (16 * MIB, 64), 200 ms;
    COMPRESSION "compression" "compressed data of each codec against a limit": records::compression, (16 * MIB, 64), 200 ms;
    BUILDING "building" "batches made of any records, with each codec": records::building, (4 * MIB, 64), 200 ms;
    CONNECTION "connection" "the connection's core against a broker that says anything": connection::script, (64 * MIB, 64), 200 ms;
    SCRAM "scram" "a SCRAM server's messages": login::scram, (MIB, 64), 200 ms;
    SUBSCRIPTIONS "subscriptions" "what members of a group say, read by its leader and by members": groups::subscriptions, (16 * MIB, 256), 200 ms;
    ASSIGNORS "assignors" "assignments for members that claim anything": groups::assignors, (16 * MIB, 256), 4000 ms;
    PROPERTIES "properties" "settings as a properties file": settings::properties, (MIB, 64), 200 ms;
    JAAS "jaas" "Java's login configuration in one line": settings::jaas, (MIB, 64), 200 ms;
    BROKER "broker" "the embedded broker's core against clients that say anything": broker::script, (64 * MIB, 4096), 1000 ms;
    FAULTS "faults" "files with faults, and a broker that carries them out": faults::files, (16 * MIB, 4096), 1000 ms;
}

impl Target {
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

/// A valid body, of these choices: for seeds.
pub fn declared_body(declaration: &Declaration, version: i16, choices: &[u8]) -> Vec<u8> {
    declared::Message::new(&mut input::Input(choices), declaration, version).body(declaration)
}
