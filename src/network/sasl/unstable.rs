//! SASL's cores for fuzz targets: the nonce is the caller's, and so is what comes of deriving the password.

use std::fmt;
use std::sync::Arc;

use crate::config::{Sasl, SaslMechanism};
use crate::network::SetupSteps;
use crate::network::sasl::exchange::{Exchange, Mechanism, Turn};
use crate::network::sasl::plain::Plain;
use crate::network::sasl::salted::SaltedPasswords;
use crate::network::sasl::scram::{self, Hash};
use crate::network::setup::SetupStep;

/// The steps that log in, with this nonce each time.
pub(in crate::network) fn steps(sasl: Sasl, nonce: &'static str) -> SetupSteps {
    Arc::new(move || Ok(vec![Box::new(Exchange::new(&sasl, mechanism(&sasl, nonce))) as Box<dyn SetupStep>]))
}

fn mechanism(sasl: &Sasl, nonce: &str) -> Box<dyn Mechanism> {
    let hash = match sasl.mechanism {
        SaslMechanism::Plain => return Box::new(Plain::new(sasl)),
        SaslMechanism::ScramSha256 => Hash::Sha256,
        SaslMechanism::ScramSha512 => Hash::Sha512,
    };
    let salted = Arc::new(SaltedPasswords::new(hash, sasl.password.clone()));
    Box::new(scram::Scram::new(sasl, nonce.to_owned(), salted))
}

/// One exchange of a mechanism.
pub struct Login {
    mechanism: Box<dyn Mechanism>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// What a mechanism wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Say this.
    Say(Vec<u8>),
    /// Derive the password: [`Login::derived`].
    Derive,
    /// Both sides are satisfied.
    Done,
    /// The broker is not to be trusted.
    Refuse(String),
    /// The broker refused.
    Refused(String),
}

impl Login {
    /// As `sasl`, with this nonce.
    pub fn new(sasl: &Sasl, nonce: &str) -> Self {
        Self { mechanism: mechanism(sasl, nonce) }
    }

    /// Begins.
    pub fn start(&mut self) -> Wish {
        wish(self.mechanism.start())
    }

    /// What the broker said.
    pub fn challenge(&mut self, challenge: &[u8]) -> Wish {
        wish(self.mechanism.handle_challenge(challenge))
    }

    /// What came of deriving the password.
    pub fn derived(&mut self, salted: Vec<u8>) -> Wish {
        wish(self.mechanism.handle_work(salted.into()))
    }
}

fn wish(turn: Turn) -> Wish {
    match turn {
        Turn::Say(message) => Wish::Say(message.to_vec()),
        Turn::Work(_) => Wish::Derive,
        Turn::Done => Wish::Done,
        Turn::Refuse(why) => Wish::Refuse(why),
        Turn::Refused(said) => Wish::Refused(said),
    }
}
