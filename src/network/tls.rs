//! TLS around whatever transport a connector opens.

use std::sync::Arc;

use crate::config::TlsConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::network::Connector;

/// A connector whose transports are `inner`'s, encrypted as `tls` says.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`] for files that cannot be read, and certificates or keys that are none or do not fit together.
pub(crate) fn wrap(inner: Arc<dyn Connector>, tls: &TlsConfig) -> Result<Arc<dyn Connector>> {
    let _ = (inner, tls);
    Err(Error::new(ErrorKind::InvalidConfig, "TLS is not built yet"))
}
