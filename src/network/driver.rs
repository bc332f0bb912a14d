//! The task of a connection: moves bytes between the core, a transport and a source of requests.
//!
//! It decides nothing. One turn reads, hands answers over, takes new requests, writes; turns repeat while something moved, up to a
//! limit, so that one busy connection does not keep a worker to itself. It then sleeps until bytes come, the source wakes it, or the
//! earliest deadline: one timer for all, set anew only when it would fire too late. The future can be dropped between any two polls:
//! all that is half done is in the core's buffers. Work that takes a processor long (a password's derivation) is done on the runtime's
//! blocking pool while the connection's deadline runs on.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant as TokioInstant, Sleep};

use crate::error::{Error, ErrorKind};
use crate::network::connection::Core;
use crate::network::exchange::{Exchange, Notice};
use crate::network::setup::WorkResult;
use crate::network::{
    BoxFuture, Cause, CauseKind, ConnectionConfig, Connector, LOG, RequestSource, Target, TlsFailure, Transport,
};

/// Turns in one poll.
const MAX_TURNS: usize = 32;
/// Slices in one vectored write.
const MAX_SLICES: usize = 128;

/// Controls a connection whose requests come from a source. Dropping it closes the connection.
pub(crate) struct SourceHandle {
    shared: Arc<Shared>,
}

impl SourceHandle {
    /// There is work: the source will be asked. Cheap when it has been said already.
    pub(crate) fn wake(&self) {
        self.shared.wake();
    }

    /// Closes the connection and drops the source; what is in flight is answered with a failure first.
    pub(crate) fn close(&self) {
        self.shared.command(|commands| commands.close = true);
    }

    /// The broker's address is another now: the connection is closed, the next goes there.
    pub(crate) fn retarget(&self, target: Target) {
        self.shared.command(|commands| commands.target = Some(target));
    }

    /// An answer that came on `connection` could not be decoded: if that is the present one, it is closed.
    pub(in crate::network) fn condemn(&self, connection: u64, cause: Cause) {
        self.shared.command(|commands| commands.condemned = Some((connection, cause)));
    }

    /// Has the task ended?
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }
}

impl Drop for SourceHandle {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for SourceHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceHandle").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Starts a task that connects when `source` wants it, and sends what `source` gives.
///
/// # Errors
/// When not called inside a tokio runtime.
pub(crate) fn spawn_source<S: RequestSource>(
    connector: Arc<dyn Connector>,
    target: Target,
    config: ConnectionConfig,
    source: S,
) -> Result<SourceHandle, Error> {
    let Ok(runtime) = Handle::try_current() else {
        let text = "no tokio runtime here: build and use the client inside one, for example in #[tokio::main]";
        return Err(Error::new(ErrorKind::InvalidRequest, text));
    };
    let shared = Arc::new(Shared::default());
    let driver = Driver {
        node: config.broker.as_ref().map(|broker| broker.id),
        is_tls: config.is_tls,
        exchange: Exchange::new(Core::new(config, &target), source),
        connector,
        target,
        connecting: None,
        transport: None,
        work: None,
        runtime: runtime.clone(),
        needs_flush: false,
        sleep: None,
        shared: Arc::clone(&shared),
    };
    drop(runtime.spawn(driver));
    Ok(SourceHandle { shared })
}

/// Between a driver and its handle.
#[derive(Default)]
struct Shared {
    /// Was a wake asked for since the driver last looked? Many wakes become one.
    woken: AtomicBool,
    ended: AtomicBool,
    mailbox: Mutex<Mailbox>,
}

#[derive(Default)]
struct Mailbox {
    waker: Option<Waker>,
    commands: Commands,
}

#[derive(Default)]
struct Commands {
    close: bool,
    target: Option<Target>,
    condemned: Option<(u64, Cause)>,
}

impl Shared {
    fn command(&self, change: impl FnOnce(&mut Commands)) {
        change(&mut self.mailbox.lock().unwrap_or_else(PoisonError::into_inner).commands);
        self.wake();
    }

