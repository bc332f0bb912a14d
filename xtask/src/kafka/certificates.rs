//! Certificates and keys of the secured broker and its clients, made anew for each start; nobody else trusts them.
//!
//! | file | holds |
//! |---|---|
//! | `ca.crt` | the authority that signed all below unless said otherwise |
//! | `other-ca.crt` | one that the broker does not trust |
//! | `broker.pem` | the broker's key and certificate, for `localhost` and 127.0.0.1 |
//! | `expired.pem`, `wrong-host.pem` | the same, but over since 2021; for `elsewhere.example` |
//! | `client.crt`, `client.key` | of a client, CN=alice; both in one: `client.pem` |
//! | `client.encrypted.key` | the same key, encrypted with [`KEY_PASSWORD`] |
//! | `chained.crt`, `chained.key`, `chain.crt` | of a client, CN=chained; two certificates stand between it and the authority |
//! | `stranger.crt`, `stranger.key` | of a client, signed by the other authority |

use std::fs;
use std::path::Path;

use pkcs8::der::Decode as _;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

/// What `client.encrypted.key` is encrypted with.
pub(super) const KEY_PASSWORD: &str = "key-secret";

type Failed = Box<dyn std::error::Error>;
type Authority = CertifiedIssuer<'static, KeyPair>;

/// Makes all of them in `folder`.
pub(super) fn make(folder: &Path) -> Result<(), String> {
    write_all(folder).map_err(|error| format!("certificates in {}: {error}", folder.display()))
}

fn write_all(folder: &Path) -> Result<(), Failed> {
    fs::create_dir_all(folder)?;
    let write = |name: &str, parts: &[&str]| fs::write(folder.join(name), parts.concat());
    let ca = CertifiedIssuer::self_signed(authority("klamm test CA"), KeyPair::generate()?)?;
    let other = CertifiedIssuer::self_signed(authority("other CA"), KeyPair::generate()?)?;
    write("ca.crt", &[&ca.pem()])?;
    write("other-ca.crt", &[&other.pem()])?;

    let local = ["localhost", "127.0.0.1"];
    let mut expired = broker(&local)?;
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    for (name, params) in
        [("broker.pem", broker(&local)?), ("expired.pem", expired), ("wrong-host.pem", broker(&["elsewhere.example"])?)]
    {
        let (certificate, key) = signed(&params, &ca)?;
        // Java's store of type PEM: key, certificate, and what vouches for it.
        write(name, &[&key.serialize_pem(), &certificate, &ca.pem()])?;
    }

    let (certificate, key) = signed(&client("alice"), &ca)?;
    write("client.crt", &[&certificate])?;
    write("client.key", &[&key.serialize_pem()])?;
    write("client.pem", &[&key.serialize_pem(), &certificate])?;
    write("client.encrypted.key", &[&encrypted(&key)?])?;

    let first = CertifiedIssuer::signed_by(authority("klamm test intermediate 1"), KeyPair::generate()?, &ca)?;
    let second = CertifiedIssuer::signed_by(authority("klamm test intermediate 2"), KeyPair::generate()?, &first)?;
    let (certificate, key) = signed(&client("chained"), &second)?;
    write("chained.crt", &[&certificate])?;
    write("chained.key", &[&key.serialize_pem()])?;
    write("chain.crt", &[&second.pem(), &first.pem()])?;

    let (certificate, key) = signed(&client("stranger"), &other)?;
    write("stranger.crt", &[&certificate])?;
    write("stranger.key", &[&key.serialize_pem()])?;
    Ok(())
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn broker(names: &[&str]) -> Result<CertificateParams, Failed> {
    let mut params = named("broker");
    params.subject_alt_names =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?.subject_alt_names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn client(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A certificate as PEM, and its key.
fn signed(params: &CertificateParams, by: &Authority) -> Result<(String, KeyPair), Failed> {
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, by)?.pem(), key))
}

/// The key as encrypted PKCS#8, as OpenSSL's `pkcs8 -topk8` would make it.
fn encrypted(key: &KeyPair) -> Result<String, Failed> {
    // Salt and vector of a throw-away key may be always the same.
    let params = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(2048, b"klamm's secret salt", [7; 16])?;
    let der = key.serialize_der();
    let encrypted = pkcs8::PrivateKeyInfoRef::from_der(&der)?.encrypt_with_params(params, KEY_PASSWORD)?;
    Ok(encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)?.to_string())
}
