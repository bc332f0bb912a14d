//! A rustls configuration from what the user said, once when the client is built and again when files changed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, InconsistentKeys, SignatureScheme, SupportedProtocolVersion};

use super::pem;
use super::verifier::{Roots, verifier};
use crate::config::{Pem, TlsConfig, TlsVersion};
use crate::error::{Error, ErrorKind, Result};

/// Sessions kept for resumption, one a broker.
const SESSIONS: usize = 256;

/// What connections are made with.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) config: Arc<ClientConfig>,
    pub(super) identity: Arc<Identity>,
    pub(super) roots: Roots,
}

impl Setup {
    /// Reads all files.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming setting and file.
    pub(super) fn new(tls: &TlsConfig) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut given = Vec::new();
        for pem in &tls.authorities {
            let source = Source { pem, text: "ssl.truststore.certificates", file: "ssl.truststore.location" };
            given.extend(source.authorities()?);
        }
        let roots = match (given.is_empty(), tls.system_roots) {
            (true, _) => Roots::System,
            (false, Some(true)) => Roots::Both,
            (false, _) => Roots::Given,
        };
        let verifier = verifier(given, roots, tls.verify_hostname, &provider).map_err(|why| invalid(&why))?;
        let identity = Arc::new(Identity { key: identity(tls, &provider)?, was_asked: AtomicBool::new(false) });
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(tls))
            .map_err(|error| invalid(&format!("these versions cannot be used (ssl.enabled.protocols): {error}")))?;
        let config = config.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = config.with_client_cert_resolver(Arc::clone(&identity) as _);
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Self { config: Arc::new(config), identity, roots })
    }
}

fn invalid(why: &dyn fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("TLS: {why}"))
}

fn versions(tls: &TlsConfig) -> Vec<&'static SupportedProtocolVersion> {
    let is_allowed = |version: &TlsVersion| tls.versions.is_empty() || tls.versions.contains(version);
    let all = [(TlsVersion::Tls13, &rustls::version::TLS13), (TlsVersion::Tls12, &rustls::version::TLS12)];
    all.into_iter().filter(|(version, _)| is_allowed(version)).map(|(_, version)| version).collect()
}

/// Certificate and key to show to brokers that ask.
fn identity(tls: &TlsConfig, provider: &CryptoProvider) -> Result<Option<Arc<CertifiedKey>>> {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else { return Ok(None) };
    // Java's key store is both in one.
    let (certificate_file, key_file) = match (certificate, key) {
        (Pem::File(one), Pem::File(other)) if one == other => ("ssl.keystore.location", "ssl.keystore.location"),
        _ => ("ssl.certificate.location", "ssl.key.location"),
    };
    let certificate = Source { pem: certificate, text: "ssl.keystore.certificate.chain", file: certificate_file };
    let key = Source { pem: key, text: "ssl.keystore.key", file: key_file };
    let mut chain = certificate.certificates()?;
    if let Some(pem) = &tls.chain {
        chain.extend(Source { pem, text: "client_certificate_chain", file: "client_certificate_chain" }.certificates()?);
    }
    let text = pem::read(key.pem).map_err(|why| key.invalid(&why))?;
    let der = pem::private_key(&text, tls.key_password.as_ref()).map_err(|why| key.invalid(&why))?;
    match CertifiedKey::from_der(chain, der, provider) {
        Ok(key) => Ok(Some(Arc::new(key))),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(key.invalid(&format_args!("the private key is not that of the client's certificate ({certificate})")))
        }
        Err(rustls::Error::InvalidCertificate(error)) => {
            Err(certificate.invalid(&format_args!("the client's certificate cannot be used: {error}")))
        }
        Err(error) => Err(key.invalid(&format_args!(
            "the private key cannot be used: {error}; keys may be RSA (2048 to 8192 bits), ECDSA (P-256, P-384) or Ed25519"
        ))),
    }
}

/// A PEM and the settings that may have given it.
struct Source<'a> {
    pem: &'a Pem,
    /// The setting, if it is text.
    text: &'static str,
    /// The setting, if it is a file.
    file: &'static str,
}

impl Source<'_> {
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let text = pem::read(self.pem).map_err(|why| self.invalid(&why))?;
        pem::certificates(&text).map_err(|why| self.invalid(&why))
    }

    fn authorities(&self) -> Result<Vec<CertificateDer<'static>>> {
        let certificates = self.certificates()?;
        for (number, certificate) in certificates.iter().enumerate() {
            // What cannot be trusted is found here, where its place is known.
            webpki::anchor_from_trusted_cert(certificate).map_err(|error| {
                self.invalid(&format_args!("certificate number {} in it is damaged, or none: {error}", number + 1))
            })?;
        }
        Ok(certificates)
    }

    fn invalid(&self, why: &dyn fmt::Display) -> Error {
        invalid(&format_args!("{self}: {why}"))
    }
}

/// The setting and, if there is one, the file.
impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pem {
            Pem::Text(_) => f.write_str(self.text),
            Pem::File(path) => write!(f, "{} \"{}\"", self.file, path.display()),
        }
    }
}

/// What the client shows of itself, and whether a broker has asked for it.
pub(super) struct Identity {
    key: Option<Arc<CertifiedKey>>,
    was_asked: AtomicBool,
}

impl Identity {
    /// Is there a certificate to show?
    pub(super) fn is_there(&self) -> bool {
        self.key.is_some()
    }

    /// Has any broker asked for one?
    pub(super) fn was_asked(&self) -> bool {
        self.was_asked.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.was_asked.store(true, Ordering::Relaxed);
        // Shown whatever authorities the broker names: its list is often wrong, and its refusal says more than a missing certificate.
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.is_there()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("is_there", &self.is_there()).finish_non_exhaustive()
    }
}
