//! The producer's own task: everything that is neither a record nor a request to a partition's leader.
//!
//! It follows the metadata (leaders, new partitions, addresses), begins sending to brokers when the first batch is there for them,
//! asks for a producer id when one is needed, and ends batches whose time is up. It sleeps until one of these is due; records do not
//! wake it. It ends when the producer is closed and every batch has its result; should it be torn down before, with its runtime,
//! whoever still waits is told so.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::driver::BrokerSource;
use super::engine::Engine;
use super::sequence::Identity;
use crate::cluster::{Backoff, Route};
use crate::error::{Error, Result};
use crate::network::{SourceHandle, Target};
use crate::protocol::messages::init_producer_id::InitProducerIdRequest;
use crate::protocol::{BrokerId, ErrorCode, ProducerId};

/// A request for a producer id on its way.
type Asking = Pin<Box<dyn Future<Output = Result<Identity>> + Send>>;

/// Metadata asked for anew; gives the round's number.
type Refreshing = Pin<Box<dyn Future<Output = u64> + Send>>;

/// Runs until the producer is closed and empty.
pub(super) fn run(engine: Arc<Engine>) -> impl Future<Output = ()> + Send {
    // Made here, so that it is there also if the task is torn down before it was polled at all.
    direct(Last(engine))
}

async fn direct(last: Last) {
    let engine = last.0.clone();
    let mut snapshots = engine.cluster.subscribe();
    let mut refusals = engine.cluster.refusals();
    let mut addresses = BTreeMap::new();
    let mut asking: Option<Asking> = None;
    let mut refreshing: Option<Refreshing> = None;
    let mut backoff = engine.cluster.new_backoff();
    let mut pause = Duration::ZERO;
    engine.handle_metadata();
    loop {
        begin_senders(&engine, &mut addresses);
        let until = {
            let mut ledger = engine.ledger();
            if engine.is_closed() {
                ledger.accumulator.set_hurry(true);
                if ledger.accumulator.is_done() {
                    return;
                }
            }
            if asking.is_none() && ledger.accumulator.needs_identity() {
                asking = Some(Box::pin(ask_identity(engine.clone(), pause)));
            }
            if refreshing.is_none() && ledger.accumulator.needs_metadata() {
                refreshing = Some(Box::pin(refresh(engine.clone(), ledger.accumulator.begin_metadata())));
            }
            let expiry = ledger.accumulator.next_timeout();
            ledger.sleeping(expiry.is_none(), asking.is_some(), refreshing.is_some());
            expiry.into_iter().chain(engine.buffers.next_timeout()).min()
        };
        tokio::select! {
            // In a set order, so that a run can be replayed. What can come without end, the calls of users, is last.
            biased;
            round = finished(&mut refreshing) => {
                refreshing = None;
                engine.handle_metadata();
                engine.ledger().accumulator.handle_metadata(round);
            }
            answer = finished(&mut asking) => {
                asking = None;
                match answer {
                    Ok(identity) => {
                        backoff.reset();
                        pause = Duration::ZERO;
                        tracing::debug!(producer_id = identity.producer_id, epoch = identity.epoch, "producer id");
                        engine.ledger().accumulator.handle_identity(identity);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no producer id");
                        pause = backoff.next_pause();
                        engine.ledger().accumulator.handle_identity_failed(&error, !error.is_retriable());
                    }
                }
            }
            () = sleep_until(until) => {
                let now = engine.now();
                engine.buffers.expire(now);
                engine.ledger().accumulator.handle_timeout(now);
            }
            changed = snapshots.changed() => {
                if changed.is_err() {
                    return; // The metadata task is gone, and with it the runtime.
                }
                snapshots.mark_unchanged();
                engine.handle_metadata();
                readdress(&engine, &mut addresses);
            }
            changed = refusals.changed() => {
                if changed.is_err() {
                    return;
                }
                let refusal = refusals.borrow_and_update().clone();
                if let Some(refusal) = refusal {
                    engine.ledger().accumulator.handle_refused(&refusal);
                }
            }
            () = engine.director.notified() => {}
        }
    }
}

/// Ends what is left, and all connections.
struct Last(Arc<Engine>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.close();
        {
            let mut ledger = self.0.ledger();
            ledger.ended = true;
            ledger.accumulator.drop_all();
        }
        self.0.drop_senders();
    }
}

async fn sleep_until(until: Option<std::time::Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(Instant::from_std(until)).await,
        None => std::future::pending().await,
    }
}

/// What is under way, if anything is.
async fn finished<T>(under_way: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match under_way {
        Some(future) => future.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Waits for metadata asked for from now on; not for long, since a leader that is not one says so again and does no harm.
async fn refresh(engine: Arc<Engine>, round: u64) -> u64 {
    let longest = engine.cluster.backoff().max.saturating_mul(2);
    engine.cluster.refreshed(Instant::now() + longest).await;
    round
}

/// Where each broker that we send to was when we last looked.
type Addresses = BTreeMap<i32, (Arc<str>, u16)>;

/// Begins sending to brokers that have batches and no sender yet.
fn begin_senders(engine: &Arc<Engine>, addresses: &mut Addresses) {
    let wanted: Vec<i32> = engine.look(|ledger| ledger.wanted.iter().copied().collect());
    if wanted.is_empty() {
        return;
    }
    let snapshot = engine.cluster.snapshot();
    for broker in wanted {
        // A leader whose address is not known yet comes with the next metadata.
        let Some(node) = snapshot.node(BrokerId(broker)) else { continue };
        match engine.cluster.source(node, BrokerSource::new(engine.clone(), broker)) {
            Ok(sender) => {
                addresses.insert(broker, (node.host.clone(), node.port));
                engine.add_sender(broker, sender);
            }
            Err(error) => tracing::error!(%error, broker, "cannot send to the broker"),
        }
    }
}

/// Brokers may have moved.
fn readdress(engine: &Arc<Engine>, addresses: &mut Addresses) {
    let snapshot = engine.cluster.snapshot();
    for (broker, address) in addresses {
        let Some(node) = snapshot.node(BrokerId(*broker)) else { continue };
        if (&*node.host, node.port) != (&*address.0, address.1) {
            *address = (node.host.clone(), node.port);
            let target = Target { host: node.host.to_string(), port: node.port };
            engine.with_sender(*broker, |sender: &SourceHandle| sender.retarget(target));
        }
    }
}

/// Asks any broker for a producer id, `pause` from now, once and with the retries that routing makes.
async fn ask_identity(engine: Arc<Engine>, pause: Duration) -> Result<Identity> {
    tokio::time::sleep(pause).await;
    let mut backoff: Backoff = engine.cluster.new_backoff();
    let deadline = Instant::now() + engine.settings.request_timeout;
    let request = InitProducerIdRequest {
        transactional_id: None,
        // Means nothing without a transactional id.
        transaction_timeout_ms: i32::MAX,
        producer_id: ProducerId(-1),
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    loop {
        let response = engine.cluster.request_until(request.clone(), Route::Any, deadline).await?;
        let code = response.error_code;
        if code.is_ok() {
            return Ok(Identity { producer_id: response.producer_id.0, epoch: response.producer_epoch });
        }
        let passes = code.is_retriable() || code == ErrorCode::COORDINATOR_NOT_AVAILABLE;
        if !passes || Instant::now() >= deadline {
            let error = Error::from_code(code, "no producer id for the idempotent producer").with_api("InitProducerId");
            return Err(engine.cluster.with_principal(error.with_retriable(passes)));
        }
        tokio::time::sleep(backoff.next_pause()).await;
    }
}
