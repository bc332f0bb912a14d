//! Certificates and private keys out of PEM.
//!
//! PEM as people have it: text around the sections, Windows' line ends, no line end after the last line, bodies on one line (as they
//! become in a `.properties` file). What cannot be used is named, with the command that makes something usable of it.

use std::fmt;
use std::path::Path;

use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use zeroize::Zeroizing;

use crate::config::{Pem, Secret};

/// Why a PEM cannot be used; the end of a message that names the setting and the file.
type Why = String;

/// How to make a PEM key of one that is encrypted in a way not read here.
const ENCRYPT_ANEW: &str = "convert it with: openssl pkcs8 -topk8 -v2 aes256 -in KEY -out NEW";

/// The text of a PEM, wiped after use.
pub(super) fn read(pem: &Pem) -> Result<Zeroizing<String>, Why> {
    match pem {
        Pem::Text(text) => Ok(Zeroizing::new(text.expose().to_owned())),
        Pem::File(path) => {
            let bytes = Zeroizing::new(std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?);
            // Only what stands between the sections may be something else than ASCII.
            match String::from_utf8_lossy(&bytes) {
                text if text.contains(BEGIN) => Ok(Zeroizing::new(text.into_owned())),
                _ => Err(not_pem(&bytes, path)),
            }
        }
    }
}

/// What a file is that is not PEM, and how to make PEM of it.
fn not_pem(bytes: &[u8], path: &Path) -> Why {
    let path = path.display();
    match bytes {
        [] => "it is empty".to_owned(),
        [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => format!(
            "it is a Java key store, and only PEM is read; convert it with: keytool -importkeystore -srckeystore {path} -destkeystore store.p12 -deststoretype PKCS12, then openssl pkcs12 -in store.p12 -out store.pem"
        ),
        [0x30, ..] if webpki::EndEntityCert::try_from(&CertificateDer::from(bytes)).is_ok() => {
            format!(
                "it is a certificate in DER, and only PEM is read; convert it with: openssl x509 -inform der -in {path} -out certificate.pem"
            )
        }
        [0x30, 0x82 | 0x83, ..] => format!(
            "it is not PEM; if it is PKCS#12 (.p12, .pfx, a Java key store), convert it with: openssl pkcs12 -in {path} -out store.pem"
        ),
        _ => "it is not PEM: there is no \"-----BEGIN\" in it".to_owned(),
    }
}

/// All certificates of a text, in order; at least one.
pub(super) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, Why> {
    let sections = sections(text)?;
    let mut certificates = Vec::new();
    for section in &sections {
        if section.label == "CERTIFICATE" {
            certificates.push(CertificateDer::from(section.decode()?.to_vec()));
        }
    }
    if certificates.is_empty() {
        Err(format!("there is no certificate in it, but {}", labels(&sections)))
    } else {
        Ok(certificates)
    }
}

/// The first private key of a text, opened with `password` where it is encrypted.
pub(super) fn private_key(text: &str, password: Option<&Secret>) -> Result<PrivateKeyDer<'static>, Why> {
    let sections = sections(text)?;
    let key = sections.iter().find(|section| section.label.ends_with("PRIVATE KEY"));
    let key = key.ok_or_else(|| format!("there is no private key in it, but {}", labels(&sections)))?;
    match key.label {
        "PRIVATE KEY" => Ok(PrivatePkcs8KeyDer::from(key.decode()?.to_vec()).into()),
        "RSA PRIVATE KEY" => Ok(PrivatePkcs1KeyDer::from(key.decode()?.to_vec()).into()),
        "EC PRIVATE KEY" => Ok(PrivateSec1KeyDer::from(key.decode()?.to_vec()).into()),
        "ENCRYPTED PRIVATE KEY" => {
            let password = password.filter(|password| !password.is_empty());
            let password = password.ok_or("the private key is encrypted, and no password is given for it (ssl.key.password)")?;
            decrypt(&key.decode()?, password)
        }
        other => Err(format!("\"{other}\" is a kind of private key that is not known; use RSA, ECDSA (P-256, P-384) or Ed25519")),
    }
}

fn decrypt(der: &[u8], password: &Secret) -> Result<PrivateKeyDer<'static>, Why> {
    let unknown = || format!("the private key is encrypted in a way that is not known (AES of PKCS#5 2.0 is); {ENCRYPT_ANEW}");
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| unknown())?;
    match encrypted.decrypt(password.expose()) {
        Ok(key) => Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs8::pkcs5::Error::NoPbes1CryptSupport,
        )) => Err(unknown()),
        // A wrong password shows by what comes out not being a key.
        Err(_) => Err("the password of the private key (ssl.key.password) is wrong".to_owned()),
    }
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// What stands between one BEGIN and its END.
struct Section<'a> {
    label: &'a str,
    body: &'a str,
}

