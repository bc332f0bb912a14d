//! PLAIN (RFC 4616): authorization id, user name and password in one message; the broker's word is the whole answer.

use zeroize::Zeroizing;

use crate::config::{Sasl, Secret};
use crate::network::sasl::exchange::{Mechanism, Turn};
use crate::network::setup::WorkResult;

/// See the module.
pub(crate) struct Plain {
    authorization_id: String,
    username: String,
    password: Secret,
}

impl Plain {
    /// None of the texts has a NUL in it; `Sasl::check` sees to that.
    pub(crate) fn new(sasl: &Sasl) -> Self {
        let Sasl { authorization_id, username, password, .. } = sasl.clone();
        Self { authorization_id, username, password }
    }
}

impl Mechanism for Plain {
    fn start(&mut self) -> Turn {
        let texts = [self.authorization_id.as_bytes(), self.username.as_bytes(), self.password.expose().as_bytes()];
        // All at once: a buffer that grew would leave its old place behind.
        let mut message = Zeroizing::new(Vec::with_capacity(texts.iter().map(|text| text.len() + 1).sum()));
        for (index, text) in texts.into_iter().enumerate() {
            if index > 0 {
                message.push(0);
            }
            message.extend_from_slice(text);
        }
        Turn::Say(message)
    }

    /// The broker has nothing to say beyond that it took it.
    fn handle_challenge(&mut self, _challenge: &[u8]) -> Turn {
        Turn::Done
    }

    fn handle_work(&mut self, _result: WorkResult) -> Turn {
        Turn::Refuse("work was done that nobody had asked for".to_owned())
    }

    fn secret(&self) -> Option<&str> {
        Some(self.password.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rk_221_authorization_id_user_and_password_are_separated_by_nul() {
        for (sasl, expected) in [
            (Sasl::plain("alice", "s3cret"), &b"\0alice\0s3cret"[..]),
            (Sasl::plain("alice", "pä ss").authorization_id("bob"), "bob\0alice\0pä ss".as_bytes()),
        ] {
            let mut plain = Plain::new(&sasl);
            let Turn::Say(message) = plain.start() else { panic!("nothing is said") };
            assert_eq!(message.as_slice(), expected);
            assert_eq!(message.capacity(), expected.len() + 1, "it did not grow");
            assert!(matches!(plain.handle_challenge(b""), Turn::Done));
        }
    }
}
