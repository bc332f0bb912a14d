//! The secured broker: its listeners, the certificates made for it and for clients, its users.
//!
//! `xtask/src/kafka/secured.rs` starts it and says what each listener asks for; `certificates.rs` beside it lists the files.

use std::path::PathBuf;

use crate::environment::variable;

/// A listener of the secured broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Without security. Who comes here is a super user.
    Plaintext,
    /// TLS.
    Tls,
    /// TLS; clients must show a certificate.
    MutualTls,
    /// TLS and SASL.
    SaslTls,
    /// SASL alone.
    SaslPlaintext,
    /// SASL alone; who does not authenticate anew within 5 s is cut off (KIP-368).
    Reauthentication,
    /// TLS with a certificate that is over.
    Expired,
    /// TLS with a certificate for `elsewhere.example`.
    WrongHost,
}

impl Listener {
    /// Its address: `localhost`, which its certificate is for; of the plain one 127.0.0.1.
    pub fn address(self) -> String {
        variable(match self {
            Self::Plaintext => "KLAMM_SECURED_PLAINTEXT",
            Self::Tls => "KLAMM_SECURED_SSL",
            Self::MutualTls => "KLAMM_SECURED_MTLS",
            Self::SaslTls => "KLAMM_SECURED_SASL_SSL",
            Self::SaslPlaintext => "KLAMM_SECURED_SASL_PLAINTEXT",
            Self::Reauthentication => "KLAMM_SECURED_REAUTHENTICATION",
            Self::Expired => "KLAMM_SECURED_EXPIRED",
            Self::WrongHost => "KLAMM_SECURED_WRONG_HOST",
        })
    }
}

/// One of the secured broker's files: `ca.crt`, `client.key`, …
pub fn certificate(name: &str) -> PathBuf {
    let path = PathBuf::from(variable("KLAMM_SECURED_CERTIFICATES")).join(name);
    assert!(path.exists(), "{} is not there", path.display());
    path
}
