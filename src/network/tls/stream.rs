//! Bytes under TLS, after the handshake, and the first bytes below it, which tell what the other side speaks instead.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::explain::{self, Peer};
use super::setup::Setup;
use crate::network::Transport;

/// How many bytes at the start are remembered.
const SAID: usize = 5;

/// A transport that remembers what came first.
pub(super) struct Opening {
    transport: Box<dyn Transport>,
    said: [u8; SAID],
    len: usize,
}

impl Opening {
    pub(super) fn new(transport: Box<dyn Transport>) -> Self {
        Self { transport, said: [0; SAID], len: 0 }
    }

    /// The first bytes that the other side sent.
    pub(super) fn said(&self) -> &[u8] {
        self.said.get(..self.len).unwrap_or_default()
    }
}

impl AsyncRead for Opening {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.transport).poll_read(cx, buf);
        if self.len < SAID {
            let this = &mut *self;
            for (place, byte) in this.said.iter_mut().skip(this.len).zip(buf.filled().iter().skip(before)) {
                *place = *byte;
                this.len += 1;
            }
        }
        result
    }
}

impl AsyncWrite for Opening {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

/// A transport under TLS. Its errors say in words what went wrong, as far as that is TLS's.
pub(super) struct Encrypted {
    stream: TlsStream<BufReader<Opening>>,
    setup: Setup,
    /// Has anything come since the handshake? Then the broker is content with what we showed of ourselves.
    is_accepted: bool,
}

impl Encrypted {
    pub(super) fn new(stream: TlsStream<BufReader<Opening>>, setup: Setup) -> Self {
        Self { stream, setup, is_accepted: false }
    }

    /// Makes of an error what people can use.
    fn explained(&self, error: io::Error) -> io::Error {
        let (transport, _) = self.stream.get_ref();
        explain::later(error, &Peer { said: transport.get_ref().said(), setup: &self.setup }, self.is_accepted)
    }

    /// The same for an error in writing. A broker that refuses us says so and closes; we may meet that by writing before we have read
    /// what it said.
    fn write_failed(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        let mut byte = [0];
        if !self.is_accepted
            && let Poll::Ready(Err(said)) = Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut byte))
            && explain::is_tls(&said)
        {
            return self.explained(said);
        }
        self.explained(error)
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                self.is_accepted |= buf.filled().len() > before;
                Poll::Ready(Ok(()))
            }
            // An end without TLS's farewell. Frames have a length, so nobody can cut the stream unnoticed: between two of them it is an
            // end like any other, and inside of one the connection's core takes it for a break.
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.explained(error))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf).map_err(|error| self.write_failed(cx, error))
    }

    /// rustls encrypts straight from the slices, 64 KiB at a time.
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices).map_err(|error| self.write_failed(cx, error))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(|error| self.write_failed(cx, error))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
