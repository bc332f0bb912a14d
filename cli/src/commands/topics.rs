//! `klamm topics list | describe | create | add-partitions | delete`.

use std::io::IsTerminal as _;

use klamm::admin::{Admin, ConfigResource, NewTopic, Outcomes, TopicDescription, Validate};
use klamm::protocol::{BrokerId, Uuid};
use klamm::{Error, Topic};
use serde_json::{Map, Value, json};

use crate::exit::{Done, Failure};
use crate::options::Options;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Lists all topics
    List {
        /// Kafka's own topics, too
        #[arg(long)]
        internal: bool,
    },
    /// Describes topics: partitions, leaders, replicas, configuration
    Describe {
        #[arg(required = true)]
        topics: Vec<String>,
    },
    /// Creates a topic and waits until it can be written to; --config KEY=VALUE, repeatable, configures it
    Create {
        topic: String,
        /// Number of partitions; the broker's default if not given
        #[arg(long)]
        partitions: Option<i32>,
        /// Replicas of each partition; the broker's default if not given
        #[arg(long)]
        replication: Option<i16>,
        /// Only ask the broker whether it could
        #[arg(long)]
        validate_only: bool,
    },
    /// Raises a topic's number of partitions
    AddPartitions {
        topic: String,
        /// The number it shall have
        total: i32,
    },
    /// Deletes topics and all their records
    Delete {
        #[arg(required = true)]
        topics: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Changes a topic's configuration
    #[command(hide = true)]
    Alter {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Deletes a partition's records before an offset
    #[command(hide = true)]
    DeleteRecords {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
}

/// Does what the subcommand says; lists without one.
pub(crate) async fn run(options: &Options, arguments: Arguments) -> Done {
    let command = arguments.command.unwrap_or(Command::List { internal: false });
    if let Command::Alter { .. } | Command::DeleteRecords { .. } = &command {
        let name = if matches!(command, Command::Alter { .. }) { "alter" } else { "delete-records" };
        return Err(Failure::not_built_yet(&format!("`klamm topics {name}`")));
    }
    if let Command::Delete { topics, yes: false } = &command {
        confirm(topics).await?;
    }
    let client = options.connect().await?;
    let admin = client.admin();
    match command {
        Command::List { internal } => {
            let topics = options.within("listing topics", admin.list_topics()).await?;
            let shown = topics.iter().filter(|topic| internal || !topic.internal);
            let rows: Vec<Value> = shown
                .map(|topic| json!({"name": topic.name.as_str(), "topic_id": topic_id(topic.topic_id), "partitions": topic.partitions, "internal": topic.internal}))
                .collect();
            options.output().things(&["name", "topic_id", "partitions", "internal"].map(|key| (key, key)), &rows)
        }
        Command::Describe { topics } => describe(options, &admin, topics).await,
        Command::Create { topic, partitions, replication, validate_only } => {
            let mut new = NewTopic::new(topic);
            if let Some(partitions) = partitions {
                new = new.partitions(partitions);
            }
            if let Some(replicas) = replication {
                new = new.replicas(replicas);
            }
            for (key, value) in options.config_pairs() {
                new = new.config(key, value);
            }
            let validate = if validate_only { Validate::Only } else { Validate::AndApply };
            let outcomes = options.within("creating the topic", admin.create_topics([new], validate)).await?;
            report(options, outcomes)
        }
        Command::AddPartitions { topic, total } => {
            let topic = Topic::from(topic);
            let result = options
                .within("adding partitions", async { Ok(admin.create_partitions(&topic, total, Validate::AndApply).await) })
                .await?;
            report(options, vec![(topic, result)])
        }
        Command::Delete { topics, .. } => {
            let outcomes = options.within("deleting topics", admin.delete_topics(topics)).await?;
            report(options, outcomes)
        }
        Command::Alter { .. } | Command::DeleteRecords { .. } => Ok(()),
    }
}

/// Asks on a terminal; elsewhere `--yes` is needed.
async fn confirm(topics: &[String]) -> Done {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("deleting topics destroys their records: give --yes where nobody can be asked"));
    }
    eprint!("delete {} and all records? [y/N] ", topics.join(", "));
    // On a thread of its own, so that a signal is heard while the answer is awaited.
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = match answer.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(Failure::refused(format!("the answer can't be read: {error}; nothing was deleted"))),
        Err(error) => return Err(Failure::refused(format!("the answer can't be read: {error}; nothing was deleted"))),
    };
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::refused("nothing was deleted")) }
}

