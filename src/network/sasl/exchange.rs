//! The set-up step that proves who the client is: SaslHandshake names the mechanism, SaslAuthenticate carries what it says (KIP-152).
//!
//! What the broker refuses with ends the connection with its own words, which are shown as untrusted: cut, without control characters,
//! without password or proof should these be in them. Only versions of the protocol with SaslAuthenticate are spoken: before it a refusal was
//! a closed connection without a word.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::config::{Sasl, SaslMechanism, Secret};
use crate::error::Untrusted;
use crate::network::setup::{SetupAction, SetupStep, Work, WorkResult};
use crate::network::{ApiVersions, Cause, CauseKind};
use crate::protocol::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use crate::protocol::messages::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};
use crate::protocol::{ApiKey, ApiMessage, ErrorCode, Request, SecretBytes, Str};

/// A session that is shorter is of no use: it would be renewed all the time.
const SHORTEST_SESSION: Duration = Duration::from_secs(1);

/// What a mechanism wants.
pub(crate) enum Turn {
    /// Say this to the broker, and hand over its answer.
    Say(Zeroizing<Vec<u8>>),
    /// Have this done, and hand over what comes of it.
    Work(Work),
    /// Both sides are satisfied.
    Done,
    /// The broker is not to be trusted, and why.
    Refuse(String),
    /// The broker does not trust us, in its own words.
    Refused(String),
}

/// What is said under the name of a mechanism.
pub(crate) trait Mechanism: Send {
    /// Begins.
    fn start(&mut self) -> Turn;

    /// What the broker said; it did not refuse.
    fn handle_challenge(&mut self, challenge: &[u8]) -> Turn;

    /// What came of the work last asked for.
    fn handle_work(&mut self, result: WorkResult) -> Turn;

    /// What the broker was told and must not be shown, should the broker repeat it.
    fn secret(&self) -> Option<&str>;
}

/// See the module.
pub(crate) struct Exchange {
    name: SaslMechanism,
    username: String,
    password: Secret,
    mechanism: Box<dyn Mechanism>,
    /// Is SaslHandshake through?
    authenticating: bool,
    /// Of SaslAuthenticate.
    version: i16,
    /// As the last answer had it.
    session_lifetime_ms: i64,
}

impl Exchange {
    /// One exchange by `mechanism`, which speaks for `sasl`.
    pub(crate) fn new(sasl: &Sasl, mechanism: Box<dyn Mechanism>) -> Self {
        let Sasl { mechanism: name, username, password, .. } = sasl.clone();
        Self { name, username, password, mechanism, authenticating: false, version: 0, session_lifetime_ms: 0 }
    }

    fn handle_handshake(&mut self, body: &Bytes) -> SetupAction {
        let response = match SaslHandshakeResponse::decode(body, 1) {
            Ok(response) => response,
            Err(error) => return unreadable(&SaslHandshakeResponse::explain(body, 1, error)),
        };
        let code = response.error_code;
        let text = match code {
            ErrorCode::NONE => {
                self.authenticating = true;
                let turn = self.mechanism.start();
                return self.follow(turn);
            }
            ErrorCode::UNSUPPORTED_SASL_MECHANISM => {
                let offered: Vec<_> = response.mechanisms.iter().map(Str::as_str).collect();
                let offered = if offered.is_empty() { "none".to_owned() } else { self.said(&offered.join(", ")) };
                format!(
                    "the broker does not offer SASL mechanism {}; it offers: {offered}; set sasl.mechanism to one of these",
                    self.name
                )
            }
            ErrorCode::ILLEGAL_SASL_STATE => format!(
                "the listener takes no SASL (mechanism {}); check the port, and security.protocol: PLAINTEXT or SSL is for listeners without",
                self.name
            ),
            _ => format!("the broker refused SASL mechanism {}", self.name),
        };
        SetupAction::Fail(Cause::new(CauseKind::Authentication, text).with_code(code))
    }

    fn handle_authenticate(&mut self, body: &Bytes) -> SetupAction {
        let response = match SaslAuthenticateResponse::decode(body, self.version) {
            Ok(response) => response,
            Err(error) => return unreadable(&SaslAuthenticateResponse::explain(body, self.version, error)),
        };
        let code = response.error_code;
        if !code.is_ok() {
            let said = response.error_message.as_ref().map(Str::as_str).filter(|text| !text.is_empty());
            let said = said.map_or("it does not say why".to_owned(), |said| self.said(said));
            let text = format!("the broker refused SASL {} for user \"{}\": {said}", self.name, self.user());
            let cause = Cause::new(CauseKind::Authentication, text).with_code(code);
            return SetupAction::Fail(cause.advise("check user name and password"));
        }
        self.session_lifetime_ms = response.session_lifetime_ms;
        let turn = self.mechanism.handle_challenge(&response.auth_bytes.0);
        self.follow(turn)
    }

