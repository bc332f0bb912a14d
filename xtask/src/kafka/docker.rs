//! One broker in Docker, through testcontainers, where an engine answers and the image can be had.
//!
//! testcontainers is a large tree of crates, so it is built only then: the program `docker-broker` of `klamm-real`, behind that
//! crate's feature `docker`, holds the container for as long as its standard input stays open.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::VERSION;
use crate::process;

const PULL: Duration = Duration::from_secs(60);

/// A broker in a container; dropping it stops the container.
#[derive(Debug)]
pub(crate) struct DockerBroker {
    program: Child,
    bootstrap: String,
}

impl DockerBroker {
    /// Starts it, or says why Docker can't be used here.
    pub(crate) fn start() -> Result<Self, String> {
        let quiet = |arguments: &[&str]| {
            let mut command = Command::new("docker");
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        if !quiet(&["info"]).status().is_ok_and(|status| status.success()) {
            return Err("no Docker engine answers".to_owned());
        }
        let image = format!("apache/kafka:{VERSION}");
        if !quiet(&["image", "inspect", &image]).status().is_ok_and(|status| status.success()) {
            let mut pull =
                quiet(&["pull", &image]).spawn().map_err(|error| format!("docker pull could not be started: {error}"))?;
            let mut status = None;
            let ended = process::wait_until(PULL, || {
                status = pull.try_wait().ok().flatten();
                status.is_some()
            });
            if !ended {
                let _ = pull.kill();
                let _ = pull.wait();
            }
            if !status.is_some_and(|status| status.success()) {
                return Err(format!("a Docker engine answers, but has no image {image} and could not pull it within {PULL:?}"));
            }
        }
        let build = ["build", "--quiet", "--package", "klamm-real", "--features", "docker", "--bin", "docker-broker"];
        process::run(&mut process::cargo(&build))?;
        let mut program = Command::new(process::target().join("debug").join("docker-broker"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("docker-broker could not be started: {error}"))?;
        let mut line = String::new();
        if let Some(output) = program.stdout.take() {
            let _ = BufReader::new(output).read_line(&mut line);
        }
        match line.trim().strip_prefix("bootstrap=") {
            Some(bootstrap) => Ok(Self { program, bootstrap: bootstrap.to_owned() }),
            None => {
                let _ = program.kill();
                let _ = program.wait();
                Err(format!("the container of {image} did not come up"))
            }
        }
    }

    /// Its address.
    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }
}

impl Drop for DockerBroker {
    fn drop(&mut self) {
        drop(self.program.stdin.take());
        let mut ended = || self.program.try_wait().is_ok_and(|status| status.is_some());
        if !process::wait_until(Duration::from_secs(20), &mut ended) {
            let _ = self.program.kill();
            let _ = self.program.wait();
        }
    }
}
