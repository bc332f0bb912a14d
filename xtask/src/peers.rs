//! The other clients that tests in `real/` meet: Java's, librdkafka (through its Python wheel) and franz-go.
//!
//! Each is a small program under `real/` that speaks the same lines; here they are built, or what they need is fetched, once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process;

/// What tests need to start the peers.
#[derive(Debug)]
pub(crate) struct Peers {
    /// The class path that Java's peer runs with.
    pub(crate) class_path: String,
    /// The Python that has librdkafka's wheel.
    pub(crate) python: PathBuf,
    /// franz-go's program, or why it was left out.
    pub(crate) franz_go: Result<PathBuf, String>,
}

impl Peers {
    /// Builds them; `class_path` is that of Kafka's jars.
    pub(crate) fn build(class_path: &str) -> Result<Self, String> {
        let java = java(class_path)?;
        Ok(Self { class_path: format!("{}:{class_path}", java.display()), python: python()?, franz_go: franz_go()? })
    }

    /// For the summary of a test run.
    pub(crate) fn names(&self) -> String {
        let franz_go = match &self.franz_go {
            Ok(_) => "franz-go".to_owned(),
            Err(why) => format!("but NOT franz-go ({why})"),
        };
        format!("Java's client, librdkafka, {franz_go}")
    }
}

/// Where their sources are.
fn sources() -> PathBuf {
    process::root().join("real")
}

/// A folder for what is built, made if need be.
fn built(name: &str) -> Result<PathBuf, String> {
    let folder = process::target().join("kafka").join(name);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// Compiles `real/java` and gives the folder of the classes.
fn java(class_path: &str) -> Result<PathBuf, String> {
    let classes = built("peers")?;
    let mut javac = Command::new("javac");
    let java = sources().join("java");
    javac.args(["-cp", class_path, "-d"]).arg(&classes).args(["Peer.java", "PeerAdmin.java"].map(|file| java.join(file)));
    process::output(&mut javac)?;
    Ok(classes)
}

/// A Python with the wheel: the machine's own, or one under the target folder, which gets it from the package index.
fn python() -> Result<PathBuf, String> {
    if has_wheel(Path::new("python3")) {
        return Ok("python3".into());
    }
    let folder = built("python")?;
    let python = folder.join("bin").join("python3");
    if has_wheel(&python) {
        return Ok(python);
    }
    eprintln!("fetching librdkafka's Python wheel (once)");
    let fetch = || {
        process::output(Command::new("python3").args(["-m", "venv"]).arg(&folder).stdin(Stdio::null()))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
        process::output(
            Command::new(&python).args(pip).arg(sources().join("librdkafka").join("requirements.txt")).stdin(Stdio::null()),
        )
    };
    fetch().map_err(|error| {
        format!(
            "librdkafka could not be had: install Python 3 with its module venv (Debian: apt-get install python3-venv), and see that \
             a package index is reachable, or install Python's package confluent-kafka yourself\n{error}"
        )
    })?;
    Ok(python)
}

fn has_wheel(python: &Path) -> bool {
    let mut command = Command::new(python);
    command.args(["-c", "import confluent_kafka"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Builds `real/franz`. The inner result is an error where there is no Go that could: the one peer that may be missing.
fn franz_go() -> Result<Result<PathBuf, String>, String> {
    let Ok(told) = process::output(Command::new("go").arg("version").stdin(Stdio::null())) else {
        return Ok(Err("there is no `go` on the PATH".to_owned()));
    };
    if !fetches_toolchains(&told) {
        return Ok(Err(format!(
            "it needs Go 1.21 or later, which gets itself the Go that franz-go asks for; here is {}",
            told.trim()
        )));
    }
    let program = built("peers")?.join("franz-peer");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(sources().join("franz")).stdin(Stdio::null());
    process::output(&mut build)
        .map_err(|error| format!("franz-go's peer could not be built; is the Go module proxy reachable?\n{error}"))?;
    Ok(Ok(program))
}

/// Does `go version` tell of 1.21 or later?
fn fetches_toolchains(told: &str) -> bool {
    let numbers = told.split_whitespace().find_map(|word| word.strip_prefix("go1."));
    let minor = numbers.and_then(|text| text.split(|letter: char| !letter.is_ascii_digit()).next()?.parse::<u32>().ok());
    minor.is_none_or(|minor| minor >= 21)
}

#[cfg(test)]
mod tests {
    use super::fetches_toolchains;

    #[test]
    fn a_go_too_old_for_franz_go_is_known_by_its_version() {
        assert!(fetches_toolchains("go version go1.26.8 linux/amd64") && fetches_toolchains("go version go2.0 linux/amd64"));
        assert!(
            !fetches_toolchains("go version go1.19.8 linux/amd64") && !fetches_toolchains("go version go1.20rc1 linux/amd64")
        );
    }
}
