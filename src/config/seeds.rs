//! Bootstrap servers: the addresses a client starts from.
//!
//! Written as `host`, `host:port`, `[ipv6]:port`, or with a scheme, `kafka://host:port`, in any case. A list may also be one text with
//! commas. Without a port it is 9092. A scheme configures nothing: `kafka+ssl` and `kafka` say whether there is TLS, `plaintext`, `ssl`,
//! `sasl_plaintext` and `sasl_ssl` (as in brokers' settings) also whether there is SASL, and what they say must be what is configured.

use std::fmt;

use crate::config::Security;
use crate::error::{Error, ErrorKind};

/// The port of a seed that names none.
pub const DEFAULT_PORT: u16 = 9092;

/// One bootstrap server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seed {
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Something that names bootstrap servers: one text, which may have commas in it, or a list of texts.
pub trait IntoSeeds {
    /// The texts, still to be parsed.
    fn into_seeds(self) -> Vec<String>;
}

impl IntoSeeds for &str {
    fn into_seeds(self) -> Vec<String> {
        vec![self.to_owned()]
    }
}

impl IntoSeeds for String {
    fn into_seeds(self) -> Vec<String> {
        vec![self]
    }
}

impl IntoSeeds for &String {
    fn into_seeds(self) -> Vec<String> {
        vec![self.clone()]
    }
}

impl<S: AsRef<str>, const N: usize> IntoSeeds for [S; N] {
    fn into_seeds(self) -> Vec<String> {
        self.iter().map(|seed| seed.as_ref().to_owned()).collect()
    }
}

impl<S: AsRef<str>> IntoSeeds for &[S] {
    fn into_seeds(self) -> Vec<String> {
        self.iter().map(|seed| seed.as_ref().to_owned()).collect()
    }
}

impl<S: AsRef<str>> IntoSeeds for Vec<S> {
    fn into_seeds(self) -> Vec<String> {
        self.iter().map(|seed| seed.as_ref().to_owned()).collect()
    }
}

impl<S: AsRef<str>> IntoSeeds for &Vec<S> {
    fn into_seeds(self) -> Vec<String> {
        self.as_slice().into_seeds()
    }
}

/// Parses bootstrap servers; the same address twice counts once, blanks around commas do not matter.
///
/// Schemes must be known ones. Whether they fit the client's settings shows when the client is built.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`] for an empty list and for a seed that cannot be an address, naming it.
pub fn parse_seeds(seeds: impl IntoSeeds) -> Result<Vec<Seed>, Error> {
    let mut parsed = Vec::new();
    for text in seeds.into_seeds() {
        for seed in split(&text) {
            let (_, seed) = parse_seed(seed)?;
            if !parsed.contains(&seed) {
                parsed.push(seed);
            }
        }
    }
    if parsed.is_empty() {
        let message = "no bootstrap servers: give at least one address as host:port (bootstrap.servers)";
        return Err(Error::new(ErrorKind::InvalidConfig, message));
    }
    Ok(parsed)
}

/// Do the seeds' schemes say what is configured?
///
/// # Errors
/// [`ErrorKind::InvalidConfig`] naming the seed and what contradicts it: the settings, or another seed.
pub(crate) fn check_schemes(seeds: &[String], security: &Security) -> Result<(), Error> {
    let configured = Scheme { is_tls: security.tls.is_some(), is_sasl: Some(security.sasl.is_some()) };
    let mut first: Option<(Scheme, &str)> = None;
    for text in seeds.iter().flat_map(|text| split(text)) {
        let (Some(scheme), _) = parse_seed(text)? else { continue };
        let (common, other) = *first.get_or_insert((scheme, text));
        if scheme.contradicts(common) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "bootstrap servers \"{other}\" and \"{text}\" name different protocols; a client speaks one with all brokers"
                ),
            ));
        }
        if scheme.contradicts(configured) {
            let wanted = match (scheme.is_tls, scheme.is_sasl.unwrap_or(configured.is_sasl == Some(true))) {
                (false, false) => "PLAINTEXT",
                (true, false) => "SSL",
                (false, true) => "SASL_PLAINTEXT",
                (true, true) => "SASL_SSL",
            };
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!(
                    "bootstrap server \"{text}\" asks for {wanted}, but security.protocol is {} by the client's settings; set it to {wanted} (TLS and SASL settings, or the builder's tls and sasl), or change the scheme",
                    security.protocol()
                ),
            ));
        }
        // What the first leaves open may be said by a later one.
        if common.is_sasl.is_none() {
            first = Some((scheme, text));
        }
    }
    Ok(())
}

