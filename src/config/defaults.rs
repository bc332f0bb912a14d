//! The table of settings: every name that Kafka's own clients know, with what becomes of it here.
//!
//! Names that only librdkafka has stand beside them, where they say something of their own.
//! Properties, their documentation and `from_properties` all go by this table. A name is *used* by one kind of component, comes
//! *later* (its feature is not built), or is *unused*: known to Java, but without meaning here. Reasons for the defaults that differ
//! from Java's: `allow.auto.create.topics` (typing errors make topics), `auto.offset.reset` (nothing is skipped in silence),
//! `isolation.level` (nothing aborted is read), `batch.size` (fuller batches under load).

/// Who takes a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Component {
    /// The client: connections, metadata, calls.
    Client,
    /// Producers.
    Producer,
    /// Consumers.
    Consumer,
}

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A component takes it.
    By(Component),
    /// The feature it belongs to is not built yet.
    Later,
    /// It has no meaning here, because of this.
    Unused(&'static str),
}

/// One setting of Kafka's own clients.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Setting {
    /// Its name, as in Java.
    pub name: &'static str,
    /// What becomes of it.
    pub used: Use,
    /// Its value when nothing is set; empty where there is none.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
}

macro_rules! settings {
    ($($kind:ident $($field:tt),*;)*) => {
        /// All settings, by name.
        pub static SETTINGS: &[Setting] = &[$(settings!(@ $kind $($field)*)),*];
    };
    (@ used $name:literal $component:ident $default:literal $doc:literal) => {
        Setting { name: $name, used: Use::By(Component::$component), default: $default, doc: $doc }
    };
    (@ later $name:literal) => { Setting { name: $name, used: Use::Later, default: "", doc: "" } };
    (@ unused $name:literal $why:literal) => { Setting { name: $name, used: Use::Unused($why), default: "", doc: "" } };
}

/// Names of librdkafka and older ones of Java's, with the name used here.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("auto.commit.enable", "enable.auto.commit"),
    ("compression.codec", "compression.type"),
    ("fetch.wait.max.ms", "fetch.max.wait.ms"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.max.bytes", "max.request.size"),
    ("message.send.max.retries", "retries"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("partitioner", "partitioner.class"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("ssl.ca.location", "ssl.truststore.location"),
    ("ssl.ca.pem", "ssl.truststore.certificates"),
    ("ssl.certificate.pem", "ssl.keystore.certificate.chain"),
    ("ssl.key.pem", "ssl.keystore.key"),
    ("topic.metadata.refresh.interval.ms", "metadata.max.age.ms"),
];

/// The setting of that name.
pub fn setting(name: &str) -> Option<&'static Setting> {
    let at = SETTINGS.binary_search_by_key(&name, |setting| setting.name).ok()?;
    SETTINGS.get(at)
}

/// The name used here for `name`.
pub(super) fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, canonical)| canonical)
}

