//! `klamm schema`: everything that is declared of the protocol, in the words of the schema files in Kafka's client jar.

use klamm::protocol::{DECLARATIONS, Declaration, Field, Kind, Type, Value, Versions};
use serde_json::{Map, Value as Json};

use crate::exit::Done;
use crate::options::Options;

/// Prints an object for each message: requests and responses by API, then what is neither.
pub(crate) fn run(options: &Options) -> Done {
    let mut messages: Vec<_> = DECLARATIONS.iter().collect();
    // Without changing what stands in order already: a request before its response.
    messages.sort_by_key(|message| match message.kind {
        Kind::Request | Kind::Response => message.api_key,
        _ => i16::MAX,
    });
    let mut output = options.output();
    for message in messages {
        output.line(&schema(message))?;
    }
    output.flush()
}

/// What is false, zero or empty is left out, as it is in the files; structs that several fields share are shown with each.
fn schema(message: &Declaration) -> Json {
    let mut object = Map::new();
    if message.api_key >= 0 {
        object.insert("apiKey".into(), message.api_key.into());
    }
    let kind = match message.kind {
        Kind::Request => "request",
        Kind::Response => "response",
        Kind::Header => "header",
        Kind::Data => "data",
        Kind::CoordinatorKey => "coordinator-key",
        Kind::CoordinatorValue => "coordinator-value",
    };
    object.insert("type".into(), kind.into());
    if !message.listeners.is_empty() {
        object.insert("listeners".into(), message.listeners.into());
    }
    object.insert("name".into(), message.name.into());
    object.insert("validVersions".into(), range(message.versions));
    // From 0 on, as the files have it, whatever the first version is that is left.
    let flexible = (0..=message.versions.1).find(|version| (message.is_flexible)(*version));
    object.insert("flexibleVersions".into(), flexible.map_or("none".into(), |first| range((first, i16::MAX))));
    if message.kind == Kind::Request {
        object.insert("latestVersionUnstable".into(), message.unstable.is_some().into());
    }
    object.insert("fields".into(), fields(message.fields));
    object.into()
}

fn fields(fields: &[Field]) -> Json {
    fields.iter().map(field).collect()
}

fn field(field: &Field) -> Json {
    let mut object = Map::new();
    object.insert("name".into(), field.schema_name().into());
    let (array, ty) = match field.ty {
        Type::Array(item) => ("[]", *item),
        ty => ("", ty),
    };
    let (name, entity, inner) = match ty {
        Type::Plain(name) | Type::Fixed(name) => (name, None, None),
        Type::Entity(name, entity) => (name, Some(entity), None),
        Type::Struct(name, inner) => (name, None, Some(inner)),
        // No schema has one.
        Type::Array(_) => ("[]", None, None),
    };
    object.insert("type".into(), format!("{array}{name}").into());
    object.insert("versions".into(), range(field.versions));
    if let Some(versions) = field.nullable {
        object.insert("nullableVersions".into(), range(versions));
    }
    if let Type::Fixed(_) = field.ty {
        object.insert("flexibleVersions".into(), "none".into());
    }
    if let Some(tag) = field.tag {
        object.insert("taggedVersions".into(), range(field.versions));
        object.insert("tag".into(), tag.into());
    }
    if field.ignorable {
        object.insert("ignorable".into(), true.into());
    }
    let default = match field.default {
        Value::Null => Some("null".to_owned()),
        Value::Bool(value) => value.then(|| value.to_string()),
        Value::Int(value) => (value != 0).then(|| value.to_string()),
        Value::Float(value) => (value != 0.0).then(|| value.to_string()),
        Value::Empty => None,
    };
    if let Some(default) = default {
        object.insert("default".into(), default.into());
    }
    if let Some(entity) = entity {
        object.insert("entityType".into(), entity.into());
    }
    if field.key {
        object.insert("mapKey".into(), true.into());
    }
    if let Some(inner) = inner {
        object.insert("fields".into(), fields(inner));
    }
    object.into()
}

/// `0-3`, `4+`, `7`.
fn range((first, last): Versions) -> Json {
    match last {
        i16::MAX => format!("{first}+"),
        last if last == first => first.to_string(),
        last => format!("{first}-{last}"),
    }
    .into()
}
