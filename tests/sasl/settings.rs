//! Settings that cannot be right: found where a client is built.

use klamm::config::Properties;
use klamm::{Client, ErrorKind};

use super::{MECHANISMS, credentials};

#[tokio::test]
async fn rk_209_it_is_an_error_where_a_client_is_built_for_every_mechanism() {
    for mechanism in MECHANISMS {
        let sasl = credentials(mechanism, "canary");
        for seed in ["a:1", "localhost:1"] {
            let builder = || Client::builder(seed).sasl(sasl.clone());
            let error = builder().build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(mechanism.name()) && !shown.contains("canary"), "{shown}");
            assert_eq!(builder().allow_cleartext_sasl(false).build().unwrap_err().kind(), ErrorKind::InvalidConfig);
            assert!(builder().allow_cleartext_sasl(true).build().is_ok());
        }
    }
}

#[tokio::test]
async fn rk_215_it_is_an_error_at_construction() {
    let settings = |mechanism| {
        let pairs = [
            ("bootstrap.servers", "a:1"),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", mechanism),
            ("sasl.username", "alice"),
            ("sasl.password", "canary"),
        ];
        Properties::from_pairs(pairs).and_then(Client::from_properties)
    };
    for mechanism in ["sha1", "SCRAM-SHA-1", ""] {
        let error = settings(mechanism).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{mechanism:?}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(mechanism) && shown.contains("SCRAM-SHA-512") && !shown.contains("canary"), "{shown}");
    }
    assert!(settings("SCRAM-SHA-256").unwrap().build().is_ok());
}
