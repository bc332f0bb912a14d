//! TLS around whatever transport a connector opens, by rustls.
//!
//! [`wrap`] reads certificates and keys once, when the client is built, so that what is wrong with them is said there. `pem` reads the
//! files, `setup` makes a rustls configuration of them, `rotation` makes it anew when files changed, `connector` runs the handshake
//! inside the connection's time for set-up, `stream` carries the bytes after it, `explain` says in words what went wrong, and
//! `certificate` what the log tells of the broker's.
//!
//! The protocol is what was configured, never guessed. Certificates are always verified; so are names, unless the user turned that off.
//! Early data is off, resumption is on.

#[cfg(feature = "tls")]
mod certificate;
#[cfg(feature = "tls")]
mod connector;
#[cfg(feature = "tls")]
mod explain;
#[cfg(feature = "tls")]
mod pem;
#[cfg(feature = "tls")]
mod rotation;
#[cfg(feature = "tls")]
mod setup;
#[cfg(feature = "tls")]
mod stream;
#[cfg(feature = "tls")]
mod verifier;

#[cfg(feature = "tls")]
pub(crate) use connector::wrap;

/// Without the feature there is no TLS.
///
/// # Errors
/// Always.
#[cfg(not(feature = "tls"))]
pub(crate) fn wrap(
    _inner: std::sync::Arc<dyn crate::network::Connector>,
    _tls: &crate::config::TlsConfig,
) -> crate::error::Result<std::sync::Arc<dyn crate::network::Connector>> {
    let message = "TLS is set, but klamm was built without it: add the cargo feature \"tls\"";
    Err(crate::error::Error::new(crate::error::ErrorKind::InvalidConfig, message))
}

#[cfg(all(test, not(feature = "tls")))]
mod tests {
    use super::*;

    #[test]
    fn without_the_feature_tls_is_refused_by_its_name() {
        let connector = std::sync::Arc::new(crate::network::TcpConnector);
        let error = wrap(connector, &crate::config::TlsConfig::new()).unwrap_err();
        assert!(error.to_string().contains("cargo feature \"tls\""), "{error}");
    }
}