/// All sections of a text, in order.
fn sections(text: &str) -> Result<Vec<Section<'_>>, Why> {
    let (mut sections, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (label, after) = after.split_once(DASHES).ok_or("the line of a \"-----BEGIN\" has no end")?;
        let end = format!("-----END {label}-----");
        let (body, after) = after.split_once(&end).ok_or_else(|| format!("\"{BEGIN}{label}-----\" has no \"{end}\" after it"))?;
        sections.push(Section { label, body });
        rest = after;
    }
    if sections.is_empty() { Err("it is not PEM: there is no \"-----BEGIN\" in it".to_owned()) } else { Ok(sections) }
}

impl Section<'_> {
    /// The bytes that the body stands for.
    fn decode(&self) -> Result<Zeroizing<Vec<u8>>, Why> {
        if self.body.contains("Proc-Type:") {
            return Err(format!("\"{}\" is encrypted in the traditional way, which is weak; {ENCRYPT_ANEW}", self.label));
        }
        let lines = self.body.lines().filter(|line| !line.contains(':'));
        let mut pem = Zeroizing::new(String::with_capacity(self.body.len() + 64));
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        lines.for_each(|line| pem.extend(line.split_whitespace()));
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        // Taken for a key whatever it is: those are decoded in a time that does not depend on them.
        match PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()) {
            Ok(der) if !der.secret_pkcs8_der().is_empty() => Ok(Zeroizing::new(der.secret_pkcs8_der().to_vec())),
            _ => Err(format!("what stands under \"{BEGIN}{}-----\" is not base64", self.label)),
        }
    }
}

/// What is there, for a text that says what is not.
fn labels(sections: &[Section<'_>]) -> impl fmt::Display {
    let mut labels: Vec<_> = sections.iter().map(|section| section.label.chars().take(40).collect::<String>()).collect();
    labels.dedup();
    format!("{:?}", labels.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two sections with bytes of their own, as they stand in a file.
    const TWO: &str = "-----BEGIN CERTIFICATE-----\nAQID\nBA==\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nBQYH\n-----END CERTIFICATE-----\n";

    fn bytes(text: &str) -> Vec<Vec<u8>> {
        certificates(text).unwrap().iter().map(|certificate| certificate.to_vec()).collect()
    }

    #[test]
    fn certificates_come_out_in_order_however_the_text_is_laid_out() {
        let expected = [vec![1, 2, 3, 4], vec![5, 6, 7]];
        for text in [
            TWO.to_owned(),
            TWO.replace('\n', "\r\n"),
            TWO.trim_end().to_owned(),
            // As a value in a `.properties` file, continued lines.
            TWO.replace('\n', " "),
            format!("Bag Attributes: Ünïcode\n  friendlyName: x\n{TWO}\ntrailing"),
            TWO.replace("AQID", "  AQID  "),
        ] {
            assert_eq!(bytes(&text), expected, "{text:?}");
        }
    }

    #[test]
    fn other_sections_are_passed_over() {
        let text = format!("-----BEGIN PRIVATE KEY-----\nCQ==\n-----END PRIVATE KEY-----\n{TWO}");
        assert_eq!(bytes(&text).len(), 2);
        let text = "-----BEGIN EC PARAMETERS-----\nBg==\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\nCQ==\n-----END EC PRIVATE KEY-----";
        assert!(matches!(private_key(text, None), Ok(PrivateKeyDer::Sec1(key)) if key.secret_sec1_der() == [9]));
    }

    #[test]
    fn what_is_wrong_with_a_text_is_named() {
        let section = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
        for (text, why) in [
            (String::new(), "no \"-----BEGIN\""),
            ("canary".to_owned(), "no \"-----BEGIN\""),
            ("-----BEGIN CERTIFICATE".to_owned(), "has no end"),
            ("-----BEGIN CERTIFICATE-----\nAQID\n".to_owned(), "no \"-----END CERTIFICATE-----\""),
            (section("CERTIFICATE", "canary!"), "not base64"),
            (section("CERTIFICATE", ""), "not base64"),
            (section("PRIVATE KEY", "AQID"), "no certificate in it, but \"PRIVATE KEY\""),
        ] {
            let error = certificates(&text).unwrap_err();
            assert!(error.contains(why) && !error.contains("canary"), "{text}: {error}");
        }
        for (text, why) in [
            (TWO.to_owned(), "no private key in it, but \"CERTIFICATE\""),
            (section("DSA PRIVATE KEY", "AQID"), "\"DSA PRIVATE KEY\" is a kind of private key that is not known"),
            (section("ENCRYPTED PRIVATE KEY", "AQID"), "no password is given"),
            (section("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID"), "openssl pkcs8 -topk8"),
        ] {
            let error = private_key(&text, None).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        let error = private_key(&section("ENCRYPTED PRIVATE KEY", "AQID"), Some(&"canary".into())).unwrap_err();
        assert!(error.contains("not known") && !error.contains("canary"), "{error}");
    }

    #[test]
    fn no_cut_of_a_text_panics() {
        for end in 0..TWO.len() {
            let _ = (certificates(&TWO[..end]), private_key(&TWO[..end], Some(&"p".into())));
        }
    }
}
