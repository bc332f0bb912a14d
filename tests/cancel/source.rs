//! The public futures of the crate, read from its source, so that the table cannot fall behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::table::CASES;

/// Every `pub async fn`, every public function that gives a future, and every public type that is a future or a stream, as
/// `Type::function`. The traits' functions are `Future` and `Stream`.
fn public_futures(source: &str) -> Vec<String> {
    // Tests are behind it, by convention.
    let source = source.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut owner = String::new();
    let mut public_types = BTreeSet::new();
    let mut traits = Vec::new();
    for line in source.lines() {
        for kind in ["pub struct ", "pub enum "] {
            if let Some(rest) = line.strip_prefix(kind) {
                public_types.insert(identifier(rest));
            }
        }
        if line.starts_with("impl") && line.contains('{') {
            let head = line.split(" {").next().unwrap_or(line);
            let of = match head.split_once(" for ") {
                Some((left, right)) => {
                    let of_trait = identifier(left.rsplit([' ', ':']).next().unwrap_or(left));
                    traits.push((of_trait, identifier(right)));
                    right
                }
                None => after_generics(head),
            };
            owner = identifier(of);
        }
        if line.starts_with('}') {
            owner.clear();
        }
        let code = line.trim_start();
        let gives_future =
            code.contains("-> impl Future") || code.contains("-> BoxFuture") || code.contains("-> Pin<Box<dyn Future");
        let name = match code.strip_prefix("pub async fn ") {
            Some(rest) => Some(rest),
            None if gives_future => code.strip_prefix("pub fn "),
            None => None,
        };
        if let Some(name) = name {
            found.push(format!("{owner}::{}", identifier(name)));
        }
    }
    for (of_trait, of) in traits {
        if matches!(of_trait.as_str(), "Future" | "Stream" | "IntoFuture") && public_types.contains(&of) {
            found.push(format!("{of}::{of_trait}"));
        }
    }
    found
}

/// The letters, digits and underscores that a text begins with.
fn identifier(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// `impl<'a, T: Any<T>> Name<T>` without what comes before the name.
fn after_generics(head: &str) -> &str {
    let rest = head.trim_start_matches("impl");
    if !rest.starts_with('<') {
        return rest.trim_start();
    }
    let mut depth = 0;
    for (at, letter) in rest.char_indices() {
        match letter {
            '<' => depth += 1,
            '>' if !rest[..at].ends_with('-') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return rest[at + 1..].trim_start();
        }
    }
    rest
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_public_future_is_in_the_table_and_nothing_else() {
    let mut paths = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut paths);
    let declared: BTreeSet<String> = paths.iter().flat_map(|path| public_futures(&fs::read_to_string(path).unwrap())).collect();
    let tested: BTreeSet<String> = CASES.all().map(|case| case.name.to_owned()).collect();
    let missing: Vec<_> = declared.difference(&tested).collect();
    let gone: Vec<_> = tested.difference(&declared).collect();
    assert!(declared.len() > 40, "{declared:?}");
    assert!(missing.is_empty(), "public futures without an entry in tests/cancel/table.rs: {missing:?}");
    assert!(gone.is_empty(), "entries of tests/cancel/table.rs for futures that are not in src/: {gone:?}");
}

/// Public asynchronous functions whose documentation does not say what dropping them does.
fn silent_about_drops(source: &str) -> Vec<String> {
    let source = source.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut silent = Vec::new();
    let mut says = false;
    for line in source.lines().map(str::trim_start) {
        says = match line {
            _ if line.starts_with("///") => says || line.contains("# Cancel safety"),
            _ if line.starts_with("#[") => says,
            _ => {
                if let Some(name) = line.strip_prefix("pub async fn ").filter(|_| !says) {
                    silent.push(identifier(name));
                }
                false
            }
        };
    }
    silent
}

#[test]
fn every_public_async_function_says_what_dropping_it_does() {
    let mut paths = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut paths);
    let silent: Vec<_> = paths
        .iter()
        .filter_map(|path| {
            let silent = silent_about_drops(&fs::read_to_string(path).unwrap());
            (!silent.is_empty()).then(|| format!("{}: {silent:?}", path.display()))
        })
        .collect();
    assert!(silent.is_empty(), "no section \"Cancel safety\":\n{}", silent.join("\n"));
}

#[test]
fn the_reader_of_the_source_finds_each_kind_of_future() {
    let source = r#"
pub struct One<T> {
struct Hidden;
impl<T: Into<Vec<T>>> One<T> {
    pub async fn first(&self) {
    pub(crate) async fn not_this(&self) {
    pub fn second(&self) -> impl Future<Output = ()> {
    pub fn third(&self) -> BoxFuture<'static, ()> {
    async fn nor_this(&self) {
}
impl Future for One<u8> {
impl<T> futures_core::Stream for One<T> {
impl Future for Hidden {
"#;
    let expected = ["One::first", "One::second", "One::third", "One::Future", "One::Stream"];
    assert_eq!(public_futures(source), expected);
}
