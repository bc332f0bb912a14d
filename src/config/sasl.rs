//! Who the client says it is, as the user says it; `network/sasl/` proves it to brokers.

use std::fmt;
use std::str::FromStr;

use crate::config::Secret;
use crate::error::{Error, ErrorKind, Result};

/// A way to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// `PLAIN`: the password is sent as it is.
    Plain,
    /// `SCRAM-SHA-256`: the password is not sent, and the broker proves that it knows it, too.
    ScramSha256,
    /// `SCRAM-SHA-512`.
    ScramSha512,
}

impl SaslMechanism {
    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// As in Java's `sasl.mechanism`.
impl FromStr for SaslMechanism {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let known = [Self::Plain, Self::ScramSha256, Self::ScramSha512];
        if let Some(known) = known.into_iter().find(|known| known.name().eq_ignore_ascii_case(text)) {
            return Ok(known);
        }
        let later = ["GSSAPI", "OAUTHBEARER", "AWS_MSK_IAM"].iter().any(|later| later.eq_ignore_ascii_case(text));
        let why = if later { "is not built yet" } else { "is unknown" };
        Err(Error::new(
            ErrorKind::InvalidConfig,
            format!("SASL mechanism \"{text}\" {why}; there are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512"),
        ))
    }
}

/// Who the client is and how it proves it, for [`ClientBuilder::sasl`](crate::ClientBuilder::sasl).
///
/// ```
/// use klamm::config::Sasl;
///
/// let sasl = Sasl::scram_sha_512("alice", "alice-secret");
/// # let _ = sasl;
/// ```
#[derive(Clone)]
#[must_use = "give it to `ClientBuilder::sasl`"]
pub struct Sasl {
    pub(crate) mechanism: SaslMechanism,
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) authorization_id: String,
    /// Are these the id and HMAC of a delegation token (KIP-48)?
    pub(crate) is_token: bool,
}

impl Sasl {
    /// With this mechanism.
    pub fn new(mechanism: SaslMechanism, username: impl Into<String>, password: impl Into<Secret>) -> Self {
        let (username, password) = (username.into(), password.into());
        Self { mechanism, username, password, authorization_id: String::new(), is_token: false }
    }

    /// PLAIN: sends the password to the broker.
    #[doc(alias = "sasl_plain_username")]
    #[doc(alias = "sasl_plain_password")]
    pub fn plain(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::new(SaslMechanism::Plain, username, password)
    }

    /// SCRAM-SHA-256: does not send the password, and has the broker prove that it knows it.
    #[doc(alias = "sasl_scram_username")]
    #[doc(alias = "sasl_scram_password")]
    #[doc(alias = "sasl_scram_mechanism")]
    pub fn scram_sha_256(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::new(SaslMechanism::ScramSha256, username, password)
    }

    /// SCRAM-SHA-512.
    #[doc(alias = "sasl_scram_mechanism")]
    pub fn scram_sha_512(username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::new(SaslMechanism::ScramSha512, username, password)
    }

    /// Whom to act for, if that is another; empty unless set. Kafka accepts only the user itself.
    #[doc(alias = "sasl_plain_authzid")]
    pub fn authorization_id(mut self, id: impl Into<String>) -> Self {
        self.authorization_id = id.into();
        self
    }

    /// Who brokers take it for, unless they map names; `None` for a token, which is for its owner.
    pub(crate) fn principal(&self) -> Option<String> {
        (!self.is_token).then(|| format!("User:{}", self.username))
    }

    /// User name and password are the id and HMAC of a delegation token (KIP-48); SCRAM only.
    #[doc(alias = "tokenauth")]
    pub fn delegation_token(mut self) -> Self {
        self.is_token = true;
        self
    }

    /// Can this be sent at all?
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming what is wrong.
    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |why: &'static str| Err(Error::new(ErrorKind::InvalidConfig, format!("SASL {}: {why}", self.mechanism)));
        if self.username.is_empty() {
            return invalid("the user name is empty (sasl.username)");
        }
        if self.password.is_empty() {
            return invalid("the password is empty (sasl.password)");
        }
        let is_plain = self.mechanism == SaslMechanism::Plain;
        if is_plain && [&self.username, &self.authorization_id, self.password.expose()].iter().any(|text| text.contains('\0')) {
            return invalid("user name, password and authorization id cannot have a NUL in them");
        }
        if is_plain && self.is_token {
            return invalid("a delegation token needs SCRAM-SHA-256 or SCRAM-SHA-512");
        }
        if !is_plain && !self.authorization_id.is_empty() {
            return invalid("an authorization id is sent by PLAIN only");
        }
        Ok(())
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .field("password", &self.password)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rk_215_an_unknown_mechanism_is_an_error_that_names_it() {
        let error = "sha1".parse::<SaslMechanism>().unwrap_err();
        assert!(error.to_string().contains("\"sha1\" is unknown") && error.to_string().contains("SCRAM-SHA-512"), "{error}");
        assert!("GSSAPI".parse::<SaslMechanism>().unwrap_err().to_string().contains("not built yet"));
        assert_eq!("scram-sha-256".parse::<SaslMechanism>().unwrap(), SaslMechanism::ScramSha256);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_showing_the_password() {
        for (sasl, why) in [
            (Sasl::plain("", "canary"), "user name is empty"),
            (Sasl::plain("a", ""), "password is empty"),
            (Sasl::plain("a", "canary\0"), "NUL"),
            (Sasl::plain("a", "canary").delegation_token(), "SCRAM-SHA-256"),
            (Sasl::scram_sha_256("a", "canary").authorization_id("b"), "PLAIN only"),
        ] {
            let error = sasl.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(why), "{error}");
            assert!(!format!("{error} {error:?} {sasl:?}").contains("canary"));
        }
        assert!(Sasl::scram_sha_512("us=e,r", "pä\0ss").delegation_token().check().is_ok());
    }
}
