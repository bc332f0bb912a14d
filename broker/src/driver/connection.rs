//! One connection: a task that reads requests, and one that writes answers.
//!
//! The core closes a connection by dropping its outbox: what was sent before is still written, then the transport is closed in both
//! directions.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use klamm::protocol::frame::Frames;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};

use crate::driver::{Registered, Shared};
use crate::script::ConnectionId;

/// The largest request, as Kafka's `socket.request.max.bytes`.
const MAX_REQUEST: usize = 104_857_600;

/// Requests that may wait at one connection; more are not read. A real broker reads one at a time, but a test wants to see all that a
/// client has in flight.
const MAX_QUEUED: usize = 100;

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
        _ = write(writer, frames) => {}
        _ = read(&shared, id, reader, &answered) => {}
    }
    shared.closed(id);
}

async fn write<T: AsyncWrite>(mut transport: WriteHalf<T>, mut frames: mpsc::UnboundedReceiver<Vec<Bytes>>) -> io::Result<()> {
    while let Some(frame) = frames.recv().await {
        for part in frame {
            transport.write_all(&part).await?;
        }
        transport.flush().await?;
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
    loop {
        if transport.read_buf(frames.read_buffer()).await? == 0 {
            return Ok(());
        }
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
                Ok(None) => break,
                // Not Kafka's protocol: nothing to say to such a client.
                Err(_) => return Ok(()),
            }
        }
    }
}
