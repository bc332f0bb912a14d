//! One or three nodes (broker and controller in one) from the jars, or one of a version before KRaft.

use std::path::{Path, PathBuf};

use super::java::{Java, stop_all};
use super::node::{self, Node, SETTINGS};
use super::{Version, old};

/// Ports that a node takes: plain, proxied, advertised for the proxied, controller or ZooKeeper.
const PORTS: u16 = 4;

/// Nodes running on this machine; dropping it kills them.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    nodes: u16,
    port: u16,
    keep: bool,
}

impl Cluster {
    /// Starts `nodes` nodes with their data in `folder`, which is made anew.
    pub(crate) fn start(version: Version, nodes: u16, folder: &Path) -> Result<Self, String> {
        let java = Java::new(version, folder)?;
        let cluster = Self { folder: folder.to_path_buf(), nodes, port: node::free_ports(nodes * PORTS)?, keep: false };
        if version >= Version(3, 3, 0) {
            let node = |number| Node { number, settings: cluster.settings(number), format: Vec::new() };
            node::start(&java, folder, &(1..=nodes).map(node).collect::<Vec<_>>())?;
        } else if nodes == 1 {
            old::start(&java, folder, cluster.port, cluster.port + 3)?;
        } else {
            return Err(format!("Kafka {version} is started with one node only"));
        }
        Ok(cluster)
    }

    /// The folder with logs, process ids and commands.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Addresses for clients.
    pub(crate) fn bootstrap(&self) -> String {
        self.addresses(0)
    }

    /// Where the second listener of each node really is.
    pub(crate) fn proxied(&self) -> String {
        self.addresses(1)
    }

    /// Where the second listener of each node says that it is.
    pub(crate) fn advertised(&self) -> String {
        self.addresses(2)
    }

    /// Leaves the nodes running when this value goes.
    pub(crate) fn keep(mut self) {
        self.keep = true;
    }

    fn addresses(&self, offset: u16) -> String {
        (1..=self.nodes).map(|node| format!("127.0.0.1:{}", self.port_of(node) + offset)).collect::<Vec<_>>().join(",")
    }

    fn port_of(&self, node: u16) -> u16 {
        self.port + (node - 1) * PORTS
    }

    fn settings(&self, node: u16) -> String {
        let port = self.port_of(node);
        let voters: Vec<String> = (1..=self.nodes).map(|node| format!("{node}@127.0.0.1:{}", self.port_of(node) + 3)).collect();
        let (replicas, in_sync) = if self.nodes < 3 { (1, 1) } else { (3, 2) };
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id={node}\n\
             controller.quorum.voters={}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{},CONTROLLER://127.0.0.1:{}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             controller.listener.names=CONTROLLER\n\
             inter.broker.listener.name=PLAINTEXT\n\
             log.dirs={}\n",
            voters.join(","),
            port + 1,
            port + 3,
            port + 2,
            self.folder.join(format!("node-{node}")).display(),
        );
        text.push_str(&node::replication(replicas, in_sync));
        text.push_str(SETTINGS);
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.keep {
            stop_all(&self.folder);
        }
    }
}
