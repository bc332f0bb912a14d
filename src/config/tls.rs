//! How connections are encrypted, as the user says it; `network/tls.rs` makes the TLS client from it.

use std::fmt;
use std::path::PathBuf;

use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};

/// Certificates or a key in PEM, given as text or in a file.
#[derive(Clone)]
#[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "only TLS reads them"))]
pub(crate) enum Pem {
    /// The text.
    Text(Secret),
    /// The file.
    File(PathBuf),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("PEM text"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Encryption of connections by TLS, for [`ClientBuilder::tls`](crate::ClientBuilder::tls).
///
/// Brokers are always verified: their certificate must come from a trusted authority and bear the name that was dialled. Trusted are the
/// authorities of the system, unless others are given.
///
/// Everything is PEM. Files are read when the client is built, which fails where they cannot be used, and read again for new
/// connections when they changed; where what they then hold cannot be used, what was read before stays, and a warning is logged.
///
/// ```
/// use klamm::config::TlsConfig;
///
/// let system = TlsConfig::new();
/// let own = TlsConfig::new().ca_file("ca.crt").client_certificate_file("me.crt").client_key_file("me.key");
/// # let _ = (system, own);
/// ```
#[derive(Clone, Debug)]
#[must_use = "give it to `ClientBuilder::tls`"]
pub struct TlsConfig {
    pub(crate) authorities: Vec<Pem>,
    pub(crate) system_roots: Option<bool>,
    pub(crate) certificate: Option<Pem>,
    pub(crate) chain: Option<Pem>,
    pub(crate) key: Option<Pem>,
    pub(crate) key_password: Option<Secret>,
    pub(crate) verify_hostname: bool,
    pub(crate) versions: Vec<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl TlsConfig {
    /// Trusts the system's certificate authorities, verifies names, shows no certificate of its own.
    pub fn new() -> Self {
        Self {
            authorities: Vec::new(),
            system_roots: None,
            certificate: None,
            chain: None,
            key: None,
            key_password: None,
            verify_hostname: true,
            versions: Vec::new(),
        }
    }

    /// Trusts these certificate authorities: PEM, with as many certificates as there are in the text. May be given more than once.
    #[doc(alias = "ssl_ca_cert")]
    #[doc(alias = "ssl.truststore.certificates")]
    pub fn ca(mut self, pem: impl Into<Secret>) -> Self {
        self.authorities.push(Pem::Text(pem.into()));
        self
    }

    /// Trusts all certificate authorities in this PEM file. May be given more than once.
    #[doc(alias = "ssl_ca_cert_file_path")]
    #[doc(alias = "ssl.truststore.location")]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.authorities.push(Pem::File(path.into()));
        self
    }

    /// Trusts the system's certificate authorities as well, or not. Unless set: only where no others are given.
    #[doc(alias = "ssl_ca_certs_from_system")]
    pub fn system_roots(mut self, trust: bool) -> Self {
        self.system_roots = Some(trust);
        self
    }

    /// The client's own certificate in PEM; those that vouch for it may follow in the same text.
    #[doc(alias = "ssl_client_cert")]
    #[doc(alias = "ssl.keystore.certificate.chain")]
    pub fn client_certificate(mut self, pem: impl Into<Secret>) -> Self {
        self.certificate = Some(Pem::Text(pem.into()));
        self
    }

    /// As [`client_certificate`](Self::client_certificate), from a file.
    #[doc(alias = "ssl.certificate.location")]
    pub fn client_certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.certificate = Some(Pem::File(path.into()));
        self
    }

    /// Certificates between the client's own and an authority that brokers trust, in PEM, in order.
    #[doc(alias = "ssl_client_cert_chain")]
    pub fn client_certificate_chain(mut self, pem: impl Into<Secret>) -> Self {
        self.chain = Some(Pem::Text(pem.into()));
        self
    }

    /// The private key of the client's certificate in PEM: PKCS#8 (also encrypted, by PBES2 with AES), PKCS#1 or SEC1; RSA, ECDSA
    /// (P-256, P-384) or Ed25519.
    #[doc(alias = "ssl_client_cert_key")]
    #[doc(alias = "ssl.keystore.key")]
    pub fn client_key(mut self, pem: impl Into<Secret>) -> Self {
        self.key = Some(Pem::Text(pem.into()));
        self
    }

    /// As [`client_key`](Self::client_key), from a file.
    #[doc(alias = "ssl.key.location")]
    pub fn client_key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.key = Some(Pem::File(path.into()));
        self
    }

