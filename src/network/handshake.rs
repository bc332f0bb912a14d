//! The set-up of one connection: ApiVersions, then the steps that were asked for; a core. On a connection that is set up already the
//! steps are run again when what they proved is about to count no more.
//!
//! ApiVersions goes first on every connection, in our highest version, for the broker may be another than last time (KIP-35). A
//! broker that does not know the version says so in the body of version 0, where it lists what it does know of ApiVersions: that is
//! tried once, on the same connection (KIP-511). `connection` knows what to do with brokers that close instead.

use std::fmt;
use std::time::{Duration, Instant};
use std::vec;

use bytes::Bytes;

use crate::network::setup::{SetupAction, SetupStep, Work, WorkResult};
use crate::network::throttle::duration;
use crate::network::{ApiVersions, Cause, CauseKind, ConnectionConfig, LOG, SetupSteps};
use crate::protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::protocol::{ApiKey, ApiMessage, ErrorCode, Str};

/// What the set-up wants next.
pub(crate) enum Step {
    /// Send this and hand over the answer.
    Send {
        /// Which API.
        api: ApiKey,
        /// In which version.
        version: i16,
        /// The body.
        body: Vec<Bytes>,
    },
    /// Have this done elsewhere and hand over what comes of it.
    Work(Work),
    /// Ready.
    Done {
        /// What the broker serves.
        versions: ApiVersions,
        /// What the broker said about waiting.
        throttle: Option<Duration>,
        /// How long what was proven counts.
        session: Option<Duration>,
    },
    /// Give the connection up.
    Fail(Cause),
}

/// Where the set-up is.
pub(crate) struct Handshake {
    /// With whom, for the log.
    broker: String,
    request: ApiVersionsRequest,
    /// The version ApiVersions was last sent in.
    version: i16,
    /// Did the broker not know the version before?
    is_second: bool,
    /// Known once ApiVersions is through.
    versions: Option<ApiVersions>,
    throttle: Option<Duration>,
    session: Option<Duration>,
    /// Makes the steps when it is their turn.
    setup: Option<SetupSteps>,
    /// The steps left, and the one at work.
    steps: vec::IntoIter<Box<dyn SetupStep>>,
    step: Option<Box<dyn SetupStep>>,
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("at", &self.what()).finish_non_exhaustive()
    }
}

impl Handshake {
    /// Begins with `broker`; `oldest` for brokers that closed the connection at newer versions of ApiVersions.
    pub(crate) fn start(config: &ConnectionConfig, broker: &str, oldest: bool) -> (Self, Step) {
        let text = |text: &str| Str::new(text.to_owned()).unwrap_or_default();
        let request = ApiVersionsRequest {
            client_software_name: text(&config.software_name),
            client_software_version: text(&config.software_version),
            ..Default::default()
        };
        let mut this = Self::new(request, config, broker);
        let first = this.ask(if oldest { 0 } else { newest() });
        (this, first)
    }

    /// Begins the steps anew on a connection that is set up; `versions` is what the broker serves.
    pub(crate) fn again(now: Instant, config: &ConnectionConfig, broker: &str, versions: ApiVersions) -> (Self, Step) {
        let mut this = Self::new(ApiVersionsRequest::default(), config, broker);
        this.versions = Some(versions);
        let first = this.begin(now);
        (this, first)
    }

    fn new(request: ApiVersionsRequest, config: &ConnectionConfig, broker: &str) -> Self {
        Self {
            broker: broker.to_owned(),
            request,
            version: 0,
            is_second: false,
            versions: None,
            throttle: None,
            session: None,
            setup: config.setup.clone(),
            steps: Vec::new().into_iter(),
            step: None,
        }
    }

    /// What is waited for, for texts.
    pub(crate) fn what(&self) -> String {
        match &self.step {
            None => "ApiVersions".to_owned(),
            Some(step) => format!("{step:?}"),
        }
    }

