//! Ways to a broker that are slow, broken or lead elsewhere.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use klamm::network::{BoxFuture, Connector, Target, Transport};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};

use crate::Front;

/// What stands at the other end says this to whatever it hears first.
#[derive(Clone, Debug)]
pub(crate) struct Speaks {
    pub(crate) words: Vec<u8>,
    /// Does it close then, or leave the connection as it is?
    pub(crate) closes: bool,
}

impl Connector for Speaks {
    fn connect(&self, _target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let this = self.clone();
        Box::pin(async move {
            let (ours, mut theirs) = tokio::io::duplex(1 << 16);
            drop(tokio::spawn(async move {
                let _ = theirs.read_u8().await;
                let _ = theirs.write_all(&this.words).await;
                if !this.closes {
                    let _ = theirs.read_to_end(&mut Vec::new()).await;
                }
            }));
            Ok(Box::new(ours) as Box<dyn Transport>)
        })
    }
}

/// Gives one byte at a time in each direction, and none at all every other time it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Drip(pub(crate) Front);

impl Connector for Drip {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let stream = self.0.open(target);
        Box::pin(async move { Ok(Box::new(Dripping { stream, rests: [false; 3] }) as Box<dyn Transport>) })
    }
}

struct Dripping {
    stream: DuplexStream,
    /// Was there nothing the last time, in reading, writing, flushing?
    rests: [bool; 3],
}

impl Dripping {
    fn rest(&mut self, cx: &Context<'_>, of: usize) -> Poll<()> {
        self.rests[of] = !self.rests[of];
        if !self.rests[of] {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Dripping {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.rest(cx, 0));
        let mut one = buf.take(1);
        let result = Pin::new(&mut self.stream).poll_read(cx, &mut one);
        let (filled, read) = (one.filled().len(), one.filled().first().copied());
        if let Some(byte) = read {
            buf.put_slice(&[byte][..filled]);
        }
        result
    }
}

impl AsyncWrite for Dripping {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.rest(cx, 1));
        Pin::new(&mut self.stream).poll_write(cx, &buf[..buf.len().min(1)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
        self.poll_write(cx, first)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.rest(cx, 2));
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What happens to the bytes that the server sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tampering {
    None,
    /// After so many the connection is closed.
    Closed(usize),
    /// After so many nothing comes any more.
    Silent(usize),
    /// This one has another bit.
    Flipped(usize),
}

/// Somebody in the middle.
#[derive(Clone, Debug)]
pub(crate) struct Tampered {
    pub(crate) front: Front,
    pub(crate) tampering: Tampering,
    /// Bytes that came from the server on the last connection.
    pub(crate) count: Arc<AtomicUsize>,
    /// Did the server's bytes reach the place in question?
    pub(crate) happened: Arc<AtomicBool>,
}

impl Tampered {
    pub(crate) fn new(front: Front, tampering: Tampering) -> Self {
        Self { front, tampering, count: Arc::default(), happened: Arc::default() }
    }
}

impl Connector for Tampered {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let (server, this) = (self.front.open(target), self.clone());
        Box::pin(async move {
            this.count.store(0, Ordering::Relaxed);
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            drop(tokio::spawn(async move { this.relay(server, theirs).await }));
            Ok(Box::new(ours) as Box<dyn Transport>)
        })
    }
}

impl Tampered {
    async fn relay(self, server: DuplexStream, client: DuplexStream) -> io::Result<()> {
        let (mut from_server, mut to_server) = tokio::io::split(server);
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let answers = async {
            let mut at = 0;
            loop {
                let mut byte = from_server.read_u8().await?;
                match self.tampering {
                    Tampering::Closed(end) if at == end => {
                        self.happened.store(true, Ordering::Relaxed);
                        return Ok::<_, io::Error>(());
                    }
                    Tampering::Silent(end) if at == end => {
                        self.happened.store(true, Ordering::Relaxed);
                        std::future::pending::<()>().await;
                    }
                    Tampering::Flipped(place) if at == place => {
                        self.happened.store(true, Ordering::Relaxed);
                        byte ^= 1 << (place % 8);
                    }
                    _ => {}
                }
                to_client.write_u8(byte).await?;
                at += 1;
                self.count.store(at, Ordering::Relaxed);
            }
        };
        tokio::select! {
            end = answers => end,
            end = tokio::io::copy(&mut from_client, &mut to_server) => end.map(drop),
        }
    }
}