    /// Certificate, those that vouch for it, and private key, all in one PEM file: Java's key store of type PEM.
    #[doc(alias = "ssl.keystore.location")]
    pub fn client_identity_file(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.client_certificate_file(path.clone()).client_key_file(path)
    }

    /// The password of an encrypted private key.
    #[doc(alias = "ssl_client_cert_key_password")]
    #[doc(alias = "ssl.key.password")]
    pub fn client_key_password(mut self, password: impl Into<Secret>) -> Self {
        self.key_password = Some(password.into());
        self
    }

    /// Accepts a trusted certificate whatever name it bears: **whoever has any certificate of a trusted authority can pose as a
    /// broker.** The authority is verified all the same. A warning is logged.
    #[doc(alias = "ssl_verify_hostname")]
    #[doc(alias = "ssl.endpoint.identification.algorithm")]
    pub fn dangerous_accept_any_hostname(mut self) -> Self {
        self.verify_hostname = false;
        self
    }

    /// Allows only these versions; 1.2 and 1.3 unless set.
    #[doc(alias = "ssl.enabled.protocols")]
    pub fn versions(mut self, versions: impl IntoIterator<Item = TlsVersion>) -> Self {
        self.versions = versions.into_iter().collect();
        self
    }

    /// Is all there that belongs together?
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming what is missing.
    pub(crate) fn check(&self) -> Result<()> {
        let missing = |message: &'static str| Err(Error::new(ErrorKind::InvalidConfig, message));
        match (&self.certificate, &self.chain, &self.key, &self.key_password) {
            (Some(_), _, None, _) => missing("TLS: a client certificate is set, but no private key for it (ssl.keystore.key)"),
            (None, None, Some(_), _) => {
                missing("TLS: a client's private key is set, but no certificate for it (ssl.keystore.certificate.chain)")
            }
            (None, Some(_), Some(_), _) => {
                missing("TLS: a client's certificate chain is set, but not the client's own certificate that it vouches for")
            }
            (None, Some(_), None, _) => missing(
                "TLS: a client's certificate chain is set, but no private key (ssl.keystore.key), nor the client's own certificate",
            ),
            (None, None, None, Some(_)) => {
                missing("TLS: a key password is set (ssl.key.password), but no private key that it opens")
            }
            _ if self.authorities.is_empty() && self.system_roots == Some(false) => missing(
                "TLS: the system's certificate authorities are not trusted and no others are given, so no broker can be verified (ssl.truststore.certificates)",
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rk_203_what_is_missing_is_named() {
        let tls = TlsConfig::new;
        for (tls, missing) in [
            (tls().client_certificate("c"), "no private key"),
            (tls().client_key("k"), "no certificate"),
            (tls().client_certificate_chain("c").client_key("k"), "not the client's own certificate"),
            (tls().client_certificate_chain("c"), "no private key"),
            (tls().client_certificate("c").client_certificate_chain("c"), "no private key"),
            (tls().client_key_password("p"), "no private key that it opens"),
            (tls().client_certificate("c").client_key_password("p"), "no private key"),
            (tls().system_roots(false), "no others are given"),
        ] {
            let error = tls.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(missing), "{error}");
        }
        assert!(tls().check().is_ok());
        assert!(
            tls().client_certificate("c").client_key("k").client_certificate_chain("i").client_key_password("p").check().is_ok()
        );
    }

    #[test]
    fn neither_text_nor_password_is_shown() {
        let shown =
            format!("{:?}", TlsConfig::new().ca("canary").client_key("canary").client_key_password("canary").ca_file("ca.pem"));
        assert!(!shown.contains("canary") && shown.contains("ca.pem"), "{shown}");
    }
}
