//! Encryption and authentication together: what the user chose, whether it fits together, and the same by Java's property names.

use crate::config::jaas;
use crate::config::sasl::{Sasl, SaslMechanism};
use crate::config::tls::{Pem, TlsConfig, TlsVersion};
use crate::config::{Properties, Secret};
use crate::error::{Error, ErrorKind, Result};

/// What protects a client's connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Security {
    /// Encryption; none unless set.
    pub(crate) tls: Option<TlsConfig>,
    /// Authentication; none unless set.
    pub(crate) sasl: Option<Sasl>,
    /// May credentials go over connections that are not encrypted?
    pub(crate) allow_cleartext_sasl: bool,
}

impl Security {
    /// Does it fit together?
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming what is missing or contradicts.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(tls) = &self.tls {
            tls.check()?;
        }
        let Some(sasl) = &self.sasl else { return Ok(()) };
        sasl.check()?;
        if self.tls.is_none() && !self.allow_cleartext_sasl {
            return Err(invalid(format!(
                "SASL {} without TLS would show who listens what it takes to log in: set TLS as well, or allow it explicitly \
                 (allow_cleartext_sasl, security.protocol=SASL_PLAINTEXT)",
                sasl.mechanism
            )));
        }
        Ok(())
    }

    /// Its name as `security.protocol`.
    pub(crate) fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }

    /// Takes what belongs to it out of `properties`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the setting that is wrong, missing, or of no effect under `security.protocol`.
    pub(crate) fn take(properties: &mut Properties) -> Result<Self> {
        let protocols = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
        let protocol = properties.take_choice("security.protocol", &protocols)?.unwrap_or("PLAINTEXT");
        let (is_tls, is_sasl) = (protocol.ends_with("SSL"), protocol.starts_with("SASL"));
        // A setting that would do nothing is a mistake: the user thinks that something is encrypted, or that somebody logs in.
        for (is_used, prefix, purpose) in [(is_tls, "ssl.", "encrypts nothing"), (is_sasl, "sasl.", "logs nobody in")] {
            if let Some(given) = properties.given_below(prefix).filter(|_| !is_used) {
                let wanted = match (is_tls || prefix == "ssl.", is_sasl || prefix == "sasl.") {
                    (true, true) => "SASL_SSL",
                    (true, false) => "SSL",
                    _ => "SASL_PLAINTEXT or SASL_SSL",
                };
                return Err(invalid(format!(
                    "setting \"{given}\" has no effect: security.protocol is {protocol}, which {purpose}; set it to {wanted}, or remove \"{given}\""
                )));
            }
        }
        let tls = if is_tls { Some(take_tls(properties)?) } else { None };
        let sasl = if is_sasl { Some(take_sasl(properties)?) } else { None };
        let security = Self { tls, sasl, allow_cleartext_sasl: protocol == "SASL_PLAINTEXT" };
        security.check()?;
        Ok(security)
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidConfig, message)
}

