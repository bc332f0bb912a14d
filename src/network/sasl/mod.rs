//! SASL: who the client is, proven to the broker in set-up steps of a connection.

use crate::config::Sasl;
use crate::error::{Error, ErrorKind, Result};
use crate::network::SetupSteps;

/// The steps that log in on each connection.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`] for what cannot be.
pub(crate) fn steps(sasl: &Sasl) -> Result<SetupSteps> {
    let _ = sasl;
    Err(Error::new(ErrorKind::InvalidConfig, "SASL is not built yet"))
}
