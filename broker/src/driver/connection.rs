//! One connection: a task that reads requests, and one that writes answers.
//!
//! Between the transport and the core lies the network of the cluster ([`Network`](crate::faults::Network)), which delays, cuts and loses
//! what passes. While there is no fault, bytes go past it, straight from and to the transport.
//!
//! The core closes a connection by dropping its outbox: what was sent before is still written, then the transport is closed in both
//! directions.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use klamm::protocol::frame::Frames;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};

use crate::driver::{Passage, Registered, Shared};
use crate::faults::Direction;
use crate::script::ConnectionId;

/// The largest request, as Kafka's `socket.request.max.bytes`.
const MAX_REQUEST: usize = 104_857_600;

/// Requests that may wait at one connection; more are not read. A real broker reads one at a time, but a test wants to see all that a
/// client has in flight.
const MAX_QUEUED: usize = 100;

/// Bytes that may be on their way in each direction while the network is slow: as much as sockets would take.
const ROOM: usize = 64 << 10;

/// Bytes that are read at once then.
const READ: usize = 8 << 10;

/// Serves `transport` until either side closes it.
pub(super) async fn serve<T: AsyncRead + AsyncWrite + Send + 'static>(
    shared: Arc<Shared>,
    node: i32,
    host: String,
    transport: T,
) {
    let Some(Registered { id, frames, answered }) = shared.connected(node, &host) else { return };
    let (reader, writer) = tokio::io::split(transport);
    // Whichever ends first ends the other: a client that is gone needs no answers, and one that is closed is not heard.
    tokio::select! {
        biased;
        _ = write(&shared, id, writer, frames) => {}
        _ = read(&shared, id, reader, &answered) => {}
    }
    shared.closed(id);
}

async fn write<T: AsyncWrite>(
    shared: &Shared,
    id: ConnectionId,
    mut transport: WriteHalf<T>,
    mut frames: mpsc::UnboundedReceiver<Vec<Bytes>>,
) -> io::Result<()> {
    let mut changes = shared.network_changes();
    // What has passed the network and waits for the transport.
    let mut passed = VecDeque::new();
    let mut is_closed = false;
    loop {
        changes.mark_unchanged();
        let passage = shared.passage(id, Direction::FromBroker, |bytes| passed.push_back(bytes));
        let (until, has_room) = match passage {
            Passage::Clear => (None, true),
            Passage::Held { until, queued } => (until, queued < ROOM),
            Passage::Cut | Passage::End => break,
        };
        if passed.is_empty() {
            transport.flush().await?;
        }
        let is_clear = matches!(passage, Passage::Clear);
        tokio::select! {
            biased;
            () = changes.changed() => {}
            written = transport.write(passed.front().map_or(&[][..], |bytes| bytes)), if !passed.is_empty() => {
                let written = written?;
                let is_whole = passed.front_mut().is_none_or(|front| {
                    front.advance(written.min(front.len()));
                    front.is_empty()
                });
                if is_whole {
                    passed.pop_front();
                }
            }
            frame = frames.recv(), if passed.is_empty() && has_room && !is_closed => match frame {
                Some(parts) if is_clear => passed.extend(parts.into_iter().filter(|part| !part.is_empty())),
                Some(parts) => parts.into_iter().for_each(|part| shared.push(id, Direction::FromBroker, part)),
                None if is_clear => break,
                None => {
                    is_closed = true;
                    shared.finish(id, Direction::FromBroker);
                }
            },
            () = due(until) => {}
        }
    }
    for bytes in passed {
        transport.write_all(&bytes).await?;
    }
    transport.shutdown().await
}

async fn read<T: AsyncRead>(
    shared: &Arc<Shared>,
    id: ConnectionId,
    mut transport: ReadHalf<T>,
    answered: &Notify,
) -> io::Result<()> {
    let mut frames = Frames::new(MAX_REQUEST);
    let mut changes = shared.network_changes();
    let mut held = BytesMut::new();
    let mut is_closed = false;
    loop {
        changes.mark_unchanged();
        let buffer = frames.read_buffer();
        let passage = shared.passage(id, Direction::ToBroker, |bytes| buffer.extend_from_slice(&bytes));
        if !handle_frames(shared, id, &mut frames, answered).await {
            return Ok(());
        }
        let (until, has_room) = match passage {
            Passage::Clear => {
                tokio::select! {
                    biased;
                    () = changes.changed() => {}
                    read = transport.read_buf(frames.read_buffer()) => {
                        if read? == 0 {
                            return Ok(());
                        }
                        if !handle_frames(shared, id, &mut frames, answered).await {
                            return Ok(());
                        }
                    }
                }
                continue;
            }
            Passage::Held { until, queued } => (until, queued < ROOM),
            Passage::Cut | Passage::End => return Ok(()),
        };
        held.reserve(READ);
        tokio::select! {
            biased;
            () = changes.changed() => {}
            read = transport.read_buf(&mut held), if has_room && !is_closed => match read? {
                0 => {
                    is_closed = true;
                    shared.finish(id, Direction::ToBroker);
                }
                _ => shared.push(id, Direction::ToBroker, held.split().freeze()),
            },
            () = due(until) => {}
        }
    }
}

/// Hands over the requests that have come whole; `false` if it is not Kafka's protocol: nothing to say to such a client.
async fn handle_frames(shared: &Arc<Shared>, id: ConnectionId, frames: &mut Frames, answered: &Notify) -> bool {
    loop {
        match frames.next_frame() {
            Ok(Some(frame)) => {
                let Some(request) = shared.with(|core, now| core.handle_frame(now, id, &frame)) else { continue };
                shared.arrived();
                let verdict = shared.verdict(&request);
                shared.with(|core, now| core.handle_request(now, request, verdict));
                while shared.look(|core| core.queued(id)) >= MAX_QUEUED {
                    answered.notified().await;
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Waits until then, or for ever.
pub(super) async fn due(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
