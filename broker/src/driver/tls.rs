//! TLS for the listeners: what a test gives of certificates, and the handshake.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How the listeners of a broker speak TLS: the certificate that its nodes show, and whose certificates they want to see. TLS 1.2 and 1.3.
#[derive(Clone)]
#[must_use]
pub struct ListenerTls {
    chain: String,
    key: String,
    clients_from: Option<String>,
}

/// Without the key.
impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerTls")
            .field("chain", &self.chain)
            .field("clients_from", &self.clients_from)
            .finish_non_exhaustive()
    }
}

impl ListenerTls {
    /// With a certificate (what it is signed with may follow) and its key, both PEM. It should be one for the address that the
    /// nodes listen at.
    pub fn new(chain: impl Into<String>, key: impl Into<String>) -> Self {
        Self { chain: chain.into(), key: key.into(), clients_from: None }
    }

    /// Wants a certificate of every client, from one of these authorities (PEM); else the handshake fails. Default: none is asked for.
    pub fn clients_from(mut self, authorities: impl Into<String>) -> Self {
        self.clients_from = Some(authorities.into());
        self
    }

    /// What takes connections.
    pub(crate) fn acceptor(&self) -> io::Result<Acceptor> {
        let wrong = |what: &str, why: &dyn fmt::Display| io::Error::new(ErrorKind::InvalidInput, format!("{what}: {why}"));
        let certificates = |pem: &str, what: &str| {
            let found = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
            match found.map_err(|error| wrong(what, &error))? {
                found if found.is_empty() => Err(wrong(what, &"there is none in the PEM")),
                found => Ok(found),
            }
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| wrong("TLS", &error))?;
        let builder = match &self.clients_from {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let what = "the authorities of clients";
                let mut roots = RootCertStore::empty();
                for authority in certificates(authorities, what)? {
                    roots.add(authority).map_err(|error| wrong(what, &error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| wrong(what, &error))?)
            }
        };
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| wrong("the key", &error))?;
        let config = builder.with_single_cert(certificates(&self.chain, "the certificate")?, key);
        let config = config.map_err(|error| wrong("certificate and key", &error))?;
        Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
    }
}

/// Takes connections with a handshake.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// Fails where the client does not speak TLS, or does not show what it has to.
    pub(super) async fn accept<T: AsyncRead + AsyncWrite + Unpin>(&self, transport: T) -> io::Result<TlsStream<T>> {
        self.0.accept(transport).await
    }
}
