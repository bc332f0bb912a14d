//! Options that every command takes, and the client they make.

use std::future::Future;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use klamm::Client;
use klamm::config::Properties;

use crate::exit::{Done, Failure};
use crate::output::Output;

/// Where the cluster is, how to reach it, how to show things.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// Brokers to start from: HOST:PORT, comma-separated
    #[arg(short, long, global = true, env = "KLAMM_BROKERS", value_name = "HOST:PORT,…")]
    brokers: Option<String>,
    /// A setting by its Java name, repeatable; wins over --config
    #[arg(short = 'X', global = true, value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// A Java .properties file with settings; with `topics create`, `topics alter` and `configs alter` also KEY=VALUE, a setting to set
    #[arg(long, global = true, value_name = "FILE")]
    config: Vec<String>,
    /// JSON instead of tables: one object a line
    #[arg(long, global = true)]
    json: bool,
    /// Logs to standard error, with what each connection negotiates: TLS, versions, SASL; repeat for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Limit in seconds for one request-like operation; never ends a produce or consume that goes on
    #[arg(long, global = true, default_value_t = 30.0, value_name = "SECONDS")]
    timeout: f64,
}

impl Options {
    /// Logs as asked for with -v: what is negotiated and what is worth a word, everything that is done, every request of some kinds.
    pub(crate) fn start_logs(&self) {
        let level = match self.verbose {
            0 => return,
            1 => "klamm=info,klamm::network=debug",
            2 => "klamm=debug",
            _ => "klamm=trace",
        };
        let is_terminal = std::io::stderr().is_terminal();
        tracing_subscriber::fmt().with_env_filter(level).with_ansi(is_terminal).with_writer(std::io::stderr).init();
    }

    /// `KEY=VALUE` given by `--config`: the option means a file for every command, and these beside it for those that set
    /// configurations.
    pub(crate) fn config_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.config.iter().filter(|value| is_pair(value)).filter_map(|value| value.split_once('='))
    }

    /// Fails if `--config KEY=VALUE` was given to a command that sets no configuration.
    pub(crate) fn no_config_pairs(&self) -> Done {
        match self.config_pairs().next() {
            None => Ok(()),
            // The value may be a password.
            Some((key, _)) => Err(Failure::usage(format!(
                "--config {key}=…: only `topics create`, `topics alter` and `configs alter` take KEY=VALUE here; a client's setting is -X {key}=…, and --config names a file"
            ))),
        }
    }

    /// Where this command's data goes.
    pub(crate) fn output(&self) -> Output {
        Output::new(self.json)
    }

    /// All settings: the file's, overridden by `-X`, overridden by `-b`.
    fn settings(&self) -> Done<Properties> {
        let mut files = self.config.iter().filter(|value| !is_pair(value));
        let mut settings = match (files.next(), files.next()) {
            (Some(file), None) => Properties::read(Path::new(file))?,
            (None, _) => Properties::new(),
            (Some(_), Some(second)) => {
                return Err(Failure::usage(format!("--config {second}: there can be one settings file only")));
            }
        };
        for setting in &self.settings {
            let (key, value) = setting.split_once('=').ok_or_else(|| {
                // What follows the name may be a password.
                let name = setting.split(|letter: char| !letter.is_alphanumeric() && !"._-".contains(letter)).next();
                let rest = if name == Some(setting) { "" } else { "…" };
                let name = name.unwrap_or_default();
                Failure::usage(format!("-X {name}{rest}: must be KEY=VALUE, for example -X client.id=orders"))
            })?;
            settings.set(key.trim(), value)?;
        }
        if let Some(brokers) = &self.brokers {
            settings.set("bootstrap.servers", brokers)?;
        }
        if settings.get("bootstrap.servers").is_none_or(|servers| servers.trim().is_empty()) {
            return Err(Failure::usage(
                "no brokers: give -b HOST:PORT, set KLAMM_BROKERS, or put bootstrap.servers into --config FILE",
            ));
        }
        Ok(settings)
    }

    /// One setting, if it was given.
    pub(crate) fn setting(&self, name: &str) -> Done<Option<String>> {
        Ok(self.settings()?.get(name).map(str::to_owned))
    }

    /// A client that has not sent anything yet, to try out settings.
    pub(crate) fn client(&self) -> Done<Client> {
        Ok(Client::from_properties(self.settings()?)?.build()?)
    }

    /// A client that has reached the cluster.
    pub(crate) async fn connect(&self) -> Done<Client> {
        let builder = Client::from_properties(self.settings()?)?;
        self.within("connecting", builder.connect()).await
    }

    /// `operation`, or exit code 124 if it takes longer than `--timeout`.
    pub(crate) async fn within<T>(&self, what: &str, operation: impl Future<Output = klamm::Result<T>>) -> Done<T> {
        if !(self.timeout > 0.0 && self.timeout < 1e9) {
            return Err(Failure::usage(format!(
                "--timeout {:?}: must be a number of seconds above 0, and below 1000000000",
                self.timeout
            )));
        }
        match tokio::time::timeout(Duration::from_secs_f64(self.timeout), operation).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(Failure::timed_out(what, self.timeout)),
        }
    }
}

/// Is it `KEY=VALUE` and not a file's name?
fn is_pair(value: &str) -> bool {
    value.contains('=') && !Path::new(value).exists()
}
