//! Kafka's own jars, fetched by Maven once and kept under the target folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::VERSION;
use crate::process;

/// What the broker, its tools and the Java peers need. The tools ask for all of Connect, of which nothing here uses a class.
fn pom() -> String {
    let unused: String = ["runtime", "api", "json", "transforms"]
        .iter()
        .map(|part| format!("<exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-{part}</artifactId></exclusion>"))
        .collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>klamm</groupId><artifactId>kafka</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>\
         <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>\
         <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{VERSION}</version>\
         <exclusions>{unused}</exclusions></dependency>\
         <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version></dependency>\
         </dependencies></project>"
    )
}

/// Fetches the jars if they are not there yet and gives their folder.
pub(crate) fn fetch() -> Result<PathBuf, String> {
    let folder = process::target().join("kafka").join(VERSION);
    let complete = folder.join(".complete");
    if complete.exists() {
        return Ok(folder);
    }
    eprintln!("fetching Apache Kafka {VERSION} with Maven (once)");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let pom_file = folder.join("pom.xml");
    std::fs::write(&pom_file, pom()).map_err(failed)?;
    let mut maven = Command::new("mvn");
    maven.args(["-B", "-q", "-f"]).arg(&pom_file).arg("dependency:copy-dependencies").arg("-DincludeScope=runtime");
    maven.arg(format!("-DoutputDirectory={}", folder.display())).stdin(Stdio::null());
    process::output(&mut maven).map_err(|error| {
        format!("Kafka's jars could not be fetched; is Maven Central, or the mirror in your Maven settings, reachable?\n{error}")
    })?;
    std::fs::write(&complete, "").map_err(failed)?;
    Ok(folder)
}

/// All jars of `folder` as a class path, in one fixed order.
pub(crate) fn class_path(folder: &Path) -> Result<String, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut jars: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jar"))
        .map(|path| path.display().to_string())
        .collect();
    jars.sort();
    if jars.is_empty() {
        Err(format!("no jars in {}; remove that folder and try again", folder.display()))
    } else {
        Ok(jars.join(":"))
    }
}

/// Compiles the Java peers of `real/java` and gives the folder of their classes.
pub(crate) fn compile_peers(class_path: &str) -> Result<PathBuf, String> {
    let classes = process::target().join("kafka").join("peers");
    std::fs::create_dir_all(&classes).map_err(|error| format!("{}: {error}", classes.display()))?;
    let mut javac = Command::new("javac");
    javac.args(["-cp", class_path, "-d"]).arg(&classes).arg(process::root().join("real").join("java").join("Peer.java"));
    process::output(&mut javac)?;
    Ok(classes)
}
