//! `klamm groups list | describe | offsets | delete | delete-offsets`.

use std::collections::BTreeMap;

use klamm::admin::{GroupMember, OffsetSpec};
use klamm::{ErrorKind, TopicPartition};
use serde_json::{Value, json};

use crate::commands::query_offsets::parse_place;
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
    /// Lists the groups of all brokers
    List {
        /// Only those in this state, such as Stable or Empty
        #[arg(long)]
        state: Option<String>,
        /// Only those of this type
        #[arg(long = "type", value_parser = ["classic", "consumer", "share"])]
        group_type: Option<String>,
    },
    /// Describes groups: state, assignor, members and their partitions
    Describe {
        #[arg(required = true)]
        groups: Vec<String>,
    },
    /// Shows a group's committed offsets and its lag
    Offsets { group: String },
    #[command(hide = true)]
    Reset {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Deletes groups without members and all that they have committed
    Delete {
        #[arg(required = true)]
        groups: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Deletes what a group has committed for topics that no member subscribes to
    DeleteOffsets {
        group: String,
        /// The topic, or one partition of it, repeatable
        #[arg(long = "topic", required = true, value_name = "TOPIC[:PARTITION]")]
        places: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Does what the subcommand says; lists without one.
pub(crate) async fn run(options: &Options, arguments: Arguments) -> Done {
    let command = arguments.command.unwrap_or(Command::List { state: None, group_type: None });
    match command {
        Command::Reset { .. } => Err(Failure::not_built_yet("`klamm groups reset`")),
        Command::Delete { groups, yes } => delete(options, groups, yes).await,
        Command::DeleteOffsets { group, places, yes } => delete_offsets(options, &group, &places, yes).await,
        Command::List { state, group_type } => list(options, state, group_type).await,
        Command::Describe { groups } => describe(options, groups).await,
        Command::Offsets { group } => offsets(options, &group).await,
    }
}

async fn list(options: &Options, state: Option<String>, group_type: Option<String>) -> Done {
    let client = options.connect().await?;
    let groups = options.within("listing groups", client.admin().list_groups()).await?;
    let wanted = |wanted: &Option<String>, found: &Option<String>| {
        wanted.as_ref().is_none_or(|wanted| found.as_ref().is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
    };
    let shown = groups.iter().filter(|group| wanted(&state, &group.state) && wanted(&group_type, &group.group_type));
    let rows: Vec<Value> = shown
        .map(|group| json!({"group": group.group_id, "type": group.group_type, "state": group.state, "protocol": group.protocol_type}))
        .collect();
    options.output().things(&["group", "type", "state", "protocol"].map(|key| (key, key)), &rows)
}

async fn describe(options: &Options, groups: Vec<String>) -> Done {
    let client = options.connect().await?;
    let admin = client.admin();
    let listed = options.within("listing groups", admin.list_groups()).await?;
    let outcomes = options.within("describing groups", admin.describe_groups(groups)).await?;
    let mut output = options.output();
    let (mut failed, mut unsupported) = (0, 0);
    for (group, result) in &outcomes {
        let description = match result {
            Ok(description) => description,
            Err(error) => {
                failed += 1;
                unsupported += usize::from(error.kind() == ErrorKind::UnsupportedVersion);
                eprintln!("klamm: {error}");
                continue;
            }
        };
        let group_type = listed.iter().find(|listing| listing.group_id == *group).and_then(|listing| listing.group_type.clone());
        let members: Vec<Value> = description.members.iter().map(member).collect();
        if output.is_json() {
            output.line(&json!({
                "group": group,
                "type": group_type,
                "state": description.state,
                "protocol": description.protocol,
                "coordinator": description.coordinator,
                "members": members,
            }))?;
        } else {
            let coordinator = description.coordinator.map_or_else(|| "-".to_owned(), |id| id.to_string());
            output.line(&format_args!("{group}  {}  {}  coordinator {coordinator}", description.state, description.protocol))?;
            let columns = [
                ("member", "member_id"),
                ("client", "client_id"),
                ("host", "host"),
                ("instance", "instance_id"),
                ("assignment", "assignment"),
            ];
            output.things(&columns, &members)?;
        }
    }
    output.flush()?;
    match failed {
        0 => Ok(()),
        _ => Err(Failure::of_several(failed, unsupported, format!("{failed} of {} groups can't be described", outcomes.len()))),
    }
}

fn member(member: &GroupMember) -> Value {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in &member.assignment {
        topics.entry(partition.topic.as_str()).or_default().push(partition.partition);
    }
    let assignment: Vec<Value> =
        topics.into_iter().map(|(topic, partitions)| json!({"topic": topic, "partitions": partitions})).collect();
    json!({
        "member_id": member.member_id,
        "client_id": member.client_id,
        "host": member.host,
        "instance_id": member.instance_id,
        "assignment": assignment,
    })
}

async fn offsets(options: &Options, group: &str) -> Done {
    let client = options.connect().await?;
    let admin = client.admin();
    let committed = options.within("fetching the group's offsets", admin.group_offsets(group)).await?;
    let partitions: Vec<TopicPartition> = committed.iter().map(|offset| offset.partition.clone()).collect();
    let starts = options.within("listing offsets", admin.list_offsets(partitions.clone(), OffsetSpec::Beginning)).await?;
    let ends = options.within("listing offsets", admin.last_stable_offsets(partitions)).await?;
    let mut rows = Vec::new();
    for ((offset, (_, start)), (_, end)) in committed.iter().zip(starts).zip(ends) {
        // A topic may have been deleted since: its offsets are shown all the same.
        let start = start.ok().and_then(|listed| listed.offset);
        let end = end.ok();
        rows.push(json!({
            "group": group,
            "topic": offset.partition.topic.as_str(),
            "partition": offset.partition.partition,
            "committed": offset.committed,
            "log_start": start,
            "log_end": end,
            "lag": end.map(|end| end - offset.committed),
            "metadata": offset.metadata,
        }));
    }
    let columns = ["topic", "partition", "committed", "log_start", "log_end", "lag", "metadata"].map(|key| (key, key));
    options.output().things(&columns, &rows)
}

async fn delete(options: &Options, groups: Vec<String>, yes: bool) -> Done {
    if !yes {
        let question = format!("delete {} and all offsets", groups.join(", "));
        confirm(&question, "deleting groups destroys what they have committed").await?;
    }
    let client = options.connect().await?;
    let outcomes = options.within("deleting groups", client.admin().delete_groups(groups)).await?;
    report(options, outcomes.into_iter().map(|(group, result)| Item::new([("group", group.into())], result)).collect())
}

async fn delete_offsets(options: &Options, group: &str, places: &[String], yes: bool) -> Done {
    let wanted = places.iter().map(|place| parse_place(place)).collect::<Done<Vec<_>>>()?;
    if !yes {
        let question = format!("delete the offsets of {group} for {}", places.join(", "));
        confirm(&question, "the group would begin anew there").await?;
    }
    let client = options.connect().await?;
    let admin = client.admin();
    let committed = options.within("fetching the group's offsets", admin.group_offsets(group)).await?;
    let mut partitions: Vec<TopicPartition> = Vec::new();
    for (topic, partition) in wanted {
        let of_topic = committed.iter().map(|offset| &offset.partition).filter(|found| found.topic == topic);
        match partition {
            Some(partition) => partitions.push(TopicPartition::new(topic, partition)),
            None => partitions.extend(of_topic.cloned()),
        }
    }
    if partitions.is_empty() {
        let places = places.join(", ");
        return Err(Failure::refused(format!(
            "group {group} has committed nothing for {places}: `klamm groups offsets {group}` shows what it has"
        )));
    }
    let outcomes = options.within("deleting offsets", admin.delete_group_offsets(group, partitions)).await?;
    let item = |(at, result): (TopicPartition, klamm::Result<()>)| {
        Item::new([("group", group.into()), ("topic", at.topic.as_str().into()), ("partition", at.partition.into())], result)
    };
    report(options, outcomes.into_iter().map(item).collect())
}
