//! The broker's side of SCRAM (RFC 5802): what is kept of a password, and the two messages of an exchange.
//!
//! Nonces and salts come from counters and the broker's seed, so that a test goes the same way every time. They protect nothing here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256, Sha512};

use crate::script::SaslMechanism;

/// As many as Kafka takes unless told otherwise.
pub(crate) const ITERATIONS: u32 = 4096;

/// What is kept of a password.
#[derive(Clone)]
pub(crate) struct Credential {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Credential {
    /// Of this user's password.
    pub(crate) fn new(mechanism: SaslMechanism, user: &str, password: &str, seed: u64) -> Self {
        let salt = Sha256::digest(format!("{seed} {} {user}", mechanism.name())).to_vec();
        let mut salted = vec![0; length(mechanism)];
        match mechanism {
            SaslMechanism::ScramSha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password.as_bytes(), &salt, ITERATIONS, &mut salted),
            _ => pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, ITERATIONS, &mut salted),
        }
        Self::salted(mechanism, &salt, ITERATIONS, &salted)
    }

    /// Of a password that was salted elsewhere.
    pub(crate) fn salted(mechanism: SaslMechanism, salt: &[u8], iterations: u32, salted: &[u8]) -> Self {
        let stored_key = hash(mechanism, &hmac(mechanism, salted, b"Client Key"));
        Self { salt: salt.to_vec(), iterations, stored_key, server_key: hmac(mechanism, salted, b"Server Key") }
    }

    pub(crate) fn iterations(&self) -> u32 {
        self.iterations
    }
}

/// An exchange that waits for the client's last message.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    mechanism: SaslMechanism,
    user: String,
    nonce: String,
    credential: Credential,
    /// Both first messages, as they are signed.
    said: String,
}

impl Exchange {
    /// The client's first message begins one: also gives the answer. `None` for a message that no client would send, or a user that
    /// is not known.
    pub(crate) fn begin(
        mechanism: SaslMechanism,
        message: &str,
        more: &str,
        credential: impl FnOnce(&str) -> Option<Credential>,
    ) -> Option<(Self, String)> {
        let bare = message.strip_prefix("n,,")?;
        let (name, rest) = bare.strip_prefix("n=")?.split_once(",r=")?;
        let user = name.replace("=2C", ",").replace("=3D", "=");
        let client_nonce = rest.split(',').next().filter(|nonce| !nonce.is_empty())?;
        let credential = credential(&user)?;
        let nonce = format!("{client_nonce}{more}");
        let answer = format!("r={nonce},s={},i={}", STANDARD.encode(&credential.salt), credential.iterations);
        let said = format!("{bare},{answer}");
        Some((Self { mechanism, user, nonce, credential, said }, answer))
    }

    /// The client's last message ends it: gives the user and the answer, or `None` if the client does not know the password.
    pub(crate) fn finish(self, message: &str) -> Option<(String, String)> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        if without_proof != format!("c=biws,r={}", self.nonce) {
            return None;
        }
        let proof = STANDARD.decode(proof).ok().filter(|proof| proof.len() == length(self.mechanism))?;
        let signed = format!("{},{without_proof}", self.said);
        let signature = hmac(self.mechanism, &self.credential.stored_key, signed.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(proof, signature)| proof ^ signature).collect();
        if hash(self.mechanism, &client_key) != self.credential.stored_key {
            return None;
        }
        let signature = hmac(self.mechanism, &self.credential.server_key, signed.as_bytes());
        Some((self.user, format!("v={}", STANDARD.encode(signature))))
    }
}

fn length(mechanism: SaslMechanism) -> usize {
    if mechanism == SaslMechanism::ScramSha512 { 64 } else { 32 }
}

fn hash(mechanism: SaslMechanism, text: &[u8]) -> Vec<u8> {
    match mechanism {
        SaslMechanism::ScramSha512 => Sha512::digest(text).to_vec(),
        _ => Sha256::digest(text).to_vec(),
    }
}

fn hmac(mechanism: SaslMechanism, key: &[u8], text: &[u8]) -> Vec<u8> {
    match mechanism {
        SaslMechanism::ScramSha512 => mac::<Hmac<Sha512>>(key, text),
        _ => mac::<Hmac<Sha256>>(key, text),
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proof_and_signature_are_those_of_rfc_7677() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mut salted = vec![0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(b"pencil", &salt, ITERATIONS, &mut salted);
        let mechanism = SaslMechanism::ScramSha256;
        let credential = Credential::salted(mechanism, &salt, ITERATIONS, &salted);
        let more = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        let begin = || Exchange::begin(mechanism, first, more, |user| (user == "user").then(|| credential.clone())).unwrap();
        let (exchange, answer) = begin();
        assert_eq!(answer, format!("r=rOprNGfwEbeRWgbNEkqO{more},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
        let last = |proof: &str| format!("c=biws,r=rOprNGfwEbeRWgbNEkqO{more},p={proof}");
        let (user, answer) = exchange.finish(&last("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")).unwrap();
        assert_eq!((user.as_str(), answer.as_str()), ("user", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(begin().0.finish(&last("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVA=")).is_none());
        assert!(begin().0.finish("c=biws,r=rOprNGfwEbeRWgbNEkqO,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").is_none());
    }

    #[test]
    fn a_first_message_that_no_client_would_send_begins_nothing() {
        for message in ["", "n,,", "n,,n=user", "n,,n=user,r=", "y,,n=user,r=x", "n=user,r=x", "n,,r=x,n=user"] {
            assert!(Exchange::begin(SaslMechanism::ScramSha256, message, "more", |_| panic!("{message}")).is_none());
        }
        let known = |user: &str| {
            assert_eq!(user, "us=e,r");
            None
        };
        assert!(Exchange::begin(SaslMechanism::ScramSha256, "n,,n=us=3De=2Cr,r=x", "more", known).is_none());
    }
}