    fn wake(&self) {
        // The driver stores its waker, clears the flag, then looks for work. So a flag found set means that it has yet to look.
        if !self.woken.swap(true, Ordering::SeqCst) {
            let waker = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner).waker.clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// The driver's side: leaves the waker, takes the commands.
    fn check(&self, cx: &Context<'_>) -> Commands {
        let mut mailbox = self.mailbox.lock().unwrap_or_else(PoisonError::into_inner);
        if !mailbox.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            mailbox.waker = Some(cx.waker().clone());
        }
        self.woken.store(false, Ordering::SeqCst);
        std::mem::take(&mut mailbox.commands)
    }
}

type Connecting = BoxFuture<'static, io::Result<Box<dyn Transport>>>;

/// Work on the blocking pool. Dropped before it was begun it is not done; once begun it is finished for nobody.
struct Job(JoinHandle<WorkResult>);

impl Drop for Job {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The task.
struct Driver<S> {
    exchange: Exchange<S>,
    connector: Arc<dyn Connector>,
    target: Target,
    /// The broker's id and whether the transport is encrypted, for the log.
    node: Option<i32>,
    is_tls: bool,
    connecting: Option<Connecting>,
    transport: Option<Box<dyn Transport>>,
    /// What is being worked on, and the connection that wants it.
    work: Option<(u64, Job)>,
    runtime: Handle,
    /// Were bytes written since the last flush?
    needs_flush: bool,
    /// The timer; gone once it fired.
    sleep: Option<Pin<Box<Sleep>>>,
    shared: Arc<Shared>,
}

/// Nothing in it is pinned in place: transport and futures are boxed.
impl<S> Unpin for Driver<S> {}

impl<S> Drop for Driver<S> {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
    }
}

impl<S: RequestSource> Future for Driver<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let commands = this.shared.check(cx);
        if this.obey(commands) {
            return Poll::Ready(());
        }
        this.exchange.source.handle_wake();
        for _ in 0..MAX_TURNS {
            let now = TokioInstant::now().into_std();
            this.timeouts(now);
            let mut moved = this.connect(cx, now);
            moved |= this.work(cx, now);
            moved |= this.read(cx, now);
            this.tell_source(now);
            moved |= this.exchange.pull(cx, now);
            moved |= this.write(cx, now);
            this.tell_source(now);
            if this.exchange.is_done() {
                this.exchange.core.close(&Cause::new(CauseKind::Closed, "all requests are answered"));
                return Poll::Ready(());
            }
            if !moved && !this.timer(cx, now) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: RequestSource> Driver<S> {
    /// Does what the handle asked for; true if that is the end.
    fn obey(&mut self, commands: Commands) -> bool {
        let now = TokioInstant::now().into_std();
        if let Some((connection, cause)) = commands.condemned
            && connection == self.exchange.core.connection()
        {
            self.exchange.core.handle_broken(now, &cause);
        }
        if let Some(target) = commands.target
            && target != self.target
        {
            let text = format!("{} moved to {target}: the connection was closed", self.target);
            self.exchange.core.close(&Cause::new(CauseKind::Disconnected, text));
            self.exchange.core.set_target(&target);
            self.target = target;
        }
        if commands.close {
            let text = format!("the connection to {} was closed by this client", self.target);
            self.exchange.core.close(&Cause::new(CauseKind::Closed, text));
        }
        self.tell_source(now);
        commands.close
    }

    /// Fires what is due.
    fn timeouts(&mut self, now: Instant) {
        self.exchange.handle_timeout(now);
        self.tell_source(now);
    }

    /// Connects if the source wants it and the core's pause is over.
    fn connect(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.exchange.begin_connecting(now) {
            tracing::debug!(target: LOG, broker = %self.target, node = self.node, tls = self.is_tls, "connecting");
            self.connecting = Some(self.connector.connect(self.target.clone()));
        }
        let Some(connecting) = &mut self.connecting else { return false };
        match connecting.as_mut().poll(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(transport)) => {
                self.transport = Some(transport);
                self.needs_flush = false;
                self.exchange.core.handle_connected(now);
            }
            Poll::Ready(Err(error)) => match TlsFailure::of(&error) {
                Some(failure) => self.exchange.core.handle_tls_failed(now, failure),
                None => self.exchange.core.handle_connect_failed(now, &error.to_string()),
            },
        }
        self.connecting = None;
        true
    }

    /// Hands over what came of work that is done.
    fn work(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some((connection, job)) = &mut self.work else { return false };
        let Poll::Ready(result) = Pin::new(&mut job.0).poll(cx) else { return false };
        let connection = *connection;
        self.work = None;
        // An error is a runtime that ends, or a panic.
        self.exchange.core.handle_work(now, connection, result.ok());
        self.tell_source(now);
        true
    }

    /// Reads once.
    fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(transport) = &mut self.transport else { return false };
        match pin!(transport.read_buf(self.exchange.core.read_buffer())).poll(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.exchange.core.handle_closed(now, None),
            Poll::Ready(Ok(_)) => self.exchange.core.handle_read(now),
            Poll::Ready(Err(error)) => broke(&mut self.exchange.core, now, &error),
        }
        true
    }

