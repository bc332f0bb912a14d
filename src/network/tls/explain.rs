//! What went wrong with TLS, in words: what the other side showed or said, and which setting to look at.
//!
//! What is TLS's own becomes a [`TlsFailure`]. A connection that is closed in the handshake stays an error of the network, with a hint:
//! brokers that start or stop, and proxies without a broker behind them, close like that too.

use std::io::{self, ErrorKind};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error as TlsError, PeerIncompatible};

use super::setup::Setup;
use super::verifier::Roots;
use crate::error::Untrusted;
use crate::network::TlsFailure;

/// The other side, as far as it is known.
pub(super) struct Peer<'a> {
    /// The first bytes it sent.
    pub(super) said: &'a [u8],
    /// What we connect with.
    pub(super) setup: &'a Setup,
}

impl Peer<'_> {
    /// Did it ask for a certificate that we do not have?
    fn misses_certificate(&self) -> bool {
        self.setup.identity.was_asked() && !self.setup.identity.is_there()
    }

    /// Is what it sent TLS: a record of an alert, a handshake, or data?
    fn speaks_tls(&self) -> bool {
        matches!(self.said, [0x14..=0x17, 0x03, ..])
    }
}

/// An error of the handshake.
pub(super) fn handshake(error: io::Error, peer: &Peer<'_>) -> io::Error {
    match tls_error(&error) {
        Some(tls) => TlsFailure::error(explain(tls, peer)),
        None if is_closed(&error) && peer.misses_certificate() => TlsFailure::error(CERTIFICATE_WANTED),
        None if is_closed(&error) && peer.said.is_empty() => io::Error::new(
            error.kind(),
            "the connection was closed at the first word of TLS; does this listener expect TLS? If not, security.protocol must be PLAINTEXT or SASL_PLAINTEXT",
        ),
        None if is_closed(&error) => {
            io::Error::new(error.kind(), format!("the connection was closed in the TLS handshake: {error}"))
        }
        None => error,
    }
}

/// An error after the handshake; `is_accepted` if the broker had answered anything before.
pub(super) fn later(error: io::Error, peer: &Peer<'_>, is_accepted: bool) -> io::Error {
    match tls_error(&error) {
        Some(tls) => TlsFailure::error(explain(tls, peer)),
        // TLS 1.3: the broker finds out after our side of the handshake is over. Its word on it may be lost when it closes at once.
        None if !is_accepted && is_closed(&error) && peer.misses_certificate() => TlsFailure::error(CERTIFICATE_WANTED),
        None => error,
    }
}

/// Is it an error of TLS itself?
pub(super) fn is_tls(error: &io::Error) -> bool {
    tls_error(error).is_some()
}

fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

fn is_closed(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

const CERTIFICATE_WANTED: &str = "the broker asks for a client's certificate, and none is set (ssl.keystore.certificate.chain and ssl.keystore.key, or ssl.keystore.location)";

fn explain(error: &TlsError, peer: &Peer<'_>) -> String {
    match error {
        TlsError::InvalidCertificate(error) => certificate(error, peer),
        TlsError::AlertReceived(alert) => refusal(*alert, peer),
        TlsError::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => NO_VERSION.to_owned(),
        TlsError::PeerIncompatible(why) => format!("broker and client have no way of encryption in common ({why:?})"),
        TlsError::NoCertificatesPresented => "the broker shows no certificate".to_owned(),
        _ if peer.said.starts_with(b"HTTP") => "the other side answers in HTTP; check host and port".to_owned(),
        _ if !peer.speaks_tls() => {
            "the other side does not speak TLS; take the broker's port for TLS, or set security.protocol to PLAINTEXT or SASL_PLAINTEXT"
                .to_owned()
        }
        other => format!("the other side does not keep to TLS: {other}"),
    }
}

const NO_VERSION: &str = "broker and client have no version of TLS in common (1.2 and 1.3 are known; ssl.enabled.protocols may allow fewer, here or there)";

/// Why we refuse the broker's certificate.
fn certificate(error: &CertificateError, peer: &Peer<'_>) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            let trusted = match peer.setup.roots {
                Roots::Given => "its authority is not among those given",
                Roots::System => "the system does not trust its authority",
                Roots::Both => "its authority is not among those given, nor does the system trust it",
            };
            format!(
                "the broker's certificate is not trusted: {trusted}; give its authority's certificate (ssl.truststore.location)"
            )
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the broker's certificate, or one that vouches for it, expired on {} (now it is {}); it must be renewed",
            date(*not_after),
            date(*time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the broker's certificate, or one that vouches for it, is valid from {} on only (now it is {}); check this machine's clock",
            date(*not_before),
            date(*time)
        ),
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "the broker's certificate is for {}, not for \"{}\", which was dialled; dial a name that it bears (bootstrap.servers, the brokers' advertised.listeners)",
            names(presented),
            expected.to_str()
        ),
        CertificateError::NotValidForName => {
            "the broker's certificate is not for the name that was dialled (bootstrap.servers, the brokers' advertised.listeners)"
                .to_owned()
        }
        CertificateError::Revoked => "the broker's certificate was revoked".to_owned(),
        CertificateError::BadSignature => {
            "the broker's certificate is not signed by the authority that it names: another one of the same name, or forged"
                .to_owned()
        }
        CertificateError::Other(other) if other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity) => {
            "the broker shows an authority's certificate as its own; it needs one that is not (basicConstraints CA:FALSE)"
                .to_owned()
        }
        CertificateError::Other(other) if other.0.downcast_ref() == Some(&webpki::Error::UnsupportedCertVersion) => {
            "the broker's certificate is of an old version (X.509 v1), which bears no names; it must be issued anew".to_owned()
        }
        other => format!("the broker's certificate cannot be accepted: {other}"),
    }
}

