//! How bytes get to a broker: [`Connector`] opens a [`Transport`] to a [`Target`].
//!
//! [`TcpConnector`] is what a client uses unless told otherwise. Proxies, in-memory pipes and TLS are other connectors, often around
//! an inner one. A connector only connects: time-outs, pauses between attempts and everything of Kafka are the connection's.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::error::Untrusted;

/// A future that may be kept and sent.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The address of a broker as a name or number, and its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Target {
    /// A target; brackets around an IPv6 address are taken off.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let mut host = host.into();
        if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            host = inner.to_owned();
        }
        Self { host, port }
    }
}

/// `host:port`, with brackets around an IPv6 address.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", Untrusted(&self.host), self.port)
        } else {
            write!(f, "{}:{}", Untrusted(&self.host), self.port)
        }
    }
}

/// A stream of bytes both ways. Implemented by every type that can be.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Opens transports.
pub trait Connector: Send + Sync + fmt::Debug + 'static {
    /// Connects to `target`. Dropping the future gives the attempt up; the caller limits its time.
    ///
    /// # Errors
    /// Why it could not, with each address tried: the text is shown to users.
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>>;
}

/// Connects over TCP, without Nagle's delay.
///
/// A name is resolved anew for each call, and all its addresses are tried in the resolver's order: the next one when the one before
/// refused, or has not answered for a second, in which case both go on and the first to answer wins.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            let addresses: Vec<_> = match tokio::net::lookup_host((target.host.as_str(), target.port)).await {
                Ok(addresses) => addresses.collect(),
                Err(error) => {
                    let text = format!("the name \"{}\" cannot be resolved: {error}", target.host);
                    return Err(io::Error::new(io::ErrorKind::NotFound, text));
                }
            };
            let stream = first_to_connect(addresses).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }
}

/// An address that has not answered for so long no longer holds up the next one.
const STAGGER: Duration = Duration::from_secs(1);

/// Tries addresses one after the other, overlapping where one is slow.
async fn first_to_connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut left = addresses.into_iter();
    let mut tried: Vec<(SocketAddr, BoxFuture<'static, io::Result<TcpStream>>)> = Vec::new();
    let mut reasons: Vec<(SocketAddr, io::Error)> = Vec::new();
    let mut stagger = Box::pin(tokio::time::sleep(STAGGER));
    poll_fn(|cx| {
        loop {
            let mut at = 0;
            while let Some((address, attempt)) = tried.get_mut(at) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => {
                        reasons.push((*address, error));
                        drop(tried.remove(at));
                    }
                    Poll::Pending => at += 1,
                }
            }
            let slow = !tried.is_empty();
            if slow && (left.len() == 0 || stagger.as_mut().poll(cx).is_pending()) {
                return Poll::Pending;
            }
            match left.next() {
                Some(address) => {
                    tried.push((address, Box::pin(TcpStream::connect(address))));
                    stagger.as_mut().reset(tokio::time::Instant::now() + STAGGER);
                }
                None => return Poll::Ready(Err(refusal(&mut reasons))),
            }
        }
    })
    .await
}

/// One error from the reasons of all addresses.
fn refusal(reasons: &mut Vec<(SocketAddr, io::Error)>) -> io::Error {
    let kind = reasons.last().map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
    let text = match reasons.as_slice() {
        [] => "the name has no address".to_owned(),
        all => all.iter().map(|(address, error)| format!("{address}: {error}")).collect::<Vec<_>>().join("; "),
    };
    io::Error::new(kind, text)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn targets_show_ipv6_in_brackets_and_take_them_off() {
        for (host, shown) in
            [("kafka1", "kafka1:9092"), ("kafka1.", "kafka1.:9092"), ("::1", "[::1]:9092"), ("[::1]", "[::1]:9092")]
        {
            assert_eq!(Target::new(host, 9092).to_string(), shown);
        }
        assert_eq!(Target::new("[::1]", 1).host, "::1");
    }

    /// An address on which nothing listens.
    async fn refusing() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn connects_by_name_and_sends_without_delay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let mut transport = TcpConnector.connect(Target::new(host, port)).await.unwrap();
            let (mut peer, _) = listener.accept().await.unwrap();
            transport.write_all(b"x").await.unwrap();
            assert_eq!(peer.read_u8().await.unwrap(), b'x');
        }
    }

    #[tokio::test]
    async fn connects_to_an_ipv6_literal_with_and_without_brackets() {
        let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
        let port = listener.local_addr().unwrap().port();
        for host in ["::1", "[::1]"] {
            TcpConnector.connect(Target::new(host, port)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn rk_183_the_second_address_is_used_when_the_first_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let stream = first_to_connect(vec![refusing().await, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
    }

    #[tokio::test]
    async fn every_address_that_refused_is_in_the_error() {
        let (first, second) = (refusing().await, refusing().await);
        let error = first_to_connect(vec![first, second]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.contains(&first.to_string()) && text.contains(&second.to_string()), "{text}");
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_named() {
        let error = TcpConnector.connect(Target::new("no-such-host.invalid", 9092)).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("\"no-such-host.invalid\" cannot be resolved"), "{error}");
    }
}
