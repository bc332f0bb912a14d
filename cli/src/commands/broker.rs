//! `klamm broker`: the embedded broker as a process, for tests of programs in other languages.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;

use klamm_broker::faults::{Entry, FaultFile, Plan, When};
use klamm_broker::{Broker, BrokerBuilder, Intercept, RequestView};
use serde_json::json;
use tracing::{debug, info};

use crate::exit::{Done, Failure};
use crate::options::Options;

/// Its nodes, topics and faults.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Where the first node listens; the others at the ports after it. Port 0: all at free ports
    #[arg(long, default_value = "127.0.0.1:9092", value_name = "HOST:PORT")]
    listen: String,
    /// Nodes of the cluster
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    nodes: u16,
    /// A topic that is there from the start, with this many partitions (one if left out); repeatable. Others are created when a client
    /// asks for them
    #[arg(long = "topic", value_name = "TOPIC[:PARTITIONS]")]
    topics: Vec<String>,
    /// A file with faults, .toml or .json; their times count from the start. docs/broker.md shows every kind
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
}

/// Serves until it is stopped.
pub(crate) async fn run(options: &Options, arguments: Arguments) -> Done {
    let plan = match &arguments.faults {
        Some(file) => plan_of(FaultFile::read(file), arguments.nodes)?,
        None => Plan::new(),
    };
    check_address(&arguments.listen, arguments.nodes)?;
    let broker =
        builder(&arguments)?.start_tcp(&arguments.listen).await.map_err(|error| not_started(&arguments.listen, &error))?;
    if tracing::enabled!(tracing::Level::INFO) {
        broker.intercept(logged());
    }
    for (number, Entry { when, fault }) in plan.entries.iter().enumerate() {
        let kind = fault.kind();
        match when {
            When::Before { api, nth } => info!("fault[{number}] before {api} number {nth}: {kind}"),
            When::After(time) => info!("fault[{number}] after {time:?}: {kind}"),
            _ => info!("fault[{number}]: {kind}"),
        }
    }
    broker.run_plan(plan);
    let addresses = addresses(&broker, arguments.nodes);
    let mut output = options.output();
    match output.is_json() {
        true => output.line(&json!({ "ready": addresses }))?,
        false => output.line(&format_args!("ready {}", addresses.join(",")))?,
    }
    output.flush()?;
    std::future::pending().await
}

fn plan_of(file: Result<FaultFile, klamm_broker::faults::FileError>, nodes: u16) -> Done<Plan> {
    file.and_then(|file| file.nodes(nodes).plan()).map_err(|error| Failure::usage(format!("--faults {error}")))
}

fn builder(arguments: &Arguments) -> Done<BrokerBuilder> {
    let mut builder = Broker::builder().nodes(arguments.nodes).auto_create_topics(true).request_log_bytes(0);
    let mut names = BTreeSet::new();
    for topic in &arguments.topics {
        let (name, partitions) = topic.split_once(':').unwrap_or((topic, "1"));
        crate::commands::topic(name)?;
        let wrong = |why: String| Failure::usage(format!("--topic {topic}: {why}"));
        let partitions = partitions.parse().ok().filter(|partitions| (1..=100_000).contains(partitions));
        let partitions = partitions
            .ok_or_else(|| wrong("the number of partitions must be from 1 to 100000, for example --topic orders:3".to_owned()))?;
        if !names.insert(name) {
            return Err(wrong("the topic is there twice".to_owned()));
        }
        builder = builder.topic(name, partitions);
    }
    Ok(builder)
}

/// Is it an address, and are there ports enough after it?
fn check_address(address: &str, nodes: u16) -> Done {
    let wrong = |why: &str| Err(Failure::usage(format!("--listen {address}: {why}")));
    let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        None => wrong("must be HOST:PORT, for example 127.0.0.1:9092, or 127.0.0.1:0 for a free port"),
        Some(port) if port > 0 && port.checked_add(nodes - 1).is_none() => {
            wrong("the nodes after the first have no ports left: give a lower one, or 0 for free ones")
        }
        Some(_) => Ok(()),
    }
}

fn not_started(address: &str, error: &std::io::Error) -> Failure {
    let advice = match error.kind() {
        ErrorKind::AddrInUse => {
            "; another program listens there, or at a port after it. Stop it, or give another address: --listen 127.0.0.1:0 takes free ports"
        }
        ErrorKind::PermissionDenied => "; ports below 1024 are for the system: give a higher one",
        ErrorKind::AddrNotAvailable => {
            "; this machine does not have that address: give one of its own, for example 127.0.0.1:9092"
        }
        _ => "",
    };
    Failure::refused(format!("the broker can't listen at {address}: {error}{advice}"))
}

/// Where clients find the nodes, in their order.
fn addresses(broker: &Broker, nodes: u16) -> Vec<String> {
    let address = |node| {
        let (host, port) = broker.address(i32::from(node))?;
        Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
    };
    (1..=nodes).filter_map(address).collect()
}

/// Looks at each request and lets it pass: with -v the first of each connection is shown, with -vv all are.
fn logged() -> impl FnMut(&RequestView) -> Intercept + Send + 'static {
    let mut last = 0;
    move |request| {
        let client = request.client_id.as_ref().map_or("without a name", |name| name.as_str());
        let (connection, node) = (request.connection, request.node);
        // Connections are numbered in the order in which they are made.
        if request.connection.0 > last {
            last = request.connection.0;
            info!("{connection} to node {node}: client {client}");
        }
        debug!("{connection} to node {node}: {} version {} from client {client}", request.api_key, request.version);
        Intercept::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_port_and_room_for_all_nodes() {
        for (address, nodes) in [("127.0.0.1:0", 3), ("localhost:9092", 1), ("[::1]:65533", 3), ("0.0.0.0:65535", 1)] {
            assert!(check_address(address, nodes).is_ok(), "{address}");
        }
        for (address, nodes) in [("9092", 1), (":9092", 1), ("127.0.0.1", 1), ("127.0.0.1:99999", 1), ("127.0.0.1:65534", 3)] {
            assert!(check_address(address, nodes).is_err(), "{address}");
        }
    }
}
