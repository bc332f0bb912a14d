//! Finds the paths in a source file: those of `use` trees and those written inline, relative ones resolved.
//!
//! A small tokenizer, no parser: it leaves out comments, text and characters, follows `mod … { }`, and reads every path that starts
//! with `crate`, `self` or `super` (and `$crate` in macros), or stands in a `use`.

/// A path found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) line: usize,
    /// Its segments. Paths within the crate start with `crate`.
    pub(crate) path: Vec<String>,
    /// Does it stand in a module that exists for tests only?
    pub(crate) in_test: bool,
}

#[derive(Debug)]
struct Token {
    line: usize,
    text: String,
}

/// All paths in `source`, the file of module `module` (its segments after `crate`).
pub(crate) fn paths(source: &str, module: &[String]) -> Vec<Found> {
    let tokens = tokens(source);
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    // The inline modules that are open: name, depth of braces inside, for tests?
    let mut modules: Vec<(String, usize, bool)> = Vec::new();
    let (mut depth, mut at) = (0, 0);
    while at < tokens.len() {
        let in_test = modules.iter().any(|(_, _, test)| *test);
        match text(at) {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                modules.retain(|(_, inside, _)| *inside <= depth);
            }
            "mod" if text(at + 2) == "{" => {
                let test = at >= 7 && (1..=7).map(|back| text(at - back)).rev().eq(["#", "[", "cfg", "(", "test", ")", "]"]);
                modules.push((text(at + 1).to_owned(), depth + 1, test));
                at += 1;
            }
            word => {
                let here: Vec<String> = module.iter().cloned().chain(modules.iter().map(|(name, ..)| name.clone())).collect();
                let in_use = word == "use";
                let start = if in_use { at + 1 + usize::from(text(at + 1) == "::") } else { at };
                let rooted = matches!(word, "crate" | "self" | "super") && text(at + 1) == "::";
                if (in_use && !matches!(text(at + 1), "<" | "+" | ",")) || (rooted && (at == 0 || text(at - 1) != "::")) {
                    let line = tokens[at].line;
                    let mut paths = Vec::new();
                    let end = tree(&tokens, start, Vec::new(), in_use, &mut paths);
                    found.extend(paths.into_iter().map(|path| Found { line, path: resolve(path, &here), in_test }));
                    at = end.max(at + 1);
                    continue;
                }
                if is_name(word) && text(at + 1) == "::" && (at == 0 || text(at - 1) != "::") {
                    let mut paths = Vec::new();
                    tree(&tokens, at, Vec::new(), false, &mut paths);
                    found.extend(paths.into_iter().map(|path| Found { line: tokens[at].line, path, in_test }));
                } else if is_name(word) && (at == 0 || text(at - 1) != "::") {
                    found.push(Found { line: tokens[at].line, path: vec![word.to_owned()], in_test });
                }
            }
        }
        at += 1;
    }
    found
}

/// Reads the path or tree at `at`; gives where it ends.
fn tree(tokens: &[Token], mut at: usize, mut path: Vec<String>, in_use: bool, found: &mut Vec<Vec<String>>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    loop {
        match text(at) {
            "{" if in_use => {
                at += 1;
                while !matches!(text(at), "}" | "") {
                    at = tree(tokens, at, path.clone(), true, found);
                    at += usize::from(text(at) == ",");
                }
                return at + 1;
            }
            "*" if in_use => {
                found.push(path);
                return at + 1;
            }
            word if is_name(word) => path.push(word.to_owned()),
            // `Vec::<T>`: the path ends before its arguments.
            _ => {
                found.push(path);
                return at;
            }
        }
        at += 1;
        if text(at) == "::" {
            at += 1;
            continue;
        }
        // `use a as b`.
        at += if in_use && text(at) == "as" { 2 } else { 0 };
        found.push(path);
        return at;
    }
}

/// Makes a path that is relative to module `here` start at the crate.
fn resolve(path: Vec<String>, here: &[String]) -> Vec<String> {
    let mut base = here.to_vec();
    let mut rest = path.iter().peekable();
    match rest.peek().map(|first| first.as_str()) {
        Some("crate") => {
            rest.next();
            base.clear();
        }
        Some("self" | "super") => {
            while let Some(word) = rest.next_if(|word| matches!(word.as_str(), "self" | "super")) {
                if word == "super" {
                    base.pop();
                }
            }
        }
        _ => return path,
    }
    std::iter::once("crate".to_owned()).chain(base).chain(rest.cloned()).collect()
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single signs; comments, texts, characters, lifetimes and numbers are left out.
fn tokens(source: &str) -> Vec<Token> {
    let bytes = source.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let is_word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80;
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let start = at;
        at = match byte(at) {
            b'/' if byte(at + 1) == b'/' => (at..bytes.len()).find(|at| byte(*at) == b'\n').unwrap_or(bytes.len()),
            b'/' if byte(at + 1) == b'*' => end_of_comment(bytes, at),
            b'"' => end_of_text(bytes, at + 1),
            b'r' | b'b' | b'c' if starts_raw_text(bytes, at) => end_of_raw_text(bytes, at),
            b'b' | b'c' if byte(at + 1) == b'"' => end_of_text(bytes, at + 2),
            b'\'' | b'b' if byte(at) == b'\'' || byte(at + 1) == b'\'' => {
                end_of_character(bytes, at + usize::from(byte(at) == b'b'))
            }
            b':' if byte(at + 1) == b':' => at + 2,
            first if is_word(first) => (at..=bytes.len()).find(|at| !is_word(byte(*at))).unwrap_or(bytes.len()),
            _ => at + 1,
        };
        let text = source.get(start..at).unwrap_or_default();
        let first = byte(start);
        let is_text = matches!(first, b'"' | b'\'')
            || (text.len() > 1 && text.ends_with(['"', '#', '\'']) && is_word(first))
            || text.starts_with("//")
            || text.starts_with("/*");
        // A text is a token too, so that what stands before and after it is not taken for neighbours.
        if is_text {
            tokens.push(Token { line, text: "\"".into() });
        } else if !first.is_ascii_whitespace() && !first.is_ascii_digit() && first != b'$' {
            tokens.push(Token { line, text: text.trim_start_matches("r#").into() });
        }
        line += text.matches('\n').count();
    }
    tokens.retain(|token| token.text != "\"");
    tokens
}

