//! What a broker shows that speaks TLS, and what a client must know of it.

use klamm::ClientBuilder;
use klamm::config::TlsConfig;
use klamm_broker::ListenerTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

/// The authority that has signed for the broker, as PEM.
pub(crate) struct Authority(String);

impl Authority {
    /// A new one, and listeners at 127.0.0.1 for which it has signed.
    pub(crate) fn new() -> (Self, ListenerTls) {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        (Self(authority.pem()), ListenerTls::new(certificate.pem(), key.serialize_pem()))
    }

    /// A client that trusts it.
    pub(crate) fn client(&self, builder: ClientBuilder) -> ClientBuilder {
        builder.tls(TlsConfig::new().ca(&self.0))
    }
}
