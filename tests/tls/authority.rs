//! Certificate authorities and what they sign.

use pkcs8::SecretDocument;
use pkcs8::der::Decode as _;
use pkcs8::der::pem::LineEnding;
use pkcs8::pkcs5::pbes2;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// An authority, at the top or signed by another.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(crate) struct Issued {
    /// PEM.
    pub(crate) certificate: String,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(authority(name), KeyPair::generate().unwrap()).unwrap())
    }

    /// One that this one vouches for.
    pub(crate) fn intermediate(&self, name: &str) -> Self {
        Self(CertifiedIssuer::signed_by(authority(name), KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    /// Its own certificate as PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of a broker with these names and addresses.
    pub(crate) fn broker(&self, names: &[&str]) -> Issued {
        self.broker_with(names, |_| ())
    }

    /// The same, changed.
    pub(crate) fn broker_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = named("broker");
        params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        self.sign(&params, KeyPair::generate().unwrap())
    }

    pub(crate) fn client(&self, name: &str) -> Issued {
        self.client_with_key(name, KeyPair::generate().unwrap())
    }

    pub(crate) fn client_with_key(&self, name: &str, key: KeyPair) -> Issued {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params, key)
    }

    fn sign(&self, params: &CertificateParams, key: KeyPair) -> Issued {
        Issued { certificate: params.signed_by(&key, &self.0).unwrap().pem(), key }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Issued {
    /// The key as PKCS#8.
    pub(crate) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The key as PKCS#8, encrypted.
    pub(crate) fn encrypted_key_pem(&self, password: &str) -> String {
        let params = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(2048, b"a salt for tests", [3; 16]).unwrap();
        let der = self.key.serialize_der();
        let encrypted = pkcs8::PrivateKeyInfoRef::from_der(&der).unwrap().encrypt_with_params(params, password).unwrap();
        encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap().to_string()
    }

    /// The key in the form that came before PKCS#8: what PKCS#8 wraps, under `label`.
    pub(crate) fn traditional_key_pem(&self, label: &'static str) -> String {
        let der = self.key.serialize_der();
        let inner = pkcs8::PrivateKeyInfoRef::from_der(&der).unwrap().private_key.as_bytes();
        SecretDocument::try_from(inner).unwrap().to_pem(label, LineEnding::LF).unwrap().to_string()
    }
}
