//! The command line of klamm: produce, consume, and look at an Apache Kafka cluster.
//!
//! Data goes to standard output, everything else to standard error. Exit codes: 0 done, 1 refused by the cluster, 2 wrong usage,
//! 3 not supported by this broker, 124 `--timeout` ran out, 130 interrupted twice.
#![forbid(unsafe_code)]

mod commands;
mod confirm;
mod exit;
mod format;
mod options;
mod output;
mod perf;
mod record_json;
mod report;
mod signals;

use std::process::ExitCode;

use clap::{Parser as _, Subcommand};

use crate::commands::{
    api_versions, broker, cluster, codec, configs, consume, demo, groups, produce, query_offsets, records, request, schema,
    topics,
};
use crate::exit::{Done, Failure};
use crate::options::Options;
use crate::signals::Stop;

#[derive(clap::Parser, Debug)]
#[command(name = "klamm", version, about = "Produce to, consume from and look at an Apache Kafka cluster")]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a record for each line of input
    Produce(produce::Arguments),
    /// Reads records, alone or as a member of a group
    Consume(consume::Arguments),
    /// Shows the first, last or a time's offset of partitions
    QueryOffsets(query_offsets::Arguments),
    /// Shows the cluster: id, controller, brokers, features
    Cluster,
    /// Shows which versions of each API broker and klamm speak
    ApiVersions(api_versions::Arguments),
    /// Lists, describes, creates, alters, deletes and extends topics
    Topics(topics::Arguments),
    /// Lists, describes and deletes groups and their offsets
    Groups(groups::Arguments),
    /// Lists, shows and changes configurations of topics, brokers and groups
    Configs(configs::Arguments),
    /// Sends any request of the protocol, given as JSON, and shows the answer
    Request(request::Arguments),
    /// Shows every message of the protocol, as Kafka's schema files do
    Schema,
    /// Turns messages of the protocol from JSON to bytes and back
    Codec(codec::Arguments),
    /// Shows what is in bytes of record batches; needs no broker
    Records(records::Arguments),
    /// Measures throughput and latency
    Perf(perf::Arguments),
    /// Tells the main story on a broker of its own: produce, consume in a group, checkpoint, resume
    Demo,
    /// Runs a broker for tests of other programs, with topics and faults as wanted; it keeps everything in memory
    Broker(broker::Arguments),
    #[command(flatten)]
    Later(Later),
}

// Commands that later releases bring; their names are taken already. No attribute and no doc comment here: clap would give both to
// `klamm` itself.
#[derive(Debug, Subcommand)]
enum Later {
    #[command(hide = true)]
    Brokers(Rest),
    #[command(hide = true)]
    Quorum(Rest),
    #[command(hide = true)]
    LogDirs(Rest),
    #[command(hide = true)]
    Acls(Rest),
    #[command(hide = true)]
    Quotas(Rest),
    #[command(hide = true)]
    Users(Rest),
    #[command(hide = true)]
    Tokens(Rest),
    #[command(hide = true)]
    Transactions(Rest),
    #[command(hide = true)]
    Reassign(Rest),
    #[command(hide = true)]
    Elect(Rest),
    #[command(hide = true)]
    Features(Rest),
}

#[derive(clap::Args, Debug)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    _words: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.options.start_logs();
    let threads = if matches!(arguments.command, Command::Perf(_)) { 1 } else { 2 };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("klamm: no runtime could be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(arguments));
    // Reading standard input may still hold a thread; there is nothing left to wait for.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_told() {
                eprintln!("klamm: {failure}");
            }
            failure.code()
        }
    }
}

async fn run(arguments: Arguments) -> Done {
    let mut stop = Stop::listen().map_err(|error| Failure::refused(format!("signals can't be listened to: {error}")))?;
    let options = arguments.options;
    // These two look at them themselves.
    if !matches!(arguments.command, Command::Topics(_) | Command::Configs(_)) {
        options.no_config_pairs()?;
    }
    // These two owe something when they are stopped; the others just end.
    match arguments.command {
        Command::Produce(arguments) => produce::run(&options, arguments, stop).await,
        Command::Consume(arguments) => consume::run(&options, arguments, stop).await,
        other => stop.unless_asked(run_at_once(&options, other)).await.unwrap_or(Ok(())),
    }
}

/// A command that owes nothing when it is stopped.
async fn run_at_once(options: &Options, command: Command) -> Done {
    match command {
        Command::Produce(_) | Command::Consume(_) => Ok(()),
        Command::QueryOffsets(arguments) => query_offsets::run(options, arguments).await,
        Command::Cluster => cluster::run(options).await,
        Command::ApiVersions(arguments) => api_versions::run(options, arguments).await,
        Command::Topics(arguments) => topics::run(options, arguments).await,
        Command::Groups(arguments) => groups::run(options, arguments).await,
        Command::Configs(arguments) => configs::run(options, arguments).await,
        Command::Request(arguments) => request::run(options, arguments).await,
        Command::Schema => schema::run(options),
        Command::Codec(arguments) => codec::run(options, arguments).await,
        Command::Records(arguments) => records::run(arguments).await,
        Command::Perf(arguments) => perf::run(options, arguments).await,
        Command::Demo => demo::run(options).await,
        Command::Broker(arguments) => broker::run(options, arguments).await,
        Command::Later(later) => {
            let name = format!("{later:?}");
            let name = name.split('(').next().unwrap_or_default();
            Err(Failure::not_built_yet(&format!("`klamm {}`", kebab(name))))
        }
    }
}

/// `LogDirs` as it is typed: `log-dirs`.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_declaration_of_arguments_is_consistent() {
        super::Arguments::command().debug_assert();
    }

    #[test]
    fn help_shows_what_is_built_and_only_that() {
        let help = super::Arguments::command().render_long_help().to_string();
        assert!(help.starts_with("Produce to, consume from and look at an Apache Kafka cluster"), "{help}");
        for shown in [
            "produce",
            "consume",
            "query-offsets",
            "cluster",
            "api-versions",
            "topics",
            "groups",
            "configs",
            "request",
            "schema",
            "codec",
            "records",
            "perf",
            "demo",
            "broker",
        ] {
            assert!(help.contains(&format!("\n  {shown} ")), "{shown}: {help}");
        }
        for hidden in ["quorum", "acls", "tokens"] {
            assert!(!help.contains(&format!("\n  {hidden}")), "{hidden}: {help}");
        }
    }

    #[test]
    fn names_are_shown_as_typed() {
        assert_eq!(super::kebab("LogDirs"), "log-dirs");
    }
}
