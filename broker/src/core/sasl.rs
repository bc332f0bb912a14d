//! SASL: who is at the other end of a connection (KIP-12, KIP-152), and for how long that is believed (KIP-368).
//!
//! ```text
//!             SaslHandshake            SaslAuthenticate, as often as the mechanism wants
//!   Unknown ────────────────▶ Proving ───────────────────────────────────────────────────▶ Known
//!                                ▲                    SaslHandshake, where sessions end      │
//!                                └───────────────────────────────────────────────────────────┘
//! ```
//!
//! As in Kafka: a request that the state does not allow, and any but a handshake in a session that has ended, closes the connection
//! without a word; whoever fails is told so and then closed; a session is not renewed twice within a second, nor by another user.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use klamm::protocol::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use klamm::protocol::messages::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};
use klamm::protocol::{ApiKey, ErrorCode, SecretBytes};

use crate::core::scram::{Credential, Exchange};
use crate::core::topics::text;
use crate::core::{Call, Core, Outcome};
use crate::script::SaslMechanism;

/// Kafka renews no session more often.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// Who may log in, and how.
#[derive(Clone, Default)]
pub(crate) struct Users {
    /// Stays when the last user of a mechanism is removed.
    mechanisms: BTreeSet<SaslMechanism>,
    passwords: BTreeMap<(SaslMechanism, String), Password>,
}

#[derive(Clone)]
enum Password {
    Plain(String),
    Scram(Credential),
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.passwords.keys()).finish()
    }
}

impl Users {
    /// Adds a user, or gives one another password.
    pub(crate) fn set(&mut self, mechanism: SaslMechanism, user: &str, password: &str, seed: u64) {
        let password = match mechanism {
            SaslMechanism::Plain => Password::Plain(password.to_owned()),
            _ => Password::Scram(Credential::new(mechanism, user, password, seed)),
        };
        self.mechanisms.insert(mechanism);
        self.passwords.insert((mechanism, user.to_owned()), password);
    }

    /// Adds a user without a word about whether clients are asked to log in.
    pub(crate) fn set_credential(&mut self, mechanism: SaslMechanism, user: &str, credential: Credential) {
        self.passwords.insert((mechanism, user.to_owned()), Password::Scram(credential));
    }

    /// What is kept of a user's password for SCRAM.
    pub(crate) fn credential(&self, mechanism: SaslMechanism, user: &str) -> Option<&Credential> {
        match self.get(mechanism, user) {
            Some(Password::Scram(credential)) => Some(credential),
            _ => None,
        }
    }

    /// Users that have a password for SCRAM.
    pub(crate) fn scram_users(&self) -> impl Iterator<Item = &str> {
        let scram = self.passwords.iter().filter(|(_, password)| matches!(password, Password::Scram(_)));
        scram.map(|((_, user), _)| user.as_str())
    }

    pub(crate) fn remove(&mut self, mechanism: SaslMechanism, user: &str) {
        self.passwords.remove(&(mechanism, user.to_owned()));
    }

    /// Must clients log in?
    pub(crate) fn are_wanted(&self) -> bool {
        !self.mechanisms.is_empty()
    }

    fn get(&self, mechanism: SaslMechanism, user: &str) -> Option<&Password> {
        self.passwords.get(&(mechanism, user.to_owned()))
    }
}

/// Who a connection's client is.
#[derive(Clone, Debug)]
pub(crate) enum Login {
    /// Nobody is asked.
    NotWanted,
    /// Nobody knows yet.
    Unknown,
    /// Being proven; anew if there is a session before.
    Proving { mechanism: SaslMechanism, exchange: Option<Exchange>, before: Option<Session> },
    /// Proven.
    Known(Session),
}

/// What was proven.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    user: String,
    mechanism: SaslMechanism,
    ends: Option<Instant>,
    /// When it was last begun to be renewed.
    renewed: Option<Instant>,
}

