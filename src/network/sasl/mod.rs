//! SASL: who the client is, proven to the broker in a set-up step of each connection, and again before what was proven counts no more.
//!
//! ```text
//! ApiVersions ─▶ SaslHandshake v1 ─▶ SaslAuthenticate ─▶ … ─▶ ready            exchange●  the step: requests, codes, session
//!                (the mechanism)     (plain●: one message; scram●: two)        plain● scram●  what the mechanism says
//! ```
//!
//! The mechanism is the one that was configured, never one out of the broker's list: somebody in between could leave only those in it
//! that give the password away. Here is what the cores must not have: chance for nonces, and the passwords that were derived already,
//! shared by all connections of a client (`salted`).

mod exchange;
mod plain;
mod salted;
mod scram;
#[cfg(feature = "unstable-cores")]
pub(crate) mod unstable;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::{Sasl, SaslMechanism};
use crate::error::Result;
use crate::network::sasl::exchange::{Exchange, Mechanism};
use crate::network::sasl::plain::Plain;
use crate::network::sasl::salted::SaltedPasswords;
use crate::network::sasl::scram::{Hash, Scram};
use crate::network::setup::SetupStep;
use crate::network::{Cause, CauseKind, SetupSteps};

/// Random bytes of a nonce; 18 would do by RFC 5802's own example.
const NONCE_BYTES: usize = 24;

/// The steps that log in on each connection.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) for what cannot be.
pub(crate) fn steps(sasl: &Sasl) -> Result<SetupSteps> {
    sasl.check()?;
    let sasl = sasl.clone();
    let hash = match sasl.mechanism {
        SaslMechanism::Plain => None,
        SaslMechanism::ScramSha256 => Some(Hash::Sha256),
        SaslMechanism::ScramSha512 => Some(Hash::Sha512),
    };
    let salted = hash.map(|hash| Arc::new(SaltedPasswords::new(hash, sasl.password.clone())));
    Ok(Arc::new(move || {
        let mechanism: Box<dyn Mechanism> = match &salted {
            None => Box::new(Plain::new(&sasl)),
            Some(salted) => Box::new(Scram::new(&sasl, nonce()?, salted.clone())),
        };
        Ok(vec![Box::new(Exchange::new(&sasl, mechanism)) as Box<dyn SetupStep>])
    }))
}

/// Text that nobody can foresee, out of the operating system's chance.
fn nonce() -> Result<String, Cause> {
    let mut bytes = [0; NONCE_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        let text = format!("SASL: the operating system gives no random bytes for a nonce: {error}");
        Cause::new(CauseKind::Setup, text)
    })?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_never_the_same_and_hold_24_bytes() {
        let (first, second) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(first, second);
        assert_eq!(STANDARD.decode(&first).unwrap().len(), 24);
        assert!(!first.contains(','));
    }
}