    /// What may be wrong if the broker closes now, and what to do.
    pub(crate) fn advice_if_closed(&self, is_tls: bool) -> &'static str {
        match &self.step {
            Some(step) => step.advice_if_closed(),
            None if is_tls => "not a Kafka listener; check port and security.protocol",
            None => "not a Kafka listener, or one that expects TLS; check port and security.protocol",
        }
    }

    /// What may be wrong if the broker says nothing.
    pub(crate) fn advice_if_silent(&self, is_tls: bool) -> &'static str {
        match &self.step {
            None if !is_tls => {
                "the broker hangs, or it is no Kafka listener, or one that expects TLS; check port and security.protocol"
            }
            _ => "the broker hangs, or it is no Kafka listener",
        }
    }

    /// If the broker closes now, may the version of ApiVersions be why?
    pub(crate) fn may_be_version(&self) -> bool {
        self.versions.is_none() && self.version > 0
    }

    /// The answer to what was last sent: what follows the header.
    pub(crate) fn handle_response(&mut self, now: Instant, body: Bytes) -> Step {
        match (&mut self.step, &self.versions) {
            (Some(step), Some(_)) => {
                let action = step.handle_response(now, body);
                self.act(now, action)
            }
            _ => self.handle_versions(now, &body),
        }
    }

    /// What came of the work last asked for.
    pub(crate) fn handle_work(&mut self, now: Instant, result: WorkResult) -> Step {
        match &mut self.step {
            Some(step) => {
                let action = step.handle_work(now, result);
                self.act(now, action)
            }
            None => Step::Fail(Cause::new(CauseKind::Setup, "work was done that nobody had asked for")),
        }
    }

    fn handle_versions(&mut self, now: Instant, body: &Bytes) -> Step {
        // The code comes first in every version, so that this can be read without knowing the version.
        let code = body.first_chunk().map(|code| ErrorCode(i16::from_be_bytes(*code)));
        if code == Some(ErrorCode::UNSUPPORTED_VERSION) && !self.is_second && self.version > 0 {
            self.is_second = true;
            // Some brokers leave the list empty, some list ApiVersions alone, some all they know.
            let listed = ApiVersionsResponse::decode(body, 0).map(|response| response.api_keys).unwrap_or_default();
            let listed = listed.iter().find(|api| api.api_key == ApiKey::API_VERSIONS.0).map_or(0, |api| api.max_version);
            return self.ask(listed.clamp(0, self.version - 1));
        }
        let response = match ApiVersionsResponse::decode(body, self.version) {
            Ok(response) => response,
            // A refusal may come in another version's body; what it refuses with is known all the same.
            Err(_) if code.is_some_and(|code| code != ErrorCode::NONE) => {
                ApiVersionsResponse { error_code: code.unwrap_or_default(), ..Default::default() }
            }
            Err(error) => {
                let text = ApiVersionsResponse::explain(body, self.version, error);
                return Step::Fail(Cause::new(CauseKind::Protocol, format!("cannot read what the broker serves: {text}")));
            }
        };
        if response.error_code != ErrorCode::NONE {
            let text = format!("the broker refused to say what it serves: {}", response.error_code);
            return Step::Fail(Cause::new(CauseKind::Setup, text));
        }
        let versions = ApiVersions::new(&response);
        tracing::debug!(
            target: LOG, broker = %self.broker, version = self.version, apis = versions.summary(), features = ?features(&response),
            "versions agreed on"
        );
        self.versions = Some(versions);
        self.throttle = duration(response.throttle_time_ms);
        self.begin(now)
    }

    /// Makes the steps and begins the first.
    fn begin(&mut self, now: Instant) -> Step {
        match self.setup.as_ref().map(|steps| steps()) {
            None => self.next(now),
            Some(Ok(steps)) => {
                self.steps = steps.into_iter();
                self.next(now)
            }
            Some(Err(cause)) => Step::Fail(cause),
        }
    }

    /// Sends ApiVersions.
    fn ask(&mut self, version: i16) -> Step {
        self.version = version;
        match self.request.checked(version) {
            Ok(body) => Step::Send { api: ApiKey::API_VERSIONS, version, body: body.write(&[]) },
            Err(error) => Step::Fail(Cause::new(CauseKind::Protocol, error.to_string())),
        }
    }

    /// Begins the next step.
    fn next(&mut self, now: Instant) -> Step {
        self.step = self.steps.next();
        match (&mut self.step, &self.versions) {
            (Some(step), Some(versions)) => {
                let action = step.start(now, versions);
                self.act(now, action)
            }
            _ => {
                Step::Done { versions: self.versions.clone().unwrap_or_default(), throttle: self.throttle, session: self.session }
            }
        }
    }

    fn act(&mut self, now: Instant, action: SetupAction) -> Step {
        match action {
            SetupAction::Send { api, version, body } => Step::Send { api, version, body },
            SetupAction::Work(work) => Step::Work(work),
            SetupAction::Done { session } => {
                let session_ms = session.map(|life| u64::try_from(life.as_millis()).unwrap_or(u64::MAX));
                tracing::debug!(target: LOG, broker = %self.broker, by = %self.what(), session_ms, "authenticated");
                self.session = [self.session, session].into_iter().flatten().min();
                self.next(now)
            }
            SetupAction::Fail(cause) => Step::Fail(cause),
        }
    }
}

/// What the cluster has turned on, with the level: there is no other sign of which release its brokers are.
fn features(response: &ApiVersionsResponse) -> Vec<(&str, i16)> {
    response.finalized_features.iter().map(|feature| (feature.name.as_str(), feature.max_version_level)).collect()
}

/// Our highest stable version of ApiVersions.
fn newest() -> i16 {
    let newest = *ApiVersionsRequest::VERSIONS.end();
    if ApiVersionsRequest::UNSTABLE.is_some() { newest - 1 } else { newest }
}