/// What became of a step.
enum Proof {
    /// The user is this; the broker says this at last.
    Accepted(String, String),
    /// Go on.
    More(Exchange, String),
    /// No, and why.
    Refused(String),
}

impl Login {
    /// Ends the session, if there is one, as if its time were over.
    pub(super) fn expire(&mut self, now: Instant) {
        if let Self::Known(session) = self {
            session.ends = Some(now);
        }
    }

    /// Who has logged in.
    pub(super) fn user(&self) -> Option<&str> {
        match self {
            Self::Known(session) | Self::Proving { before: Some(session), .. } => Some(&session.user),
            Self::NotWanted | Self::Unknown | Self::Proving { before: None, .. } => None,
        }
    }

    /// May a request of this API be handled?
    pub(super) fn admits(&self, now: Instant, api: ApiKey) -> bool {
        match self {
            Self::NotWanted => true,
            Self::Unknown => matches!(api, ApiKey::API_VERSIONS | ApiKey::SASL_HANDSHAKE),
            Self::Proving { .. } => api == ApiKey::SASL_AUTHENTICATE,
            Self::Known(session) => api == ApiKey::SASL_HANDSHAKE || session.ends.is_none_or(|ends| ends > now),
        }
    }
}

impl Core {
    pub(super) fn sasl_handshake(
        &mut self,
        now: Instant,
        call: &Call,
        request: SaslHandshakeRequest,
    ) -> Outcome<SaslHandshakeResponse> {
        let mechanisms: Vec<_> = self.users.mechanisms.iter().map(|mechanism| text(mechanism.name())).collect();
        let lifetime = self.session_lifetime;
        let Some(connection) = self.connections.get_mut(&call.connection) else { return Outcome::Close };
        let refuse = |error_code| SaslHandshakeResponse { error_code, mechanisms: mechanisms.clone() };
        let before = match &connection.login {
            Login::NotWanted => return Outcome::Reply(refuse(ErrorCode::ILLEGAL_SASL_STATE)),
            Login::Known(session) => {
                let is_soon = session.renewed.is_some_and(|at| now.saturating_duration_since(at) < LEAST_PAUSE);
                if lifetime.is_none() || is_soon {
                    return Outcome::Reply(refuse(ErrorCode::ILLEGAL_SASL_STATE));
                }
                Some(Session { renewed: Some(now), ..session.clone() })
            }
            Login::Unknown | Login::Proving { .. } => None,
        };
        let named = self.users.mechanisms.iter().find(|mechanism| request.mechanism == *mechanism.name());
        let Some(mechanism) = named.copied() else {
            return Outcome::ReplyAndClose(refuse(ErrorCode::UNSUPPORTED_SASL_MECHANISM));
        };
        if call.version == 0 {
            // Tokens without headers would follow.
            return Outcome::Close;
        }
        connection.login = Login::Proving { mechanism, exchange: None, before };
        Outcome::Reply(SaslHandshakeResponse { error_code: ErrorCode::NONE, mechanisms })
    }