settings! {
    used "acks", Producer, "all", "When a record counts as delivered: all, 1 or 0.";
    used "allow.auto.create.topics", Client, "false", "Does asking for a topic create it, where brokers allow that?";
    used "auto.commit.interval.ms", Consumer, "5000", "How often marked offsets are committed.";
    used "auto.offset.reset", Consumer, "earliest", "Where to start without a committed offset: earliest, latest or none.";
    used "batch.size", Producer, "262144", "The most bytes of one batch before compression.";
    unused "bootstrap.controllers", "requests for controllers go through brokers";
    unused "bootstrap.resolve.timeout.ms", "names are resolved at each attempt to connect";
    used "bootstrap.servers", Client, "", "Where to start: host:port, several with commas.";
    used "buffer.memory", Producer, "33554432", "The most bytes of records that wait to be delivered.";
    used "check.crcs", Consumer, "true", "Are checksums of batches compared?";
    used "client.dns.lookup", Client, "use_all_dns_ips", "Every address of a name is tried.";
    used "client.id", Client, "klamm", "The name that brokers log and count by.";
    used "client.rack", Consumer, "", "The rack the client is in.";
    used "compression.gzip.level", Producer, "-1", "Level of gzip.";
    used "compression.lz4.level", Producer, "9", "Level of lz4.";
    used "compression.type", Producer, "none", "none, gzip, snappy, lz4 or zstd.";
    used "compression.zstd.level", Producer, "3", "Level of zstd.";
    later "config.providers";
    used "connections.max.idle.ms", Client, "540000", "A connection without use for so long is closed.";
    used "default.api.timeout.ms", Client, "60000", "How long calls without a limit of their own may take, retries included.";
    used "delivery.timeout.ms", Producer, "120000", "How long delivering a record may take, from send to its result.";
    used "enable.auto.commit", Consumer, "true", "Are records marked as processed, and marks committed, without being told?";
    used "enable.idempotence", Producer, "true", "Is each record written once although batches are sent again?";
    later "enable.metrics.push";
    used "enable.ssl.certificate.verification", Client, "true", "librdkafka's; true: brokers are always verified.";
    used "exclude.internal.topics", Consumer, "true", "Do patterns of topics pass over Kafka's own topics?";
    used "fetch.max.bytes", Consumer, "52428800", "The most bytes of one Fetch answer.";
    used "fetch.max.wait.ms", Consumer, "500", "How long a broker may wait for fetch.min.bytes.";
    used "fetch.min.bytes", Consumer, "1", "The fewest bytes a broker answers a Fetch with, unless its wait is over.";
    used "group.id", Consumer, "", "The consumer group.";
    used "group.instance.id", Consumer, "", "Makes the member static.";
    used "group.protocol", Consumer, "classic", "classic; the consumer protocol is not built yet.";
    later "group.remote.assignor";
    used "heartbeat.interval.ms", Consumer, "3000", "How often the coordinator hears from a member.";
    unused "interceptor.classes", "it names Java classes; give the producer's builder an interceptor";
    used "isolation.level", Consumer, "read_committed", "read_committed or read_uncommitted.";
    unused "key.deserializer", "records have bytes; convert them where you read them";
    unused "key.serializer", "records have bytes; convert them before you send them";
    used "linger.ms", Producer, "5", "How long a batch waits for more records.";
    used "max.block.ms", Producer, "60000", "How long sending may wait for buffer room or metadata.";
    used "max.in.flight.requests.per.connection", Producer, "5", "Produce requests under way to one broker.";
    used "max.partition.fetch.bytes", Consumer, "1048576", "The most bytes of one partition in a Fetch answer.";
    used "max.poll.interval.ms", Consumer, "300000", "How long the user may work between two reads.";
    unused "max.poll.records", "a reader takes as many records as it wants; the prefetch is bounded by bytes";
    used "max.request.size", Producer, "1048576", "The most bytes of one Produce request.";
    unused "metadata.cluster.check.enable", "the check of KIP-1242 is not built yet";
    used "metadata.max.age.ms", Client, "300000", "Metadata older than this is refreshed although nothing failed.";
    unused "metadata.max.idle.ms", "a topic is refreshed as long as something uses it";
    used "metadata.recovery.rebootstrap.trigger.ms", Client, "300000", "After so long without metadata the bootstrap servers are asked again.";
    used "metadata.recovery.strategy", Client, "rebootstrap", "What happens when no known broker can be reached.";
    unused "metric.reporters", "metrics are not reported to Java classes";
    unused "metrics.num.samples", "metrics are not reported to Java classes";
    unused "metrics.recording.level", "metrics are not reported to Java classes";
    unused "metrics.sample.window.ms", "metrics are not reported to Java classes";
    used "partition.assignment.strategy", Consumer, "cooperative-sticky", "Assignors, the most wanted first.";
    unused "partitioner.adaptive.partitioning.enable", "records without key stay with a partition for a batch, then change";
    unused "partitioner.availability.timeout.ms", "records without key stay with a partition for a batch, then change";
    used "partitioner.class", Producer, "murmur2_random", "By librdkafka's names: murmur2_random, murmur2, consistent, consistent_random, random; and crc32.";
    used "partitioner.ignore.keys", Producer, "false", "Do keys say nothing about partitions?";
    later "partitioner.rack.aware";
    unused "receive.buffer.bytes", "the system sizes sockets' buffers";
    used "reconnect.backoff.max.ms", Client, "1000", "The longest pause between attempts to connect to one broker.";
    used "reconnect.backoff.ms", Client, "50", "The first pause between attempts to connect to one broker.";
    used "request.timeout.ms", Client, "30000", "How long one request may wait for its answer.";
    used "retries", Producer, "2147483647", "How often a batch is sent again.";
    used "retry.backoff.max.ms", Client, "1000", "The longest pause before a request is repeated.";
    used "retry.backoff.ms", Client, "100", "The first pause before a request is repeated.";
    unused "sasl.client.callback.handler.class", "it names a Java class";
    used "sasl.jaas.config", Client, "", "Java's login configuration, with user name and password.";
    later "sasl.kerberos.kinit.cmd";
    later "sasl.kerberos.min.time.before.relogin";
    later "sasl.kerberos.service.name";
    later "sasl.kerberos.ticket.renew.jitter";
    later "sasl.kerberos.ticket.renew.window.factor";
    unused "sasl.login.callback.handler.class", "it names a Java class";
    unused "sasl.login.class", "it names a Java class";
    later "sasl.login.connect.timeout.ms";
    later "sasl.login.read.timeout.ms";
    later "sasl.login.refresh.buffer.seconds";
    later "sasl.login.refresh.min.period.seconds";
    later "sasl.login.refresh.window.factor";
    later "sasl.login.refresh.window.jitter";
    later "sasl.login.retry.backoff.max.ms";
    later "sasl.login.retry.backoff.ms";
    used "sasl.mechanism", Client, "", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.";
    later "sasl.oauthbearer.allow.unverified.audience";
    later "sasl.oauthbearer.allow.unverified.issuer";
    later "sasl.oauthbearer.assertion.algorithm";
    later "sasl.oauthbearer.assertion.claim.aud";
    later "sasl.oauthbearer.assertion.claim.exp.seconds";
    later "sasl.oauthbearer.assertion.claim.iss";
    later "sasl.oauthbearer.assertion.claim.jti.include";
    later "sasl.oauthbearer.assertion.claim.nbf.seconds";
    later "sasl.oauthbearer.assertion.claim.sub";
    later "sasl.oauthbearer.assertion.file";
    later "sasl.oauthbearer.assertion.private.key.file";
    later "sasl.oauthbearer.assertion.private.key.passphrase";
    later "sasl.oauthbearer.assertion.template.file";
    later "sasl.oauthbearer.client.credentials.client.id";
    later "sasl.oauthbearer.client.credentials.client.secret";
    later "sasl.oauthbearer.clock.skew.seconds";
    later "sasl.oauthbearer.expected.audience";
    later "sasl.oauthbearer.expected.issuer";
    later "sasl.oauthbearer.header.urlencode";
    later "sasl.oauthbearer.jwks.endpoint.refresh.ms";
    later "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms";
    later "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms";
    later "sasl.oauthbearer.jwks.endpoint.url";
    later "sasl.oauthbearer.jwt.retriever.class";
    later "sasl.oauthbearer.jwt.validator.class";
    later "sasl.oauthbearer.scope";
    later "sasl.oauthbearer.scope.claim.name";
    later "sasl.oauthbearer.sub.claim.name";
    later "sasl.oauthbearer.token.endpoint.url";
    used "sasl.password", Client, "", "librdkafka's: the password, in place of sasl.jaas.config.";
    used "sasl.username", Client, "", "librdkafka's: the user name, in place of sasl.jaas.config.";
    used "security.protocol", Client, "PLAINTEXT", "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.";
    unused "security.providers", "it names a Java class";
    unused "send.buffer.bytes", "the system sizes sockets' buffers";
    used "session.timeout.ms", Consumer, "45000", "After so long without a heartbeat a member is out of its group.";
    later "share.acknowledgement.mode";
    later "share.acquire.mode";
    used "socket.connection.setup.timeout.max.ms", Client, "30000", "The longest limit for setting up a connection.";
    used "socket.connection.setup.timeout.ms", Client, "10000", "The first limit for setting up a connection: TCP, TLS and SASL together.";
    used "ssl.certificate.location", Client, "", "librdkafka's: a PEM file of the client's certificate, followed by those that vouch for it.";
    unused "ssl.cipher.suites", "rustls offers only suites that are safe";
    used "ssl.enabled.protocols", Client, "TLSv1.2,TLSv1.3", "Versions of TLS.";
    used "ssl.endpoint.identification.algorithm", Client, "https", "https: brokers must show a certificate of the name dialled; nothing: any name will do.";
    unused "ssl.engine.factory.class", "it names a Java class";
    used "ssl.key.location", Client, "", "librdkafka's: a PEM file of the client's private key.";
    used "ssl.key.password", Client, "", "Password of the client's private key.";
    unused "ssl.keymanager.algorithm", "it names a part of Java's own TLS";
    used "ssl.keystore.certificate.chain", Client, "", "The client's certificate in PEM, followed by those that vouch for it.";
    used "ssl.keystore.key", Client, "", "The client's private key in PEM.";
    used "ssl.keystore.location", Client, "", "A PEM file with the client's private key and certificates.";
    unused "ssl.keystore.password", "it opens stores of Java; give certificates and key in PEM, and a key's password as ssl.key.password";
    used "ssl.keystore.type", Client, "PEM", "PEM; others are not read.";
    used "ssl.protocol", Client, "TLSv1.3", "The newest version of TLS.";
    unused "ssl.provider", "it names a part of Java's own TLS";
    unused "ssl.secure.random.implementation", "it names a part of Java's own TLS";
    unused "ssl.trustmanager.algorithm", "it names a part of Java's own TLS";
    used "ssl.truststore.certificates", Client, "", "Certificate authorities in PEM; those of the system unless set.";
    used "ssl.truststore.location", Client, "", "A PEM file of certificate authorities; those of the system unless set.";
    unused "ssl.truststore.password", "it opens stores of Java; give certificates and key in PEM, and a key's password as ssl.key.password";
    used "ssl.truststore.type", Client, "PEM", "PEM; others are not read.";
    later "transaction.timeout.ms";
    later "transaction.two.phase.commit.enable";
    later "transactional.id";
    unused "value.deserializer", "records have bytes; convert them where you read them";
    unused "value.serializer", "records have bytes; convert them before you send them";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_it_can_be_searched() {
        assert!(SETTINGS.is_sorted_by(|a, b| a.name < b.name));
        assert!(ALIASES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn every_alias_leads_to_a_setting_and_hides_none() {
        for (alias, name) in ALIASES {
            assert!(setting(name).is_some() && setting(alias).is_none(), "{alias}");
        }
    }

    #[test]
    fn settings_in_use_are_documented() {
        for setting in SETTINGS.iter().filter(|setting| matches!(setting.used, Use::By(_))) {
            assert!(setting.doc.ends_with(['.', '?']), "{}", setting.name);
        }
    }
}