    /// Writes until all is written or the transport takes no more.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        while let Some(transport) = &mut self.transport
            && self.exchange.core.has_output()
        {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let count = self.exchange.core.slices(&mut slices);
            match Pin::new(transport).poll_write_vectored(cx, &slices[..count]) {
                Poll::Pending => return moved,
                Poll::Ready(Ok(0)) => self.exchange.core.handle_closed(now, Some("it takes no more bytes")),
                Poll::Ready(Ok(count)) => self.exchange.core.handle_written(now, count),
                Poll::Ready(Err(error)) => broke(&mut self.exchange.core, now, &error),
            }
            self.needs_flush = true;
            moved = true;
            // Before anything else happens: what was written may be frozen by this.
            self.tell_source(now);
        }
        if self.needs_flush
            && let Some(transport) = &mut self.transport
        {
            match Pin::new(transport).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.needs_flush = false,
                Poll::Ready(Err(error)) => {
                    broke(&mut self.exchange.core, now, &error);
                    moved = true;
                }
            }
        }
        moved
    }

    /// Hands over what the core has to say, and drops a transport it no longer wants.
    fn tell_source(&mut self, now: Instant) {
        while let Some(notice) = self.exchange.poll_notice(now) {
            match notice {
                Notice::Ready => {
                    tracing::debug!(target: LOG, broker = %self.target, node = self.node, tls = self.is_tls, "connected");
                }
                Notice::Renewed => tracing::debug!(target: LOG, broker = %self.target, node = self.node, "session renewed"),
                Notice::Work(work) => {
                    let job = Job(self.runtime.spawn_blocking(move || work.run()));
                    self.work = Some((self.exchange.core.connection(), job));
                }
                Notice::Unconnected(cause) => {
                    tracing::debug!(target: LOG, broker = %self.target, node = self.node, %cause, "not connected");
                }
                Notice::Throttled(pause) => {
                    tracing::debug!(target: LOG, broker = %self.target, node = self.node, ?pause, "throttled");
                }
            }
        }
        if !self.exchange.core.has_transport() && (self.transport.is_some() || self.connecting.is_some()) {
            tracing::debug!(target: LOG, broker = %self.target, node = self.node, cause = ?self.exchange.core.last_cause(), "disconnected");
            (self.transport, self.connecting, self.work) = (None, None, None);
        }
    }

    /// Sets the timer; true if something is due already.
    fn timer(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let Some(deadline) = self.exchange.next_timeout(now) else { return false };
        let deadline = TokioInstant::from_std(deadline);
        let sleep = match &mut self.sleep {
            // One that fires too early costs a wake now and then; setting it anew for each request would cost more.
            Some(sleep) => {
                if sleep.deadline() > deadline {
                    sleep.as_mut().reset(deadline);
                }
                sleep
            }
            None => self.sleep.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        let due = sleep.as_mut().poll(cx).is_ready();
        if due {
            self.sleep = None;
        }
        due
    }
}

/// The transport broke: under TLS it may be for a certificate of ours, which the broker refuses only after the handshake (TLS 1.3).
fn broke(core: &mut Core, now: Instant, error: &io::Error) {
    match TlsFailure::of(error) {
        Some(failure) => core.handle_tls_failed(now, failure),
        None => core.handle_closed(now, Some(&error.to_string())),
    }
}