    pub(super) fn sasl_authenticate(
        &mut self,
        now: Instant,
        call: &Call,
        request: SaslAuthenticateRequest,
    ) -> Outcome<SaslAuthenticateResponse> {
        let refuse = |error_code, why: &str| SaslAuthenticateResponse {
            error_code,
            error_message: Some(text(why)),
            ..SaslAuthenticateResponse::default()
        };
        let Some(connection) = self.connections.get_mut(&call.connection) else { return Outcome::Close };
        let Login::Proving { mechanism, exchange, before } = &mut connection.login else {
            let why = "SaslAuthenticate request received after successful authentication";
            return Outcome::Reply(refuse(ErrorCode::ILLEGAL_SASL_STATE, why));
        };
        let (mechanism, exchange, before) = (*mechanism, exchange.take(), before.clone());
        let during = if before.is_some() { "re-authentication" } else { "authentication" };
        self.exchanges += 1;
        let more = format!("server{}", self.exchanges);
        let answer = match prove(&self.users, mechanism, exchange, &request.auth_bytes.0, &more, during) {
            Proof::Refused(why) => return Outcome::ReplyAndClose(refuse(ErrorCode::SASL_AUTHENTICATION_FAILED, &why)),
            Proof::More(exchange, answer) => {
                connection.login = Login::Proving { mechanism, exchange: Some(exchange), before };
                return Outcome::Reply(said(answer, None));
            }
            Proof::Accepted(user, answer) => {
                let same = |before: &Session| before.user == user && before.mechanism == mechanism;
                if before.as_ref().is_some_and(|before| !same(before)) {
                    let why = "Cannot change principals during re-authentication";
                    return Outcome::ReplyAndClose(refuse(ErrorCode::SASL_AUTHENTICATION_FAILED, why));
                }
                let ends = self.session_lifetime.map(|lifetime| now + lifetime);
                connection.login =
                    Login::Known(Session { user, mechanism, ends, renewed: before.and_then(|before| before.renewed) });
                answer
            }
        };
        Outcome::Reply(said(answer, self.session_lifetime))
    }

    pub(crate) fn set_sasl_user(&mut self, mechanism: SaslMechanism, user: &str, password: &str) {
        self.users.set(mechanism, user, password, self.settings.seed);
    }

    pub(crate) fn remove_sasl_user(&mut self, mechanism: SaslMechanism, user: &str) {
        self.users.remove(mechanism, user);
    }

    pub(crate) fn set_session_lifetime(&mut self, lifetime: Option<Duration>) {
        self.session_lifetime = lifetime;
    }
}

fn said(answer: String, lifetime: Option<Duration>) -> SaslAuthenticateResponse {
    let millis = lifetime.map_or(0, |lifetime| i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX));
    SaslAuthenticateResponse {
        error_message: None,
        auth_bytes: SecretBytes(answer.into()),
        session_lifetime_ms: millis,
        ..SaslAuthenticateResponse::default()
    }
}

/// One step of the mechanism; the words are Kafka's.
fn prove(users: &Users, mechanism: SaslMechanism, exchange: Option<Exchange>, token: &[u8], more: &str, during: &str) -> Proof {
    let Ok(message) = std::str::from_utf8(token) else { return Proof::Refused("Authentication failed: not text".into()) };
    if mechanism == SaslMechanism::Plain {
        return plain(users, message);
    }
    let refused = || {
        Proof::Refused(format!(
            "Authentication failed during {during} due to invalid credentials with SASL mechanism {}",
            mechanism.name()
        ))
    };
    match exchange {
        None => Exchange::begin(mechanism, message, more, |user| users.credential(mechanism, user).cloned())
            .map_or_else(refused, |(exchange, answer)| Proof::More(exchange, answer)),
        Some(exchange) => exchange.finish(message).map_or_else(refused, |(user, answer)| Proof::Accepted(user, answer)),
    }
}

fn plain(users: &Users, message: &str) -> Proof {
    let tokens: Vec<&str> = message.split('\0').collect();
    let [authorization_id, user, password] = tokens[..] else {
        return Proof::Refused(format!("Invalid SASL/PLAIN response: expected 3 tokens, got {}", tokens.len()));
    };
    for (value, name) in [(user, "username"), (password, "password")] {
        if value.is_empty() {
            return Proof::Refused(format!("Authentication failed: {name} not specified"));
        }
    }
    let is_right = matches!(users.get(SaslMechanism::Plain, user), Some(Password::Plain(known)) if known == password);
    if !is_right {
        return Proof::Refused("Authentication failed: Invalid username or password".into());
    }
    if !authorization_id.is_empty() && authorization_id != user {
        return Proof::Refused(
            "Authentication failed: Client requested an authorization id that is different from username".into(),
        );
    }
    Proof::Accepted(user.to_owned(), String::new())
}