/// What a scheme says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scheme {
    is_tls: bool,
    /// Unless the scheme leaves it open.
    is_sasl: Option<bool>,
}

impl Scheme {
    fn contradicts(self, other: Self) -> bool {
        self.is_tls != other.is_tls || self.is_sasl.zip(other.is_sasl).is_some_and(|(one, other)| one != other)
    }
}

/// The seeds of one text.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|seed| !seed.is_empty())
}

fn parse_seed(seed: &str) -> Result<(Option<Scheme>, Seed), Error> {
    let invalid = |why: String| Error::new(ErrorKind::InvalidConfig, format!("bootstrap server \"{seed}\": {why}"));
    let (scheme, address) = match seed.split_once("://") {
        None => (None, seed),
        Some((scheme, address)) => {
            let (is_tls, is_sasl) = match scheme.to_ascii_lowercase().as_str() {
                "kafka" => (false, None),
                "kafka+ssl" => (true, None),
                "plaintext" => (false, Some(false)),
                "ssl" => (true, Some(false)),
                "sasl_plaintext" => (false, Some(true)),
                "sasl_ssl" => (true, Some(true)),
                _ => {
                    let known = "host:port, kafka://, kafka+ssl://, or a security protocol's name: plaintext, ssl, sasl_plaintext, sasl_ssl";
                    return Err(invalid(format!("unknown scheme \"{scheme}\"; use {known}")));
                }
            };
            (Some(Scheme { is_tls, is_sasl }), address)
        }
    };
    let address = address.strip_suffix('/').unwrap_or(address);
    let (host, port) = split_port(address).map_err(|why| invalid(why.to_owned()))?;
    if host.is_empty() {
        return Err(invalid("it has no host".to_owned()));
    }
    let forbidden =
        |character: char| character.is_whitespace() || matches!(character, '/' | '@' | '?' | '#' | '[' | ']' | '"' | '\\');
    if let Some(character) = host.chars().find(|character| forbidden(*character)) {
        return Err(invalid(format!("a host cannot have {character:?} in it")));
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(invalid(format!("\"{port}\" is not a port (1 to 65535)"))),
            Ok(port) => port,
        },
    };
    Ok((scheme, Seed { host: host.to_owned(), port }))
}

