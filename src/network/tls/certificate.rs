//! What a certificate says of itself, as the log tells it: whose it is, who vouches for it, until when. Nothing is decided by it.

use pkcs8::der::asn1::{AnyRef, GeneralizedTime, ObjectIdentifier, UtcTime};
use pkcs8::der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};

/// Parts of a name that are shown by a letter; others by their number.
const PARTS: [(&str, &str); 8] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];
/// Bytes of a name that are shown; it can be as long as its owner likes.
const MAX_NAME: usize = 512;

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) subject: String,
    pub(super) issuer: String,
    /// As in RFC 3339, in UTC.
    pub(super) expires: Option<String>,
}

impl Certificate {
    /// From its DER; `None` if it is none.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let whole = AnyRef::from_der(der).ok()?;
        let body = *items(whole)?.first()?;
        let fields = items(body)?;
        // The version comes first, or is left out.
        let skipped = usize::from(matches!(fields.first()?.tag(), Tag::ContextSpecific { .. }));
        let &[_serial, _algorithm, issuer, validity, subject, ..] = fields.get(skipped..)? else { return None };
        let until = *items(validity)?.get(1)?;
        let expires = match until.tag() {
            Tag::UtcTime => until.decode_as::<UtcTime>().ok().map(|time| time.to_date_time().to_string()),
            _ => until.decode_as::<GeneralizedTime>().ok().map(|time| time.to_date_time().to_string()),
        };
        Some(Self { subject: name(subject)?, issuer: name(issuer)?, expires })
    }
}

/// What is inside a sequence or set.
fn items(whole: AnyRef<'_>) -> Option<Vec<AnyRef<'_>>> {
    if !matches!(whole.tag(), Tag::Sequence | Tag::Set) {
        return None;
    }
    let mut reader = SliceReader::new(whole.value()).ok()?;
    let mut items = Vec::new();
    while !reader.is_finished() {
        items.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(items)
}

/// A name as `CN=broker, O=Example`, its parts in their order.
fn name(name: AnyRef<'_>) -> Option<String> {
    let mut shown = String::new();
    for part in items(name)?.into_iter().map(items).collect::<Option<Vec<_>>>()?.into_iter().flatten() {
        let &[kind, value] = items(part)?.as_slice() else { return None };
        let kind = kind.decode_as::<ObjectIdentifier>().ok()?.to_string();
        let kind = PARTS.iter().find(|(number, _)| *number == kind).map_or(kind.as_str(), |(_, letter)| letter);
        if shown.len() >= MAX_NAME {
            shown.push('…');
            break;
        }
        let separator = if shown.is_empty() { "" } else { ", " };
        let value: String = String::from_utf8_lossy(value.value()).chars().take(MAX_NAME).collect();
        shown = format!("{shown}{separator}{kind}={value}");
    }
    Some(shown)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(["broker.example".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn subject_issuer_and_end_are_read() {
        for (year, expires) in [(2031, "2031-05-07T00:00:00Z"), (2077, "2077-05-07T00:00:00Z")] {
            let der = made(|params| {
                params.distinguished_name.push(DnType::OrganizationName, "Exämple");
                params.distinguished_name.push(DnType::CommonName, "broker");
                params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), "17");
                params.not_after = date_time_ymd(year, 5, 7);
            });
            let read = Certificate::read(&der).unwrap();
            assert_eq!(read.subject, "O=Exämple, CN=broker, 2.5.4.5=17");
            assert_eq!((&read.issuer, read.expires.as_deref()), (&read.subject, Some(expires)));
        }
    }

    #[test]
    fn a_name_may_be_empty_and_is_cut_when_long() {
        assert_eq!(Certificate::read(&made(|_| ())).unwrap().subject, "");
        let der = made(|params| {
            params.distinguished_name.push(DnType::CommonName, "x".repeat(9_000));
            params.distinguished_name.push(DnType::OrganizationName, "o");
        });
        let subject = Certificate::read(&der).unwrap().subject;
        assert!(subject.ends_with("x…") && subject.len() < 600, "{subject}");
    }

    #[test]
    fn what_is_cut_or_changed_is_never_more_than_not_read() {
        let der = made(|params| params.distinguished_name.push(DnType::CommonName, "broker"));
        for cut in 0..der.len() {
            assert_eq!(Certificate::read(&der[..cut]), None);
        }
        for at in 0..der.len() {
            for flip in [1, 0x20, 0x80, 0xff] {
                let mut der = der.clone();
                der[at] ^= flip;
                let _ = Certificate::read(&der);
            }
        }
    }
}
