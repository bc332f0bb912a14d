//! Listeners that speak TLS.

use std::io;
use std::sync::Arc;

use klamm::protocol::header::{decode_response, encode_request};
use klamm::protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use klamm::protocol::{ApiKey, ApiMessage as _};
use klamm_broker::{Broker, ListenerTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate and its key, as PEM.
type Pair = (String, String);

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

fn issued(authority: &Authority, name: &str) -> Pair {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new([name.to_owned()]).expect("a name");
    (params.signed_by(&key, authority).expect("a certificate").pem(), key.serialize_pem())
}

/// Asks for metadata over TLS, as a client that trusts `authority` and may have a certificate of its own.
async fn ask(broker: &Broker, node: i32, authority: &Authority, own: Option<&Pair>) -> io::Result<MetadataResponse> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM")).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(vec![certificate], key).expect("a pair")
        }
    };
    let (host, port) = broker.address(node).expect("an address");
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    let name = ServerName::try_from(host).expect("an address");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    for part in encode_request(1, None, 12, &MetadataRequest { topics: None, ..MetadataRequest::default() }).expect("fits") {
        stream.write_all(&part).await?;
    }
    stream.flush().await?;
    let mut frame = vec![0; usize::try_from(stream.read_i32().await?).expect("a length")];
    stream.read_exact(&mut frame).await?;
    let (_, body) = decode_response(&frame.into(), ApiKey::METADATA, true).expect("a header");
    Ok(MetadataResponse::decode(&body, 12).expect("an answer"))
}

#[tokio::test]
async fn every_node_speaks_tls_to_those_who_trust_it() {
    let ours = authority();
    let (certificate, key) = issued(&ours, "127.0.0.1");
    let broker = Broker::builder().nodes(2).topic("orders", 1).tls(ListenerTls::new(certificate, key)).start().await;
    let broker = broker.expect("a broker");
    for node in [1, 2] {
        assert_eq!(ask(&broker, node, &ours, None).await.expect("an answer").topics.len(), 1);
    }
    assert!(ask(&broker, 1, &authority(), None).await.is_err(), "signed by somebody else");
    // Who does not speak TLS is not served.
    let mut plain = TcpStream::connect(broker.bootstrap()[0].as_str()).await.expect("connected");
    let request = encode_request(1, None, 12, &MetadataRequest::default()).expect("fits").concat();
    plain.write_all(&request).await.expect("sent");
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(answer.first().is_none_or(|first| *first == 21), "an alert at most: {answer:?}");
    broker.stop_node(2);
    assert!(ask(&broker, 2, &ours, None).await.is_err());
    broker.start_node(2).await.expect("started");
    assert!(ask(&broker, 2, &ours, None).await.is_ok());
}

#[tokio::test]
async fn clients_show_a_certificate_where_one_is_wanted() {
    let (ours, theirs) = (authority(), authority());
    let (certificate, key) = issued(&ours, "127.0.0.1");
    let listeners = ListenerTls::new(certificate, key).clients_from(theirs.pem());
    let broker = Broker::builder().topic("orders", 1).tls(listeners).start().await.expect("a broker");
    assert!(ask(&broker, 1, &ours, None).await.is_err());
    assert!(ask(&broker, 1, &ours, Some(&issued(&ours, "alice"))).await.is_err());
    assert!(ask(&broker, 1, &ours, Some(&issued(&theirs, "alice"))).await.is_ok());
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused_at_the_start() {
    let ours = authority();
    let (certificate, key) = issued(&ours, "127.0.0.1");
    let (_, other_key) = issued(&ours, "127.0.0.1");
    for (listeners, what) in [
        (ListenerTls::new("", key.clone()), "the certificate: there is none in the PEM"),
        (ListenerTls::new(certificate.clone(), "nonsense"), "the key: "),
        (ListenerTls::new(certificate.clone(), other_key), "certificate and key: "),
        (ListenerTls::new(certificate.clone(), key.clone()).clients_from(""), "the authorities of clients: there is none"),
    ] {
        let refused = Broker::builder().tls(listeners).start().await.expect_err("cannot be used");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(refused.to_string().starts_with(what), "{refused}");
    }
    assert!(!format!("{:?}", ListenerTls::new(certificate, key.clone())).contains(&key));
}
