//! A connector that notes which requests a client sends, so that a test on real brokers can count them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use klamm::network::{BoxFuture, Connector, Target, TcpConnector, Transport};
use klamm::protocol::ApiKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Connects over TCP and notes the API of every request; clones note in one place.
#[derive(Clone, Debug, Default)]
pub struct Tap {
    requests: Arc<Mutex<Vec<i16>>>,
}

impl Tap {
    /// How many requests of this API were sent.
    pub fn count(&self, api: ApiKey) -> usize {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|key| **key == api.0).count()
    }
}

impl Connector for Tap {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let tap = self.clone();
        Box::pin(async move {
            let inner = TcpConnector.connect(target).await?;
            Ok(Box::new(Tapped { inner, tap, head: Vec::with_capacity(6), left: 0 }) as Box<dyn Transport>)
        })
    }
}

struct Tapped {
    inner: Box<dyn Transport>,
    tap: Tap,
    /// Length and API key of the next request, as far as they were written.
    head: Vec<u8>,
    /// Bytes of the current request that are still to come.
    left: usize,
}

impl Tapped {
    fn note(&mut self, mut written: &[u8]) {
        while !written.is_empty() {
            if self.left > 0 {
                let (_, rest) = written.split_at(self.left.min(written.len()));
                self.left -= written.len() - rest.len();
                written = rest;
                continue;
            }
            self.head.push(written[0]);
            written = &written[1..];
            if let [a, b, c, d, high, low] = self.head[..] {
                self.left = u32::from_be_bytes([a, b, c, d]) as usize - 2;
                self.tap.requests.lock().unwrap_or_else(PoisonError::into_inner).push(i16::from_be_bytes([high, low]));
                self.head.clear();
            }
        }
    }
}

impl AsyncRead for Tapped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = &polled {
            self.note(&buf[..*written]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
