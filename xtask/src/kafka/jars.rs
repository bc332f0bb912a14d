//! Kafka's own jars, fetched by Maven once for each version and kept under the target folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{VERSION, Version};
use crate::process;

const KAFKA: &str = "org.apache.kafka";

/// What a broker of `version` needs; of the version that most tests run against also its tools and what the Java peers need.
fn pom(version: Version) -> String {
    let scala = if version < Version(2, 4, 0) { "2.12" } else { "2.13" };
    let mut needed = vec![dependency(KAFKA, &format!("kafka_{scala}"), &version, "")];
    if version < Version(2, 4, 0) {
        // The client 3.4.13 that it asks for cannot connect on Java 14 and later (ZOOKEEPER-3779).
        needed.push(dependency("org.apache.zookeeper", "zookeeper", &"3.4.10", ""));
    }
    needed.push(if version < Version(4, 0, 0) {
        dependency("org.slf4j", "slf4j-reload4j", &"1.7.36", "")
    } else {
        dependency("org.apache.logging.log4j", "log4j-slf4j-impl", &"2.25.4", "")
    });
    if version == VERSION {
        // The tools ask for all of Connect, of which nothing here uses a class.
        let unused = ["runtime", "api", "json", "transforms"]
            .map(|part| format!("<exclusion><groupId>{KAFKA}</groupId><artifactId>connect-{part}</artifactId></exclusion>"));
        needed.push(dependency(KAFKA, "kafka-tools", &version, &format!("<exclusions>{}</exclusions>", unused.concat())));
    }
    if version == Version(4, 4, 0) {
        // The broker asks for it in its own version, which was never published.
        needed.push(dependency(KAFKA, "kafka-tools-api", &VERSION, ""));
    }
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>klamm</groupId><artifactId>kafka</artifactId><version>1</version>\
         <packaging>pom</packaging><dependencies>{}</dependencies></project>",
        needed.concat()
    )
}

fn dependency(group: &str, artifact: &str, version: &dyn std::fmt::Display, more: &str) -> String {
    let what = format!("<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>");
    format!("<dependency>{what}{more}</dependency>")
}

/// Fetches the jars if they are not there yet and gives their folder.
pub(crate) fn fetch(version: Version) -> Result<PathBuf, String> {
    let folder = process::target().join("kafka").join(version.to_string());
    let complete = folder.join(".complete");
    if complete.exists() {
        return Ok(folder);
    }
    eprintln!("fetching Apache Kafka {version} with Maven (once)");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let pom_file = folder.join("pom.xml");
    std::fs::write(&pom_file, pom(version)).map_err(failed)?;
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