fn take_tls(properties: &mut Properties) -> Result<TlsConfig> {
    let mut tls = TlsConfig::new();
    for store in ["ssl.truststore.type", "ssl.keystore.type"] {
        if let Some(format) = properties.take(store).filter(|format| !format.eq_ignore_ascii_case("PEM")) {
            return Err(invalid(format!(
                "setting \"{store}\" is \"{format}\": only PEM stores are read; convert with keytool -importkeystore -deststoretype PKCS12, then openssl pkcs12 -nodes"
            )));
        }
    }
    match (properties.take_secret("ssl.truststore.certificates"), properties.take("ssl.truststore.location")) {
        (Some(_), Some(_)) => return Err(both("ssl.truststore.certificates", "ssl.truststore.location")),
        (Some(text), None) => tls = tls.ca(text),
        (None, Some(path)) => tls = tls.ca_file(path),
        (None, None) => {}
    }
    let store = properties.take("ssl.keystore.location");
    let mut one_of = |text: &str, file: &str| match (properties.take_secret(text), properties.take(file), &store) {
        (Some(_), Some(_), _) => Err(both(text, file)),
        (Some(_), None, Some(_)) => Err(both(text, "ssl.keystore.location")),
        (None, Some(_), Some(_)) => Err(both(file, "ssl.keystore.location")),
        (Some(text), None, None) => Ok(Some(Pem::Text(text))),
        (None, file, store) => Ok(file.as_ref().or(store.as_ref()).map(|path| Pem::File(path.into()))),
    };
    tls.certificate = one_of("ssl.keystore.certificate.chain", "ssl.certificate.location")?;
    tls.key = one_of("ssl.keystore.key", "ssl.key.location")?;
    tls.key_password = properties.take_secret("ssl.key.password");
    match properties.take_choice("ssl.endpoint.identification.algorithm", &["https", "", "none"])? {
        None | Some("https") => {}
        Some(_) => tls = tls.dangerous_accept_any_hostname(),
    }
    if properties.take_bool("enable.ssl.certificate.verification")? == Some(false) {
        return Err(invalid(
            "setting \"enable.ssl.certificate.verification\" is false: brokers' certificates are always verified; trust their authority with ssl.ca.location, or set ssl.endpoint.identification.algorithm to nothing if only the name is wrong".to_owned(),
        ));
    }
    let version = |name: &str, text: &str| match text {
        "TLSv1.2" => Ok(TlsVersion::Tls12),
        "TLSv1.3" => Ok(TlsVersion::Tls13),
        other => Err(invalid(format!("setting \"{name}\" has \"{other}\" in it: there are TLSv1.2 and TLSv1.3"))),
    };
    // Java's name for the newest version allowed.
    if let Some(newest) = properties.take("ssl.protocol") {
        let newest = version("ssl.protocol", &newest)?;
        tls.versions = [TlsVersion::Tls12, TlsVersion::Tls13].into_iter().filter(|version| *version <= newest).collect();
    }
    if let Some(enabled) = properties.take_list("ssl.enabled.protocols") {
        tls.versions = enabled.iter().map(|text| version("ssl.enabled.protocols", text)).collect::<Result<_>>()?;
    }
    Ok(tls)
}

fn both(a: &str, b: &str) -> Error {
    invalid(format!("settings \"{a}\" and \"{b}\" say the same in two ways; remove one"))
}