/// One line per item, and exit code 1 if one failed.
fn report(options: &Options, outcomes: Outcomes<Topic>) -> Done {
    let mut output = options.output();
    let mut failed = 0;
    for (topic, result) in &outcomes {
        match result {
            Ok(()) if output.is_json() => output.line(&json!({"topic": topic.as_str(), "ok": true}))?,
            Ok(()) => output.line(&format_args!("{topic}: done"))?,
            Err(error) => {
                failed += 1;
                if output.is_json() {
                    output.line(&json!({"topic": topic.as_str(), "error": code_name(error), "message": error.to_string()}))?;
                } else {
                    eprintln!("klamm: {error}");
                }
            }
        }
    }
    output.flush()?;
    if failed == 0 { Ok(()) } else { Err(Failure::refused(format!("{failed} of {} failed", outcomes.len()))) }
}

/// Kafka's name of the code, or the kind of error where no broker spoke.
fn code_name(error: &Error) -> String {
    let name = error.code().and_then(|code| code.name());
    name.map_or_else(|| format!("{:?}", error.kind()), str::to_owned)
}

async fn describe(options: &Options, admin: &Admin, topics: Vec<String>) -> Done {
    let outcomes = options.within("describing topics", admin.describe_topics(topics)).await?;
    let mut output = options.output();
    let mut failed = 0;
    for (topic, result) in &outcomes {
        let description = match result {
            Ok(description) => description,
            Err(error) => {
                failed += 1;
                eprintln!("klamm: {error}");
                continue;
            }
        };
        let resource = ConfigResource::Topic(topic.clone());
        let configs = options.within("describing configurations", admin.describe_configs(&resource, None)).await?;
        let shown = configs.iter().filter(|entry| !entry.sensitive && !entry.is_default);
        let configs: Map<String, Value> =
            shown.map(|entry| (entry.name.clone(), entry.value.clone().map_or(Value::Null, Value::from))).collect();
        let partitions = partitions(description);
        if output.is_json() {
            output.line(&json!({
                "name": topic.as_str(),
                "topic_id": topic_id(description.topic_id),
                "internal": description.internal,
                "partitions": partitions,
                "configs": configs,
            }))?;
        } else {
            output.line(&format_args!("{topic}  id {}", crate::output::cell(&topic_id(description.topic_id))))?;
            for (name, value) in &configs {
                output.line(&format_args!("  {name} = {}", crate::output::cell(value)))?;
            }
            let columns = [
                ("partition", "partition"),
                ("leader", "leader"),
                ("epoch", "leader_epoch"),
                ("replicas", "replicas"),
                ("in sync", "isr"),
                ("offline", "offline"),
            ];
            output.things(&columns, &partitions)?;
        }
    }
    output.flush()?;
    if failed == 0 { Ok(()) } else { Err(Failure::refused(format!("{failed} of {} topics can't be described", outcomes.len()))) }
}

fn partitions(description: &TopicDescription) -> Vec<Value> {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|broker| broker.0).collect::<Vec<_>>();
    let row = |partition: &klamm::admin::TopicPartitionDescription| {
        json!({
            "partition": partition.partition,
            "leader": partition.leader.map(|leader| leader.0),
            "leader_epoch": partition.leader_epoch,
            "replicas": ids(&partition.replicas),
            "isr": ids(&partition.in_sync_replicas),
            "offline": ids(&partition.offline_replicas),
        })
    };
    description.partitions.iter().map(row).collect()
}

/// As Kafka prints it: 22 characters of base64.
fn topic_id(id: Option<Uuid>) -> Value {
    use base64::Engine as _;
    id.map_or(Value::Null, |id| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id.0).into())
}
