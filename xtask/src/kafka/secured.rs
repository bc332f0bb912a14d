//! A node with a listener of every kind of security: TLS, client certificates, SASL, users, access control.
//!
//! It is told by its environment variables where tests find what: `KLAMM_SECURED_…` one for each listener of [`LISTENERS`], and
//! `KLAMM_SECURED_CERTIFICATES` for the folder described in `certificates.rs`. Users are `admin`, `alice` and `bob`, with the passwords
//! `admin-secret` and so on, by PLAIN and SCRAM. Everything is allowed to everybody until an ACL says otherwise; who comes over
//! the listener without security is a super user and may set them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::VERSION;
use super::certificates::{self, KEY_PASSWORD};
use super::java::{Java, stop_all};
use super::node::{self, Node, SETTINGS};

/// A listener: its name (also that of its environment variable), its protocol, its own settings.
const LISTENERS: [(&str, &str, &str); 8] = [
    ("PLAINTEXT", "PLAINTEXT", ""),
    ("SSL", "SSL", ""),
    ("MTLS", "SSL", "ssl.client.auth=required"),
    ("SASL_SSL", "SASL_SSL", ""),
    ("SASL_PLAINTEXT", "SASL_PLAINTEXT", ""),
    // Sessions end after 5 s, unless the client proves anew who it is (KIP-368).
    ("REAUTHENTICATION", "SASL_PLAINTEXT", "connections.max.reauth.ms=5000"),
    ("EXPIRED", "SSL", "ssl.keystore.location=expired.pem"),
    ("WRONG_HOST", "SSL", "ssl.keystore.location=wrong-host.pem"),
];
const USERS: [&str; 3] = ["admin", "alice", "bob"];
const MECHANISMS: &str = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512";
const LOGIN: &str = "org.apache.kafka.common.security";

/// The node; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Secured {
    folder: PathBuf,
    port: u16,
    keep: bool,
}

impl Secured {
    /// Starts it with its data and certificates in `folder`, which is made anew.
    pub(crate) fn start(folder: &Path) -> Result<Self, String> {
        let java = Java::new(VERSION, folder)?;
        let port = node::free_ports(u16::try_from(LISTENERS.len() + 1).unwrap_or(u16::MAX))?;
        let secured = Self { folder: folder.to_path_buf(), port, keep: false };
        certificates::make(&secured.certificates())?;
        let mut format = Vec::new();
        for (user, bits) in USERS.iter().flat_map(|user| [(user, 256), (user, 512)]) {
            format.push("--add-scram".to_owned());
            format.push(format!("SCRAM-SHA-{bits}=[name={user},password={user}-secret,iterations=4096]"));
        }
        node::start(&java, folder, &[Node { number: 1, settings: secured.settings(), format }])?;
        Ok(secured)
    }

    /// What tests are told, as environment variables: where each listener is, and where the certificates are.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let mut variables: Vec<_> =
            self.addresses().into_iter().map(|(name, address)| (format!("KLAMM_SECURED_{name}"), address)).collect();
        variables.push(("KLAMM_SECURED_CERTIFICATES".to_owned(), self.certificates().display().to_string()));
        variables
    }

    /// Where it is, in short.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{} and {} ports after it", self.port, LISTENERS.len() - 1)
    }

    /// Everything that somebody needs for work by hand.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::new();
        for (name, address) in self.addresses() {
            let _ = writeln!(text, "{name}={address}");
        }
        let _ = writeln!(text, "certificates={} (client.encrypted.key: {KEY_PASSWORD})", self.certificates().display());
        let _ = write!(text, "users={} (by {MECHANISMS})", USERS.map(|user| format!("{user}/{user}-secret")).join(" "));
        text
    }

    /// The folder with logs, process ids and commands.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Leaves the node running when this value goes.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }

    fn certificates(&self) -> PathBuf {
        self.folder.join("certificates")
    }

    /// Name and advertised address of each listener. Certificates are for a name, so that is what all but the plain one are known by.
    fn addresses(&self) -> Vec<(&'static str, String)> {
        let address = |(&(name, ..), port): (&(&'static str, &str, &str), u16)| {
            (name, format!("{}:{port}", if name == "PLAINTEXT" { "127.0.0.1" } else { "localhost" }))
        };
        LISTENERS.iter().zip(self.port..).map(address).collect()
    }

    fn settings(&self) -> String {
        let controller = self.port + u16::try_from(LISTENERS.len()).unwrap_or(u16::MAX);
        let joined = |texts: Vec<String>| texts.join(",");
        let listeners = LISTENERS.iter().zip(self.port..).map(|((name, ..), port)| format!("{name}://127.0.0.1:{port}"));
        let advertised = self.addresses().into_iter().map(|(name, address)| format!("{name}://{address}"));
        let protocols = LISTENERS.iter().map(|(name, protocol, _)| format!("{name}:{protocol}"));
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners={},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners={}\n\
             listener.security.protocol.map={},CONTROLLER:PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n\
             num.network.threads=1\n\
             ssl.keystore.type=PEM\n\
             ssl.keystore.location={}\n\
             ssl.truststore.type=PEM\n\
             ssl.truststore.location={}\n\
             delegation.token.secret.key=token-secret\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             allow.everyone.if.no.acl.found=true\n\
             super.users=User:ANONYMOUS;User:admin\n\
             {}{SETTINGS}",
            joined(listeners.collect()),
            joined(advertised.collect()),
            joined(protocols.collect()),
            self.folder.join("node-1").display(),
            self.certificates().join("broker.pem").display(),
            self.certificates().join("ca.crt").display(),
            node::replication(1, 1),
        );
        for (name, protocol, own) in LISTENERS {
            let prefix = format!("listener.name.{}", name.to_lowercase());
            if let Some(file) = own.strip_prefix("ssl.keystore.location=") {
                // Java takes no relative path here.
                let _ = writeln!(text, "{prefix}.ssl.keystore.location={}", self.certificates().join(file).display());
            } else if !own.is_empty() {
                let _ = writeln!(text, "{prefix}.{own}");
            }
            if protocol.starts_with("SASL") {
                let users: String = USERS.iter().map(|user| format!(" user_{user}=\"{user}-secret\"")).collect();
                let _ = writeln!(text, "{prefix}.sasl.enabled.mechanisms={MECHANISMS}");
                let _ = writeln!(text, "{prefix}.plain.sasl.jaas.config={LOGIN}.plain.PlainLoginModule required{users};");
                for bits in [256, 512] {
                    let _ = writeln!(text, "{prefix}.scram-sha-{bits}.sasl.jaas.config={LOGIN}.scram.ScramLoginModule required;");
                }
            }
        }
        text
    }
}

impl Drop for Secured {
    fn drop(&mut self) {
        if !self.keep {
            stop_all(&self.folder);
        }
    }
}
