//! Quotas as throttle times: who may use how much, what was used, and how long a client that used more has to be quiet (KIP-219: it
//! is answered at once, with that time, and then not heard for as long).
//!
//! A request's share is charged when it is handled (Produce, requests, mutations) or when its answer is ready (Fetch). What a
//! connection has to wait is kept there until its answer is sent. The requests that describe and alter quotas are in `requests.rs`.

mod rate;
mod requests;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use klamm::protocol::messages::fetch::FetchResponse;
use klamm::protocol::{ApiKey, ErrorCode, Str};

use crate::core::configs::Refusal;
use crate::core::quotas::rate::{Bucket, Rate};
use crate::core::sasl::Login;
use crate::core::{Call, Core};
use crate::quota::{Name, Quota, QuotaEntity};
use crate::script::ConnectionId;

/// The user of a client that has not logged in.
const ANONYMOUS: &str = "ANONYMOUS";

/// What a request is taken to need of a thread.
const REQUEST_TIME: Duration = Duration::from_micros(100);

/// No request is throttled for longer for the time that it needs.
const LONGEST_FOR_TIME: Duration = Duration::from_secs(1);

/// Whose use is counted together: a user or none, a client id or none.
type Counted = (String, String);

/// All quotas and what was used of them.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    set: BTreeMap<QuotaEntity, BTreeMap<Quota, f64>>,
    rates: BTreeMap<(Quota, Counted), Rate>,
    buckets: BTreeMap<Counted, Bucket>,
}

impl Quotas {
    /// Sets a quota, or takes it away.
    pub(crate) fn set(&mut self, entity: QuotaEntity, quota: Quota, value: Option<f64>) {
        let of_entity = self.set.entry(entity.clone()).or_default();
        match value {
            Some(value) => drop(of_entity.insert(quota, value)),
            None => drop(of_entity.remove(&quota)),
        }
        if of_entity.is_empty() {
            self.set.remove(&entity);
        }
    }

    pub(crate) fn get(&self, entity: &QuotaEntity, quota: Quota) -> Option<f64> {
        self.set.get(entity)?.get(&quota).copied()
    }

    /// The limit for a client, by the most exact entity that has one, and with whom it shares it.
    fn limit(&self, quota: Quota, user: &str, client_id: &str) -> Option<(f64, Counted)> {
        let (named, default) = (|name: &str| Some(Name::Named(name.to_owned())), Some(Name::Default));
        for (user_part, client_part) in [
            (named(user), named(client_id)),
            (named(user), default.clone()),
            (named(user), None),
            (default.clone(), named(client_id)),
            (default.clone(), default.clone()),
            (default.clone(), None),
            (None, named(client_id)),
            (None, default),
        ] {
            let counted = |part: &Option<Name>, name: &str| if part.is_some() { name.to_owned() } else { String::new() };
            let together = (counted(&user_part, user), counted(&client_part, client_id));
            if let Some(limit) = self.get(&QuotaEntity { user: user_part, client_id: client_part, ip: None }, quota) {
                return Some((limit, together));
            }
        }
        None
    }
}

/// Who sent a request.
struct Client {
    user: String,
    id: String,
}

impl Core {
    fn client(&self, call: &Call) -> Client {
        let login = self.connections.get(&call.connection).map(|connection| &connection.login);
        let user = login.and_then(Login::user).unwrap_or(ANONYMOUS).to_owned();
        Client { user, id: call.client_id.as_ref().map_or("", Str::as_str).to_owned() }
    }

    /// Charges a client for an amount, and gives how long it has to wait for that.
    fn charge(&mut self, now: Instant, quota: Quota, client: &Client, amount: f64) -> Duration {
        let Some((limit, together)) = self.quotas.limit(quota, &client.user, &client.id) else { return Duration::ZERO };
        self.quotas.rates.entry((quota, together)).or_default().record(now, amount, limit)
    }

    /// Charges for a request that is about to be handled.
    pub(super) fn charge_request(&mut self, now: Instant, call: &Call, bytes: usize) {
        if self.quotas.set.is_empty() {
            return;
        }
        let client = self.client(call);
        let percent = REQUEST_TIME.as_secs_f64() * 100.0;
        let mut wait = self.charge(now, Quota::RequestPercentage, &client, percent).min(LONGEST_FOR_TIME);
        if call.api_key == ApiKey::PRODUCE {
            wait = wait.max(self.charge(now, Quota::ProducerByteRate, &client, bytes as f64));
        }
        self.quiet(call.connection, wait);
    }

    /// Charges for an answer of so many bytes. One that is too much is not sent: the client has to ask again, and the answer is
    /// emptied here.
    pub(super) fn charge_answer(&mut self, now: Instant, call: &Call, bytes: usize, response: &mut dyn Any) -> bool {
        if self.quotas.set.is_empty() || call.api_key != ApiKey::FETCH {
            return false;
        }
        let client = self.client(call);
        let wait = self.charge(now, Quota::ConsumerByteRate, &client, bytes as f64);
        self.quiet(call.connection, wait);
        let waits = self.connections.get(&call.connection).is_some_and(|connection| !connection.quota_wait.is_zero());
        let Some(fetched) = response.downcast_mut::<FetchResponse>().filter(|_| waits) else { return false };
        *fetched = FetchResponse { error_code: fetched.error_code, ..FetchResponse::default() };
        if let Some((_, together)) = self.quotas.limit(Quota::ConsumerByteRate, &client.user, &client.id)
            && let Some(rate) = self.quotas.rates.get_mut(&(Quota::ConsumerByteRate, together))
        {
            rate.take_back(bytes as f64);
        }
        true
    }

    /// What a fetch may bring at most: as much as the client's quota has in all its windows.
    pub(super) fn fetch_limit(&self, call: &Call, max_bytes: i32) -> i32 {
        if self.quotas.set.is_empty() {
            return max_bytes;
        }
        let client = self.client(call);
        match self.quotas.limit(Quota::ConsumerByteRate, &client.user, &client.id) {
            // A cast of a float stops at the largest number.
            Some((limit, _)) => max_bytes.min((limit * 10.0) as i32),
            None => max_bytes,
        }
    }

    /// Charges for partitions that are created or deleted. A client that can be told so (`strict`) is refused while it has used too
    /// much; others are served and have to wait.
    pub(super) fn charge_mutation(&mut self, now: Instant, call: &Call, partitions: usize, strict: bool) -> Result<(), Refusal> {
        if self.quotas.set.is_empty() {
            return Ok(());
        }
        let client = self.client(call);
        let limit = self.quotas.limit(Quota::ControllerMutationRate, &client.user, &client.id);
        let Some((limit, together)) = limit else { return Ok(()) };
        let bucket = self.quotas.buckets.entry(together).or_default();
        let wait = bucket.wait(now, limit);
        if strict && !wait.is_zero() {
            self.quiet(call.connection, wait);
            let message = "The throttling quota has been exceeded.".to_owned();
            return Err((ErrorCode::THROTTLING_QUOTA_EXCEEDED, message));
        }
        bucket.take(now, partitions as f64, limit);
        if !strict {
            let wait = bucket.wait(now, limit);
            self.quiet(call.connection, wait);
        }
        Ok(())
    }

    /// The answer to a connection's request is to tell it to be quiet for so long.
    fn quiet(&mut self, id: ConnectionId, wait: Duration) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.quota_wait = connection.quota_wait.max(wait);
        }
    }
}
