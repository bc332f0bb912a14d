//! `cargo xtask kafka up|down`: brokers that stay until they are told to go.

use std::path::PathBuf;

use super::java::stop_all;
use super::{Cluster, Secured, VERSION};
use crate::{prerequisites, process};

fn folder() -> PathBuf {
    process::target().join("kafka").join("by-hand")
}

/// Starts one or three nodes, or one with TLS and SASL, and prints their addresses.
pub(crate) fn up(arguments: &[&str]) -> Result<(), String> {
    if arguments == ["--secure"] {
        return up_secured();
    }
    let (mut nodes, mut version) = (1, VERSION);
    for option in arguments.chunks(2) {
        match option {
            ["--nodes", "1"] => nodes = 1,
            ["--nodes", "3"] => nodes = 3,
            ["--version", text] => version = text.parse()?,
            other => {
                return Err(format!(
                    "kafka up takes `--nodes 1`, `--nodes 3` and `--version V`, or `--secure`, not `{}`",
                    other.join(" ")
                ));
            }
        }
    }
    prerequisites::check()?;
    let cluster = Cluster::start(version, nodes, &folder())?;
    println!("version={version}");
    println!("bootstrap={}", cluster.bootstrap());
    println!("logs={}", cluster.folder().display());
    println!("stop it with: cargo xtask kafka down");
    cluster.keep();
    Ok(())
}

fn up_secured() -> Result<(), String> {
    prerequisites::check()?;
    let secured = Secured::start(&folder())?;
    println!("{}", secured.describe());
    println!("logs={}", secured.folder().display());
    println!("stop it with: cargo xtask kafka down");
    secured.keep();
    Ok(())
}

/// Stops them.
pub(crate) fn down() -> Result<(), String> {
    let folder = folder();
    stop_all(&folder);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))
    } else {
        Ok(())
    }
}