fn take_sasl(properties: &mut Properties) -> Result<Sasl> {
    let mechanism = properties.take_parsed::<SaslMechanism>("sasl.mechanism")?;
    let line = properties.take_secret("sasl.jaas.config");
    let (mut username, mut password) = (properties.take("sasl.username"), properties.take_secret("sasl.password"));
    let Some(mechanism) = mechanism else {
        return Err(invalid(
            "sasl.mechanism is not set: set PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, as the brokers offer".to_owned(),
        ));
    };
    let mut is_token = false;
    if let Some(line) = line {
        if username.is_some() || password.is_some() {
            return Err(both("sasl.jaas.config", "sasl.username"));
        }
        let wrong = |why: String| invalid(format!("setting \"sasl.jaas.config\": {why}"));
        let jaas = jaas::parse(line.expose()).map_err(wrong)?;
        let wanted = if mechanism == SaslMechanism::Plain { "PlainLoginModule" } else { "ScramLoginModule" };
        if jaas.module != wanted {
            return Err(wrong(format!("sasl.mechanism is {mechanism}, which needs a {wanted} in front")));
        }
        (username, password, is_token) = (jaas.username, jaas.password, jaas.is_token);
    }
    let missing = |what: &str| {
        invalid(format!(
            "SASL {mechanism}: no {what}; set sasl.username and sasl.password, or sasl.jaas.config with username=\"…\" password=\"…\""
        ))
    };
    let username = username.ok_or_else(|| missing("user name"))?;
    let password: Secret = password.ok_or_else(|| missing("password"))?;
    let sasl = Sasl::new(mechanism, username, password);
    Ok(if is_token { sasl.delegation_token() } else { sasl })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take<const N: usize>(pairs: [(&str, &str); N]) -> Result<Security> {
        Security::take(&mut Properties::from_pairs(pairs)?)
    }

    #[test]
    fn nothing_said_is_plain_text() {
        let security = take([]).unwrap();
        assert!(security.tls.is_none() && security.sasl.is_none());
    }

    #[test]
    fn javas_names_are_understood() {
        let security = take([
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            (
                "sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\" password=\"s\" tokenauth=\"true\";",
            ),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", "ca.pem"),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", "me.pem"),
            ("ssl.key.password", "k"),
            ("ssl.endpoint.identification.algorithm", ""),
            ("ssl.enabled.protocols", "TLSv1.3"),
        ])
        .unwrap();
        let (tls, sasl) = (security.tls.unwrap(), security.sasl.unwrap());
        assert_eq!((sasl.mechanism, sasl.username.as_str(), sasl.password.expose()), (SaslMechanism::ScramSha512, "alice", "s"));
        assert!(sasl.is_token && !security.allow_cleartext_sasl && !tls.verify_hostname);
        assert_eq!(format!("{:?} {:?} {:?}", tls.authorities, tls.certificate, tls.key), "[ca.pem] Some(me.pem) Some(me.pem)");
        assert_eq!((tls.key_password.unwrap().expose(), tls.versions.as_slice()), ("k", &[TlsVersion::Tls13][..]));
    }

    #[test]
    fn librdkafkas_names_are_understood() {
        let security = take([
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.username", "alice"),
            ("sasl.password", "s"),
        ])
        .unwrap();
        assert!(security.allow_cleartext_sasl && security.sasl.is_some_and(|sasl| sasl.username == "alice"));
        let security = take([
            ("security.protocol", "ssl"),
            ("ssl.ca.location", "ca.pem"),
            ("ssl.certificate.location", "me.crt"),
            ("ssl.key.pem", "key"),
            ("enable.ssl.certificate.verification", "true"),
        ]);
        let tls = security.unwrap().tls.unwrap();
        assert_eq!(format!("{:?} {:?} {:?}", tls.authorities, tls.certificate, tls.key), "[ca.pem] Some(me.crt) Some(PEM text)");
    }

    #[test]
    fn what_has_no_effect_contradicts_or_is_missing_is_named_and_nothing_secret_shown() {
        let sasl = ("security.protocol", "SASL_SSL");
        for (pairs, parts) in [
            (vec![("ssl.ca.location", "ca.pem")], ["\"ssl.ca.location\" has no effect", "set it to SSL"]),
            (vec![("sasl.password", "canary")], ["\"sasl.password\" has no effect", "SASL_PLAINTEXT or SASL_SSL"]),
            (vec![("security.protocol", "SSL"), ("sasl.username", "a")], ["logs nobody in", "SASL_SSL"]),
            (vec![("security.protocol", "TLS")], ["\"TLS\"", "SASL_SSL"]),
            (vec![sasl], ["sasl.mechanism is not set", "SCRAM-SHA-512"]),
            (vec![sasl, ("sasl.mechanism", "PLAIN")], ["no user name", "sasl.username"]),
            (vec![sasl, ("sasl.mechanism", "PLAIN"), ("sasl.username", "a")], ["no password", "sasl.password"]),
            (vec![sasl, ("sasl.mechanism", "sha1")], ["\"sha1\"", "unknown"]),
            (vec![sasl, ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", "canary")], ["sasl.jaas.config", "word is missing"]),
            (
                vec![sasl, ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", "ScramLoginModule required password=\"canary\";")],
                ["sasl.jaas.config", "PlainLoginModule"],
            ),
            (
                vec![sasl, ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", "canary"), ("sasl.password", "canary")],
                ["two ways", "sasl.username"],
            ),
            (vec![("security.protocol", "SSL"), ("ssl.truststore.type", "JKS")], ["\"JKS\"", "PEM"]),
            (vec![("security.protocol", "SSL"), ("ssl.keystore.key", "canary")], ["no certificate", "ssl.keystore"]),
            (
                vec![("security.protocol", "SSL"), ("ssl.keystore.location", "x"), ("ssl.keystore.key", "canary")],
                ["two ways", "ssl.keystore.location"],
            ),
            (vec![("security.protocol", "SSL"), ("ssl.enabled.protocols", "TLSv1.1")], ["TLSv1.1", "TLSv1.3"]),
            (
                vec![("security.protocol", "SSL"), ("enable.ssl.certificate.verification", "false")],
                ["always verified", "ssl.ca.location"],
            ),
        ] {
            let error = Security::take(&mut Properties::from_pairs(pairs.clone()).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            let shown = format!("{error} {error:?}");
            assert!(parts.iter().all(|part| shown.contains(part)) && !shown.contains("canary"), "{pairs:?}: {shown}");
        }
    }

    #[test]
    fn rk_209_sasl_without_tls_needs_to_be_allowed() {
        let mut security = Security { sasl: Some(Sasl::scram_sha_256("a", "b")), ..Security::default() };
        let error = security.check().unwrap_err();
        assert!(error.to_string().contains("without TLS") && error.to_string().contains("allow_cleartext_sasl"), "{error}");
        security.allow_cleartext_sasl = true;
        assert!(security.check().is_ok());
        security = Security { tls: Some(TlsConfig::new()), allow_cleartext_sasl: false, ..security };
        assert!(security.check().is_ok());
    }
}
