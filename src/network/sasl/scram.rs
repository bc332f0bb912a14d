//! SCRAM (RFC 5802, RFC 7677) with SHA-256 and SHA-512: the broker learns that the client knows the password without seeing it, and
//! proves that it knows it, too.
//!
//! ```text
//! client                                                                          broker
//!   n,,n=USER,r=NONCE  ──────────────────────────────────────────────────────────▶
//!                      ◀──────────────────────────  r=NONCE…MORE,s=SALT,i=ITERATIONS
//!   c=biws,r=NONCE…MORE,p=PROOF  ────────────────────────────────────────────────▶
//!                      ◀───────────────────────────────────────────────  v=SIGNATURE
//! ```
//!
//! What comes from the broker is not trusted before its signature: its nonce must continue ours, and salt and iterations have limits,
//! for some iterations give the password away and too many hold the client up for hours. Without a signature that fits nobody is
//! logged in, whatever the broker says. Passwords are taken as they are, without SASLprep, as Kafka does.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::config::Sasl;
use crate::network::sasl::exchange::{Mechanism, Turn};
use crate::network::sasl::salted::SaltedPasswords;
use crate::network::setup::{Work, WorkResult};

/// Bytes of a salt.
const SALT: std::ops::RangeInclusive<usize> = 8..=1024;
/// Kafka itself stores 4,096 to 16,384.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;
/// What comes before the first message: no channel binding, no authorization id.
const GS2_HEADER: &str = "n,,";

/// The hash that a mechanism is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    /// PBKDF2; takes long.
    pub(crate) fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> WorkResult {
        let mut salted = Zeroizing::new(vec![0; self.len()]);
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut salted),
        }
        salted
    }

    fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, text),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, text),
        }
    }

    fn digest(self, text: &[u8]) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Sha256 => wiped(&mut Sha256::digest(text)),
            Self::Sha512 => wiped(&mut Sha512::digest(text)),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    wiped(&mut mac.finalize().into_bytes())
}

/// Moves bytes to where they are wiped in the end.
fn wiped(bytes: &mut [u8]) -> Zeroizing<Vec<u8>> {
    let kept = Zeroizing::new(bytes.to_vec());
    bytes.zeroize();
    kept
}

/// What the client proves itself with, and what the broker has to.
struct Proof {
    client: Zeroizing<Vec<u8>>,
    server_signature: Zeroizing<Vec<u8>>,
}

/// Both proofs over all that was said.
fn prove(hash: Hash, salted_password: &[u8], auth_message: &[u8]) -> Proof {
    let client_key = hash.hmac(salted_password, b"Client Key");
    let client_signature = hash.hmac(&hash.digest(&client_key), auth_message);
    let client = client_key.iter().zip(client_signature.iter()).map(|(key, signature)| key ^ signature).collect();
    let server_key = hash.hmac(salted_password, b"Server Key");
    Proof { client: Zeroizing::new(client), server_signature: hash.hmac(&server_key, auth_message) }
}

/// One exchange.
pub(crate) struct Scram {
    salted: Arc<SaltedPasswords>,
    nonce: String,
    /// The first message without its header.
    first: String,
    /// Once it was said.
    proof: Zeroizing<String>,
    stage: Stage,
}

enum Stage {
    /// The broker's nonce, salt and iterations are due.
    First,
    /// The password is being derived; these are `AuthMessage` and the last message without its proof.
    Deriving { auth_message: String, without_proof: String },
    /// The broker's signature is due.
    Final { signature: Zeroizing<Vec<u8>> },
    /// It was right, or it failed.
    Over,
}

impl Scram {
    /// With this nonce, which nobody can foresee and which is used once; printable and without a comma.
    pub(crate) fn new(sasl: &Sasl, nonce: String, salted: Arc<SaltedPasswords>) -> Self {
        let username = sasl.username.replace('=', "=3D").replace(',', "=2C");
        // KIP-48: user name and password are a delegation token's.
        let extension = if sasl.is_token { ",tokenauth=true" } else { "" };
        let first = format!("n={username},r={nonce}{extension}");
        Self { salted, nonce, first, proof: Zeroizing::default(), stage: Stage::First }
    }

