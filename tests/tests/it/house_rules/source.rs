//! One source file: its lines as written, and its code without comments and literals.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One source file.
pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
    /// The lines without comments and without what stands in literals.
    pub(crate) code: Vec<String>,
    /// The line (from 0) at which the inline tests begin, or the end.
    pub(crate) tests_at: usize,
}

impl Source {
    /// Takes a file apart.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let test_file = path.starts_with("tests/")
            || path.contains("/tests/")
            || path.ends_with("/tests.rs")
            || path.ends_with("/testing.rs")
            || path.ends_with("/strategies.rs");
        let inline = (1..code.len()).find(|line| {
            code[*line].starts_with("mod tests {") && code[line - 1].trim() == "#[cfg(test)]"
        });
        let tests_at = if test_file { 0 } else { inline.unwrap_or(code.len()) };
        Self { path: path.to_owned(), text: text.to_owned(), code, tests_at }
    }

    /// All of the repository.
    pub(crate) fn all() -> Vec<Self> {
        let mut paths = Vec::new();
        collect(&root(), &mut paths);
        paths.sort();
        let read = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            let relative = path.strip_prefix(root()).unwrap();
            Self::new(&relative.to_str().unwrap().replace('\\', "/"), &text)
        };
        paths.iter().map(read).collect()
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// The same text with comments and the contents of literals replaced by spaces.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        }
        while at < end {
            out.push(if chars[at] == '\n' { '\n' } else { ' ' });
            at += 1;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` when none begins there.
fn skipped(chars: &[char], at: usize) -> usize {
    let starts = |text: &str| text.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let after = |from: usize, text: &str| {
        let pattern: Vec<char> = text.chars().collect();
        let found = chars[from..].windows(pattern.len()).position(|window| window == pattern);
        found.map_or(chars.len(), |place| from + place + pattern.len())
    };
    let inside_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if starts("//") {
        after(at, "\n") - 1
    } else if starts("/*") {
        after(at + 2, "*/")
    } else if starts("r#\"") && !inside_word {
        after(at + 3, "\"#")
    } else if starts("r\"") && !inside_word {
        after(at + 2, "\"")
    } else if starts("\"") {
        quoted(chars, at + 1, '"')
    } else if starts("'\\") || (starts("'") && chars.get(at + 2) == Some(&'\'')) {
        quoted(chars, at + 1, '\'')
    } else {
        at
    }
}

fn quoted(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

#[test]
fn comments_and_literals_are_no_code() {
    let text = "let a = \"{ // \\\" {\"; // todo!()\nlet b = '{'; /* { */ let c: &'static str = r#\"{\"#;\n";
    let source = Source::new("x.rs", text);
    assert!(!source.code.concat().contains(['{', '/']), "{:?}", source.code);
    assert!(source.code[1].contains("let c: &'static str ="));
}