    /// What the mechanism wants, as the connection is told it.
    fn follow(&mut self, turn: Turn) -> SetupAction {
        match turn {
            Turn::Say(message) => {
                let request = SaslAuthenticateRequest { auth_bytes: SecretBytes(Bytes::from_owner(message)) };
                send(self.version, &request)
            }
            Turn::Work(work) => SetupAction::Work(work),
            Turn::Done => self.done(),
            Turn::Refuse(why) => self.fail(&why),
            Turn::Refused(said) => self.fail(&format!("the broker says: {}", self.said(&said))),
        }
    }

    /// Says how long it counts (KIP-368).
    fn done(&self) -> SetupAction {
        let session = match u64::try_from(self.session_lifetime_ms) {
            Ok(0) => None,
            life => {
                let life = Duration::from_millis(life.unwrap_or(0));
                if life < SHORTEST_SESSION {
                    return self.fail(&format!(
                        "the broker gives a session of {} ms, too short to be of use; raise its connections.max.reauth.ms",
                        self.session_lifetime_ms
                    ));
                }
                Some(life)
            }
        };
        SetupAction::Done { session }
    }

    fn fail(&self, why: &str) -> SetupAction {
        let text = format!("SASL {} for user \"{}\" failed: {why}", self.name, self.user());
        SetupAction::Fail(Cause::new(CauseKind::Authentication, text))
    }

    fn user(&self) -> String {
        Untrusted(&self.username).to_string()
    }

    /// What the broker said.
    fn said(&self, text: &str) -> String {
        let secrets = [self.mechanism.secret(), Some(self.password.expose())].into_iter().flatten();
        let hidden =
            secrets.filter(|secret| !secret.is_empty()).fold(text.to_owned(), |text, secret| text.replace(secret, "***"));
        Untrusted(&hidden).to_string()
    }
}

impl SetupStep for Exchange {
    fn start(&mut self, _now: Instant, versions: &ApiVersions) -> SetupAction {
        // Version 1 says that SaslAuthenticate follows.
        let handshake = versions.select_for::<SaslHandshakeRequest>(1..=1);
        let version = handshake.and_then(|_| versions.select_for::<SaslAuthenticateRequest>(0..=i16::MAX));
        match version {
            Ok(version) => self.version = version,
            Err(cause) => return self.fail(&format!("{cause}; it needs Kafka 1.0 or later")),
        }
        let mechanism = Str::new(self.name.name()).unwrap_or_default();
        send(1, &SaslHandshakeRequest { mechanism })
    }

    fn handle_response(&mut self, _now: Instant, body: Bytes) -> SetupAction {
        if self.authenticating { self.handle_authenticate(&body) } else { self.handle_handshake(&body) }
    }

    fn handle_work(&mut self, _now: Instant, result: WorkResult) -> SetupAction {
        let turn = self.mechanism.handle_work(result);
        self.follow(turn)
    }

    fn advice_if_closed(&self) -> &'static str {
        "a broker older than Kafka 1.0 that refuses the password, or a listener that expects TLS or takes no SASL, does that; \
         check user name, password, port and security.protocol"
    }
}

/// What texts call it.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SASL {}", self.name)
    }
}

/// The request, in memory that is wiped when it was sent.
fn send<R: Request>(version: i16, request: &R) -> SetupAction {
    let body = match request.checked(version) {
        Ok(body) => body.write(&[]),
        Err(error) => return SetupAction::Fail(Cause::new(CauseKind::Protocol, error.to_string())),
    };
    let wiped = |part: Bytes| Bytes::from_owner(Zeroizing::new(Vec::from(part)));
    SetupAction::Send { api: ApiKey(R::API_KEY), version, body: body.into_iter().map(wiped).collect() }
}

fn unreadable(why: &str) -> SetupAction {
    SetupAction::Fail(Cause::new(CauseKind::Protocol, format!("an answer during SASL cannot be read: {why}")))
}

#[cfg(test)]
mod tests;
