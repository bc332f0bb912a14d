//! A TLS server in front of the embedded broker.

use std::io;
use std::sync::{Arc, Mutex};

use klamm::network::{BoxFuture, Connector, Target, Transport};
use klamm_broker::{Broker, MemoryConnector};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, copy_bidirectional, split};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig};

use crate::{Authority, Issued};

/// How a TLS server is set up.
pub(crate) struct Server<'a> {
    certificate: &'a Issued,
    /// What follows the certificate.
    chain: String,
    clients_from: Option<&'a Authority>,
    versions: Vec<ProtocolVersion>,
}

/// A server that shows `certificate` and asks for none.
pub(crate) fn server(certificate: &Issued) -> Server<'_> {
    let versions = vec![ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3];
    Server { certificate, chain: String::new(), clients_from: None, versions }
}

impl<'a> Server<'a> {
    /// Requires a certificate of clients, from this authority.
    pub(crate) fn clients_from(mut self, authority: &'a Authority) -> Self {
        self.clients_from = Some(authority);
        self
    }

    /// Shows these certificates after its own.
    pub(crate) fn chain(mut self, pem: String) -> Self {
        self.chain = pem;
        self
    }

    pub(crate) fn only(mut self, version: ProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    pub(crate) fn config(self) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let versions: Vec<_> = [&TLS12, &TLS13].into_iter().filter(|known| self.versions.contains(&known.version)).collect();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions).unwrap();
        let builder = match self.clients_from {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = format!("{}{}", self.certificate.certificate, self.chain);
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(self.certificate.key_pem().as_bytes()).unwrap();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }

    /// The server, in front of `broker`, in memory.
    pub(crate) fn before(self, broker: &Broker) -> Front {
        Front { config: self.config(), behind: broker.connector(), pipe: 1 << 16, end: End::Orderly, seen: Arc::default() }
    }
}

/// What the server saw of one client.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The name it asked for (SNI).
    pub(crate) name: Option<String>,
    /// The certificates it showed, in order.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) version: Option<ProtocolVersion>,
    pub(crate) handshake: Option<HandshakeKind>,
}

/// How connections end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// When the broker closes, with TLS's farewell (close_notify).
    Orderly,
    /// When the broker closes, without a word.
    Abrupt,
    /// Without a word after so many bytes of answers.
    AbruptAfter(u64),
}

/// The server's end of the way to a broker.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    config: Arc<ServerConfig>,
    behind: MemoryConnector,
    /// Bytes that a pipe holds.
    pipe: usize,
    end: End,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Front {
    /// Each connection so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The same through pipes that hold so many bytes.
    pub(crate) fn with_pipes_of(mut self, bytes: usize) -> Self {
        self.pipe = bytes;
        self
    }

    pub(crate) fn ending(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// Serves one connection that came for `target`.
    pub(crate) async fn serve(&self, target: Target, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let mut stream = TlsAcceptor::from(Arc::clone(&self.config)).accept(stream).await?;
        let (_, session) = stream.get_ref();
        let seen = Seen {
            name: session.server_name().map(str::to_owned),
            certificates: session.peer_certificates().unwrap_or_default().to_vec(),
            version: session.protocol_version(),
            handshake: session.handshake_kind(),
        };
        self.seen.lock().unwrap().push(seen);
        // The embedded broker knows its nodes without the dot.
        let host = target.host.strip_suffix('.').unwrap_or(&target.host).to_owned();
        let mut behind = self.behind.connect(Target::new(host, target.port)).await?;
        let limit = match self.end {
            End::Orderly => return copy_bidirectional(&mut stream, &mut behind).await.map(drop),
            End::Abrupt => u64::MAX,
            End::AbruptAfter(bytes) => bytes,
        };
        let (mut requests, mut to_client) = split(stream);
        let (answers, mut to_broker) = split(behind);
        let mut answers = answers.take(limit);
        let answering = async {
            tokio::io::copy(&mut answers, &mut to_client).await?;
            to_client.flush().await
        };
        tokio::select! {
            end = answering => end,
            end = tokio::io::copy(&mut requests, &mut to_broker) => end.map(drop),
        }
    }

    /// Serves one connection in the background; gives the client's end of it.
    pub(crate) fn open(&self, target: Target) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(self.pipe);
        let this = self.clone();
        drop(tokio::spawn(async move { this.serve(target, theirs).await }));
        ours
    }
}

impl Connector for Front {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let this = self.clone();
        Box::pin(async move { Ok(Box::new(this.open(target)) as Box<dyn Transport>) })
    }
}
