//! TLS over TCP in front of a broker that has none.

use std::sync::Arc;

use klamm::ClientBuilder;
use klamm::config::TlsConfig;
use klamm_broker::Broker;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The front: what a client must know of it.
pub(crate) struct Front {
    /// The authority's certificate as PEM.
    authority: String,
}

impl Front {
    /// Listens, and has the broker's only node name its address.
    pub(crate) async fn start(broker: &Broker) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap()));

        let behind = broker.address(1).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        broker.set_address(1, "127.0.0.1", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    // A connection that breaks, in its handshake or later, is nothing to the front.
                    let _ = async {
                        stream.set_nodelay(true)?;
                        let mut stream = acceptor.accept(stream).await?;
                        let mut behind = TcpStream::connect(behind).await?;
                        behind.set_nodelay(true)?;
                        copy_bidirectional(&mut stream, &mut behind).await
                    }
                    .await;
                });
            }
        });
        Self { authority: authority.pem() }
    }

    /// A client that trusts it.
    pub(crate) fn client(&self, builder: ClientBuilder) -> ClientBuilder {
        builder.tls(TlsConfig::new().ca(&self.authority))
    }
}
