//! The rules of the house that a machine can check. Each complaint says where, and what to do.

mod source;

use std::fs;

use source::{Source, root};

const LONGEST_FILE: usize = 600;
const LONGEST_FILE_WITH_TESTS: usize = 900;
const LONGEST_FUNCTION: usize = 70;
const TOP_LEVEL: [&str; 6] =
    ["fuzz", "partisan-proto", "partisan-sim", "partisan-tokio", "target", "tests"];

type Complaints = Vec<String>;

fn check(rule: impl Fn(&Source) -> Complaints) {
    let complaints: Complaints = Source::all().iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// Complains about every line of code, within `lines`, that holds one of `words`.
fn ban(source: &Source, lines: std::ops::Range<usize>, words: &[&str], advice: &str) -> Complaints {
    let mut complaints = Vec::new();
    for number in lines {
        for word in words {
            if holds(&source.code[number], word) {
                complaints.push(format!("{}:{}: `{word}`: {advice}", source.path, number + 1));
            }
        }
    }
    complaints
}

/// Whether the word stands in the line, not as a part of a longer one.
fn holds(line: &str, word: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(of_word);
        let after = line[at + word.len()..].chars().next().is_some_and(of_word);
        !(before && word.starts_with(of_word) || after && word.ends_with(of_word))
    })
}

fn file_length(source: &Source) -> Complaints {
    let (code, all) = (source.tests_at, source.code.len());
    let mut complaints = Vec::new();
    if code > LONGEST_FILE {
        complaints.push(format!(
            "{}:{LONGEST_FILE}: {code} lines before the tests; split the file by subject",
            source.path
        ));
    }
    if all > LONGEST_FILE_WITH_TESTS {
        complaints.push(format!(
            "{}:{LONGEST_FILE_WITH_TESTS}: {all} lines; move the tests to a file of their own",
            source.path
        ));
    }
    complaints
}

#[test]
fn files_have_one_subject() {
    check(file_length);
}

fn function_length(source: &Source) -> Complaints {
    let mut complaints = Vec::new();
    for (start, line) in source.code.iter().enumerate() {
        if !holds(line, "fn ") || line.trim_start().starts_with("type ") {
            continue;
        }
        let lines = body_lines(&source.code[start..]);
        if lines > LONGEST_FUNCTION {
            let (path, line) = (&source.path, start + 1);
            complaints.push(format!("{path}:{line}: a function of {lines} lines; divide it"));
        }
    }
    complaints
}

/// How many lines there are from the first to the brace that closes the first one opened.
fn body_lines(code: &[String]) -> usize {
    let (mut depth, mut parentheses) = (0, 0);
    for (number, line) in code.iter().enumerate() {
        for c in line.chars() {
            match c {
                '(' | '[' => parentheses += 1,
                ')' | ']' => parentheses -= 1,
                '{' => depth += 1,
                '}' if depth == 1 => return number + 1,
                '}' => depth -= 1,
                ';' if depth == 0 && parentheses == 0 => return number + 1,
                _ => {}
            }
        }
    }
    code.len()
}

#[test]
fn functions_fit_a_screen() {
    check(function_length);
}

fn module_docs(source: &Source) -> Complaints {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![format!("{}:1: begin with `//!`: what is in here?", source.path)]
}

#[test]
fn every_file_says_what_it_is() {
    check(module_docs);
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["todo!", "unimplemented!", "dbg!"];
    check(|source| ban(source, 0..source.code.len(), &words, "finish it, or take it out"));
}

#[test]
fn tests_never_sleep() {
    let words = ["thread::sleep", "time::sleep", "sleep(Duration"];
    let advice = "use virtual time, or await a condition with a deadline";
    check(|source| ban(source, source.tests_at..source.code.len(), &words, advice));
}

/// The rules of the core, for its code outside tests.
fn purity(source: &Source) -> Complaints {
    if !source.path.starts_with("partisan-proto/src/") {
        return Vec::new();
    }
    let rules: [(&[&str], &str); 6] = [
        (&["std::", "println!", "eprintln!"], "the core is no_std: use core or alloc"),
        (&["HashSet"], "use BTreeSet, whose order is the same everywhere"),
        (&["Instant::now", "SystemTime"], "the caller passes the time of each event"),
        (&["async fn", "async move", ".await"], "the core is a state machine: take an event"),
        (&["unsafe"], "the core is safe code"),
        (&["unwrap()", "panic!"], "return a typed error"),
    ];
    let code = 0..source.tests_at;
    let ban = |(words, advice): &(&[&str], &str)| ban(source, code.clone(), words, advice);
    let mut complaints: Complaints = rules.iter().flat_map(ban).collect();
    complaints.extend(hash_iteration(source));
    complaints
}