/// Why the broker refuses us.
fn refusal(alert: AlertDescription, peer: &Peer<'_>) -> String {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired | Alert::NoCertificate if !peer.setup.identity.is_there() => CERTIFICATE_WANTED.to_owned(),
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::HandshakeFailure if peer.misses_certificate() => {
            CERTIFICATE_WANTED.to_owned()
        }
        // Required although we have one: there is no kind of signature that both its key and the broker know.
        Alert::CertificateRequired
        | Alert::NoCertificate
        | Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
            if peer.setup.identity.is_there() =>
        {
            format!(
                "the broker does not accept the client's certificate ({alert:?}); it must be valid and come from an authority that the broker trusts, with all that stand between (ssl.keystore.certificate.chain)"
            )
        }
        Alert::ProtocolVersion => NO_VERSION.to_owned(),
        Alert::UnrecognisedName => "the broker does not know the name that was dialled".to_owned(),
        other => format!("the broker refuses the connection ({other:?}); its log may say why"),
    }
}

/// The names of a certificate, as a person would write them; not all if they are many. Somebody else wrote them: nothing is taken from
/// them that could not stand in a line of a log.
fn names(presented: &[String]) -> String {
    let quoted = |name: &String| {
        // rustls shows them as `DnsName("a.example")`, `IpAddress(10.0.0.1)`.
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        let name: String = inner.trim_matches('"').chars().take(255).collect();
        format!("{:?}", Untrusted(&name))
    };
    let shown: Vec<_> = presented.iter().take(5).map(quoted).collect();
    match presented.len().saturating_sub(shown.len()) {
        _ if shown.is_empty() => "no name at all (it has no subjectAltName)".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A day, `2021-01-31`, by the calendar's rules.
fn date(time: UnixTime) -> String {
    // Years are counted from a first of March, so that the day that may be missing comes last in the four hundred years of a cycle.
    let days = time.as_secs() / 86_400 + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", cycle * 400 + year + next)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_609_459_199, "2020-12-31"),
            (1_609_459_200, "2021-01-01"),
            (4_107_542_400, "2100-03-01"),
            (253_402_300_799, "9999-12-31"),
        ] {
            assert_eq!(date(UnixTime::since_unix_epoch(Duration::from_secs(seconds))), shown);
        }
    }

    #[test]
    fn names_are_shown_as_a_person_writes_them() {
        let given = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&given(&["DnsName(\"a.example\")", "IpAddress(10.0.0.1)"])), "\"a.example\", \"10.0.0.1\"");
        assert_eq!(names(&given(&["DnsName(\"a\nb\")"])), "\"a\\nb\"");
        assert!(names(&[]).contains("no name at all"));
        assert!(names(&given(&["DnsName(\"x\")"; 9])).ends_with("and 4 more"));
    }
}
