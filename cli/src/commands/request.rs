//! `klamm request`: any request of the protocol, as JSON, to the broker that it is for.

use std::sync::OnceLock;

use klamm::protocol::json::{JsonError, from_json, to_json};
use klamm::protocol::{ApiKey, BrokerId, DECLARATIONS, Declaration, Kind};
use klamm::{Error, ErrorKind, Route, TopicPartition};
use tokio::io::AsyncReadExt as _;

use crate::commands::codec::{Records, nearest, parse};
use crate::commands::topic;
use crate::exit::{Done, Failure};
use crate::options::Options;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The request's name: Metadata, DescribeCluster, … Its fields come as JSON on standard input
    #[arg(value_name = "API_NAME")]
    api: String,
    /// Its version; the highest that broker and klamm have in common if not given
    #[arg(long, value_name = "V", value_parser = clap::value_parser!(i16).range(0..))]
    version: Option<i16>,
    /// The broker it goes to: any, controller, broker:ID, leader:TOPIC:PARTITION, group:GROUP, txn:ID
    #[arg(long, value_name = "WHO", default_value = "any", value_parser = parse_route)]
    to: Route,
    /// What is shown of records in the answer: how many bytes they are, or the bytes themselves
    #[arg(long, value_enum, default_value_t = Records::Size)]
    records: Records,
}

fn parse_route(text: &str) -> Result<Route, String> {
    let route = match text.split_once(':') {
        None if text == "any" => Some(Route::Any),
        None if text == "controller" => Some(Route::Controller),
        Some(("broker", id)) => id.parse().ok().map(|id| Route::Broker(BrokerId(id))),
        Some(("leader", place)) => leader(place)?,
        Some(("group", group)) if !group.is_empty() => Some(Route::Group(group.to_owned())),
        Some(("txn", id)) if !id.is_empty() => Some(Route::Transaction(id.to_owned())),
        _ => None,
    };
    route.ok_or_else(|| "must be any, controller, broker:ID, leader:TOPIC:PARTITION, group:GROUP or txn:ID".to_owned())
}

fn leader(place: &str) -> Result<Option<Route>, String> {
    let Some((name, partition)) = place.rsplit_once(':') else { return Ok(None) };
    let name = topic(name).map_err(|failure| failure.to_string())?;
    match partition.parse() {
        Ok(partition @ 0..) => Ok(Some(Route::Leader(TopicPartition::new(name, partition)))),
        _ => Ok(None),
    }
}

/// Sends the request and prints the answer. Error codes in it are for the reader: the command has done what it was asked to.
pub(crate) async fn run(options: &Options, arguments: Arguments) -> Done {
    let (api, request, response) = messages(&arguments.api)?;
    let mut text = String::new();
    let read = tokio::io::stdin().read_to_string(&mut text).await;
    read.map_err(|error| Failure::refused(format!("standard input cannot be read: {error}")))?;
    let json = parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", request.name)))?;
    if let Some(version) = arguments.version
        && request.each_version().contains(&version)
    {
        // Before a broker is looked for.
        from_json(request, version, &json).map_err(wrong)?;
    }
    let client = options.connect().await?;
    let refused = OnceLock::new();
    let body = |version| {
        from_json(request, version, &json).map(Into::into).map_err(|error| {
            let told = Error::new(ErrorKind::InvalidRequest, error.to_string());
            // It is asked for a body once, for this is final.
            let _ = refused.set(error);
            told
        })
    };
    let versions = arguments.version.map_or(0..=i16::MAX, |version| version..=version);
    let asked = options.within("the request", client.request_raw(api, versions, body, arguments.to)).await;
    if let Some(error) = refused.into_inner() {
        return Err(wrong(error));
    }
    let answer = asked?;
    let json = to_json(response, answer.version, &answer.body, arguments.records.into())
        .map_err(|error| Failure::refused(format!("the answer cannot be read: {error}")))?;
    let mut output = options.output();
    output.line(&json)?;
    output.flush()
}

/// JSON that is not the request.
fn wrong(error: JsonError) -> Failure {
    Failure::usage(error.to_string())
}

/// The API of this name, with "Request" behind it or without, and its two messages.
fn messages(name: &str) -> Done<(ApiKey, &'static Declaration, &'static Declaration)> {
    let of = |kind, key| DECLARATIONS.iter().find(move |declared| declared.kind == kind && declared.api_key == key);
    let requests = || DECLARATIONS.iter().filter(|declared| declared.kind == Kind::Request);
    let is_it = |declared: &&Declaration| declared.name == name || declared.name.strip_suffix("Request") == Some(name);
    let found = requests().find(is_it).and_then(|request| Some((request, of(Kind::Response, request.api_key)?)));
    match found {
        Some((request, response)) => Ok((ApiKey(request.api_key), request, response)),
        None => {
            let near = nearest(name, requests().filter_map(|request| request.name.strip_suffix("Request")));
            Err(Failure::usage(format!("there is no request {name:?}{near}; `klamm api-versions` shows them all")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_is_said_in_one_word() {
        for (text, route) in [
            ("any", Route::Any),
            ("controller", Route::Controller),
            ("broker:3", Route::Broker(BrokerId(3))),
            ("leader:orders:7", Route::Leader(TopicPartition::new("orders", 7))),
            ("group:a:b", Route::Group("a:b".into())),
            ("txn:t", Route::Transaction("t".into())),
        ] {
            assert_eq!(parse_route(text), Ok(route), "{text}");
        }
        for text in [
            "",
            "all",
            "broker",
            "broker:x",
            "leader:orders",
            "leader:orders:-1",
            "leader:a b:1",
            "group:",
            "txn:",
            "controller:1",
        ] {
            assert!(parse_route(text).is_err(), "{text}");
        }
    }
}