    fn handle_first(&mut self, message: &str) -> Result<Turn, String> {
        let Challenge { nonce, salt, iterations } = Challenge::parse(message, &self.nonce)?;
        // `biws` is the header; the nonce is the broker's whole one, ours already in it.
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(GS2_HEADER));
        let auth_message = format!("{},{message},{without_proof}", self.first);
        self.stage = Stage::Deriving { auth_message, without_proof };
        let salted = self.salted.clone();
        Ok(Turn::Work(Work::new(move || salted.get(&salt, iterations))))
    }

    fn handle_final(&self, message: &str, signature: &[u8]) -> Result<Turn, String> {
        let mut parts = message.split(',');
        let given =
            parts.next().and_then(|part| part.strip_prefix("v=")).ok_or("the broker's last message has no signature in it")?;
        let given = STANDARD.decode(given).map_err(|_| "the broker's signature is not base64")?;
        match bool::from(signature.ct_eq(&given)) {
            true => Ok(Turn::Done),
            false => Err("the broker's signature is wrong: it does not know the password, so it is not who it says it is".into()),
        }
    }
}

impl Mechanism for Scram {
    fn start(&mut self) -> Turn {
        Turn::Say(Zeroizing::new(format!("{GS2_HEADER}{}", self.first).into_bytes()))
    }

    fn handle_challenge(&mut self, challenge: &[u8]) -> Turn {
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        let Ok(message) = std::str::from_utf8(challenge) else {
            return Turn::Refuse("what the broker said is not text".into());
        };
        // Either of the broker's messages may be an error in place of what is due.
        if let Some(error) = message.strip_prefix("e=") {
            return Turn::Refused(error.split(',').next().unwrap_or_default().to_owned());
        }
        let turn = match stage {
            Stage::First => self.handle_first(message),
            Stage::Final { signature } => self.handle_final(message, &signature),
            Stage::Deriving { .. } | Stage::Over => Err("the broker speaks out of turn".into()),
        };
        turn.unwrap_or_else(Turn::Refuse)
    }

    fn handle_work(&mut self, result: WorkResult) -> Turn {
        let Stage::Deriving { auth_message, without_proof } = std::mem::replace(&mut self.stage, Stage::Over) else {
            return Turn::Refuse("work was done that nobody had asked for".into());
        };
        let Proof { client, server_signature } = prove(self.salted.hash(), &result, auth_message.as_bytes());
        let proof = Zeroizing::new(STANDARD.encode(&*client));
        let mut message = Zeroizing::new(Vec::with_capacity(without_proof.len() + 3 + proof.len()));
        for part in [without_proof.as_str(), ",p=", proof.as_str()] {
            message.extend_from_slice(part.as_bytes());
        }
        self.proof = proof;
        self.stage = Stage::Final { signature: server_signature };
        Turn::Say(message)
    }

    fn secret(&self) -> Option<&str> {
        Some(&self.proof)
    }
}

/// The broker's first message, as far as it is acceptable.
#[derive(Debug, PartialEq)]
struct Challenge {
    nonce: String,
    salt: Vec<u8>,
    iterations: u32,
}

impl Challenge {
    /// Texts say what is wrong and show nothing of the message.
    fn parse(message: &str, ours: &str) -> Result<Self, String> {
        if message.starts_with("m=") {
            return Err("the broker demands an extension of SCRAM that is not known here".into());
        }
        let mut parts = message.split(',');
        let mut next = |prefix: &str, what: &str| {
            parts
                .next()
                .and_then(|part| part.strip_prefix(prefix))
                .ok_or(format!("the broker's first message has no {what} in its place"))
        };
        let nonce = next("r=", "nonce")?;
        let (salt, iterations) = (next("s=", "salt")?, next("i=", "number of iterations")?);
        let is_longer = nonce.strip_prefix(ours).is_some_and(|more| !more.is_empty());
        if !is_longer || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the broker's nonce does not continue the client's: the answer is to another exchange, or made up".into());
        }
        let salt = STANDARD.decode(salt).map_err(|_| "the broker's salt is not base64")?;
        if !SALT.contains(&salt.len()) {
            return Err(format!("the broker's salt has {} bytes; {} to {} are acceptable", salt.len(), SALT.start(), SALT.end()));
        }
        let digits = Some(iterations).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let iterations = digits.and_then(|text| text.parse().ok()).filter(|count| ITERATIONS.contains(count));
        let iterations = iterations.ok_or_else(|| {
            format!("the broker's number of iterations is not one from {} to {}", ITERATIONS.start(), ITERATIONS.end())
        })?;
        Ok(Self { nonce: nonce.to_owned(), salt, iterations })
    }
}

#[cfg(test)]
mod tests;
