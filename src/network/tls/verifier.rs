//! Whom to trust: rustls' verifier of certificates, and the one that does not look at names.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme};

/// Which authorities are trusted, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    /// Those given.
    Given,
    /// Those of the system.
    System,
    /// Both.
    Both,
}

/// Where the system's verifier is rustls' own over the system's files, and so verifies the chain before it looks at the name.
const SYSTEM_VERIFIES_CHAIN_FIRST: bool = cfg!(all(unix, not(target_os = "android"), not(target_vendor = "apple")));

/// A verifier that trusts `given` and, if `roots` says so, the system's authorities.
///
/// # Errors
/// Why there can be none; the end of a message.
pub(super) fn verifier(
    given: Vec<CertificateDer<'static>>,
    roots: Roots,
    verify_hostname: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    if !verify_hostname && roots != Roots::Given && !SYSTEM_VERIFIES_CHAIN_FIRST {
        return Err(
            "names can only be left unverified on this system where the trusted authorities are given (ssl.truststore.location)"
                .to_owned(),
        );
    }
    let inner: Arc<dyn ServerCertVerifier> = match roots {
        Roots::Given => {
            let mut store = RootCertStore::empty();
            for certificate in given {
                store.add(certificate).map_err(|error| format!("a trusted certificate cannot be used: {error}"))?;
            }
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
            builder.build().map_err(|error| format!("trusted certificates cannot be used: {error}"))?
        }
        Roots::System | Roots::Both => Arc::new(system(given, provider).map_err(|error| {
            format!("the system's certificate authorities cannot be used: {error}; give those to trust (ssl.truststore.location)")
        })?),
    };
    Ok(if verify_hostname { inner } else { Arc::new(AnyHostname(inner)) })
}

#[cfg(not(target_os = "android"))]
fn system(
    extra: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<rustls_platform_verifier::Verifier, TlsError> {
    if extra.is_empty() {
        return rustls_platform_verifier::Verifier::new(Arc::clone(provider));
    }
    rustls_platform_verifier::Verifier::new_with_extra_roots(extra, Arc::clone(provider))
}

#[cfg(target_os = "android")]
fn system(
    extra: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<rustls_platform_verifier::Verifier, TlsError> {
    if !extra.is_empty() {
        return Err(TlsError::General("on Android they cannot be trusted beside others".to_owned()));
    }
    rustls_platform_verifier::Verifier::new(Arc::clone(provider))
}

/// Accepts a certificate of another name than the one dialled, and nothing else that `inner` does not accept: `inner` looks at the name
/// last, when all else was in order.
#[derive(Debug)]
struct AnyHostname(Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for AnyHostname {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
