//! `klamm topics list | describe | create | add-partitions | alter | delete`.

use klamm::admin::{Admin, ConfigResource, NewTopic, Outcomes, TopicDescription, Validate};
use klamm::protocol::{BrokerId, Uuid};
use klamm::{ErrorKind, Topic};
use serde_json::{Map, Value, json};

use crate::commands::configs::Changes;
use crate::commands::topic;
use crate::confirm::confirm;
use crate::exit::{Done, Failure};
use crate::options::Options;
use crate::report::{Item, report};

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
    /// Changes a topic's configuration; --config KEY=VALUE, repeatable, sets one setting
    Alter {
        topic: String,
        #[command(flatten)]
        changes: Changes,
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
    if let Command::DeleteRecords { .. } = &command {
        return Err(Failure::not_built_yet("`klamm topics delete-records`"));
    }
    if !takes_pairs(&command) {
        options.no_config_pairs()?;
    }
    command.topics().iter().try_for_each(|name| topic(name).map(drop))?;
    if let Command::Delete { topics, yes: false } = &command {
        let question = format!("delete {} and all records", topics.join(", "));
        confirm(&question, "deleting topics destroys their records").await?;
    }
    // Wrong usage is told before a broker is looked for.
    let changes = if let Command::Alter { changes, .. } = &command { changes.all(options)? } else { Vec::new() };
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
            report(options, items(outcomes))
        }
        Command::AddPartitions { topic, total } => {
            let topic = Topic::from(topic);
            let result = options
                .within("adding partitions", async { Ok(admin.create_partitions(&topic, total, Validate::AndApply).await) })
                .await?;
            report(options, items(vec![(topic, result)]))
        }
        Command::Delete { topics, .. } => {
            let outcomes = options.within("deleting topics", admin.delete_topics(topics)).await?;
            report(options, items(outcomes))
        }
        Command::Alter { topic, changes: how } => {
            let topic = Topic::from(topic);
            let resource = ConfigResource::Topic(topic.clone());
            let altered = async { Ok(admin.alter_configs(&resource, changes, how.validate()).await) };
            let result = options.within("changing the configuration", altered).await?;
            report(options, items(vec![(topic, result)]))
        }
        Command::DeleteRecords { .. } => Ok(()),
    }
}

impl Command {
    /// The topics that it is about.
    fn topics(&self) -> &[String] {
        match self {
            Self::Describe { topics } | Self::Delete { topics, .. } => topics,
            Self::Create { topic, .. } | Self::AddPartitions { topic, .. } | Self::Alter { topic, .. } => {
                std::slice::from_ref(topic)
            }
            Self::List { .. } | Self::DeleteRecords { .. } => &[],
        }
    }
}

/// May `--config` be a setting of the topic?
fn takes_pairs(command: &Command) -> bool {
    matches!(command, Command::Create { .. } | Command::Alter { .. })
}

/// What became of topics.
fn items(outcomes: Outcomes<Topic>) -> Vec<Item> {
    outcomes.into_iter().map(|(topic, result)| Item::new([("topic", topic.as_str().into())], result)).collect()
}

async fn describe(options: &Options, admin: &Admin, topics: Vec<String>) -> Done {
    let outcomes = options.within("describing topics", admin.describe_topics(topics)).await?;
    let mut output = options.output();
    let (mut failed, mut unsupported) = (0, 0);
    for (topic, result) in &outcomes {
        let description = match result {
            Ok(description) => description,
            Err(error) => {
                failed += 1;
                unsupported += usize::from(error.kind() == ErrorKind::UnsupportedVersion);
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
    match failed {
        0 => Ok(()),
        _ => Err(Failure::of_several(failed, unsupported, format!("{failed} of {} topics can't be described", outcomes.len()))),
    }
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