/// Host and port; an IPv6 address with a port has brackets, without a port it may have none.
fn split_port(address: &str) -> Result<(&str, Option<&str>), &'static str> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the bracket is not closed")?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("after the bracket only a port may follow"),
        };
    }
    match address.split_once(':') {
        None => Ok((address, None)),
        Some((_, rest)) if rest.contains(':') => {
            let ipv6 = address.parse::<std::net::Ipv6Addr>().is_ok();
            if ipv6 { Ok((address, None)) } else { Err("an IPv6 address with a port is written [address]:port") }
        }
        Some((host, port)) => Ok((host, Some(port))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sasl, TlsConfig};

    fn texts(seeds: impl IntoSeeds) -> Vec<String> {
        parse_seeds(seeds).unwrap().iter().map(Seed::to_string).collect()
    }

    fn refusal(seed: &str) -> String {
        let error = parse_seeds(seed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        error.to_string()
    }

    #[test]
    fn rk_002_an_empty_list_is_an_error() {
        assert_eq!(parse_seeds(Vec::<String>::new()).unwrap_err().kind(), ErrorKind::InvalidConfig);
        assert!(refusal("").contains("bootstrap.servers"));
        assert!(refusal(" , ").contains("bootstrap.servers"));
    }

    #[test]
    fn rk_003_one_text_with_commas_and_a_list_are_the_same() {
        assert_eq!(texts("a:1,b:2"), ["a:1", "b:2"]);
        assert_eq!(texts(["a:1", "b:2"]), ["a:1", "b:2"]);
        assert_eq!(texts(vec!["a:1, b:2".to_owned(), "a:1".to_owned()]), ["a:1", "b:2"]);
    }

    #[test]
    fn rk_004_the_port_is_9092_unless_given() {
        assert_eq!(texts("kafka1"), ["kafka1:9092"]);
        assert_eq!(texts("kafka://kafka1"), ["kafka1:9092"]);
    }

    #[test]
    fn rk_005_schemes_for_plain_connections_are_accepted_in_any_case() {
        for seed in ["kafka://h:1", "plaintext://h:1", "PLAINTEXT://h:1", "Kafka://h:1/"] {
            assert_eq!(texts(seed), ["h:1"], "{seed}");
        }
    }

    #[test]
    fn rk_006_another_scheme_is_an_error_naming_it_and_the_seed() {
        let error = refusal("http://h");
        assert!(error.contains("\"http\"") && error.contains("\"http://h\""), "{error}");
        for seed in ["tls://h", "ssl+kafka://h", "://h", "kafka+plaintext://h"] {
            assert!(refusal(seed).contains("unknown scheme"), "{seed}");
        }
    }

    #[test]
    fn a_scheme_must_say_what_is_configured() {
        let configured = |is_tls: bool, is_sasl: bool| Security {
            tls: is_tls.then(TlsConfig::new),
            sasl: is_sasl.then(|| Sasl::plain("alice", "canary")),
            allow_cleartext_sasl: true,
        };
        let all = [(false, false), (true, false), (false, true), (true, true)];
        for (scheme, fitting) in [
            ("kafka", &[(false, false), (false, true)][..]),
            ("plaintext", &[(false, false)]),
            ("KAFKA+SSL", &[(true, false), (true, true)]),
            ("ssl", &[(true, false)]),
            ("SASL_PLAINTEXT", &[(false, true)]),
            ("sasl_ssl", &[(true, true)]),
        ] {
            let seed = format!("{scheme}://h:1");
            assert_eq!(texts(&seed), ["h:1"]);
            for (is_tls, is_sasl) in all {
                let security = configured(is_tls, is_sasl);
                match check_schemes(&["other:1".to_owned(), seed.clone()], &security) {
                    Ok(()) => assert!(fitting.contains(&(is_tls, is_sasl)), "{seed} {security:?}"),
                    Err(error) => {
                        let text = format!("{error}");
                        assert!(!fitting.contains(&(is_tls, is_sasl)), "{seed}: {text}");
                        assert!(text.contains(&seed) && text.contains(security.protocol()), "{text}");
                        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
                    }
                }
            }
        }
    }

    #[test]
    fn schemes_of_one_client_must_not_contradict_each_other() {
        let plain = Security::default();
        for (seeds, pair) in [
            ("plaintext://a:1,b:2,ssl://c:3", ["plaintext://a:1", "ssl://c:3"]),
            ("kafka://a:1,plaintext://b:2,sasl_plaintext://c:3", ["plaintext://b:2", "sasl_plaintext://c:3"]),
        ] {
            let error = check_schemes(&[seeds.to_owned()], &plain).unwrap_err().to_string();
            assert!(pair.iter().all(|seed| error.contains(seed)), "{error}");
        }
        assert!(check_schemes(&["kafka://a:1".to_owned(), "plaintext://b:2,c".to_owned()], &plain).is_ok());
    }

    #[test]
    fn ipv6_addresses_and_trailing_dots_are_kept() {
        assert_eq!(texts("[::1]:9093"), ["[::1]:9093"]);
        assert_eq!(parse_seeds("::1").unwrap(), [Seed { host: "::1".into(), port: 9092 }]);
        assert_eq!(texts("[2001:db8::2]"), ["[2001:db8::2]:9092"]);
        assert_eq!(texts("host.example.:1"), ["host.example.:1"]);
    }

    #[test]
    fn what_cannot_be_an_address_is_named() {
        for (seed, why) in [
            ("h:", "not a port"),
            ("h:0", "not a port"),
            ("h:65536", "not a port"),
            ("h:http", "not a port"),
            (":9092", "no host"),
            ("a:1:2", "[address]:port"),
            ("[::1", "not closed"),
            ("[::1]x", "only a port"),
            ("user@h:1", "'@'"),
            ("a b:1", "' '"),
        ] {
            let error = refusal(seed);
            assert!(error.contains(why) && error.contains(seed), "{seed}: {error}");
        }
    }
}