fn end_of_comment(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// After `r`, `br` or `cr`: hashes and a quote?
fn starts_raw_text(bytes: &[u8], at: usize) -> bool {
    let rest = &bytes[at..];
    let rest = rest.strip_prefix(b"b").or(rest.strip_prefix(b"c")).unwrap_or(rest);
    rest.strip_prefix(b"r").is_some_and(|rest| rest.iter().find(|byte| **byte != b'#') == Some(&b'"'))
}

fn end_of_raw_text(bytes: &[u8], at: usize) -> usize {
    let quote = (at..bytes.len()).find(|at| bytes[*at] == b'"').unwrap_or(bytes.len());
    let hashes = bytes[at..quote].iter().filter(|byte| **byte == b'#').count();
    let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
    (quote + 1..bytes.len()).find(|at| bytes[*at..].starts_with(&end)).map_or(bytes.len(), |at| at + end.len())
}

/// After the quote at `at`: a character, or the name of a lifetime.
fn end_of_character(bytes: &[u8], at: usize) -> usize {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    if byte(at + 1) == b'\\' {
        return (at + 3..bytes.len()).find(|at| byte(*at) == b'\'').map_or(bytes.len(), |at| at + 1);
    }
    let end = (at + 1..bytes.len()).find(|at| !(byte(*at) == b'_' || byte(*at).is_ascii_alphanumeric() || byte(*at) >= 0x80));
    match end {
        Some(end) if byte(end) == b'\'' && end > at + 1 => end + 1,
        Some(end) if end == at + 1 => at + 3,
        Some(end) => end,
        None => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        let module = ["consumer".to_owned(), "group".to_owned()];
        let paths = paths(source, &module).into_iter().map(|found| found.path.join("::"));
        paths.filter(|path| path.contains("::") && !path.starts_with("std::")).collect()
    }

    #[test]
    fn use_trees_are_taken_apart() {
        assert_eq!(
            found("use crate::{error::Error, cluster::{Cluster, snapshot::*}, record as r};"),
            ["crate::error::Error", "crate::cluster::Cluster", "crate::cluster::snapshot", "crate::record"]
        );
        assert_eq!(found("pub(crate) use ::tokio::sync::mpsc;"), ["tokio::sync::mpsc"]);
        assert_eq!(
            found("use tokio::{net::TcpStream, time::{self, Instant}};"),
            ["tokio::net::TcpStream", "tokio::time::self", "tokio::time::Instant"]
        );
    }

    #[test]
    fn inline_and_relative_paths_are_resolved() {
        assert_eq!(found("fn f(x: crate::producer::Producer) {}"), ["crate::producer::Producer"]);
        assert_eq!(found("fn f() { super::super::admin::Admin::new() }"), ["crate::admin::Admin::new"]);
        assert_eq!(found("fn f() -> Vec<super::pause::Pause> {}"), ["crate::consumer::pause::Pause"]);
        assert_eq!(found("fn f() { self::classic::run::<u8>() }"), ["crate::consumer::group::classic::run"]);
        assert_eq!(found("macro_rules! m { () => { $crate::protocol::Wire::NULL } }"), ["crate::protocol::Wire::NULL"]);
        assert_eq!(
            found("mod tests { use super::*; mod deep { use super::super::super::fetch; } }"),
            ["crate::consumer::group", "crate::consumer::fetch"]
        );
        assert_eq!(found("mod a { } fn f() { super::b() }"), ["crate::consumer::b"]);
        assert_eq!(found("let t = Instant::now();"), ["Instant::now"]);
    }

    #[test]
    fn comments_texts_and_characters_are_no_code() {
        assert_eq!(found("// use crate::a;\n/* crate::b /* nested */ crate::c */ /// [`crate::d`]"), [""; 0]);
        assert_eq!(
            found(
                r####"let a = "crate::a \" crate::b"; let b = r#"crate::c "x" "#; let c = br"crate::d\"; let e = '"'; let f = '\''; let g = b'"';"####
            ),
            [""; 0]
        );
        assert_eq!(found("fn f<'a>(x: &'a str) -> crate::a::B<'a> { ' ' }"), ["crate::a::B"]);
        assert_eq!(found("pub(crate) struct A; pub(super) fn b() {} pub(in crate::consumer) fn c() {}"), ["crate::consumer"]);
        assert_eq!(found("fn f() -> impl Future + use<'a, T> { }"), [""; 0]);
    }

    #[test]
    fn lines_and_test_modules_are_kept() {
        let source = "use a::b;\n\n#[cfg(test)]\nmod tests {\n    use c::d;\n}\nuse e::f;\n";
        let places: Vec<_> = paths(source, &[])
            .into_iter()
            .filter(|found| found.path.len() > 1)
            .map(|found| (found.line, found.in_test))
            .collect();
        assert_eq!(places, [(1, false), (5, true), (7, false)]);
    }
}
