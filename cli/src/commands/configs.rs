//! `klamm configs list | describe | alter`.

use klamm::admin::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, Validate};
use klamm::protocol::BrokerId;
use serde_json::{Value, json};

use crate::commands::topic;
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
    /// Lists what has a configuration: topics and brokers
    List {
        /// Only those of this type
        #[arg(long = "type", value_enum)]
        resource_type: Option<Type>,
    },
    /// Shows settings with their values and where these come from
    Describe {
        #[arg(value_enum, value_name = "TYPE")]
        resource_type: Type,
        /// The topic, the broker's number (or `all`), or the group
        name: String,
        /// Only these settings
        #[arg(value_name = "SETTING")]
        keys: Vec<String>,
    },
    /// Changes settings; those that are not named stay as they are. --config KEY=VALUE, repeatable, sets one
    Alter {
        #[arg(value_enum, value_name = "TYPE")]
        resource_type: Type,
        /// The topic, the broker's number (or `all`), or the group
        name: String,
        #[command(flatten)]
        changes: Changes,
    },
}

/// What has a configuration.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Topic,
    Broker,
    Group,
}

/// Changes beside those of `--config`.
#[derive(clap::Args, Debug)]
pub(crate) struct Changes {
    /// Takes a setting back to its default, repeatable
    #[arg(long = "delete-config", value_name = "KEY")]
    delete: Vec<String>,
    /// Adds items to a setting that is a list, repeatable
    #[arg(long = "append-config", value_name = "KEY=ITEMS")]
    append: Vec<String>,
    /// Takes items out of a setting that is a list, repeatable
    #[arg(long = "subtract-config", value_name = "KEY=ITEMS")]
    subtract: Vec<String>,
    /// Only ask the broker whether it could
    #[arg(long)]
    validate_only: bool,
}

impl Changes {
    /// All changes, those of `--config` among them.
    pub(crate) fn all(&self, options: &Options) -> Done<Vec<ConfigChange>> {
        let pair = |option: &str, text: &str| match text.split_once('=') {
            Some((key, items)) if !key.is_empty() => Ok((key.to_owned(), items.to_owned())),
            _ => Err(Failure::usage(format!("{option} {text}: must be KEY=ITEMS"))),
        };
        let mut changes: Vec<ConfigChange> = options.config_pairs().map(ConfigChange::from).collect();
        for text in &self.append {
            let (key, items) = pair("--append-config", text)?;
            changes.push(ConfigChange::append(key, items));
        }
        for text in &self.subtract {
            let (key, items) = pair("--subtract-config", text)?;
            changes.push(ConfigChange::subtract(key, items));
        }
        changes.extend(self.delete.iter().map(ConfigChange::delete));
        if changes.is_empty() {
            return Err(Failure::usage("nothing to change: give --config KEY=VALUE or --delete-config KEY"));
        }
        Ok(changes)
    }

    /// Are they only tried?
    pub(crate) fn validate(&self) -> Validate {
        if self.validate_only { Validate::Only } else { Validate::AndApply }
    }
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::Group => "group",
        }
    }

    /// The resource of this name.
    fn resource(self, name: &str) -> Done<ConfigResource> {
        match self {
            Self::Topic => topic(name).map(ConfigResource::Topic),
            Self::Broker if name == "all" => Ok(ConfigResource::AllBrokers),
            Self::Broker => match name.parse() {
                Ok(number) => Ok(ConfigResource::Broker(BrokerId(number))),
                Err(_) => Err(Failure::usage(format!("broker {name}: must be a broker's number, or all"))),
            },
            Self::Group => Ok(ConfigResource::Group(name.to_owned())),
        }
    }
}

/// Does what the subcommand says; lists without one.
pub(crate) async fn run(options: &Options, arguments: Arguments) -> Done {
    let command = arguments.command.unwrap_or(Command::List { resource_type: None });
    if !matches!(command, Command::Alter { .. }) {
        options.no_config_pairs()?;
    }
    match command {
        Command::List { resource_type } => list(options, resource_type).await,
        Command::Describe { resource_type, name, keys } => describe(options, &resource_type.resource(&name)?, &keys).await,
        Command::Alter { resource_type, name, changes } => {
            let (resource, all) = (resource_type.resource(&name)?, changes.all(options)?);
            let client = options.connect().await?;
            let admin = client.admin();
            let altered = async { Ok(admin.alter_configs(&resource, all, changes.validate()).await) };
            let result = options.within("changing the configuration", altered).await?;
            report(options, vec![Item::new([("type", resource_type.name().into()), ("name", name.into())], result)])
        }
    }
}

async fn list(options: &Options, wanted: Option<Type>) -> Done {
    let client = options.connect().await?;
    let wants = |resource_type| wanted.is_none_or(|wanted| wanted == resource_type);
    let mut rows: Vec<Value> = Vec::new();
    if wants(Type::Broker) {
        let cluster = options.within("describing the cluster", client.admin().describe_cluster()).await?;
        rows.extend(cluster.brokers.iter().map(|node| json!({"type": "broker", "name": node.id.0.to_string()})));
    }
    if wants(Type::Topic) {
        let topics = options.within("listing topics", client.admin().list_topics()).await?;
        rows.extend(topics.iter().map(|topic| json!({"type": "topic", "name": topic.name.as_str()})));
    }
    if wants(Type::Group) {
        let groups = options.within("listing groups", client.admin().list_groups()).await?;
        rows.extend(groups.iter().map(|group| json!({"type": "group", "name": group.group_id})));
    }
    options.output().things(&["type", "name"].map(|key| (key, key)), &rows)
}

async fn describe(options: &Options, resource: &ConfigResource, keys: &[String]) -> Done {
    let client = options.connect().await?;
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let keys = (!keys.is_empty()).then_some(keys.as_slice());
    let entries = options.within("describing the configuration", client.admin().describe_configs(resource, keys)).await?;
    let row = |entry: &ConfigEntry| {
        json!({
            "name": entry.name,
            "value": entry.value.as_ref().filter(|_| !entry.sensitive),
            "source": source(entry.source),
            "is_default": entry.is_default,
            "is_read_only": entry.read_only,
            "is_sensitive": entry.sensitive,
        })
    };
    let rows: Vec<Value> = entries.iter().map(row).collect();
    let columns = [("setting", "name"), ("value", "value"), ("source", "source"), ("read only", "is_read_only")];
    options.output().things(&columns, &rows)
}

fn source(source: ConfigSource) -> Value {
    match source {
        ConfigSource::Topic => "topic".into(),
        ConfigSource::Broker => "broker".into(),
        ConfigSource::AllBrokers => "all brokers".into(),
        ConfigSource::Static => "static".into(),
        ConfigSource::Default => "default".into(),
        ConfigSource::Group => "group".into(),
        ConfigSource::Other(number) => number.into(),
        _ => Value::Null,
    }
}
