//! The connector: opens a transport by the one inside it, and agrees on encryption with who is at the other end.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::BufReader;
use tokio_rustls::client::TlsStream;

use super::certificate::Certificate;
use super::explain::{self, Peer};
use super::rotation::Rotation;
use super::stream::{Encrypted, Opening};
use crate::config::TlsConfig;
use crate::error::Result;
use crate::network::{BoxFuture, Connector, LOG, Target, TlsFailure, Transport};

/// What is read from the network at once. rustls asks for 4 KiB at a time; a record has up to 16 KiB.
const READ: usize = 32 << 10;

/// A connector whose transports are `inner`'s, encrypted as `tls` says.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) for files that cannot be read, and certificates or keys that are none
/// or do not fit together.
pub(crate) fn wrap(inner: Arc<dyn Connector>, tls: &TlsConfig) -> Result<Arc<dyn Connector>> {
    let rotation = Arc::new(Rotation::new(tls)?);
    if !tls.verify_hostname {
        tracing::warn!(
            "TLS: brokers are trusted whatever name their certificate bears (ssl.endpoint.identification.algorithm is empty): whoever has any certificate of a trusted authority can pose as one"
        );
    }
    Ok(Arc::new(TlsConnector { inner, rotation }))
}

/// See the module's head.
#[derive(Debug)]
struct TlsConnector {
    inner: Arc<dyn Connector>,
    rotation: Arc<Rotation>,
}

impl Connector for TlsConnector {
    fn connect(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Transport>>> {
        let (inner, rotation) = (Arc::clone(&self.inner), Arc::clone(&self.rotation));
        Box::pin(async move {
            let name = server_name(&target)?;
            let setup = rotation.setup().await;
            let transport = inner.connect(target.clone()).await?;
            let transport = BufReader::with_capacity(READ, Opening::new(transport));
            let tls = tokio_rustls::TlsConnector::from(Arc::clone(&setup.config));
            match tls.connect(name, transport).into_fallible().await {
                Ok(stream) => {
                    log(&target, &stream);
                    Ok(Box::new(Encrypted::new(stream, setup)) as Box<dyn Transport>)
                }
                Err((error, transport)) => {
                    let peer = Peer { said: transport.get_ref().said(), setup: &setup };
                    Err(explain::handshake(error, &peer))
                }
            }
        })
    }
}

/// The name that the certificate must bear, and that the broker is told (SNI) unless it is an address: the host dialled, without the
/// dot that may end a DNS name.
fn server_name(target: &Target) -> io::Result<ServerName<'static>> {
    let host = target.host.strip_suffix('.').unwrap_or(&target.host);
    ServerName::try_from(host.to_owned()).map_err(|_| {
        TlsFailure::error(format!(
            "{host:?} is neither a DNS name nor an IP address, so no certificate can be for it; have brokers advertise another (advertised.listeners)"
        ))
    })
}

/// What was agreed on.
fn log<T>(target: &Target, stream: &TlsStream<T>) {
    if !tracing::enabled!(target: LOG, tracing::Level::DEBUG) {
        return;
    }
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    let parsed = certificate.and_then(|certificate| webpki::EndEntityCert::try_from(certificate).ok());
    let names: Vec<_> = parsed.iter().flat_map(|certificate| certificate.valid_dns_names()).take(5).collect();
    let said = certificate.and_then(|certificate| Certificate::read(certificate)).unwrap_or_default();
    tracing::debug!(
        target: LOG,
        broker = %target,
        version = session.protocol_version().and_then(|version| version.as_str()).map(|version| version.replace('_', ".")),
        suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()),
        handshake = session.handshake_kind().map(tracing::field::debug),
        // What somebody else wrote is shown with escapes.
        subject = ?said.subject,
        issuer = ?said.issuer,
        expires = said.expires,
        ?names,
        "TLS agreed on"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_to_verify_is_the_host_dialled() {
        for (host, name) in [
            ("kafka1", "kafka1"),
            ("kafka-1.example.", "kafka-1.example"),
            ("my_broker.example", "my_broker.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(server_name(&Target::new(host, 9093)).unwrap().to_str(), name);
        }
        for host in ["", ".", "a b", "a..b", "fe80::1%eth0", "kafk\u{e4}", "a\nb"] {
            let error = server_name(&Target::new(host, 9093)).unwrap_err();
            assert!(TlsFailure::of(&error).is_some() && error.to_string().contains("neither a DNS name"), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
}
