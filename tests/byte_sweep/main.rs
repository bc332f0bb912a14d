//! Connections that break after each byte: nothing acknowledged is lost or doubled, nothing is skipped, and the client recovers by
//! itself, in bounded time and with few connections (reliability.md, fault 1; rows 1, 24 to 27).
//!
//! A session does everything that a client does in its life. It runs once undisturbed, which tells how many bytes pass on each of its
//! connections, and then again for each connection, direction and byte, where the connection breaks. The usual run resets connections
//! after every byte without SASL, and after every byte of the log-in with SASL PLAIN; of the rest it takes a part of the bytes, among
//! them those at the edges of frames. `KLAMM_BYTE_SWEEP=full` takes all, `set-up` all of each connection's set-up.
//!
//! So it is for each way of talking (`world::Security`): without and with SASL in memory on the paused clock, where the usual run
//! seldom looks behind the log-in; and, a sample of the bytes, over TLS and TCP. `rounds` does the same with the
//! producers that deliver in rounds.

#[cfg(feature = "tls")]
mod encrypted;
mod rounds;
mod session;
mod stalls;
mod sweep;
#[path = "../world/mod.rs"]
mod world;

/// How many of the bytes a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Usual,
    /// All of each connection's set-up, of the rest as usual.
    SetUp,
    Full,
}

fn extent() -> Extent {
    match std::env::var("KLAMM_BYTE_SWEEP").as_deref() {
        Ok("full") => Extent::Full,
        Ok("set-up") => Extent::SetUp,
        Ok(other) => panic!("KLAMM_BYTE_SWEEP is {other:?}; it can be \"full\" or \"set-up\", or not set"),
        Err(_) => Extent::Usual,
    }
}

/// Every how manieth byte, unless all are wanted.
fn stride(usual: u64) -> u64 {
    if extent() == Extent::Full { 1 } else { usual }
}