/// Iterations over what the file declares as hash tables.
fn hash_iteration(source: &Source) -> Complaints {
    let code = &source.code[..source.tests_at];
    let declared = |line: &String| {
        let (name, _) = line.split_once(": HashMap<")?;
        name.split_whitespace().next_back().map(str::to_owned)
    };
    let tables: Vec<String> = code.iter().filter_map(declared).collect();
    let mut words = Vec::new();
    for table in &tables {
        for call in ["iter", "iter_mut", "keys", "values", "values_mut", "drain", "into_iter"] {
            words.push(format!("{table}.{call}("));
        }
        words.push(format!("in &self.{table} "));
        words.push(format!("in &mut self.{table} "));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let advice = "the order of a hash table differs between runs: keep an ordered container";
    ban(source, 0..source.tests_at, &words, advice)
}

#[test]
fn the_core_is_pure() {
    check(purity);
    let lib = fs::read_to_string(root().join("partisan-proto/src/lib.rs")).unwrap();
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        assert!(lib.contains(attribute), "partisan-proto/src/lib.rs: put {attribute} back");
    }
}

#[test]
fn the_top_level_is_as_designed() {
    for entry in fs::read_dir(root()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let folder = entry.file_type().unwrap().is_dir() && !name.starts_with('.');
        assert!(
            !folder || TOP_LEVEL.contains(&name.as_str()),
            "{name}/: put it into one of {TOP_LEVEL:?}"
        );
    }
}

/// The numbers that follow `word`.
fn numbers_after(text: &str, word: &str) -> Vec<usize> {
    let digits = |at: usize| {
        let rest = &text[at + word.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    text.match_indices(word).filter_map(|(at, _)| digits(at)).collect()
}

#[test]
fn invariants_are_numbered_and_those_named_in_code_exist() {
    let Ok(text) = fs::read_to_string(root().join("ARCHITECTURE.md")) else {
        return;
    };
    let stated = numbers_after(&text, "**Invariant ");
    let gapless: Vec<usize> = (1..=stated.len()).collect();
    assert!(!stated.is_empty(), "ARCHITECTURE.md: state each as `**Invariant N.**`");
    assert_eq!(stated, gapless, "ARCHITECTURE.md: number the invariants from 1, without gaps");
    check(|source| {
        let named = ["Invariant ", "invariant "].iter();
        let named = named.flat_map(|word| numbers_after(&source.text, word));
        let unknown = named.filter(|number| !stated.contains(number));
        unknown.map(|number| format!("{}: there is no invariant {number}", source.path)).collect()
    });
}

mod the_rules_can_be_broken {
    use super::*;

    fn core(text: &str) -> Source {
        Source::new("partisan-proto/src/x.rs", text)
    }

    #[test]
    fn by_long_files_and_functions() {
        let long = "//! x\n".repeat(LONGEST_FILE + 1);
        assert_eq!(file_length(&core(&long)).len(), 1);
        let tests = format!("//! x\n#[cfg(test)]\nmod tests {{\n{}}}\n", "x\n".repeat(700));
        assert_eq!(file_length(&core(&tests)), Complaints::new());
        let function =
            |lines| format!("fn a(x: [u8; 4]) {{\n{}}}\nfn b();\n", "x;\n".repeat(lines));
        assert_eq!(function_length(&core(&function(LONGEST_FUNCTION))).len(), 1);
        assert_eq!(function_length(&core(&function(LONGEST_FUNCTION - 2))).len(), 0);
    }

    #[test]
    fn by_impurities() {
        let impure = [
            "use std::fmt;",
            "use hashbrown::HashSet;",
            "let now = Instant::now();",
            "async fn x() {}",
            "unsafe { x() }",
            "x.unwrap();",
            "x.await;",
            "    peers: HashMap<u8, u8>,\nfn x() { self.peers.keys() }",
            "    peers: HashMap<u8, u8>,\nfor x in &self.peers {}",
        ];
        for text in impure {
            assert_eq!(purity(&core(text)).len(), 1, "{text}");
            let test = format!("#[cfg(test)]\nmod tests {{\n{text}\n}}");
            assert_eq!(purity(&core(&test)), Complaints::new(), "{text}");
        }
        let pure = "// std::fmt\nuse core::fmt; // unsafe\nlet x = \"std::fmt\"; x.unwrap_or(1);";
        assert_eq!(purity(&core(pure)), Complaints::new());
    }

    #[test]
    fn by_files_that_say_nothing() {
        assert_eq!(module_docs(&core("use core::fmt;")).len(), 1);
    }
}
